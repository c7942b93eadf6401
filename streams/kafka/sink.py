"""Where output records go, and how input offsets are committed behind them.

`Delivery` is the one seam between the worker and its guarantee. `AtLeastOnce` flushes, then commits: after a crash
between the two, some records are produced again, with equal values. A transactional delivery takes the same calls.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from streams.epoch import OutRecord

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

Offsets = Mapping[tuple[str, int], int]  # (topic, partition) -> the next offset to read

FLUSH_LIMIT_S = 5.0


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

    def close(self) -> None: ...


class AtLeastOnce:
    """An idempotent producer, flushed before the consumer's offsets are committed synchronously."""

    def __init__(self, producer_config: Mapping[str, object], consumer: Consumer) -> None:
        from confluent_kafka import Producer

        self._producer: Any = Producer(dict(producer_config))
        self._consumer = consumer
        self._failed: str | None = None

    def begin(self) -> None:
        """Nothing to open: a flush covers whatever was produced before it."""

    def produce(self, records: Sequence[OutRecord]) -> None:
        for record in records:
            self._produce(record)
        self._producer.poll(0)
        self._check()

    def commit(self, offsets: Offsets) -> bool:
        """1. Flush, so that every record has its acknowledgement. 2. Any failure: no commit. 3. Commit the offsets."""
        left = self._producer.flush(FLUSH_LIMIT_S)  # 1
        self._check()  # 2
        if left:
            raise DeliveryFailed(f"{left} output records were not acknowledged within {FLUSH_LIMIT_S:.0f} s")
        return self._commit_offsets(offsets) if offsets else True  # 3

    def close(self) -> None:
        self._producer.flush(FLUSH_LIMIT_S)

    def _produce(self, record: OutRecord) -> None:
        arguments: dict[str, Any] = {"key": record.key, "value": record.value, "on_delivery": self._delivered}
        if record.headers:
            arguments["headers"] = record.headers
        if record.partition is not None:
            arguments["partition"] = record.partition
        from confluent_kafka import KafkaException

        give_up = time.monotonic() + FLUSH_LIMIT_S
        while True:
            try:
                self._producer.produce(record.topic, **arguments)
                return
            except BufferError:  # the queue is full: serve deliveries until one leaves it
                self._producer.poll(0.05)
                self._check()
                if time.monotonic() > give_up:
                    self._failed = f"the producer's queue stayed full for {FLUSH_LIMIT_S:.0f} s"
                    self._check()
            except KafkaException as problem:
                self._failed = f"a record for topic {record.topic!r} was refused: {problem.args[0].str()}"
                self._check()

    def _commit_offsets(self, offsets: Offsets) -> bool:
        from confluent_kafka import KafkaException, TopicPartition

        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
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
        raise DeliveryFailed(f"offsets could not be committed: {error.str()}")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = f"a record for topic {message.topic()!r} was not delivered: {error.str()}"

    def _check(self) -> None:
        if self._failed is not None:
            raise DeliveryFailed(self._failed)


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
