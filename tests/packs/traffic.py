"""Crafted traffic for tests of the shipped packs: calls and messages as they would arrive, and who is hit by what.

Times are seconds since a moment named below, so that a test reads as a story; records carry milliseconds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson

from rules.load import load, packs, witnesses
from rules.model import RuleSet
from rules.registry import ALWAYS_MS, Entry, Registry
from schemas.numbers import normalise
from schemas.registry import ENTRY_KINDS
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CDR, MESSAGE_RELAY, REPORTS, REVIEW_QUEUE, TRAPS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord

MINUTE, HOUR = 60.0, 3600.0


def _korea(text: str) -> float:
    return datetime.fromisoformat(f"{text}+09:00").timestamp()


WORKDAY = _korea("2026-11-23T00:00:00")  # a Monday's midnight
HOLIDAY = _korea("2026-10-09T00:00:00")  # Hangul Day, a Friday
SATURDAY = _korea("2026-11-28T00:00:00")
WORKING_HOURS = WORKDAY + 10 * HOUR
NIGHT = WORKDAY + 22 * HOUR
ON_HOLIDAY = HOLIDAY + 10 * HOUR

MOBILE, LANDLINE, VOIP, REPRESENTATIVE = "010-2345-6789", "02-345-6789", "070-2345-6789", "1644-2345"
FOREIGN = "+44 7400 123456"


@dataclass(frozen=True)
class Line:
    """A number and what its carrier says of its traffic."""

    number: str
    verified: str = "full"
    origin: str = "domestic"
    registered: bool = False  # as a bulk sender
    institution: bool = False
    allowed: bool = False

    def nth(self, place: int) -> Line:
        """The same with another number of the same type."""
        return replace(self, number=f"{self.number[:-4]}{place:04d}")

    def unverified(self) -> Line:
        return replace(self, verified="none")


@dataclass
class Traffic:
    """Records in the making; each call and message has an id and, unless told, a counterpart of its own."""

    line: Line
    records: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)  # (s, topic, value)

    @property
    def number(self) -> str:
        """As it is published."""
        return normalise(self.line.number).text

    def call(
        self, at_s: float, callee: str | None = None, ring_s: float = 0.25, talk_s: float | None = None,
        released: bool = True,
    ) -> None:  # fmt: skip
        """Set-up at `at_s`, answered after `ring_s` if `talk_s` says for how long, released unless it goes on."""
        place = len(self.records)
        steps = [("setup", at_s)]
        if talk_s is not None:
            steps.append(("answer", at_s + ring_s))
        if released:
            steps.append(("release", at_s + ring_s + (talk_s or 0)))
        for event, when_s in steps:
            ends = {"call_id": f"{self.line.number} {place}", "event": event, "caller": self.line.number}
            self._add(when_s, CDR, {**ends, "callee": callee or stranger(place)})

    def message(
        self, at_s: float, text: str = "same as ever", recipient: str | None = None, reseller: str | None = None
    ) -> None:
        place = len(self.records)
        ends = {
            "message_id": f"{self.line.number} {place}",
            "sender": self.line.number,
            "recipient": recipient or stranger(place),
        }
        through = {"reseller": reseller} if reseller else {}
        self._add(at_s, MESSAGE_RELAY, {**ends, "text": text, **through})

    def report(self, at_s: float, reporter: int, known: str = "full") -> None:
        """By the nth of the people whom a call or message may have reached."""
        report_id = f"{self.line.number} {len(self.records)}"
        said = {"report_id": report_id, "number": self.line.number, "reporter": stranger(reporter)}
        self._add(at_s, REPORTS, {**said, "reporter_known": known})

    def hit(self, at_s: float, trap: int, depth: str = "limited") -> None:
        """Reaches the nth trap."""
        self._add(at_s, TRAPS, {"sender": self.line.number, "trap": f"02-6000-{trap:04d}", "depth": depth})

    def _add(self, at_s: float, topic: str, value: dict[str, Any]) -> None:
        feed: dict[str, Any] = {"at": round(at_s * 1000)}
        if topic in (CDR, MESSAGE_RELAY):
            feed |= {"verified": self.line.verified, "origin": self.line.origin}
        self.records.append((at_s, topic, {**value, **feed}))


def stranger(place: int) -> str:
    return f"010-{3000 + place // 10_000:04d}-{place % 10_000:04d}"


@dataclass(frozen=True)
class Hits:
    """Rules by lane, of one number."""

    blocked: frozenset[str]
    review: frozenset[str]


NOTHING = Hits(frozenset(), frozenset())


@lru_cache(maxsize=1)
def shipped() -> RuleSet:
    return load([packs(), witnesses() / "traps.yaml"])


def hits(traffic: Traffic, rules: RuleSet | None = None) -> Hits:
    """The outputs of the rules (by default those that ship) on it."""
    return hits_of([traffic], rules)[0]


def hits_of(traffics: Sequence[Traffic], rules: RuleSet | None = None) -> list[Hits]:
    """The outputs of the rules on each, all in one replay; each has a number of its own. A withheld identity is never
    published: whatever its traffic leads to would fail here."""
    numbers = [traffic.number for traffic in traffics]
    assert len(set(numbers)) == len(numbers), "two of them share a number"
    lanes: dict[str, dict[str, set[str]]] = {number: {lane: set() for lane in LANES} for number in numbers}

    for record in outputs_of(traffics, rules):
        assert record.value is not None
        assert record.topic in LANES, f"{record.topic}: {record.value!r}"
        state = orjson.loads(record.value)
        lanes[state["number"]][record.topic] |= {hold["rule"] for hold in (state["hold"], *state.get("holds", ()))}
    return [Hits(frozenset(lanes[n][BLOCK_EVENTS]), frozenset(lanes[n][REVIEW_QUEUE])) for n in numbers]


def outputs_of(traffics: Sequence[Traffic], rules: RuleSet | None = None) -> list[OutRecord]:
    registry = Registry.of([entry for traffic in traffics for entry in _entries(traffic.line)])
    out: list[OutRecord] = []
    engine = Engine(replace(rules or shipped(), registry=registry), expire_by_clock=True)
    Replay(engine, out.append).run(_lines(traffics), "crafted")
    return out


def _entries(line: Line) -> Iterator[Entry]:
    listed = ("bulk_sender", line.registered), ("institution", line.institution), ("allowed", line.allowed)
    for kind, is_listed in listed:
        if is_listed:
            yield Entry(ENTRY_KINDS[kind], 0, normalise(line.number).key, ALWAYS_MS, 1 << 50, "somebody", "registered")


def completed(traffic: Traffic, beside: bool = False) -> Traffic:
    """The same calls as a network tells them once they have ended; calls without a release are never told. `beside`:
    also as they happen."""
    calls: defaultdict[str, dict[str, int]] = defaultdict(dict)
    told = Traffic(traffic.line, [*traffic.records] if beside else [])
    for at_s, topic, value in sorted(traffic.records, key=itemgetter(0)):
        if topic != CDR:
            continue
        times = calls[value["call_id"]]
        times[f"{value['event']}_at"] = value["at"]
        if value["event"] == "release":
            told.records.append((at_s, topic, {**value, "event": "complete", **times}))
    return told


LANES = (BLOCK_EVENTS, BLOCK_HISTORY, REVIEW_QUEUE)


def _lines(traffics: Iterable[Traffic]) -> Iterator[bytes]:
    """In the order of their times, as kcat prints them."""
    offsets: defaultdict[str, int] = defaultdict(int)
    for _, topic, value in sorted(chain(*(traffic.records for traffic in traffics)), key=itemgetter(0)):
        line = {"topic": topic, "partition": 0, "offset": offsets[topic], "ts": value["at"]}
        offsets[topic] += 1
        yield orjson.dumps({**line, "payload": orjson.dumps(value).decode()})


def events_until(level: float, gap_s: float, *half_lives_s: float) -> int:
    """The number of events, one every `gap_s`, that lift the sum of the gray levels above `level` (design: gray level):
    each of the n events weighs 2^(-age / half-life), so a level is a geometric series."""
    total, n = 0.0, 0
    while total <= level:
        total += sum(2 ** (-n * gap_s / half_life_s) for half_life_s in half_lives_s)
        n += 1
        assert n < 100_000, "no number of events at this pace is enough"
    return n
