"""Which partitions a worker accepts."""

from __future__ import annotations

import pytest

from streams.kafka.ownership import Refused, owned_partitions, refuse_changed_count


def test_equal_numbers_of_all_topics_are_owned() -> None:
    assert owned_partitions({"message-relay": [1, 0], "cdr": [0, 1]}) == {0, 1}


def test_a_worker_without_partitions_owns_none() -> None:
    assert owned_partitions({"message-relay": [], "cdr": []}) == frozenset()


@pytest.mark.parametrize("cdr", [[], [0], [0, 2], [0, 1, 2]])
def test_numbers_that_differ_between_topics_are_refused_with_both_lists(cdr: list[int]) -> None:
    with pytest.raises(Refused, match=r"cdr: .*; message-relay: 0, 1.*`range`"):
        owned_partitions({"message-relay": [0, 1], "cdr": cdr})


NOTE = "grayline1 parts=4 commit=2c1f-17"


@pytest.mark.parametrize("note", [NOTE, "", "kafka-consumer-groups.sh", "grayline1 parts=0 commit=2c1f-1"])
def test_commits_of_this_partition_count_or_of_no_known_one_are_gone_on_from(note: str) -> None:
    refuse_changed_count({("cdr", 0): note, ("rekeyed", 0): ""}, 4, "g")


@pytest.mark.parametrize("partitions", [3, 5, 44])
def test_commits_made_with_another_partition_count_are_refused_with_the_way_out(partitions: int) -> None:
    with pytest.raises(Refused) as refusal:
        refuse_changed_count({("cdr", 0): "", ("cdr", 1): NOTE}, partitions, "g")
    said = str(refusal.value)
    assert (
        f"group 'g' committed partition 1 of 'cdr' when the topics had 4 partitions, and now they have {partitions}:"
        in said
    )
    assert "make all topics anew with 4 partitions" in said
    assert f"`grayline topics create --partitions {partitions}`" in said
    assert "--group" in said
    assert "All other blocks are forgotten" in said
