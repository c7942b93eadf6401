"""`gray: {short, long}`: two decaying levels of a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import Kind, two_durations
from rules.reading import duration, mapping
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.kinds import Definition
    from rules.reading import Keys
    from streams.kernels import gray as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.gray")

HALF_LIFE_MS_MIN = 1_000
HALF_LIFE_MS_MAX = 30 * 86_400_000


class GrayLevels(Kind):
    """`gray: {short, long}`"""

    name, key, needs = "gray", "gray", ("gray",)
    form = two_durations("short", "long", "Two levels that each event lifts and that halve with these half-lives.")
    outputs = ("short", "long")

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        levels = mapping(doc, keys["gray"], "gray", ("short", "long")) if "gray" in keys else None
        if levels is None:
            return {}
        low, high = HALF_LIFE_MS_MIN, HALF_LIFE_MS_MAX
        read = {f"{key}_ms": duration(doc, value, f"half-life `{key}`", low, high) for key, value in levels.items()}
        known = {key: ms for key, ms in read.items() if ms is not None}
        if len(known) == 2 and known["short_ms"] >= known["long_ms"]:
            doc.error(levels["short"], "the short half-life must be shorter than the long one")
        return known

    def reach_ms(self, counter: Definition) -> int:
        """Eight long half-lives leave 0.4 % of a level."""
        return 8 * counter["long_ms"]

    def period_ms(self, counter: Definition, output: str) -> int:
        return counter[f"{output}_ms"]

    def state(self, counter: Definition, at: int) -> Gray:
        return Gray(counter, at)


class Gray(Pooled):
    """Outputs: the short and the long level as of the reading, 0 below 1e-6. All state is in the row."""

    outputs = 2

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.short_ms = float(counter["short_ms"])
        self.long_ms = float(counter["long_ms"])

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        kernel.gray_levels(
            rows, rows.view(np.float64), self.at,
            events.row, events.at, events.as_of, events.hit, events.read,
            self.short_ms, self.long_ms, *outs,
        )  # fmt: skip
        return len(events.row)

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        age_ms = horizon - rows[candidates, self.at]
        levels = rows.view(np.float64)[candidates, self.at + 1 : self.at + 3]
        half_lives = np.array([self.short_ms, self.long_ms])
        # A row whose newest event is after the horizon is read at its newest time or later, never before.
        left = levels * np.exp2(-np.maximum(age_ms, 0)[:, None] / half_lives)
        return (left < kernel.FLOOR).all(axis=1)
