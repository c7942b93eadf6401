"""An operator's order about one number, a record of the topic `control`, and the answer to it.

Orders are input like any other: they lie in the partition of their number, and what they change is in the same
transaction as their offset. Each is answered once, by a row of `block-history` that says whether it was obeyed."""

from __future__ import annotations

from dataclasses import dataclass

RELEASE, BLOCK, ALLOW, DISALLOW, APPROVE, REJECT = "release", "block", "allow", "disallow", "approve", "reject"
PROPOSE, TAKE, SUSPEND = "propose", "take", "suspend"
REGISTRATIONS = REGISTER, UNREGISTER = "register", "unregister"  # of a sender; they change no hold

# The reasons for which an order is refused, in words. Nothing of a refused order is obeyed.
REFUSALS = {
    "late": "it is more than an hour older than the newest order about a number of its partition",
    "no_number": "its number is no telephone number, and cannot be blocked",
    "protected": "the number is protected: nothing blocks it",
    "allow_listed": "the number is on the allow list: take it off the list first",
    "not_blocked": "no such block is in force",
    "not_in_review": "no such hold is in review",
    "not_allowed": "no operator has put the number on the allow list",
    "no_end": "it says no end (`until`)",
    "over": "its end (`until`) is not behind its time (`at`)",
    "no_change": "all is as it says already",
    "not_registered": "no such registration of the number is in force or to come",
    "too_many": "the number has 16 registrations already: end one first",
}


@dataclass(frozen=True, slots=True)
class NumberOrder:
    """line: the record's place in its epoch. offset: its place in the log. partition: the number's. at_ms: the time at
    which it counts. recorded_ms: its Kafka timestamp. clock_before: the largest clock before the record, ms. rule: the
    rule whose hold it is about, "" for all. until_ms: the end that it says. refused: why it cannot be obeyed whatever
    the holds are, of REFUSALS. is_allowed: the registry has the number on the allow list. content: of the hold that the
    order opens, JSON. since_ms, owner, account, relay: of the registration that the order is about."""

    line: int
    offset: int
    number: int
    partition: int
    at_ms: int
    clock_before: int
    id: str
    action: str
    operator: str
    reason: str
    rule: str = ""
    until_ms: int | None = None
    refused: str = ""
    is_allowed: bool = False
    recorded_ms: int = -1
    content: bytes = b""
    since_ms: int | None = None
    owner: str = ""
    account: str = ""
    relay: str = ""

    def shown(self) -> dict[str, object]:
        """The order as `block-history` tells it."""
        told: dict[str, object] = {
            "id": self.id,
            "action": self.action,
            "at": self.at_ms,
            "operator": self.operator,
            "reason": self.reason,
            "rule": self.rule or None,
            "until": self.until_ms,
        }
        about = {"since": self.since_ms, "owner": self.owner, "account": self.account, "relay": self.relay}
        return told | {name: value for name, value in about.items() if value not in (None, "")}


@dataclass(frozen=True, slots=True)
class Answer:
    """why: the reason why the order was refused, of REFUSALS; "" if it was obeyed."""

    order: NumberOrder
    why: str = ""
