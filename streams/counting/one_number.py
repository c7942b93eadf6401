"""The readings of one number, asked for from outside of an epoch. Reading changes nothing."""

from __future__ import annotations

import numpy as np

from rules.model import Counter
from streams.counting.rows import NEWEST
from streams.counting.table import ALL, VOUCHED, TopicState


def newest_of(state: TopicState, number: int, reading: str) -> int:
    """The newest time of a number in a reading of a topic, ms; 0 where it has no row of its own there."""
    row = _row_of(state, number, reading)
    return int(state.stores[reading].rows[row[0], NEWEST]) if row[0] >= 0 else 0


def readings_of(state: TopicState, number: int, reading: str, as_of_ms: int) -> dict[Counter, tuple[np.ndarray, ...]]:
    """A number's readings as of a time not before its newest, each of length 1. In ALL those of VOUCHED where it has no
    row of its own."""
    row = _row_of(state, number, reading)
    if reading == ALL and row[0] < 0:
        return readings_of(state, number, VOUCHED, as_of_ms)
    _, *columns = state.read_all(state.stores[reading], row, 0.0, as_of_ms)
    return state.by_counter(columns)


def _row_of(state: TopicState, number: int, reading: str) -> np.ndarray:
    return state.stores[reading].rows_of(np.array([number], np.int64), False)
