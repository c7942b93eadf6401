"""`count: events`: how many events a number had in a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streams.counting.kinds.base import Events
from streams.counting.kinds.pool import Pooled, SlotPool
from streams.kernels.window import COUNT_BITS, WORDS, window_count

if TYPE_CHECKING:
    from rules.model import Counter


class WindowCount(Pooled):
    """Output: events in the window as of the reading; 0 without any. A bucket's count stops at 2**32 - 1."""

    words = WORDS

    def __init__(self, counter: Counter, at: int) -> None:
        self.at = at
        self.resolution_ms = counter.resolution_ms
        self.buckets = counter.window_ms // counter.resolution_ms
        self.pool = SlotPool(ring_width(self.buckets), np.uint32)

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        out = np.full(len(events.row), np.nan)
        done = self._run(rows, events, 0, out)
        while done < len(out):
            self.pool.grow()
            done = self._run(rows, events, done, out)
        return (out,)

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        words = rows[candidates, self.at : self.at + WORDS]
        newest = np.where(words[:, 0] < 0, words[:, 1], (words >> COUNT_BITS).max(axis=1))
        return newest <= horizon // self.resolution_ms - self.buckets

    def pools(self) -> dict[str, SlotPool]:
        return {"ring": self.pool}

    def _run(self, rows: np.ndarray, events: Events, start: int, out: np.ndarray) -> int:
        pool = self.pool
        return window_count(
            rows, self.at, pool.cells, pool.free, pool.top,
            events.row, events.at, events.as_of, events.hit, events.read,
            float(self.resolution_ms), self.buckets, start, out,
        )  # fmt: skip


def ring_width(buckets: int) -> int:
    """Cells of a ring for so many buckets: the next power of two, so that a bucket's place costs no division."""
    return 1 << (buckets - 1).bit_length()
