"""The home partition of a column of numbers against Java's partitioner in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.numbers import published
from streams.kafka.partition import partition_of as oracle
from streams.kernels.partition import partition_of

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def kernel(numbers: list[int], partitions: int) -> list[int]:
    out = np.full(len(numbers), -1, np.int32)
    partition_of(np.array(numbers, np.int64), partitions, out)
    return out.tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 19).flatmap(lambda d: st.integers(10 ** (d - 1), min(10**d - 1, INT64_MAX)))),
       st.integers(1, 5000))  # fmt: skip
def test_a_number_of_any_length_lies_where_the_producers_put_its_published_form(numbers, partitions):
    assert kernel(numbers, partitions) == [oracle(published(number).encode(), partitions) for number in numbers]


@given(st.lists(st.integers(INT64_MIN, 0)), st.integers(1, 5000))
@settings(max_examples=100, deadline=None)
def test_the_hash_of_a_text_lies_at_its_remainder(keys, partitions):
    assert kernel(keys, partitions) == [abs(key) % partitions for key in keys]


@pytest.mark.parametrize("number", [1, 9, 10, 99, 821011110001, 10**14, 10**15 - 1, 10**18, INT64_MAX])
def test_edges_of_lengths_agree(number):
    assert kernel([number], 97) == [oracle(published(number).encode(), 97)]


def test_korean_mobile_numbers_spread_evenly():
    counts = np.bincount(kernel(list(range(821000000000, 821000100000)), 12), minlength=12)
    assert counts.min() > 0.9 * 100_000 / 12
    assert counts.max() < 1.1 * 100_000 / 12
