"""Who is blocked: one hold per number, rule and lane. Event time alone decides; no clock, no I/O.

A firing at t opens a hold (none yet, or t at or behind its end), extends it (inside it, when that gains at least an
hour and 5 % of the period), or changes nothing (design, section 6). Firings are levels, not edges: an offender's every
event fires, so a compiled loop passes over those that change nothing and Python sees only the changes.

Holds outlive the worker, as rows of the ledger topic (streams/ledger_rows.py), and the rule files: a rule that is no
longer loaded keeps its holds until they end, and one that changed its mode keeps those it has in the old one.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rules.model import MODES
from streams import ledger_rows
from streams.kernels.holds import next_change
from streams.kernels.partition import partition_of
from streams.ledger_rows import KeptHold

if TYPE_CHECKING:
    from streams.breaker import Gate

# Lanes, in the order of rules.model.MODES: what a hold of each mode touches.
LANES = ENFORCE, SHADOW, REVIEW = range(3)

HOUR_MS = 3_600_000
GAIN_SHARE = 0.05
TOMBSTONE_AFTER_MS = 7 * 86_400_000
NEVER = np.iinfo(np.int64).max

Key = tuple[int, int, int]  # number, rule slot, lane


def block_id(number: int, rule: str, from_ms: int) -> str:
    return _digest(f"{number}\n{rule}\n{from_ms}")


def event_id(block: str, change: str, until_ms: int) -> str:
    return _digest(f"{block}\n{change}\n{until_ms}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Hold:
    """One rule's hold on one number; times in ms. `content` is what the engine attached when it last changed."""

    number: int
    rule: int
    lane: int
    from_ms: int
    until_ms: int
    active: bool
    content: dict[str, object]


@dataclass(slots=True)
class Firings:
    """Firings of one epoch, m of them, sorted by event and then by the rules' file order."""

    event: np.ndarray  # int64[m]: index of the event in its epoch
    line: np.ndarray  # int64[m]: the input record's place in the epoch, ascending
    number: np.ndarray  # int64[m]
    rule: np.ndarray  # int64[m]: slot of the rule
    lane: np.ndarray  # int64[m]
    at: np.ndarray  # int64[m]: the event's own time, ms
    period: np.ndarray  # int64[m], ms
    clock_before: np.ndarray  # int64[m]: largest partition clock before the record, ms; replay expires by it


@dataclass(slots=True)
class Change:
    """`firing` is the index into Firings, -1 for an expiry."""

    change: str  # opened, extended, expired
    hold: Hold
    firing: int
    diverted: str = ""  # why the hold is in review, when its rule would have enforced it


class Ledger:
    """All holds of one worker. `rules`: the names of the rules in file order; a rule's slot is its place there.

    Rules that only loaded rows know get the slots behind. Among a number's holds they come last, by name: in an order
    that does not depend on which row was read first."""

    def __init__(self, rules: Sequence[str]) -> None:
        self.rules = list(rules)
        self._loaded = len(self.rules)
        self._slots = {name: slot for slot, name in enumerate(self.rules)}
        self._holds: dict[Key, Hold] = {}
        self._by_number: dict[tuple[int, int], list[Hold]] = {}  # (number, lane)
        self._ends: list[tuple[int, int, tuple[int, str], int, int]] = []  # heap of `_end`; stale entries stay
        self._tombstones: list[tuple[int, int]] = []  # heap of (due, number)
        self._touched: dict[int, None] = {}  # numbers, in the order in which their holds changed

    def __len__(self) -> int:
        return sum(hold.active for hold in self._holds.values())

    def in_force(self, number: int, lane: int) -> list[Hold]:
        """Active holds of a number in the rules' file order."""
        return [hold for hold in self._all(number, lane) if hold.active]

    # -- across restarts ---------------------------------------------------------------------------------------

    def touched(self) -> list[int]:
        """Numbers whose holds have changed since this was last asked."""
        numbers = list(self._touched)
        self._touched.clear()
        return numbers

    def row(self, number: int) -> bytes | None:
        """All holds of a number as its row in the ledger topic; None when it has none."""
        holds = [
            KeptHold(
                self.rules[hold.rule], ledger_rows.mode_of(lane), hold.from_ms, hold.until_ms, hold.active, hold.content
            )
            for lane in LANES
            for hold in self._all(number, lane)
        ]
        return ledger_rows.encode(holds) if holds else None

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> int:
        """(key, value) rows in log order: each number's last one replaces what was known of it. Returns how many
        numbers have holds by them. Raises LedgerRowError, and then nothing has changed."""
        last = ledger_rows.last_rows(rows)
        kept = {number: [] if value is None else ledger_rows.decode(number, value) for number, value in last.items()}
        self.drop(kept)
        for number, holds in kept.items():
            for hold in holds:
                rule, lane = self._slot(hold.rule), MODES.index(hold.mode)
                self._adopt(Hold(number, rule, lane, hold.from_, hold.until, hold.active, hold.content))
        return sum(bool(holds) for holds in kept.values())

    def numbers_of(self, partition: int, partitions: int) -> list[int]:
        """Ascending: the numbers with holds that belong to one of so many partitions."""
        numbers = np.unique(np.fromiter((number for number, _ in self._by_number), np.int64, len(self._by_number)))
        return numbers[_homes(numbers, partitions) == partition].tolist()

    def enforced_by_partition(self, partitions: int) -> list[int]:
        """For each partition, how many enforced holds are in force."""
        held = [hold.number for hold in self._holds.values() if hold.active and hold.lane == ENFORCE]
        return np.bincount(_homes(np.array(held, np.int64), partitions), minlength=partitions).tolist()

    def drop(self, numbers: Iterable[int]) -> None:
        """Forgets all holds of these numbers, as if they had never been: they are another worker's now."""
        for number in numbers:
            self._touched.pop(number, None)
            for lane in LANES:
                for hold in self._by_number.pop((number, lane), ()):
                    del self._holds[hold.number, hold.rule, hold.lane]

    def under(self, rules: Sequence[str]) -> Ledger:
        """The same holds under other rules; this ledger stays as it is."""
        other = Ledger(rules)
        slots = {rule: other._slot(self.rules[rule]) for rule in {hold.rule for hold in self._holds.values()}}
        for h in self._holds.values():
            other._adopt(Hold(h.number, slots[h.rule], h.lane, h.from_ms, h.until_ms, h.active, h.content))
        other._touched = dict(self._touched)
        return other

    # -- changes -----------------------------------------------------------------------------------------------

    def apply(self, firings: Firings, expire_by_clock: bool, gate: Gate | None = None) -> Iterator[Change]:
        """Changes in order. With `expire_by_clock`, holds that ended by the clock before a firing's record expire
        before it; those that end between firings, or were opened in the past by the last record, are left to
        `expire`. What `gate` holds back of the openings that a rule would enforce goes to review."""
        if not len(firings.event):
            return
        group, keys = _groups(firings)
        known = [self._holds.get(key) for key in keys]
        starts = np.array([NEVER if hold is None else hold.from_ms for hold in known], np.int64)
        ends = np.array([-NEVER if hold is None else hold.until_ms for hold in known], np.int64)
        gain = np.maximum(HOUR_MS, np.rint(GAIN_SHARE * firings.period).astype(np.int64))
        # Holds expire before a record, not between its firings.
        first = np.ones(len(group), bool)
        first[1:] = firings.line[1:] != firings.line[:-1]
        clock_before = np.where(first, firings.clock_before, -NEVER)
        minute = np.zeros(len(group), np.int64) if gate is None else gate.minute
        held_minute, held_until = np.full(len(keys), -1, np.int64), np.full(len(keys), -NEVER, np.int64)
        in_review = {} if gate is None else {key: g for g, key in enumerate(keys) if key[2] == REVIEW}
        m, k = len(group), 0
        while True:
            due = self._ends[0][0] if expire_by_clock and self._ends else NEVER
            k = next_change(
                k, group, firings.at, firings.period, gain, clock_before, starts, ends, due,
                minute, held_minute, held_until,
            )  # fmt: skip
            if k == m:
                return
            if clock_before[k] >= due:
                yield from self.expire(int(clock_before[k]))
                continue
            g = int(group[k])
            at, until = int(firings.at[k]), int(firings.at[k] + firings.period[k])
            change = "opened" if at >= ends[g] else "extended"
            if gate is not None and change == "opened" and keys[g][2] == ENFORCE and (why := gate.held_back(k)):
                key = (*keys[g][:2], REVIEW)
                change = self._review(key, at, until, int(gain[k]))
                hold = self._holds[key]
                held_minute[g] = minute[k]
                held_until[g] = min(hold.until_ms, hold.until_ms + gain[k] - firings.period[k])
                if (beside := in_review.get(key)) is not None:  # the rule's own firings for review
                    starts[beside], ends[beside] = hold.from_ms, hold.until_ms
                if change:
                    yield Change(change, hold, k, why)
            else:
                hold = self._open(keys[g], at, until) if change == "opened" else self._extend(keys[g], until)
                starts[g], ends[g] = hold.from_ms, hold.until_ms
                yield Change(change, hold, k)
            k += 1

    def expire(self, clock_ms: int) -> Iterator[Change]:
        """Holds that ended at or before `clock_ms`, ordered by (until, number, rule)."""
        while self._ends and self._ends[0][0] <= clock_ms:
            until, number, _, rule, lane = heapq.heappop(self._ends)
            hold = self._holds.get((number, rule, lane))
            if hold is None or not hold.active or hold.until_ms != until:
                continue
            hold.active = False
            self._touched[number] = None
            heapq.heappush(self._tombstones, (until + TOMBSTONE_AFTER_MS, number))
            yield Change("expired", hold, -1)

    def bury(self, now_ms: int) -> Iterator[int]:
        """Forgets, lane by lane, the holds of numbers whose last one there ended TOMBSTONE_AFTER_MS ago; yields the
        numbers that had an enforced one, ordered by (end of the last, number)."""
        due: set[int] = set()
        while self._tombstones and self._tombstones[0][0] <= now_ms:
            due.add(heapq.heappop(self._tombstones)[1])
        over = []
        for place in ((number, lane) for number in due for lane in LANES):
            holds = self._by_number.get(place)
            if holds and not any(hold.active or hold.until_ms + TOMBSTONE_AFTER_MS > now_ms for hold in holds):
                over.append((max(hold.until_ms for hold in holds), *place))
        for _, number, lane in sorted(over):
            for hold in self._by_number.pop((number, lane)):
                del self._holds[hold.number, hold.rule, hold.lane]
            self._touched[number] = None
            if lane == ENFORCE:
                yield number

    def _review(self, key: Key, at: int, until_ms: int, gain_ms: int) -> str:
        """A firing comes to review instead: what it changes there, "" for nothing. The hold is there afterwards."""
        hold = self._holds.get(key)
        if hold is None or at >= hold.until_ms:
            self._open(key, at, until_ms)
            return "opened"
        if at >= hold.from_ms and until_ms - hold.until_ms >= gain_ms:
            self._extend(key, until_ms)
            return "extended"
        return ""

    def _open(self, key: Key, from_ms: int, until_ms: int) -> Hold:
        hold = self._holds.get(key)
        if hold is None:
            return self._adopt(Hold(*key, from_ms, until_ms, True, {}), touch=True)
        hold.from_ms = from_ms
        return self._extend(key, until_ms)

    def _extend(self, key: Key, until_ms: int) -> Hold:
        hold = self._holds[key]
        hold.until_ms, hold.active = until_ms, True
        self._touched[hold.number] = None
        heapq.heappush(self._ends, self._end(hold))
        return hold

    def _adopt(self, hold: Hold, touch: bool = False) -> Hold:
        """Takes a hold in that was not there."""
        self._holds[hold.number, hold.rule, hold.lane] = hold
        self._by_number.setdefault((hold.number, hold.lane), []).append(hold)
        if touch:
            self._touched[hold.number] = None
        if hold.active:
            heapq.heappush(self._ends, self._end(hold))
        else:
            heapq.heappush(self._tombstones, (hold.until_ms + TOMBSTONE_AFTER_MS, hold.number))
        return hold

    def _end(self, hold: Hold) -> tuple[int, int, tuple[int, str], int, int]:
        return hold.until_ms, hold.number, self._order(hold.rule), hold.rule, hold.lane

    def _all(self, number: int, lane: int) -> list[Hold]:
        return sorted(self._by_number.get((number, lane), ()), key=lambda hold: self._order(hold.rule))

    def _order(self, rule: int) -> tuple[int, str]:
        """What sorts rules: the files' order, then those that no file has any more by name."""
        return (rule, "") if rule < self._loaded else (self._loaded, self.rules[rule])

    def _slot(self, name: str) -> int:
        slot = self._slots.setdefault(name, len(self.rules))
        if slot == len(self.rules):
            self.rules.append(name)
        return slot


def _homes(numbers: np.ndarray, partitions: int) -> np.ndarray:
    """int32[n]: the partition that each number belongs to."""
    homes = np.empty(len(numbers), np.int32)
    partition_of(numbers, partitions, homes)
    return homes


def _groups(firings: Firings) -> tuple[np.ndarray, list[Key]]:
    """(int64[m] group of each firing, the groups' keys): firings of the same number, rule and lane."""
    order = np.lexsort((firings.lane, firings.rule, firings.number))
    number, rule, lane = firings.number[order], firings.rule[order], firings.lane[order]
    first = np.ones(len(order), bool)
    first[1:] = (number[1:] != number[:-1]) | (rule[1:] != rule[:-1]) | (lane[1:] != lane[:-1])
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(first) - 1
    return group, list(zip(number[first].tolist(), rule[first].tolist(), lane[first].tolist(), strict=True))
