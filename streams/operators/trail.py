"""The trail of one number: every record about it on the topics that tell of holds and orders, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.json_reading import JsonReader, Unreadable
from schemas.topics import BLOCK_HISTORY, REVIEW_QUEUE
from streams.kafka.settings import KafkaSettings
from streams.operators.spans import committed

TIMEOUT_S = 10.0
TOPICS = (BLOCK_HISTORY, REVIEW_QUEUE)

_RECORD: JsonReader[dict[str, Any]] = JsonReader(dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """One record of a trail. at_ms: when it was written, -1 if Kafka does not say."""

    topic: str
    at_ms: int
    record: dict[str, Any]


def trail_of(settings: KafkaSettings, number: str) -> list[Trace]:
    """All records about a number, by time; of equal times in the order of TOPICS. Raises KafkaProblem."""
    from streams.kafka.partition import partition_of
    from streams.kafka.topics import check_inputs

    partitions = check_inputs(settings, TOPICS, TIMEOUT_S)
    key = number.encode()
    found = [trace for topic in TOPICS for trace in _traces(settings, topic, partition_of(key, partitions), key)]
    return sorted(found, key=lambda trace: trace.at_ms)


def _traces(settings: KafkaSettings, topic: str, partition: int, key: bytes) -> Iterator[Trace]:
    for message in committed(settings, topic, [partition]):
        if message.key() == key and message.value() is not None:
            yield from _trace(topic, message)


def _trace(topic: str, message: Any) -> Iterator[Trace]:
    try:
        record = _RECORD.read(message.value())
    except Unreadable:  # somebody else's: only workers write there
        return
    kind, at_ms = message.timestamp()
    yield Trace(topic, at_ms if kind else -1, record)
