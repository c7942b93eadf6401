"""confluent_kafka.Producer over the fake broker: idempotent, and transactional when its configuration says so."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import KafkaError, TopicPartition

from streams.kafka.partition import partition_of
from tests.sim.clients import TIMED_OUT, FakeMessage, failure
from tests.sim.fibers import Process
from tests.sim.transactions import Refusal

if TYPE_CHECKING:
    from tests.sim.world import World

T = TypeVar("T")

QUEUE_MAX = 2_000
FENCED = "Local: This instance has been fenced by a newer instance"


@dataclass
class Queued:
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int | None
    on_delivery: Callable[..., None] | None


class FakeProducer:
    """Records leave its queue at a flush, at a commit, and now and then by themselves.

    States as librdkafka has them: ready, open, doomed (only an abort is possible), fatal. An end of a transaction that
    got no answer stays open here: the call may be repeated."""

    def __init__(self, world: World, process: Process, config: Mapping[str, object]) -> None:
        self._world = world
        self._broker = world.broker
        self._process = process
        self._id = str(config.get("transactional.id", ""))
        self._timeout_ms = int(str(config.get("transaction.timeout.ms", 60_000)))
        self._tells_errors_only = bool(config.get("delivery.report.only.error", False))
        self._queue: deque[Queued] = deque()
        self._reports: deque[tuple[Callable[..., None], KafkaError | None, FakeMessage]] = deque()
        self._state = "new" if self._id else "plain"
        self._epoch = -1
        self._problem: KafkaError | None = None  # why it is doomed or fatal

    def __len__(self) -> int:
        return len(self._queue) + len(self._reports)

    # -- records -----------------------------------------------------------------------------------------------

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        on_delivery: Callable[..., None] | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        self._check()
        if self._state == "fatal":
            raise failure(KafkaError._FATAL, "Local: Fatal error", fatal=True)
        if self._state not in ("open", "plain"):
            raise failure(KafkaError._STATE, "Local: Erroneous state")
        if len(self._queue) >= QUEUE_MAX:
            raise BufferError("Local: Queue full")
        if partition < 0:
            count = self._broker.partitions(topic)
            partition = self._world.random.randrange(count) if key is None else partition_of(key, count)
        kept = tuple((name, content) for name, content in headers or ())
        self._queue.append(Queued(topic, partition, key, value, kept, timestamp or None, on_delivery))
        if self._world.random.random() < 0.02:
            self._send(self._world.random.randint(1, len(self._queue)))

    def poll(self, timeout: float = -1) -> int:
        self._check()
        self._world.faults.meet(self._process, "poll")
        if timeout > 0 and self._broker.is_away:
            self._world.scheduler.sleep(int(timeout * 1000))
        self._send(self._world.random.randint(0, len(self._queue)))
        return self._report()

    def flush(self, timeout: float = -1) -> int:
        """Returns how many are still in the queue."""
        self._check()
        if self._world.faults.meet(self._process, "flush") == "lost record" and self._queue:
            self._lose_one()
        until_ms = self._world.now_ms + int(timeout * 1000)
        while self._queue and self._state in ("open", "plain"):
            self._send(len(self._queue))
            if self._queue and self._world.now_ms >= until_ms:
                break
            if self._queue:
                self._world.scheduler.sleep(100)
        self._report()
        return len(self._queue)

    def purge(self, in_queue: bool = True, in_flight: bool = True, blocking: bool = True) -> None:
        self._fail_queue(KafkaError(KafkaError._PURGE_QUEUE))

    def _send(self, count: int) -> None:
        transaction = (self._id, self._epoch) if self._id else None
        for _ in range(count):
            if not self._queue or self._broker.is_away or self._state not in ("open", "plain"):
                return
            record = self._queue.popleft()
            try:
                offset = self._broker.append(
                    (record.topic, record.partition), record.key, record.value, record.headers, record.timestamp_ms,
                    transaction,
                )  # fmt: skip
            except Refusal as refusal:
                self._queue.appendleft(record)
                if refusal.code != KafkaError.CONCURRENT_TRANSACTIONS:  # else it is tried again
                    self._refused(refusal)
                return
            self._world.note_produced(self._process, record.topic, record.partition, offset)
            self._told(record, None, offset)

    def _lose_one(self) -> None:
        """A record that its broker would not take in time. In a transaction it dooms the whole."""
        record = self._queue.popleft()
        error = KafkaError(KafkaError._MSG_TIMED_OUT, "Local: Message timed out")
        self._told(record, error, -1)
        if self._state == "open":
            self._doom(error)

    def _told(self, record: Queued, error: KafkaError | None, offset: int) -> None:
        if record.on_delivery is not None and (error is not None or not self._tells_errors_only):
            message = FakeMessage(record.topic, record.partition, offset, -1, record.key, record.value, (), error)
            self._reports.append((record.on_delivery, error, message))

    def _report(self) -> int:
        served = len(self._reports)
        while self._reports:
            callback, error, message = self._reports.popleft()
            callback(error, message)
        return served

    def _fail_queue(self, error: KafkaError) -> None:
        while self._queue:
            self._told(self._queue.popleft(), error, -1)

    # -- transactions ------------------------------------------------------------------------------------------

    def init_transactions(self, timeout: float = -1) -> None:
        fault = self._meet("init_transactions", timeout)
        if self._state != "new":
            raise failure(KafkaError._STATE, "Local: Erroneous state")
        if fault == "lost request":
            raise failure(TIMED_OUT, "Failed to initialize Producer ID: Local: Timed out", retriable=True)
        _, self._epoch = self._answer(
            partial(self._broker.transactions.initialise, self._id, self._timeout_ms), "init_transactions", timeout
        )
        self._world.note(self._process, f"producer {self._id} epoch={self._epoch}")
        if fault == "lost answer":
            raise failure(TIMED_OUT, "Failed to initialize Producer ID: Local: Timed out", retriable=True)
        self._state = "ready"

    def begin_transaction(self) -> None:
        self._check()
        self._raise_if_fatal()
        if self._state != "ready":
            raise failure(KafkaError._STATE, f"begin_transaction() in state {self._state}")
        self._state = "open"

    def send_offsets_to_transaction(
        self, positions: list[TopicPartition], metadata: bytes, timeout: float = -1
    ) -> None:
        fault = self._meet("send_offsets", timeout)
        self._raise_unless_open()
        if fault == "lost request":
            raise failure(TIMED_OUT, "send_offsets_to_transaction: Local: Timed out", retriable=True)
        group, member, instance = (part.decode() for part in metadata[11:].split(b"\0")[:3])
        generation = struct.unpack_from("=i", metadata, 7)[0]
        offsets = {(p.topic, p.partition): (p.offset, p.metadata or "") for p in positions}
        self._world.counted.asked(self._process.name, offsets)
        try:
            told = group, member, generation, instance, offsets, (self._id, self._epoch)
            self._answer(partial(self._broker.commit_offsets, *told), "send_offsets_to_transaction", timeout)
        except Refusal as refusal:
            self._refused(refusal)
            self._raise_unless_open()
        if fault == "lost answer":
            raise failure(TIMED_OUT, "send_offsets_to_transaction: Local: Timed out", retriable=True)

    def commit_transaction(self, timeout: float = -1) -> None:
        fault = self._meet("commit_transaction", timeout)
        if fault == "lost record" and self._queue:
            self._lose_one()
        until_ms = self._world.now_ms + int(timeout * 1000)
        self._send(len(self._queue))
        while self._queue and self._state == "open":
            if self._world.now_ms >= until_ms:
                raise failure(TIMED_OUT, "commit_transaction: Local: Timed out", retriable=True)
            self._world.scheduler.sleep(20)
            self._send(len(self._queue))
        self._report()
        self._raise_unless_open()
        self._end("commit", fault)

    def abort_transaction(self, timeout: float = -1) -> None:
        fault = self._meet("abort_transaction", timeout)
        self._raise_if_fatal()
        if self._state not in ("open", "doomed"):
            raise failure(KafkaError._STATE, f"abort_transaction() in state {self._state}")
        self._fail_queue(KafkaError(KafkaError._PURGE_QUEUE))
        self._report()
        self._end("abort", fault)

    def _end(self, outcome: str, fault: str) -> None:
        if fault == "late request":
            self._broker.end_later(self._world.random.randint(1, 5_000), self._id, self._epoch, outcome)
        if fault in ("cut off before", "cut off behind"):  # for longer than anybody waits for the end of a transaction
            self._broker.away_until_ms = self._world.now_ms + 2 * self._timeout_ms
        if fault in ("lost request", "late request", "cut off before"):
            raise failure(TIMED_OUT, f"{outcome}_transaction: Local: Timed out", retriable=True)
        try:
            self._broker.transactions.end(self._id, self._epoch, outcome)
        except Refusal as refusal:
            self._refused(refusal)
            self._raise_unless_open()
        if fault in ("lost answer", "cut off behind"):
            raise failure(TIMED_OUT, f"{outcome}_transaction: Local: Timed out", retriable=True)
        self._world.note(self._process, f"{outcome} {self._id}")
        self._state, self._problem = "ready", None

    def _answer(self, ask: Callable[[], T], call: str, timeout_s: float) -> T:
        """Asks again while partitions have not heard how the last transaction ended. Raises Refusal."""
        until_ms = self._world.now_ms + int(timeout_s * 1000)
        while True:
            try:
                return ask()
            except Refusal as refusal:
                if refusal.code != KafkaError.CONCURRENT_TRANSACTIONS:
                    raise
            if self._world.now_ms >= until_ms:
                raise failure(TIMED_OUT, f"{call}: Local: Timed out", retriable=True)
            self._world.scheduler.sleep(20)

    def _refused(self, refusal: Refusal) -> None:
        if refusal.code in (KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED):
            if not self._id:
                raise AssertionError("a producer without transactions cannot be fenced")
            self._state = "fatal"
            self._problem = KafkaError(KafkaError._FENCED, FENCED, True)
            self._fail_queue(self._problem)
        else:
            self._doom(KafkaError(refusal.code, str(refusal), False, False, True))

    def _doom(self, why: KafkaError) -> None:
        self._state = "doomed"
        self._problem = KafkaError(why.code(), why.str(), False, False, True)
        self._fail_queue(KafkaError(KafkaError._PURGE_QUEUE))

    def _raise_unless_open(self) -> None:
        self._raise_if_fatal()
        if self._state == "doomed" and self._problem is not None:
            raise failure(self._problem.code(), self._problem.str(), abort=True)
        if self._state != "open":
            raise failure(KafkaError._STATE, f"the producer is {self._state}")

    def _raise_if_fatal(self) -> None:
        if self._state == "fatal" and self._problem is not None:
            raise failure(self._problem.code(), self._problem.str(), fatal=True)

    def _meet(self, call: str, timeout_s: float) -> str:
        """The call's fault, once the broker is there to answer."""
        self._check()
        fault = self._world.faults.meet(self._process, call)
        until_ms = self._world.now_ms + int(timeout_s * 1000)
        while self._broker.is_away:
            if self._world.now_ms >= until_ms:
                raise failure(TIMED_OUT, f"{call}: Local: Timed out", retriable=True)
            self._world.scheduler.sleep(100)
        return fault

    def list_topics(self, topic: str | None = None, timeout: float = -1) -> Any:
        raise NotImplementedError("the worker asks for topics before it starts")

    def _check(self) -> None:
        self._world.check_alive(self._process)
