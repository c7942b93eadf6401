"""Gives orders about numbers, and waits for the answers that workers write to `block-history`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import TopicPartition

from schemas.feeds import order_topics
from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.topics import BLOCK_HISTORY
from streams.ingest.epoch import OutRecord
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from streams.operators.telling import Listener, broker_problems, write

(CONTROL,) = order_topics()
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
    since: int | None = None
    owner: str | None = None
    account: str | None = None
    relay: str | None = None


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
    with broker_problems(settings), _History(settings, "orders") as history:
        count = history.begin({order.number for order in orders})
        produce(settings, orders, count)
        return history.answers(orders, timeout_s)


def produce(settings: KafkaSettings, orders: Iterable[GivenOrder], partitions: int) -> None:
    """Writes orders to the partitions of their numbers. Raises KafkaProblem when one did not arrive."""
    keyed = [(order.number.encode(), msgspec.json.encode(order)) for order in orders]
    records = [OutRecord(CONTROL, key, value, partition=partition_of(key, partitions)) for key, value in keyed]
    write(settings, records, "order")


class _History(Listener):
    """The ends of `block-history` in the partitions of some numbers."""

    def begin(self, numbers: Iterable[str]) -> int:
        """Notes the present ends; returns the partition count of `control`. Raises KafkaProblem."""
        control, _ = self.topics(CONTROL, BLOCK_HISTORY)
        count = len(control.partitions)
        partitions = sorted({partition_of(number.encode(), count) for number in numbers})
        self._consumer.assign(
            [TopicPartition(BLOCK_HISTORY, p, self.end(TopicPartition(BLOCK_HISTORY, p))) for p in partitions]
        )
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
        for message in self.messages(
            BLOCK_HISTORY, POLL_S, "the order was given, but what became of it is not known: "
        ):
            try:
                rows.append(_ROW.read(message.value()))
            except Unreadable:  # a row of a newer version, or of nobody's: no answer to us
                continue
        return rows
