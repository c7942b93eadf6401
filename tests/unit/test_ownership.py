"""Which partitions a worker accepts."""

from __future__ import annotations

import pytest

from streams.kafka.ownership import Refused, owned_partitions


def test_equal_numbers_of_all_topics_are_owned() -> None:
    assert owned_partitions({"message-relay": [1, 0], "cdr": [0, 1]}) == {0, 1}


def test_a_worker_without_partitions_owns_none() -> None:
    assert owned_partitions({"message-relay": [], "cdr": []}) == frozenset()


@pytest.mark.parametrize("cdr", [[], [0], [0, 2], [0, 1, 2]])
def test_numbers_that_differ_between_topics_are_refused_with_both_lists(cdr: list[int]) -> None:
    with pytest.raises(Refused, match=r"cdr: .*; message-relay: 0, 1.*`range`"):
        owned_partitions({"message-relay": [0, 1], "cdr": cdr})
