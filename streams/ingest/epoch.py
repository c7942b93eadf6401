"""The values that pass between the source, the decoding agents and `step`: one poll is one epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from streams.ingest.decode_share import Ahead

Headers = list[tuple[str, bytes | None]]

# (topic, partition). What an origin sent home through `rekeyed` counts as from a partition of its topic that Kafka does
# not have, `partition_of_strays`. So the strays of each origin have a clock and a memory of ids of their own and come
# in the order of one log: an origin that lags does not make its strays late. Such partitions fit an int32.
Place = tuple[str, int]
NO_ORIGIN = -1
ORIGINS_MAX = (1 << 15) - 1  # partitions that strays may come from; no topic has more
_HOMES_MAX = 1 << 16
_Partitions = TypeVar("_Partitions", int, np.ndarray)


def partition_of_strays(home: _Partitions, origin: _Partitions) -> _Partitions:
    """The partition under which strays count that partition `origin` sent to `home`; with NO_ORIGIN, `home` itself."""
    return home + _HOMES_MAX * (1 + origin)


def home_of(partition: _Partitions) -> _Partitions:
    """The real partition whose owner counts this one."""
    return partition % _HOMES_MAX


def origin_of(partition: _Partitions) -> _Partitions:
    """The partition that its records were sent home from; NO_ORIGIN for records that lay at home."""
    return partition // _HOMES_MAX - 1


@dataclass(slots=True)
class RawBatch:
    """One topic's share of one epoch as fetched, n records."""

    topic: str
    order: np.ndarray  # int64[n]: each record's place in the epoch's arrival order, ascending
    partition: np.ndarray  # int32[n]
    offset: np.ndarray  # int64[n]
    timestamp: np.ndarray  # int64[n]: Kafka timestamps, ms since the epoch
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None  # for dead letters; may look at a record only when it is asked for one
    feeds: Sequence[bytes | None] | None = None  # each record's header `feed`; None where no record has one
    headers: list[Headers] | None = None  # only of `rekeyed`, where they say what a record was
    with_headers: Sequence[Headers | None] | None = None  # each record's own, for dead letters; None where none has any
    origin: np.ndarray | None = None  # int32[n]: the partitions that re-keyed records came from, `offset` being theirs
    ahead: Ahead | None = None  # the same, decoded before its turn


@dataclass(slots=True)
class OutRecord:
    """One record to produce. `key` decides the partition (murmur2) unless `partition` is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int | None = None


@dataclass(slots=True)
class Epoch:
    """One poll's records, in the order they arrived, split by topic."""

    batches: list[RawBatch]
    count: int
    next_offsets: dict[Place, int] = field(init=False)

    def __post_init__(self) -> None:
        self.next_offsets = _next_offsets(self.batches)


def _next_offsets(batches: list[RawBatch]) -> dict[Place, int]:
    ends: dict[Place, int] = {}
    for batch in batches:
        last = np.full(int(batch.partition.max()) + 1, -1, np.int64)
        last[batch.partition] = batch.offset  # of equal indices numpy keeps the last, and offsets ascend
        for partition in np.flatnonzero(last >= 0).tolist():
            ends[batch.topic, partition] = int(last[partition]) + 1
    return ends


Offsets = Mapping[Place, int]  # the next offset to read of each place
