"""Calls of a number that are set up and not released, younger than `max_age` ms.

A list of (call id, set-up time) per number. A set-up of a listed call, or of one known to be released already,
changes nothing; neither does a release of a call that is not listed. At each set-up or release at t, calls with
t - set-up >= max_age leave the list first, so that a lost release costs room for `max_age` at most. As of T the
reading is the number of calls with T - set-up < max_age: exact to 64, and 64 beyond.

Lists end at 1024 calls: then the earliest of all (of equal times the smallest id) is left out, be it the new one.

Forms of a row, four words from `at` (see dated.py); a list shrinks back once it is well below the next form's end:

    two calls              time 0, time 1, id 0, id 1
    tiny, to 8 calls       -(slot + 1), 0, number of calls, bound: no call in the slot is older than this
    small, to 64 calls     -(slot + 1), 1, number of calls, the same bound
    large, to 1024 calls   -(slot + 1), 2, number of calls, the same bound

Behind its times a large slot has a byte of each id's hash, in order: a search reads these and one or a few ids, where
1024 ids would be eight times as much memory for each event of the busiest numbers.
"""

import numpy as np
from numba import njit

from streams.kernels.dated import (
    INLINE,
    LATEST,
    WORDS,
    find,
    find_of_8,
    give_back,
    has_free,
    live,
    move,
    move_from_row,
    pool_of,
    purge,
    put_entry,
    slot_of,
    take,
)
from streams.kernels.lanes import equal_32, equal_octets_32, put_word, word
from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import prefetch_row
from streams.kernels.words import put_byte, trailing_zeros

READ_MAX = 64
TINY, SMALL, LARGE = range(3)
TINY_MAX, SMALL_MAX, LARGE_MAX = 8, 64, 1024
MARKS = 8 * 2 * LARGE_MAX  # offset of the hash bytes
TINY_CELLS, SMALL_CELLS, LARGE_CELLS = 2 * TINY_MAX, 2 * SMALL_MAX, 2 * LARGE_MAX + LARGE_MAX // 8
INLINE_AGAIN = 1  # calls at which a tiny or small list goes back into its row
TINY_AGAIN = 4  # a small list into a tiny slot
SMALL_AGAIN = 32  # and a large one into a small slot
AHEAD = 12

__all__ = [
    "LARGE_CELLS", "SMALL", "SMALL_CELLS", "TINY_CELLS", "WORDS", "count_concurrent", "idle_concurrent",
]  # fmt: skip


@njit(**COMPILED)
def count_concurrent(
    rows, at, max_age, setup, release, row, times, as_of, hit, read, call, event, closed,
    tiny_cells, tiny_free, tiny_top, small_cells, small_free, small_top, large_cells, large_free, large_top, start, out,
):  # fmt: skip
    """Counts and reads events start .. n - 1 in order; returns n, or the event that needs a free slot: of `tiny` when
    the number's list is in its row, of `small` when it is tiny or large, of `tiny` or `large`, whichever has none,
    when it is small.

    rows: int64[capacity, words]; setup, release: the codes of these events; row, times, as_of, call: int64[n];
    hit, read, closed: bool[n]; event: uint8[n]; tiny_cells: int64[slots, 16]; small_cells: int64[slots, 128];
    large_cells: int64[slots, 2176], each with free: int64[slots] and top: int64[1]; out: float64[n], written where
    `read`."""
    tiny = pool_of(tiny_cells, tiny_free, tiny_top)
    small = pool_of(small_cells, small_free, small_top)
    large = pool_of(large_cells, large_free, large_top)
    first = rows.ctypes.data + 8 * at
    stride = 8 * rows.shape[1]
    n = len(row)
    for i in range(start, n):
        if i + 2 * AHEAD < n:
            prefetch_row(rows, row[i + 2 * AHEAD], at)
            prefetch_row(rows, row[i + 2 * AHEAD], at + WORDS - 1)
            if row[i + AHEAD] >= 0:
                soon = first + row[i + AHEAD] * stride
                if word(soon, 0) < 0:
                    look_ahead(soon, tiny_cells, small_cells)
        if row[i] < 0:
            if read[i]:
                out[i] = 0.0
            continue
        r = first + row[i] * stride
        opens = event[i] == setup and not closed[i]
        if (
            hit[i]
            and (opens or event[i] == release)
            and not update(r, max_age, call[i], times[i], opens, tiny, small, large)
        ):
            return i
        if read[i]:
            out[i] = reading(r, max_age, as_of[i], tiny, small, large)
    return n


@njit(**HOT)
def look_ahead(r, tiny_cells, small_cells):
    """Asks for what a later event will touch of its row's slot. Large slots belong to few numbers that are always in
    the caches."""
    slot = -word(r, 0) - 1
    if word(r, 1) == TINY:
        prefetch_row(tiny_cells, slot, 0)
        prefetch_row(tiny_cells, slot, TINY_MAX - 1)  # slots need not begin with a cache line
        prefetch_row(tiny_cells, slot, TINY_CELLS - 1)
    elif word(r, 1) == SMALL:
        for k in range(0, word(r, 2), 8):
            prefetch_row(small_cells, slot, k)
        prefetch_row(small_cells, slot, SMALL_MAX + word(r, 2))


@njit(**HOT)
def update(r, max_age, call, t, opens, tiny, small, large):
    """A set-up or release on the row at address `r`. False when it needs a slot; then no reading has changed."""
    if word(r, 0) >= 0:
        return update_inline(r, max_age, call, t, opens, tiny)
    if word(r, 1) == TINY:
        return update_tiny(r, max_age, call, t, opens, tiny, small)
    if word(r, 1) == SMALL:
        return update_small(r, max_age, call, t, opens, tiny, small, large)
    return update_large(r, max_age, call, t, opens, small, large)


@njit(**HOT)
def update_inline(r, max_age, call, t, opens, tiny):
    """The same for a row of two calls at most."""
    gap = -1
    listed = -1
    for k in range(INLINE):
        if word(r, k) != 0 and t - word(r, k) >= max_age:
            put_word(r, k, 0)
            put_word(r, INLINE + k, 0)
        if word(r, k) == 0:
            gap = k
        elif word(r, INLINE + k) == call:
            listed = k
    if not opens:
        if listed >= 0:
            put_word(r, listed, 0)
            put_word(r, INLINE + listed, 0)
    elif listed < 0 and gap >= 0:
        put_word(r, gap, t)
        put_word(r, INLINE + gap, call)
    elif listed < 0:
        if not has_free(tiny):
            return False
        slot = take(tiny)
        into = tiny[0] + slot * tiny[1]
        oldest = move_from_row(r, into, TINY_MAX)
        put_entry(into, TINY_MAX, INLINE, call, t)
        to_slot(r, slot, TINY, INLINE + 1, min(oldest, t))
    return True


@njit(**INNER)
def to_slot(r, slot, form, count, oldest):
    """Writes the row of a list in a slot."""
    put_word(r, 0, -(slot + 1))
    put_word(r, 1, form)
    put_word(r, 2, count)
    put_word(r, 3, oldest)


@njit(**HOT)
def update_listed(r, slot, width, max_age, call, t, opens):
    """A set-up or release on a list in a slot. False, list purged, when it is full for this call."""
    count = word(r, 2)
    if t - word(r, 3) >= max_age:
        left, oldest = purge(slot, width, count, t - max_age)
        if width == LARGE_MAX:
            mark_all(slot, count)
        count = left
        put_word(r, 2, count)
        put_word(r, 3, oldest)
    place = place_of(slot, width, count, call)
    if opens and place < 0:
        if count == width:
            return False
        put_entry(slot, width, count, call, t)
        if width == LARGE_MAX:
            mark(slot, count)
        put_word(r, 2, count + 1)
        put_word(r, 3, min(word(r, 3), t))
    elif not opens and place >= 0:
        count -= 1
        put_entry(slot, width, place, word(slot, count), word(slot, width + count))
        put_entry(slot, width, count, 0, 0)
        if width == LARGE_MAX:
            mark(slot, place)
            mark(slot, count)
        put_word(r, 2, count)
    return True


@njit(**HOT)
def place_of(slot, width, count, call):
    """Index of a call in a slot of this width, -1 when it is not listed."""
    if width == TINY_MAX:
        return find_of_8(slot, call)
    if width == SMALL_MAX:
        return find(slot, count, call)
    for start in range(0, count, 32):
        places = equal_octets_32(slot, MARKS + start, hash_of(call))
        while places != 0:
            place = start + trailing_zeros(np.uint64(places))
            if word(slot, place) == call:
                return place
            places &= places - 1
    return -1


@njit(**HOT)
def hash_of(call):
    """The byte that stands for a call; 0 for none (id 0)."""
    return np.int64(np.uint64(call) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(56))


@njit(**HOT)
def mark(slot, place):
    """Writes the hash byte of what is at this place of a large slot."""
    put_byte(slot, MARKS + place, hash_of(word(slot, place)))


@njit(**INNER)
def mark_all(slot, count):
    """The same for the first `count` places."""
    for place in range(count):
        mark(slot, place)


@njit(**HOT)
def update_tiny(r, max_age, call, t, opens, tiny, small):
    """A set-up or release on a list of up to 8. False when it needs a small slot; then no reading has changed."""
    slot = slot_of(tiny, r)
    if not update_listed(r, slot, TINY_MAX, max_age, call, t, opens):
        if not has_free(small):
            return False
        widen(r, slot, TINY_MAX, call, t, tiny, small, SMALL_MAX, SMALL)
    elif word(r, 2) <= INLINE_AGAIN:
        to_row(r, slot, TINY_MAX, tiny)
    return True


@njit(**INNER)
def widen(r, slot, width, call, t, pool, into_pool, into_width, form):
    """Moves a full list and one more call into a slot of the next pool, which has one."""
    into = take(into_pool)
    address = into_pool[0] + into * into_pool[1]
    move(slot, width, width, address, into_width)
    put_entry(address, into_width, width, call, t)
    give_back(pool, r, width, width)
    to_slot(r, into, form, width + 1, min(word(r, 3), t))


@njit(**INNER)
def narrow(r, slot, width, pool, into_pool, into_width, form):
    """Moves a list into a slot of the pool before, which has one and is wide enough."""
    into = take(into_pool)
    count = word(r, 2)
    move(slot, width, count, into_pool[0] + into * into_pool[1], into_width)
    give_back(pool, r, width, count)
    to_slot(r, into, form, count, word(r, 3))


@njit(**INNER)
def to_row(r, slot, width, pool):
    """Puts a list of one call, or none, back into its row."""
    call, time = word(slot, 0), word(slot, width)
    give_back(pool, r, width, word(r, 2))
    put_word(r, 0, time)
    put_word(r, 1, 0)
    put_word(r, 2, call)
    put_word(r, 3, 0)


@njit(**INNER)
def update_small(r, max_age, call, t, opens, tiny, small, large):
    """A set-up or release on a list of up to 64. False when it needs a large slot, or when there is no tiny slot at
    hand, which it may need after a change that cannot be taken back; then no reading has changed."""
    if not has_free(tiny):
        return False
    slot = slot_of(small, r)
    if not update_listed(r, slot, SMALL_MAX, max_age, call, t, opens):
        if not has_free(large):
            return False
        widen(r, slot, SMALL_MAX, call, t, small, large, LARGE_MAX, LARGE)
        mark_all(slot_of(large, r), word(r, 2))
    elif word(r, 2) <= INLINE_AGAIN:
        to_row(r, slot, SMALL_MAX, small)
    elif word(r, 2) <= TINY_AGAIN:
        narrow(r, slot, SMALL_MAX, small, tiny, TINY_MAX, TINY)
    return True


@njit(**INNER)
def update_large(r, max_age, call, t, opens, small, large):
    """A set-up or release on a list of up to 1024. False when there is no small slot at hand, which it may need after a
    change that cannot be taken back; then nothing has changed."""
    if not has_free(small):
        return False
    slot = slot_of(large, r)
    if not update_listed(r, slot, LARGE_MAX, max_age, call, t, opens):
        replace_earliest(slot, call, t)
    if word(r, 2) <= SMALL_AGAIN:
        for place in range(word(r, 2)):
            put_byte(slot, MARKS + place, 0)
        narrow(r, slot, LARGE_MAX, large, small, SMALL_MAX, SMALL)
    return True


@njit(**INNER)
def replace_earliest(slot, call, t):
    """Puts this call in the place of the earliest of a full list, unless it is earlier than all."""
    least = LATEST
    for k in range(LARGE_MAX):
        least = min(least, word(slot, LARGE_MAX + k))
    if t < least:
        return
    earliest = smallest_of(slot, least)
    if t > least or call > word(slot, earliest):
        put_entry(slot, LARGE_MAX, earliest, call, t)
        mark(slot, earliest)


@njit(**INNER)
def smallest_of(slot, time):
    """Index of the smallest id among a full list's calls set up at `time`, of which there are some."""
    smallest = -1
    for start in range(0, LARGE_MAX, 32):
        places = equal_32(slot, LARGE_MAX + start, time)
        while places != 0:
            place = start + trailing_zeros(np.uint64(places))
            if smallest < 0 or word(slot, place) < word(slot, smallest):
                smallest = place
            places &= places - 1
    return smallest


@njit(**HOT)
def reading(r, max_age, as_of, tiny, small, large):
    """Live calls as of a time that is not before any the row has counted, 64 at most."""
    if word(r, 0) >= 0:
        return float((as_of - word(r, 0) < max_age) + (as_of - word(r, 1) < max_age))
    count = word(r, 2)
    if as_of - word(r, 3) >= max_age:
        if word(r, 1) == TINY:
            count = live(slot_of(tiny, r), TINY_MAX, TINY_MAX, as_of - max_age)
        elif word(r, 1) == SMALL:
            count = live(slot_of(small, r), SMALL_MAX, count, as_of - max_age)
        else:
            count = live(slot_of(large, r), LARGE_MAX, count, as_of - max_age)
    return float(min(count, READ_MAX))


@njit(**COMPILED)
def idle_concurrent(
    rows, at, max_age, candidates, horizon,
    tiny_cells, tiny_free, tiny_top, small_cells, small_free, small_top, large_cells, large_free, large_top, out,
):  # fmt: skip
    """out[k] (bool): row candidates[k] reads 0 at `horizon` and at any later time."""
    tiny = pool_of(tiny_cells, tiny_free, tiny_top)
    small = pool_of(small_cells, small_free, small_top)
    large = pool_of(large_cells, large_free, large_top)
    for k in range(len(candidates)):
        r = rows.ctypes.data + 8 * (candidates[k] * rows.shape[1] + at)
        out[k] = reading(r, max_age, horizon, tiny, small, large) == 0.0
