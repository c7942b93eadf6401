"""Reporters of a number in a window, each counted by his credit: what became of his reports before.

`streams.kernels.credited` defines a reading exactly, rules/credit.py the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.credit import NO_CREDIT, Credit
from rules.kinds import Kind, window
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
    from streams.kernels import credited as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.credited")


class CreditedReporters(Kind):
    """`credited: FIELD`"""

    name, key, needs = "credited", "credited", ("credited", "window")
    form = {"type": "string", "description": "Different reporters in the window, by their credit."}  # noqa: RUF012
    reads_credit = True
    exact_max, beyond = 64, "of the 64 newest"

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        window_ms = window(doc, keys)
        return {} if window_ms is None else {"window_ms": window_ms}

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        if "credited" not in keys:
            return None
        if not feed.judged:
            doc.error(keys["credited"], f"nobody's credit is known on `{feed.name}`", "count `distinct:` values")
            return None
        return choice(doc, keys["credited"], "field with those whose credit is known", feed.judged)

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        assert counter.field is not None
        return feed.distinct_columns(counter.field)

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> Credited:
        return Credited(counter, at)


class Credited(Pooled):
    """Four words in the row; a slot of 1 KB from the third key on."""

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.window_ms = counter["window_ms"]
        self._credit = NO_CREDIT
        self.pool = SlotPool(kernel.CELLS)

    def go_by(self, credit: Credit) -> None:
        self._credit = credit

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        pool, (key, at, weight) = self.pool, self._credit.steps
        return kernel.count_credited(
            rows, self.at, self.window_ms,
            events.row, events.at, events.as_of, events.hit, events.read, events.value,
            pool.cells, pool.free, pool.top, key, at, weight, self._credit.is_mixed, start, *outs,
        )  # fmt: skip

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        return horizon - kernel.newest_of(rows, self.at, candidates) >= self.window_ms

    def pools(self) -> dict[str, SlotPool]:
        return {"keys": self.pool}
