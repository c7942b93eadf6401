"""Redriving: produces dead letters again to the topics that they came from, each once.

Letters go in transactions of some hundreds. Each transaction has, besides their records, one receipt in `dead-letters`
that tells which letters they were and where their records lie (`streams.operators.dead_letters`); so a redrive that was
broken off is begun again, and takes up where the last transaction ended. A second redrive at the same time fences the
first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas import decoding
from schemas.feed_settings import FeedBook
from schemas.feeds import FEEDS
from streams.ingest.feed_codes import HEADER, Feeds
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.operators.dead_letters import ERRORS, OURS, RECEIPT, REDRIVEN, DeadLetters, Letter, Redriven, Wanted

TRANSACTIONAL_ID = "grayline-redrive"
LETTERS_MAX, BYTES_MAX = 500, 16 << 20  # of one transaction
TIMEOUT_S = 30.0
EVERY_DELIVERY = {"delivery.report.only.error": False}  # receipts tell where records came to
HOUR_MS = 3_600_000  # the lateness of a feed that does not say another

# Why a letter is not redriven, in words.
LEFT = {
    "done": "were redriven before",
    "unreadable": "still cannot be read",
    "cut": "are larger than a dead letter keeps: produce them from their source",
    "elsewhere": "came from no input topic",
    "gone": "came from a partition that their topic does not have",
}


Readable = Callable[[Letter], bool]


@dataclass(slots=True)
class RedriveResult:
    """The result of a redrive. redriven: by topic; left: by reason, of LEFT; old: redriven ones whose record first came
    more than an hour ago, so that its events may be late."""

    redriven: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    old: int = 0

    @property
    def is_whole(self) -> bool:
        """True if nothing is left but what was redriven before."""
        return not self.left.total() - self.left["done"]


def redrive(
    settings: KafkaSettings,
    wanted: Wanted,
    *,
    anyway: bool = False,
    dry_run: bool = False,
    feeds: FeedBook | None = None,
    now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> RedriveResult:
    """Produces the letters wanted again. anyway: those too that this version of Grayline cannot read. dry_run: only
    finds out what would be redriven. feeds: settings of feeds, as workers have them. Raises KafkaProblem; what was
    committed until then stays, and is not repeated."""
    result = RedriveResult()
    # First of all: whoever redrives at the same time is fenced, so no receipt can come behind those that are read.
    producer = None if dry_run else _Producer(settings)
    with DeadLetters(settings) as source:
        redriven = source.redriven()
        if source.unread_receipts:
            raise KafkaProblem(
                f"{source.topic}: {source.unread_receipts} receipts of earlier redrives cannot be read, perhaps of a "
                "newer Grayline: redriving could double records"
            )
        counts = _partitions(settings)
        readable = _taken if anyway else _can_be_read if feeds is None else _LetterReader(feeds).can_read
        chosen = _chosen(source.letters(wanted), redriven, counts, readable, result)
        for batch in _batches(chosen):
            if producer is not None:
                producer.deliver(batch, source.topic)
            result.redriven.update(letter.came_from[0] for letter in batch)
            result.old += sum(0 <= letter.at_ms < now_ms() - HOUR_MS for letter in batch)
    return result


def _chosen(
    letters: Iterable[Letter], redriven: Redriven, counts: dict[str, int], readable: Readable, result: RedriveResult
) -> Iterator[Letter]:
    for letter in letters:
        why = _left(letter, redriven, counts, readable)
        if why is None:
            yield letter
        else:
            result.left[why] += 1


def _batches(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += len(letter.value or b"")
        if len(batch) >= LETTERS_MAX or size >= BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _left(letter: Letter, redriven: Redriven, counts: dict[str, int], readable: Readable) -> str | None:
    """The reason of LEFT, None for a letter that is to be redriven."""
    topic, partition, _ = letter.came_from
    if redriven.has(letter):
        return "done"
    if topic not in FEEDS:
        return "elsewhere"
    if not letter.whole:
        return "cut"
    if not 0 <= partition < counts.get(topic, 0):
        return "gone"
    return None if readable(letter) else "unreadable"


def _taken(letter: Letter) -> bool:
    return True


def _can_be_read(letter: Letter) -> bool:
    try:
        decoding.decode(letter.came_from[0], letter.value, frozenset())
    except decoding.RecordError:
        return False
    return True


class _LetterReader:
    """Reads letters as a worker with these settings of feeds does: out of envelopes, times without a zone in theirs."""

    def __init__(self, feeds: FeedBook) -> None:
        self._feeds = Feeds(feeds)
        self._decoders: dict[str, Any] = {}

    def can_read(self, letter: Letter) -> bool:
        import numpy as np

        from streams.ingest.decode import Decoder
        from streams.ingest.epoch import RawBatch

        topic, none = letter.came_from[0], np.zeros(1, np.int64)
        if topic not in self._decoders:
            self._decoders[topic] = Decoder(topic, frozenset(), feeds=self._feeds)
        named = next((value for name, value in letter.headers if name == HEADER), None)
        raw = RawBatch(topic, none, np.zeros(1, np.int32), none, none, [letter.value], feeds=[named])
        return not self._decoders[topic].decode(raw).dead_letters


def _partitions(settings: KafkaSettings) -> dict[str, int]:
    """Partition counts of the input topics that exist. Raises KafkaProblem."""
    from streams.kafka.admin import TIMEOUT_S, Admin

    existing = Admin(settings, TIMEOUT_S).metadata().topics  # which takes no right but those to redrive
    return {name: len(existing[name].partitions) for name in FEEDS if name in existing}


def record_of(letter: Letter) -> dict[str, Any]:
    """The record as it was, as arguments of `produce`: key, value and headers, less those that made it a letter."""
    headers = [(name, value) for name, value in letter.headers if not name.startswith((ERRORS, OURS))]
    topic, partition, _ = letter.came_from
    return {
        "topic": topic,
        "partition": partition,
        "key": letter.key,
        "value": letter.value,
        "headers": [*headers, (REDRIVEN, letter.place.encode())],
    }


class _Producer:
    """Delivers letters, a transaction a batch."""

    def __init__(self, settings: KafkaSettings) -> None:
        from confluent_kafka import KafkaException

        from streams.kafka.clients import Clients

        self._settings = settings
        try:
            self._producer = Clients().producer(
                {"log_level": 0, **settings.producer(transactional_id=TRANSACTIONAL_ID), **EVERY_DELIVERY}
            )
            self._producer.init_transactions(TIMEOUT_S)
        except KafkaException as error:
            raise KafkaProblem(f"cannot write at {settings.brokers}: {error.args[0].str()}") from error

    def deliver(self, batch: list[Letter], receipts_topic: str) -> None:
        from confluent_kafka import KafkaException

        try:
            self._producer.begin_transaction()
            self._produce(batch, receipts_topic)
            self._producer.commit_transaction(TIMEOUT_S)
        except (KafkaException, KafkaProblem) as error:
            self._abort()
            why = error.args[0].str() if isinstance(error, KafkaException) else error
            raise KafkaProblem(
                f"letter {batch[0].place} and those behind it were not redriven: {why}. Begin again: what was redriven "
                "is not repeated"
            ) from error

    def _produce(self, batch: list[Letter], receipts_topic: str) -> None:
        from confluent_kafka import KafkaException

        items: list[tuple[int, int, str, int, int]] = []
        failures: list[Any] = []

        def delivered(letter: Letter, error: Any, message: Any) -> None:
            if error is not None:
                failures.append(error)
            else:
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                items.append((letter.partition, letter.offset, topic, partition, offset))

        for letter in batch:
            self._producer.produce(
                **record_of(letter), on_delivery=lambda error, message, letter=letter: delivered(letter, error, message)
            )
        left = self._producer.flush(TIMEOUT_S)
        if failures:
            raise KafkaException(failures[0])
        if left:
            raise KafkaProblem(f"{left} records were not acknowledged by {self._settings.brokers} in {TIMEOUT_S:g} s")
        receipt = orjson.dumps(sorted(items))
        self._producer.produce(
            receipts_topic, value=receipt, partition=batch[0].partition, headers=[(RECEIPT, b"redriven")]
        )

    def _abort(self) -> None:
        from contextlib import suppress

        from confluent_kafka import KafkaException

        with suppress(KafkaException):  # the broker aborts by itself what is left open
            self._producer.abort_transaction(TIMEOUT_S)
