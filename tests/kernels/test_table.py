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


@njit
def place(table, key, slot):
    return kernels.place(table, key, slot)


def _colliding(slot: int, count: int) -> list[int]:
    """Keys whose home is `slot` in a table of 16."""
    return [key for key in range(1, 4000) if mix(key) & 15 == slot][:count]


def test_mix_is_splitmix64():
    # The first outputs of the reference splitmix64 seeded with 0: its state steps by the golden ratio before mixing.
    assert int(mix(0)) & (2**64 - 1) == 0xE220A8397B1DCDAF
    assert int(mix(np.int64(0x9E3779B97F4A7C15 - 2**64))) & (2**64 - 1) == 0x6E789E6AA1B965F4


def _filled(pairs: dict[int, int], capacity: int) -> np.ndarray:
    table = np.zeros((capacity, 2), np.int64)
    for key, row in pairs.items():
        slot = place(table, key, mix(key) & (capacity - 1))
        table[slot] = key, row
    return table


def _found(table: np.ndarray, keys: list[int]) -> list[int]:
    out = np.empty(len(keys), np.int64)
    kernels.find(table, np.array(keys, np.int64), out)
    return out.tolist()


def test_zero_is_found_nowhere():
    assert _found(_filled({5: 0}, 16), [0, 5]) == [-1, 0]


@pytest.mark.parametrize("slot", [3, 14, 15])
def test_deleting_closes_the_gap_in_a_run_of_colliding_keys_also_around_the_end(slot):
    keys = _colliding(slot, 4) + _colliding((slot + 1) & 15, 3)
    for gone in keys:
        pairs = {key: i for i, key in enumerate(keys)}
        table = _filled(pairs, 16)
        assert kernels.delete(table, np.array([gone, gone], np.int64)) == 1
        assert _found(table, keys) == [-1 if key == gone else pairs[key] for key in keys]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.integers(1, 60) | INT64, st.integers(0, 1000), max_size=30), st.data())
def test_any_mix_of_deletes_and_growth_leaves_what_a_dict_would_hold(pairs, data):
    table = _filled(pairs, 64)
    gone = data.draw(st.lists(st.sampled_from([*pairs, 777]), max_size=20))
    deleted = kernels.delete(table, np.array(gone, np.int64))
    left = {key: row for key, row in pairs.items() if key not in gone}
    assert deleted == len(pairs) - len(left)
    grown = np.zeros((128, 2), np.int64)
    kernels.rehash(table, grown)
    for each in (table, grown):
        assert _found(each, [*pairs, 777]) == [left.get(key, -1) for key in [*pairs, 777]]
