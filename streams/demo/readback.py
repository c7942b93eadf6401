"""Reads the worker's outputs back from the broker, as any blocker would read them."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from schemas.json_reading import JsonReader, Unreadable
from schemas.topics import BLOCK_EVENTS, REVIEW_QUEUE
from streams.kafka.clients import Clients
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.operators.blocks import BlockState

TOPICS = (BLOCK_EVENTS, REVIEW_QUEUE)
RECORDS_MAX = 1_000
PATIENCE_S = 0.2


class ReadBack:
    """A consumer of `block-events` and `review-queue` from their beginnings, with no group of its own to commit for;
    a context manager. `states` and `values` grow with every `poll`, in the order read."""

    def __init__(self, kafka: KafkaSettings, partitions: int) -> None:
        self.states: dict[str, list[BlockState]] = {topic: [] for topic in TOPICS}
        self.values: dict[str, list[bytes]] = {topic: [] for topic in TOPICS}
        self._kafka, self._partitions = kafka, partitions
        self._next = {(topic, partition): 0 for topic in TOPICS for partition in range(partitions)}
        self._consumer: Any = None

    def __enter__(self) -> ReadBack:
        from confluent_kafka import TopicPartition

        config = {"log_level": 0, **self._kafka.consumer("grayline-demo-view", offset_reset="earliest")}
        self._consumer = Clients().consumer(config)
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in self._next])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def poll(self, patience_s: float = 0.0) -> None:
        """Takes in what has arrived. Raises KafkaProblem for a value that is no block event."""
        for message in self._consumer.consume(RECORDS_MAX, patience_s):
            if message.error() is not None:
                continue  # librdkafka goes on by itself; `to_end` finds out when it cannot
            topic, value = message.topic(), message.value()
            self._next[topic, message.partition()] = message.offset() + 1
            if value is not None:  # a tombstone says no more than the expiry before it
                self.states[topic].append(_state(topic, value))
                self.values[topic].append(value)

    def to_end(self, timeout_s: float) -> None:
        """Reads on to the present ends of all partitions. Raises KafkaProblem when that takes too long."""
        ends = {place: self._end(place, timeout_s) for place in self._next}
        deadline = time.monotonic() + timeout_s
        while any(self._next[place] < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                unread = sum(max(0, end - self._next[place]) for place, end in ends.items())
                raise KafkaProblem(f"{unread} published records could not be read back within {timeout_s:g} s")
            self.poll(PATIENCE_S)

    def records_of(self, topic: str, timeout_s: float) -> int:
        """The number of records that were ever written to a topic."""
        return sum(self._end((topic, partition), timeout_s) for partition in range(self._partitions))

    def _end(self, place: tuple[str, int], timeout_s: float) -> int:
        from confluent_kafka import TopicPartition

        return int(self._consumer.get_watermark_offsets(TopicPartition(*place), timeout_s)[1])


def committed(
    kafka: KafkaSettings, group: str, topics: tuple[str, ...], partitions: int, timeout_s: float
) -> dict[str, int]:
    """Records that `group` has committed as read, by topic; every partition was read from offset 0."""
    from confluent_kafka import TopicPartition

    consumer = Clients().consumer({"log_level": 0, **kafka.consumer(group)})
    try:
        places = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
        found = consumer.committed(places, timeout=timeout_s)
    finally:
        consumer.close()
    totals = dict.fromkeys(topics, 0)
    for place in found:
        totals[place.topic] += max(place.offset, 0)
    return totals


_STATE = JsonReader(BlockState)


def _state(topic: str, value: bytes) -> BlockState:
    try:
        return _STATE.read(value)
    except Unreadable as error:
        raise KafkaProblem(f"{topic} holds a value that is no block event: {error}") from error
