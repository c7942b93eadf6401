"""Who is blocked: one hold per number, rule and lane. Event time alone decides; no clock, no I/O.

A firing at t opens a hold (none yet, or t at or behind its end), extends it (inside it, when that gains at least an
hour and 5 % of the period), or changes nothing (design, section 6). Firings are levels, not edges: an offender's every
event fires, so a compiled loop passes over those that change nothing and Python sees only the changes.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streams.kernels.holds import next_change

# Lanes, in the order of rules.model.MODES: what a hold of each mode touches.
ENFORCE, SHADOW, REVIEW = range(3)

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


class Ledger:
    def __init__(self) -> None:
        self._holds: dict[Key, Hold] = {}
        self._by_number: dict[tuple[int, int], list[Hold]] = {}  # (number, lane)
        self._ends: list[tuple[int, int, int, int]] = []  # heap of (until, number, rule, lane); stale entries stay
        self._tombstones: list[tuple[int, int]] = []  # heap of (due, number)

    def __len__(self) -> int:
        return sum(hold.active for hold in self._holds.values())

    def in_force(self, number: int, lane: int) -> list[Hold]:
        """Active holds of a number in the rules' file order."""
        holds = [hold for hold in self._by_number.get((number, lane), ()) if hold.active]
        return sorted(holds, key=lambda hold: hold.rule)

    def apply(self, firings: Firings, expire_by_clock: bool) -> Iterator[Change]:
        """Changes in order. With `expire_by_clock`, holds that ended by the clock before a firing's record expire
        before it; those that end between firings, or were opened in the past by the last record, are left to
        `expire`."""
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
        m, k = len(group), 0
        while True:
            due = self._ends[0][0] if expire_by_clock and self._ends else NEVER
            k = next_change(k, group, firings.at, firings.period, gain, clock_before, starts, ends, due)
            if k == m:
                return
            if clock_before[k] >= due:
                yield from self.expire(int(clock_before[k]))
                continue
            g = int(group[k])
            at, until = int(firings.at[k]), int(firings.at[k] + firings.period[k])
            change = "opened" if at >= ends[g] else "extended"
            hold = self._open(keys[g], at, until) if change == "opened" else self._extend(keys[g], until)
            starts[g], ends[g] = hold.from_ms, hold.until_ms
            yield Change(change, hold, k)
            k += 1

    def expire(self, clock_ms: int) -> Iterator[Change]:
        """Holds that ended at or before `clock_ms`, ordered by (until, number, rule)."""
        while self._ends and self._ends[0][0] <= clock_ms:
            until, number, rule, lane = heapq.heappop(self._ends)
            hold = self._holds.get((number, rule, lane))
            if hold is None or not hold.active or hold.until_ms != until:
                continue
            hold.active = False
            heapq.heappush(self._tombstones, (until + TOMBSTONE_AFTER_MS, number))
            yield Change("expired", hold, -1)

    def bury(self, now_ms: int) -> Iterator[int]:
        """Forgets numbers whose last hold ended TOMBSTONE_AFTER_MS ago; yields those that had an enforced one."""
        while self._tombstones and self._tombstones[0][0] <= now_ms:
            _, number = heapq.heappop(self._tombstones)
            for lane in (ENFORCE, SHADOW, REVIEW):
                holds = self._by_number.get((number, lane), [])
                if any(hold.active or hold.until_ms + TOMBSTONE_AFTER_MS > now_ms for hold in holds):
                    continue
                for hold in holds:
                    del self._holds[hold.number, hold.rule, hold.lane]
                if self._by_number.pop((number, lane), None) and lane == ENFORCE:
                    yield number

    def _open(self, key: Key, from_ms: int, until_ms: int) -> Hold:
        number, rule, lane = key
        hold = self._holds.get(key)
        if hold is None:
            hold = self._holds[key] = Hold(number, rule, lane, from_ms, until_ms, True, {})
            self._by_number.setdefault((number, lane), []).append(hold)
        hold.from_ms, hold.until_ms, hold.active = from_ms, until_ms, True
        heapq.heappush(self._ends, (until_ms, number, rule, lane))
        return hold

    def _extend(self, key: Key, until_ms: int) -> Hold:
        hold = self._holds[key]
        hold.until_ms, hold.active = until_ms, True
        heapq.heappush(self._ends, (until_ms, *key))
        return hold


def _groups(firings: Firings) -> tuple[np.ndarray, list[Key]]:
    """(int64[m] group of each firing, the groups' keys): firings of the same number, rule and lane."""
    order = np.lexsort((firings.lane, firings.rule, firings.number))
    number, rule, lane = firings.number[order], firings.rule[order], firings.lane[order]
    first = np.ones(len(order), bool)
    first[1:] = (number[1:] != number[:-1]) | (rule[1:] != rule[:-1]) | (lane[1:] != lane[:-1])
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(first) - 1
    return group, list(zip(number[first].tolist(), rule[first].tolist(), lane[first].tolist(), strict=True))
