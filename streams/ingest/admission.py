"""Admission, the gate before the counters: gives every event its time, and finds late events and duplicates.

Rules, per partition of a topic, in log order (each partition's answers depend on its own log alone). Every feed has two
clocks there, one of the events that somebody vouches for and one of the others; the memories are the partition's:

1. An event's time is its `at`; more than `ahead_ms` after its Kafka timestamp, it is that timestamp, flagged future. A
   timestamp before 2000 (0, -1, seconds) is unknown: the feed's clock alone stands in for it.
2. A clock is the running maximum of the times of all its events, duplicates included. A step of more than
   `lateness_ms` is taken only when other numbers confirm it; until then such an event is future as well and counts from
   the clock on. A clock that hardly anybody stands by goes back (see streams.kernels.clocks).
3. An event more than its feed's lateness behind its clock before it is late. This is judged first: a late event is not
   looked up and not remembered. A clock counts as no older than the one that is furthest behind, those aside that have
   been silent for a million events of the partition: nobody needs ids from before the longest lateness behind that.
4. An event whose kind, id, number and peer were first seen at a time no more than `lateness_ms` behind the clock is a
   duplicate. It changes nothing but the clock, and does not renew the first time. But a set-up later than both the
   set-up and the release that are remembered is another call, and so are the events behind it. Where repetitions are
   one (schemas.feeds, `repeats_ms`: reports), the id says nothing: an event is a duplicate that is not so much later
   than the newest that counted of its number and peer.
5. Everything else is remembered and counts.
6. In the vouched reading events that nobody vouches for are not looked up and not remembered: a duplicate of one, the
   answer or release of one, is none there. In the reading of all, a vouched-for event takes the place of such an
   entry, and an answer that is vouched for is not replaced by another.
7. A release takes its duration from the answer of its call, and an answer that comes behind it brings the duration
   afterwards. An answer later than its release is of a wrong clock: no duration.

Two different events of one partition are confused with a chance of 2**-64 a pair: the memory keeps 64-bit hashes.

Memory: 16 bytes a slot at a load between 0.25 and 0.7, so 23 to 64 bytes x events/s x lateness in seconds; double
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

from schemas.feeds import CODES, EVENTS, FEEDS
from streams.ingest.feed_clocks import FeedClocks
from streams.ingest.memory import FULL_TENTHS, Memory, PlaceMemories, Saved, last_of_each, live
from streams.kernels import intake as kernels
from streams.kernels.clocks import DUPLICATE, LATE, NEVER, OK

__all__ = ["DUPLICATE", "LATE", "NEVER", "OK", "Accepted", "Intake", "Saved"]

_RECENT = 1 << 13  # ids of all partitions among which one that is used twice is noticed; a metric needs no more


@dataclass(slots=True)
class Accepted:
    """The verdicts on n events, in arrival order."""

    time: np.ndarray  # int64[n]: the time the event counts at, ms
    verdict: np.ndarray  # uint8[n]: OK, LATE or DUPLICATE
    future: np.ndarray  # bool[n]: `time` is the Kafka timestamp or the clock because `at` was too far ahead of it
    closed: np.ndarray  # bool[n]: an OK set-up whose call is already known to be released
    duration: np.ndarray  # int64[n]: ms from answer to release, as given or as remembered; -1 unknown
    clock_max_before: np.ndarray  # int64[n]: the largest clock of all partitions before the event; NEVER at first
    place_clock: np.ndarray  # int64[n]: likewise of the event's partition, behind the event
    identity: np.ndarray  # int64[n]: of the event's id, number and peer
    released: np.ndarray  # int64[n]: of an answer behind its release in the log, that one's time, ms; else 0
    reused: np.ndarray  # bool[n]: an OK event whose id another number or peer has had lately
    # The vouched reading, of events that somebody vouches for.
    first_vouched: np.ndarray  # bool[n]: a DUPLICATE that counts here
    closed_vouched: np.ndarray  # bool[n]
    duration_vouched: np.ndarray  # int64[n]

    def counts(self) -> np.ndarray:
        """bool[n]: in some reading."""
        return (self.verdict == OK) | self.first_vouched


class Intake:
    """Clocks and memories of all partitions a worker owns, of all topics. Times in ms.

    remembered_max: ids a partition remembers at most (rounded up to what a table of a power of two holds).
    own_lateness_ms: int64[FEED_CODES], that of the feeds that have one of their own, -1 for the others. legs:
    uint8[FEED_CODES], the end of a call that a feed tells, 0 for both or unknown."""

    def __init__(
        self,
        lateness_ms: int = 3_600_000,
        ahead_ms: int = 300_000,
        answer_memory_ms: int = 14_400_000,
        track_answers: bool = False,
        remembered_max: int = 20_000_000,
        own_lateness_ms: np.ndarray | None = None,
        legs: np.ndarray | None = None,
    ) -> None:
        self.ahead_ms = ahead_ms
        self.answer_memory_ms = answer_memory_ms
        self._slots_max = 16
        while self._slots_max * FULL_TENTHS // 10 < remembered_max:
            self._slots_max *= 2
        self._answers_slots_max = self._slots_max if track_answers else 0
        self._partitions: list[PlaceMemories] = []
        self._recent = np.zeros(_RECENT, np.int64)
        self._clocks = FeedClocks(lateness_ms, own_lateness_ms)
        self._legs = legs if legs is not None and legs.any() else None
        self._repeats = repeats_of_events()

    @property
    def lateness_max_ms(self) -> int:
        """The longest lateness of any feed."""
        return self._clocks.lateness_max_ms

    def put_under(self, own_lateness_ms: np.ndarray | None, legs: np.ndarray | None) -> None:
        """Takes other settings of feeds, for what is judged from here on."""
        was_ms = self.lateness_max_ms
        self._clocks.put_under(own_lateness_ms)
        self._legs = legs if legs is not None and legs.any() else None
        for source in range(len(self._partitions)):
            self._keep_late(source, was_ms)

    def accept(
        self,
        source: np.ndarray,
        feed: np.ndarray,
        at: np.ndarray,
        timestamp: np.ndarray,
        event: np.ndarray,
        id_hash: np.ndarray,
        number: np.ndarray,
        peer: np.ndarray,
        duration_known: np.ndarray,
        vouched: np.ndarray,
    ) -> Accepted:
        """Judges n events in arrival order. How they are divided among calls changes no answer.

        source: int32[n], a small index from 0 for each topic-partition. feed: int32[n], codes. at, timestamp: int64[n],
        ms; a timestamp before 2000 is unknown. event: uint8[n], schemas.codes. id_hash, number, peer: int64[n].
        duration_known: int64[n], ms, -1 unknown. vouched: bool[n], somebody vouches for the event."""
        n = len(source)
        if n and int(source.min()) < 0:
            raise ValueError(f"source {int(source.min())}: topic-partitions are numbered from 0")
        self._know(int(source.max(initial=-1)))
        time, clock, horizon, behind, clock_max_before, place_clock, identity = (
            np.empty(n, np.int64) for _ in range(7)
        )
        verdict, future = np.empty(n, np.uint8), np.empty(n, np.bool_)
        closed, first_vouched, closed_vouched, reused = (np.zeros(n, np.bool_) for _ in range(4))
        duration, duration_vouched = np.array(duration_known, np.int64), np.array(duration_known, np.int64)
        released = np.zeros(n, np.int64)
        self._clocks.judge(
            (source, feed, vouched, at, timestamp, number), self.ahead_ms,
            (time, clock, horizon, behind, verdict, future, clock_max_before, place_clock),
        )  # fmt: skip
        leg = np.zeros(n, np.uint8) if self._legs is None else self._legs[feed]
        kernels.identities(event, id_hash, number, peer, leg, self._repeats, identity)
        kernels.ids_used_again(self._recent, source, event, id_hash, identity, reused)
        # The partitions know nothing of each other, so each one's events can be taken together.
        for slot, order in _by_source(source):
            self._sift(
                slot, order, (event, identity, vouched, leg, time, clock, horizon, behind),
                (verdict, closed, duration, first_vouched, closed_vouched, duration_vouched, released),
            )  # fmt: skip
        reused &= verdict == OK
        return Accepted(
            time, verdict, future, closed, duration, clock_max_before, place_clock, identity, released, reused,
            first_vouched, closed_vouched, duration_vouched,
        )  # fmt: skip

    def trust(self, source: int) -> None:
        """Lets every event of a source move its clock, before its first one: of orders, which are few."""
        self._clocks.trust(source)

    def clocks(self) -> dict[int, int]:
        """Source index -> the newest clock of its feeds, ms, of those that have had an event."""
        newest = {source: self._clocks.newest(source) for source in range(len(self._partitions))}
        return {source: clock for source, clock in newest.items() if clock != NEVER}

    def clock_max(self) -> int:
        """The newest clock of all, ms; NEVER without an event."""
        return self._clocks.largest()

    def horizon(self, source: int) -> int:
        """The time before which all events of a source are late, ms, whatever their feed; NEVER while that is
        unknown."""
        behind = self._clocks.behind(source) if source < len(self._partitions) else NEVER
        return NEVER if behind == NEVER else behind - self.lateness_max_ms

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
        partition = self._partitions[source]
        state = partition.state
        noted, answers_noted = state[[kernels.NOTED, kernels.ANSWERS_NOTED]].tolist()
        whole |= noted > len(partition.journal) or answers_noted > len(partition.answers_journal)
        whole |= len(partition.journal) == 0
        if whole:
            seen_since, answers_since = self._needed_since(self._clocks.behind(source))
            seen, answers = live(partition.seen.table, seen_since), live(partition.answers.table, answers_since)
        else:
            seen = partition.journal[:noted].copy()
            answers = partition.answers_journal[:answers_noted].copy()
        partition.start_journals()
        clocks, pace = self._clocks.save(source)
        return Saved(whole, clocks, pace, self.lateness_max_ms, int(state[kernels.FLOOR]), seen, answers)

    def restore(self, source: int, saved: Saved) -> None:
        """Takes saved memories over; parts in the order in which they were saved."""
        self._know(source)
        if saved.whole:
            self.forget(source)
        partition = self._partitions[source]
        state = partition.state
        self._clocks.restore(source, saved.clocks, saved.pace)
        seen_since, answers_since = self._needed_since(self._clocks.behind(source))
        oldest = max(seen_since, saved.floor)
        seen = last_of_each(saved.seen)
        if saved.floor > max(state[kernels.FLOOR], seen_since):  # ids of the parts before have been forgotten since
            state[kernels.FLOOR] = saved.floor
            table = partition.seen.table
            # A vouched-for event may have put an earlier time in the place of a later one before it was forgotten.
            table[np.isin(table[:, 0], seen[seen[:, 1] >> 1 < oldest, 0]), 1] = 0
            state[kernels.SEEN], _ = partition.seen.make_room(oldest)
            state[kernels.SEEN_LIMIT] = partition.seen.limit
        partition.put(partition.seen, kernels.SEEN, kernels.SEEN_LIMIT, seen, oldest)
        if self._answers_slots_max:
            partition.put(partition.answers, kernels.ANSWERS, kernels.ANSWERS_LIMIT, saved.answers, answers_since)
        self._keep_late(source, saved.lateness_max_ms)
        partition.start_journals()

    def forget(self, source: int) -> None:
        """Forgets the clocks and the memories of a source."""
        if source < len(self._partitions):
            self._partitions[source] = PlaceMemories(self._slots_max, self._answers_slots_max)
            self._clocks.forget(source)

    def track_answers(self) -> None:
        """Starts to remember answers, from which durations come."""
        if not self._answers_slots_max:
            self._answers_slots_max = self._slots_max
            for partition in self._partitions:
                partition.answers = Memory(self._answers_slots_max)
                partition.state[kernels.ANSWERS_LIMIT] = partition.answers.limit

    def digest(self, source: int) -> tuple[int, int, int, list[tuple[int, ...]]]:
        """Returns (number of entries that count, an order-independent sum over them, the time before which all is
        late, the feeds' clocks): equal for memories that answer the same."""
        partition, total, count = self._partitions[source], 0, 0
        behind, clocks = self._clocks.digest(source)
        for memory, span in ((partition.seen, self.lateness_max_ms), (partition.answers, self.answer_memory_ms)):
            entries = live(memory.table, behind - span).view(np.uint64)
            count += len(entries)
            total += int((entries[:, 0] * (2 * entries[:, 1] + np.uint64(1))).sum())
        late = max(int(partition.state[kernels.FLOOR]), behind - self.lateness_max_ms)
        return count, total % 2**64, late, clocks

    def _keep_late(self, source: int, was_ms: int) -> None:
        """Keeps late what was let go of before, where the longest lateness has grown from `was_ms`."""
        state, behind = self._partitions[source].state, self._clocks.behind(source)
        if was_ms < self.lateness_max_ms and behind != NEVER:
            state[kernels.FLOOR] = max(int(state[kernels.FLOOR]), behind - was_ms)

    def _needed_since(self, behind: int) -> tuple[int, int]:
        """The times from which on ids, and answers, are still needed, if no feed is further behind."""
        return behind - self.lateness_max_ms, behind - self.answer_memory_ms

    def _know(self, source_max: int) -> None:
        """Gives a source index that is new empty memories and no clock."""
        fresh = source_max + 1 - len(self._partitions)
        if fresh > 0:
            self._partitions += [PlaceMemories(self._slots_max, self._answers_slots_max) for _ in range(fresh)]
            self._clocks.know(source_max + 1)

    def _sift(
        self, source: int, order: np.ndarray, events: tuple[np.ndarray, ...], out: tuple[np.ndarray, ...]
    ) -> None:
        """events, out: as the kernel takes them, before and behind the memories' spans."""
        partition, start = self._partitions[source], 0
        while True:
            start = kernels.sift(
                partition.seen.table, partition.answers.table, partition.state, partition.journal,
                partition.answers_journal, order, start, *events, self.lateness_max_ms, self.answer_memory_ms,
                self._repeats, *out,
            )  # fmt: skip
            if start == len(order):
                return
            partition.make_room(*self._needed_since(int(events[-1][order[start]])))


def _by_source(source: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """(source, the places of its events, ascending) of each that has any."""
    counts = np.bincount(source)
    present = np.flatnonzero(counts).tolist()
    if len(present) == 1:
        return [(present[0], np.arange(len(source)))]
    narrow = source.astype(np.uint16) if len(counts) <= 1 << 16 else source  # numpy sorts 16 bits in one pass
    orders = np.split(np.argsort(narrow, kind="stable"), np.cumsum(counts[present])[:-1])
    return list(zip(present, orders, strict=True)) if len(source) else []


def repeats_of_events() -> np.ndarray:
    """int64[CODES]: by code of the event, how long repetitions are one; 0 where ids tell them apart."""
    out = np.zeros(CODES, np.int64)
    for row in FEEDS.values():
        out[[EVENTS.index(event) for event in row.events]] = row.repeats_ms
    return out
