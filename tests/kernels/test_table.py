"""The number -> row table against a dict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from streams.kernels import mixing
from streams.kernels import table as kernels

INT64 = st.integers(-(2**63), 2**63 - 1).filter(bool)


@njit
def mix(key):
    """A helper of kernels has no other way in from Python."""
    return mixing.mix(key)


def _colliding(slot: int, count: int) -> list[int]:
    """Keys whose home is `slot` in a table of 16."""
    return [key for key in range(1, 4000) if mix(key) & 15 == slot][:count]


def test_mix_is_splitmix64():
    # The first outputs of the reference splitmix64 seeded with 0: its state steps by the golden ratio before mixing.
    assert int(mix(0)) & (2**64 - 1) == 0xE220A8397B1DCDAF
    assert int(mix(np.int64(0x9E3779B97F4A7C15 - 2**64))) & (2**64 - 1) == 0x6E789E6AA1B965F4


def _filled(keys: list[int], capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """A table of these keys and the rows that it names, the i-th for the i-th."""
    rows = np.zeros((len(keys), 1), np.int64)
    rows[:, 0] = keys
    table = np.zeros((capacity, 1), np.int64)
    kernels.refill(table, rows, len(rows))
    return table, rows


def _found(table: np.ndarray, rows: np.ndarray, keys: list[int]) -> list[int]:
    out = np.empty(len(keys), np.int64)
    kernels.find(table, rows, np.array(keys, np.int64), out)
    return out.tolist()


def test_zero_is_found_nowhere():
    assert _found(*_filled([5], 16), [0, 5]) == [-1, 0]


@pytest.mark.parametrize("slot", [3, 14, 15])
def test_deleting_closes_the_gap_in_a_run_of_colliding_keys_also_around_the_end(slot):
    keys = _colliding(slot, 4) + _colliding((slot + 1) & 15, 3)
    for gone in keys:
        table, rows = _filled(keys, 16)
        assert kernels.delete(table, rows, np.array([gone, gone], np.int64)) == 1
        assert _found(table, rows, keys) == [-1 if key == gone else i for i, key in enumerate(keys)]


def test_a_number_is_told_from_another_whose_mix_has_the_same_upper_half():
    table, rows = _filled([5], 16)
    mixed = int(mix(5))
    other = unmixed(mixed ^ 16)  # another slot's number, in the same slot of a table of 16
    assert int(mix(other)) == mixed ^ 16
    assert _found(table, rows, [5, other]) == [0, -1]


def unmixed(mixed: int) -> int:
    """The key of this mix: each step of splitmix64's finaliser undone."""
    whole = 2**64
    z = mixed % whole
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        undone = z
        for _ in range(3):
            undone = z ^ (undone >> shift)
        z = undone * pow(factor, -1, whole) % whole
    key = (z - 0x9E3779B97F4A7C15) % whole
    return key - whole if key >= whole // 2 else key


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(1, 60) | INT64, max_size=30, unique=True), st.data())
def test_any_mix_of_deletes_and_growth_leaves_what_a_dict_would_hold(keys, data):
    table, rows = _filled(keys, 64)
    gone = data.draw(st.lists(st.sampled_from([*keys, 777]), max_size=20))
    deleted = kernels.delete(table, rows, np.array(gone, np.int64))
    left = {key: row for row, key in enumerate(keys) if key not in gone}
    assert deleted == len(keys) - len(left)
    assert _found(table, rows, [*keys, 777]) == [left.get(key, -1) for key in [*keys, 777]]
    rows[[row for row, key in enumerate(keys) if key in gone]] = 0
    grown = np.zeros((128, 1), np.int64)
    kernels.refill(grown, rows, len(rows))
    assert _found(grown, rows, [*keys, 777]) == [left.get(key, -1) for key in [*keys, 777]]
