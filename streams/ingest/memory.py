"""The memory of ids and answers of one place: its tables, how they make room, how they are saved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.kernels import intake as kernels
from streams.kernels.clocks import NEVER

_SLOTS_FIRST = 1024
FULL_TENTHS = 7  # of a table's slots: it must be rebuilt
_REBUILT_TENTHS = 5  # that a rebuilt table may hold, so that the next rebuild is a fifth of its slots away
_JOURNAL_MIN, _JOURNAL_MAX = 1 << 16, 1 << 22  # entries of 16 bytes; pages that nothing was written to cost nothing


class Memory:
    """One memory of a partition (see streams.kernels.intake): its table, and how it makes room."""

    def __init__(self, slots_max: int) -> None:
        self.slots_max = slots_max
        self.table = np.zeros((min(_SLOTS_FIRST, slots_max), 2), np.int64)

    @property
    def limit(self) -> int:
        """Entries at which it must be rebuilt."""
        return len(self.table) * FULL_TENTHS // 10

    def make_room(self, oldest: int) -> tuple[int, int]:
        """Rebuilds without entries before `oldest`, doubled if that leaves more than half. At `slots_max` the older
        half goes as well. Returns (entries, time before which nothing is remembered any more)."""
        slots = len(self.table)
        if kernels.count_since(self.table, oldest) * 10 > slots * _REBUILT_TENTHS:
            if slots < self.slots_max:
                slots *= 2
            else:
                held = (self.table[:, 0] != 0) & (self.table[:, 1] >> 1 >= oldest)
                times = self.table[held, 1] >> 1
                oldest = int(np.partition(times, len(times) // 2)[len(times) // 2]) + 1
        table = np.zeros((slots, 2), np.int64)
        count = kernels.refill(self.table, table, oldest)
        self.table = table
        return count, oldest


class PlaceMemories:
    """The memories of one place."""

    def __init__(self, slots_max: int, answers_slots_max: int) -> None:
        self.seen = Memory(slots_max)
        self.answers = Memory(answers_slots_max)
        self.state = np.array([0, self.seen.limit, 0, max(1, self.answers.limit), NEVER, 0, 0, 0], np.int64)
        # Entries since the last `save`. Without room at first: a replay saves nothing.
        self.journal, self.answers_journal = np.empty((0, 2), np.int64), np.empty((0, 2), np.int64)

    def make_room(self, seen_since: int, answers_since: int) -> None:
        """Rebuilds the memories that are full, without what lies before these times."""
        state = self.state
        if state[kernels.SEEN] >= state[kernels.SEEN_LIMIT]:
            state[kernels.SEEN], oldest = self.seen.make_room(seen_since)
            state[kernels.SEEN_LIMIT] = self.seen.limit
            if oldest > seen_since:
                state[kernels.FLOOR] = max(int(state[kernels.FLOOR]), oldest)
        if state[kernels.ANSWERS] >= state[kernels.ANSWERS_LIMIT]:
            state[kernels.ANSWERS], oldest = self.answers.make_room(answers_since)
            state[kernels.ANSWERS_LIMIT] = self.answers.limit
            if oldest > answers_since:
                # No floor tells a restore what went: older answers may still come. So the next save is a whole one, as
                # of a journal that has overflowed.
                state[kernels.ANSWERS_NOTED] = len(self.answers_journal) + 1

    def start_journals(self) -> None:
        """Starts to note down new entries. Beyond half of a table's room the table is shorter to save whole; this bound
        keeps a partition that is never saved from growing."""
        for name, memory in (("journal", self.seen), ("answers_journal", self.answers)):
            room = min(max(_JOURNAL_MIN, memory.limit // 2), _JOURNAL_MAX) if memory.slots_max else 0
            if len(getattr(self, name)) < room:
                setattr(self, name, np.empty((room, 2), np.int64))
        self.state[[kernels.NOTED, kernels.ANSWERS_NOTED]] = 0

    def put(self, memory: Memory, count: int, limit: int, entries: np.ndarray, oldest: int) -> None:
        """Puts saved entries back into a memory, without those before `oldest`."""
        entries = np.ascontiguousarray(entries[entries[:, 1] >> 1 >= oldest])
        done = 0
        while (done := kernels.put(memory.table, self.state, count, limit, entries, done)) < len(entries):
            self.state[count], kept = memory.make_room(oldest)
            self.state[limit] = memory.limit
            if kept > oldest and memory is self.seen:
                self.state[kernels.FLOOR] = max(int(self.state[kernels.FLOOR]), kept)


@dataclass(slots=True)
class Saved:
    """The memories of a place: all of them, or the entries since the last save."""

    whole: bool  # False: on top of what was saved before
    clocks: np.ndarray  # int64[k, SAVED_COLUMNS]: by feed, see streams.ingest.feed_clocks
    pace: np.ndarray  # int64[5]: of the place
    lateness_max_ms: int  # of any feed, at that time
    floor: int  # ms: events before it are late, since ids were forgotten at the bound; NEVER for none
    seen: np.ndarray  # int64[n, 2]: key, mark
    answers: np.ndarray  # int64[m, 2]: likewise; empty where durations are not asked for


def last_of_each(entries: np.ndarray) -> np.ndarray:
    """int64[m, 2]: of entries with equal keys the last, in the order in which they were noted."""
    _, last = np.unique(entries[::-1, 0], return_index=True)
    return entries[np.sort(len(entries) - 1 - last)]


def live(table: np.ndarray, oldest: int) -> np.ndarray:
    """Returns int64[n, 2], copies of a memory's entries at or after `oldest`."""
    return table[(table[:, 0] != 0) & (table[:, 1] >> 1 >= oldest)]
