"""The Kafka clients of one process of a simulated deployment, with the methods of confluent_kafka's that are used.

Errors are confluent_kafka's own objects, with the flags that librdkafka gives them. Each call may take its time, fail,
lose its answer or be the last thing that its process does: `Faults.meet` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from streams.ingest.epoch import Headers
from streams.ingest.packed import Packed
from streams.kafka.columns import ColumnPoll, PackedHeaders, Trouble
from streams.kafka.polls import epoch_of
from streams.kafka.reconnecting import LastingConsumer
from tests.sim.fibers import Process

if TYPE_CHECKING:
    from tests.sim.world import World

TIMED_OUT = KafkaError._TIMED_OUT


class FakeMessage:
    """A record, or an error in its place, as `consume` returns it."""

    __slots__ = ("_error", "_headers", "_key", "_offset", "_partition", "_timestamp_ms", "_topic", "_value")

    def __init__(
        self, topic: str, partition: int, offset: int, timestamp_ms: int = -1, key: bytes | None = None,
        value: bytes | None = None, headers: tuple[tuple[str, bytes], ...] = (), error: KafkaError | None = None,
    ) -> None:  # fmt: skip
        self._topic, self._partition, self._offset, self._timestamp_ms = topic, partition, offset, timestamp_ms
        self._key, self._value, self._headers, self._error = key, value, headers, error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return (1, self._timestamp_ms) if self._timestamp_ms >= 0 else (0, -1)

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def headers(self) -> list[tuple[str, bytes]] | None:
        return list(self._headers) or None

    def error(self) -> KafkaError | None:
        return self._error

    def __len__(self) -> int:
        return len(self._value or b"")


class FakeForwarding:
    """As streams.kafka.native.Forwarding, over a FakeConsumer."""

    def __init__(self, consumer: Any) -> None:
        self.forward, self.take = consumer.forward, consumer.take

    def close(self) -> None: ...


def columns_of(messages: list[FakeMessage]) -> ColumnPoll:
    errors = [m for m in messages if m.error() is not None]
    troubles = [Trouble((m.topic(), m.partition()), m.offset(), m.error()) for m in errors]
    good = [m for m in messages if m.error() is None]
    topics = tuple(sorted({m.topic() for m in good}))
    if not topics:
        return ColumnPoll([], troubles)
    epoch = epoch_of(good, topics, {topic: code for code, topic in enumerate(topics)}, FakeMessage)  # type: ignore[arg-type]
    for raw in epoch.batches:
        raw.values = packed(raw.values)
        raw.keys = None if raw.keys is None else packed(raw.keys)
        raw.feeds = None if raw.feeds is None else packed(raw.feeds)
        if raw.with_headers is not None:
            raw.with_headers = _packed_headers(raw.with_headers)
    return ColumnPoll(epoch.batches, troubles)


def packed(texts: Sequence[bytes | None]) -> Packed:
    length = np.array([-1 if text is None else len(text) for text in texts], np.int64)
    at = np.cumsum(np.maximum(length, 0)) - np.maximum(length, 0)
    return Packed(np.frombuffer(b"".join(text or b"" for text in texts) + bytes(16), np.uint8), at, length)


def _packed_headers(headers: Sequence[Headers | None]) -> PackedHeaders:
    count = np.array([len(each or ()) for each in headers], np.int64)
    every = [header for each in headers for header in each or ()]
    names, values = packed([name.encode() for name, _ in every]), packed([value for _, value in every])
    return PackedHeaders(np.cumsum(count) - count, count, names, values)


class SimClients:
    """The factory of one process (streams.kafka.clients.Clients)."""

    message_type = FakeMessage

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def consumer(self, config: Mapping[str, object], *, in_columns: bool = False) -> Any:
        from tests.sim.consumer import FakeConsumer

        # Workers of both kinds meet in one group.
        forwarding = FakeForwarding if in_columns and self._process.name[-1] in "13579" else None
        return LastingConsumer(lambda: FakeConsumer(self._world, self._process, config), forwarding)

    def producer(self, config: Mapping[str, object]) -> Any:
        from tests.sim.producer import FakeProducer

        return FakeProducer(self._world, self._process, config)

    def bounded(self, call: Callable[[], Any], limit_s: float) -> Any:
        return call()  # these clients keep their time

    def admin(self, config: Mapping[str, object]) -> Any:
        return FakeAdmin(self._world, self._process)


class FakeAdmin:
    """Only what is asked of it: the ids of topics."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(brokers={1: "sim"}, controller_id=1)

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Any]:
        """Answers at once, or after a moment; each answer is that of a future."""
        world, names = self._world, list(topics.topic_names)
        world.check_alive(self._process)
        world.faults.meet(self._process, "describe_topics")
        until_ms = world.now_ms + int(request_timeout * 1000)
        while world.broker.is_away:
            if world.now_ms >= until_ms:
                raise failure(TIMED_OUT, "Failed to describe topics: Local: Timed out", retriable=True)
            world.scheduler.sleep(100)
        found = {name: SimpleNamespace(topic_id=world.broker.ids[name]) for name in names}
        return {name: SimpleNamespace(result=lambda timeout, told=told: told) for name, told in found.items()}


def failure(
    code: int, why: str = "", *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaException:
    """As confluent_kafka raises it. abort: the transaction can only be aborted."""
    return KafkaException(KafkaError(code, why or None, fatal, retriable, abort))
