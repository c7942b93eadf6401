"""The common part of all orders to running workers: how they are written, and how their effect is heard of."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException

from streams.ingest.epoch import OutRecord
from streams.kafka.clients import Clients
from streams.kafka.errors import passes_for_readers
from streams.kafka.producing import arguments_of
from streams.kafka.settings import KafkaProblem, KafkaSettings

BROKER_TIMEOUT_S = 10.0
QUIET = {"log_level": 0}  # what goes wrong is said once, by us


def write(settings: KafkaSettings, records: Iterable[OutRecord], what: str) -> None:
    """Writes records, each to the partition that it names. what: the word for one. Raises KafkaProblem when one did not
    arrive."""
    problems: list[KafkaError] = []
    topics: dict[str, None] = {}
    producer = Clients().producer(QUIET | settings.producer())
    for record in records:
        topics[record.topic] = None
        producer.produce(
            record.topic, **arguments_of(record),
            on_delivery=lambda error, message: problems.append(error) if error else None,
        )  # fmt: skip
    if producer.flush(BROKER_TIMEOUT_S) or problems:
        why = problems[0].str() if problems else f"no answer within {BROKER_TIMEOUT_S:.0f} s"
        raise KafkaProblem(f"topic {', '.join(map(repr, topics))} did not take the {what}: {why}")


@contextmanager
def broker_problems(settings: KafkaSettings) -> Iterator[None]:
    """Says in words what a client raises. Raises KafkaProblem."""
    try:
        yield
    except KafkaException as problem:
        raise KafkaProblem(f"the broker at {settings.brokers} does not answer: {problem.args[0].str()}") from problem


class Listener:
    """Reads committed records of topics on which workers tell what they do; in no group. A context manager."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        config = settings.consumer(f"grayline-{name}-{uuid.uuid4().hex[:8]}") | {
            "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest",
        }  # fmt: skip
        self._consumer: Any = Clients().consumer(QUIET | config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def topics(self, *names: str) -> list[Any]:
        """The client's metadata of these topics. Raises KafkaProblem when one is missing, KafkaException."""
        found = self._consumer.list_topics(timeout=BROKER_TIMEOUT_S).topics
        missing = [name for name in names if name not in found]
        if missing:
            raise KafkaProblem(
                f"not on the broker: {', '.join(missing)}; make the missing ones: grayline topics create"
            )
        return [found[name] for name in names]

    def end(self, place: Any) -> int:
        """The offset behind the last record of a TopicPartition. Raises KafkaException."""
        return int(self._consumer.get_watermark_offsets(place, timeout=BROKER_TIMEOUT_S)[1])

    def messages(self, topic: str, poll_s: float, so_far: str = "") -> Iterator[Any]:
        """Yields what comes within one poll, tombstones left out. so_far: what the user has to know of an order when
        the topic cannot be read. Raises KafkaProblem."""
        for message in self._consumer.consume(1000, poll_s):
            error = message.error()
            if error is not None:
                if error.fatal() or not (error.retriable() or passes_for_readers(error)):
                    raise KafkaProblem(f"{so_far}topic {topic!r} cannot be read: {error.str()}")
            elif message.value() is not None:
                yield message
