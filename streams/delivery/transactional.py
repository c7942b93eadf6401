"""Delivery in Kafka transactions: outputs, ledger rows, snapshots and input offsets become visible together or never.

`step` needs no roll-back of its state. The records of the commit at hand are kept until it is known to have happened;
when a transaction fails, the same records are produced again, byte for byte. Only when the group gives the partitions
to somebody else are they forgotten: the new owner makes their equals from the same input.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from streams.delivery.contract import PATIENCE_S, DeliveryFailed, Fenced
from streams.ingest.epoch import Offsets, OutRecord
from streams.kafka.clients import Clients
from streams.kafka.errors import Meaning, client_errors, error_of, meaning_of, passes
from streams.kafka.notes import Notes, is_of
from streams.kafka.producing import ERRORS_ONLY, arguments_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

log = logging.getLogger("grayline.transactions")

PACKED_METADATA = b"CGMDv2:"  # then the generation, a C int, and texts that end with NUL: group, member ...
# A transaction that fails for a reason that waiting does not heal is tried this often, then the worker ends.
ATTEMPTS_MAX = 5
# Fenced once, a worker takes its name back: it may have slept. Fenced again before it could commit, it gives way.
FENCES_MAX = 1
HUNG_S = 2.0  # a call that takes so much longer than it may hangs, and its producer with it
QUIET_S = 30.0  # between two lines of the log about the same error


class Transactional:
    """A transactional producer, which is replaced by another when the fate of its transaction is not known.

    config: librdkafka's settings of a transactional producer. consumer: has the group's metadata and its committed
    offsets (streams.kafka.consumer_calls: a bare consumer makes other threads wait for its polls); it must read
    committed (`isolation.level`), so that it gets stable offsets only. trouble: called with a word at each mishap
    (txn_aborted, txn_timed_out, txn_fenced, txn_unanswered, producer_replaced, or an error's name).

    No call to the broker is waited for longer than `transaction.timeout.ms`; between two, `close` is heard.
    """

    def __init__(
        self,
        config: Mapping[str, object],
        consumer: Consumer,
        *,
        transactional_id: str,
        note_parts: int,
        topic_ids: Mapping[str, str] = MappingProxyType({}),
        clients: Clients,
        trouble: Callable[[str], None] = lambda code: None,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.note = ""
        self._id = transactional_id
        self._config = {**ERRORS_ONLY, **config, "transactional.id": transactional_id, "error_cb": self._on_error}
        self._timeout_s = int(str(config.get("transaction.timeout.ms", 60_000))) / 1000
        self._consumer = consumer
        self._notes = Notes(note_parts, topic_ids)
        self._clients = clients
        self._trouble = trouble
        self._patience_s = patience_s
        self._clock = clock
        self._closing = threading.Event()
        self._producer: Any = None
        self._records: list[OutRecord] = []  # of the commit at hand
        self._sent = 0  # of these, how many the producer has in its transaction
        self._begun_at: float | None = None  # None: no transaction is open
        self._broken: KafkaError | None = None  # why the open transaction cannot be committed any more
        self._refused = ""  # the topic whose record is why, if it is one's
        self._fences = 0  # since the last commit
        self._quiet_until: dict[int, float] = {}  # by error code, for the log

    def open(self) -> None:
        """Takes over the transactional id: a transaction that a predecessor left open is aborted, and the predecessor
        can write nothing more. Waits for the broker. Raises DeliveryFailed, Fenced."""
        self._producer = self._new_producer()

    def produce(self, records: Sequence[OutRecord]) -> None:
        """Hands records to the open transaction. `commit` deals with errors."""
        self._records += records
        self._send()

    def commit(self, offsets: Offsets) -> bool:
        """Commits the records produced since the last commit together with `offsets`. Raises DeliveryFailed, Fenced;
        ValueError for records without offsets, which nothing would protect from a former owner of their partitions.

        1. Hand over what the producer does not have yet, and wait until the broker has acknowledged every record, so
           that a record that fails is known before the end is asked for.
        2. Put the offsets into the transaction, with a note that is this commit's own, under the group's generation. A
           former owner of the partitions is refused here: abort, False.
        3. Ask for the end of the transaction. Answered: done.
        4. An error before 3: nothing can have been committed. Abort, and again from 1 with the same records.
        5. An error at 3 or at an abort, or a fence: whether the transaction was committed is open, and its end may
           still be on its way. Replace the producer: a new one under the same id makes the broker finish what was begun
           and refuse whatever comes late.
        6. Read the committed offsets: our note is there, so 3 did happen. It is not, so it never will: again from 1.
        """
        if not offsets:
            if self._records:
                raise ValueError(f"{len(self._records)} records without offsets: give those of every partition owned")
            return True
        note = self._notes.next()
        places = self._notes.places(offsets, note)
        failures = 0
        while True:
            why = self._prepare(places)  # 1, 2
            if why is None:
                why = self._call(self._producer.commit_transaction)  # 3
                if why is None:
                    return self._committed(note)
                self._trouble("txn_unanswered")
                self._replace(why)  # 5
                if self._finds(note, places):  # 6
                    return self._committed(note)
            else:
                self._abort(why)  # 4, and 5 when that fails
                if meaning_of(why) is Meaning.REBALANCE:
                    self._forget()
                    return False
            failures += not passes(why)
            self._give_up_unless_it_may_help(why, failures)
            self._begun_at = None  # `_send` begins anew, with the first record

    def abort(self) -> None:
        """Forgets the records produced since the last commit, and aborts their transaction."""
        if self._begun_at is not None:
            why = self._call(self._producer.abort_transaction)
            if why is not None:
                self._replace(why)
        self._forget()

    def close(self) -> None:
        self._closing.set()

    def _send(self) -> None:
        """Hands over records, in order, up to the last or to the first sign that the transaction must be aborted."""
        if self._begun_at is None:
            self._begin()
        while self._broken is None and self._sent < len(self._records):
            record = self._records[self._sent]
            try:
                self._producer.produce(record.topic, **arguments_of(record), on_delivery=self._delivered)
                self._sent += 1
            except BufferError:  # the queue is full: serve deliveries until one leaves it
                self._serve(self._producer.poll, self._patience_s)
                self._give_up_if_closing("the producer's queue is full")
            except client_errors() as problem:
                self._broken, self._refused = error_of(problem), record.topic
        self._serve(self._producer.poll, 0)

    def _begin(self) -> None:
        self._sent, self._broken, self._refused = 0, None, ""
        self._begun_at = self._clock()
        try:
            self._producer.begin_transaction()
        except client_errors() as problem:
            self._broken = error_of(problem)

    def _serve(self, call: Callable[[float], int], wait_s: float) -> int:
        try:
            return call(wait_s)
        except client_errors() as problem:
            self._broken = error_of(problem)
            return 0

    def _prepare(self, places: list[Any]) -> KafkaError | None:
        """Steps 1 and 2. Returns what went wrong."""
        from confluent_kafka import KafkaError

        self._send()
        while self._broken is None and self._serve(self._producer.flush, self._patience_s):
            self._give_up_if_closing("output records were not acknowledged")
        if self._broken is not None:
            return self._broken
        member = self._consumer.consumer_group_metadata()
        if not is_member(member):
            # The broker lets offsets without a generation pass, as those of a consumer that is in no group.
            return KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the consumer is no member of its group any more")
        send = self._producer.send_offsets_to_transaction
        limit_s = self._timeout_s + HUNG_S
        # librdkafka #5456: waits for a group coordinator that it knew and that is gone, and forgets the time.
        return self._call(lambda wait_s: self._clients.bounded(lambda: send(places, member, wait_s), limit_s))

    def _call(self, function: Callable[..., Any], *arguments: Any) -> KafkaError | None:
        """Makes a call, and repeats it while librdkafka says that this call may be repeated. Returns what went
        wrong."""
        until = self._clock() + self._timeout_s
        while True:
            try:
                function(*arguments, self._timeout_s)
                return None
            except client_errors() as problem:
                error = error_of(problem)
            if not error.retriable() or error.txn_requires_abort() or self._clock() >= until:
                return error
            self._wait("the transaction was not ended")

    def _abort(self, why: KafkaError) -> None:
        log.warning("transaction aborted: code=%s %s", why.name(), why.str())
        self._trouble("txn_aborted")
        problem = why if why.fatal() else self._call(self._producer.abort_transaction)
        if problem is not None:
            self._replace(problem)

    def _replace(self, why: KafkaError) -> None:
        """Replaces the producer by another under the same id. Raises Fenced when the last one was fenced too, and was
        too young to have been timed out by the broker, which looks the same to a producer."""
        if meaning_of(why) is Meaning.FENCE:
            self._fenced(why)
        log.warning("producer replaced: code=%s %s", why.name(), why.str())
        self._trouble("producer_replaced")
        # The old one ends only behind the start of the other: librdkafka was seen to abort the process when a producer
        # ended in the very moment in which the broker had fenced it.
        old, self._producer = self._producer, None
        self._producer = self._new_producer()
        del old

    def _fenced(self, why: KafkaError) -> None:
        if self._begun_at is not None and self._clock() - self._begun_at >= self._timeout_s:
            self._trouble("txn_timed_out")
            return
        self._trouble("txn_fenced")
        self._fences += 1
        if self._fences > FENCES_MAX:
            raise Fenced(self._name_taken(why))

    def _new_producer(self) -> Any:
        while True:
            try:
                producer = self._clients.producer(self._config)
            except client_errors() as problem:
                raise DeliveryFailed(f"the producer's settings are refused: {error_of(problem).str()}") from problem
            until = self._clock() + self._timeout_s
            while self._clock() < until:  # a producer that has lost its brokers finds none again: librdkafka #5301
                try:
                    producer.init_transactions(self._patience_s)
                    return producer
                except client_errors() as problem:
                    error = error_of(problem)
                if meaning_of(error) is Meaning.FENCE:
                    self._fenced(error)
                    break
                if error.fatal() or not (error.retriable() or passes(error)):
                    raise DeliveryFailed(f"the broker refuses transactional id {self._id!r}: {error.str()}")
                self._wait(f"transactional id {self._id!r} was not granted")

    def _finds(self, note: str, places: list[Any]) -> bool:
        """True if the committed offsets carry the note. One place is enough: the others may have been committed by a
        new owner since."""
        from confluent_kafka import KafkaException, TopicPartition

        asked = [TopicPartition(place.topic, place.partition) for place in places]
        while True:
            try:
                answers = self._consumer.committed(asked, timeout=self._timeout_s)
            except KafkaException as problem:
                error = problem.args[0]
            else:
                error = next((place.error for place in answers if place.error is not None), None)
                if error is None:
                    return any(is_of(place.metadata, note) for place in answers)
            if not passes(error):
                raise DeliveryFailed(f"whether the last commit happened cannot be read: {error.str()}")
            self._wait("whether the last commit happened is not known")

    def _committed(self, note: str) -> bool:
        self.note = note
        self._fences = 0
        self._forget()
        return True

    def _forget(self) -> None:
        self._records = []
        self._begun_at = None

    def _give_up_unless_it_may_help(self, why: KafkaError, failures: int) -> None:
        """Waits a moment before the next attempt, or says why there is none."""
        if meaning_of(why) is Meaning.NAME_TAKEN:
            raise Fenced(self._name_taken(why))
        if meaning_of(why) in (Meaning.RECORD, Meaning.NO_TOPIC, Meaning.NO_RIGHT, Meaning.NO_GROUP):
            what = f"a record for topic {self._refused!r}" if self._refused else "output"
            raise DeliveryFailed(f"{what} cannot be delivered, nothing was committed: {why.str()}")
        if failures >= ATTEMPTS_MAX:
            raise DeliveryFailed(
                f"the same transaction failed {failures} times, the last time with {why.name()}: {why.str()}; it is "
                f"given {self._timeout_s:g} s (`transaction.timeout.ms`)"
            )
        self._wait("output was not committed")

    def _name_taken(self, why: KafkaError) -> str:
        return (
            f"the name {self._id!r} belongs to another process now ({why.name()}): give each worker a --name of its "
            "own; if no other runs, this one was cut off for longer than its session, start it again"
        )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._broken is None:
            self._broken, self._refused = error, message.topic()
            log.warning("record not delivered: topic=%s code=%s %s", message.topic(), error.name(), error.str())

    def _on_error(self, error: KafkaError) -> None:
        self._trouble(error.name())
        if self._clock() >= self._quiet_until.get(error.code(), 0.0):  # an outage says the same many times a second
            self._quiet_until[error.code()] = self._clock() + QUIET_S
            log.warning("producer trouble: code=%s %s", error.name(), error.str())

    def _wait(self, what: str) -> None:
        self._give_up_if_closing(what)
        self._closing.wait(self._patience_s)

    def _give_up_if_closing(self, what: str) -> None:
        if self._closing.is_set():
            raise DeliveryFailed(f"{what} before the worker had to end: the broker does not answer")


def is_member(metadata: object) -> bool:
    """True if group metadata, as librdkafka packs it, has a generation and a member id. A consumer that was put out of
    its group has no member id until it joins again; one that never joined has no generation either."""
    if metadata is None:
        return False
    if not isinstance(metadata, bytes) or not metadata.startswith(PACKED_METADATA):
        return True  # of another version: the broker judges it
    (generation,) = struct.unpack_from("=i", metadata, len(PACKED_METADATA))
    _, member, _ = metadata[len(PACKED_METADATA) + 4 :].split(b"\0", 2)
    return generation >= 0 and member != b""
