"""Distinct keys in a window against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.model import Counter
from streams.counting.kinds import pool
from streams.counting.kinds.base import Events
from streams.counting.kinds.distinct import Distinct
from streams.kernels.distinct import WORDS
from tests.kernels.oracle_distinct import DistinctOracle, estimate

BASE_MS = 1_763_000_000_000
CAPACITY = 6
AT = 3  # the counter's first word in a row that others share
LENGTH = AT + WORDS + 1


def counter(window_ms: int) -> Distinct:
    kind = Counter("callees", "cdr", frozenset({"setup"}), "caller", "distinct", "callee", (("window_ms", window_ms),))
    return Distinct(kind, AT)


def table() -> np.ndarray:
    return np.zeros((CAPACITY, LENGTH), np.int64)


def events_of(seed: int, n: int, window_ms: int, keys: int) -> Events:
    """Random events of a few rows: bursts, silences longer than the window, late hits, reads later than the hits."""
    rng = np.random.default_rng(seed)
    row = rng.integers(-1, CAPACITY, n)
    pace = rng.choice([0.002, 0.02, 0.2])
    clock = BASE_MS + np.cumsum(rng.exponential(pace * window_ms / CAPACITY, n)).astype(np.int64)
    clock += np.cumsum(rng.random(n) < 2 / n) * rng.integers(window_ms // 2, 3 * window_ms)
    at = clock - (rng.random(n) < 0.3) * rng.integers(0, int(1.3 * window_ms) + 1, n)
    read = rng.random(n) < 0.7
    as_of = np.zeros(n, np.int64)
    newest: dict[int, int] = {}
    for i in range(n):
        r = int(row[i])
        newest[r] = max(newest.get(r, 0), int(at[i]))
        if rng.random() < 0.1:  # an event of another topic that the rule's counters use
            newest[r] += int(rng.integers(0, 2 * window_ms))
        as_of[i] = newest[r]
    value = rng.integers(-keys, keys, n) * rng.choice([1, 1 << 40])
    hit = (rng.random(n) < 0.8) & (row >= 0)
    return Events(row, at, as_of, hit, read, value, np.zeros(n, np.uint8), np.zeros(n, np.bool_))


def part(events: Events, start: int, end: int) -> Events:
    return Events(*(getattr(events, name)[start:end] for name in Events.__slots__))


def expected(events: Events, window_ms: int) -> tuple[np.ndarray, dict[int, DistinctOracle]]:
    oracles = {r: DistinctOracle(window_ms) for r in range(-1, CAPACITY)}
    out = np.full(len(events.row), np.nan)
    for i in range(len(out)):
        oracle = oracles[int(events.row[i])]
        if events.hit[i] and events.value[i] != 0:
            oracle.hit(int(events.value[i]), int(events.at[i]))
        if events.read[i]:
            out[i] = oracle.read(int(events.as_of[i]))
    return out, oracles


def shape():
    """Seed, events, window in ms, half the number of different keys."""
    return (
        st.integers(0, 2**32),
        st.integers(1, 1200),
        st.sampled_from([12, 1000, 60_000, 86_400_000]),
        st.sampled_from([2, 10, 20, 200]),
    )


def assert_slots_are_sound(state: Distinct, rows: np.ndarray) -> None:
    """Every slot is either free and zero, or belongs to exactly one row."""
    in_slot = rows[:, AT] < 0
    words = rows[:, AT + 2]
    tiny, wide = in_slot & (words > 0) & (words <= 8), in_slot & (words > 64)
    for slots, held in ((state.tiny, tiny), (state.wide, wide), (state.sketch, in_slot & (words < 0))):
        used = (-rows[held, AT] - 1).tolist()
        free = slots.free[: slots.top[0]].tolist()
        assert sorted(used + free) == list(range(len(slots.free)))
        assert not slots.cells[free].any()


@settings(max_examples=150, deadline=None)
@given(*shape())
def test_readings_are_those_of_the_oracle(seed, n, window_ms, keys):
    events = events_of(seed, n, window_ms, keys)
    state, rows = counter(window_ms), table()
    (out,) = state.process(rows, events)
    want, _ = expected(events, window_ms)
    np.testing.assert_array_equal(out, want)
    assert_slots_are_sound(state, rows)
    assert not rows[:, :AT].any()
    assert not rows[:, AT + WORDS :].any()


@settings(max_examples=60, deadline=None)
@given(*shape(), st.data())
def test_batches_split_anywhere_and_pools_that_grow_within_them_give_the_same_bits(seed, n, window_ms, keys, data):
    events = events_of(seed, n, window_ms, keys)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "SLOTS_FIRST", 1)
        whole, rows = counter(window_ms), table()
        (out,) = whole.process(rows, events)
        pieces, rows_of_pieces = counter(window_ms), table()
        parts = [
            pieces.process(rows_of_pieces, part(events, a, b))[0] for a, b in zip([0, *cuts], [*cuts, n], strict=True)
        ]
    roomy, rows_of_roomy = counter(window_ms), table()
    (out_of_roomy,) = roomy.process(rows_of_roomy, events)
    assert np.concatenate(parts).tobytes() == out.tobytes() == out_of_roomy.tobytes()
    assert rows_of_pieces.tobytes() == rows.tobytes()
    for name, slots in whole.pools().items():
        assert pieces.pools()[name].cells.tobytes() == slots.cells.tobytes(), name
        assert pieces.pools()[name].top == slots.top


@settings(max_examples=60, deadline=None)
@given(*shape(), st.integers(0, 2 * 86_400_000))
def test_an_idle_row_reads_empty_and_forgetting_it_gives_its_slots_back(seed, n, window_ms, keys, ahead):
    events = events_of(seed, n, window_ms, keys)
    state, rows = counter(window_ms), table()
    state.process(rows, events)
    _, oracles = expected(events, window_ms)
    horizon = int(events.at.max()) + ahead % (2 * window_ms) - window_ms // 2
    candidates = np.array([r for r in range(CAPACITY) if (oracles[r].newest or 0) <= horizon], np.int64)
    idle = state.idle(rows, candidates, horizon)
    assert idle.tolist() == [oracles[r].read(horizon) == 0 for r in candidates.tolist()]
    gone = candidates[idle]
    state.forget(rows, gone)
    rows[gone] = 0
    assert_slots_are_sound(state, rows)


@settings(max_examples=20, deadline=None)
@given(*shape())
def test_rows_restored_into_another_counter_go_on_the_same(seed, n, window_ms, keys):
    events = events_of(seed, n, window_ms, keys)
    state, rows = counter(window_ms), table()
    state.process(rows, part(events, 0, n // 2))
    restored, rows_restored = counter(window_ms), table()
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


def hits(keys: list[int], times: list[int], as_of: list[int] | None = None) -> Events:
    """All of row 0, all hits, all read."""
    n = len(keys)
    at = np.array(times, np.int64)
    yes = np.ones(n, np.bool_)
    read_at = np.maximum.accumulate(at) if as_of is None else np.array(as_of, np.int64)
    value = np.array(keys, np.int64)
    return Events(np.zeros(n, np.int64), at, read_at, yes, yes, value, np.zeros(n, np.uint8), ~yes)


def test_a_key_leaves_the_window_exactly_when_its_newest_time_is_the_window_ago():
    times = [BASE_MS, BASE_MS + 1, BASE_MS + 1000, BASE_MS + 1000]
    (out,) = counter(1000).process(table(), hits([1, 2, 0, 0], times, [t - (i == 2) for i, t in enumerate(times)]))
    assert out.tolist() == [1, 2, 2, 1]


def test_a_late_hit_does_not_move_its_key_back():
    times = [BASE_MS + 900, BASE_MS + 100, BASE_MS + 900]
    (out,) = counter(1000).process(table(), hits([1, 1, 0], times, [BASE_MS + 900, BASE_MS + 900, BASE_MS + 1899]))
    assert out.tolist() == [1, 1, 1]


def test_thirty_two_keys_are_exact_the_next_reads_at_least_33_and_silence_makes_exact_again():
    state, rows = counter(12_000), table()
    (out,) = state.process(rows, hits(list(range(1, 34)), list(range(BASE_MS, BASE_MS + 33))))
    assert out[:32].tolist() == list(range(1, 33))
    assert 33 <= out[32] <= 40
    assert state.sketch.used == 1
    assert (state.tiny.used, state.wide.used) == (0, 0)
    (out,) = state.process(rows, hits([5, 6, 5], [BASE_MS + 13_000] * 3))
    assert out.tolist() == [1, 2, 2]
    assert state.sketch.used == 0


def test_a_number_that_calms_down_gives_its_larger_slots_back():
    state, rows = counter(1000), table()
    used = []
    readings = []
    burst = [BASE_MS + ms for ms in range(30)]
    calm = [BASE_MS + ms for ms in (500, 900, 1400, 2000, 2600, 3200, 3800, 4400, 5000)]
    for key, t in enumerate(burst + calm, start=1):
        readings += state.process(rows, hits([key], [t]))[0].tolist()
        used.append((state.tiny.used, state.wide.used))
    assert used == [(0, 0)] * 2 + [(1, 0)] * 6 + [(0, 1)] * 24 + [(1, 0)] * 6 + [(0, 0)]
    assert readings == [*range(1, 31), 31, 32, 3, 2, 2, 2, 2, 2, 2]


def test_keys_outside_the_window_do_not_promote():
    state, rows = counter(3200), table()
    (out,) = state.process(rows, hits(list(range(1, 500)), list(range(BASE_MS, BASE_MS + 49_900, 100))))
    assert out.tolist() == [min(k, 32) for k in range(1, 500)]
    assert state.sketch.used == 0


@pytest.mark.parametrize("n", [10, 40, 100, 300, 700, 1300, 5000, 50_000])
def test_the_estimate_has_the_error_it_states(n):
    errors = np.array(
        [estimate(set(range(seed << 20, (seed << 20) + n))) / n - 1 for seed in range(1, 81)][: 4_000_000 // n]
    )
    assert abs(errors.mean()) < 0.065 / len(errors) ** 0.5 * 4
    assert errors.std() < 0.065 * 1.3
