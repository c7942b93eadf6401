"""Holds in review about which nobody decides: at a time that their rule says, silence blocks (`unreviewed` in rule
files).

Partition clocks tell when that is: the hold falls due behind the first record of its number's partition, of whatever
topic, whose place's clock (streams.kernels.clocks) has then come to the time, and the block is from that time on. So
the logs decide, in a replay as in a worker, whoever owns the partition and however often it moved; and where no record
comes nothing falls due. While new blocks are paused nothing does, either."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from streams.holds.hold import LedgerHold

Due = tuple[int, int, int, tuple[int, str], int]  # line, time in ms, number, rule's order, rule


@dataclass(frozen=True, slots=True)
class Silence:
    """The partition clocks of an epoch's n events, in arrival order. may_block: asks whether a number may be blocked at
    a time: False for one that is protected, or that the registry allows."""

    partition: np.ndarray  # int64[n]: of the event's number
    line: np.ndarray  # int64[n]
    clock: np.ndarray  # int64[n]: of the event's place, behind it
    clock_before: np.ndarray  # int64[n]: the largest clock of all before it
    may_block: Callable[[int, int], bool]

    def falls_due(self, partition: int, at_ms: int, from_line: int) -> int | None:
        """The first line from `from_line` on behind which the clock of a partition has come to a time; None if none
        has."""
        there = (self.partition == partition) & (self.clock >= at_ms) & (self.line >= from_line)
        return int(self.line[np.argmax(there)]) if there.any() else None

    def before(self, line: int) -> int:
        """The largest clock before a line, ms."""
        return int(self.clock_before[np.searchsorted(self.line, line)])


class ReviewTimes:
    """The times at which holds in review fall due, by partition: heaps, in which stale entries stay."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[int, int, tuple[int, str], int]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def add(self, hold: LedgerHold, order: tuple[int, str]) -> None:
        """order: of its rule among the number's."""
        assert hold.review_by_ms is not None
        heap = self._heaps.setdefault(hold.partition, [])
        heapq.heappush(heap, (hold.review_by_ms, hold.number, order, hold.rule))

    def restart(self, holds: Iterable[tuple[LedgerHold, tuple[int, str]]]) -> None:
        """Forgets all but these."""
        self._heaps.clear()
        for hold, order in holds:
            self.add(hold, order)

    def take_due(self, silence: Silence) -> list[Due]:
        """Takes out what falls due in an epoch: a heap by line."""
        found: list[Due] = []
        newest_ms = int(silence.clock.max(initial=0))
        for partition, heap in self._heaps.items():
            while heap and heap[0][0] <= newest_ms:
                line = silence.falls_due(partition, heap[0][0], 0)
                if line is None:
                    break
                found.append((line, *heapq.heappop(heap)))
        heapq.heapify(found)
        return found
