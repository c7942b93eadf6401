"""Where output records go, and how input offsets are committed behind them.

`Delivery` is the one seam between the worker and its guarantee. `AtLeastOnce` flushes, then commits: after a crash
between the two, some records are produced again, with equal values. A transactional delivery takes the same calls.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from streams.epoch import OutRecord

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

Offsets = Mapping[tuple[str, int], int]  # (topic, partition) -> the next offset to read

log = logging.getLogger("grayline.sink")

PATIENCE_S = 0.5  # between two attempts while the broker is away


class DeliveryFailed(Exception):
    """Output was lost on the way to the broker: nothing may be committed, the worker must stop."""

    exit_code = 1


class Delivery(Protocol):
    """Called by one thread, in order: begin, produce any number of times, commit, begin ..."""

    def begin(self) -> None:
        """Open the commit that the next records belong to."""
        ...

    def produce(self, records: Sequence[OutRecord]) -> None:
        """Hand records to the producer. Raises DeliveryFailed once any record of this commit has failed."""
        ...

    def commit(self, offsets: Offsets) -> bool:
        """Make everything since `begin` durable, then the offsets. False: an ordinary abort (a rebalance took the
        partitions), the records will be read again. Raises DeliveryFailed."""
        ...

    def close(self) -> None:
        """From any thread: a call that waits for the broker gives up with DeliveryFailed."""
        ...


class AtLeastOnce:
    """An idempotent producer, flushed before the consumer's offsets are committed synchronously.

    A broker that is away is waited for; failure is what the producer itself gives up on (`message.timeout.ms`)."""

    def __init__(self, producer_config: Mapping[str, object], consumer: Consumer) -> None:
        from confluent_kafka import Producer

        config = {"logger": logging.getLogger("grayline.kafka"), **producer_config}
        self._producer: Any = Producer(config)
        self._consumer = consumer
        self._failed: str | None = None
        self._closing = threading.Event()

    def begin(self) -> None:
        """Nothing to open: a flush covers whatever was produced before it."""

    def produce(self, records: Sequence[OutRecord]) -> None:
        for record in records:
            self._produce(record)
        self._producer.poll(0)
        self._check()

    def commit(self, offsets: Offsets) -> bool:
        """1. Flush, so that every record has its acknowledgement. 2. Any failure: no commit. 3. Commit the offsets."""
        while self._producer.flush(PATIENCE_S):  # 1
            self._check()
            self._give_up_if_closing("output records were not acknowledged")
        self._check()  # 2
        return self._commit_offsets(offsets) if offsets else True  # 3

    def close(self) -> None:
        self._closing.set()

    def _produce(self, record: OutRecord) -> None:
        from confluent_kafka import KafkaException

        arguments: dict[str, Any] = {"key": record.key, "value": record.value, "on_delivery": self._delivered}
        if record.headers:
            arguments["headers"] = record.headers
        if record.partition is not None:
            arguments["partition"] = record.partition
        while True:
            try:
                self._producer.produce(record.topic, **arguments)
                return
            except BufferError:  # the queue is full: serve deliveries until one leaves it
                self._producer.poll(PATIENCE_S)
                self._check()
                self._give_up_if_closing("the producer's queue is full")
            except KafkaException as problem:
                self._failed = f"a record for topic {record.topic!r} was refused: {problem.args[0].str()}"
                self._check()

    def _commit_offsets(self, offsets: Offsets) -> bool:
        from confluent_kafka import KafkaException, TopicPartition

        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        while True:
            try:
                answers = self._consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as problem:
                error = problem.args[0]
            else:
                error = next((place.error for place in answers or () if place.error is not None), None)
            if error is None:
                return True
            if error.code() in _rebalance_codes():
                return False
            if error.code() not in _passing_codes():
                raise DeliveryFailed(f"offsets could not be committed: {error.str()}")
            log.warning("commit put off, trying again: code=%s %s", error.name(), error.str())
            self._closing.wait(PATIENCE_S)
            self._give_up_if_closing("offsets were not committed")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = f"a record for topic {message.topic()!r} was not delivered: {error.str()}"

    def _check(self) -> None:
        if self._failed is not None:
            raise DeliveryFailed(self._failed)

    def _give_up_if_closing(self, what: str) -> None:
        if self._closing.is_set():
            raise DeliveryFailed(f"{what} before the worker had to end: the broker does not answer")


def _rebalance_codes() -> frozenset[int]:
    from confluent_kafka import KafkaError

    return frozenset(
        (
            KafkaError.ILLEGAL_GENERATION,
            KafkaError.UNKNOWN_MEMBER_ID,
            KafkaError.REBALANCE_IN_PROGRESS,
            KafkaError._ASSIGNMENT_LOST,
        )
    )


def _passing_codes() -> frozenset[int]:
    """A broker that is away, or whose group coordinator moves."""
    from confluent_kafka import KafkaError

    return frozenset(
        (
            KafkaError._TRANSPORT,
            KafkaError._TIMED_OUT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._WAIT_COORD,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.NOT_COORDINATOR,
            KafkaError.NETWORK_EXCEPTION,
        )
    )
