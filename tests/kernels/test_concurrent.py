"""Live calls against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.model import Counter
from schemas.codes import ANSWER, RELEASE, SETUP
from streams.counting.kinds import pool
from streams.counting.kinds.base import Events
from streams.counting.kinds.concurrent import Concurrent
from streams.kernels.concurrent import WORDS
from tests.kernels.oracle_concurrent import ConcurrentOracle

BASE_MS = 1_763_000_000_000
MAX_AGE_MS = 10_000
CAPACITY = 4
AT = 2
LENGTH = AT + WORDS + 1


def counter() -> Concurrent:
    kind = Counter(
        "live", "cdr", frozenset({"setup", "release"}), "caller", "concurrent", settings=(("max_age_ms", MAX_AGE_MS),)
    )
    return Concurrent(kind, AT)


def table() -> np.ndarray:
    return np.zeros((CAPACITY, LENGTH), np.int64)


def events_of(seed: int, n: int, span: float, lost: float, rows: int = CAPACITY) -> Events:
    """Random calls of a few rows, `span` of them begun within max_age: double and lost releases, double set-ups,
    releases before their set-up, times out of order, silences."""
    rng = np.random.default_rng(seed)
    row = rng.integers(-1 if rows > 1 else 0, rows, n)
    clock = BASE_MS + np.cumsum(rng.exponential(MAX_AGE_MS / span, n)).astype(np.int64)
    clock += np.cumsum(rng.random(n) < 1 / n) * rng.integers(0, 3 * MAX_AGE_MS)
    at = clock - (rng.random(n) < 0.1) * rng.integers(0, int(1.2 * MAX_AGE_MS), n)
    kinds = rng.choice([SETUP, RELEASE, ANSWER], n, p=[0.55 + lost / 2, 0.35 - lost / 2, 0.1])
    # A phase in which releases prevail makes long lists short again.
    kinds = np.where((np.arange(n) > 0.6 * n) & (rng.random(n) < 0.6 - lost), RELEASE, kinds).astype(np.uint8)
    call = rng.integers(1, max(2, n // 2), n) * rng.choice([1, -(1 << 33)])
    as_of = np.zeros(n, np.int64)
    newest: dict[int, int] = {}
    for i in range(n):
        r = int(row[i])
        newest[r] = max(newest.get(r, 0), int(at[i]))
        if rng.random() < 0.05:
            newest[r] += int(rng.integers(0, MAX_AGE_MS))
        as_of[i] = newest[r]
    hit = (rng.random(n) < 0.95) & (row >= 0)
    return Events(row, at, as_of, hit, rng.random(n) < 0.8, call, kinds, rng.random(n) < 0.05)


def part(events: Events, start: int, end: int) -> Events:
    return Events(*(getattr(events, name)[start:end] for name in Events.__slots__))


def expected(events: Events) -> tuple[np.ndarray, dict[int, ConcurrentOracle]]:
    oracles = {r: ConcurrentOracle(MAX_AGE_MS) for r in range(-1, CAPACITY)}
    out = np.full(len(events.row), np.nan)
    for i in range(len(out)):
        oracle, call, t = oracles[int(events.row[i])], int(events.value[i]), int(events.at[i])
        if events.hit[i] and events.event[i] == SETUP and not events.closed[i]:
            oracle.setup(call, t)
        if events.hit[i] and events.event[i] == RELEASE:
            oracle.release(call, t)
        if events.read[i]:
            out[i] = oracle.read(int(events.as_of[i]))
    return out, oracles


def assert_slots_are_sound(state: Concurrent, rows: np.ndarray) -> None:
    """Every slot is either free and zero, or belongs to exactly one row and is zero behind its calls."""
    in_slot = rows[:, AT] < 0
    for code, (slots, width) in enumerate(((state.tiny, 8), (state.small, 64), (state.large, 1024))):
        held = in_slot & (rows[:, AT + 1] == code)
        used = (-rows[held, AT] - 1).tolist()
        free = slots.free[: slots.top[0]].tolist()
        assert sorted(used + free) == list(range(len(slots.free)))
        assert not slots.cells[free].any()
        for slot, count in zip(used, rows[held, AT + 2].tolist(), strict=True):
            assert slots.cells[slot, :count].all()
            assert not slots.cells[slot, count:width].any()
            assert not slots.cells[slot, width + count : 2 * width].any()
            assert not slots.cells[slot, 2 * width :].view(np.uint8)[count:].any()


def shape():
    """Seed, events, events within max_age, share of lost releases."""
    return (
        st.integers(0, 2**32),
        st.integers(1, 1500),
        st.sampled_from([3, 40, 400, 4000]),
        st.sampled_from([0.0, 0.2, 0.6]),
    )


@settings(max_examples=150, deadline=None)
@given(*shape())
def test_readings_are_those_of_the_oracle(seed, n, span, lost):
    events = events_of(seed, n, span, lost)
    state, rows = counter(), table()
    (out,) = state.process(rows, events)
    want, oracles = expected(events)
    np.testing.assert_array_equal(out, want)
    assert_slots_are_sound(state, rows)
    assert not rows[:, :AT].any()
    assert not rows[:, AT + WORDS :].any()
    for r in range(CAPACITY):
        assert (rows[r, AT] < 0) or len(oracles[r].calls) <= 2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.6]))
def test_lists_past_1024_calls_replace_the_earliest_as_the_oracle_does(seed, lost):
    events = events_of(seed, 6000, 40_000, lost, rows=1)
    state, rows = counter(), table()
    (out,) = state.process(rows, events)
    want, oracles = expected(events)
    np.testing.assert_array_equal(out, want)
    slot, count = -rows[0, AT] - 1, rows[0, AT + 2]
    if count > 64:
        cells = state.large.cells[slot]
        listed = dict(zip(cells[:count].tolist(), cells[1024 : 1024 + count].tolist(), strict=True))
        assert listed == oracles[0].calls


@settings(max_examples=60, deadline=None)
@given(*shape(), st.data())
def test_batches_split_anywhere_and_pools_that_grow_within_them_give_the_same_bits(seed, n, span, lost, data):
    events = events_of(seed, n, span, lost)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "SLOTS_FIRST", 1)
        whole, rows = counter(), table()
        (out,) = whole.process(rows, events)
        pieces, rows_of_pieces = counter(), table()
        parts = [
            pieces.process(rows_of_pieces, part(events, a, b))[0] for a, b in zip([0, *cuts], [*cuts, n], strict=True)
        ]
    roomy = counter()
    (out_of_roomy,) = roomy.process(table(), events)
    assert np.concatenate(parts).tobytes() == out.tobytes() == out_of_roomy.tobytes()
    assert rows_of_pieces.tobytes() == rows.tobytes()
    for name, slots in whole.pools().items():
        assert pieces.pools()[name].cells.tobytes() == slots.cells.tobytes(), name
        assert pieces.pools()[name].top == slots.top


@settings(max_examples=60, deadline=None)
@given(*shape(), st.integers(0, 2 * MAX_AGE_MS))
def test_an_idle_row_reads_empty_and_forgetting_it_gives_its_slots_back(seed, n, span, lost, ahead):
    events = events_of(seed, n, span, lost)
    state, rows = counter(), table()
    state.process(rows, events)
    _, oracles = expected(events)
    horizon = int(events.at.max()) - MAX_AGE_MS // 2 + ahead
    candidates = np.arange(CAPACITY)
    idle = state.idle(rows, candidates, horizon)
    assert idle.tolist() == [oracles[r].read(horizon) == 0 for r in range(CAPACITY)]
    gone = candidates[idle]
    state.forget(rows, gone)
    rows[gone] = 0
    assert_slots_are_sound(state, rows)


@settings(max_examples=20, deadline=None)
@given(*shape())
def test_rows_restored_into_another_counter_go_on_the_same(seed, n, span, lost):
    events = events_of(seed, n, span, lost)
    state, rows = counter(), table()
    state.process(rows, part(events, 0, n // 2))
    restored, rows_restored = counter(), table()
    # Into rows that hold something else: what they held is given back.
    other = np.random.default_rng(seed).permutation(CAPACITY)
    restored.process(rows_restored, part(events, n // 4, n))
    words = rows[other, AT : AT + state.words]
    restored.restore(rows_restored, other, words, state.save(rows, other))
    rows_restored[:, :AT], rows_restored[:, AT + state.words :] = rows[:, :AT], rows[:, AT + state.words :]
    assert [pool.used for pool in restored.pools().values()] == [pool.used for pool in state.pools().values()]
    assert_slots_are_sound(restored, rows_restored)
    (out,) = state.process(rows, part(events, n // 2, n))
    (out_restored,) = restored.process(rows_restored, part(events, n // 2, n))
    assert out.tobytes() == out_restored.tobytes()


def story(steps: list[tuple[int, int, int]]) -> Events:
    """(event, call, ms after the start) of row 0, all read as of the newest time so far."""
    kinds, calls, times = (np.array(column, np.int64) for column in zip(*steps, strict=True))
    at = BASE_MS + times
    n = len(steps)
    yes = np.ones(n, np.bool_)
    row = np.zeros(n, np.int64)
    return Events(row, at, np.maximum.accumulate(at), yes, yes, calls, kinds.astype(np.uint8), ~yes)


def test_doubles_count_once_and_releases_without_a_call_are_nothing():
    (out,) = counter().process(
        table(),
        story([(RELEASE, 9, 0), (SETUP, 1, 0), (SETUP, 1, 5), (ANSWER, 1, 6), (RELEASE, 1, 7), (RELEASE, 1, 8)]),
    )
    assert out.tolist() == [0, 1, 1, 1, 0, 0]


def test_a_call_is_live_while_its_age_is_below_max_age():
    (out,) = counter().process(
        table(), story([(SETUP, 1, 0), (SETUP, 2, 1), (ANSWER, 2, MAX_AGE_MS - 1), (ANSWER, 2, MAX_AGE_MS)])
    )
    assert out.tolist() == [1, 2, 2, 1]


def test_a_set_up_of_a_call_known_to_be_released_is_not_added():
    events = story([(SETUP, 1, 0), (SETUP, 2, 0)])
    events.closed[0] = True
    assert counter().process(table(), events)[0].tolist() == [0, 1]


def test_sixty_four_calls_are_exact_more_read_64_and_all_released_leave_nothing_behind():
    state, rows = counter(), table()
    calls = range(1, 301)
    (out,) = state.process(rows, story([(SETUP, c, c) for c in calls] + [(RELEASE, c, 301) for c in calls]))
    assert out.tolist() == [min(c, 64) for c in calls] + [min(300 - c, 64) for c in calls]
    assert not rows.any()
    assert (state.tiny.used, state.small.used, state.large.used) == (0, 0, 0)


def test_a_list_that_gets_shorter_goes_back_through_the_smaller_slots():
    state, rows = counter(), table()
    used = []
    for step in [(SETUP, c, c) for c in range(1, 71)] + [(RELEASE, c, 71) for c in range(1, 71)]:
        state.process(rows, story([step]))
        used.append((state.tiny.used, state.small.used, state.large.used))
    tiny, small, large, none = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)
    assert used[:70] == [none] * 2 + [tiny] * 6 + [small] * 56 + [large] * 6
    assert used[70:] == [large] * 37 + [small] * 28 + [tiny] * 3 + [none] * 2
    assert not state.large.cells.any()


def test_lost_releases_age_out_and_their_slots_come_back_at_the_next_call():
    state, rows = counter(), table()
    (out,) = state.process(rows, story([*((SETUP, c, c) for c in range(1, 2001)), (SETUP, 5000, 3 * MAX_AGE_MS)]))
    assert out[-1] == 1
    assert (state.tiny.used, state.small.used, state.large.used) == (0, 1, 0)
    (out,) = state.process(rows, story([(RELEASE, 5000, 3 * MAX_AGE_MS)]))
    assert out.tolist() == [0]
    assert (state.tiny.used, state.small.used, state.large.used) == (0, 0, 0)
    assert not rows.any()
