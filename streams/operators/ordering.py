"""Gives orders about numbers, and waits for the answers that workers write to `block-history`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.feeds import order_topics
from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.topics import BLOCK_HISTORY
from streams.kafka.clients import Clients
from streams.kafka.errors import passes_for_readers
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaProblem, KafkaSettings

BROKER_TIMEOUT_S = 10.0
(CONTROL,) = order_topics()
QUIET = {"log_level": 0}
POLL_S = 0.1


class GivenOrder(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of `control`, as schemas.records.Control says."""

    id: str
    at: int
    number: str
    action: str
    operator: str
    reason: str
    rule: str | None = None
    until: int | None = None


class _Told(msgspec.Struct):
    id: str


class _HeldBy(msgspec.Struct):
    rule: str
    until: Int64


class _HistoryRow(msgspec.Struct):
    """A row of the history, as far as it is about an order."""

    change: str
    order: _Told | None = None
    hold: _HeldBy | None = None
    why: str | None = None


_ROW = JsonReader(_HistoryRow)


@dataclass(slots=True)
class OrderAnswer:
    """answered: a worker has told what became of the order. why: the reason why it was refused, of
    streams.holds.number_order.REFUSALS, "" if it was obeyed. changes: (change, rule, until in ms) of enforced
    holds."""

    order: GivenOrder
    answered: bool = False
    why: str = ""
    changes: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def is_obeyed(self) -> bool:
        return self.answered and not self.why


def give(settings: KafkaSettings, orders: Sequence[GivenOrder], timeout_s: float) -> list[OrderAnswer]:
    """Gives orders, and waits until all are answered or the time is over. Raises KafkaProblem; what was given until
    then stands."""
    try:
        with _History(settings) as history:
            count = history.begin({order.number for order in orders})
            produce(settings, orders, count)
            return history.answers(orders, timeout_s)
    except KafkaException as problem:
        raise KafkaProblem(f"the broker at {settings.brokers} does not answer: {problem.args[0].str()}") from problem


def produce(settings: KafkaSettings, orders: Iterable[GivenOrder], partitions: int) -> None:
    """Writes orders to the partitions of their numbers. Raises KafkaProblem when one did not arrive."""
    problems: list[KafkaError] = []
    producer = Clients().producer(QUIET | settings.producer())
    for order in orders:
        key = order.number.encode()
        producer.produce(
            CONTROL, msgspec.json.encode(order), key, partition=partition_of(key, partitions),
            on_delivery=lambda error, message: problems.append(error) if error else None,
        )  # fmt: skip
    if producer.flush(BROKER_TIMEOUT_S) or problems:
        why = problems[0].str() if problems else f"no answer within {BROKER_TIMEOUT_S:.0f} s"
        raise KafkaProblem(f"topic {CONTROL!r} did not take the order: {why}")


class _History:
    """The ends of `block-history` in the partitions of some numbers."""

    def __init__(self, settings: KafkaSettings) -> None:
        config = settings.consumer(f"grayline-orders-{uuid.uuid4().hex[:8]}") | {
            "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest",
        }  # fmt: skip
        self._consumer: Any = Clients().consumer(QUIET | config)

    def __enter__(self) -> _History:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def begin(self, numbers: Iterable[str]) -> int:
        """Notes the present ends; returns the partition count of `control`. Raises KafkaProblem."""
        found = self._consumer.list_topics(timeout=BROKER_TIMEOUT_S).topics
        missing = [name for name in (CONTROL, BLOCK_HISTORY) if name not in found]
        if missing:
            raise KafkaProblem(
                f"not on the broker: {', '.join(missing)}; make the missing ones: grayline topics create"
            )
        count = len(found[CONTROL].partitions)
        places = []
        for partition in sorted({partition_of(number.encode(), count) for number in numbers}):
            place = TopicPartition(BLOCK_HISTORY, partition)
            _, end = self._consumer.get_watermark_offsets(place, timeout=BROKER_TIMEOUT_S)
            places.append(TopicPartition(BLOCK_HISTORY, partition, end))
        self._consumer.assign(places)
        return count

    def answers(self, orders: Sequence[GivenOrder], timeout_s: float) -> list[OrderAnswer]:
        answers = {order.id: OrderAnswer(order) for order in orders}
        waiting, until_s = len(answers), time.monotonic() + timeout_s
        while waiting and time.monotonic() < until_s:
            for row in self._rows():
                answer = answers.get(row.order.id) if row.order else None
                if answer is None:
                    continue
                if row.hold is not None:
                    answer.changes.append((row.change, row.hold.rule, row.hold.until))
                elif not answer.answered:
                    answer.answered, answer.why = True, row.why or ""
                    waiting -= 1
        return list(answers.values())

    def _rows(self) -> list[_HistoryRow]:
        rows = []
        for message in self._consumer.consume(1000, POLL_S):
            error = message.error()
            if error is not None:
                if error.fatal() or not (error.retriable() or passes_for_readers(error)):
                    raise KafkaProblem(
                        f"the order was given, but what became of it is not known: topic {BLOCK_HISTORY!r} cannot be "
                        f"read: {error.str()}"
                    )
            elif message.value() is not None:
                try:
                    rows.append(_ROW.read(message.value()))
                except Unreadable:  # a row of a newer version, or of nobody's: no answer to us
                    continue
        return rows
