"""The most calls that a number had up at once within a window, from the readings of its live calls after each event.

As of T the peak is the largest such reading, 64 at most, made at a time t with T - t < window, or the calls that are up
at T if they are more. Four words of the row hold one of two forms, which keep for each number of calls the latest time
at which so many were up:

- *small*: the latest times of 1, 2, 3 and 4 calls, 0 for never;
- *slot*: -(slot + 1), the latest time of more than 4 calls, and two unused; the latest time of v calls is in
  cells[slot, v - 1].

More than four calls turn small into slot; a slot whose latest time of more than four calls left the window turns small
again.
"""

from numba import njit

from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

WORDS = 4
CALLS_MAX = 64


@njit(**COMPILED)
def window_peak(rows, at, cells, free, top, row, time, hit, read, live, window, start, out):
    """Notes and reads the events start.. in order. Returns the index of the first that needs a free slot, or their
    number.

    rows int64[:, :], the form's first word `at`; cells int64[slots, 64], free int64[slots], top int64[1] as in
    streams.counting.kinds.pool; row, time int64[:], the time at which to note and to read, never before one that the
    row has noted; hit, read bool[:]; live float64[:], the calls up after a hit or at a reading; window in ms; out
    float64[:]."""
    for i in range(start, len(row)):
        if i + 2 * AHEAD < len(row):
            prefetch_row(rows, row[i + 2 * AHEAD], at)
        r = row[i]
        if hit[i] and live[i] > 0 and not _note(rows, r, at, cells, free, top, int(live[i]), time[i], window):
            return i
        if read[i]:
            out[i] = max(live[i], _peak(rows, r, at, cells, time[i] - window)) if r >= 0 else 0
    return len(row)


@njit(**HOT)
def _note(rows, r, at, cells, free, top, calls, time, window):
    """Notes that so many calls are up; False, with nothing changed, when a slot is needed and none is free."""
    if rows[r, at] < 0:
        slot = -rows[r, at] - 1
        if calls > WORDS:
            rows[r, at + 1] = time
            cells[slot, calls - 1] = time
            return True
        if time - rows[r, at + 1] < window:
            cells[slot, calls - 1] = time
            return True
        _make_small(rows, r, at, cells, slot)
        free[top[0]] = slot
        top[0] += 1
    if calls <= WORDS:
        rows[r, at + calls - 1] = time
        return True
    if top[0] == 0:
        return False
    top[0] -= 1
    slot = free[top[0]]
    for k in range(WORDS):
        cells[slot, k] = rows[r, at + k]
        rows[r, at + k] = 0
    cells[slot, calls - 1] = time
    rows[r, at] = -(slot + 1)
    rows[r, at + 1] = time
    return True


@njit(**INNER)
def _make_small(rows, r, at, cells, slot):
    """Puts the times of up to four calls back into the row, and empties the slot."""
    for k in range(WORDS):
        rows[r, at + k] = cells[slot, k]
    for k in range(CALLS_MAX):
        cells[slot, k] = 0


@njit(**HOT)
def _peak(rows, r, at, cells, before):
    """The most calls noted after the time `before`."""
    if rows[r, at] >= 0:
        for k in range(WORDS - 1, -1, -1):
            if rows[r, at + k] > before:
                return k + 1
        return 0
    slot = -rows[r, at] - 1
    for k in range(CALLS_MAX - 1 if rows[r, at + 1] > before else WORDS - 1, -1, -1):
        if cells[slot, k] > before:
            return k + 1
    return 0
