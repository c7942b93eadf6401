"""The note beside each committed offset: which worker's which commit it was, the partition count, and the ids of the
place's topic and of the ledger."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from schemas.topics import LEDGER
from streams.ingest.epoch import Offsets


class Notes:
    """The texts that a worker leaves beside the offsets it commits: by them it recognises its own last commit.

    parts: the partition count of the inputs, ids: those of topics, for whoever starts after they have changed."""

    def __init__(self, parts: int, ids: Mapping[str, str]) -> None:
        self._parts = parts
        self._ids = ids
        self._worker = uuid.uuid4().hex
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"grayline1 parts={self._parts} commit={self._worker}-{self._count}"

    def places(self, offsets: Offsets, note: str) -> list[Any]:
        """The offsets as confluent-kafka wants them, each with the note, and the ids that concern it, as metadata."""
        from confluent_kafka import TopicPartition

        ledger = f" ledger={self._ids[LEDGER]}" if LEDGER in self._ids else ""
        beside = {topic: note for topic, _ in offsets}
        for topic in beside.keys() & self._ids.keys():
            beside[topic] = f"{note} topic={self._ids[topic]}{ledger}"
        return [TopicPartition(topic, partition, at, beside[topic]) for (topic, partition), at in offsets.items()]


def is_of(text: str | None, note: str) -> bool:
    """True if the text beside an offset is this note, whatever ids follow it."""
    return text == note or (text or "").startswith(note + " ")


def noted_parts(note: str | None) -> int | None:
    """The partition count that a committed note tells; None when the offsets were committed by something else."""
    found = re.match(r"grayline1 parts=(\d+) ", note or "")
    return int(found[1]) if found else None


def noted_id(note: str | None) -> str | None:
    """The id of the topic in which the offset beside the note counts, if the note tells it."""
    return _noted(note, "topic")


def noted_ledger(note: str | None) -> str | None:
    """The id of the ledger that belongs to the commit, if the note tells it."""
    return _noted(note, "ledger")


def _noted(note: str | None, what: str) -> str | None:
    found = re.match(rf"grayline1 .* {what}=(\S+)", note or "")
    return found[1] if found else None
