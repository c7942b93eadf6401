"""Drawn events for tests of counters: times out of order, silences, numbers without a row, readings later than all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from streams.counting.kinds.base import Events

START = 1_700_000_000_000
AT = 1
NUMBERS = 4
Step = tuple[int, int, int, bool, bool, int]  # row, time and time of reading since START, hit, read, value


def rows_of(words: int, n: int = NUMBERS) -> np.ndarray:
    """Rows of a counter of so many words, with words of others on both sides."""
    rows = np.zeros((n, AT + words + 1), np.int64)
    rows[:, 0] = rows[:, -1] = 77
    return rows


def assert_neighbours_are_untouched(rows: np.ndarray) -> None:
    assert (rows[:, [0, -1]] == 77).all()


def events_of(steps: Sequence[Step]) -> Events:
    row, at, as_of, hit, read, value = (np.array(c, dtype=np.int64) for c in zip(*steps, strict=True))
    n = len(row)
    return Events(
        row, START + at, START + as_of, hit.astype(bool), read.astype(bool), value, np.zeros(n, np.uint8),
        np.zeros(n, bool),
    )  # fmt: skip


@st.composite
def traffic(draw: Any, values: st.SearchStrategy[int], lengths: Sequence[int] = (80,)) -> list[Step]:
    newest: dict[int, int] = {}
    clock, steps = 0, []
    for _ in range(draw(st.integers(1, draw(st.sampled_from(lengths))))):
        row = draw(st.integers(-1, NUMBERS - 1))
        clock += draw(st.sampled_from([0, 0, 1, 7, 10, 60, 400]))
        at = max(0, clock - draw(st.sampled_from([0, 0, 0, 3, 15, 90, 300])))
        hit = row >= 0 and draw(st.booleans())
        if hit:
            newest[row] = max(newest.get(row, 0), at)
        as_of = max(newest.get(row, 0), at) + draw(st.sampled_from([0, 0, 5, 40, 250]))
        steps.append((row, at, as_of, hit, draw(st.booleans()), draw(values)))
    return steps


def busy(n: int, m: int, seed: int, high: int) -> list[Step]:
    """m events of n numbers, all counted and read; values from 0 to below `high`."""
    rng = np.random.default_rng(seed)
    steps, newest = [], np.zeros(n, int)
    for i in range(m):
        r, t = int(rng.integers(0, n)), int(i // 20 + rng.integers(0, 200))
        newest[r] = max(newest[r], t)
        steps.append((r, t, int(newest[r]), True, True, int(rng.integers(0, high))))
    return steps


def in_parts(state: Any, rows: np.ndarray, steps: Sequence[Step], data: Any) -> list[tuple[float, ...]]:
    """The outputs for each step, when the steps come in batches of drawn sizes."""
    out: list[tuple[float, ...]] = []
    while len(out) < len(steps):
        size = data.draw(st.integers(1, len(steps) - len(out)))
        out += zip(*state.process(rows, events_of(steps[len(out) : len(out) + size])), strict=True)
    return out


def expected(oracle: Any, steps: Iterable[Step]) -> list[tuple[float, ...]]:
    """The outputs for each step of an oracle that takes `add(row, time, value)` and `read(row, as_of)`."""
    out = []
    for row, at, as_of, hit, read, value in steps:
        if hit:
            oracle.add(row, START + at, value)
        out.append(oracle.read(row, START + as_of) if read else (np.nan, np.nan))
    return out
