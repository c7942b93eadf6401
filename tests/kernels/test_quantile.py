"""Quantiles against their oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.kinds.quantile import WindowQuantile
from streams.kernels.quantile import BOUNDS, COUNT_MAX, LIST_CELLS, MIDDLES, TABLE, WORDS, size_of
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
from tests.kernels.oracle_quantile import OracleQuantile, middle_s

FEW = st.sampled_from([0, 499, 500, 5_000, 60_000, 10**12])
MANY = st.integers(0, 60_000)


def counter(window_ms=120, per_mille=500):
    return WindowQuantile({"window_ms": window_ms, "per_mille": per_mille}, AT)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([FEW, MANY]).flatmap(lambda values: traffic(values, (80, 300))),
    st.sampled_from([(120, 500), (1200, 1), (1200, 900), (12_000, 999)]),
    st.data(),
)
def test_random_traffic_reads_as_the_oracle_however_it_is_split(steps, shape, data):
    want = expected(OracleQuantile(*shape), steps)
    rows = rows_of(WORDS)
    np.testing.assert_allclose(in_parts(counter(*shape), rows, steps, data), want, rtol=1e-12)
    assert_neighbours_are_untouched(rows)


@pytest.mark.parametrize(("window_ms", "high"), [(12_000, 3_000), (1_200, 600_000)])
def test_the_pools_grow_in_the_middle_of_a_batch_and_nothing_is_counted_twice(window_ms, high):
    steps = busy(100, 10_000, 6, high)
    state, rows = counter(window_ms, 250), rows_of(WORDS, 100)
    out = np.array(state.process(rows, events_of(steps))).T
    np.testing.assert_allclose(out, expected(OracleQuantile(window_ms, 250), steps), rtol=1e-12)
    assert (state.table.used > 30) == (high > 3_000)
    assert (state.list.used > 30) == (high == 3_000)


def test_every_slot_is_zero_again_when_it_is_given_back():
    state, rows = counter(1200), rows_of(WORDS)
    state.process(rows, events_of([(0, t, t, True, False, int(500 * 2 ** (t % 60 / 4))) for t in range(200)]))
    assert rows[0, AT + 1] == TABLE
    state.process(rows, events_of([(1, t, t, True, False, 1 << t) for t in range(LIST_CELLS // 2)]))
    assert (state.list.used, state.table.used) == (1, 1)
    state.process(rows, events_of([(r, 5_000, 5_000, True, False, 7) for r in (0, 1)]))
    assert (state.list.used, state.table.used) == (0, 0)
    assert not state.list.cells.any()
    assert not state.table.cells.any()


def test_a_full_group_goes_on_beside_itself():
    state, rows = counter(), rows_of(WORDS)
    many = [(0, 5, 5, True, False, 700)] * (3 * COUNT_MAX) + [(0, 6, 6, True, True, 9_000)]
    seconds, samples = state.process(rows, events_of(many))
    assert samples[-1] == 3 * COUNT_MAX + 1
    assert seconds[-1] == middle_s(700)


@given(st.integers(0, 40_000_000))
def test_a_reading_is_wrong_by_nine_percent_at_most(amount_ms):
    size = size_of.py_func(amount_ms)
    assert MIDDLES[size] == pytest.approx(middle_s(amount_ms))
    if 500 <= amount_ms < 23_000_000:
        assert abs(MIDDLES[size] - amount_ms / 1000) <= 0.091 * amount_ms / 1000


def test_sizes_begin_at_their_bounds():
    for size, bound in enumerate(BOUNDS, start=1):
        assert (size_of.py_func(bound - 1), size_of.py_func(bound)) == (size - 1, size)


@settings(max_examples=60, deadline=None)
@given(traffic(MANY, (80, 300)), st.integers(0, 1500))
def test_exactly_the_rows_without_samples_at_the_horizon_are_idle(steps, horizon):
    state, rows, oracle = counter(1200), rows_of(WORDS), OracleQuantile(1200, 500)
    expected(oracle, steps)
    state.process(rows, events_of(steps))
    horizon = max(horizon, max((s[1] for s in steps if s[3]), default=0))
    idle = state.idle(rows, np.arange(NUMBERS), START + horizon)
    assert idle.tolist() == [oracle.read(r, START + horizon)[1] == 0 for r in range(NUMBERS)]
    state.forget(rows, np.arange(NUMBERS))
    assert (state.list.used, state.table.used) == (0, 0)
