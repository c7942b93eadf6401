"""Reads what a topic holds now, from its beginning or from some time on, up to the ends found at first."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from streams.kafka.settings import KafkaProblem, KafkaSettings

SILENCE_MAX_S = 30.0


def committed(
    settings: KafkaSettings, topic: str, partitions: Iterable[int], since_ms: int | None = None
) -> Iterator[Any]:
    """The committed messages of these partitions, one partition after the other. since_ms: only those whose Kafka
    timestamp is that or later. Raises KafkaProblem."""
    import time

    from confluent_kafka import KafkaException

    from streams.kafka.clients import Clients
    from streams.kafka.reader import ReadBroken, Reader

    config = settings.consumer(f"grayline-spans-{uuid.uuid4().hex}")
    try:
        reader = Reader(Clients(), {"log_level": 0, **config})
        try:
            for partition in partitions:
                start, end = reader.ends(topic, partition)
                if since_ms is not None:
                    start = max(start, reader.first_since(topic, partition, since_ms, end))
                span = reader.span(topic, partition, start, end)
                until_s = time.monotonic() + SILENCE_MAX_S
                while not span.done:
                    for message in span.read():
                        until_s = time.monotonic() + SILENCE_MAX_S
                        yield message
                    if time.monotonic() > until_s:
                        raise KafkaProblem(
                            f"the broker at {settings.brokers} sent nothing of {topic} for {SILENCE_MAX_S:g} s"
                        )
        finally:
            reader.close()
    except KafkaException as error:
        raise KafkaProblem(f"cannot read {topic}: {error.args[0].str()}") from error
    except ReadBroken as error:
        raise KafkaProblem(f"cannot read {topic}: {error}") from error
