"""Tells every worker to pause or to resume, and waits until their heartbeats say that they do."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from schemas.json_reading import JsonReader, Unreadable
from schemas.topics import BLOCK_STATUS, CONTROL_GLOBAL
from streams.holds.pause import Pause
from streams.ingest.epoch import OutRecord
from streams.kafka.clients import Clients
from streams.kafka.errors import passes_for_readers
from streams.kafka.settings import KafkaProblem, KafkaSettings

BROKER_TIMEOUT_S = 10.0
QUIET = {"log_level": 0}  # what goes wrong is said once, by us
POLL_S = 0.2
# Three heartbeats: a partition that was heard of so lately has a worker.
LIVE_MS = 15_000
# One heartbeat and a commit: who says nothing for so long has no worker.
SILENT_AFTER_S = 7.0
READ_S = 3.0


class _Beat(msgspec.Struct):
    worker: str
    paused: bool


_BEAT = JsonReader(_Beat)


@dataclass(slots=True)
class OrderResult:
    """The result of an order. obeyed, waiting: live partitions, the latter with the names of their workers; silent:
    partitions without a live worker; unread: heartbeats that cannot be read."""

    obeyed: list[int] = field(default_factory=list)
    waiting: dict[int, str] = field(default_factory=dict)
    silent: list[int] = field(default_factory=list)
    unread: int = 0

    @property
    def is_obeyed(self) -> bool:
        return not self.waiting


def say_and_wait(settings: KafkaSettings, order: Pause, timeout_s: float) -> OrderResult:
    """Gives the order and waits for workers to obey. Raises KafkaProblem, also when the broker falls silent before that
    is known."""
    try:
        with _Status(settings) as status:
            status.rewind()
            produce(settings, order.record())
            return status.wait(order.paused, timeout_s)
    except KafkaException as problem:
        raise KafkaProblem(f"the broker at {settings.brokers} does not answer: {problem.args[0].str()}") from problem


def heard(settings: KafkaSettings) -> dict[int, bool]:
    """By live partition, whether its worker says that new blocks are paused. Raises KafkaProblem."""
    try:
        with _Status(settings) as status:
            status.rewind()
            return status.newest()
    except KafkaException as problem:
        raise KafkaProblem(f"the broker at {settings.brokers} does not answer: {problem.args[0].str()}") from problem


def produce(settings: KafkaSettings, record: OutRecord) -> None:
    """Writes one record to the only partition of its topic. Raises KafkaProblem when it did not arrive."""
    problems: list[KafkaError] = []
    producer = Clients().producer(QUIET | settings.producer())
    producer.produce(
        record.topic, record.value, record.key, partition=0,
        on_delivery=lambda error, message: problems.append(error) if error else None,
    )  # fmt: skip
    if producer.flush(BROKER_TIMEOUT_S) or problems:
        why = problems[0].str() if problems else f"no answer within {BROKER_TIMEOUT_S:.0f} s"
        raise KafkaProblem(f"topic {record.topic!r} did not take the record: {why}")


class _Status:
    """The heartbeats on block-status, one partition each."""

    def __init__(self, settings: KafkaSettings) -> None:
        config = settings.consumer(f"grayline-control-{uuid.uuid4().hex[:8]}") | {
            "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest",
        }  # fmt: skip
        self._consumer: Any = Clients().consumer(QUIET | config)
        self._ends: dict[int, int] = {}
        self._unread = 0

    def __enter__(self) -> _Status:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def rewind(self) -> None:
        """Notes the present ends of the heartbeats' partitions, and reads the last LIVE_MS of them. Raises
        KafkaProblem."""
        found = self._consumer.list_topics(timeout=BROKER_TIMEOUT_S).topics
        missing = [name for name in (CONTROL_GLOBAL, BLOCK_STATUS) if name not in found]
        if missing:
            raise KafkaProblem(
                f"not on the broker: {', '.join(missing)}; make the missing ones: grayline topics create"
            )
        since_ms = time.time_ns() // 1_000_000 - LIVE_MS
        starts = []
        for partition in found[BLOCK_STATUS].partitions:
            place = TopicPartition(BLOCK_STATUS, partition, since_ms)
            _, self._ends[partition] = self._consumer.get_watermark_offsets(place, timeout=BROKER_TIMEOUT_S)
            (start,) = self._consumer.offsets_for_times([place], timeout=BROKER_TIMEOUT_S)
            starts.append(
                start if start.offset >= 0 else TopicPartition(BLOCK_STATUS, partition, self._ends[partition])
            )
        self._consumer.assign(starts)

    def wait(self, paused: bool, timeout_s: float) -> OrderResult:
        """Waits until the heartbeat of every partition that has a worker shows the order obeyed."""
        began_s = time.monotonic()
        live: dict[int, _Beat] = {}  # the newest beat of each
        since: set[int] = set()  # partitions that have beaten since the word was out
        while True:
            for partition, offset, beat in self._beats():
                live[partition] = beat
                if offset >= self._ends[partition]:
                    since.add(partition)
            result = OrderResult(
                sorted(p for p, beat in live.items() if p in since and beat.paused == paused),
                {p: beat.worker for p, beat in live.items() if p not in since or beat.paused != paused},
                sorted(self._ends.keys() - live.keys()),
                self._unread,
            )
            waited_s = time.monotonic() - began_s
            enough = not result.silent or waited_s >= SILENT_AFTER_S
            if waited_s >= timeout_s or (result.is_obeyed and enough):
                self._check_silence(result)
                return result

    def newest(self) -> dict[int, bool]:
        """By partition, whether its newest heartbeat says paused; as far as they can be read in READ_S."""
        found: dict[int, bool] = {}
        until_s = time.monotonic() + READ_S
        while time.monotonic() < until_s and not self._ends.keys() <= found.keys():
            found |= {partition: beat.paused for partition, _, beat in self._beats()}
        return found

    def _check_silence(self, result: OrderResult) -> None:
        """Checks that the broker answers if no worker was heard: else none could have been. Raises KafkaProblem."""
        for partition in result.silent[:1]:
            try:
                self._consumer.get_watermark_offsets(TopicPartition(BLOCK_STATUS, partition), timeout=BROKER_TIMEOUT_S)
            except KafkaException as problem:
                raise KafkaProblem(
                    f"the order was given, but whether workers obey is not known: {BLOCK_STATUS!r} cannot be read "
                    f"any more: {problem.args[0].str()}"
                ) from problem

    def _beats(self) -> list[tuple[int, int, _Beat]]:
        """(partition, offset, beat) in order."""
        beats = []
        for message in self._consumer.consume(1000, POLL_S):
            error = message.error()
            if error is not None:
                if error.fatal() or not (error.retriable() or passes_for_readers(error)):
                    raise KafkaProblem(f"topic {BLOCK_STATUS!r} cannot be read: {error.str()}")
            elif message.value() is not None:
                try:
                    beats.append((message.partition(), message.offset(), _BEAT.read(message.value())))
                except Unreadable:  # somebody else writes there too: that is no worker's word
                    self._unread += 1
        return beats
