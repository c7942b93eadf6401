"""Event times and clocks: which events are early or late, and when a clock may move far.

A clock is the newest time that events have shown. One record with a wrong time must not make everybody else late, so a
step of more than `lateness` beyond it waits until as many other numbers have taken the same step as stand by the clock,
WITNESSES at most; a fresh event meanwhile, one that lies where the clock is, says that it is right and starts the wait
anew. Those who wait are early: they count at the clock.

A clock that few numbers stand by, fewer than FEW, would wait long, so there one number that has stood by it moves it by
up to FAR_MS alone, and anybody does who is the second one; beyond, RUN_MAX events in a row are as good as many numbers.
And a clock with fewer than SETTLED numbers proves little: it goes back when an event lies more than BACK x lateness
behind it.

Once somebody has vouched for an event of a feed, events that nobody vouches for have no say in any of this: they move
the clock by nothing at all, or who forges them could make the others late. They are judged by OWN_MS, a time of their
own, which is never behind the clock and takes a far step when RUN_MAX of them in a row, OWN_RUN so far, have gone
ahead.

A row of `stands` says who stands by a clock: WITNESSES numbers at most from column STANDERS on, COUNT of them; from
column WAITERS on those who have gone ahead, WAITING of them in RUN events, the newest at AHEAD_MS.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.kernels.mixing import mix
from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.table import place

OK, LATE, DUPLICATE = range(3)
NEVER = np.iinfo(np.int64).min  # a clock before its first event

# A host with a wrong clock sends one event in ten of a feed at most; sixteen of its numbers in a row, none fresh among
# them, are then one chance in 10**16.
WITNESSES = 16
FEW = 8
SETTLED = 3
BACK = 2
FAR_MS = 10 * 86_400_000  # longer than holds of a week; a clock that is wrong by a month is beyond
RUN_MAX = 16
FRESH = 60  # an event is fresh up to a sixtieth of `lateness` behind the clock

COUNT, WAITING, RUN, AHEAD_MS, IS_VOUCHED, OWN_MS, OWN_RUN = range(7)
STANDERS = 7
WAITERS = STANDERS + WITNESSES
COLUMNS = WAITERS + WITNESSES

# A row of `paces`: a feed's clock, the number of its place's latest event of it, and whether it was settled then.
PACE, EVENT, IS_SETTLED = range(3)
DORMANT = 1 << 20  # events of a place without one of a feed after which nobody waits for that one

KNOWN_FROM_MS = 946_684_800_000  # 2000: Kafka timestamps of 0, of -1 or in seconds lie before it and say nothing


@njit(**COMPILED)
def judge(
    clock_of, at, timestamp, number, vouched, clocks, stands, lateness_of, ahead,
    time, clock, settled, verdict, future, clock_max_before,
):  # fmt: skip
    """Times and clocks, event by event in arrival order, all feeds and places together.

    clock_of: int64[n], each event's clock. clocks: int64[k], stands: int64[k, COLUMNS], moved on. lateness_of:
    int64[k], ms. clock[i]: its clock after event i, ms. settled[i] (bool): enough numbers stand by it. verdict[i] is OK
    or LATE here. clock_max_before[i]: the largest of all clocks before event i, NEVER at first."""
    largest = largest_of(clocks)
    for i in range(len(clock_of)):
        s = clock_of[i]
        lateness = lateness_of[s]
        t = at[i]
        early = timestamp[i] >= KNOWN_FROM_MS and t > timestamp[i] + ahead
        if early:
            t = timestamp[i]
        before = clocks[s]
        clock_max_before[i] = largest
        verdict[i] = OK
        stands[s, IS_VOUCHED] |= vouched[i]
        if not vouched[i] and stands[s, IS_VOUCHED] != 0:
            t, early, late = without_say(stands[s], before, t, early, lateness)
            if late:
                verdict[i] = LATE
        elif before == NEVER:
            clocks[s] = t
            stands[s, COUNT] = 1
            stands[s, STANDERS] = number[i]
        elif t > before + lateness:
            if moves_alone(stands[s], t - before, number[i]):
                clocks[s] = t
            elif is_confirmed(stands[s], t, number[i], lateness):
                clocks[s] = stands[s, AHEAD_MS]
            else:
                t = before
                early = True
        elif t >= before - lateness:
            clocks[s] = max(before, t)
            if stands[s, COUNT] < WITNESSES:
                stands[s, COUNT] = with_number(stands[s], STANDERS, stands[s, COUNT], number[i])
            if stands[s, WAITING] > 0 and (before - t) * FRESH <= lateness:
                stands[s, WAITING] = 0
        elif stands[s, COUNT] < SETTLED and t < before - BACK * lateness:
            clocks[s] = t
            stands[s, COUNT] = 1
            stands[s, WAITING] = 0
            stands[s, STANDERS] = number[i]
            largest = largest_of(clocks)
        else:
            verdict[i] = LATE
        time[i] = t
        future[i] = early
        clock[i] = clocks[s]
        settled[i] = stands[s, COUNT] >= SETTLED
        largest = max(largest, clocks[s])


@njit(**COMPILED)
def enter(table, key, value):
    """Puts a key that is not there yet into an open-addressing table of (key, value) with room."""
    slot = place(table, key, mix(key) & (len(table) - 1))
    table[slot, 0] = key
    table[slot, 1] = value


@njit(**INNER)
def furthest_behind(paces, mine, events):
    """The clock of the feed of a place that is furthest behind, of those that are not dormant; NEVER while none is
    settled. mine: int64[k], the place's clocks; events: how many it has had."""
    settled = False
    least = np.iinfo(np.int64).max
    for k in range(len(mine)):
        pace = mine[k]
        if paces[pace, EVENT] > 0 and events - paces[pace, EVENT] < DORMANT:
            settled |= paces[pace, IS_SETTLED] == 1
            least = min(least, paces[pace, PACE])
    return least if settled else NEVER


@njit(**COMPILED)
def furthest(paces, mine, events):
    """The same, to be called from outside."""
    return furthest_behind(paces, mine, events)


@njit(**INNER)
def largest_of(clocks):
    largest = NEVER
    for s in range(len(clocks)):
        largest = max(largest, clocks[s])
    return largest


@njit(**HOT)
def with_number(stand, start, count, number):
    """Adds a number to `count` of them from column `start` on, unless it is among them; returns how many they are."""
    for k in range(start, start + count):
        if stand[k] == number:
            return count
    stand[start + count] = number
    return count + 1


@njit(**INNER)
def without_say(stand, clock, t, early, lateness):
    """(time, early, late) of an event that nobody vouches for, of a feed in which others are vouched for."""
    own = max(clock, stand[OWN_MS])
    if t > own + lateness:
        stand[OWN_RUN] += 1
        if stand[OWN_RUN] < RUN_MAX:
            return own, True, False
    elif t < own - lateness:
        return t, early, True
    if t > own + lateness or (own - t) * FRESH <= lateness:
        stand[OWN_RUN] = 0
    stand[OWN_MS] = max(own, t)
    return t, early, False


@njit(**INNER)
def moves_alone(stand, step, number):
    """Moves the clock of few numbers on the word of one, who stands by it from here on."""
    if stand[COUNT] >= FEW or step > FAR_MS:
        return False
    if stand[COUNT] == 1:
        stand[STANDERS] = number
    elif with_number(stand, STANDERS, stand[COUNT], number) > stand[COUNT]:
        return False
    stand[WAITING] = 0
    return True


@njit(**INNER)
def is_confirmed(stand, t, number, lateness):
    """Takes an event that is ahead; True when enough are. Their numbers stand by the clock from here on."""
    if stand[WAITING] == 0 or abs(t - stand[AHEAD_MS]) > lateness:
        stand[WAITING] = 0
        stand[RUN] = 0
        stand[AHEAD_MS] = t
    stand[AHEAD_MS] = max(stand[AHEAD_MS], t)
    stand[RUN] += 1
    stand[WAITING] = with_number(stand, WAITERS, stand[WAITING], number)
    if stand[WAITING] < max(2, stand[COUNT]) and (stand[COUNT] >= FEW or stand[RUN] < RUN_MAX):
        return False
    for k in range(stand[WAITING]):
        stand[STANDERS + k] = stand[WAITERS + k]
    stand[COUNT] = stand[WAITING]
    stand[WAITING] = 0
    return True
