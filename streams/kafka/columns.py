"""A poll that came in columns (`streams.kafka.native`): its records as an epoch has them, and its errors beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from streams.ingest.epoch import Epoch, Headers, Place, RawBatch
from streams.ingest.packed import Packed


@dataclass(slots=True)
class Trouble:
    """An error in place of a record, with the methods of a message that whoever handles one asks for."""

    place: Place
    at: int
    why: Any  # KafkaError

    def error(self) -> Any:
        return self.why

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.at


@dataclass(slots=True)
class ColumnPoll:
    """batches: one for each topic, none without records."""

    batches: list[RawBatch] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.troubles) + sum(len(raw.order) for raw in self.batches)

    def without_troubles(self) -> ColumnPoll:
        return ColumnPoll(self.batches) if self.troubles else self

    def epoch(self) -> Epoch:
        return Epoch(self.batches, sum(len(raw.order) for raw in self.batches))

    def still_owned(self, position: Mapping[Place, int]) -> ColumnPoll:
        """As streams.kafka.polls.still_owned."""
        masks = [_owned(raw, position) for raw in self.batches]
        kept = [_taken(raw, mask) for raw, mask in zip(self.batches, masks, strict=True) if mask.any()]
        orders = np.sort(np.concatenate([raw.order for raw in kept])) if kept else np.empty(0, np.int64)
        return ColumnPoll([replace(raw, order=np.searchsorted(orders, raw.order)) for raw in kept], self.troubles)


def _owned(raw: RawBatch, position: Mapping[Place, int]) -> np.ndarray:
    """bool[n]: the records of owned partitions from their positions on, each offset once."""
    mask = np.zeros(len(raw.order), np.bool_)
    for partition in np.unique(raw.partition).tolist():
        if (raw.topic, partition) in position:
            here = np.flatnonzero(raw.partition == partition)
            offset = raw.offset[here]
            before = np.maximum.accumulate(np.concatenate(([position[raw.topic, partition] - 1], offset[:-1])))
            mask[here] = offset > before
    return mask


def _taken(raw: RawBatch, mask: np.ndarray) -> RawBatch:
    """Of a batch that came in columns, the records at `mask`."""
    index = np.flatnonzero(mask)

    def taken(each: Any) -> Any:
        return None if each is None else each.take(index)

    return replace(
        raw,
        order=raw.order[index],
        partition=raw.partition[index],
        offset=raw.offset[index],
        timestamp=raw.timestamp[index],
        values=taken(raw.values),
        keys=taken(raw.keys),
        feeds=taken(raw.feeds),
        headers=None if raw.headers is None else [raw.headers[i] for i in index.tolist()],
        with_headers=taken(raw.with_headers),
    )


class PackedHeaders(Sequence["Headers | None"]):
    """The headers of n records, each record's made when it is asked for; None where it has none."""

    __slots__ = ("_first", "_names", "_number", "_values")

    def __init__(self, first: np.ndarray, count: np.ndarray, names: Packed, values: Packed) -> None:
        """first, count: int64[n], of each record among all headers, whose names and values these are."""
        self._first, self._number, self._names, self._values = first, count, names, values

    def __len__(self) -> int:
        return len(self._first)

    @overload
    def __getitem__(self, i: int) -> Headers | None: ...
    @overload
    def __getitem__(self, i: slice) -> PackedHeaders: ...
    def __getitem__(self, i: int | slice) -> Headers | PackedHeaders | None:
        if isinstance(i, slice):
            return PackedHeaders(self._first[i], self._number[i], self._names, self._values)
        first, count = int(self._first[i]), int(self._number[i])
        if not count:
            return None
        names, values = (texts[first : first + count] for texts in (self._names, self._values))
        return [((name or b"").decode(errors="replace"), value) for name, value in zip(names, values, strict=True)]

    def __iter__(self) -> Iterator[Headers | None]:
        return (self[i] for i in range(len(self)))

    def take(self, index: np.ndarray) -> PackedHeaders:
        return PackedHeaders(self._first[index], self._number[index], self._names, self._values)
