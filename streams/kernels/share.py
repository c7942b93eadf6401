"""Counts, in a sliding window of buckets, a number's events and those of them that hold: for shares of events.

The window is that of `streams.kernels.window`. Four words of the row hold one of two forms:

- *small*: up to four groups, each packed as bucket << 20 | held << 10 | count; 0 is an empty place, their order means
  nothing. Ten bits each leave 43 for the bucket: enough for a resolution of 1 ms until the year 2248;
- *ring*: -(slot + 1), newest bucket, count and held of the window as of the newest bucket. Bucket b has its count in
  cells[slot, 2 * (b & mask)] and its held in the cell after it; cells outside the window are zero.

A fifth live bucket or a full count turns small into ring, and a ring left with at most two events turns small again.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

WORDS = 4
BITS = 10
BUCKET_BITS = 2 * BITS
COUNT_MAX = (1 << BITS) - 1
CELL_MAX = (1 << 32) - 1
RING_LEFT = 2  # events; well below the five buckets that make a ring, so that no number turns to and fro at each event


@njit(**COMPILED)
def window_share(
    rows, at, cells, free, top, row, time, as_of, hit, read, held, resolution, n, start, out, samples
):  # fmt: skip
    """Counts and reads the events start.. in order. Returns the index of the first that needs a free slot, or their
    number.

    rows int64[:, :], the counter's first word `at`; cells uint32[slots, 2 * width], free int64[slots], top int64[1] as
    in streams.counting.kinds.pool; row, time, as_of int64[:], hit, read bool[:]; held int64[:], 1 where the event holds
    and else 0; n buckets of `resolution` ms, a float; out, samples float64[:]: the share (NaN without events) and the
    events that it is of."""
    for i in range(start, len(row)):
        if i + 2 * AHEAD < len(row):
            prefetch_row(rows, row[i + 2 * AHEAD], at)
            soon = row[i + AHEAD]
            if soon >= 0 and rows[soon, at] < 0:
                cell = 2 * int(time[i + AHEAD] / resolution) & (cells.shape[1] - 1)
                prefetch_row(cells, -rows[soon, at] - 1, cell)
        r = row[i]
        if hit[i] and not _count(rows, r, at, cells, free, top, int(time[i] / resolution), held[i], n):
            return i
        if read[i]:
            count, holds = 0, 0
            if r >= 0:
                count, holds = _totals(rows, r, at, cells, int(as_of[i] / resolution), n)
            out[i] = holds / count if count > 0 else np.nan
            samples[i] = count
    return len(row)


@njit(**HOT)
def _count(rows, r, at, cells, free, top, bucket, held, n):
    """Counts one event; False, with nothing a reading could tell changed, when a slot is needed and none is free."""
    if rows[r, at] < 0:
        slot = -rows[r, at] - 1
        mask = cells.shape[1] - 1
        newest = rows[r, at + 1]
        if bucket <= newest - n:
            return True
        for old in range(newest - n + 1, min(bucket - n, newest) + 1):
            rows[r, at + 2] -= cells[slot, 2 * old & mask]
            rows[r, at + 3] -= cells[slot, (2 * old & mask) + 1]
            cells[slot, 2 * old & mask] = 0
            cells[slot, (2 * old & mask) + 1] = 0
        if rows[r, at + 2] > RING_LEFT:
            _add_to_ring(rows, r, at, cells, slot, bucket, 1, held)
            return True
        _make_small(rows, r, at, cells, slot, newest, n)
        free[top[0]] = slot
        top[0] += 1
    place = _place(rows, r, at, bucket, n)
    if place >= 0:
        group = rows[r, at + place]
        rows[r, at + place] = bucket << BUCKET_BITS | (group & ((1 << BUCKET_BITS) - 1)) + (held << BITS) + 1
        return True
    if place == -2:
        return True
    if top[0] == 0:
        return False
    top[0] -= 1
    _make_ring(rows, r, at, cells, free[top[0]])
    _add_to_ring(rows, r, at, cells, -rows[r, at] - 1, bucket, 1, held)
    return True


@njit(**HOT)
def _totals(rows, r, at, cells, bucket, n):
    """Returns count and held of the window as of `bucket`, which is not before the number's newest."""
    oldest = bucket - n + 1
    count, held = 0, 0
    if rows[r, at] >= 0:
        for k in range(WORDS):
            group = rows[r, at + k]
            if group >> BUCKET_BITS >= oldest:
                count += group & COUNT_MAX
                held += group >> BITS & COUNT_MAX
        return count, held
    slot = -rows[r, at] - 1
    mask = cells.shape[1] - 1
    newest = rows[r, at + 1]
    if newest >= oldest:
        count, held = rows[r, at + 2], rows[r, at + 3]
        for old in range(newest - n + 1, oldest):
            count -= cells[slot, 2 * old & mask]
            held -= cells[slot, (2 * old & mask) + 1]
    return count, held


@njit(**HOT)
def _place(rows, r, at, bucket, n):
    """The group of a small row in which this bucket counts; -1 when it has no room, -2 when the event is outside the
    window as of the newest. Empties the groups that left the window."""
    newest = bucket
    for k in range(WORDS):
        newest = max(newest, rows[r, at + k] >> BUCKET_BITS)
    if bucket <= newest - n:
        return -2
    place = -1
    full = False
    for k in range(WORDS):
        group = rows[r, at + k]
        if group >> BUCKET_BITS == bucket and group != 0:
            if group & COUNT_MAX < COUNT_MAX:
                return k
            full = True
        if group >> BUCKET_BITS <= newest - n:
            rows[r, at + k] = 0
            group = 0
        if group == 0:
            place = k
    return -1 if full else place


@njit(**INNER)
def _make_ring(rows, r, at, cells, slot):
    """Spreads a small row over an empty slot. Every group is inside the window."""
    a, b, c, d = rows[r, at], rows[r, at + 1], rows[r, at + 2], rows[r, at + 3]
    for k in range(WORDS):
        rows[r, at + k] = 0
    rows[r, at] = -(slot + 1)
    for group in (a, b, c, d):
        if group != 0:
            held = group >> BITS & COUNT_MAX
            _add_to_ring(rows, r, at, cells, slot, group >> BUCKET_BITS, group & COUNT_MAX, held)


@njit(**HOT)
def _add_to_ring(rows, r, at, cells, slot, bucket, count, held):
    """Adds to a bucket inside the ring's window, and to the window's totals; to a full bucket nothing."""
    cell = 2 * bucket & (cells.shape[1] - 1)
    rows[r, at + 1] = max(rows[r, at + 1], bucket)
    if cells[slot, cell] <= CELL_MAX - count:
        cells[slot, cell] += count
        cells[slot, cell + 1] += held
        rows[r, at + 2] += count
        rows[r, at + 3] += held


@njit(**INNER)
def _make_small(rows, r, at, cells, slot, newest, n):
    """Packs what is left of a ring, at most RING_LEFT events, and empties its slot."""
    mask = cells.shape[1] - 1
    for k in range(WORDS):
        rows[r, at + k] = 0
    k = 0
    for bucket in range(newest - n + 1, newest + 1):
        cell = 2 * bucket & mask
        if cells[slot, cell] != 0:
            rows[r, at + k] = bucket << BUCKET_BITS | np.int64(cells[slot, cell + 1]) << BITS | cells[slot, cell]
            cells[slot, cell] = 0
            cells[slot, cell + 1] = 0
            k += 1
