"""One pass over an epoch's firings: the state of their holds in arrays, so that a compiled loop can skip the firings
that change nothing (streams/kernels/holds.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from streams.kernels.holds import next_change

if TYPE_CHECKING:
    from streams.holds.firings import Firings
    from streams.holds.hold import Key, LedgerHold

NEVER = np.iinfo(np.int64).max


class Pass:
    """The state of m firings' holds. group: int64[m], the index of each firing's hold in `keys`: equal for firings of
    the same number, rule and lane. asking: int64[m], equal where firings ask the same feed's breaker in the same
    minute."""

    def __init__(
        self, firings: Firings, gain_ms: np.ndarray, asking: np.ndarray, find: Callable[[Key], LedgerHold | None]
    ) -> None:
        self.firings, self.gain_ms, self.asking = firings, gain_ms, asking
        self.group, self.keys = _groups(firings)
        # Holds expire before a record, not between its firings.
        first = np.ones(len(self.group), bool)
        first[1:] = firings.line[1:] != firings.line[:-1]
        self.clock_before = np.where(first, firings.clock_before, -NEVER)
        known = [find(key) for key in self.keys]
        self._starts = np.array([NEVER if hold is None else hold.from_ms for hold in known], np.int64)
        self._ends = np.array([-NEVER if hold is None else hold.end_ms for hold in known], np.int64)
        self._place = {key: g for g, key in enumerate(self.keys)}
        # Openings that change nothing: of this feed and minute, and before this time.
        self._passed_asking = np.full(len(known), -1, np.int64)
        self._passed_until = np.full(len(known), -NEVER, np.int64)
        self._full = np.zeros(len(known), np.int64)  # 1: they are passed over because a bound is reached
        self._refused = np.zeros(len(known), np.int64)  # how many were for that

    def next(self, k: int, stop: int, due_ms: int) -> int:
        """The first firing of k to `stop` that may change something, or whose record comes after `due_ms` by the clock;
        `stop` if there is none."""
        return next_change(
            k, self.group[:stop], self.firings.at, self.firings.period, self.gain_ms, self.clock_before,
            self._starts, self._ends, due_ms, self.asking, self._passed_asking, self._passed_until,
            self._full, self._refused,
        )  # fmt: skip

    def is_opening(self, k: int) -> bool:
        return bool(self.firings.at[k] >= self._ends[self.group[k]])

    def know(self, key: Key, hold: LedgerHold | None) -> None:
        """Notes the present hold of a key, None for none."""
        g = self._place.get(key)
        if g is not None:
            self._starts[g], self._ends[g] = (NEVER, -NEVER) if hold is None else (hold.from_ms, hold.end_ms)

    def pass_until(self, k: int, until_ms: int, is_full: bool) -> None:
        """Notes that openings like this one change nothing until the minute ends, and before `until_ms`."""
        g = self.group[k]
        self._passed_asking[g], self._passed_until[g], self._full[g] = self.asking[k], until_ms, is_full
        self._refused[g] += is_full

    def look_again(self, key: Key) -> None:
        """Notes that openings of this key may change something again."""
        g = self._place.get(key)
        if g is not None:
            self._passed_asking[g] = -1

    def know_again(self, number: int, find: Callable[[Key], LedgerHold | None]) -> None:
        """Notes the present holds of a number, of which an operator has spoken."""
        for key in self.keys:
            if key[0] == number:
                self.know(key, find(key))
                self.look_again(key)

    def refused(self) -> dict[Key, int]:
        """The number of firings that opened nothing because a bound is reached."""
        return {self.keys[g]: int(self._refused[g]) for g in np.flatnonzero(self._refused).tolist()}


def _groups(firings: Firings) -> tuple[np.ndarray, list[Key]]:
    """(int64[m] group of each firing, the groups' keys)."""
    order = np.lexsort((firings.lane, firings.rule, firings.number))
    number, rule, lane = firings.number[order], firings.rule[order], firings.lane[order]
    first = np.ones(len(order), bool)
    first[1:] = (number[1:] != number[:-1]) | (rule[1:] != rule[:-1]) | (lane[1:] != lane[:-1])
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(first) - 1
    return group, list(zip(number[first].tolist(), rule[first].tolist(), lane[first].tolist(), strict=True))
