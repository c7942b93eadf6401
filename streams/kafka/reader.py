"""Reads spans of partitions outside of any group, for a restore: the ledger, snapshots and inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from streams.kafka.clients import Clients, outsider
from streams.kafka.errors import Meaning, meaning_of, passes_for_readers

BROKER_TIMEOUT_S = 5.0  # a question is asked again: partitions that are counted wait for it
POLL_S = 0.1
PIECE_RECORDS = 10_000


class ReadBroken(Exception):
    """Records that a restore needs cannot be read."""

    exit_code = 1


class RecordsGone(ReadBroken):
    """The broker no longer has the records at this offset."""


class Reader:
    """Two consumers that never join a group: one sees committed records only, the other knows the uncommitted ends.

    Blocking; used by one thread at a time."""

    def __init__(self, clients: Clients, config: Mapping[str, object]) -> None:
        settings = outsider(config)
        self.message_type = clients.message_type
        self._committed: Any = clients.consumer(settings | {"isolation.level": "read_committed"})
        self._uncommitted: Any = clients.consumer(settings | {"isolation.level": "read_uncommitted"})

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """(first offset, offset behind the last record, open transactions included). Raises KafkaException."""
        return self._uncommitted.get_watermark_offsets(TopicPartition(topic, partition), timeout=BROKER_TIMEOUT_S)

    def first_since(self, topic: str, partition: int, since_ms: int, end: int) -> int:
        """The offset of the first record whose Kafka timestamp is that or later; `end` if there is none. Raises
        KafkaException."""
        asked = [TopicPartition(topic, partition, max(0, since_ms))]
        (found,) = self._uncommitted.offsets_for_times(asked, timeout=BROKER_TIMEOUT_S)
        return found.offset if found.offset >= 0 else end

    def span(self, topic: str, partition: int, start: int, end: int) -> Span:
        """The committed records of [start, end). One span at a time."""
        return Span(self._committed, topic, partition, start, end)

    def close(self) -> None:
        self._committed.close()
        self._uncommitted.close()


class Span:
    """Committed records of one partition from `start` on, up to and without `end`.

    It is done only once every transaction that was open before `end` is decided: `position` waits for them."""

    def __init__(self, consumer: Any, topic: str, partition: int, start: int, end: int) -> None:
        self.topic, self.partition, self.start, self.end = topic, partition, start, end
        self.position = start
        self._consumer = consumer
        if not self.done:
            consumer.assign([TopicPartition(topic, partition, start)])

    @property
    def done(self) -> bool:
        return self.position >= self.end

    def read(self) -> list[Any]:
        """The next records, within a tenth of a second or none. Raises RecordsGone, ReadBroken."""
        if self.done:
            return []
        found = []
        for message in self._consumer.consume(PIECE_RECORDS, POLL_S):
            error = message.error()
            if error is None:
                if message.offset() >= self.end:
                    self.position = max(self.position, self.end)
                elif message.offset() >= self.position:
                    found.append(message)
                    self.position = message.offset() + 1
            elif meaning_of(error) is Meaning.END:
                self.position = max(self.position, message.offset())
            else:
                self._trouble(error)
        if self.done:
            self._consumer.unassign()
        return found

    def _trouble(self, error: KafkaError) -> None:
        place = f"partition {self.partition} of {self.topic!r}"
        if meaning_of(error) is Meaning.NO_GROUP:  # which a reader needs no right on
            return
        if meaning_of(error) is Meaning.LOST_OFFSET:
            raise RecordsGone(f"{place} no longer has the records from offset {self.position} on ({error.str()})")
        if error.fatal() or not (error.retriable() or passes_for_readers(error)):
            raise ReadBroken(f"{place} cannot be read: {error.str()}")
