"""The days of a zone, by which results of long captures are told."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, tzinfo

import numpy as np

QUARTER_MS = 900_000  # no zone's midnight lies within one


def day_of(at_ms: int, zone: tzinfo) -> str:
    """Like 2026-11-23."""
    return datetime.fromtimestamp(at_ms / 1000, zone).date().isoformat()


def by_day(at_ms: np.ndarray, zone: tzinfo) -> Counter[str]:
    """The number of times on each day."""
    out: Counter[str] = Counter()
    quarters, counts = np.unique(at_ms // QUARTER_MS, return_counts=True)
    for quarter, count in zip(quarters.tolist(), counts.tolist(), strict=True):
        out[day_of(quarter * QUARTER_MS, zone)] += count
    return out
