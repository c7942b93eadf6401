"""`gray: {short, long}`: two decaying levels of a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streams.counting.kinds.base import Events
from streams.counting.kinds.pool import Pooled
from streams.kernels.gray import FLOOR, WORDS, gray_levels

if TYPE_CHECKING:
    from rules.model import Counter


class Gray(Pooled):
    """Outputs: the short and the long level as of the reading, 0 below 1e-6. All state is in the row."""

    words = WORDS

    def __init__(self, counter: Counter, at: int) -> None:
        self.at = at
        self.short_ms = float(counter.short_ms)
        self.long_ms = float(counter.long_ms)

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        short = np.full(len(events.row), np.nan)
        long = np.full(len(events.row), np.nan)
        gray_levels(
            rows, rows.view(np.float64), self.at,
            events.row, events.at, events.as_of, events.hit, events.read,
            self.short_ms, self.long_ms, short, long,
        )  # fmt: skip
        return short, long

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        age_ms = horizon - rows[candidates, self.at]
        levels = rows.view(np.float64)[candidates, self.at + 1 : self.at + 3]
        half_lives = np.array([self.short_ms, self.long_ms])
        # A row whose newest event is after the horizon is read at its newest time or later, never before.
        left = levels * np.exp2(-np.maximum(age_ms, 0)[:, None] / half_lives)
        return (left < FLOOR).all(axis=1)
