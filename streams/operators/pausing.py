"""Tells every worker to pause, to resume or to go on with other rules, and waits until their heartbeats say that they
do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from schemas.json_reading import JsonReader, Unreadable
from schemas.topics import BLOCK_STATUS, CONTROL_GLOBAL
from streams.holds.pause import Pause
from streams.ingest.epoch import OutRecord
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.operators.telling import BROKER_TIMEOUT_S, Listener, broker_problems, write
from streams.runtime.clock import now_ms

POLL_S = 0.2
# Three heartbeats: a partition that was heard of so lately has a worker.
LIVE_MS = 15_000
# One heartbeat and a commit: who says nothing for so long has no worker.
SILENT_AFTER_S = 7.0
READ_S = 3.0


class Beat(msgspec.Struct):
    """A heartbeat, as far as it says what is obeyed."""

    worker: str
    paused: bool
    rules_version: str = ""


_BEAT = JsonReader(Beat)


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
    """Pauses or resumes. Raises KafkaProblem, also when the broker falls silent before it is known who obeys."""
    return order_and_wait(settings, order.record(), lambda beat: beat.paused == order.paused, timeout_s)


def order_and_wait(
    settings: KafkaSettings, order: OutRecord, obeys: Callable[[Beat], bool], timeout_s: float
) -> OrderResult:
    """Gives the order and waits for workers to obey, as their heartbeats say. Raises KafkaProblem like say_and_wait."""
    with broker_problems(settings), _Status(settings, "control") as status:
        status.rewind()
        produce(settings, order)
        return status.wait(obeys, timeout_s)


def heard(settings: KafkaSettings) -> dict[int, bool]:
    """By live partition, whether its worker says that new blocks are paused. Raises KafkaProblem."""
    with broker_problems(settings), _Status(settings, "control") as status:
        status.rewind()
        return status.newest()


def produce(settings: KafkaSettings, record: OutRecord) -> None:
    """Writes one record to the only partition of its topic. Raises KafkaProblem when it did not arrive."""
    write(settings, [replace(record, partition=0)], "record")


class _Status(Listener):
    """The heartbeats on block-status, one partition each."""

    def __init__(self, settings: KafkaSettings, name: str) -> None:
        super().__init__(settings, name)
        self._ends: dict[int, int] = {}
        self._unread = 0

    def rewind(self) -> None:
        """Notes the present ends of the heartbeats' partitions, and reads the last LIVE_MS of them. Raises
        KafkaProblem."""
        _, beaten = self.topics(CONTROL_GLOBAL, BLOCK_STATUS)
        since_ms = now_ms() - LIVE_MS
        starts = []
        for partition in beaten.partitions:
            place = TopicPartition(BLOCK_STATUS, partition, since_ms)
            self._ends[partition] = self.end(place)
            (start,) = self._consumer.offsets_for_times([place], timeout=BROKER_TIMEOUT_S)
            starts.append(
                start if start.offset >= 0 else TopicPartition(BLOCK_STATUS, partition, self._ends[partition])
            )
        self._consumer.assign(starts)

    def wait(self, obeys: Callable[[Beat], bool], timeout_s: float) -> OrderResult:
        """Waits until the heartbeat of every partition that has a worker shows the order obeyed."""
        began_s = time.monotonic()
        live: dict[int, Beat] = {}  # the newest beat of each
        since: set[int] = set()  # partitions that have beaten since the word was out
        while True:
            for partition, offset, beat in self._beats():
                live[partition] = beat
                if offset >= self._ends[partition]:
                    since.add(partition)
            result = OrderResult(
                sorted(p for p, beat in live.items() if p in since and obeys(beat)),
                {p: beat.worker for p, beat in live.items() if p not in since or not obeys(beat)},
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
                self.end(TopicPartition(BLOCK_STATUS, partition))
            except KafkaException as problem:
                raise KafkaProblem(
                    f"the order was given, but whether workers obey is not known: {BLOCK_STATUS!r} cannot be read "
                    f"any more: {problem.args[0].str()}"
                ) from problem

    def _beats(self) -> list[tuple[int, int, Beat]]:
        """(partition, offset, beat) in order."""
        beats = []
        for message in self.messages(BLOCK_STATUS, POLL_S):
            try:
                beats.append((message.partition(), message.offset(), _BEAT.read(message.value())))
            except Unreadable:  # somebody else writes there too: that is no worker's word
                self._unread += 1
        return beats
