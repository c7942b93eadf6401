"""Lists of dated keys, (key, time) pairs: two of them in a number's row, more in a slot of a pool.

Row, four words from `at`:

    two keys at most    time 0, time 1, key 0, key 1          time 0 marks a free place
    in a slot           -(slot + 1), and three words of the counter's own

Slot, int64[2 * width]: the keys, then their times, so that a search reads keys alone; entries lie without gaps and
zeros follow, as the pool asks for. Keys are not 0, times are positive.
"""

import numpy as np
from numba import njit

WORDS = 4
INLINE = 2
BLOCK = 8


@njit(cache=True, nogil=True)
def find(cells, slot, count, key):
    """Place of `key` among the first `count` entries of the slot, -1 when it is not listed.

    A block at a time without a way out inside, which compiles to vector compares; the width is a multiple of the
    block, and what lies behind `count` is zeros, no key."""
    for start in range(0, count, BLOCK):
        differs = np.int64(1)
        for k in range(start, start + BLOCK):
            differs &= np.int64(cells[slot, k] != key)
        if differs == 0:
            for k in range(start, start + BLOCK):
                if cells[slot, k] == key:
                    return k
    return -1


@njit(cache=True, nogil=True)
def put(cells, slot, place, key, time):
    """Writes one entry."""
    cells[slot, place] = key
    cells[slot, cells.shape[1] // 2 + place] = time


@njit(cache=True, nogil=True)
def purge(cells, slot, count, expired_ms):
    """Drops entries whose time is `expired_ms` or earlier; the others close up in order. Returns how many are left
    and the earliest of their times (the largest int64 when none is left)."""
    width = cells.shape[1] // 2
    kept = 0
    oldest = np.int64(0x7FFFFFFFFFFFFFFF)
    for k in range(count):
        time = cells[slot, width + k]
        if time > expired_ms:
            put(cells, slot, kept, cells[slot, k], time)
            kept += 1
            oldest = min(oldest, time)
    for k in range(kept, count):
        put(cells, slot, k, 0, 0)
    return kept, oldest


@njit(cache=True, nogil=True)
def live(cells, slot, count, expired_ms):
    """How many of the first `count` entries are later than `expired_ms`."""
    width = cells.shape[1] // 2
    n = 0
    for k in range(width, width + count):
        n += cells[slot, k] > expired_ms
    return n


@njit(cache=True, nogil=True)
def take(free, top):
    """A free slot; the caller has checked that top[0] > 0."""
    top[0] -= 1
    return free[top[0]]


@njit(cache=True, nogil=True)
def give_back(cells, free, top, slot, used):
    """Zeros the first `used` entries of a slot, all that is written in it, and frees it."""
    for k in range(used):
        put(cells, slot, k, 0, 0)
    free[top[0]] = slot
    top[0] += 1


@njit(cache=True, nogil=True)
def move_to_slot(rows, r, at, cells, slot):
    """Copies the two keys of a full row into an empty slot. Returns the earlier of their times."""
    for k in range(INLINE):
        put(cells, slot, k, rows[r, at + INLINE + k], rows[r, at + k])
    return min(rows[r, at], rows[r, at + 1])
