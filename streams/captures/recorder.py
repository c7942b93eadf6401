"""Reads topics of a broker for a capture: committed records only, outside of any consumer group, leaving no trace.

A partition's records come in their order; the interleaving of partitions and topics depends on the broker and the
network. A capture of what is being produced now has very nearly the order of arrival; one of the past has long runs of
one partition.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams.captures.writing import Record
from streams.kafka.clients import Clients
from streams.kafka.settings import KafkaProblem, KafkaSettings

if TYPE_CHECKING:
    from streams.ingest.epoch import Place

BATCH_RECORDS = 5_000
POLL_S = 0.2  # how long the end of a recording may be late
ANSWER_TIMEOUT_S = 15.0
PLACES_SHOWN = 5
SILENCE_MAX_S = 60.0  # a recording of what is there already; one that goes on waits for ever


@dataclass(frozen=True, slots=True)
class CaptureSpan:
    """The span of a recording. start: "earliest", "latest", or the first record of each partition at or after a time
    (ms). until: None for no end, "end" for the records that exist at the start, or a time (ms): each partition is read
    up to its first record at or after it, one without such a record up to its end at that time. Times are those of the
    records in Kafka. The end of a partition lies behind what open transactions have written to it."""

    topics: tuple[str, ...]
    start: str | int = "earliest"
    until: str | int | None = None


@dataclass(slots=True)
class _Progress:
    """The progress of each place. ends: its end, once that is known; stable: where it was
    last read to the end of what is committed; read: the offset up to which it was read, marks of
    transactions included; done: the places that reached their ends."""

    places: list[Place]
    ends: dict[Place, int] = field(default_factory=dict)
    stable: dict[Place, int] = field(default_factory=dict)
    read: dict[Place, int] = field(default_factory=dict)
    done: set[Place] = field(default_factory=set)

    def came_to(self, place: Place, offset: int) -> None:
        self.read[place] = offset
        if place in self.ends and offset >= self.ends[place]:
            self.done.add(place)

    def end_at(self, ends: dict[Place, int]) -> None:
        self.ends = ends
        self.done |= {place for place, offset in self.read.items() if offset >= ends[place]}


class Recorder:
    """One recording; a context manager. Raises KafkaProblem whenever the broker cannot give what is asked for."""

    def __init__(
        self,
        settings: KafkaSettings,
        span: CaptureSpan,
        *,
        clients: Clients | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings, self._span, self._now_ms = settings, span, now_ms
        self._clients = clients or Clients()
        self._consumer: Any = None
        self._uncommitted: Any = None  # asked for ends only
        self._progress = _Progress([])

    def __enter__(self) -> Recorder:
        from confluent_kafka import KafkaException, TopicPartition

        # Nothing is committed: the group's name only has to be unique.
        config = self._settings.consumer(f"grayline-record-{uuid.uuid4().hex}")
        quiet = logging.getLogger("grayline.record.kafka")
        quiet.setLevel(logging.CRITICAL)  # what goes wrong is said once, by us
        try:
            config = {"logger": quiet, **config, "enable.partition.eof": True}
            self._consumer = self._clients.consumer(config)
            self._uncommitted = self._clients.consumer(config | {"isolation.level": "read_uncommitted"})
            self._progress.places = [place for topic in self._span.topics for place in self._places(topic)]
            starts = self._starts()
            if self._span.until == "end":
                self._find_ends()
            self._consumer.assign([TopicPartition(*place, starts[place]) for place in self._progress.places])
        except KafkaException as error:
            self.__exit__()
            raise KafkaProblem(
                f"cannot read {', '.join(self._span.topics)} at {self._settings.brokers}: {error.args[0].str()}"
            ) from error
        except KafkaProblem:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for consumer in (self._consumer, self._uncommitted):
            if consumer is not None:
                consumer.close()
        self._consumer = self._uncommitted = None

    def batches(self) -> Iterator[list[Record]]:
        """Yields records as they come, every POLL_S or so, until the span's end. Lists may be empty."""
        from streams.kafka.errors import Meaning, meaning_of

        heard = time.monotonic()
        while len(self._progress.done) < len(self._progress.places):
            if isinstance(self._span.until, int) and not self._progress.ends and self._now_ms() >= self._span.until:
                self._find_ends()
            batch: list[Record] = []
            messages = self._consumer.consume(BATCH_RECORDS, POLL_S)
            for message in messages:
                place = message.topic(), message.partition()
                error = message.error()
                if error is None:
                    self._take(place, message, batch)
                elif meaning_of(error) is Meaning.END:
                    self._progress.stable[place] = message.offset()
                    self._progress.came_to(place, message.offset())
                else:
                    self._trouble(place, error)
            if messages or not self._progress.ends:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_MAX_S:
                raise KafkaProblem(self._why_silent())
            yield batch

    def _why_silent(self) -> str:
        progress = self._progress
        left = [place for place in progress.places if place not in progress.done]
        if not self._consumer.is_answered or any(place not in progress.stable for place in left):
            return (
                f"the broker at {self._settings.brokers} sent nothing for {SILENCE_MAX_S:g} s, with {len(left)} "
                "partitions not read to their ends: it is down, or cannot be reached any more"
            )
        shown = ", ".join(
            f"partition {p} of {topic} from offset {progress.stable[topic, p]} to {progress.ends[topic, p]}"
            for topic, p in left[:PLACES_SHOWN]
        )
        more = f" and {len(left) - PLACES_SHOWN} partitions more" if len(left) > PLACES_SHOWN else ""
        return (
            f"the recording is not whole: a producer keeps a transaction open, and for {SILENCE_MAX_S:g} s nothing "
            f"behind it could be read: {shown}{more}"
        )

    def _take(self, place: Place, message: Any, batch: list[Record]) -> None:
        if place in self._progress.done:
            return
        kind, timestamp = message.timestamp()
        until, end = self._span.until, self._progress.ends.get(place)
        if (isinstance(until, int) and kind and timestamp >= until) or (end is not None and message.offset() >= end):
            self._progress.done.add(place)
            return
        self._progress.came_to(place, message.offset() + 1)
        batch.append(
            Record(
                *place, message.offset(), timestamp if kind else -1, kind, message.key(), message.value(),
                message.headers() or (),
            )
        )  # fmt: skip

    def _places(self, topic: str) -> list[Place]:
        known = self._consumer.list_topics(topic, timeout=ANSWER_TIMEOUT_S).topics[topic]
        if known.error is not None or not known.partitions:
            raise KafkaProblem(f"there is no topic {topic} at {self._settings.brokers}")
        return [(topic, partition) for partition in sorted(known.partitions)]

    def _starts(self) -> dict[Place, int]:
        from confluent_kafka import TopicPartition

        bounds = {place: self._bounds(place, self._consumer) for place in self._progress.places}
        if not isinstance(self._span.start, int):
            return {place: bound[self._span.start == "latest"] for place, bound in bounds.items()}
        asked = [TopicPartition(*place, self._span.start) for place in self._progress.places]
        found = self._consumer.offsets_for_times(asked, timeout=ANSWER_TIMEOUT_S)
        # A partition without a record so late starts with the next one that comes.
        return {
            (at.topic, at.partition): at.offset if at.offset >= 0 else bounds[at.topic, at.partition][1] for at in found
        }

    def _find_ends(self) -> None:
        self._progress.end_at({place: self._bounds(place, self._uncommitted)[1] for place in self._progress.places})

    def _bounds(self, place: Place, consumer: Any) -> tuple[int, int]:
        from confluent_kafka import KafkaException, TopicPartition

        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaProblem(
                f"{self._settings.brokers} does not say where partition {place[1]} of {place[0]} ends: "
                f"{error.args[0].str()}"
            ) from error
        return low, high

    def _trouble(self, place: Place, error: Any) -> None:
        """Handles an error of the client: raises if it is final, else librdkafka goes on by itself."""
        from streams.kafka.errors import Meaning, meaning_of

        where = f"partition {place[1]} of {place[0]}"
        if meaning_of(error) is Meaning.LOST_OFFSET:
            raise KafkaProblem(f"{where}: its records were deleted before they could be read ({error.str()})")
        if error.fatal() or meaning_of(error) in (Meaning.NO_RIGHT, Meaning.NO_TOPIC):
            raise KafkaProblem(f"cannot read {where}: {error.str()}")


def topics_of(text: str) -> list[str]:
    """Names separated by commas, each once."""
    return list(dict.fromkeys(name for name in (part.strip() for part in text.split(",")) if name))
