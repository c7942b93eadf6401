"""`sum:` and `mean:` of a field, such as a call's duration, in a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import SECONDS, Kind, bucketed_window, duration_events, duration_field, durations
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool
from streams.counting.kinds.window import ring_width

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document, Node
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic
    from streams.kernels import amounts as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.amounts")


class _Amount(Kind):
    may = ("resolution",)
    unit = SECONDS

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        return bucketed_window(doc, keys)

    def events(self, doc: Document, node: Node, feed: InputTopic, events: frozenset[str]) -> frozenset[str]:
        return duration_events(doc, node, events)

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        return duration_field(doc, keys, self.key)

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        return ("duration",)

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> Amounts:
        return Amounts(counter, at, mean=self.name == "mean")


class Sum(_Amount):
    name, key, needs = "sum", "sum", ("sum", "window")
    form = durations("Seconds in the window.")


class Mean(_Amount):
    name, key, needs = "mean", "mean", ("mean", "window")
    form = durations("Seconds a call in the window.")
    can_lack = True


class Amounts(Pooled):
    """Output: seconds, from amounts in whole ms, added exactly. Without samples a sum is 0 and a mean NaN."""

    def __init__(self, counter: Definition, at: int, *, mean: bool) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.mean = mean
        self.resolution_ms = counter["resolution_ms"]
        self.buckets = counter["window_ms"] // counter["resolution_ms"]
        self.pool = SlotPool(2 * ring_width(self.buckets))

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        words = rows[candidates, self.at : self.at + self.words]
        newest = np.where(words[:, 0] < 0, words[:, 1], (words[:, ::2] >> kernel.COUNT_BITS).max(axis=1))
        return newest <= horizon // self.resolution_ms - self.buckets

    def pools(self) -> dict[str, SlotPool]:
        return {"ring": self.pool}

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        pool = self.pool
        return kernel.window_amounts(
            rows, self.at, pool.cells, pool.free, pool.top,
            events.row, events.at, events.as_of, events.hit, events.read, events.value,
            self.mean, float(self.resolution_ms), self.buckets, start, *outs,
        )  # fmt: skip
