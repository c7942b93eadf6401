"""Amounts (sum and mean) against their oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.kinds.amounts import Amounts
from streams.counting.kinds.base import Events
from streams.kernels.amounts import COUNT_MAX, WORDS
from tests.kernels.oracle_amounts import OracleAmounts

START = 1_700_000_000_000
AT = 1
NUMBERS = 4


def counter(kind="sum", window_ms=100, resolution_ms=10):
    return Amounts({"window_ms": window_ms, "resolution_ms": resolution_ms}, AT, mean=kind == "mean")


def rows_of(n=NUMBERS):
    rows = np.zeros((n, AT + WORDS + 1), np.int64)
    rows[:, 0] = rows[:, -1] = 77
    return rows


def events_of(steps):
    """Events from (row, time, as_of, hit, read, amount), times since START."""
    row, at, as_of, hit, read, value = (np.array(c, dtype=np.int64) for c in zip(*steps, strict=True))
    n = len(row)
    return Events(
        row, START + at, START + as_of, hit.astype(bool), read.astype(bool), value, np.zeros(n, np.uint8),
        np.zeros(n, bool),
    )  # fmt: skip


def expected(oracle, steps):
    out = []
    for row, at, as_of, hit, read, amount in steps:
        if hit:
            oracle.add(row, START + at, amount)
        out.append(oracle.read(row, START + as_of) if read else np.nan)
    return out


@st.composite
def traffic(draw):
    newest, clock, steps = {}, 0, []
    for _ in range(draw(st.integers(1, 80))):
        row = draw(st.integers(-1, NUMBERS - 1))
        clock += draw(st.sampled_from([0, 0, 1, 7, 10, 60, 400]))
        at = max(0, clock - draw(st.sampled_from([0, 0, 0, 3, 15, 90, 300])))
        hit = row >= 0 and draw(st.booleans())
        if hit:
            newest[row] = max(newest.get(row, 0), at)
        as_of = max(newest.get(row, 0), at) + draw(st.sampled_from([0, 0, 5, 40, 250]))
        steps.append((row, at, as_of, hit, draw(st.booleans()), draw(st.integers(-5, 10**12))))
    return steps


@settings(max_examples=100, deadline=None)
@given(traffic(), st.sampled_from(["sum", "mean"]), st.sampled_from([(100, 10), (100, 100), (130, 10)]), st.data())
def test_random_traffic_reads_as_the_oracle_however_it_is_split(steps, kind, shape, data):
    want = expected(OracleAmounts(kind, *shape), steps)
    state, rows, out, done = counter(kind, *shape), rows_of(), [], 0
    while done < len(steps):
        size = data.draw(st.integers(1, len(steps) - done))
        out += state.process(rows, events_of(steps[done : done + size]))[0].tolist()
        done += size
    np.testing.assert_array_equal(out, want)
    assert (rows[:, 0] == 77).all()
    assert (rows[:, -1] == 77).all()


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_the_pool_grows_in_the_middle_of_a_batch_and_nothing_is_added_twice(kind):
    rng = np.random.default_rng(6)
    n, m = 600, 12_000
    steps, newest = [], np.zeros(n, int)
    for i in range(m):
        r, t = int(rng.integers(0, n)), int(i // 20 + rng.integers(0, 200))
        newest[r] = max(newest[r], t)
        steps.append((r, t, int(newest[r]), True, True, int(rng.integers(0, 10**6))))
    state, rows = counter(kind, 1000, 10), rows_of(n)
    (out,) = state.process(rows, events_of(steps))
    np.testing.assert_array_equal(out, expected(OracleAmounts(kind, 1000, 10), steps))
    assert state.pool.used > 512


def test_a_full_pair_becomes_a_ring_without_what_had_left_the_window():
    state, rows = counter(), rows_of()
    many = [(0, 5, 5, True, False, 9)] + [(0, 104, 104, True, False, 1000)] * (COUNT_MAX + 3)
    (out,) = state.process(rows, events_of([*many, (0, 104, 104, False, True, 0)]))
    assert out[-1] == COUNT_MAX + 3
    assert state.pool.used == 1


def test_a_ring_whose_events_have_gone_gives_its_slot_back():
    state, rows = counter(), rows_of()
    state.process(rows, events_of([(0, t, t, True, False, 5) for t in range(0, 60, 10)]))
    assert state.pool.used == 1
    (out,) = state.process(rows, events_of([(0, 1000, 1000, True, True, 7)]))
    assert out[0] == 0.007
    assert state.pool.used == 0
    assert not state.pool.cells.any()


@settings(max_examples=60, deadline=None)
@given(traffic(), st.integers(0, 1500))
def test_exactly_the_rows_without_samples_at_the_horizon_are_idle(steps, horizon):
    state, rows, oracle = counter("mean"), rows_of(), OracleAmounts("mean", 100, 10)
    expected(oracle, steps)
    state.process(rows, events_of(steps))
    horizon = max(horizon, max((s[1] for s in steps if s[3]), default=0))
    idle = state.idle(rows, np.arange(NUMBERS), START + horizon)
    assert idle.tolist() == [bool(np.isnan(oracle.read(r, START + horizon))) for r in range(NUMBERS)]
    state.forget(rows, np.arange(NUMBERS))
    assert state.pool.used == 0
