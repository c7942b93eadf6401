"""A consumer that outlives the loss of every broker that its client knew.

The metadata of a cluster that is only just coming back may name no broker at all. librdkafka then forgets those that it
knew, and reaches nobody ever again (librdkafka #5301); one broker that stood still for ten seconds is enough.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from streams.kafka.errors import Meaning, meaning_of

if TYPE_CHECKING:
    from streams.ingest.epoch import Place
    from streams.kafka.native import Forwarding

log = logging.getLogger("grayline.clients")

SILENT_S = 10.0  # who has heard nothing for so long asks whether its client still reaches anybody
ANSWER_S = 2.0
QUICK_S = 5.0  # who has heard nothing for so long looks for another client before it waits on
AGAIN_S = 0.2
BESIDE = 100  # messages taken at once of what does not come in columns
LEADERLESS = (Meaning.LEADER, Meaning.NO_TOPIC)


class LastingConsumer:
    """A confluent-kafka consumer, and another in its place once a new one is answered and it is not.

    One that has assigned itself goes on at its position. A member of a group is replaced when its partitions are lost,
    by the end of its session, and joins anew. make: makes the consumer. forwarding: of one, if records are to come in
    columns. All other attributes are those of the present consumer. is_answered: False from the moment at which neither
    was, while nothing comes."""

    def __init__(self, make: Callable[[], Any], forwarding: Callable[[Any], Forwarding] | None = None) -> None:
        self.is_answered = True
        self._make = make
        self._forwarding_of = forwarding
        self._present = make()
        self._forwarding = None if forwarding is None else forwarding(self._present)
        self._subscription: tuple[list[str], dict[str, Any]] | None = None
        self._assigned: list[Any] = []
        self._ask_at = time.monotonic() + SILENT_S

    def __getattr__(self, name: str) -> Any:
        return getattr(self._present, name)

    def subscribe(self, topics: list[str], **callbacks: Any) -> None:
        self._subscription = topics, callbacks
        self._present.subscribe(topics, **callbacks)

    def unsubscribe(self) -> None:
        self._subscription = None
        self._present.unsubscribe()

    def assign(self, partitions: list[Any]) -> None:
        self._assigned = list(partitions)
        self._present.assign(partitions)

    def unassign(self) -> None:
        self._assigned = []
        self._present.unassign()

    def forward(self, places: Collection[Place]) -> None:
        """Has the records of these places come in columns, if any do. To be called before they are assigned."""
        if self._forwarding is not None:
            self._forwarding.forward(places)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> Any:
        """Messages, or ColumnPoll of what was forwarded."""
        if self._forwarding is None:
            messages = self._present.consume(num_messages, timeout)
        else:  # what does not come in columns is few: callbacks, and errors that are no partition's
            messages = self._present.consume(BESIDE, 0) or self._forwarding.take(num_messages, timeout)
        if messages:
            self.is_answered = True
            self._ask_at = time.monotonic() + SILENT_S
        elif time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + SILENT_S
            self._go_on_with_another()
        return messages

    def close(self) -> None:
        _close(self._present, self._forwarding)

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        """Raises KafkaException also for metadata that name no broker, and so know no topic either."""
        return self._told(topic, lambda consumer, s: _known(consumer.list_topics(topic, timeout=s)), timeout)

    def committed(self, partitions: list[Any], timeout: float = -1) -> Any:
        return self._told(partitions[0].topic, lambda consumer, s: consumer.committed(partitions, timeout=s), timeout)

    def get_watermark_offsets(self, partition: Any, timeout: float = -1, cached: bool = False) -> Any:
        if cached:
            return self._present.get_watermark_offsets(partition, timeout=timeout, cached=True)
        return self._told(partition.topic, lambda consumer, s: _bounds(consumer, partition, s), timeout)

    def commit(self, **arguments: Any) -> Any:
        """Raises KafkaException: _ASSIGNMENT_LOST when it reaches nobody, and so will be no member for long."""
        from confluent_kafka import KafkaError, KafkaException

        try:
            return self._present.commit(**arguments)
        except KafkaException as problem:
            another = self._another(arguments["offsets"][0].topic)
            if another is None:
                raise
            another.close()
            raise KafkaException(KafkaError(KafkaError._ASSIGNMENT_LOST, "the client lost its brokers")) from problem

    def _go_on_with_another(self) -> None:
        if self._subscription is not None:
            topic = "" if self._present.assignment() else self._subscription[0][0]
        else:
            topic = self._assigned[0].topic if self._assigned else ""
        another = self._another(topic) if topic else None
        if another is not None:
            self._replace(another)

    def _told(self, topic: str | None, ask: Callable[[Any, float], Any], timeout_s: float) -> Any:
        """The present consumer's answer, or a new one's when that one reaches nobody. It is asked for a short time
        first: from a broker that has come back at another address it never hears. Raises KafkaException."""
        from confluent_kafka import KafkaException

        quick_s = QUICK_S if timeout_s < 0 else min(timeout_s, QUICK_S)
        try:
            return ask(self._present, quick_s)
        except KafkaException:
            another = self._another(topic)
            if another is None and quick_s == timeout_s:
                raise
        if another is None:
            return ask(self._present, timeout_s if timeout_s < 0 else timeout_s - quick_s)
        try:
            return ask(another, timeout_s)
        finally:
            if self._subscription is None:
                self._replace(another)
            else:
                another.close()

    def _another(self, topic: str | None) -> Any:
        """A new consumer if that one is answered and the present one is not, else None."""
        self.is_answered = _is_answered(self._present, topic)
        if self.is_answered:
            return None
        another = self._make()
        self.is_answered = _is_answered(another, topic)
        if self.is_answered:
            return another
        another.close()
        return None

    def _replace(self, another: Any) -> None:
        log.warning("a consumer had lost its brokers for good: another one takes its place")
        left, forwarding, self._present = self._present, self._forwarding, another
        self._forwarding = None if self._forwarding_of is None else self._forwarding_of(another)
        if self._subscription is not None:
            topics, callbacks = self._subscription
            another.subscribe(topics, **callbacks)
        elif self._assigned:
            another.assign(_positions(left, self._assigned))
        _close(left, forwarding)


def _close(consumer: Any, forwarding: Forwarding | None) -> None:
    if forwarding is not None:
        forwarding.close()
    consumer.close()


def _bounds(consumer: Any, partition: Any, timeout_s: float) -> Any:
    """First offset and end. Asks again while the partition's leader is only just being found, after a broker was lost:
    librdkafka then knows no such partition. Raises KafkaException."""
    from confluent_kafka import KafkaException

    until_s = time.monotonic() + timeout_s
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=timeout_s)
        except KafkaException as problem:
            if meaning_of(problem.args[0]) not in LEADERLESS or time.monotonic() >= until_s:
                raise
        time.sleep(AGAIN_S)


def _known(metadata: Any) -> Any:
    from confluent_kafka import KafkaError, KafkaException

    if not metadata.brokers:
        raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN, "the cluster names no broker yet"))
    return metadata


def _is_answered(consumer: Any, topic: str | None) -> bool:
    from confluent_kafka import KafkaException

    try:
        return bool(consumer.list_topics(topic, timeout=ANSWER_S).brokers)
    except KafkaException:
        return False


def _positions(consumer: Any, assigned: list[Any]) -> list[Any]:
    """The next offset of each assigned partition; the assigned one if nothing was read yet."""
    from confluent_kafka import TopicPartition

    reached = {(p.topic, p.partition): p.offset for p in consumer.position(assigned) if p.offset >= 0}
    return [TopicPartition(p.topic, p.partition, reached.get((p.topic, p.partition), p.offset)) for p in assigned]
