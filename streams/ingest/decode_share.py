"""From one topic's share of an epoch to decoded columns, the same for live records and for those of a silent replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.topics import DERIVED, REKEYED
from streams.ingest.decode import RECORDS, Decoded
from streams.ingest.derived import unpack
from streams.ingest.epoch import RawBatch
from streams.ingest.strays import sort_out, unwrap


class Decodes(Protocol):
    """A decoder of one topic, as streams.ingest.decode.Decoder is."""

    def decode(self, raw: RawBatch) -> Decoded: ...


class Decoding(Protocol):
    """The part of an engine that decoding needs."""

    partitions: int  # of every input topic; 0 if unknown
    group: str  # the consumer group that it counts for

    @property
    def decoders(self) -> Mapping[str, Decodes]:
        """One for each topic that is counted."""
        ...


@dataclass(slots=True)
class Ahead:
    """A share that was decoded before its turn, and for whom: rules say which fields are read, and settings of feeds
    how."""

    engine: Decoding
    decoded: list[Decoded]


def decode_ahead(engine: Decoding, raw: RawBatch) -> None:
    """Decodes a share before its turn, for `taken_ahead`."""
    raw.ahead = Ahead(engine, decode_share(engine, raw))


def taken_ahead(engine: Decoding, raw: RawBatch) -> list[Decoded] | None:
    """Takes out what was decoded ahead, once; None if that was nothing, or for another engine."""
    ahead, raw.ahead = raw.ahead, None
    return ahead.decoded if ahead is not None and ahead.engine is engine else None


def decode_share(engine: Decoding, raw: RawBatch) -> list[Decoded]:
    """One for each topic that the share's records are about, without the records whose number belongs to another
    partition (streams.ingest.strays)."""
    if raw.topic == DERIVED:
        return [unpack(raw, engine.group)]
    if raw.topic != REKEYED:
        return [_decode(engine, raw)]
    batches, wrong = unwrap(raw, engine.decoders, engine.partitions)
    decoded = [_decode(engine, batch) for batch in batches]
    for part in decoded:
        del part.counts["records"]  # they were counted when they came on their own topic
        for told in [told for told in part.by_feed if told[1] == RECORDS]:
            del part.by_feed[told]
    return [*decoded, wrong]


def _decode(engine: Decoding, raw: RawBatch) -> Decoded:
    return sort_out(raw, engine.decoders[raw.topic].decode(raw), engine.partitions)
