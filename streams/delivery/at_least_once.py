"""Delivery for brokers without transactions: output records are flushed, then the input offsets are committed. After a
crash between the two, some records are produced again, with equal values.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from schemas.topics import LEDGER
from streams.delivery.contract import PATIENCE_S, DeliveryFailed
from streams.ingest.epoch import Offsets, OutRecord
from streams.kafka.clients import Clients
from streams.kafka.errors import Meaning, client_errors, error_of, meaning_of, passes
from streams.kafka.notes import Notes
from streams.kafka.producing import ERRORS_ONLY, arguments_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message


log = logging.getLogger("grayline.sink")


class AtLeastOnce:
    """An idempotent producer, flushed before the consumer's offsets are committed synchronously.

    A broker that is away is waited for; failure is what the producer itself gives up on (`message.timeout.ms`)."""

    def __init__(
        self,
        config: Mapping[str, object],
        consumer: Consumer,
        *,
        note_parts: int = 0,
        topic_ids: Mapping[str, str] = MappingProxyType({}),
        clients: Clients | None = None,
        trouble: Callable[[str], None] = lambda code: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.note = ""
        self._notes = Notes(note_parts, topic_ids)
        self._consumer = consumer
        self._trouble = trouble
        self._patience_s = patience_s
        self._failed: str | None = None
        self._closing = threading.Event()
        self._ledger: list[OutRecord] = []
        self._producer: Any = (clients or Clients()).producer({**ERRORS_ONLY, "error_cb": self._on_error, **config})

    def open(self) -> None:
        """Does nothing: the broker is first needed by a record."""

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
        places = self._notes.places(offsets, note)
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
            if meaning_of(error) is Meaning.REBALANCE:
                return False
            if not passes(error):
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
