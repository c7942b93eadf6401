"""A worker in a group whose members do not all read the same topics yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Message, TopicPartition

from streams.ingest.epoch import Place
from streams.kafka.clients import Clients
from streams.kafka.fetcher import Fetcher, Owner
from streams.kafka.ownership import Refused, Start
from streams.kafka.topic_ids import TopicIds
from streams.runtime.settings import WorkerSettings
from streams.runtime.start_from import StartFrom

MESSAGES, REPORTS, STRAYS = "message-relay", "reports", "rekeyed"


class GivenConsumer:
    """Is assigned what a test says, at the polls at which it says so."""

    def __init__(self) -> None:
        self.subscriptions: list[list[str]] = []
        self.given: list[dict[str, list[int]]] = []
        self.read: set[Place] = set()
        self.is_closing = self.asked_in_vain = False

    def subscribe(self, topics: list[str], *, on_assign: Callable[..., None], **_: Any) -> None:
        self.subscriptions.append(list(topics))
        self._on_assign = on_assign

    def consume(self, count: int, timeout: float) -> list[Message]:
        if self.given:
            told = self.given.pop(0)
            self._on_assign(self, [TopicPartition(topic, p) for topic, numbers in told.items() for p in numbers])
        return []

    def list_topics(self, topic: str, timeout: float) -> Any:
        known = SimpleNamespace(error=None, partitions=dict.fromkeys(range(4)))
        return SimpleNamespace(cluster_id="c", topics={topic: known})

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.asked_in_vain |= self.is_closing
        return partitions

    def get_watermark_offsets(self, entry: TopicPartition, **_: Any) -> tuple[int, int]:
        return (0, 0)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.read = {(entry.topic, entry.partition) for entry in partitions}

    def close(self) -> None:
        """What the group has given and no poll has told is told here, where the broker answers nothing else."""
        self.is_closing = True
        self.consume(1, 0.0)

    def forward(self, places: Collection[Place]) -> None: ...
    def consumer_group_metadata(self) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...


class NoIds:
    """Those of a broker that knows none."""

    known: Mapping[str, str] = {}

    def learn(self) -> None: ...

    def check_once(self) -> None: ...
    def check_a_while(self) -> None: ...


class TakesAll:
    def assigned(self, start: Start) -> list[Place]:
        return []

    def revoked(self, lost: bool) -> None: ...


def reading(*given: dict[str, list[int]]) -> tuple[Fetcher, GivenConsumer]:
    """A worker that reads messages, reports and strays, whose rules count messages."""
    consumer = GivenConsumer()
    clients = SimpleNamespace(consumer=lambda config, in_columns: consumer, message_type=Message)
    settings = WorkerSettings(consumer={}, producer={}, start_from=StartFrom("earliest"), name="w")
    topics = (MESSAGES, REPORTS, STRAYS)
    fetcher = Fetcher(settings, topics, cast(Clients, clients), cast(TopicIds, NoIds()), counted=(MESSAGES, STRAYS))
    fetcher.topology()
    fetcher.subscribe(TakesAll())
    consumer.given = list(given)
    while consumer.given:
        fetcher.fetch()
    fetcher.fetch()
    return fetcher, consumer


def places(numbers: list[int], *topics: str) -> set[Place]:
    return {(topic, p) for topic in topics for p in numbers}


EQUAL = {MESSAGES: [0, 1], REPORTS: [0, 1], STRAYS: [0, 1]}


def test_partitions_of_a_topic_that_no_rule_counts_are_read_as_far_as_the_others_are_owned() -> None:
    for reports, both in (([0, 1, 2, 3], [0, 1]), ([1, 2], [1]), ([0, 1], [0, 1])):
        _, consumer = reading(EQUAL | {REPORTS: reports})
        assert consumer.read == places([0, 1], MESSAGES, STRAYS) | places(both, REPORTS)
        assert consumer.subscriptions == [[MESSAGES, REPORTS, STRAYS]]


def test_different_partitions_of_a_topic_that_rules_count_are_refused_as_ever() -> None:
    with pytest.raises(Refused, match="message-relay: 0, 1; rekeyed: 0, 1, 2"):
        reading(EQUAL | {STRAYS: [0, 1, 2]})


def test_rules_may_count_a_topic_once_its_partitions_are_those_of_the_others() -> None:
    fetcher, _ = reading(EQUAL | {REPORTS: [0, 1, 2]})
    with pytest.raises(Refused, match="reports: 0, 1, 2"):
        fetcher.count([MESSAGES, REPORTS])
    fetcher, consumer = reading(EQUAL)
    fetcher.count([MESSAGES, REPORTS])
    consumer.given = [EQUAL | {REPORTS: [0]}]
    with pytest.raises(Refused, match=r"reports: 0\)"):  # from then on it is held to it
        fetcher.fetch()


def test_what_was_refused_to_be_counted_is_still_read_only() -> None:
    fetcher, consumer = reading(EQUAL | {REPORTS: [0, 1, 2]})
    with pytest.raises(Refused):
        fetcher.count([REPORTS])
    consumer.given = [EQUAL | {REPORTS: [1]}]
    fetcher.fetch()
    fetcher.fetch()
    assert consumer.read == places([0, 1], MESSAGES, STRAYS) | places([1], REPORTS)


def test_a_member_that_is_given_nothing_of_a_new_topic_has_the_group_share_out_anew_once() -> None:
    old = EQUAL | {REPORTS: []}
    every, counted = [MESSAGES, REPORTS, STRAYS], [MESSAGES, STRAYS]
    _, consumer = reading(old, old, EQUAL)
    assert consumer.subscriptions == [every, counted, every]
    assert consumer.read == places([0, 1], MESSAGES, REPORTS, STRAYS)
    _, consumer = reading(old, old, old, old)  # it does not help: no more of it
    assert consumer.subscriptions == [every, counted, every]
    assert consumer.read == places([0, 1], MESSAGES, STRAYS)


def test_a_member_without_any_partition_asks_for_nothing() -> None:
    _, consumer = reading({MESSAGES: [], REPORTS: [], STRAYS: []})
    assert len(consumer.subscriptions) == 1


@pytest.mark.parametrize("told", ["at the last poll", "by the consumer's close"])
def test_partitions_that_come_to_a_worker_that_leaves_are_not_taken_over(told: str) -> None:
    fetcher, consumer = reading(EQUAL)
    assert consumer.read
    taken = []
    fetcher.subscribe(cast(Owner, SimpleNamespace(assigned=taken.append, revoked=lambda lost: None)))
    consumer.given = [EQUAL]
    if told == "at the last poll":
        fetcher.decline()
        fetcher.fetch()
        assert not consumer.given
    fetcher.close()
    assert not consumer.given
    assert not taken
    assert not consumer.read
    assert not consumer.asked_in_vain
