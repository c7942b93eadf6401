"""`sum:` and `mean:` of a field, such as a call's duration, in a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streams.counting.kinds.base import Events
from streams.counting.kinds.pool import Pooled, SlotPool
from streams.counting.kinds.window import ring_width
from streams.kernels.amounts import COUNT_BITS, WORDS, window_amounts

if TYPE_CHECKING:
    from rules.model import Counter


class Amounts(Pooled):
    """Output: seconds, from amounts in whole ms, added exactly. Without samples a sum is 0 and a mean NaN."""

    words = WORDS

    def __init__(self, counter: Counter, at: int) -> None:
        self.at = at
        self.mean = counter.kind == "mean"
        self.resolution_ms = counter.resolution_ms
        self.buckets = counter.window_ms // counter.resolution_ms
        self.pool = SlotPool(2 * ring_width(self.buckets), np.int64)

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        out = np.full(len(events.row), np.nan)
        done = self._run(rows, events, 0, out)
        while done < len(out):
            self.pool.grow()
            done = self._run(rows, events, done, out)
        return (out,)

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        words = rows[candidates, self.at : self.at + WORDS]
        newest = np.where(words[:, 0] < 0, words[:, 1], (words[:, ::2] >> COUNT_BITS).max(axis=1))
        return newest <= horizon // self.resolution_ms - self.buckets

    def pools(self) -> dict[str, SlotPool]:
        return {"ring": self.pool}

    def _run(self, rows: np.ndarray, events: Events, start: int, out: np.ndarray) -> int:
        pool = self.pool
        return window_amounts(
            rows, self.at, pool.cells, pool.free, pool.top,
            events.row, events.at, events.as_of, events.hit, events.read, events.value,
            self.mean, float(self.resolution_ms), self.buckets, start, out,
        )  # fmt: skip
