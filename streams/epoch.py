"""The values that pass between the source, the decoding agents and `step`: one poll is one epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# What partition o sent through `rekeyed` to partition p counts as from partition p + REKEYED_BASE * (1 + o) of its own
# topic. So the strays of each origin have a clock and a memory of ids of their own and come in the order of one log: an
# origin that lags does not make its strays late. Such places fit an int32.
REKEYED_BASE = 1 << 16
ORIGINS_MAX = (1 << 15) - 1  # partitions that strays may come from; no topic has more

Headers = list[tuple[str, bytes | None]]


Place = tuple[str, int]  # (topic, partition)


@dataclass(slots=True)
class RawBatch:
    """One topic's share of one epoch as fetched, n records."""

    topic: str
    order: np.ndarray  # int64[n]: each record's place in the epoch's arrival order, ascending
    partition: np.ndarray  # int32[n]
    offset: np.ndarray  # int64[n]
    timestamp: np.ndarray  # int64[n]: Kafka timestamps, ms since the epoch
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None  # only fetched for dead letters when a source has them at hand
    headers: list[Headers] | None = None  # only of `rekeyed`, where they say what a record was
    origin: np.ndarray | None = None  # int32[n]: the partitions that re-keyed records came from, `offset` being theirs


@dataclass(slots=True)
class OutRecord:
    """One record to produce. `key` decides the partition (murmur2) unless `partition` is given."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    partition: int | None = None
