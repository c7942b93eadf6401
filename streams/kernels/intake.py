"""Decides which events count: duplicates, calls set up again, and the memory of answers.

An event is known by its *identity*: the mix of its id, number and peer. Ids alone are chosen by whoever calls, and
repeat among relays and callers. Where repetitions are one (`repeats`), it is number and peer alone, and the newest that
counted is remembered.

A memory is int64[capacity, 2], an open-addressing table of (key, mark): the key is the identity, changed by the kind of
event (`event_key`), and being a mix it is its own hash; 0 is an empty slot. The mark is 2 x time, and 1 more where
nobody vouches for the event (`mark_of`). A remembered time counts only while it is no older than the reader's horizon:
an expired entry reads as absent, swept or not, so that the moment at which a table is rebuilt changes no answer.

The vouched reading sees entries of vouched-for events alone. One memory serves both: a vouched-for event takes the
place of an entry that nobody vouches for, and the other way round only when that one has expired.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.kernels.clocks import DUPLICATE, LATE, OK
from streams.kernels.mixing import GOLDEN, mix
from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row
from streams.kernels.table import place

# Codes of schemas.codes.EVENTS, which kernels do not import; a test holds the two together.
SETUP, ANSWER, RELEASE, COMPLETE = 1, 2, 3, 4

NONE = -1  # in place of a mark
HALF = 0xFFFFFFFF
# Copies of one event that several probes saw differ by less than this.
COPIES_MS = 250
LEG = 0  # in place of an id; a hash of one is never 0
LEGS_MS = 5_000  # and those that the carriers at both ends tell, each by its own clock

# Places in the `state` of one place's memories.
SEEN, SEEN_LIMIT, ANSWERS, ANSWERS_LIMIT, FLOOR, NARROWED, NOTED, ANSWERS_NOTED = range(8)


@njit(**COMPILED)
def identities(event, id_hash, number, peer, leg, repeats, out):
    """out[i] (int64): what tells an event from all others of its kind. leg: uint8[n], not 0 for a feed that tells one
    end of calls: the other end's feed has ids of its own, so the id says nothing. repeats: int64[codes], by event, ms,
    not 0 where number and peer alone tell."""
    for i in range(len(id_hash)):
        is_leg = leg[i] > 0 and SETUP <= event[i] <= COMPLETE
        id = LEG if is_leg or repeats[event[i]] > 0 else id_hash[i]
        out[i] = mix(mix(id ^ np.int64(np.uint64(number[i]) * GOLDEN)) ^ peer[i])


@njit(**COMPILED)
def ids_used_again(recent, source, event, id_hash, identity, out):
    """out[i] (bool): the source has lately had this (kind, id) of another number or peer.

    recent: int64[.], the (kind, id) last seen in each slot, and its identity: half of each, for what feeds a metric
    bears a mistake in four thousand million."""
    mask = len(recent) - 1
    for i in range(len(source)):
        key = event_key(event[i] + 8 * source[i], id_hash[i])
        entry = (key & ~HALF) | (identity[i] & HALF)
        before = recent[key & mask]
        out[i] = before != entry and (before ^ entry) & ~HALF == 0
        recent[key & mask] = entry


@njit(**HOT)
def event_key(event, mixed):
    """Key of a kind of event and an identity, or a hash of an id. Never 0."""
    key = mixed ^ np.int64(np.uint64(event) * GOLDEN)
    return key if key != 0 else 1


@njit(**COMPILED)
def sift(
    seen, answers, state, journal, answers_journal, order, start, event, identity, vouched, leg, time,
    clock, horizon, behind, lateness_max, answer_memory, repeats,
    verdict, closed, duration, first_vouched, closed_vouched, duration_vouched, released,
):  # fmt: skip
    """Duplicates, known releases and call durations of one place's events.

    order: int64[m], its events' places in the batch, ascending. answers: of length 0 when none are kept. journal,
    answers_journal: int64[., 2], what was put into either memory since it was last saved; state counts on where one has
    no room. clock, horizon, behind: as `judge` says. Of the whole batch, written where they change, as `Accepted` in
    streams.ingest.admission says: verdict to released.
    Works from order[start]; returns m, or the place in `order` before which a full memory must be rebuilt."""
    seen_mask = len(seen) - 1
    m = len(order)
    for k in range(start, m):
        if k + AHEAD < m:
            coming = order[k + AHEAD]
            look_ahead(seen, answers, event[coming], identity[coming])
        i = order[k]
        if state[SEEN] >= state[SEEN_LIMIT] or state[ANSWERS] >= state[ANSWERS_LIMIT]:
            return k
        if verdict[i] != OK:
            continue
        if time[i] < state[FLOOR]:
            verdict[i] = LATE
            state[NARROWED] += 1
            continue
        copies = LEGS_MS if leg[i] > 0 else COPIES_MS
        key = event_key(event[i], identity[i])
        slot = place(seen, key, key & seen_mask)
        again = again_vouched = False
        earlier = 0
        # What is dropped from a memory lies before this, whatever the feed.
        oldest = behind[i] - lateness_max
        if seen[slot, 0] == 0:
            seen[slot, 0] = key
            state[SEEN] += 1
        # A clock of events that nobody vouches for makes nothing of the others expire.
        elif time_of(seen[slot, 1]) >= (oldest if is_vouched(seen[slot, 1]) and not vouched[i] else horizon[i]):
            mark = seen[slot, 1]
            earlier = time_of(mark)
            if repeats[event[i]] > 0:
                again = is_another(mark, time[i], vouched[i], repeats[event[i]])
            else:
                again = is_of_another_call(
                    seen, mark, event[i], identity[i], leg[i], time[i], vouched[i], horizon[i], copies
                )
            again_vouched = again and is_vouched(mark)
            if not again:
                verdict[i] = DUPLICATE
                first_vouched[i] = vouched[i] and not is_vouched(mark)
                if not first_vouched[i]:
                    continue
        seen[slot, 1] = mark_of(time[i], vouched[i])
        note(journal, state, NOTED, key, seen[slot, 1])
        if event[i] == SETUP:
            release = mark_in(seen, event_key(RELEASE, identity[i]), max(horizon[i], time[i] - copies))
            closed[i] = release != NONE
            closed_vouched[i] = closed[i] and is_vouched(release)
        elif len(answers) > 0 and (event[i] == ANSWER or event[i] == RELEASE):
            pair(
                seen, answers, state, answers_journal, i, event, identity, again, again_vouched, earlier, vouched, time,
                horizon[i], clock[i] - answer_memory, behind[i] - answer_memory, duration, duration_vouched, released,
            )  # fmt: skip
    return m


@njit(**HOT)
def look_ahead(seen, answers, event, identity):
    """Asks for what a later event will touch."""
    mask = len(seen) - 1
    prefetch_row(seen, event_key(event, identity) & mask, 0)
    if event == SETUP or (event == ANSWER and len(answers) > 0):
        prefetch_row(seen, event_key(RELEASE, identity) & mask, 0)
    if event == ANSWER or event == RELEASE:
        prefetch_row(answers, event_key(ANSWER, identity) & (len(answers) - 1), 0)


@njit(**HOT)
def is_another(mark, time, vouched, repeats):
    """True of an event that is no repetition of the remembered one by the same peer about the same number."""
    return time >= time_of(mark) + repeats and (vouched or not is_vouched(mark))


@njit(**INNER)
def is_of_another_call(seen, mark, event, identity, leg, time, vouched, horizon, copies):
    """True of an event that is like a remembered one, and yet no duplicate: its call was set up again after its
    release, or, told by a feed of one leg, at another time. mark: of the remembered event. What nobody vouches for
    tells nothing about an event that is vouched for."""
    if event < SETUP or event > COMPLETE or (is_vouched(mark) and not vouched):
        return False
    if event == SETUP and leg > 0:
        return time > time_of(mark) + copies
    other = mark_in(seen, event_key(RELEASE if event == SETUP else SETUP, identity), horizon)
    if other == NONE or (is_vouched(mark) and not is_vouched(other)):
        return False
    if event == SETUP:
        return time > max(time_of(mark), time_of(other)) + copies
    return time_of(other) > time_of(mark) + copies and time >= time_of(other)


@njit(**HOT)
def pair(
    seen, answers, state, answers_journal, i, event, identity, again, again_vouched, earlier, vouched, time,
    horizon, since, oldest, duration, duration_vouched, released,
):  # fmt: skip
    """Gives a release the duration since its answer, or an answer that comes behind its release, and remembers an
    answer. again, again_vouched: another such event of the call id was at `earlier`, in a call before this one."""
    key = event_key(ANSWER, identity[i])
    answer = mark_in(answers, key, since)
    if event[i] == RELEASE:
        # An answer behind its release is a clock's mistake, and one before an earlier release another call's.
        if duration[i] == -1 and answer != NONE and time_of(answer) <= time[i]:
            if not again or time_of(answer) > earlier:
                duration[i] = time[i] - time_of(answer)
            if is_vouched(answer) and (not again_vouched or time_of(answer) > earlier):
                duration_vouched[i] = time[i] - time_of(answer)
        return
    release = mark_in(seen, event_key(RELEASE, identity[i]), max(horizon, time[i]))
    # A release that found an answer has its duration.
    if release != NONE and (again or answer == NONE):
        released[i] = time_of(release)
        duration[i] = released[i] - time[i]
    unpaired = again_vouched or answer == NONE or not is_vouched(answer)
    if vouched[i] and release != NONE and is_vouched(release) and unpaired:
        released[i] = time_of(release)
        duration_vouched[i] = released[i] - time[i]
    held = mark_in(answers, key, oldest)
    if vouched[i] or held == NONE or not is_vouched(held):
        slot = place(answers, key, key & (len(answers) - 1))
        state[ANSWERS] += answers[slot, 0] == 0
        answers[slot, 0] = key
        answers[slot, 1] = mark_of(time[i], vouched[i])
        note(answers_journal, state, ANSWERS_NOTED, key, answers[slot, 1])


@njit(**HOT)
def mark_in(memory, key, oldest):
    """The mark of a key, NONE where its time lies before `oldest`."""
    slot = place(memory, key, key & (len(memory) - 1))
    return memory[slot, 1] if memory[slot, 0] != 0 and time_of(memory[slot, 1]) >= oldest else NONE


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
