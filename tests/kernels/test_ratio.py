"""Ratios of rates against their oracle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.kinds.ratio import RateRatio
from tests.kernels.drawn import (
    AT,
    NUMBERS,
    START,
    assert_neighbours_are_untouched,
    busy,
    events_of,
    in_parts,
    rows_of,
    traffic,
)
from tests.kernels.drawn import expected as read_by
from tests.kernels.oracle_ratio import OracleRatio

NOTHING = st.just(0)
SPANS = st.sampled_from([(60, 240), (120, 1200), (60, 60_000)])


class Oracle(OracleRatio):
    def add(self, number, time, value):
        super().add(number, time)


def counter(recent_ms, habit_ms):
    return RateRatio({"recent_ms": recent_ms, "habit_ms": habit_ms}, AT)


@settings(max_examples=100, deadline=None)
@given(traffic(NOTHING), SPANS, st.data())
def test_random_traffic_reads_as_the_oracle_however_it_is_split(steps, spans, data):
    state = counter(*spans)
    rows = rows_of(state.words)
    np.testing.assert_allclose(in_parts(state, rows, steps, data), read_by(Oracle(*spans), steps), rtol=1e-12)
    assert_neighbours_are_untouched(rows)


@settings(max_examples=30, deadline=None)
@given(traffic(NOTHING), SPANS, st.data())
def test_a_row_that_was_saved_reads_on_in_another_place_as_if_nothing_had_been(steps, spans, data):
    cut = data.draw(st.integers(0, len(steps)))
    want = read_by(Oracle(*spans), steps)[cut:]
    state = counter(*spans)
    rows, index = rows_of(state.words), np.arange(NUMBERS)
    if cut:
        state.process(rows, events_of(steps[:cut]))
    saved, words = state.save(rows, index), rows[:, AT : AT + state.words].copy()
    assert (state.sizes(rows, index) > 0).sum() == len({row for where, _ in saved.values() for row in where.tolist()})
    there = counter(*spans)
    fresh = rows_of(there.words)
    there.restore(fresh, index[::-1].copy(), words, saved)
    moved = [(NUMBERS - 1 - s[0] if s[0] >= 0 else -1, *s[1:]) for s in steps[cut:]]
    if moved:
        np.testing.assert_allclose(np.array(there.process(fresh, events_of(moved))).T, want, rtol=1e-12)
    state.forget(rows, index)
    assert all(pool.used == 0 for pool in state.pools().values())


def test_the_pools_grow_in_the_middle_of_a_batch_and_nothing_is_counted_twice():
    steps = busy(600, 12_000, 6, 1)
    state = counter(60, 600)
    out = np.array(state.process(rows_of(state.words, 600), events_of(steps))).T
    np.testing.assert_allclose(out, read_by(Oracle(60, 600), steps), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(traffic(NOTHING), st.integers(0, 1500))
def test_exactly_the_rows_without_events_at_the_horizon_are_idle(steps, horizon):
    state, oracle = counter(60, 600), Oracle(60, 600)
    rows = rows_of(state.words)
    read_by(oracle, steps)
    state.process(rows, events_of(steps))
    horizon = max(horizon, max((s[1] for s in steps if s[3]), default=0))
    idle = state.idle(rows, np.arange(NUMBERS), START + horizon)
    assert idle.tolist() == [oracle._count(r, START + horizon, 600) == 0 for r in range(NUMBERS)]
