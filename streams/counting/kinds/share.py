"""`share: CONDITION`: the part of a number's events in a sliding window for which a condition on their fields holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import AT_LEAST, SAMPLES, Kind, bucketed_window, field_condition
from rules.logic import Between
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool
from streams.counting.kinds.window import ring_width

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.expressions import Expression
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic
    from streams.kernels import share as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.share")


class ShareOfEvents(Kind):
    name, key, needs, may = "share", "share", ("share", "window", AT_LEAST), ("resolution",)
    form = {"type": "string", "description": "The part of the events for which this is true."}  # noqa: RUF012
    outputs = ("", SAMPLES)
    can_lack = True

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        return bucketed_window(doc, keys)

    def condition(self, doc: Document, keys: Keys, feed: InputTopic, events: frozenset[str]) -> Expression | None:
        return field_condition(doc, keys, self.key, feed, events)

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        assert counter.condition is not None
        return tuple(sorted({feed.columns[name] for name in counter.condition.names}))

    def bounds(self, output: str) -> tuple[Between, bool]:
        return (Between(0, 1), False) if output != SAMPLES else super().bounds(output)

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> WindowShare:
        return WindowShare(counter, at)


class WindowShare(Pooled):
    """Outputs: the share, NaN without events, and the events that it is of."""

    outputs = 2

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.resolution_ms = counter["resolution_ms"]
        self.buckets = counter["window_ms"] // counter["resolution_ms"]
        self.pool = SlotPool(2 * ring_width(self.buckets), "uint32")

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        words = rows[candidates, self.at : self.at + self.words]
        newest = np.where(words[:, 0] < 0, words[:, 1], (words >> kernel.BUCKET_BITS).max(axis=1))
        return newest <= horizon // self.resolution_ms - self.buckets

    def pools(self) -> dict[str, SlotPool]:
        return {"ring": self.pool}

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        pool = self.pool
        return kernel.window_share(
            rows, self.at, pool.cells, pool.free, pool.top,
            events.row, events.at, events.as_of, events.hit, events.read, events.value,
            float(self.resolution_ms), self.buckets, start, *outs,
        )  # fmt: skip
