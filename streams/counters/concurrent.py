"""Calls of a number that are set up and not yet released: exact to 64, "at least 64" beyond.

What exactly a reading says stands in `streams.kernels.concurrent`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rules.model import Counter
from schemas.codes import RELEASE, SETUP
from streams.counters.base import Events
from streams.counters.pool import SlotPool
from streams.kernels import concurrent as kernel


class Concurrent:
    """Four words in the row; a slot of 1 KB from the third call on, one of 16 KB beyond 64."""

    words = kernel.WORDS

    def __init__(self, counter: Counter, at: int) -> None:
        self.at = at
        self.max_age_ms = counter.max_age_ms
        self.small = SlotPool(kernel.SMALL_CELLS)
        self.large = SlotPool(kernel.LARGE_CELLS)

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        """One output: the number of live calls. Raises PoolFull when a pool's bound is reached."""
        n = len(events.row)
        out = np.full(n, np.nan)
        done = 0
        while True:
            done = kernel.count_concurrent(
                rows, self.at, self.max_age_ms, SETUP, RELEASE,
                events.row, events.at, events.as_of, events.hit, events.read, events.value, events.event, events.closed,
                self.small.cells, self.small.free, self.small.top,
                self.large.cells, self.large.free, self.large.top, done, out,
            )  # fmt: skip
            if done == n:
                return (out,)
            self._pool_short(rows, int(events.row[done])).grow()

    def _pool_short(self, rows: np.ndarray, row: int) -> SlotPool:
        """The pool that this row needs a slot of: a small list's next form is large, all others' is small."""
        return self.large if rows[row, self.at] < 0 and rows[row, self.at + 1] == kernel.SMALL else self.small

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """See CounterState."""
        out = np.zeros(len(candidates), np.bool_)
        kernel.idle_concurrent(
            rows, self.at, self.max_age_ms, candidates, horizon, self.small.cells, self.large.cells, out
        )
        return out

    def forget(self, rows: np.ndarray, gone: np.ndarray) -> None:
        """See CounterState."""
        gone = gone[rows[gone, self.at] < 0]
        slots = -rows[gone, self.at] - 1
        small = rows[gone, self.at + 1] == kernel.SMALL
        self.small.give_back(slots[small])
        self.large.give_back(slots[~small])

    def nbytes(self) -> int:
        """See CounterState."""
        return self.small.nbytes() + self.large.nbytes()

    def arrays(self) -> dict[str, np.ndarray]:
        """Both pools' arrays, named "small.cells", "large.free" and so on. Live: copy before counting goes on."""
        pools = {"small": self.small, "large": self.large}
        return {f"{name}.{part}": array for name, pool in pools.items() for part, array in pool.arrays().items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the counter whose `arrays()` these are. Raises ValueError when a slot has another width or type."""
        for name, pool in (("small", self.small), ("large", self.large)):
            pool.load({part: arrays[f"{name}.{part}"] for part in ("cells", "free", "top")})
