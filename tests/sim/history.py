"""The records of the feeds: seeded, with all the faults of feeds, placed as their producers place them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from schemas.feeds import FEEDS
from schemas.numbers import normalise
from schemas.topics import CDR, CONTROL, MESSAGE_RELAY, REPORTS, TRAPS
from streams.kafka.partition import partition_of
from tests.reference.orders import ACTIONS

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
MONDAY_0859_MS = 1_794_787_140_000  # 2026-11-16T08:59+09:00

NUMBERS = (
    *(f"+8210111100{i:02d}" for i in range(14)), "010-1111-0003", "+827011110003", "+12025550123", "1588-9999", "114",
    "ACME", "anonymous",
)  # fmt: skip
POISON = (None, b"", b"{", b"[]", b'{"at":1}', b'{"message_id":"x","call_id":"x"}', b"\xff\xfe", b'{"a":"\\ud800"}')
LATE_OR_EARLY = (0, 0, 0, 0, 0, 0, 0, -SECOND, -59 * SECOND, -10 * MINUTE, -HOUR - 1, -2 * HOUR, 5 * MINUTE + 1, HOUR)


@dataclass(frozen=True)
class Input:
    """A record as its producer hands it over."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


@dataclass
class Feeds:
    """strays: numbers whose producer places them by another partitioner, every time."""

    random: Random
    partitions: int
    topics: tuple[str, ...]
    strays: frozenset[str] = frozenset()
    has_relays: bool = False  # which makes a feed of each
    sent: list[Input] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        # In whichever spelling: the order of a number's own and its re-keyed records is the broker's to decide.
        self._stray_keys = {normalise(number, "KR").key for number in self.strays}

    def burst(self, now_ms: int, count: int) -> list[Input]:
        """The next records. A few numbers send most of them, so that rules fire."""
        offenders = self.random.sample(NUMBERS, 3)
        made = [self._record(now_ms, offenders) for _ in range(count)]
        self.sent += made
        return made

    def echo(self, now_ms: int, count: int) -> list[Input]:
        """Messages of one partition that were sent before, each with its id and a new time: a relay tries again, and
        nothing else comes there. They move the partition's clock, and count nowhere."""
        known = [
            one for one in self.sent if one.topic == MESSAGE_RELAY and (one.value or b"").startswith(b'{"message_id"')
        ]
        if not known:
            return []
        partition = self.random.choice(known).partition
        here = [one for one in known if one.partition == partition]
        made = []
        for one in self.random.choices(here, k=count):
            record = json.loads(one.value or b"")
            if "at" in record:
                made.append(replace(one, value=json.dumps(record | {"at": now_ms}).encode()))
        self.sent += made
        return made

    def _record(self, now_ms: int, offenders: list[str]) -> Input:
        random = self.random
        if self.sent and random.random() < 0.04:
            return random.choice(self.sent[-200:])  # delivered twice
        topic = random.choice(self.topics)
        if random.random() < 0.02:
            return Input(topic, random.randrange(self.partitions), b"k", random.choice(POISON))
        number = random.choice(offenders) if random.random() < 0.7 else random.choice(NUMBERS)
        self.count += 1
        at_ms = now_ms + random.choice(LATE_OR_EARLY) * (random.random() < 0.5)
        make = {
            MESSAGE_RELAY: self._message,
            CDR: self._call,
            REPORTS: self._report,
            TRAPS: self._hit,
            CONTROL: self._order,
        }[topic]
        record = make(number, at_ms)
        if FEEDS[topic].vouching:
            record |= self._trust()
        value = json.dumps(record).encode()
        return Input(topic, self._partition(number), number.encode(), value)

    def _message(self, number: str, at_ms: int) -> dict[str, Any]:
        return {
            "message_id": f"m{self.count}", "at": at_ms, "sender": number,
            "recipient": f"+82102222{self.random.randrange(40):04d}",
        }  # fmt: skip

    def _call(self, number: str, at_ms: int) -> dict[str, Any]:
        random = self.random
        event = random.choice(("setup", "setup", "setup", "answer", "release", "complete"))
        # Answers and releases find the set-up of a recent call of the same number.
        call = self.count if event in ("setup", "complete") else f"{number}-{random.randrange(max(1, self.count))}"
        record = {"call_id": f"c{call}", "event": event, "at": at_ms, "caller": number, "callee": "+821022220000"}
        if event == "complete":
            talked_ms = random.choice((1, 5, 8, 30, 600)) * SECOND
            record |= {"setup_at": at_ms - talked_ms - 2_000, "answer_at": at_ms - talked_ms, "release_at": at_ms}
        return record

    def _report(self, number: str, at_ms: int) -> dict[str, Any]:
        reporter = f"+82103333{self.random.randrange(6):04d}"
        return {"report_id": f"r{self.count}", "at": at_ms, "number": number, "reporter": reporter, "kind": "call"}

    def _hit(self, number: str, at_ms: int) -> dict[str, Any]:
        trap = f"+82260000{self.random.randrange(3):03d}"
        return {"at": at_ms, "sender": number, "trap": trap, "depth": self.random.choice(("record", "limited"))}

    def _order(self, number: str, at_ms: int) -> dict[str, Any]:
        random = self.random
        action = random.choice(ACTIONS)
        record = {"id": f"o{self.count}", "at": at_ms, "number": number, "action": action, "operator": "kim"}
        if random.random() < 0.8:
            record["until"] = at_ms + random.choice((1, MINUTE, HOUR, 200 * HOUR))
        if random.random() < 0.2:
            record["rule"] = random.choice(("operator", "many-messages", "burst"))
        return record | {"reason": "a reason"}

    def _trust(self) -> dict[str, Any]:
        trust = {"verified": "full", "origin": "domestic"} if self.random.random() < 0.9 else {}
        return trust | ({"relay": f"relay {self.count % 3}"} if self.has_relays else {})

    def _partition(self, number: str) -> int:
        home = home_of(number, self.partitions)
        if home is None:
            return self.random.randrange(self.partitions)
        if normalise(number, "KR").key in self._stray_keys and self.partitions > 1:
            return (home + self.random.randrange(1, self.partitions)) % self.partitions
        return home


def home_of(text: str, partitions: int) -> int | None:
    """The partition that a number's records belong to; None for what is no E.164 number."""
    key = normalise(text, "KR").key
    return partition_of(b"+%d" % key, partitions) if key > 0 else None
