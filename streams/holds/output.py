"""Turns changes of holds into records: the current state of a number, and a history row for each change.

Field order is fixed and floats have at most 6 decimals: the same decisions give the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from rules.model import ACTIONS, DIRECTIONS
from schemas import topics
from schemas.json_reading import JsonReader
from schemas.numbers import published
from streams.holds.firings import ENFORCE, REVIEW, SHADOW
from streams.holds.hold import Change, LedgerHold
from streams.holds.ids import block_id, event_id
from streams.holds.ledger import Ledger
from streams.holds.number_order import Answer, NumberOrder
from streams.holds.origins import relay_actions
from streams.ingest.epoch import OutRecord

LANE_TOPICS = {ENFORCE: topics.BLOCK_EVENTS, SHADOW: topics.SHADOW_EVENTS, REVIEW: topics.REVIEW_QUEUE}
_content: JsonReader[dict[str, Any]] = JsonReader(dict)
# Why people look at a hold although its rule enforces; the registry's entry that made it so; the registry in force, if
# it had a part in it; the relays that are told to stop the number; whether other carriers had a part in it; whether it
# blocks because nobody decided.
SOMETIMES = ("diverted", "listed", "registry_version", "relays", "from_others", "unreviewed")
# The state of a number whose last hold in force a change has ended.
OVER_BY = {"released": "released", "suspended": "suspended", "approved": "released", "rejected": "released"}


@dataclass(slots=True)
class FrozenChange:
    """A change, and the number's holds in force right after it. Holds go on changing; this does not."""

    number: int
    lane: int
    change: str
    event_id: str
    hold: dict[str, Any]
    holds: list[dict[str, Any]]
    order: NumberOrder | None = None


class Output:
    """Turns the changes of one input record into records to produce."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def freeze(self, change: Change) -> FrozenChange:
        hold = self.shown(change.hold)
        if change.change == "expired" and change.firing >= 0:
            hold["given_up"] = True  # before its `until`
        holds = [self.shown(h) for h in self._ledger.in_force(change.hold.number, change.hold.lane)]
        until = change.hold.until_ms if change.order is None else change.order.id
        event = event_id(hold["block_id"], change.change, until)
        return FrozenChange(change.hold.number, change.hold.lane, change.change, event, hold, holds, change.order)

    def records(self, changes: list[FrozenChange]) -> list[OutRecord]:
        """One state record for all changes that one input record made to a number in one lane, and, where they are
        enforced, a history row for each."""
        first, last = changes[0], changes[-1]
        number = published(first.number)
        # The last hold's end stays visible when nothing is in force any more.
        shown = last.holds or [first.hold]
        state = {
            "event_id": first.event_id,
            "number": number,
            "state": "active" if last.holds else OVER_BY.get(last.change, "expired"),
            "change": first.change,
            "until": max(hold["until"] for hold in shown),
            "directions": [d for d in DIRECTIONS if any(d in hold["directions"] for hold in shown)],
            "actions": [a for a in ACTIONS if any(a in hold["actions"] for hold in shown)],
            "hold": first.hold,
            "holds": last.holds,
        }
        out = [OutRecord(LANE_TOPICS[first.lane], number.encode(), orjson.dumps(state))]
        if first.lane == ENFORCE:
            out += [OutRecord(topics.BLOCK_HISTORY, number.encode(), _history(number, c)) for c in changes]
            out += [action for change in changes for action in relay_actions(number, change)]
        return out

    def answer(self, answer: Answer) -> OutRecord:
        """The row of the history that says what became of an order."""
        order, change = answer.order, "refused" if answer.why else "ordered"
        number = published(order.number) if order.number > 0 else None  # of a text the engine has a hash alone
        row: dict[str, Any] = {"event_id": event_id(order.id, change, order.offset), "number": number, "change": change}
        row |= {"order": order.shown(), "why": answer.why or None}
        key, partition = (None, order.partition) if number is None else (number.encode(), None)
        return OutRecord(topics.BLOCK_HISTORY, key, orjson.dumps(row), partition=partition)

    def ledger_rows(self) -> list[OutRecord]:
        """A row for each number whose holds have changed since the last call, a tombstone where none is left."""
        return [
            OutRecord(topics.LEDGER, published(number).encode(), self._ledger.row(number))
            for number in self._ledger.touched()
        ]

    def shown(self, hold: LedgerHold) -> dict[str, Any]:
        """The hold as records have it."""
        content, rule = _content.read(hold.content), self._ledger.rules[hold.rule]
        return {
            "block_id": block_id(hold.number, rule, hold.from_ms),
            "rule": rule,
            "rules_version": content["rules_version"],
            "from": hold.from_ms,
            "until": hold.until_ms,
            "directions": content["directions"],
            "actions": content["actions"],
            "reason": content["reason"],
            "evidence": content["evidence"],
            "announcement": content.get("announcement"),
            **{name: content[name] for name in SOMETIMES if name in content},
            **({"taken_by": hold.taken_by} if hold.taken_by else {}),
            **({} if hold.review_by_ms is None else {"review_by": hold.review_by_ms}),
        }


def _history(number: str, change: FrozenChange) -> bytes:
    row = {"event_id": change.event_id, "number": number, "change": change.change, "hold": change.hold}
    if change.order is not None:
        row["order"] = change.order.shown()
    return orjson.dumps(row)
