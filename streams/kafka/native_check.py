"""Finds out whether records can be fetched in columns here, by doing it on librdkafka's own in-process broker."""

from __future__ import annotations

import logging
import time
from typing import Any

from streams.ingest.feed_codes import NO_FEED, Feeds
from streams.kafka.clients import Clients
from streams.kafka.columns import ColumnPoll
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.errors import Meaning, meaning_of
from streams.kafka.native import Library, Unfit
from streams.kafka.settings import KafkaProblem

log = logging.getLogger("grayline.source")

TOPIC, PARTITION = "check", 1
LIMIT_S = 10.0
POLL_S = 0.05
START_MS = 1_700_000_000_000
HEADERS = [("feed", b"a"), ("feed", b"b"), ("other", None), ("", b"")]
# (key, value, headers) of one record each.
RECORDS: tuple[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]] | None], ...] = (
    (b"+821000000000", b"{}", None), (None, None, None), (b"", b"", HEADERS),
    (b"k", bytes(range(256)) * 40, HEADERS[2:]),
)  # fmt: skip


def library_or_none() -> Library | None:
    """The library to fetch with, or None where that cannot be done, which the log then explains."""
    try:
        library = Library()
        check(library)
    except Exception as why:  # whatever it is, it must not keep a worker from its work
        known = isinstance(why, Unfit)
        log.warning("records are fetched as messages, which takes more processor time: %s", why, exc_info=not known)
        return None
    return library


def check(library: Library) -> None:
    """Reads records of every form twice, in two assignments. Raises Unfit unless they are what was written."""
    try:
        with EmbeddedBroker(partitions=PARTITION + 1) as broker:
            broker.create_topics([TOPIC])
            _write(broker.bootstrap)
            _read_twice(library, broker.bootstrap)
    except KafkaProblem as problem:
        raise Unfit(f"it could not be tried: {problem}") from problem


def _write(bootstrap: str) -> None:
    producer = Clients().producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for i, (key, value, headers) in enumerate(RECORDS):
        producer.produce(TOPIC, value, key, PARTITION, timestamp=START_MS + i, headers=headers)
    if producer.flush(LIMIT_S):
        raise Unfit("it could not be tried: the embedded broker takes no records")


def _read_twice(library: Library, bootstrap: str) -> None:
    from confluent_kafka import TopicPartition

    told = {"bootstrap.servers": bootstrap, "group.id": TOPIC, "log_level": 0}
    quick = {"fetch.wait.max.ms": 5, "fetch.queue.backoff.ms": 1}
    consumer = Clients(library).consumer({**told, **quick, "enable.partition.eof": True}, in_columns=True)
    try:
        for _ in range(2):
            consumer.forward([(TOPIC, PARTITION)])
            consumer.assign([TopicPartition(TOPIC, PARTITION, 0)])
            if _read(consumer) != _expected():
                raise Unfit("records that were read differ from those that were written")
            consumer.unassign()
    finally:
        consumer.close()


def _read(consumer: Any) -> list[tuple[Any, ...]]:
    """The records up to the end of the partition, and the end itself. Other errors heal, or nothing comes."""
    found: list[tuple[Any, ...]] = []
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s:
        # The end comes behind the last record: to ask for so many at once takes no longer than they do.
        polled = consumer.consume(len(RECORDS) + 1, POLL_S)
        if not isinstance(polled, ColumnPoll):
            if any(message.error() is None for message in polled):
                raise Unfit("records come elsewhere than they are forwarded to")
            continue
        found += _rows(polled)
        ends = [each for each in polled.troubles if meaning_of(each.error()) is Meaning.END]
        if ends:
            return [*found, *((each.error().name(), each.place, each.offset()) for each in ends)]
    raise Unfit("nothing comes of what is forwarded")


def _rows(polled: ColumnPoll) -> list[tuple[Any, ...]]:
    return [
        (
            raw.topic, int(raw.partition[i]), int(raw.offset[i]), int(raw.timestamp[i]), raw.values[i],
            raw.keys[i] if raw.keys else None, raw.with_headers[i] if raw.with_headers else None, feed,
        )
        for raw in polled.batches
        for i, feed in enumerate(Feeds().codes(TOPIC, raw.feeds, [], len(raw.order)).tolist())
    ]  # fmt: skip


def _expected() -> list[tuple[Any, ...]]:
    feed = Feeds().code("a")
    rows: list[tuple[Any, ...]] = [
        (TOPIC, PARTITION, i, START_MS + i, value, key, headers, feed if headers is HEADERS else NO_FEED)
        for i, (key, value, headers) in enumerate(RECORDS)
    ]
    return [*rows, ("_PARTITION_EOF", (TOPIC, PARTITION), len(RECORDS))]
