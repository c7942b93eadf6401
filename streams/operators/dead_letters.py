"""Dead letters as operators read them: from where, why, how many, and which were redriven.

A redrive writes receipts beside the letters, records of the same topic with the header RECEIPT: the place of each
letter that was produced again, and the place to which its record came. A receipt is in the same transaction as the
records that it tells of, so each letter is redriven once, however often a redrive is broken off and begun again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from schemas.feeds import FEEDS
from schemas.json_reading import JsonReader, Unreadable
from schemas.objects import ObjectError, read_pairs
from schemas.topics import DEAD_LETTERS
from streams.ingest.feed_codes import HEADER
from streams.kafka.settings import KafkaProblem, KafkaSettings

ERRORS = "__connect.errors."
OURS = "grayline."
RECEIPT = "grayline.receipt"
REDRIVEN = "grayline.redriven"  # header of a record that was produced again: the place of its letter
BYTES = "grayline.value.bytes"  # only of a value of which the letter has the beginning only
SILENCE_MAX_S = 30.0
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. partition, offset: its own place; came_from: the record's; at_ms: when it was written, -1 if
    Kafka does not say. whole: False if only the beginning of the value was kept."""

    partition: int
    offset: int
    at_ms: int
    came_from: tuple[str, int, int]
    feed: str
    reason: str
    message: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    whole: bool

    @property
    def place(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The letters that somebody asks for; empty: all. places: (partition, offset) of letters."""

    feeds: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    places: frozenset[tuple[int, int]] = frozenset()

    def takes(self, letter: Letter) -> bool:
        return (
            (not self.feeds or letter.feed in self.feeds)
            and (not self.topics or letter.came_from[0] in self.topics)
            and (not self.reasons or letter.reason in self.reasons)
            and (not self.places or (letter.partition, letter.offset) in self.places)
        )


@dataclass(slots=True)
class Redriven:
    """Facts from receipts: the letters that were redriven, and the places that their records have now."""

    letters: set[tuple[int, int]] = field(default_factory=set)
    records: set[tuple[str, int, int]] = field(default_factory=set)

    def has(self, letter: Letter) -> bool:
        return (letter.partition, letter.offset) in self.letters

    def failed_again(self, letter: Letter) -> bool:
        """True for the letter of a record that a redrive produced."""
        return letter.came_from in self.records


class ReceiptItem(msgspec.Struct, array_like=True):
    """One letter's place, and where its record went."""

    partition: int
    offset: int
    topic: str
    new_partition: int
    new_offset: int


_RECEIPT = JsonReader(list[ReceiptItem])


@dataclass(slots=True)
class Tally:
    """Letters of one feed, topic and reason."""

    count: int = 0
    redriven: int = 0
    failed_again: int = 0
    first_ms: int = -1
    last_ms: int = -1
    first_place: str = ""

    def add(self, letter: Letter, redriven: Redriven) -> None:
        self.count += 1
        self.redriven += redriven.has(letter)
        self.failed_again += redriven.failed_again(letter)
        self.first_place = self.first_place or letter.place
        if letter.at_ms >= 0:
            self.first_ms = letter.at_ms if self.first_ms < 0 else min(self.first_ms, letter.at_ms)
            self.last_ms = max(self.last_ms, letter.at_ms)


class DeadLetters:
    """Reads the topic from its beginning to the end it has now, committed records only, outside of any group; a context
    manager. Raises KafkaProblem."""

    def __init__(self, settings: KafkaSettings, topic: str = DEAD_LETTERS) -> None:
        self._settings, self.topic = settings, topic
        self.unread_receipts = 0
        self._reader: Any = None

    def __enter__(self) -> DeadLetters:
        from confluent_kafka import KafkaException

        from streams.kafka.clients import Clients
        from streams.kafka.reader import Reader
        from streams.kafka.topics import check_inputs

        self._partitions = check_inputs(self._settings, [self.topic], TIMEOUT_S)
        config = self._settings.consumer(f"grayline-dead-letters-{uuid.uuid4().hex}")
        try:
            self._reader = Reader(Clients(), {"log_level": 0, **config})
        except KafkaException as error:
            raise KafkaProblem(f"cannot read {self.topic}: {error.args[0].str()}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def redriven(self) -> Redriven:
        """All that receipts tell."""
        told = Redriven()
        for message in self._messages():
            if _header(message.headers() or (), RECEIPT) is None:
                continue
            try:
                items = _RECEIPT.read(message.value() or b"")
            except Unreadable:
                self.unread_receipts += 1
                continue
            told.letters.update((item.partition, item.offset) for item in items)
            told.records.update((item.topic, item.new_partition, item.new_offset) for item in items)
        return told

    def letters(self, wanted: Wanted) -> Iterator[Letter]:
        """The letters wanted, by partition and offset."""
        for message in self._messages():
            headers = message.headers() or ()
            if _header(headers, RECEIPT) is None and wanted.takes(letter := letter_of(message, headers)):
                yield letter

    def one(self, partition: int, offset: int) -> Letter | None:
        """The letter at a place; None if none is there."""
        if partition >= self._partitions:
            return None
        for message in self._span(partition, offset, offset + 1):
            headers = message.headers() or ()
            return None if _header(headers, RECEIPT) is not None else letter_of(message, headers)
        return None

    def _messages(self) -> Iterator[Any]:
        for partition in range(self._partitions):
            yield from self._span(partition, 0, None)

    def _span(self, partition: int, start: int, end: int | None) -> Iterator[Any]:
        from confluent_kafka import KafkaException

        from streams.kafka.reader import ReadBroken

        try:
            low, high = self._reader.ends(self.topic, partition)
            span = self._reader.span(self.topic, partition, max(low, start), min(high, high if end is None else end))
            heard_s = time.monotonic()
            while not span.done:
                before = span.position
                yield from span.read()
                if span.position > before:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > SILENCE_MAX_S:
                    raise KafkaProblem(
                        f"the broker at {self._settings.brokers} sent nothing of {self.topic} for {SILENCE_MAX_S:g} s: "
                        "it is down, or a producer has left a transaction open"
                    )
        except KafkaException as error:
            raise KafkaProblem(f"cannot read {self.topic}: {error.args[0].str()}") from error
        except ReadBroken as error:
            raise KafkaProblem(str(error)) from error


def letter_of(message: Any, headers: Any) -> Letter:
    """The letter in a message of confluent-kafka's. What its headers do not say is "" or -1."""
    kind, timestamp = message.timestamp()
    topic = _text(headers, ERRORS + "topic")
    came_from = (topic, _whole_number(headers, ERRORS + "partition"), _whole_number(headers, ERRORS + "offset"))
    feed = _text(headers, HEADER) or _named_in(topic, message.value())
    return Letter(
        message.partition(), message.offset(), timestamp if kind else -1, came_from, feed,
        _text(headers, ERRORS + "exception.class.name"), _text(headers, ERRORS + "exception.message"),
        message.key(), message.value(), tuple(headers), _header(headers, BYTES) is None,
    )  # fmt: skip


def _named_in(topic: str, value: bytes | None) -> str:
    """The feed that a value names, if it can be read so far; else its topic."""
    try:
        found = dict(read_pairs(value))
    except ObjectError:
        return topic
    names = FEEDS[topic].naming if topic in FEEDS else ()
    return next((name for field in names if isinstance(name := found.get(field), str) and name), topic)


def place_of(text: str) -> tuple[int, int] | None:
    """(partition, offset) of "PARTITION:OFFSET", None if it is not that."""
    partition, colon, offset = text.partition(":")
    digits = partition.isascii() and partition.isdecimal() and offset.isascii() and offset.isdecimal()
    return (int(partition), int(offset)) if colon and digits else None


def _header(headers: Any, name: str) -> bytes | None:
    return next((value or b"" for key, value in headers if key == name), None)


def _text(headers: Any, name: str) -> str:
    return (_header(headers, name) or b"").decode("utf-8", "backslashreplace")


def _whole_number(headers: Any, name: str) -> int:
    text = _text(headers, name)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1
