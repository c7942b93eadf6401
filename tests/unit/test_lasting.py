"""A consumer that has lost its brokers gives way to a new one; nothing else makes it."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.kafka import reconnecting as lasting
from streams.kafka.reconnecting import QUICK_S, SILENT_S, LastingConsumer


class _Clock:
    now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


class _Metadata:
    def __init__(self, brokers: dict[int, str]) -> None:
        self.brokers = brokers


class _Consumer:
    """Reads on from where it is assigned, one offset a poll. What a real one does after it has lost its brokers is
    shown in tests/faults/test_brokers.py; here it loses them at will."""

    def __init__(self, answers: bool = True) -> None:
        self.answers, self.has_news = answers, True
        self.places: dict[tuple[str, int], int] = {}
        self.read: dict[tuple[str, int], int] = {}
        self.topics: list[str] = []
        self.member_of: list[TopicPartition] = []
        self.is_closed = False
        self.asked_s: list[float] = []  # how long it was given for each question

    def list_topics(self, topic: str | None, timeout: float) -> _Metadata:
        if not self.answers:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))
        return _Metadata({1: "a"})

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self.asked_s.append(timeout)
        self.list_topics(None, timeout)
        return [TopicPartition(place.topic, place.partition, 7) for place in places]

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.list_topics(None, 0)
        return offsets

    def assign(self, places: list[TopicPartition]) -> None:
        self.places = {(place.topic, place.partition): place.offset for place in places}

    def subscribe(self, topics: list[str], on_assign: Any = None) -> None:
        self.topics = topics

    def assignment(self) -> list[TopicPartition]:
        return self.member_of

    def position(self, places: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition, self.read.get((p.topic, p.partition), -1001)) for p in places]

    def consume(self, most: int, timeout: float) -> list[int]:
        if not (self.answers and self.has_news and self.places):
            return []
        place = min(self.places)
        self.read[place] = self.read.get(place, self.places[place]) + 1
        return [self.read[place]]

    def close(self) -> None:
        self.is_closed = True


class _World:
    def __init__(self, clock: _Clock) -> None:
        self.clock = clock
        self.made: list[_Consumer] = []
        self.is_up = True
        self.consumer = LastingConsumer(self._make)

    def _make(self) -> _Consumer:
        self.made.append(_Consumer(self.is_up))
        return self.made[-1]

    def pass_silence(self) -> list[Any]:
        self.clock.now_s += SILENT_S
        return self.consumer.consume(1, 0.1)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> _World:
    clock = _Clock()
    monkeypatch.setattr(lasting, "time", clock)
    return _World(clock)


PLACES = [TopicPartition("a", 0, 5), TopicPartition("b", 0, 9)]


def test_reading_goes_on_where_the_lost_consumer_was(world: _World) -> None:
    world.consumer.assign(PLACES)
    assert world.consumer.consume(1, 0.1) == [6]
    world.made[0].answers = False
    assert world.pass_silence() == []
    lost, new = world.made
    assert lost.is_closed
    assert new.places == {("a", 0): 6, ("b", 0): 9}, "what was read nowhere starts as it was assigned"


def test_silence_alone_replaces_nobody_nor_does_a_broker_that_is_down_for_all(world: _World) -> None:
    world.consumer.assign(PLACES)
    world.made[0].has_news = False
    world.pass_silence()
    assert len(world.made) == 1, "it is answered: there is only nothing to read"
    world.is_up = world.made[0].answers = False
    world.pass_silence()
    assert [consumer.is_closed for consumer in world.made] == [False, True]


def test_a_member_is_replaced_only_when_its_partitions_are_lost_and_subscribes_anew(world: _World) -> None:
    world.consumer.subscribe(["a"], on_assign=print)
    lost = world.made[0]
    lost.member_of, lost.answers = PLACES[:1], False
    world.pass_silence()
    assert not lost.is_closed
    lost.member_of = []
    world.pass_silence()
    assert lost.is_closed
    assert world.made[-1].topics == ["a"]


def test_a_question_is_answered_by_another_and_a_commit_is_told_as_lost(world: _World) -> None:
    world.consumer.subscribe(["a"])
    world.made[0].answers = False
    assert [place.offset for place in world.consumer.committed(PLACES, timeout=1)] == [7, 7]
    with pytest.raises(KafkaException) as problem:
        world.consumer.commit(offsets=PLACES, asynchronous=False)
    assert problem.value.args[0].code() == KafkaError._ASSIGNMENT_LOST
    assert [consumer.is_closed for consumer in world.made] == [False, True, True], "the member is still the first"


def test_a_question_that_nobody_answers_fails_as_it_would(world: _World) -> None:
    world.is_up = world.made[0].answers = False
    for ask in (
        lambda: world.consumer.committed(PLACES),
        lambda: world.consumer.commit(offsets=PLACES, asynchronous=False),
    ):
        with pytest.raises(KafkaException) as problem:
            ask()
        assert problem.value.args[0].code() == KafkaError._TRANSPORT


def test_a_question_goes_to_a_new_client_before_its_time_is_over(world: _World) -> None:
    """As after an outage from which the broker came back at another address."""
    world.made[0].answers = False
    assert [place.offset for place in world.consumer.committed(PLACES, timeout=30.0)] == [7, 7]
    lost, new = world.made
    assert (lost.asked_s, new.asked_s) == ([QUICK_S], [30.0])


def test_a_client_that_is_answered_has_all_the_time_for_a_question_that_nobody_can_answer_yet(world: _World) -> None:
    class _Loading(_Consumer):
        def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
            self.asked_s.append(timeout)
            if timeout < 10:
                raise KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS))
            return super().committed(places, timeout)

    slow = _Loading()
    consumer = LastingConsumer(lambda: slow)
    assert [place.offset for place in consumer.committed(PLACES, timeout=30.0)] == [7, 7]
    assert slow.asked_s[:2] == [QUICK_S, 30.0 - QUICK_S]
