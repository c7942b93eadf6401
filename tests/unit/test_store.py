"""A topic's rows: growth, the bound, newest times, reclaiming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.counting.rows import HEADER, NUMBER, Store
from tests.kernels.oracle_table import StoreOracle

EVENT = st.tuples(st.integers(-3, 12), st.integers(1, 50), st.booleans(), st.booleans())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.lists(EVENT, max_size=20), st.integers(0, 50)), max_size=6), st.integers(1, 8))
def test_store_agrees_with_the_oracle_through_batches_reclaims_and_the_bound(batches, maximum):
    store, oracle = Store(2, maximum), StoreOracle(maximum)
    for batch, horizon in batches:
        keys, at, insert, touch = (np.array(c) for c in zip(*batch, strict=True)) if batch else [[]] * 4
        keys, at = np.array(keys, np.int64), np.array(at, np.int64)
        insert, touch = (np.array(c, np.bool_) for c in (insert, touch))
        rows = store.rows_of(keys, insert)
        assert (rows >= 0).tolist() == [oracle.see(int(k), bool(i)) for k, i in zip(keys, insert, strict=True)]
        assert (store.rows[rows[rows >= 0], NUMBER] == keys[rows >= 0]).all()
        # Rows are looked up for the whole batch before times are noted: a number that got its row late in the
        # batch has none for its events before.
        have = [int(k) if r >= 0 else None for k, r in zip(keys, rows, strict=True)]
        expected = [oracle.note(k, *map(int, rest)) for k, *rest in zip(have, at, touch, strict=True)]
        assert store.note_times(rows, at, touch).tolist() == expected
        for _ in range(2):  # the rest of the round that the cursor is in, then a whole one
            store.reclaim(np.array([horizon]), [], [], 100)
        oracle.reclaim(horizon)
        assert len(store) == len(oracle.newest)
        assert store.untracked == oracle.untracked


def test_a_hundred_thousand_numbers_keep_their_rows_while_the_store_grows():
    store = Store(1, 1_000_000)
    keys = np.arange(821000000000, 821000100000, dtype=np.int64)
    rows = store.rows_of(keys)
    assert np.array_equal(np.sort(rows), np.arange(100_000))
    assert np.array_equal(store.rows_of(keys, False), rows)
    assert np.array_equal(store.rows[rows, NUMBER], keys)


def test_numbers_beyond_the_maximum_are_untracked_until_a_row_is_reclaimed():
    store = Store(1, 3)
    at, yes = np.array([10, 20, 30, 40]), np.ones(4, np.bool_)
    rows = store.rows_of(np.array([1, 2, 3, 4]))
    assert rows.tolist() == [0, 1, 2, -1]
    assert store.untracked == 1
    store.note_times(rows, at, yes)
    store.rows[1, HEADER] = 99
    assert store.reclaim(np.array([20]), [lambda _, c, h: c == 1], [lambda *_: None], 100) == 1
    assert store.rows_of(np.array([4, 1, 2, 3])).tolist() == [1, 0, -1, 2]
    assert store.rows[1].tolist() == [4, 0, 0]


def test_reclaiming_looks_at_no_more_rows_than_its_budget_and_comes_round():
    store = Store(0, 100)
    store.rows_of(np.arange(1, 11))
    store.note_times(np.arange(10), np.ones(10, np.int64), np.ones(10, np.bool_))
    store.reclaim(np.array([0]), [], [], 0)  # a round for the new ones
    assert [store.reclaim(np.array([1]), [], [], 4) for _ in range(4)] == [4, 4, 2, 0]


def test_rows_come_back_however_many_numbers_are_new_at_each_call():
    store, most = Store(0, 1_000_000), 0
    for epoch in range(1, 200):
        keys = np.arange(100) + 100 * epoch
        rows = store.rows_of(keys)
        store.note_times(rows, np.full(100, epoch), np.ones(100, np.bool_))
        store.reclaim(np.array([epoch - 10]), [], [], 10)
        most = max(most, len(store))
        assert epoch <= 10 or (store.rows_of(keys - 900, False) >= 0).all()
    assert most <= 2 * 1000


def test_forget_is_told_exactly_the_rows_that_go():
    store, told = Store(0, 100), []
    store.rows_of(np.arange(1, 7))
    store.reclaim(
        np.array([0]), [lambda _, c, h: c % 2 == 0, lambda _, c, h: c > 0], [lambda _, gone: told.extend(gone)], 100
    )
    assert told == [2, 4]


def test_a_short_insert_mask_is_refused():
    with pytest.raises(ValueError, match="1 entries for 2 numbers"):
        Store(0, 10).rows_of(np.array([1, 2]), np.array([True]))
