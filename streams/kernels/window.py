"""Counts a number's events in a sliding window of buckets.

Counted as of t are events whose bucket, floor(time / resolution), lies in (bucket(t) - n, bucket(t)], n = window /
resolution. Four words of the row hold one of two forms:

- *small*: up to four pairs, each packed as bucket << 15 | count; 0 is an empty place, order means nothing. Fifteen bits
  leave 48 for the bucket: enough for a resolution of 1 ms until the year 9999. Most numbers never leave this form.
- *ring*: -(slot + 1), newest bucket, total of the window as of the newest bucket, unused. Bucket b lies in
  cells[slot, b & mask], the width being a power of two not below n; cells outside the window are zero.

A fifth live bucket or a full count turns small into ring, and a ring left with at most two events turns small again:
a number that was busy once gives its slot back.
"""

from numba import njit

from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

WORDS = 4
COUNT_BITS = 15
COUNT_MAX = (1 << COUNT_BITS) - 1
CELL_MAX = (1 << 32) - 1
RING_LEFT = 2  # events; well below the five buckets that make a ring, so that no number turns to and fro at each event


@njit(**COMPILED)
def window_count(rows, at, cells, free, top, row, time, as_of, hit, read, resolution, n, start, out):
    """Counts and reads the events start.. in order. Returns the index of the first that needs a free slot, or their
    number.

    rows int64[:, :], the counter's first word `at`; cells uint32[slots, width], free int64[slots], top int64[1] as in
    streams.counting.kinds.pool; row, time, as_of int64[:], hit, read bool[:], out float64[:]; n buckets of
    `resolution` ms, a float: a quotient of integers below 2**48 truncates exactly."""
    for i in range(start, len(row)):
        if i + 2 * AHEAD < len(row):
            prefetch_row(rows, row[i + 2 * AHEAD], at)
            soon = row[i + AHEAD]
            if soon >= 0 and rows[soon, at] < 0:
                prefetch_row(cells, -rows[soon, at] - 1, int(time[i + AHEAD] / resolution) & (cells.shape[1] - 1))
        r = row[i]
        bucket = int(time[i] / resolution)
        if hit[i] and not _count(rows, r, at, cells, free, top, bucket, n):
            return i
        if read[i]:
            if as_of[i] != time[i]:
                bucket = int(as_of[i] / resolution)
            out[i] = _total(rows, r, at, cells, bucket, n) if r >= 0 else 0
    return len(row)


@njit(**HOT)
def _count(rows, r, at, cells, free, top, bucket, n):
    """Counts one event; False, with nothing a reading could tell changed, when a slot is needed and none is free."""
    if rows[r, at] < 0:
        slot = -rows[r, at] - 1
        mask = cells.shape[1] - 1
        newest = rows[r, at + 1]
        if bucket <= newest:
            if bucket > newest - n and cells[slot, bucket & mask] < CELL_MAX:
                cells[slot, bucket & mask] += 1
                rows[r, at + 2] += 1
            return True
        total = rows[r, at + 2]
        for old in range(newest - n + 1, min(bucket - n, newest) + 1):
            total -= cells[slot, old & mask]
            cells[slot, old & mask] = 0
        if total > RING_LEFT:
            cells[slot, bucket & mask] = 1
            rows[r, at + 1] = bucket
            rows[r, at + 2] = total + 1
            return True
        _make_small(rows, r, at, cells, slot, newest, n)
        free[top[0]] = slot
        top[0] += 1
    place = _place(rows, r, at, bucket, n)
    if place >= 0:
        rows[r, at + place] = bucket << COUNT_BITS | ((rows[r, at + place] & COUNT_MAX) + 1)
        return True
    if place == -2:
        return True
    if top[0] == 0:
        return False
    top[0] -= 1
    _make_ring(rows, r, at, cells, free[top[0]], bucket)
    return True


@njit(**HOT)
def _total(rows, r, at, cells, bucket, n):
    """Events in the window as of `bucket`, which is not before the number's newest."""
    oldest = bucket - n + 1
    if rows[r, at] >= 0:
        total = 0
        for k in range(WORDS):
            pair = rows[r, at + k]
            if pair >> COUNT_BITS >= oldest:
                total += pair & COUNT_MAX
        return total
    slot = -rows[r, at] - 1
    newest = rows[r, at + 1]
    if newest < oldest:
        return 0
    total = rows[r, at + 2]
    for old in range(newest - n + 1, oldest):
        total -= cells[slot, old & (cells.shape[1] - 1)]
    return total


@njit(**HOT)
def _place(rows, r, at, bucket, n):
    """The pair of a small row in which this bucket counts; -1 when it has no room, -2 when the event is outside the
    window as of the newest. Empties the pairs that left the window."""
    newest = bucket
    for k in range(WORDS):
        newest = max(newest, rows[r, at + k] >> COUNT_BITS)
    if bucket <= newest - n:
        return -2
    place = -1
    full = False
    for k in range(WORDS):
        pair = rows[r, at + k]
        if pair >> COUNT_BITS == bucket and pair != 0:
            if pair & COUNT_MAX < COUNT_MAX:
                return k
            full = True
        if pair >> COUNT_BITS <= newest - n:
            rows[r, at + k] = 0
            pair = 0
        if pair == 0:
            place = k
    return -1 if full else place


@njit(**INNER)
def _make_ring(rows, r, at, cells, slot, bucket):
    """Spreads a small row and one event of `bucket` over an empty slot. Every pair is inside the window."""
    mask = cells.shape[1] - 1
    cells[slot, bucket & mask] = 1
    newest = bucket
    total = 1
    for k in range(WORDS):
        pair = rows[r, at + k]
        if pair != 0:
            cells[slot, pair >> COUNT_BITS & mask] += pair & COUNT_MAX
            newest = max(newest, pair >> COUNT_BITS)
            total += pair & COUNT_MAX
        rows[r, at + k] = 0
    rows[r, at] = -(slot + 1)
    rows[r, at + 1] = newest
    rows[r, at + 2] = total


@njit(**INNER)
def _make_small(rows, r, at, cells, slot, newest, n):
    """Pack what is left of a ring, at most RING_LEFT events, and empty its slot."""
    mask = cells.shape[1] - 1
    for k in range(WORDS):
        rows[r, at + k] = 0
    k = 0
    for bucket in range(newest - n + 1, newest + 1):
        if cells[slot, bucket & mask] != 0:
            rows[r, at + k] = bucket << COUNT_BITS | cells[slot, bucket & mask]
            cells[slot, bucket & mask] = 0
            k += 1
