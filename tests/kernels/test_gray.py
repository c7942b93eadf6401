"""Gray levels against their oracle."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.kinds.base import Events
from streams.counting.kinds.gray import Gray
from streams.kernels.gray import WORDS
from tests.kernels.oracle_gray import FLOOR, OracleGray

START = 1_700_000_000_000
AT = 1
NUMBERS = 4
SHAPE = (60, 3600)  # half-lives in ms


def counter():
    return Gray({"short_ms": SHAPE[0], "long_ms": SHAPE[1]}, AT)


def rows_of():
    rows = np.zeros((NUMBERS, AT + WORDS + 1), np.int64)
    rows[:, 0] = rows[:, -1] = 77
    return rows


def events_of(steps):
    """Events from (row, time, as_of, hit, read), times since START."""
    row, at, as_of, hit, read = (np.array(c, dtype=np.int64) for c in zip(*steps, strict=True))
    n = len(row)
    return Events(
        row, START + at, START + as_of, hit.astype(bool), read.astype(bool), np.zeros(n, np.int64),
        np.zeros(n, np.uint8), np.zeros(n, bool),
    )  # fmt: skip


def expected(oracle, steps):
    out = []
    for row, at, as_of, hit, read in steps:
        if hit:
            oracle.add(row, START + at)
        out.append(oracle.read(row, START + as_of) if read else (np.nan, np.nan))
    return np.array(out)


@st.composite
def traffic(draw):
    newest, clock, steps = {}, 0, []
    for _ in range(draw(st.integers(1, 60))):
        row = draw(st.integers(-1, NUMBERS - 1))
        clock += draw(st.sampled_from([0, 0, 1, 20, 60, 700, 1300, 80_000]))
        at = max(0, clock - draw(st.sampled_from([0, 0, 0, 3, 90, 3000])))
        hit = row >= 0 and draw(st.booleans())
        if hit:
            newest[row] = max(newest.get(row, 0), at)
        as_of = max(newest.get(row, 0), at) + draw(st.sampled_from([0, 0, 5, 1000, 75_000]))
        steps.append((row, at, as_of, hit, draw(st.booleans())))
    return steps


@settings(max_examples=100, deadline=None)
@given(traffic(), st.data())
def test_random_traffic_reads_as_the_oracle_and_the_same_bits_however_it_is_split(steps, data):
    whole = counter().process(rows_of(), events_of(steps))
    np.testing.assert_allclose(np.column_stack(whole), expected(OracleGray(*SHAPE), steps), rtol=1e-12, atol=0)
    state, rows, parts, done = counter(), rows_of(), [], 0
    while done < len(steps):
        size = data.draw(st.integers(1, len(steps) - done))
        parts.append(np.column_stack(state.process(rows, events_of(steps[done : done + size]))))
        done += size
    np.testing.assert_array_equal(np.vstack(parts), np.column_stack(whole))
    assert (rows[:, 0] == 77).all()
    assert (rows[:, -1] == 77).all()


def test_a_late_event_leaves_the_levels_that_order_would_have_left():
    times = [100, 160, 220, 340]
    ordered = counter().process(rows_of(), events_of([(0, t, 400, True, True) for t in times]))
    mixed = counter().process(rows_of(), events_of([(0, t, 400, True, True) for t in (220, 100, 340, 160)]))
    np.testing.assert_allclose([o[-1] for o in mixed], [o[-1] for o in ordered], rtol=1e-12)


def test_one_event_halves_with_every_half_life():
    short, long = counter().process(rows_of(), events_of([(0, 0, 0, True, True), (0, 60, 3600, False, True)]))
    assert short.tolist()[0] == 1.0
    assert long.tolist() == [1.0, 0.5]
    assert short[1] == 0.0


@settings(max_examples=60, deadline=None)
@given(traffic(), st.integers(0, 100_000))
def test_forgetting_an_idle_row_changes_no_later_reading(steps, beyond):
    state, rows = counter(), rows_of()
    state.process(rows, events_of(steps))
    horizon = max((s[1] for s in steps if s[3]), default=0) + beyond
    idle = state.idle(rows, np.arange(NUMBERS), START + horizon)
    later = [(r, horizon + t, horizon + t, hit, True) for r in range(NUMBERS) for t, hit in ((0, 0), (3, 1), (90, 1))]
    kept, gone = rows.copy(), rows.copy()
    gone[idle, AT : AT + WORDS] = 0
    np.testing.assert_array_equal(state.process(gone, events_of(later)), state.process(kept, events_of(later)))
    levels = rows.view(np.float64)[:, AT + 1 : AT + 3]
    assert (levels[~idle].max(axis=1, initial=0) > FLOOR).all()
