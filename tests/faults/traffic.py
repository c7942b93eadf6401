"""Seeded traffic for the fault tests: offenders of every kind among ordinary people, in the order of arrival.

Everything that the engine holds in memory is in it: windows, gray levels, distinct values, calls that stay open,
answers that wait for their release, ids that come twice, records that come late, and a few that cannot be read.
Distinct values stay below 32 in a window, where the reference counts exactly. Holds of a minute are over when they are
counted, those of three hours end at any time, and of one number in eight all records lie in another partition.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass
from typing import Any

from schemas.topics import CDR, MESSAGE_RELAY

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

# What the logs alone decide comes first: rules on one topic each. What depends on how topics were interleaved is last
# of its mode, so that it is never the first change of a record that others made as well.
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
  gray: {on: message-relay, per: sender, gray: {short: 1m, long: 6h}}
  recipients: {on: message-relay, per: sender, distinct: recipient, window: 10m}
  dialled: {on: cdr.setup, per: caller, count: events, window: 1m}
  live: {on: cdr, per: caller, count: concurrent, max_age: 4h}
  length: {on: cdr.release, per: caller, mean: duration, window: 1h}
  ended: {on: cdr.release, per: caller, count: events, window: 1h}
  written: {on: message-relay, per: sender, count: events, window: 10m}
  called: {on: cdr.setup, per: caller, count: events, window: 10m}
rules:
  - name: a-minute
    summary: five messages a minute
    when: sent >= 5
    then: {block: [messages], directions: [incoming], for: 1m}
    mode: enforce
  - name: message-burst
    summary: more than twenty messages a minute
    when: sent > 20
    then: {block: [messages], directions: [outgoing], for: 2d}
    mode: enforce
  - name: three-hours
    summary: more than twenty-two messages a minute
    when: sent > 22
    then: {block: [messages], directions: [outgoing], for: 3h}
    mode: enforce
  - name: patient-sender
    summary: a gray level that stays high
    when: gray.short + gray.long > 16 and recipients >= 2
    then: {block: [messages], directions: [outgoing, incoming], for: 30d}
    mode: enforce
  - name: call-burst
    summary: ten calls a minute
    when: dialled >= 10
    then: {block: [calls], directions: [outgoing], for: 7d}
    mode: enforce
  - name: many-lines
    summary: six calls at once
    when: live >= 6
    then: {block: [calls, messages], directions: [outgoing], for: 7d}
    mode: shadow
  - name: short-calls
    summary: many calls, all of them short
    when: ended >= 6 and length < 8
    then: {block: [calls], directions: [outgoing], for: 7d}
    mode: review
  - name: both
    summary: messages and calls
    when: written >= 1 and called >= 1
    then: {block: [calls, messages], directions: [outgoing], for: 20m}
    mode: enforce
"""
# The same rules in other words, and others of those that no log decides: a new counter, a new rule, one that is gone.
OTHER_RULES = (
    RULES.replace("six calls at once", "half a dozen calls at once")
    .replace("  called: {", "  heard: {on: cdr.answer, per: caller, count: events, window: 10m}\n  called: {")
    .replace("name: both", "name: either")
    .replace("called >= 1", "called + heard >= 2")
)
BROKEN = (b"{", b"[]", b"", b"\xff\xfe{}", b'{"at":1}', b'{"message_id":"x","call_id":"x"}')


@dataclass(frozen=True)
class Record:
    """One input record to produce. number: E.164. astray: how many partitions behind its number's own it lies."""

    topic: str
    number: str
    ts_ms: int  # Kafka timestamp: the moment of arrival
    value: bytes | None
    astray: int = 0


def five_hours_ago() -> int:
    """The time at which traffic begins: all of it is before the wall clock, and no hold has ended by now."""
    return time.time_ns() // 1_000_000 - 5 * HOUR


def traffic(seed: int, start_ms: int, records: int, span_ms: int = 2 * HOUR) -> list[Record]:
    """About that many records over the span, ordered by arrival."""
    rng = random.Random(seed)
    made: list[Record] = []
    people = [f"+8210{rng.randrange(10**8):08d}" for _ in range(max(20, records // 40))]
    serial = 0
    while len(made) < records:
        serial += 1
        begin = start_ms + rng.randrange(span_ms)
        kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
        made += kind(_Actor(rng, f"{seed}-{serial}", people, begin))
    made = made[:records]
    made += rng.choices(made, k=records // 100)  # delivered twice by their feed
    made += [_broken(rng, rng.choice(people), start_ms + rng.randrange(span_ms)) for _ in range(records // 200)]
    return sorted(made, key=lambda record: record.ts_ms + rng.randrange(2 * SECOND))


def astray_of(number: str) -> int:
    """0, and from 1 to 3 of every eighth number: the same always, or the order of its records would be the broker's."""
    digits = int(number)
    return 0 if digits % 8 else 1 + digits % 3


class _Actor:
    """One number, ordinary or not, from `begin` on."""

    def __init__(self, rng: random.Random, id: str, people: list[str], begin_ms: int) -> None:
        self.rng, self.id, self.people, self.begin_ms = rng, id, people, begin_ms
        self.known = rng.sample(people, 12)

    def fresh(self) -> str:
        return f"+8270{self.rng.randrange(10**8):08d}"

    def message(self, i: int, number: str, at_ms: int, **more: Any) -> Record:
        told = {"message_id": f"{self.id}-{i}", "sender": number, "recipient": self.rng.choice(self.known)}
        return self.record(MESSAGE_RELAY, number, at_ms, told | more)

    def call(self, i: int, number: str, event: str, at_ms: int, **more: Any) -> Record:
        told = {"call_id": f"{self.id}-{i}", "event": event, "caller": number, "callee": self.known[i % 12]}
        return self.record(CDR, number, at_ms, told | more)

    def record(self, topic: str, number: str, at_ms: int, told: dict[str, Any]) -> Record:
        trust = {} if self.rng.random() < 0.01 else {"verified": "full", "origin": "domestic"}
        arrives_ms = at_ms + (self.rng.randrange(20 * SECOND) if self.rng.random() < 0.02 else 0)
        value = json.dumps({**told, **trust, "at": at_ms}).encode()
        return Record(topic, number, arrives_ms, value, astray_of(number))


def _writer(actor: _Actor) -> list[Record]:
    number = actor.rng.choice(actor.people)
    return [actor.message(0, number, actor.begin_ms)]


def _talker(actor: _Actor) -> list[Record]:
    number, at, talked = actor.rng.choice(actor.people), actor.begin_ms, actor.rng.randrange(5 * MINUTE)
    if actor.rng.random() < 0.2:
        end = at + 5 * SECOND + talked
        return [actor.call(0, number, "complete", end, setup_at=at, answer_at=at + 5 * SECOND, release_at=end)]
    times = (("setup", 0), ("answer", 5 * SECOND), ("release", 5 * SECOND + talked))
    lost = actor.rng.random() < 0.05
    return [actor.call(0, number, event, at + after) for event, after in times if not (lost and event == "release")]


def _burst_of_messages(actor: _Actor) -> list[Record]:
    number, step = actor.fresh(), actor.rng.randrange(100, 2 * SECOND)
    # The second burst comes late enough to extend the hold that the first one opened.
    begins = (actor.begin_ms, actor.begin_ms + 150 * MINUTE)
    return [actor.message(i, number, begins[i // 25] + i * step) for i in range(50)]


def _patient_sender(actor: _Actor) -> list[Record]:
    number, step = actor.fresh(), actor.rng.randrange(20 * SECOND, 2 * MINUTE)
    return [actor.message(i, number, actor.begin_ms + i * step) for i in range(30)]


def _burst_of_calls(actor: _Actor) -> list[Record]:
    number, step = actor.fresh(), actor.rng.randrange(500, 5 * SECOND)
    made = []
    for i in range(15):
        at = actor.begin_ms + i * step
        made += [actor.call(i, number, "setup", at), actor.call(i, number, "release", at + 8 * SECOND)]
    return made


def _many_lines(actor: _Actor) -> list[Record]:
    number = actor.fresh()
    made = [actor.call(i, number, "setup", actor.begin_ms + i * 20 * SECOND) for i in range(8)]
    return made + [actor.call(i, number, "release", actor.begin_ms + 30 * MINUTE) for i in range(8)]


def _short_calls(actor: _Actor) -> list[Record]:
    number = actor.fresh()
    made = []
    for i in range(8):
        at = actor.begin_ms + i * 2 * MINUTE
        made += [actor.call(i, number, event, at + after * SECOND) for event, after in _SHORT]
    return made


_SHORT = (("setup", 0), ("answer", 3), ("release", 7))

# How often each is drawn: offenders make about half of the records.
KINDS = {
    _writer: 30,
    _talker: 20,
    _burst_of_messages: 1,
    _patient_sender: 1,
    _burst_of_calls: 1,
    _many_lines: 1,
    _short_calls: 1,
}


def _broken(rng: random.Random, number: str, at_ms: int) -> Record:
    return Record(rng.choice((MESSAGE_RELAY, CDR)), number, at_ms, rng.choice(BROKEN))
