"""Where output records go, and how input offsets are committed behind them.

`Delivery` is the one seam between the worker and its guarantee. `Transactional` (transactions.py) commits records and
offsets as one. `AtLeastOnce`, for brokers without transactions, flushes, then commits: after a crash between the two,
some records are produced again, with equal values.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from schemas.topics import LEDGER
from streams.epoch import OutRecord, Place
from streams.kafka.clients import Clients

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

Offsets = Mapping[Place, int]  # the next offset to read of each place

log = logging.getLogger("grayline.sink")

PATIENCE_S = 0.5  # between two attempts while the broker is away


class DeliveryFailed(Exception):
    """Output cannot be delivered: nothing may be committed, the worker must stop."""

    exit_code = 1


class Fenced(DeliveryFailed):
    """Another process runs under this worker's name, and the broker has given it the name."""


class Delivery(Protocol):
    """Called by one thread, in order: open, then produce any number of times, commit, produce ... Only `close` may
    come from any thread."""

    note: str
    """The text that the last successful commit left beside its offsets; empty before the first."""

    def open(self) -> None:
        """Get ready to produce; waits for the broker. Raises DeliveryFailed."""
        ...

    def produce(self, records: Sequence[OutRecord]) -> None:
        """Hand over records of the next commit. Raises DeliveryFailed when one can never be delivered."""
        ...

    def commit(self, offsets: Offsets) -> bool:
        """Make everything produced since the last commit durable, and `offsets` with it. False: the group has given
        the partitions to somebody else; nothing was committed and the records are forgotten. Without records and
        offsets there is nothing to do. Raises DeliveryFailed."""
        ...

    def abort(self) -> None:
        """Forget what was produced since the last commit: its partitions are lost."""
        ...

    def close(self) -> None:
        """From any thread: a call that waits for the broker gives up with DeliveryFailed."""
        ...


class Notes:
    """The texts that a worker leaves beside the offsets it commits: by them it recognises its own last commit.

    parts: the partition count of the inputs, for whoever starts after it has changed."""

    def __init__(self, parts: int) -> None:
        self._parts = parts
        self._worker = uuid.uuid4().hex
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"grayline1 parts={self._parts} commit={self._worker}-{self._count}"


def noted_parts(note: str | None) -> int | None:
    """The partition count that a committed note tells; None when the offsets were committed by something else."""
    found = re.match(r"grayline1 parts=(\d+) ", note or "")
    return int(found[1]) if found else None


class AtLeastOnce:
    """An idempotent producer, flushed before the consumer's offsets are committed synchronously.

    A broker that is away is waited for; failure is what the producer itself gives up on (`message.timeout.ms`)."""

    def __init__(
        self,
        config: Mapping[str, object],
        consumer: Consumer,
        *,
        note_parts: int = 0,
        clients: Clients | None = None,
        trouble: Callable[[str], None] = lambda code: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.note = ""
        self._notes = Notes(note_parts)
        self._consumer = consumer
        self._trouble = trouble
        self._patience_s = patience_s
        self._failed: str | None = None
        self._closing = threading.Event()
        self._ledger: list[OutRecord] = []
        self._producer: Any = (clients or Clients()).producer({**ERRORS_ONLY, "error_cb": self._on_error, **config})

    def open(self) -> None:
        """Nothing to open: the broker is first needed by what is produced."""

    def produce(self, records: Sequence[OutRecord]) -> None:
        for record in records:
            if record.topic == LEDGER:
                self._ledger.append(record)
            else:
                self._produce(record)
        self._serve(self._producer.poll, 0)
        self._check()

    def commit(self, offsets: Offsets) -> bool:
        """1. Flush: every output has its acknowledgement. Any failure: no commit. 2. The same for the ledger's rows: a
        restored ledger knows no hold that was not published. 3. Commit the offsets, with a note."""
        self._flush()  # 1
        if self._ledger:  # 2
            rows, self._ledger = self._ledger, []
            for row in rows:
                self._produce(row)
            self._flush()
        return self._commit_offsets(offsets) if offsets else True  # 3

    def abort(self) -> None:
        self._ledger = []  # of the rest some is with the broker; whoever owns the partitions now writes its equals

    def close(self) -> None:
        self._closing.set()

    def _flush(self) -> None:
        while self._serve(self._producer.flush, self._patience_s):
            self._check()
            self._give_up_if_closing("output records were not acknowledged")
        self._check()

    def _produce(self, record: OutRecord) -> None:
        from confluent_kafka import KafkaException

        while True:
            try:
                self._producer.produce(record.topic, **arguments_of(record), on_delivery=self._delivered)
                return
            except BufferError:  # the queue is full: serve deliveries until one leaves it
                self._serve(self._producer.poll, self._patience_s)
                self._check()
                self._give_up_if_closing("the producer's queue is full")
            except KafkaException as problem:
                self._failed = f"a record for topic {record.topic!r} was refused: {problem.args[0].str()}"
                self._check()

    def _commit_offsets(self, offsets: Offsets) -> bool:
        from confluent_kafka import KafkaException

        note = self._notes.next()
        places = places_of(offsets, note)
        while True:
            try:
                answers = self._consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as problem:
                error = problem.args[0]
            else:
                error = next((place.error for place in answers or () if place.error is not None), None)
            if error is None:
                self.note = note
                return True
            if error.code() in rebalance_codes():
                return False
            if error.code() not in passing_codes():
                raise DeliveryFailed(f"offsets could not be committed: {error.str()}")
            log.warning("commit put off, trying again: code=%s %s", error.name(), error.str())
            self._trouble(error.name())
            self._closing.wait(self._patience_s)
            self._give_up_if_closing("offsets were not committed")

    def _serve(self, call: Callable[[float], int], wait_s: float) -> int:
        try:
            return call(wait_s)
        except client_errors() as problem:
            raise DeliveryFailed(f"the producer cannot go on: {error_of(problem).str()}") from problem

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = f"a record for topic {message.topic()!r} was not delivered: {error.str()}"

    def _on_error(self, error: KafkaError) -> None:
        log.warning("producer trouble: code=%s %s", error.name(), error.str())
        self._trouble(error.name())

    def _check(self) -> None:
        if self._failed is not None:
            raise DeliveryFailed(self._failed)

    def _give_up_if_closing(self, what: str) -> None:
        if self._closing.is_set():
            raise DeliveryFailed(f"{what} before the worker had to end: the broker does not answer")


# A delivery that went well is no news, and one call of Python a record is much.
ERRORS_ONLY = {"delivery.report.only.error": True}


def arguments_of(record: OutRecord) -> dict[str, Any]:
    """What `produce` takes besides the topic."""
    arguments: dict[str, Any] = {"key": record.key, "value": record.value}
    if record.headers:
        arguments["headers"] = record.headers
    if record.partition is not None:
        arguments["partition"] = record.partition
    return arguments


def places_of(offsets: Offsets, note: str) -> list[Any]:
    """The offsets as confluent-kafka wants them, each with the note as its metadata."""
    from confluent_kafka import TopicPartition

    return [TopicPartition(topic, partition, offset, note) for (topic, partition), offset in offsets.items()]


def client_errors() -> tuple[type[Exception], ...]:
    """What a call of a confluent-kafka producer raises. A fatal error comes out of whichever call serves callbacks; a
    callback served after it, a line of librdkafka's log for one, turns it into a SystemError."""
    from confluent_kafka import KafkaException

    return (KafkaException, SystemError)


def error_of(problem: BaseException) -> KafkaError:
    """The error that one of `client_errors` carries."""
    from confluent_kafka import KafkaError, KafkaException

    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, KafkaException):
            return cause.args[0]
        cause = cause.__cause__ or cause.__context__
    return KafkaError(KafkaError._FATAL, str(problem))


def rebalance_codes() -> frozenset[int]:
    """The partitions are, or are about to be, another member's."""
    from confluent_kafka import KafkaError

    return frozenset(
        (
            KafkaError.ILLEGAL_GENERATION,
            KafkaError.UNKNOWN_MEMBER_ID,
            KafkaError.REBALANCE_IN_PROGRESS,
            KafkaError._ASSIGNMENT_LOST,
        )
    )


def passing_codes() -> frozenset[int]:
    """A broker that is away, or whose coordinator moves."""
    from confluent_kafka import KafkaError

    return frozenset(
        (
            KafkaError._TRANSPORT,
            KafkaError._RESOLVE,
            KafkaError._TIMED_OUT,
            KafkaError._TIMED_OUT_QUEUE,
            KafkaError._MSG_TIMED_OUT,
            KafkaError._ALL_BROKERS_DOWN,
            KafkaError._WAIT_COORD,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.NOT_COORDINATOR,
            KafkaError.NETWORK_EXCEPTION,
            KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            KafkaError.KAFKA_STORAGE_ERROR,
            KafkaError.CONCURRENT_TRANSACTIONS,
            KafkaError.UNSTABLE_OFFSET_COMMIT,
        )
    )
