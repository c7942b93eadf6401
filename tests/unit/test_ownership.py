"""The partitions that a worker accepts."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.kafka.ownership import Refused, committed_offsets, owned_partitions, refuse_changed_count
from streams.kafka.settings import BrokerAway


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


class Coordinator:
    """Gives these answers to requests for commits, one after the other: a partition's error, or a raised one."""

    def __init__(self, *answers: int | KafkaException) -> None:
        self.answers = list(answers)

    def committed(self, asked: list[TopicPartition], timeout: float) -> list[Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, KafkaException):
            raise answer
        return [Entry(place.topic, place.partition, KafkaError(answer) if answer else None) for place in asked]


class Entry:
    def __init__(self, topic: str, partition: int, error: KafkaError | None) -> None:
        self.topic, self.partition, self.error = topic, partition, error


def test_a_coordinator_that_is_only_just_being_made_is_asked_again() -> None:
    raised = KafkaException(KafkaError(KafkaError.NOT_COORDINATOR))
    coordinator: Any = Coordinator(raised, KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NO_ERROR)
    told = committed_offsets(coordinator, [TopicPartition("cdr", 0)], 30.0, "g")
    assert [entry.topic for entry in told] == ["cdr"]
    assert coordinator.answers == []


def test_a_missing_right_is_refused_at_once_and_names_what_it_is_on() -> None:
    denied: Any = Coordinator(KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)))
    with pytest.raises(Refused, match="Read on the group"):
        committed_offsets(denied, [TopicPartition("cdr", 0)], 30.0, "g")
    denied = Coordinator(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(Refused, match="partition 3 of 'cdr'"):
        committed_offsets(denied, [TopicPartition("cdr", 3)], 30.0, "g")


def test_a_coordinator_that_does_not_tell_may_do_so_later() -> None:
    """Nothing is refused then: a worker that refuses is not started again."""
    settling: Any = Coordinator(*[KafkaError.NOT_COORDINATOR] * 9)
    with pytest.raises(BrokerAway, match="partition 0 of 'cdr'"):
        committed_offsets(settling, [TopicPartition("cdr", 0)], 0.0, "g")
    for code in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.UNKNOWN):
        for answer in (code, KafkaException(KafkaError(code))):
            with pytest.raises(BrokerAway, match="'g'"):
                committed_offsets(Coordinator(answer), [TopicPartition("cdr", 0)], 30.0, "g")  # type: ignore[arg-type]
