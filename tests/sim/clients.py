"""The Kafka clients of one process of a simulated deployment, with the methods of confluent_kafka's that are used.

Errors are confluent_kafka's own objects, with the flags that librdkafka gives them. Each call may take its time, fail,
lose its answer or be the last thing that its process does: `Faults.meet` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
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

    def consumer(self, config: Mapping[str, object], *, in_columns: bool = False) -> Any:
        from tests.sim.consumer import FakeConsumer

        return LastingConsumer(lambda: FakeConsumer(self._world, self._process, config))

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
