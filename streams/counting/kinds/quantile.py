"""`quantile: Q` of a field, such as a call's duration, in a sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import AT_LEAST, SAMPLES, SECONDS, Kind, duration_events, duration_field, parted_window
from rules.reading import number
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document, Node
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic
    from streams.kernels import quantile as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.quantile")

PARTS = 12  # of the window; the kernel's BUCKETS


class Quantile(Kind):
    name, key, needs = "quantile", "quantile", ("quantile", "of", "window", AT_LEAST)
    form = {  # noqa: RUF012
        "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1,
        "description": "The seconds that this part of the calls in the window does not exceed.",
    }  # fmt: skip
    outputs = ("", SAMPLES)
    can_lack = True
    unit = SECONDS

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        window_ms = parted_window(doc, keys, PARTS)
        part = number(doc, keys["quantile"], "quantile") if "quantile" in keys else None
        per_mille = None if part is None else round(1000 * part)
        if part is not None and not (1 <= (per_mille or 0) <= 999 and abs(1000 * part - (per_mille or 0)) < 1e-9):
            hint = "0.5 is the median"
            doc.error(keys["quantile"], "a quantile is from 0.001 to 0.999, with three digits at most", hint)
        return {k: v for k, v in (("window_ms", window_ms), ("per_mille", per_mille)) if v is not None}

    def events(self, doc: Document, node: Node, feed: InputTopic, events: frozenset[str]) -> frozenset[str]:
        return duration_events(doc, node, events)

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        return duration_field(doc, keys, "of")

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        return ("duration",)

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> WindowQuantile:
        return WindowQuantile(counter, at)


class WindowQuantile(Pooled):
    """Outputs: the quantile in seconds, NaN without amounts, and the amounts that it is of. Four words in the row; a
    slot of 256 bytes from the fifth group of like amounts on, of 3.3 KB beyond 32."""

    outputs = 2

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.per_mille = counter["per_mille"]
        self.resolution_ms = counter["window_ms"] // PARTS
        self.list = SlotPool(kernel.LIST_CELLS)
        self.table = SlotPool(kernel.TABLE_CELLS, "uint32")
        self._scratch = np.zeros(kernel.SIZES, np.int64)

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        return kernel.window_quantile(
            rows, self.at, *self._slots(),
            events.row, events.at, events.as_of, events.hit, events.read, events.value,
            float(self.resolution_ms), self.per_mille, self._scratch, start, *outs,
        )  # fmt: skip

    def pool_short(self, words: np.ndarray) -> SlotPool:
        """See Pooled."""
        return self.list if words[0] >= 0 else self.table

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """See CounterState."""
        words = rows[candidates, self.at : self.at + self.words]
        newest = (words >> kernel.BUCKET_BITS).max(axis=1)
        of = self.pool_of(rows, candidates)
        lists = of == kernel.LIST
        newest[lists] = (self.list.cells[-words[lists, 0] - 1] >> kernel.BUCKET_BITS).max(axis=1)
        newest[of == kernel.TABLE] = words[of == kernel.TABLE, 2]
        return newest <= horizon // self.resolution_ms - PARTS

    def pools(self) -> dict[str, SlotPool]:
        """In the order of the kernel's codes LIST, TABLE."""
        return {"list": self.list, "table": self.table}

    def pool_of(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See Pooled."""
        return np.where(rows[index, self.at] < 0, rows[index, self.at + 1], -1)
