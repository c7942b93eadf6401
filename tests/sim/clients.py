"""The Kafka clients of one process of a simulated deployment, with the methods of confluent_kafka's that are used.

Errors are confluent_kafka's own objects, with the flags that librdkafka gives them. Each call may take its time, fail,
lose its answer or be the last thing that its process does: `Faults.meet` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException

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


class SimClients:
    """The factory of one process (streams.kafka.clients.Clients)."""

    message_type = FakeMessage

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def consumer(self, config: Mapping[str, object]) -> Any:
        from tests.sim.consumer import FakeConsumer

        return LastingConsumer(lambda: FakeConsumer(self._world, self._process, config))

    def producer(self, config: Mapping[str, object]) -> Any:
        from tests.sim.producer import FakeProducer

        return FakeProducer(self._world, self._process, config)


def failure(
    code: int, why: str = "", *, fatal: bool = False, retriable: bool = False, abort: bool = False
) -> KafkaException:
    """As confluent_kafka raises it. abort: the transaction can only be aborted."""
    return KafkaException(KafkaError(code, why or None, fatal, retriable, abort))
