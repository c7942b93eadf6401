"""Event times and clocks: which events are early or late, and when a clock may move far.

Every feed has two clocks in each place, one of the events that somebody vouches for and one of the others, so that who
forges records makes none of the vouched-for late.

A clock is the newest time that events have shown. One record with a wrong time must not make everybody else late, so a
step of more than the lateness beyond it waits until as many other numbers have taken the same step as stand by the
clock, WITNESSES at most; a fresh event meanwhile, one that lies where the clock is, says that it is right and starts
the wait anew. Those who wait are early: they count from the clock on, at the distances that they have among each other.
So a feed that was silent for a night goes on for some events as if there had been no night, and no crowd of them comes
to stand at one time.

Where so many other numbers do not come, SETTLED of them over more than the lateness are as good, and so are LONG_RUN
events in a row over a sixth of it. A clock that few
numbers stand by, fewer than FEW, would wait long: one number that has stood by it moves it by up to FAR_MS alone, and
anybody does who is the second one; beyond, RUN events in a row are as good as many numbers. And a clock with fewer than
SETTLED numbers proves little: it goes back when an event lies more than BACK times the lateness behind it.

A step can be wrong all the same: a host with a wrong date sends what it has kept for an hour in one go. So the clock
from before is remembered until the new one has gone on by more than the lateness, and as many numbers in a row as it
takes for a step set it back. What the old clock needs is kept as long.

Operators are TRUSTED: their orders are few, hours apart, and each takes its step.
"""

from __future__ import annotations

from numba import njit

from streams.kernels.fields import FEED_CODES
from streams.kernels.mixing import mix
from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.table import place

OK, LATE, DUPLICATE = range(3)
NEVER = -(1 << 62)  # a clock before its first event; some hours can be taken from it

# A host with a wrong clock sends one event in ten of a feed at most; sixteen of its numbers in a row, none fresh among
# them, are then one chance in 10**16.
WITNESSES = 16
FEW = 8
SETTLED = 3
BACK = 2
FAR_MS = 10 * 86_400_000  # longer than holds of a week; a clock that is wrong by a month is beyond
RUN = 16
LONG_RUN = 64
FRESH = 60  # an event is fresh up to a sixtieth of `lateness` behind the clock

# A row of `clocks`: CLOCK and LATENESS in ms; EVENT, the number of its latest event among those of its place (the
# vouched-for ones alone, if it is theirs); COUNT numbers stand by it, from column STANDERS on; OLD_MS, its time before
# its last step, 0 for none, and NEW_MS, that behind it; NEXT, 1 + the next clock of its place, or 0; TRUSTED, 1 where
# every step is taken at once. WAITING numbers have gone ahead of it, or back, in GONE events, from column WAITERS on,
# the first of them at FIRST_MS, the newest at AHEAD_MS. Behind the row of the events of a feed that nobody vouches for,
# which has an even index, stands that of the others.
CLOCK, LATENESS, EVENT, COUNT, WAITING, OLD_MS, NEW_MS, NEXT, TRUSTED, GONE, FIRST_MS, AHEAD_MS = range(12)
STANDERS = 12
WAITERS = STANDERS + WITNESSES
COLUMNS = WAITERS + WITNESSES

# A row of `places`: how many events it had, and vouched-for ones among them (EVENTS + 1); BEHIND, the clock that is
# furthest behind, ms; in LOOK events it is looked up again; FEEDS clocks were heard, the latest one is HEAD - 1;
# NEWEST, the newest clock of events that nobody vouches for, and behind it (NEWEST + 1) that of the others.
EVENTS, VOUCHED_EVENTS, BEHIND, LOOK, FEEDS, HEAD, NEWEST = range(7)
PLACE_COLUMNS = 8
EVERY = 64  # events after which BEHIND is looked up; twice as many as there are clocks, if that is more
# Nobody waits for a clock without one event in so many of its place that is this many latenesses behind the newest one.
DORMANT = 1 << 20
ASLEEP = 3

KNOWN_FROM_MS = 946_684_800_000  # 2000: Kafka timestamps of 0, of -1 or in seconds lie before it and say nothing


@njit(**COMPILED)
def judge(
    start, table, clocks, places, source, feed, vouched, at, timestamp, number, ahead, lateness_max,
    time, clock, horizon, behind, verdict, future, clock_max_before, place_clock,
):  # fmt: skip
    """Times and clocks, event by event in arrival order, all feeds and places together.

    table: a feed's first clock by 1 + source x FEED_CODES + feed. clocks: int64[k, COLUMNS], places: int64[sources,
    PLACE_COLUMNS], moved on.
    clock[i]: the clock after event i, no older than behind[i], its place's BEHIND then. horizon[i]: what lies before is
    late. verdict[i] is OK or LATE here. clock_max_before[i]: the largest clock before event i of those that somebody
    vouches for, of all while there is none; NEVER at first. place_clock[i]: likewise of its place, behind it.
    Works from event `start`; returns n, or the event whose feed's clocks must be added first."""
    largest, largest_vouched = largest_of(clocks, 0), largest_of(clocks, 1)
    known = first = 0
    for i in range(start, len(source)):
        key = 1 + source[i] * FEED_CODES + feed[i]
        if key != known:
            slot = place(table, key, mix(key) & (len(table) - 1))
            if table[slot, 0] == 0:
                return i
            known, first = key, table[slot, 1]
        s = first + vouched[i]
        t = at[i]
        early = timestamp[i] >= KNOWN_FROM_MS and t > timestamp[i] + ahead
        if early:
            t = timestamp[i]
        before, lateness, late = clocks[s, CLOCK], clocks[s, LATENESS], False
        clock_max_before[i] = largest if largest_vouched == NEVER else largest_vouched
        if before - lateness <= t <= before + lateness:
            stand_by(clocks[s], t, number[i])
        else:
            places[source[i], FEEDS] += before == NEVER
            t, early, late = step(clocks[s], t, early, number[i])
        now = clocks[s, CLOCK]
        mine = places[source[i]]
        if now < before:
            largest, largest_vouched = largest_of(clocks, 0), largest_of(clocks, 1)
            find_newest(clocks, mine)
        elif vouched[i]:
            largest_vouched = max(largest_vouched, now)
        else:
            largest = max(largest, now)
        mine[NEWEST + (s & 1)] = max(mine[NEWEST + (s & 1)], now)
        place_clock[i] = mine[NEWEST] if mine[NEWEST + 1] == NEVER else mine[NEWEST + 1]
        behind[i] = keep_pace(clocks, mine, s, lateness_max)
        clock[i] = max(now, behind[i])
        horizon[i] = clock[i] - lateness
        time[i] = t
        future[i] = early
        verdict[i] = LATE if late or t < behind[i] - lateness else OK
    return len(source)


@njit(**COMPILED)
def enter(table, key, value):
    """Puts a key that is not there yet into an open-addressing table of (key, value) with room."""
    slot = place(table, key, mix(key) & (len(table) - 1))
    table[slot, 0] = key
    table[slot, 1] = value


@njit(**HOT)
def stand_by(row, t, number):
    """Takes an event that lies no further than the lateness from the clock."""
    if row[COUNT] < WITNESSES:
        row[COUNT] = with_number(row, STANDERS, row[COUNT], number)
    if row[WAITING] > 0 and (row[CLOCK] - t) * FRESH <= row[LATENESS]:
        row[WAITING] = 0
    row[CLOCK] = max(row[CLOCK], t)
    if row[OLD_MS] > 0 and row[CLOCK] > row[NEW_MS] + row[LATENESS]:
        row[OLD_MS] = 0


@njit(**INNER)
def step(row, t, early, number):
    """(time, early, late) of an event that is further from the clock, or its first."""
    clock = row[CLOCK]
    if clock == NEVER or (row[COUNT] < SETTLED and t < clock - BACK * row[LATENESS]):
        row[CLOCK] = t
        row[COUNT] = 1
        row[WAITING] = 0
        row[OLD_MS] = 0
        row[STANDERS] = number
    elif t < clock:
        if row[OLD_MS] == 0 or t < row[OLD_MS] - row[LATENESS] or not is_confirmed(row, t, number):
            return t, early, True
        row[CLOCK] = row[AHEAD_MS]
        row[OLD_MS] = 0
    elif row[TRUSTED] == 1 or moves_alone(row, t - clock, number):
        row[CLOCK] = t
    elif is_confirmed(row, t, number):
        row[CLOCK] = row[NEW_MS] = row[AHEAD_MS]
        row[OLD_MS] = clock
    else:
        return clock + max(0, t - row[FIRST_MS]), True, False
    return t, early, False


@njit(**INNER)
def moves_alone(row, step, number):
    """Moves the clock of few numbers on the word of one, who stands by it from here on."""
    if row[COUNT] >= FEW or step > FAR_MS:
        return False
    if row[COUNT] == 1:
        row[STANDERS] = number
    elif with_number(row, STANDERS, row[COUNT], number) > row[COUNT]:
        return False
    row[WAITING] = 0
    return True


@njit(**INNER)
def is_confirmed(row, t, number):
    """Takes an event that is ahead, or back; True when enough are. Their numbers stand by the clock from here on."""
    turned = (row[AHEAD_MS] > row[CLOCK]) != (t > row[CLOCK])
    if row[WAITING] == 0 or turned or t < row[AHEAD_MS] - row[LATENESS]:
        row[WAITING] = 0
        row[GONE] = 0
        row[FIRST_MS] = row[AHEAD_MS] = t
    row[AHEAD_MS] = max(row[AHEAD_MS], t)
    row[GONE] += 1
    row[WAITING] = with_number(row, WAITERS, row[WAITING], number)
    if row[WAITING] < max(2, row[COUNT]):
        lasted = row[AHEAD_MS] - row[FIRST_MS]
        is_long = row[GONE] >= LONG_RUN and lasted * 6 >= row[LATENESS]
        is_long |= row[WAITING] >= SETTLED and lasted > row[LATENESS]
        if not is_long and (row[COUNT] >= FEW or row[GONE] < RUN):
            return False
    for k in range(row[WAITING]):
        row[STANDERS + k] = row[WAITERS + k]
    row[COUNT] = row[WAITING]
    row[WAITING] = 0
    return True


@njit(**HOT)
def with_number(row, start, count, number):
    """Adds a number to `count` of them from column `start` on, unless it is among them; returns how many they are."""
    for k in range(start, start + count):
        if row[k] == number:
            return count
    row[start + count] = number
    return count + 1


@njit(**HOT)
def keep_pace(clocks, mine, s, lateness_max):
    """Notes an event of a clock; returns BEHIND. It never goes back, whatever a clock does, so what no feed needs that
    is no further behind can be forgotten."""
    mine[EVENTS] += 1
    mine[VOUCHED_EVENTS] += s & 1
    clocks[s, EVENT] = mine[EVENTS + (s & 1)]
    mine[LOOK] -= 1
    if mine[LOOK] <= 0:
        mine[LOOK] = max(EVERY, 2 * mine[FEEDS])
        mine[BEHIND] = max(mine[BEHIND], furthest_behind(clocks, mine, lateness_max))
    return mine[BEHIND]


@njit(**INNER)
def furthest_behind(clocks, mine, lateness_max):
    """The clock of a place that is furthest behind, of those that are not dormant; NEVER while none is settled."""
    newest = NEVER
    s = mine[HEAD] - 1
    while s >= 0:
        newest = max(newest, clocks[s, CLOCK])
        s = clocks[s, NEXT] - 1
    least, is_settled = newest, False
    s = mine[HEAD] - 1
    while s >= 0:
        silent = mine[EVENTS + (s & 1)] - clocks[s, EVENT]
        is_awake = silent < DORMANT or clocks[s, CLOCK] >= newest - ASLEEP * lateness_max
        if clocks[s, CLOCK] != NEVER and is_awake:
            is_settled |= clocks[s, COUNT] >= SETTLED
            least = min(least, clocks[s, CLOCK])
            if clocks[s, OLD_MS] > 0:
                least = min(least, clocks[s, OLD_MS])
        s = clocks[s, NEXT] - 1
    return least if is_settled else NEVER


@njit(**COMPILED)
def furthest(clocks, mine, lateness_max):
    """The same, to be called from outside."""
    return furthest_behind(clocks, mine, lateness_max)


@njit(**INNER)
def find_newest(clocks, mine):
    """Looks the newest clocks of a place up."""
    mine[NEWEST] = mine[NEWEST + 1] = NEVER
    s = mine[HEAD] - 1
    while s >= 0:
        mine[NEWEST + (s & 1)] = max(mine[NEWEST + (s & 1)], clocks[s, CLOCK])
        s = clocks[s, NEXT] - 1


@njit(**INNER)
def largest_of(clocks, vouched):
    largest = NEVER
    for s in range(vouched, len(clocks), 2):
        largest = max(largest, clocks[s, CLOCK])
    return largest
