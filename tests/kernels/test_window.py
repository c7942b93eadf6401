"""WindowCount against its oracle: forms, growth, lateness, reclaiming."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.kinds.base import Events
from streams.counting.kinds.pool import PoolFull, SlotPool
from streams.counting.kinds.window import WindowCount
from streams.kernels.window import CELL_MAX, COUNT_MAX, WORDS
from tests.kernels.oracle_window import OracleWindow

START = 1_700_000_000_000
AT = 2  # the counter's first word: its neighbours must stay untouched
NUMBERS = 5


def counter(window_ms, resolution_ms):
    return WindowCount({"window_ms": window_ms, "resolution_ms": resolution_ms}, AT)


def rows_of(n=NUMBERS):
    rows = np.zeros((n, AT + WORDS + 1), np.int64)
    rows[:, :AT] = 77
    rows[:, -1] = 77
    return rows


def events_of(steps):
    """Events from (row, time, as_of, hit, read), times since START."""
    row, at, as_of, hit, read = (np.array(c) for c in zip(*steps, strict=True)) if steps else (np.zeros(0, int),) * 5
    n = len(row)
    return Events(row.astype(np.int64), START + at, START + as_of, hit.astype(bool), read.astype(bool),
                  np.zeros(n, np.int64), np.zeros(n, np.uint8), np.zeros(n, bool))  # fmt: skip


def expected(oracle, steps):
    out = []
    for row, at, as_of, hit, read in steps:
        if hit:
            oracle.add(row, START + at)
        out.append(oracle.read(row, START + as_of) if read else np.nan)
    return out


@st.composite
def traffic(draw, span_ms=400):
    """Steps whose times wander forward and fall back; as_of is never before a time its row has counted."""
    newest, clock, steps = {}, 0, []
    for _ in range(draw(st.integers(0, 120))):
        row = draw(st.integers(-1, NUMBERS - 1))
        clock += draw(st.sampled_from([0, 0, 1, 7, 10, 60, span_ms]))
        at = max(0, clock - draw(st.sampled_from([0, 0, 0, 3, 15, 90, 300])))
        hit = row >= 0 and draw(st.booleans())
        if hit:
            newest[row] = max(newest.get(row, 0), at)
        as_of = max(newest.get(row, 0), at) + draw(st.sampled_from([0, 0, 0, 5, 40, 250]))
        steps.append((row, at, as_of, hit, draw(st.booleans())))
    return steps


@settings(max_examples=100, deadline=None)
@given(traffic(), st.sampled_from([(100, 10), (100, 100), (60, 1), (130, 10), (50, 10)]), st.data())
def test_random_traffic_reads_as_the_oracle_however_it_is_split(steps, shape, data):
    want = expected(OracleWindow(*shape), steps)
    state, rows, out, done = counter(*shape), rows_of(), [], 0
    while done < len(steps):
        size = data.draw(st.integers(1, len(steps) - done))
        out += state.process(rows, events_of(steps[done : done + size]))[0].tolist()
        done += size
    np.testing.assert_array_equal(out, want)
    assert (rows[:, :AT] == 77).all()
    assert (rows[:, -1] == 77).all()


def test_the_pool_grows_in_the_middle_of_a_batch_and_nothing_is_counted_twice():
    rng = np.random.default_rng(5)
    n, m = 1500, 60_000
    at = np.arange(m) // 40 - rng.integers(0, 200, m) + 200
    row = rng.integers(0, n, m)
    newest = np.zeros(n, int)
    steps = []
    for r, t in zip(row, at, strict=True):
        newest[r] = max(newest[r], t)
        steps.append((int(r), int(t), int(newest[r]), True, True))
    state, rows = counter(1000, 10), rows_of(n)
    (out,) = state.process(rows, events_of(steps))
    np.testing.assert_array_equal(out, expected(OracleWindow(1000, 10), steps))
    assert state.pool.used > 1024
    live = state.pool.free[: state.pool.top[0]]
    assert not state.pool.cells[live].any()


def test_a_ring_whose_events_have_gone_gives_its_slot_back():
    state, rows = counter(100, 10), rows_of()
    state.process(rows, events_of([(0, t, t, True, False) for t in range(0, 60, 10)]))
    assert state.pool.used == 1
    (out,) = state.process(rows, events_of([(0, 1000, 1000, True, True)]))
    assert out[0] == 1
    assert state.pool.used == 0
    assert not state.pool.cells.any()


def test_a_ring_left_with_two_events_becomes_small_and_still_counts_them():
    state, rows = counter(100, 10), rows_of()
    state.process(rows, events_of([(0, t, t, True, False) for t in range(0, 60, 10)]))
    (out,) = state.process(rows, events_of([(0, 135, 135, True, True), (0, 135, 145, False, True)]))
    assert out.tolist() == [3.0, 2.0]
    assert state.pool.used == 0


def test_a_full_pair_becomes_a_ring_without_what_had_left_the_window():
    state, rows = counter(100, 10), rows_of()
    many = [(0, 5, 5, True, False)] + [(0, 104, 104, True, False)] * (COUNT_MAX + 3)
    state.process(rows, events_of(many))
    assert state.pool.used == 1
    (out,) = state.process(rows, events_of([(0, 104, 104, False, True)]))
    assert out[0] == COUNT_MAX + 3


def test_a_cell_that_cannot_count_further_stays_at_its_end():
    state, rows = counter(100, 10), rows_of()
    state.process(rows, events_of([(0, t, t, True, False) for t in range(0, 60, 10)]))
    state.pool.cells[state.pool.cells != 0] = CELL_MAX
    rows[0, AT + 2] = 6 * CELL_MAX
    (out,) = state.process(rows, events_of([(0, 50, 50, True, True)]))
    assert out[0] == 6 * CELL_MAX


def test_one_millisecond_buckets_reach_the_year_9999():
    state, rows = counter(50, 1), rows_of()
    late = 253_402_300_799_999 - START
    (out,) = state.process(rows, events_of([(0, late - k, late, True, True) for k in range(4)]))
    assert out.tolist() == [1, 2, 3, 4]


@settings(max_examples=60, deadline=None)
@given(traffic(), st.integers(0, 1500))
def test_an_idle_row_reads_zero_at_the_horizon_and_a_busy_one_does_not(steps, horizon):
    state, rows, oracle = counter(100, 10), rows_of(), OracleWindow(100, 10)
    expected(oracle, steps)
    state.process(rows, events_of(steps))
    newest = max([s[1] for s in steps if s[3]], default=0)
    horizon = max(horizon, newest)
    idle = state.idle(rows, np.arange(NUMBERS), START + horizon)
    assert idle.tolist() == [oracle.read(r, START + horizon) == 0 for r in range(NUMBERS)]
    state.forget(rows, np.arange(NUMBERS))
    assert state.pool.used == 0
    assert not state.pool.cells.any()


def test_saved_rows_restored_in_another_order_read_the_same():
    steps = [(r, t, t, True, False) for t in range(0, 80, 10) for r in range(NUMBERS)]
    state, rows = counter(100, 10), rows_of()
    state.process(rows, events_of(steps))
    other, restored = counter(100, 10), rows_of()
    index = np.arange(NUMBERS)[::-1]
    words = rows[index, state.at : state.at + state.words]
    assert state.sizes(rows, index).tolist() == [state.pool.cells[0].nbytes] * NUMBERS
    other.restore(restored, index, words, state.save(rows, index))
    reading = events_of([(r, 90, 90, False, True) for r in range(NUMBERS)])
    np.testing.assert_array_equal(other.process(restored, reading)[0], state.process(rows, reading)[0])
    assert other.pool.used == NUMBERS


def test_a_full_pool_says_so():
    state, rows = counter(100, 10), rows_of(400)
    state.pool = SlotPool(16, "uint32", slots_max=300)
    steps = [(r, t, t, True, False) for t in range(0, 60, 10) for r in range(400)]
    with pytest.raises(PoolFull, match="300 slots"):
        state.process(rows, events_of(steps))
