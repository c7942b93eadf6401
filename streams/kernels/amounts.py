"""Sum and mean of a whole-numbered field, such as a duration in ms, over a sliding window of buckets.

The window is that of `streams.kernels.window`. Six words of the row hold one of two forms:

- *small*: up to three pairs of words, bucket << 15 | count and the sum; a count of 0 is an empty place;
- *ring*: -(slot + 1), newest bucket, count and sum of the window as of the newest bucket, two unused. Bucket b has its
  count in cells[slot, 2 * (b & mask)] and its sum in the cell after it; cells outside the window are zero.

A fourth live bucket or a full count turns small into ring; a ring that left its window wholly gives its slot back.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

WORDS = 6
COUNT_BITS = 15
COUNT_MAX = (1 << COUNT_BITS) - 1


@njit(**COMPILED)
def window_amounts(rows, at, cells, free, top, row, time, as_of, hit, read, value, mean, resolution, n, start, out):
    """Counts and reads the events start.. in order. Returns the index of the first that needs a free slot, or their
    number.

    rows int64[:, :], the counter's first word `at`; cells int64[slots, 2 * width], free int64[slots], top int64[1] as
    in streams.counting.kinds.pool; row, time, as_of, value int64[:], hit, read bool[:], out float64[:]; `mean` bool;
    resolution in ms as a float; n buckets. Readings are thousandths of what was added: seconds of ms."""
    for i in range(start, len(row)):
        if i + 2 * AHEAD < len(row):
            prefetch_row(rows, row[i + 2 * AHEAD], at)
            soon = row[i + AHEAD]
            if soon >= 0 and rows[soon, at] < 0:
                cell = 2 * int(time[i + AHEAD] / resolution) & (cells.shape[1] - 1)
                prefetch_row(cells, -rows[soon, at] - 1, cell)
        r = row[i]
        bucket = int(time[i] / resolution)
        if hit[i] and not _add(rows, r, at, cells, free, top, bucket, value[i], n):
            return i
        if read[i]:
            count, total = 0, 0
            if r >= 0:
                count, total = _totals(rows, r, at, cells, int(as_of[i] / resolution), n)
            if mean:
                out[i] = total / (1000.0 * count) if count > 0 else np.nan
            else:
                out[i] = total / 1000.0
    return len(row)


@njit(**HOT)
def _add(rows, r, at, cells, free, top, bucket, value, n):
    """Adds one amount; False, with nothing a reading could tell changed, when a slot is needed and none is free."""
    if rows[r, at] < 0:
        slot = -rows[r, at] - 1
        newest = rows[r, at + 1]
        if bucket <= newest - n:
            return True
        for old in range(newest - n + 1, min(bucket - n, newest) + 1):
            cell = 2 * old & (cells.shape[1] - 1)
            rows[r, at + 2] -= cells[slot, cell]
            rows[r, at + 3] -= cells[slot, cell + 1]
            cells[slot, cell] = 0
            cells[slot, cell + 1] = 0
        if rows[r, at + 2] > 0:
            _add_to_ring(rows, r, at, cells, slot, bucket, 1, value)
            return True
        for k in range(WORDS):
            rows[r, at + k] = 0
        free[top[0]] = slot
        top[0] += 1
    place = _place(rows, r, at, bucket, n)
    if place >= 0:
        rows[r, at + place] = bucket << COUNT_BITS | ((rows[r, at + place] & COUNT_MAX) + 1)
        rows[r, at + place + 1] += value
        return True
    if place == -2:
        return True
    if top[0] == 0:
        return False
    top[0] -= 1
    _make_ring(rows, r, at, cells, free[top[0]])
    _add_to_ring(rows, r, at, cells, -rows[r, at] - 1, bucket, 1, value)
    return True


@njit(**HOT)
def _totals(rows, r, at, cells, bucket, n):
    """Returns count and sum of the window as of `bucket`, which is not before the number's newest."""
    oldest = bucket - n + 1
    count, total = 0, 0
    if rows[r, at] >= 0:
        for k in range(0, WORDS, 2):
            if rows[r, at + k] >> COUNT_BITS >= oldest:
                count += rows[r, at + k] & COUNT_MAX
                total += rows[r, at + k + 1]
        return count, total
    slot = -rows[r, at] - 1
    newest = rows[r, at + 1]
    if newest >= oldest:
        count, total = rows[r, at + 2], rows[r, at + 3]
        for old in range(newest - n + 1, oldest):
            cell = 2 * old & (cells.shape[1] - 1)
            count -= cells[slot, cell]
            total -= cells[slot, cell + 1]
    return count, total


@njit(**HOT)
def _place(rows, r, at, bucket, n):
    """The word of a small row in which this bucket counts; -1 when it has no room, -2 when the event is outside the
    window as of the newest. Empties the pairs that left the window."""
    newest = bucket
    for k in range(0, WORDS, 2):
        newest = max(newest, rows[r, at + k] >> COUNT_BITS)
    if bucket <= newest - n:
        return -2
    place = -1
    full = False
    for k in range(0, WORDS, 2):
        pair = rows[r, at + k]
        if pair != 0 and pair >> COUNT_BITS == bucket:
            if pair & COUNT_MAX < COUNT_MAX:
                return k
            full = True
        if pair >> COUNT_BITS <= newest - n:
            rows[r, at + k] = 0
            rows[r, at + k + 1] = 0
            pair = 0
        if pair == 0:
            place = k
    return -1 if full else place


@njit(**INNER)
def _make_ring(rows, r, at, cells, slot):
    """Spreads a small row over an empty slot. Every pair is inside the window."""
    a, b, c = rows[r, at], rows[r, at + 2], rows[r, at + 4]
    sum_a, sum_b, sum_c = rows[r, at + 1], rows[r, at + 3], rows[r, at + 5]
    for k in range(WORDS):
        rows[r, at + k] = 0
    rows[r, at] = -(slot + 1)
    for pair, total in ((a, sum_a), (b, sum_b), (c, sum_c)):
        if pair != 0:
            _add_to_ring(rows, r, at, cells, slot, pair >> COUNT_BITS, pair & COUNT_MAX, total)


@njit(**HOT)
def _add_to_ring(rows, r, at, cells, slot, bucket, count, total):
    """Adds to a bucket inside the ring's window, and to the window's totals."""
    cell = 2 * bucket & (cells.shape[1] - 1)
    cells[slot, cell] += count
    cells[slot, cell + 1] += total
    rows[r, at + 1] = max(rows[r, at + 1], bucket)
    rows[r, at + 2] += count
    rows[r, at + 3] += total
