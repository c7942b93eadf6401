"""Produces records from files: keyed by their number, into its partition, under the name of the feed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas import decoding
from schemas.feeds import FEEDS
from schemas.numbers import normalise
from schemas.printable import printable
from schemas.subjects import key_text
from streams.captures.samples import Item, Sample
from streams.ingest.feed_codes import HEADER
from streams.kafka.clients import Clients
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings

TIMESTAMPS = ("now", "event")
ANSWER_S = 10.0
DELIVERY_S = 60
ALL_REFUSED_MAX = 1_000  # records refused without one that is right: the file is another topic's, or none
# Beside the settings of every producer. Errors are told once, by us.
PRODUCER = {"queue.buffering.max.messages": 200_000, "message.timeout.ms": DELIVERY_S * 1000, "log_level": 0}


class ProduceProblem(Exception):
    """Records cannot go where they should; the message says why and what to do."""


@dataclass(slots=True)
class Production:
    """The records of one topic on their way to a broker; its attributes are the account. feed: the name in the header
    `feed`. timestamps: one of TIMESTAMPS; `event` gives each record the time of its event in place of now."""

    topic: str
    feed: str | None
    region: str
    timestamps: str
    records: int = 0  # seen
    delivered: Counter[int] = field(default_factory=Counter)  # by partition
    undelivered: Counter[str] = field(default_factory=Counter)  # by the client's reason
    refused: Counter[str] = field(default_factory=Counter)  # by the reason as a word
    flawed: Counter[str] = field(default_factory=Counter)  # sent all the same, by the field that was wrong
    oldest_ms: int | None = None
    _producer: Any = None
    _partitions: int = 0
    _sent: int = 0

    def connect(self, settings: KafkaSettings, clients: Clients) -> None:
        """Makes the producer and asks for the topic. Raises ProduceProblem."""
        from confluent_kafka import KafkaException

        try:
            self._producer = clients.producer(PRODUCER | settings.producer())
            # All topics are asked for: to ask for one by name would make it.
            known = self._producer.list_topics(timeout=ANSWER_S).topics.get(self.topic)
        except KafkaException as error:
            raise ProduceProblem(
                f"no Kafka broker answers at {settings.brokers} ({error.args[0].str()}); check --brokers and that it "
                "runs"
            ) from None
        if known is None or known.error is not None or not known.partitions:
            raise ProduceProblem(
                f"topic {self.topic} is missing at {settings.brokers}; create the topics first "
                "(`grayline topics create`)"
            )
        self._partitions = len(known.partitions)

    def run(self, sample: Sample) -> Iterator[str]:
        """Sends the records of a sample, and yields a line for each that is refused. Raises CaptureError where the
        sample cannot be read on, ProduceProblem where it is none of this topic."""
        for item in sample.items:
            self.records += 1
            try:
                self._send(item)
            except decoding.RecordError as error:
                self.refused[error.code] += 1
                yield printable(f"{sample.name}:{item.line}: {error}")
                if not self._sent and self.refused.total() >= ALL_REFUSED_MAX:
                    raise ProduceProblem(
                        f"{sample.name}: none of the first {ALL_REFUSED_MAX:,} records is one of {self.topic}; nothing "
                        "was sent: `grayline records check` says what they are"
                    ) from None

    def finish(self) -> None:
        """Waits until each record is delivered or has failed."""
        if left := self._producer.flush(DELIVERY_S + ANSWER_S):
            self.undelivered["not acknowledged in time"] += left

    def _send(self, item: Item) -> None:
        """Hands one record to the client; while its queue is full, waits for it to drain. Raises RecordError."""
        if item.problem is not None:
            raise decoding.RecordError("bad_line", None, item.problem)
        if item.topic is not None and item.topic != self.topic:
            raise decoding.RecordError("other_topic", None, f"is of topic {item.topic}: say --topic {item.topic}")
        feed = FEEDS[self.topic]
        found, flaws = decoding.read(self.topic, item.value, frozenset(feed.fields))
        self.flawed.update(flaw.field for flaw in flaws if flaw.field is not None)
        key = self._key(str(found[feed.number]))
        at_ms = found["at"]
        assert isinstance(at_ms, int)
        self.oldest_ms = at_ms if self.oldest_ms is None else min(at_ms, self.oldest_ms)
        arguments: dict[str, Any] = {"timestamp": at_ms} if self.timestamps == "event" else {}
        if self.feed is not None:
            arguments["headers"] = [(HEADER, self.feed.encode())]
        partition = partition_of(key, self._partitions)
        while True:
            try:
                self._producer.produce(self.topic, item.value, key, partition, self._reported, **arguments)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._sent += 1
        self._producer.poll(0)

    def _key(self, number: str) -> bytes:
        """The number as E.164; of what is none the text itself, which lies rightly anywhere."""
        key = normalise(number, self.region).key
        return key_text(key) if key > 0 else number.encode("utf-8", "surrogatepass")

    def _reported(self, error: Any, message: Any) -> None:
        if error is None:
            self.delivered[message.partition()] += 1
        else:
            self.undelivered[error.str()] += 1

    @property
    def is_whole(self) -> bool:
        """True if there were records and each is delivered."""
        return bool(self.records) and self.delivered.total() == self.records

    def as_json(self) -> dict[str, Any]:
        return {
            "topic": self.topic,
            "feed": self.feed,
            "records": self.records,
            "delivered": self.delivered.total(),
            "partitions": {str(partition): count for partition, count in sorted(self.delivered.items())},
            "refused": dict(sorted(self.refused.items())),
            "flawed": dict(sorted(self.flawed.items())),
            "undelivered": dict(sorted(self.undelivered.items())),
        }

    def lines(self) -> Iterator[str]:
        """The account as lines for people."""
        of_feed = f" as feed {self.feed}" if self.feed is not None else ""
        yield (
            f"{self.records:,} record{'' if self.records == 1 else 's'}: {self.delivered.total():,} delivered to "
            f"{self.topic}{of_feed}, {self.refused.total():,} refused, {self.undelivered.total():,} not delivered"
        )
        accounts = (
            ("refused", self.refused), ("not delivered", self.undelivered),
            ("sent with a field that a worker leaves out", self.flawed),
        )  # fmt: skip
        for what, counts in accounts:
            if counts:
                yield f"  {what}: " + ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
