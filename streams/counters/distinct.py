"""Distinct callees, recipients or contents of a number in a window: exact to 32, an estimate beyond.

What exactly a reading says, and when a row changes its form, stands in `streams.kernels.distinct`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rules.model import Counter
from streams.counters.base import Events
from streams.counters.pool import SlotPool
from streams.kernels import distinct as kernel


class Distinct:
    """Four words in the row; a slot of 512 bytes from the third key on, one of 3.3 KB beyond 32 keys."""

    words = kernel.WORDS

    def __init__(self, counter: Counter, at: int) -> None:
        self.at = at
        self.window_ms = counter.window_ms
        self.exact = SlotPool(kernel.EXACT_CELLS)
        self.sketch = SlotPool(kernel.CELLS, np.uint8)
        self._scratch = np.zeros((1, kernel.REGISTERS), np.uint8)

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        """One output: the number of distinct keys. Raises PoolFull when a pool's bound is reached."""
        n = len(events.row)
        out = np.full(n, np.nan)
        done = 0
        while True:
            done = kernel.count_distinct(
                rows, self.at, self.window_ms,
                events.row, events.at, events.as_of, events.hit, events.read, events.value,
                self.exact.cells, self.exact.free, self.exact.top,
                self.sketch.cells, self.sketch.free, self.sketch.top, self._scratch, done, out,
            )  # fmt: skip
            if done == n:
                return (out,)
            (self.exact if rows[events.row[done], self.at] >= 0 else self.sketch).grow()

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """See CounterState. A row that is idle also starts anew at its next hit, which must not be before `horizon`."""
        out = np.zeros(len(candidates), np.bool_)
        kernel.idle_distinct(rows, self.at, self.window_ms, candidates, horizon, out)
        return out

    def forget(self, rows: np.ndarray, gone: np.ndarray) -> None:
        """See CounterState."""
        gone = gone[rows[gone, self.at] < 0]
        slots = -rows[gone, self.at] - 1
        exact = rows[gone, self.at + 2] > 0
        self.exact.give_back(slots[exact])
        self.sketch.give_back(slots[~exact])

    def nbytes(self) -> int:
        """See CounterState."""
        return self.exact.nbytes() + self.sketch.nbytes()

    def arrays(self) -> dict[str, np.ndarray]:
        """Both pools' arrays, named "exact.cells", "sketch.free" and so on. Live: copy before counting goes on."""
        pools = {"exact": self.exact, "sketch": self.sketch}
        return {f"{name}.{part}": array for name, pool in pools.items() for part, array in pool.arrays().items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the counter whose `arrays()` these are. Raises ValueError when a slot has another width or type."""
        for name, pool in (("exact", self.exact), ("sketch", self.sketch)):
            pool.load({part: arrays[f"{name}.{part}"] for part in ("cells", "free", "top")})
