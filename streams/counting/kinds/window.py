"""`count: events`: the number of events in a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import EVENTS, Kind, bucketed_window
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.kinds import Definition, Numbers
    from rules.reading import Keys
    from streams.kernels import window as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.window")


class Window(Kind):
    """`count: events`"""

    name, key, needs, may = "events", "count", ("count", "window"), ("resolution",)
    is_whole = True
    unit = EVENTS

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        return bucketed_window(doc, keys)

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> WindowCount:
        return WindowCount(counter, at)


class WindowCount(Pooled):
    """Output: events in the window as of the reading; 0 without any. A bucket's count stops at 2**32 - 1."""

    def __init__(self, counter: Numbers, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.resolution_ms = counter["resolution_ms"]
        self.buckets = counter["window_ms"] // counter["resolution_ms"]
        self.pool = SlotPool(ring_width(self.buckets), "uint32")

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        words = rows[candidates, self.at : self.at + self.words]
        newest = np.where(words[:, 0] < 0, words[:, 1], (words >> kernel.COUNT_BITS).max(axis=1))
        return newest <= horizon // self.resolution_ms - self.buckets

    def pools(self) -> dict[str, SlotPool]:
        return {"ring": self.pool}

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        pool = self.pool
        return kernel.window_count(
            rows, self.at, pool.cells, pool.free, pool.top,
            events.row, events.at, events.as_of, events.hit, events.read,
            float(self.resolution_ms), self.buckets, start, *outs,
        )  # fmt: skip


def ring_width(buckets: int) -> int:
    """Returns the cells of a ring for so many buckets: the next power of two, so that finding a bucket costs no
    division."""
    return 1 << (buckets - 1).bit_length()
