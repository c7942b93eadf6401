"""Distinct callees, recipients or contents of a number in a window: exact to 32, an estimate beyond.

`streams.kernels.distinct` defines a reading exactly, and when a row changes its form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.kinds import Kind, parted_window
from rules.reading import choice
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic
    from streams.kernels import distinct as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.distinct")

SKETCH_BUCKETS = 12  # a busy row works at window/12


class DistinctValues(Kind):
    """`distinct: FIELD`"""

    name, key, needs = "distinct", "distinct", ("distinct", "window")
    form = {"type": "string", "description": "Different values of a field in the window."}  # noqa: RUF012
    exact_max, beyond = 32, "an estimate"

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        window_ms = parted_window(doc, keys, SKETCH_BUCKETS)
        return {} if window_ms is None else {"window_ms": window_ms}

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        if "distinct" not in keys:
            return None
        valid = feed.distinct
        if "per" in keys and keys["per"].text in feed.others:
            valid = (feed.number, *(name for name in valid if name != keys["per"].text))
        return choice(doc, keys["distinct"], "field to count distinct values of", valid)

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        assert counter.field is not None
        return feed.distinct_columns(counter.field)

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def slow_kernel(self) -> Any:
        return kernel.count_distinct

    def state(self, counter: Definition, at: int) -> Distinct:
        return Distinct(counter, at)


class Distinct(Pooled):
    """Four words in the row; a slot of 128 bytes from the third key on, of 512 beyond 8 keys, of 3.3 KB beyond 32."""

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.window_ms = counter["window_ms"]
        self.tiny = SlotPool(kernel.TINY_CELLS)
        self.wide = SlotPool(kernel.WIDE_CELLS)
        self.sketch = SlotPool(kernel.CELLS, "uint8")
        self._scratch = np.zeros((1, kernel.REGISTERS), np.uint8)

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        return kernel.count_distinct(
            rows, self.at, self.window_ms,
            events.row, events.at, events.as_of, events.hit, events.read, events.value,
            *self._slots(), self._scratch, start, *outs,
        )  # fmt: skip

    def pool_short(self, words: np.ndarray) -> SlotPool:
        """See Pooled."""
        if words[0] >= 0:
            return self.tiny
        if words[2] < kernel.WIDE:
            return self.wide
        # A wide row makes sure of a tiny slot before it looks how many of its keys are left.
        return self.sketch if self.tiny.top[0] > 0 else self.tiny

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """See CounterState. A row that is idle also starts anew at its next hit, which must not be before `horizon`."""
        out = np.zeros(len(candidates), np.bool_)
        kernel.idle_distinct(rows, self.at, self.window_ms, candidates, horizon, out)
        return out

    def pools(self) -> dict[str, SlotPool]:
        """See Pooled."""
        return {"tiny": self.tiny, "wide": self.wide, "sketch": self.sketch}

    def pool_of(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See Pooled."""
        form = rows[index, self.at + 2]
        of = np.where(form < 0, 2, np.where(form >= kernel.WIDE, 1, 0))
        return np.where(rows[index, self.at] < 0, of, -1)
