"""Peaks of live calls against their oracle."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codes import RELEASE, SETUP
from streams.counting.kinds.peak import WindowPeak
from tests.kernels.oracle_concurrent import ConcurrentOracle
from tests.kernels.oracle_peak import OraclePeak
from tests.kernels.test_concurrent import AT, CAPACITY, MAX_AGE_MS, events_of, part

WINDOWS = st.sampled_from([50, 2_000, 30_000])


def counter(window_ms):
    return WindowPeak({"max_age_ms": MAX_AGE_MS, "window_ms": window_ms}, AT)


def rows_of(state):
    return np.zeros((CAPACITY, AT + state.words + 1), np.int64)


def expected(events, window_ms):
    calls, peaks = [ConcurrentOracle(MAX_AGE_MS) for _ in range(CAPACITY + 1)], OraclePeak(window_ms)
    out = np.full((len(events.row), 2), np.nan)
    for i, (row, as_of) in enumerate(zip(events.row.tolist(), events.as_of.tolist(), strict=True)):
        live, call, at = calls[row], int(events.value[i]), int(events.at[i])
        if events.hit[i]:
            if events.event[i] == SETUP and not events.closed[i]:
                live.setup(call, at)
            elif events.event[i] == RELEASE:
                live.release(call, at)
            peaks.note(row, as_of, int(live.read(as_of)))
        if events.read[i]:
            out[i] = peaks.read(row, as_of, int(live.read(as_of))), live.read(as_of)
    return out


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 1000), st.sampled_from([3, 8, 40, 400]), st.sampled_from([0.0, 0.3]),
    WINDOWS, st.data(),
)  # fmt: skip
def test_readings_are_those_of_the_oracle_however_they_are_split(seed, n, span, lost, window_ms, data):
    events = events_of(seed, n, span, lost)
    state = counter(window_ms)
    rows, out, done = rows_of(state), [], 0
    while done < n:
        size = data.draw(st.integers(1, n - done))
        out += zip(*state.process(rows, part(events, done, done + size)), strict=True)
        done += size
    np.testing.assert_array_equal(out, expected(events, window_ms))
    assert not rows[:, :AT].any()
    assert not rows[:, -1].any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([3, 40, 400]), WINDOWS)
def test_a_row_that_was_saved_reads_on_in_another_place_as_if_nothing_had_been(seed, span, window_ms):
    events = events_of(seed, 400, span, 0.2)
    state = counter(window_ms)
    rows, index = rows_of(state), np.arange(CAPACITY)
    state.process(rows, part(events, 0, 200))
    saved, words = state.save(rows, index), rows[:, AT : AT + state.words].copy()
    there = counter(window_ms)
    fresh = rows_of(there)
    there.restore(fresh, index[::-1].copy(), words, saved)
    rest = part(events, 200, 400)
    moved = replace(rest, row=np.where(rest.row >= 0, CAPACITY - 1 - rest.row, -1))
    np.testing.assert_array_equal(np.array(there.process(fresh, moved)).T, expected(events, window_ms)[200:])
    state.forget(rows, index)
    assert all(pool.used == 0 for pool in state.pools().values())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([3, 40, 400]), st.integers(0, 40_000))
def test_a_row_is_idle_exactly_when_it_reads_nothing_from_then_on(seed, span, later_ms):
    events = events_of(seed, 60, span, 0.3)
    state = counter(5_000)
    rows = rows_of(state)
    state.process(rows, events)
    horizon = int(events.as_of.max()) + later_ms
    rows_there = np.arange(CAPACITY)
    n, yes = CAPACITY, np.ones(CAPACITY, np.bool_)
    asked = replace(
        part(events, 0, n), row=rows_there, as_of=np.full(n, horizon), hit=~yes, read=yes, event=np.zeros(n, np.uint8)
    )
    peak, _ = state.process(rows, asked)
    assert state.idle(rows, rows_there, horizon).tolist() == (peak == 0).tolist()


@pytest.mark.parametrize("lines", [4, 5, 64, 70])
def test_a_slot_is_given_back_once_its_peak_has_left_the_window(lines):
    """Set-ups of so many calls and their releases, then one call much later."""
    at = np.arange(2 * lines + 1) + 1_763_000_000_000
    at[-1] += 1_000_000
    event = np.array([SETUP] * lines + [RELEASE] * lines + [SETUP], np.uint8)
    call = np.array([*range(1, lines + 1), *range(1, lines + 1), 1])
    yes = np.ones(len(at), np.bool_)
    state = counter(30_000)
    rows = rows_of(state)
    batch = replace(
        events_of(1, len(at), 3, 0.0), row=np.zeros(len(at), np.int64), at=at, as_of=at, hit=yes, read=yes, value=call,
        event=event, closed=~yes,
    )  # fmt: skip
    out, _ = state.process(rows, batch)
    assert out[2 * lines - 1] == min(64, lines)
    assert out[-1] == 1
    assert state.peaks.pool.used == 0
    assert not state.peaks.pool.cells.any()
