"""A quantile of a number's amounts (durations in ms) in a sliding window, from counts by size.

A size is one of 64: below half a second, then four to each doubling, up to six hours and beyond. The quantile
q of k amounts is the size of the one at rank ceil(q * k) in ascending order, read as the middle of its size: wrong by
9.1 % at most for amounts from half a second to six hours.

The window is cut into 12 buckets: counted as of t are amounts whose bucket, floor(time / resolution), lies in
(bucket(t) - 12, bucket(t)]. Four words of the row hold one of three forms:

- *small*: up to four groups, each packed as bucket << 16 | size << 10 | count; 0 is an empty place, their order means
  nothing;
- *list*: -(slot + 1), LIST, number of groups, unused; the groups in a slot of 32;
- *table*: -(slot + 1), TABLE, newest bucket, amounts in the window as of it. A slot has 13 lines of 64 counts: one line
  a bucket (b % 12), and the sum of these.

A fifth live group turns small into list, a 33rd list into table. A list with one group left turns small, a table that
left its window wholly gives its slot back. A count of a table's stops at 2**32 - 1.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

WORDS = 4
BUCKETS = 12
SIZES = 64
LIST, TABLE = range(2)
LIST_CELLS = 32
TABLE_CELLS = (BUCKETS + 1) * SIZES
SUM = BUCKETS * SIZES
COUNT_BITS = 10
COUNT_MAX = (1 << COUNT_BITS) - 1
SIZE_BITS = 6
BUCKET_BITS = COUNT_BITS + SIZE_BITS
CELL_MAX = (1 << 32) - 1
FIRST_MS = 500.0
BOUNDS = tuple(int(np.ceil(FIRST_MS * 2.0 ** (k / 4))) for k in range(SIZES - 1))  # least amount of each size but 0, ms
MIDDLES = (0.25, *(FIRST_MS / 1000 * 2.0 ** ((k + 0.5) / 4) for k in range(SIZES - 1)))  # of each size, seconds
_BOUNDS, _MIDDLES = np.array(BOUNDS), np.array(MIDDLES)


@njit(**COMPILED)
def window_quantile(
    rows, at, list_cells, list_free, list_top, table_cells, table_free, table_top,
    row, time, as_of, hit, read, value, resolution, per_mille, counts, start, out, samples,
):  # fmt: skip
    """Counts and reads the events start.. in order. Returns the index of the first that needs a free slot (of `list`
    when the row is small, else of `table`), or their number.

    rows int64[:, :], the counter's first word `at`; list_cells int64[slots, 32], table_cells uint32[slots, 832], each
    with free int64[slots] and top int64[1] as in streams.counting.kinds.pool; row, time, as_of, value int64[:] (ms),
    hit, read bool[:]; resolution in ms as a float; the quantile in thousandths; counts int64[64], scratch; out,
    samples float64[:]: seconds (NaN without amounts) and the amounts that there are."""
    for i in range(start, len(row)):
        if i + 2 * AHEAD < len(row):
            prefetch_row(rows, row[i + 2 * AHEAD], at)
            soon = row[i + AHEAD]
            if soon >= 0 and rows[soon, at] < 0 and rows[soon, at + 1] == LIST:
                prefetch_row(list_cells, -rows[soon, at] - 1, 0)
        r = row[i]
        bucket = int(time[i] / resolution)
        if hit[i]:
            size = size_of(value[i])
            if (
                rows[r, at] < 0
                and rows[r, at + 1] == TABLE
                and _leave_table(rows, r, at, table_cells, table_free, table_top, bucket)
            ):
                _count_in_table(rows, r, at, table_cells, bucket, size, 1)
            elif rows[r, at] < 0:
                if not _count_in_list(
                    rows, r, at, list_cells, list_free, list_top, table_cells, table_free, table_top, bucket, size
                ):
                    return i
            elif not _count_in_row(rows, r, at, list_cells, list_free, list_top, bucket, size):
                return i
        if read[i]:
            total = 0
            if r >= 0:
                total = _window(rows, r, at, list_cells, table_cells, int(as_of[i] / resolution), counts)
            out[i] = _ranked(counts, (total * per_mille + 999) // 1000) if total > 0 else np.nan
            samples[i] = total
    return len(row)


@njit(**HOT)
def size_of(amount):
    """The size of an amount in ms: how many bounds it reaches."""
    low, high = 0, SIZES - 1
    while low < high:
        middle = (low + high) >> 1
        if amount >= _BOUNDS[middle]:
            low = middle + 1
        else:
            high = middle
    return low


@njit(**HOT)
def _ranked(counts, rank):
    """The middle of the size in which the amount of this rank lies, seconds."""
    for size in range(SIZES):
        rank -= counts[size]
        if rank <= 0:
            return _MIDDLES[size]
    return _MIDDLES[SIZES - 1]


@njit(**HOT)
def _window(rows, r, at, list_cells, table_cells, bucket, counts):
    """Writes the counts by size of the window as of `bucket`, not before the row's newest; returns their sum."""
    oldest = bucket - BUCKETS + 1
    total = 0
    for size in range(SIZES):
        counts[size] = 0
    slot = -rows[r, at] - 1
    if slot < 0:
        for k in range(WORDS):
            total += _tally(rows[r, at + k], oldest, counts)
    elif rows[r, at + 1] == LIST:
        for k in range(rows[r, at + 2]):
            total += _tally(list_cells[slot, k], oldest, counts)
    elif rows[r, at + 2] >= oldest:
        for size in range(SIZES):
            counts[size] = table_cells[slot, SUM + size]
        for old in range(rows[r, at + 2] - BUCKETS + 1, oldest):
            for size in range(SIZES):
                counts[size] -= table_cells[slot, old % BUCKETS * SIZES + size]
        for size in range(SIZES):
            total += counts[size]
    return total


@njit(**HOT)
def _tally(group, oldest, counts):
    """Adds a group to the counts if it is in the window; returns its count, else 0."""
    if group >> BUCKET_BITS < oldest:
        return 0
    counts[group >> COUNT_BITS & SIZES - 1] += group & COUNT_MAX
    return group & COUNT_MAX


@njit(**HOT)
def _count_in_row(rows, r, at, list_cells, list_free, list_top, bucket, size):
    """Counts in a small row; False, with nothing a reading could tell changed, when it needs a slot and none is
    free."""
    key = bucket << SIZE_BITS | size
    newest = bucket
    for k in range(WORDS):
        newest = max(newest, rows[r, at + k] >> BUCKET_BITS)
    if bucket <= newest - BUCKETS:
        return True
    place = -1
    for k in range(WORDS):
        group = rows[r, at + k]
        if group != 0 and group >> COUNT_BITS == key and group & COUNT_MAX < COUNT_MAX:
            rows[r, at + k] += 1
            return True
        if group >> BUCKET_BITS <= newest - BUCKETS:
            rows[r, at + k] = 0
            group = 0
        if group == 0:
            place = k
    if place >= 0:
        rows[r, at + place] = key << COUNT_BITS | 1
        return True
    if list_top[0] == 0:
        return False
    list_top[0] -= 1
    slot = list_free[list_top[0]]
    for k in range(WORDS):
        list_cells[slot, k] = rows[r, at + k]
    list_cells[slot, WORDS] = key << COUNT_BITS | 1
    rows[r, at] = -(slot + 1)
    rows[r, at + 1] = LIST
    rows[r, at + 2] = WORDS + 1
    rows[r, at + 3] = 0
    return True


@njit(**INNER)
def _count_in_list(
    rows, r, at, list_cells, list_free, list_top, table_cells, table_free, table_top, bucket, size
):  # fmt: skip
    """Counts in a list; False, with nothing a reading could tell changed, when it needs a table and none is free."""
    slot = -rows[r, at] - 1
    key = bucket << SIZE_BITS | size
    newest = bucket
    for k in range(rows[r, at + 2]):
        newest = max(newest, list_cells[slot, k] >> BUCKET_BITS)
    if bucket <= newest - BUCKETS:
        return True
    left, place = 0, -1
    for k in range(rows[r, at + 2]):
        group = list_cells[slot, k]
        list_cells[slot, k] = 0
        if group >> BUCKET_BITS > newest - BUCKETS:
            list_cells[slot, left] = group
            if group >> COUNT_BITS == key and group & COUNT_MAX < COUNT_MAX:
                place = left
            left += 1
    rows[r, at + 2] = left
    if place >= 0:
        list_cells[slot, place] += 1
    elif left < LIST_CELLS:
        list_cells[slot, left] = key << COUNT_BITS | 1
        rows[r, at + 2] = left + 1
    else:
        if table_top[0] == 0:
            return False
        table_top[0] -= 1
        _to_table(rows, r, at, list_cells, list_free, list_top, table_cells, table_free[table_top[0]], newest)
        _count_in_table(rows, r, at, table_cells, bucket, size, 1)
        return True
    if rows[r, at + 2] == 1:
        group = list_cells[slot, 0]
        list_cells[slot, 0] = 0
        _give_back(rows, r, at, list_free, list_top)
        rows[r, at] = group
    return True


@njit(**INNER)
def _to_table(rows, r, at, list_cells, list_free, list_top, table_cells, into, newest):
    """Spreads a full list over an empty slot of a table."""
    slot = -rows[r, at] - 1
    _give_back(rows, r, at, list_free, list_top)
    rows[r, at] = -(into + 1)
    rows[r, at + 1] = TABLE
    rows[r, at + 2] = newest
    for k in range(LIST_CELLS):
        group = list_cells[slot, k]
        list_cells[slot, k] = 0
        size = group >> COUNT_BITS & SIZES - 1
        _count_in_table(rows, r, at, table_cells, group >> BUCKET_BITS, size, group & COUNT_MAX)


@njit(**INNER)
def _give_back(rows, r, at, free, top):
    """Gives back the slot of a row, whose cells are zero already, and empties the row."""
    free[top[0]] = -rows[r, at] - 1
    top[0] += 1
    for k in range(WORDS):
        rows[r, at + k] = 0


@njit(**HOT)
def _leave_table(rows, r, at, cells, free, top, bucket):
    """Takes out of a table what leaves the window with an event of this bucket. False when nothing is left: then the
    row is small again, and empty."""
    slot = -rows[r, at] - 1
    newest = rows[r, at + 2]
    for old in range(newest - BUCKETS + 1, min(bucket - BUCKETS, newest) + 1):
        line = old % BUCKETS * SIZES
        for size in range(SIZES):
            rows[r, at + 3] -= cells[slot, line + size]
            cells[slot, SUM + size] -= cells[slot, line + size]
            cells[slot, line + size] = 0
    if rows[r, at + 3] > 0:
        return True
    _give_back(rows, r, at, free, top)
    return False


@njit(**HOT)
def _count_in_table(rows, r, at, cells, bucket, size, count):
    """Adds to a table, to a full count nothing; an event from before its window changes nothing."""
    slot = -rows[r, at] - 1
    if bucket <= rows[r, at + 2] - BUCKETS:
        return
    rows[r, at + 2] = max(rows[r, at + 2], bucket)
    if cells[slot, SUM + size] <= CELL_MAX - count:
        cells[slot, bucket % BUCKETS * SIZES + size] += count
        cells[slot, SUM + size] += count
        rows[r, at + 3] += count
