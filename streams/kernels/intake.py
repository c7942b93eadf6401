"""Decides which events count: partition clocks, the future rule, lateness, duplicates, and the memory of calls.

A memory is int64[capacity, 2], an open-addressing table of (key, mark): the key is the mix of the kind of event and its
id (`event_key`), so it is its own hash; 0 is an empty slot. The mark is 2 x time, and 1 more where nobody vouches for
the event (`mark_of`). A remembered time counts only while it is no older than the reader's horizon: an expired entry
reads as absent, swept or not, so that the moment at which a table is rebuilt changes no answer.

The vouched reading sees entries of vouched-for events alone. One memory serves both: a vouched-for event takes the
place of an entry that nobody vouches for, and the other way round only when that one has expired.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.kernels.mixing import mix_pair
from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row
from streams.kernels.table import place

OK, LATE, DUPLICATE = range(3)
NEVER = np.iinfo(np.int64).min  # a clock before its first event

# Codes of schemas.codes.EVENTS, which kernels do not import; a test holds the two together.
SETUP, ANSWER, RELEASE = 1, 2, 3

# Places in the `state` of one partition's memories.
SEEN, SEEN_LIMIT, ANSWERS, ANSWERS_LIMIT, FLOOR, NARROWED, NOTED, ANSWERS_NOTED = range(8)


@njit(**INNER)
def event_key(event, id_hash):
    """Key of (kind of event, id) in a memory. Never 0."""
    key = mix_pair(event, id_hash)
    return key if key != 0 else 1


@njit(**COMPILED)
def judge(source, at, timestamp, clocks, lateness, ahead, time, clock, verdict, future, clock_max_before):
    """Times and partition clocks, event by event in arrival order, all partitions together.

    clocks: int64[partitions], running maxima, moved on. clock[i]: the partition's clock after event i, ms.
    verdict[i] is OK or LATE here. clock_max_before[i]: the largest of all clocks before event i, NEVER at first."""
    largest = NEVER
    for slot in range(len(clocks)):
        largest = max(largest, clocks[slot])
    for i in range(len(source)):
        t = at[i]
        future[i] = timestamp[i] > 0 and t > timestamp[i] + ahead
        if future[i]:
            t = timestamp[i]
        before = clocks[source[i]]
        late = before != NEVER and t < before - lateness
        clocks[source[i]] = max(before, t)
        time[i] = t
        clock[i] = clocks[source[i]]
        verdict[i] = LATE if late else OK
        clock_max_before[i] = largest
        largest = max(largest, t)


@njit(**COMPILED)
def sift(
    seen, answers, state, journal, answers_journal, order, start, event, id_hash, vouched, time, clock, lateness,
    answer_memory, verdict, closed, duration, first_vouched, closed_vouched, duration_vouched,
):  # fmt: skip
    """Duplicates, known releases and call durations of one partition's events.

    order: int64[m], its events' places in the batch, ascending. seen: memory of (kind, id); answers: memory of
    answers, of length 0 when none is kept. journal, answers_journal: int64[., 2], what was put into either memory since
    it was last saved; state counts on where one has no room. Of the whole batch, written where they change: verdict,
    closed, duration of the reading of all; first_vouched: a duplicate that is none in the vouched reading; closed and
    duration in that one.
    Works from order[start]; returns m, or the place in `order` before which a memory must be rebuilt."""
    seen_mask = len(seen) - 1
    answers_mask = len(answers) - 1
    m = len(order)
    for k in range(start, m):
        if k + AHEAD < m:
            coming = order[k + AHEAD]
            prefetch_row(seen, event_key(event[coming], id_hash[coming]) & seen_mask, 0)
            if event[coming] == SETUP:
                prefetch_row(seen, event_key(RELEASE, id_hash[coming]) & seen_mask, 0)
            elif event[coming] == ANSWER or event[coming] == RELEASE:
                prefetch_row(answers, event_key(ANSWER, id_hash[coming]) & answers_mask, 0)
        if state[SEEN] >= state[SEEN_LIMIT] or state[ANSWERS] >= state[ANSWERS_LIMIT]:
            return k
        i = order[k]
        if verdict[i] != OK:
            continue
        if time[i] < state[FLOOR]:
            verdict[i] = LATE
            state[NARROWED] += 1
            continue
        horizon = clock[i] - lateness
        key = event_key(event[i], id_hash[i])
        slot = place(seen, key, key & seen_mask)
        if seen[slot, 0] == 0:
            seen[slot, 0] = key
            state[SEEN] += 1
        elif time_of(seen[slot, 1]) >= horizon:
            verdict[i] = DUPLICATE
            first_vouched[i] = vouched[i] and not is_vouched(seen[slot, 1])
            if not first_vouched[i]:
                continue
        seen[slot, 1] = mark_of(time[i], vouched[i])
        note(journal, state, NOTED, key, seen[slot, 1])
        if event[i] == SETUP:
            key = event_key(RELEASE, id_hash[i])
            slot = place(seen, key, key & seen_mask)
            closed[i] = seen[slot, 0] != 0 and time_of(seen[slot, 1]) >= horizon
            closed_vouched[i] = closed[i] and is_vouched(seen[slot, 1])
        elif len(answers) > 0 and (event[i] == ANSWER or event[i] == RELEASE):
            key = event_key(ANSWER, id_hash[i])
            slot = place(answers, key, key & answers_mask)
            known = answers[slot, 0] != 0 and time_of(answers[slot, 1]) >= clock[i] - answer_memory
            known_vouched = known and is_vouched(answers[slot, 1])
            if event[i] == ANSWER:
                if known_vouched and not vouched[i]:
                    continue
                state[ANSWERS] += answers[slot, 0] == 0
                answers[slot, 0] = key
                answers[slot, 1] = mark_of(time[i], vouched[i])
                note(answers_journal, state, ANSWERS_NOTED, key, answers[slot, 1])
            elif duration[i] == -1 and known:
                duration[i] = max(0, time[i] - time_of(answers[slot, 1]))
                if known_vouched:
                    duration_vouched[i] = duration[i]
    return m


@njit(**HOT)
def mark_of(time, vouched):
    return 2 * time + (not vouched)


@njit(**HOT)
def time_of(mark):
    return mark >> 1


@njit(**HOT)
def is_vouched(mark):
    return mark & 1 == 0


@njit(**HOT)
def note(journal, state, count, key, mark):
    """Appends an entry, as long as there is room, and counts it either way."""
    if state[count] < len(journal):
        journal[state[count], 0] = key
        journal[state[count], 1] = mark
    state[count] += 1


@njit(**COMPILED)
def put(memory, state, count, limit, entries, start):
    """Puts saved entries into a memory, later ones over earlier ones of the same key.

    entries: int64[n, 2], key and mark. count, limit: the places in `state` of the memory's entries and of its limit.
    Works from entry `start`; returns n, or the entry before which the memory must be rebuilt."""
    mask = len(memory) - 1
    for k in range(start, len(entries)):
        if state[count] >= state[limit]:
            return k
        slot = place(memory, entries[k, 0], entries[k, 0] & mask)
        state[count] += memory[slot, 0] == 0
        memory[slot, 0] = entries[k, 0]
        memory[slot, 1] = entries[k, 1]
    return len(entries)


@njit(**COMPILED)
def count_since(memory, oldest):
    """Entries whose time is at or after `oldest`."""
    count = 0
    for slot in range(len(memory)):
        count += memory[slot, 0] != 0 and time_of(memory[slot, 1]) >= oldest
    return count


@njit(**COMPILED)
def refill(old, new, oldest):
    """Puts the entries of `old` at or after `oldest` into `new`, which is empty and has room; returns how many.

    Entries lie in the order of their hashes, so both tables are walked nearly in sequence."""
    mask = len(new) - 1
    count = 0
    for i in range(len(old)):
        if old[i, 0] != 0 and time_of(old[i, 1]) >= oldest:
            slot = place(new, old[i, 0], old[i, 0] & mask)
            new[slot, 0] = old[i, 0]
            new[slot, 1] = old[i, 1]
            count += 1
    return count
