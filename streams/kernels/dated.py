"""Lists of dated keys, (key, time) pairs: two of them in a number's row, more in a slot of a pool.

Row, four words:

    two keys at most    time 0, time 1, key 0, key 1          time 0 marks a free place
    in a slot           -(slot + 1), and three words of the counter's own

Slot, int64[2 * width], the width a multiple of 8: the keys, then their times, so that a search reads keys alone;
entries lie without gaps and zeros follow, as the pool asks for. Keys are not 0, times are positive.

Rows and slots are passed as addresses (int64), a pool as the four integers of `pool_of`, and searched with the
vector instructions of lanes.py.
"""

import numpy as np
from numba import njit

from streams.kernels.lanes import equal_8, equal_32, later_of_8, put_word, word
from streams.kernels.options import HOT, INNER
from streams.kernels.words import trailing_zeros

WORDS = 4
INLINE = 2
LATEST = np.int64(0x7FFFFFFFFFFFFFFF)
CELLS, BYTES, FREE, TOP = range(4)  # of a pool


@njit(**HOT)
def pool_of(cells, free, top):
    """A pool as addresses: its cells, the bytes of a slot, its free slots, how many these are. Valid as long as the
    caller holds the arrays."""
    return cells.ctypes.data, cells.shape[1] * cells.itemsize, free.ctypes.data, top.ctypes.data


@njit(**HOT)
def slot_of(pool, row):
    """Address of the slot that a row (address) in slot form has in `pool`."""
    return pool[CELLS] - (word(row, 0) + 1) * pool[BYTES]


@njit(**HOT)
def has_free(pool):
    """True if `take` may be called."""
    return word(pool[TOP], 0) > 0


@njit(**HOT)
def take(pool):
    """Index of a free slot; the caller has checked that there is one."""
    top = word(pool[TOP], 0) - 1
    put_word(pool[TOP], 0, top)
    return word(pool[FREE], top)


@njit(**HOT)
def free_slot(pool, slot):
    """Frees the slot of this index, which holds zeros."""
    top = word(pool[TOP], 0)
    put_word(pool[FREE], top, slot)
    put_word(pool[TOP], 0, top + 1)


@njit(**HOT)
def put_entry(slot, width, place, key, time):
    """Writes one entry."""
    put_word(slot, place, key)
    put_word(slot, width + place, time)


@njit(**HOT)
def find(slot, count, key):
    """Index of `key` among the first `count` entries of a slot of 32 or more, -1 when it is not listed. Whole blocks
    are looked at: after `count` there are zeros, which are no key."""
    for start in range(0, count, 32):
        places = equal_32(slot, start, key)
        if places != 0:
            return start + trailing_zeros(np.uint64(places))
    return -1


@njit(**HOT)
def find_of_8(slot, key):
    """The same for a slot of 8."""
    places = equal_8(slot, 0, key)
    return trailing_zeros(np.uint64(places)) if places != 0 else -1


@njit(**HOT)
def live(slot, width, count, expired_ms):
    """The number of entries later than `expired_ms` among the first `count`. `expired_ms` is not negative: after
    `count` there are zeros."""
    n = 0
    for start in range(width, width + count, 8):
        n += later_of_8(slot, start, expired_ms)
    return n


@njit(**INNER)
def purge(slot, width, count, expired_ms):
    """Drops entries whose time is `expired_ms` or earlier; the others close up in order. Returns how many are left
    and the earliest of their times (the largest int64 when none is left)."""
    kept = 0
    oldest = LATEST
    for k in range(count):
        time = word(slot, width + k)
        put_entry(slot, width, kept, word(slot, k), time)  # written over by the next when it has expired
        stays = time > expired_ms
        kept += stays
        oldest = min(oldest, time if stays else LATEST)
    for k in range(kept, count):
        put_entry(slot, width, k, 0, 0)
    return kept, oldest


@njit(**INNER)
def give_back(pool, row, width, count):
    """Zeros the `count` entries of this row's slot, and frees it. The row is left for the caller to write."""
    slot = slot_of(pool, row)
    for k in range(count):
        put_entry(slot, width, k, 0, 0)
    free_slot(pool, -word(row, 0) - 1)


@njit(**INNER)
def move_from_row(row, slot, width):
    """Copies the two keys of a full row into an empty slot. Returns the earlier of their times."""
    for k in range(INLINE):
        put_entry(slot, width, k, word(row, INLINE + k), word(row, k))
    return min(word(row, 0), word(row, 1))


@njit(**INNER)
def move(slot, width, count, into, into_width):
    """Copies the first `count` entries of a slot into an empty slot of another width."""
    for k in range(count):
        put_entry(into, into_width, k, word(slot, k), word(slot, width + k))
