"""The time that decisions take until they are in force: `block-history` joined with what blockers say on `block-acks`.

A change is visible from the time at which its row of the history was written, which is some milliseconds before the
commit. A blocker has applied it when it says so of its event, or of a later change of the same number: a state replaces
those before it. Its word may come twice (the first counts), of an event that nobody knows, and by a clock that is off:
a time before the change was visible, or behind the one at which Kafka took the word, is none, and the latter is taken
instead.

One input record may change several holds of a number. They share one block event, that of the first, and only its id
can be acknowledged; so a row of the history counts if its event is on `block-events` still, or somebody named it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import msgspec

from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.records import BlockAck
from schemas.topics import BLOCK_ACKS, BLOCK_EVENTS, BLOCK_HISTORY
from streams.kafka.settings import KafkaSettings
from streams.operators.spans import committed

TIMEOUT_S = 10.0
BY_THE_CLOCK = ("expired",)  # blockers end those by their own clock


class _Begun(msgspec.Struct):
    from_: Int64 = msgspec.field(name="from")


class _Changed(msgspec.Struct):
    """A row of the history, as far as it is about a change."""

    event_id: str
    change: str
    hold: _Begun | None = None
    order: Any = None


class _Event(msgspec.Struct):
    event_id: str


_CHANGED, _EVENT, _ACK = JsonReader(_Changed), JsonReader(_Event), JsonReader(BlockAck)


@dataclass(frozen=True, slots=True)
class VisibleChange:
    """begun_ms: the time of the event by which a rule opened the hold, None for all other changes."""

    event_id: str
    number: str
    visible_ms: int
    begun_ms: int | None = None


@dataclass(slots=True)
class Waits:
    """Lengths of time, ms, against a limit."""

    within_ms: int
    took_ms: list[int] = field(default_factory=list)

    @property
    def late(self) -> int:
        return sum(took > self.within_ms for took in self.took_ms)

    def shown(self) -> dict[str, int | None]:
        took = sorted(self.took_ms)
        return {"count": len(took), "p50": share(took, 0.5), "p99": share(took, 0.99), "late": self.late}


@dataclass(slots=True)
class BlockerWaits:
    """missing: changes that it has not applied although the limit is over; waiting: those that still have time.
    clock_off: times that cannot be. again: words that came twice. unknown: words of events that nobody knows."""

    blocker: str
    waits: Waits
    missing: int = 0
    waiting: int = 0
    clock_off: int = 0
    again: int = 0
    unknown: int = 0

    @property
    def keeps(self) -> bool:
        return not self.missing and not self.waits.late

    def shown(self) -> dict[str, Any]:
        more = {name: getattr(self, name) for name in ("missing", "waiting", "clock_off", "again", "unknown")}
        return {"blocker": self.blocker, **self.waits.shown(), **more}


@dataclass(slots=True)
class Deadlines:
    """decided: from the event by which a rule opened a hold to the visible block."""

    decided: Waits
    blockers: list[BlockerWaits]

    @property
    def are_kept(self) -> bool:
        return not self.decided.late and all(blocker.keeps for blocker in self.blockers)


class Join:
    """Changes and words as they are read, in any order; no clock and no I/O."""

    def __init__(self, blockers: Iterable[str] = ()) -> None:
        """blockers: those that are expected to have applied everything; others from their first word on."""
        self._expected = set(blockers)
        self._changes: dict[str, VisibleChange] = {}
        self._named: set[str] = set()
        self._said: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in self._expected}
        self._again: Counter[str] = Counter()

    def change(self, change: VisibleChange) -> None:
        """A row of the history. Delivery at least once may repeat it: the first counts."""
        known = self._changes.get(change.event_id)
        if known is None or change.visible_ms < known.visible_ms:
            self._changes[change.event_id] = change

    def event(self, event_id: str) -> None:
        """An event that is on `block-events`."""
        self._named.add(event_id)

    def ack(self, ack: BlockAck, taken_ms: int) -> None:
        """taken_ms: when Kafka took the word."""
        said = self._said.setdefault(ack.blocker, {})
        known = said.get(ack.event_id)
        self._again[ack.blocker] += known is not None
        if known is None or taken_ms < known[1]:
            said[ack.event_id] = ack.applied_at, taken_ms

    def result(self, now_ms: int, within_ms: int) -> Deadlines:
        named = self._named.union(*self._said.values())
        changes = sorted((c for c in self._changes.values() if c.event_id in named), key=lambda c: c.visible_ms)
        decided = [c.visible_ms - c.begun_ms for c in self._changes.values() if c.begun_ms is not None]
        blockers = [self._of(name, changes, now_ms, within_ms) for name in sorted(self._said)]
        return Deadlines(Waits(within_ms, [max(0, took) for took in decided]), blockers)

    def _of(self, name: str, changes: list[VisibleChange], now_ms: int, within_ms: int) -> BlockerWaits:
        """changes: by the time from which they were visible."""
        said = self._said[name]
        found = BlockerWaits(name, Waits(within_ms), again=self._again[name])
        found.unknown = len(said.keys() - self._changes.keys() - self._named)
        if name not in self._expected:
            first = next((i for i, change in enumerate(changes) if change.event_id in said), len(changes))
            changes = changes[first:]
        later: dict[str, int] = {}  # by number: when a later change was applied
        for change in reversed(changes):
            applied_ms = later.get(change.number)
            if change.event_id in said:
                told_ms, is_off = _told(*said[change.event_id], change.visible_ms)
                found.clock_off += is_off
                applied_ms = told_ms if applied_ms is None else min(told_ms, applied_ms)
            if applied_ms is not None:
                later[change.number] = applied_ms
                found.waits.took_ms.append(max(0, applied_ms - change.visible_ms))
            elif now_ms - change.visible_ms > within_ms:
                found.missing += 1
            else:
                found.waiting += 1
        return found


def _told(applied_ms: int, taken_ms: int, visible_ms: int) -> tuple[int, bool]:
    """(when a change was applied, True if the blocker's own clock cannot be right)"""
    is_off = not visible_ms <= applied_ms <= max(taken_ms, visible_ms)
    return (taken_ms if is_off else applied_ms), is_off


def share(ascending: list[int], part: float) -> int | None:
    """The length that this part of all does not exceed; None of none."""
    return ascending[ceil(part * len(ascending)) - 1] if ascending else None


def read(settings: KafkaSettings, since_ms: int, now_ms: int, within_ms: int, blockers: Iterable[str]) -> Deadlines:
    """Joins what was written since then. Raises KafkaProblem."""
    from streams.kafka.topics import check_inputs

    outputs = range(check_inputs(settings, (BLOCK_EVENTS, BLOCK_HISTORY), TIMEOUT_S))
    words = range(check_inputs(settings, (BLOCK_ACKS,), TIMEOUT_S))
    join = Join(blockers)
    for message in committed(settings, BLOCK_HISTORY, outputs, since_ms):
        row = _read(_CHANGED, message)
        if row is not None and row.hold is not None and row.change not in BY_THE_CLOCK:
            is_opened = row.change == "opened" and row.order is None
            begun_ms = row.hold.from_ if is_opened else None
            join.change(VisibleChange(row.event_id, (message.key() or b"").decode(), message.timestamp()[1], begun_ms))
    for message in committed(settings, BLOCK_EVENTS, outputs):
        event = _read(_EVENT, message)
        if event is not None:
            join.event(event.event_id)
    for message in committed(settings, BLOCK_ACKS, words, since_ms):
        ack = _read(_ACK, message)
        if ack is not None:
            join.ack(ack, message.timestamp()[1])
    return join.result(now_ms, within_ms)


def _read(reader: JsonReader[Any], message: Any) -> Any:
    """The record; None for a tombstone, and for what is no such record."""
    try:
        return None if message.value() is None else reader.read(message.value())
    except Unreadable:
        return None
