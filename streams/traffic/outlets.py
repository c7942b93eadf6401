"""The outlets of generated records: JSON lines as `kcat -C -J` prints them, or a broker."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import orjson

from streams.kafka.clients import Clients
from streams.kafka.partition import partition_of

if TYPE_CHECKING:
    from streams.kafka.settings import KafkaSettings
    from streams.traffic.rows import TrafficRecord

ANSWER_TIMEOUT_S = 10.0
# In addition to the settings of every producer; the user's settings replace these. Errors are reported once, by us.
PRODUCER = {"queue.buffering.max.messages": 200_000, "message.timeout.ms": 60_000, "log_level": 0}


class OutletError(Exception):
    """The records cannot go where they should; the message says why and what to do."""


def write_lines(
    records: Iterable[TrafficRecord], out: IO[bytes], partitions: int, first_offset: int = 0
) -> Iterator[TrafficRecord]:
    """Write each record as one line and pass it on. Partitions as Java's default partitioner gives them; offsets count
    from the first one in each topic and partition."""
    offsets: Counter[tuple[str, int]] = Counter()
    partition_by_key: dict[bytes, int] = {}
    for record in records:
        partition = partition_by_key.get(record.key)
        if partition is None:
            partition = partition_by_key[record.key] = partition_of(record.key, partitions)
        offset = first_offset + offsets[record.topic, partition]
        offsets[record.topic, partition] += 1
        payload = orjson.dumps(record.value.decode())
        out.write(
            b'{"topic":"%b","partition":%d,"offset":%d,"tstype":"create","ts":%d,"broker":-1,"key":"%b","payload":%b}\n'
            % (record.topic.encode(), partition, offset, record.timestamp_ms, record.key, payload)
        )
        yield record


def produce(
    records: Iterable[TrafficRecord], settings: KafkaSettings, topics: Iterable[str], speed: float | None
) -> Iterator[TrafficRecord]:
    """Produce each record with its own timestamp and pass it on; all are delivered when the iterator ends.

    speed: multiples of real time, None for as fast as possible. Raises OutletError when the broker does not answer,
    a topic is missing, or a record was not delivered."""
    from confluent_kafka import KafkaException

    try:
        producer = Clients().producer(PRODUCER | settings.producer())
    except KafkaException as error:
        raise OutletError(f"the Kafka settings do not work: {error.args[0].str()}") from None
    _check(producer, settings.brokers, topics)
    failures: list[str] = []

    def delivered(error: Any, message: Any) -> None:
        if error is not None and not failures:
            failures.append(f"{message.topic()}: {error.str()}")

    pace = _paced(records, speed) if speed else records
    for count, record in enumerate(pace):
        _send(producer, record, delivered)
        if count % 1000 == 0:
            producer.poll(0)
            _raise_first(failures)
        yield record
    left = producer.flush(90)
    _raise_first(failures)
    if left:
        raise OutletError(
            f"{left} records were not acknowledged by {settings.brokers} within 90 s; is the broker overloaded?"
        )


def _send(producer: Any, record: TrafficRecord, delivered: Any) -> None:
    """Hand one record to the client; while its queue is full, wait for it to drain."""
    while True:
        try:
            producer.produce(
                record.topic, record.value, record.key, timestamp=record.timestamp_ms, on_delivery=delivered
            )
            return
        except BufferError:
            producer.poll(0.1)


def _check(producer: Any, brokers: str, topics: Iterable[str]) -> None:
    from confluent_kafka import KafkaException

    for topic in sorted(topics):
        try:
            known = producer.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise OutletError(
                f"no Kafka broker answers at {brokers} ({error.args[0].str()}); check --brokers and that it runs"
            ) from None
        if known.error is not None or not known.partitions:
            raise OutletError(
                f"topic {topic} is missing at {brokers}; create the topics first (`grayline topics create`)"
            )


def _raise_first(failures: list[str]) -> None:
    if failures:
        raise OutletError(f"a record was not delivered: {failures[0]}")


def _paced(records: Iterable[TrafficRecord], speed: float) -> Iterator[TrafficRecord]:
    begun, first_ms = time.monotonic(), None
    for record in records:
        if first_ms is None:
            first_ms = record.timestamp_ms
        ahead_s = (record.timestamp_ms - first_ms) / 1000 / speed - (time.monotonic() - begun)
        if ahead_s > 0.01:
            time.sleep(ahead_s)
        yield record
