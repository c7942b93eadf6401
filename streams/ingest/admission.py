"""Admission, the gate before the counters: gives every event its time, and finds late events and duplicates.

Rules, per partition of a topic, in log order (each partition's answers depend on its own log alone):

1. An event's time is its `at`; more than `ahead_ms` after its Kafka timestamp, it is that timestamp, flagged future.
2. The partition's clock is the running maximum of the times of all its events, duplicates included.
3. An event more than `lateness_ms` behind the clock before it is late. This is judged first: a late event is not
   looked up and not remembered.
4. An event whose (kind, id) was first seen at a time no more than `lateness_ms` behind the clock is a duplicate. It
   changes nothing but the clock, and does not renew the first time.
5. Everything else is remembered and counts.
6. In the vouched reading events that nobody vouches for are not looked up and not remembered: a duplicate of one, the
   answer or release of one, is none there. In the reading of all, a vouched-for event takes the place of such an
   entry, and an answer that is vouched for is not replaced by another.

Two different (kind, id) of one partition are confused with a chance of 2**-64 a pair: the memory keeps 64-bit hashes.

Memory: 16 bytes a slot at a load between 0.2 and 0.6, so 27 to 80 bytes x events/s x lateness in seconds; double
that for a moment while a table is rebuilt. A table does not shrink. A partition remembers `remembered_max` ids at
most. At that bound it forgets the older half and from then on takes every event before the oldest it still knows as
late, as if lateness were shorter: a redelivered event is still recognised or late, never counted twice, which could
block an innocent; what is lost are counts of stragglers (`narrowed`). A topic-wide bound would have made one
partition's answers depend on the others' traffic. Answers at the same bound: the older half is forgotten, and the
releases of those calls carry no duration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.kernels import intake as kernels
from streams.kernels.intake import DUPLICATE, LATE, NEVER, OK

__all__ = ["DUPLICATE", "LATE", "NEVER", "OK", "Accepted", "Intake"]

_SLOTS_FIRST = 1024
_JOURNAL_MIN, _JOURNAL_MAX = 1 << 16, 1 << 22  # entries of 16 bytes; pages that nothing was written to cost nothing


@dataclass(slots=True)
class Accepted:
    """The verdicts on n events, in arrival order."""

    time: np.ndarray  # int64[n]: the time the event counts at, ms
    verdict: np.ndarray  # uint8[n]: OK, LATE or DUPLICATE
    future: np.ndarray  # bool[n]: `time` is the Kafka timestamp because `at` was too far ahead of it
    closed: np.ndarray  # bool[n]: an OK set-up whose call is already known to be released
    duration: np.ndarray  # int64[n]: ms from answer to release, as given or as remembered; -1 unknown
    clock_max_before: np.ndarray  # int64[n]: the largest clock of all partitions before the event; NEVER at first
    # The vouched reading, of events that somebody vouches for.
    first_vouched: np.ndarray  # bool[n]: a DUPLICATE that counts here
    closed_vouched: np.ndarray  # bool[n]
    duration_vouched: np.ndarray  # int64[n]

    def counts(self) -> np.ndarray:
        """bool[n]: in some reading."""
        return (self.verdict == OK) | self.first_vouched


class _Memory:
    """One memory of a partition (see streams.kernels.intake): its table, and how it makes room."""

    def __init__(self, slots_max: int) -> None:
        self.slots_max = slots_max
        self.table = np.zeros((min(_SLOTS_FIRST, slots_max), 2), np.int64)

    @property
    def limit(self) -> int:
        """Entries at which it must be rebuilt: a load of 0.6."""
        return len(self.table) * 6 // 10

    def make_room(self, oldest: int) -> tuple[int, int]:
        """Rebuilds without entries before `oldest`, doubled if that leaves a load above 0.4. At `slots_max` the older
        half goes as well. Returns (entries, time before which nothing is remembered any more)."""
        slots = len(self.table)
        if kernels.count_since(self.table, oldest) * 10 > slots * 4:
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


class _PlaceMemories:
    """The clock and memories of one place."""

    def __init__(self, slots_max: int, answers_slots_max: int) -> None:
        self.seen = _Memory(slots_max)
        self.answers = _Memory(answers_slots_max)
        self.state = np.array([0, self.seen.limit, 0, max(1, self.answers.limit), NEVER, 0, 0, 0], np.int64)
        # Entries since the last `save`. Without room at first: a replay saves nothing.
        self.journal, self.answers_journal = np.empty((0, 2), np.int64), np.empty((0, 2), np.int64)

    def make_room(self, clock: int, lateness_ms: int, answer_memory_ms: int) -> None:
        """Rebuilds the memories that are full, as of the partition's clock."""
        state = self.state
        if state[kernels.SEEN] >= state[kernels.SEEN_LIMIT]:
            horizon = clock - lateness_ms
            state[kernels.SEEN], oldest = self.seen.make_room(horizon)
            state[kernels.SEEN_LIMIT] = self.seen.limit
            if oldest > horizon:
                state[kernels.FLOOR] = max(int(state[kernels.FLOOR]), oldest)
        if state[kernels.ANSWERS] >= state[kernels.ANSWERS_LIMIT]:
            state[kernels.ANSWERS], _ = self.answers.make_room(clock - answer_memory_ms)
            state[kernels.ANSWERS_LIMIT] = self.answers.limit

    def start_journals(self) -> None:
        """Starts to note down new entries. Beyond half of a table's room the table is shorter to save whole; this bound
        keeps a partition that is never saved from growing."""
        for name, memory in (("journal", self.seen), ("answers_journal", self.answers)):
            room = min(max(_JOURNAL_MIN, memory.limit // 2), _JOURNAL_MAX) if memory.slots_max else 0
            if len(getattr(self, name)) < room:
                setattr(self, name, np.empty((room, 2), np.int64))
        self.state[[kernels.NOTED, kernels.ANSWERS_NOTED]] = 0

    def put(self, memory: _Memory, count: int, limit: int, entries: np.ndarray, oldest: int) -> None:
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
    clock: int  # ms; NEVER before the first event
    floor: int  # ms: events before it are late, since ids were forgotten at the bound; NEVER for none
    seen: np.ndarray  # int64[n, 2]: key, mark
    answers: np.ndarray  # int64[m, 2]: likewise; empty where durations are not asked for


class Intake:
    """Clocks and memories of all partitions a worker owns, of all topics. Times in ms.

    remembered_max: ids a partition remembers at most (rounded up to what a table of a power of two holds at 0.6)."""

    def __init__(
        self,
        lateness_ms: int = 3_600_000,
        ahead_ms: int = 300_000,
        answer_memory_ms: int = 14_400_000,
        track_answers: bool = False,
        remembered_max: int = 20_000_000,
    ) -> None:
        self.lateness_ms = lateness_ms
        self.ahead_ms = ahead_ms
        self.answer_memory_ms = answer_memory_ms
        self._slots_max = 16
        while self._slots_max * 6 // 10 < remembered_max:
            self._slots_max *= 2
        self._answers_slots_max = self._slots_max if track_answers else 0
        self._partitions: list[_PlaceMemories] = []
        self._clocks = np.zeros(0, np.int64)

    def accept(
        self,
        source: np.ndarray,
        at: np.ndarray,
        timestamp: np.ndarray,
        event: np.ndarray,
        id_hash: np.ndarray,
        duration_known: np.ndarray,
        vouched: np.ndarray,
    ) -> Accepted:
        """Judges n events in arrival order. How they are divided among calls changes no answer.

        source: int32[n], a small index from 0 for each topic-partition. at, timestamp: int64[n], ms; a timestamp
        <= 0 is unknown, and nothing is future then.
        event: uint8[n], schemas.codes. id_hash: int64[n]. duration_known: int64[n], ms, -1 unknown. vouched: bool[n],
        somebody vouches for the event."""
        n = len(source)
        if n and int(source.min()) < 0:
            raise ValueError(f"source {int(source.min())}: topic-partitions are numbered from 0")
        self._know(int(source.max(initial=-1)))
        time, clock, clock_max_before = (np.empty(n, np.int64) for _ in range(3))
        verdict, future, closed = np.empty(n, np.uint8), np.empty(n, np.bool_), np.zeros(n, np.bool_)
        first_vouched, closed_vouched = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        duration, duration_vouched = np.array(duration_known, np.int64), np.array(duration_known, np.int64)
        kernels.judge(
            source, at, timestamp, self._clocks, self.lateness_ms, self.ahead_ms,
            time, clock, verdict, future, clock_max_before,
        )  # fmt: skip
        # The partitions know nothing of each other, so each one's events can be taken together.
        by_source = np.argsort(source, kind="stable")
        present, starts = np.unique(source[by_source], return_index=True)
        for slot, order in zip(present, np.split(by_source, starts[1:]), strict=True) if n else ():
            self._sift(
                self._partitions[slot], order, (event, id_hash, vouched, time), clock,
                (verdict, closed, duration, first_vouched, closed_vouched, duration_vouched),
            )  # fmt: skip
        return Accepted(
            time, verdict, future, closed, duration, clock_max_before, first_vouched, closed_vouched, duration_vouched
        )

    def clocks(self) -> dict[int, int]:
        """Source index -> clock, ms, of those that have had an event."""
        return {source: clock for source, clock in enumerate(self._clocks.tolist()) if clock != NEVER}

    def remembered(self) -> int:
        """Entries in all memories, expired ones that are not yet swept included."""
        return sum(int(p.state[kernels.SEEN] + p.state[kernels.ANSWERS]) for p in self._partitions)

    @property
    def narrowed(self) -> int:
        """Events so far taken as late only because a memory was full. A metric: anything but 0 asks for memory."""
        return sum(int(p.state[kernels.NARROWED]) for p in self._partitions)

    def nbytes(self) -> int:
        return sum(p.seen.table.nbytes + p.answers.table.nbytes for p in self._partitions)

    def save(self, source: int, whole: bool) -> Saved:
        """Returns the memories of a source: all of them (`whole`, at the first time, and when the journal overflowed),
        or the entries since the last call. The arrays are copies."""
        self._know(source)
        partition, clock = self._partitions[source], int(self._clocks[source])
        noted, answers_noted = partition.state[[kernels.NOTED, kernels.ANSWERS_NOTED]].tolist()
        whole |= noted > len(partition.journal) or answers_noted > len(partition.answers_journal)
        whole |= len(partition.journal) == 0
        if whole:
            seen = _live(partition.seen.table, clock - self.lateness_ms)
            answers = _live(partition.answers.table, clock - self.answer_memory_ms)
        else:
            seen = partition.journal[:noted].copy()
            answers = partition.answers_journal[:answers_noted].copy()
        partition.start_journals()
        return Saved(whole, clock, int(partition.state[kernels.FLOOR]), seen, answers)

    def restore(self, source: int, saved: Saved) -> None:
        """Takes saved memories over; parts in the order in which they were saved."""
        self._know(source)
        if saved.whole:
            self.forget(source)
        partition = self._partitions[source]
        self._clocks[source] = max(int(self._clocks[source]), saved.clock)
        if saved.clock != NEVER:
            oldest = max(saved.clock - self.lateness_ms, saved.floor)
            seen = _last_of_each(saved.seen)
            if saved.floor > partition.state[kernels.FLOOR]:  # ids of the parts before have been forgotten since
                partition.state[kernels.FLOOR] = saved.floor
                table = partition.seen.table
                # A vouched-for event may have put an earlier time in the place of a later one before it was forgotten.
                table[np.isin(table[:, 0], seen[seen[:, 1] >> 1 < oldest, 0]), 1] = 0
                partition.state[kernels.SEEN], _ = partition.seen.make_room(oldest)
                partition.state[kernels.SEEN_LIMIT] = partition.seen.limit
            partition.put(partition.seen, kernels.SEEN, kernels.SEEN_LIMIT, seen, oldest)
        if saved.clock != NEVER and self._answers_slots_max:
            oldest = saved.clock - self.answer_memory_ms
            partition.put(partition.answers, kernels.ANSWERS, kernels.ANSWERS_LIMIT, saved.answers, oldest)
        partition.start_journals()

    def forget(self, source: int) -> None:
        """Forgets the clock and the memories of a source."""
        if source < len(self._partitions):
            self._partitions[source] = _PlaceMemories(self._slots_max, self._answers_slots_max)
            self._clocks[source] = NEVER

    def track_answers(self) -> None:
        """Starts to remember answers, from which durations come."""
        if not self._answers_slots_max:
            self._answers_slots_max = self._slots_max
            for partition in self._partitions:
                partition.answers = _Memory(self._answers_slots_max)
                partition.state[kernels.ANSWERS_LIMIT] = partition.answers.limit

    def digest(self, source: int) -> tuple[int, int, int]:
        """Returns (number of entries that count, an order-independent sum over them, the time before which all is
        late): equal for memories that answer the same."""
        clock = int(self._clocks[source])
        partition, total, count = self._partitions[source], 0, 0
        for memory, span in ((partition.seen, self.lateness_ms), (partition.answers, self.answer_memory_ms)):
            live = _live(memory.table, clock - span).view(np.uint64)
            count += len(live)
            total += int((live[:, 0] * (2 * live[:, 1] + np.uint64(1))).sum())
        return count, total % 2**64, max(int(partition.state[kernels.FLOOR]), clock - self.lateness_ms)

    def _know(self, source_max: int) -> None:
        """Gives a source index that is new empty memories and no clock."""
        fresh = source_max + 1 - len(self._partitions)
        if fresh > 0:
            self._partitions += [_PlaceMemories(self._slots_max, self._answers_slots_max) for _ in range(fresh)]
            self._clocks = np.append(self._clocks, np.full(fresh, NEVER, np.int64))

    def _sift(
        self,
        partition: _PlaceMemories,
        order: np.ndarray,
        events: tuple[np.ndarray, ...],
        clock: np.ndarray,
        out: tuple[np.ndarray, ...],
    ) -> None:
        """events, out: as the kernel takes them, before and behind the clock."""
        start = 0
        while True:
            start = kernels.sift(
                partition.seen.table, partition.answers.table, partition.state, partition.journal,
                partition.answers_journal, order, start, *events, clock, self.lateness_ms, self.answer_memory_ms, *out,
            )  # fmt: skip
            if start == len(order):
                return
            # The clock as of the event that found the memory full, so that batches of any size rebuild alike.
            partition.make_room(int(clock[order[start]]), self.lateness_ms, self.answer_memory_ms)


def _last_of_each(entries: np.ndarray) -> np.ndarray:
    """int64[m, 2]: of entries with equal keys the last, in the order in which they were noted."""
    _, last = np.unique(entries[::-1, 0], return_index=True)
    return entries[np.sort(len(entries) - 1 - last)]


def _live(table: np.ndarray, oldest: int) -> np.ndarray:
    """Returns int64[n, 2], copies of a memory's entries at or after `oldest`."""
    return table[(table[:, 0] != 0) & (table[:, 1] >> 1 >= oldest)]
