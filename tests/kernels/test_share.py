"""Shares against their oracle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.kinds.share import WindowShare
from streams.kernels.share import COUNT_MAX, WORDS
from tests.kernels.drawn import (
    AT,
    NUMBERS,
    START,
    assert_neighbours_are_untouched,
    busy,
    events_of,
    expected,
    in_parts,
    rows_of,
    traffic,
)
from tests.kernels.oracle_share import OracleShare

HELD = st.integers(0, 1)


def counter(window_ms=100, resolution_ms=10):
    return WindowShare({"window_ms": window_ms, "resolution_ms": resolution_ms}, AT)


@settings(max_examples=150, deadline=None)
@given(traffic(HELD), st.sampled_from([(100, 10), (100, 100), (130, 10)]), st.data())
def test_random_traffic_reads_as_the_oracle_however_it_is_split(steps, shape, data):
    want = expected(OracleShare(*shape), steps)
    rows = rows_of(WORDS)
    np.testing.assert_array_equal(in_parts(counter(*shape), rows, steps, data), want)
    assert_neighbours_are_untouched(rows)


def test_the_pool_grows_in_the_middle_of_a_batch_and_nothing_is_counted_twice():
    steps = busy(600, 12_000, 6, 2)
    state, rows = counter(1000, 10), rows_of(WORDS, 600)
    out = np.array(state.process(rows, events_of(steps))).T
    np.testing.assert_array_equal(out, expected(OracleShare(1000, 10), steps))
    assert state.pool.used > 512


def test_a_full_group_becomes_a_ring_without_what_had_left_the_window():
    state, rows = counter(), rows_of(WORDS)
    many = [(0, 5, 5, True, False, 1)] + [(0, 104, 104, True, False, i % 2) for i in range(COUNT_MAX + 3)]
    share, samples = state.process(rows, events_of([*many, (0, 104, 104, False, True, 0)]))
    assert samples[-1] == COUNT_MAX + 3
    assert share[-1] == (COUNT_MAX + 3) // 2 / (COUNT_MAX + 3)
    assert state.pool.used == 1


def test_a_ring_that_is_nearly_empty_gives_its_slot_back_and_forgets_nothing():
    state, rows = counter(), rows_of(WORDS)
    state.process(rows, events_of([(0, t, t, True, False, 1) for t in range(0, 60, 10)]))
    assert state.pool.used == 1
    share, samples = state.process(rows, events_of([(0, 140, 140, True, True, 0)]))
    assert (share[0], samples[0]) == (0.5, 2)
    assert state.pool.used == 0
    assert not state.pool.cells.any()


@settings(max_examples=60, deadline=None)
@given(traffic(HELD), st.integers(0, 1500))
def test_exactly_the_rows_without_samples_at_the_horizon_are_idle(steps, horizon):
    state, rows, oracle = counter(), rows_of(WORDS), OracleShare(100, 10)
    expected(oracle, steps)
    state.process(rows, events_of(steps))
    horizon = max(horizon, max((s[1] for s in steps if s[3]), default=0))
    idle = state.idle(rows, np.arange(NUMBERS), START + horizon)
    assert idle.tolist() == [oracle.read(r, START + horizon)[1] == 0 for r in range(NUMBERS)]
    state.forget(rows, np.arange(NUMBERS))
    assert state.pool.used == 0
