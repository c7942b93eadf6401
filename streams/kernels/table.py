"""Number -> row: a hash table with open addressing and linear probing.

A table is int64[capacity, 1], capacity a power of two; 0 is an empty slot. An entry holds row + 1 in its lower half and
in its upper half the upper half of the mixed number: a slot that has the same is the number's own nearly always, and
the row itself, which begins with its number, says so. Half of what numbers and rows side by side would take, and no
line of memory more is read, since whoever looks a row up works on it. Numbers are any int64 but 0; 0 is "no number" and
is found nowhere. At least one slot stays empty (`claim` stops at 0.6), so every probe ends. Look-ups of a batch run
with prefetches in front: of a slot, and `AHEAD` events later of its row.

`place` is the same for tables whose keys lie in them, beside their values: int64[capacity, 2].
"""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.kernels.mixing import mix
from streams.kernels.options import COMPILED, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

LOW = np.int64(0xFFFFFFFF)
LOAD_TENTHS = 6  # a table is full at this many tenths of its capacity

# Places in the `state` of a table whose rows `claim` hands out.
USED, FREE, FRESH, UNTRACKED = range(4)


@njit(**INNER)
def place(table, key, home):
    """Slot of `key`, or the empty slot where it belongs, probing from slot `home`."""
    mask = len(table) - 1
    slot = home
    while table[slot, 0] != key and table[slot, 0] != 0:
        slot = (slot + 1) & mask
    return slot


@njit(**INNER)
def row_in(entry):
    """The row that an entry names; -1 for an empty one."""
    return (entry & LOW) - 1


@njit(**INNER)
def slot_of(table, rows, key, mixed):
    """Slot of `key`, whose mix is given, or the empty slot where it belongs."""
    mask = len(table) - 1
    slot = mixed & mask
    while table[slot, 0] != 0:
        if table[slot, 0] >> 32 == mixed >> 32 and rows[row_in(table[slot, 0]), 0] == key:
            break
        slot = (slot + 1) & mask
    return slot


@njit(**INNER)
def look_ahead(table, rows, keys, i):
    """Asks for what the look-ups behind i will touch."""
    mask = len(table) - 1
    if i + 2 * AHEAD < len(keys):
        prefetch_row(table, mix(keys[i + 2 * AHEAD]) & mask, 0)
    if i + AHEAD < len(keys):
        prefetch_row(rows, row_in(table[mix(keys[i + AHEAD]) & mask, 0]), 0)


@njit(**COMPILED)
def find(table, rows, keys, out):
    """out[i] = row of keys[i], or -1. keys, out: int64[n]. rows: int64[capacity, words], word 0 is the key."""
    for i in range(len(keys)):
        look_ahead(table, rows, keys, i)
        out[i] = row_in(table[slot_of(table, rows, keys[i], mix(keys[i])), 0])


@njit(**COMPILED)
def claim(table, rows, free, state, row_max, keys, wanted, out, start):
    """`find`, and a row for each key that has none where wanted[i]: a reclaimed one first, else the next fresh one.

    rows: int64[capacity, words], word 0 becomes the key. free: int64[>= state[FREE]], a stack of reclaimed rows.
    state: int64[4], see USED. wanted: bool[n]. With `row_max` rows in use a new key gets -1 and adds to UNTRACKED.
    Works from event `start`; returns n, or the event at which the table or the rows must grow first."""
    n = len(keys)
    for i in range(start, n):
        look_ahead(table, rows, keys, i)
        key, mixed = keys[i], mix(keys[i])
        slot = slot_of(table, rows, key, mixed)
        out[i] = row_in(table[slot, 0])
        if out[i] >= 0 or key == 0 or not wanted[i]:
            continue
        if state[FREE] == 0 and state[FRESH] == row_max:
            state[UNTRACKED] += 1
            continue
        if (state[FREE] == 0 and state[FRESH] == len(rows)) or (state[USED] + 1) * 10 > len(table) * LOAD_TENTHS:
            return i
        if state[FREE] > 0:
            state[FREE] -= 1
            row = free[state[FREE]]
        else:
            row = state[FRESH]
            state[FRESH] += 1
        table[slot, 0] = entry_of(mixed, row)
        rows[row, 0] = key
        state[USED] += 1
        out[i] = row
    return n


@njit(**INNER)
def entry_of(mixed, row):
    """The entry of a row whose number's mix is given."""
    return (mixed & ~LOW) | (row + 1)


@njit(**COMPILED)
def refill(table, rows, count):
    """Puts the first `count` rows that are in use into `table`, which is empty and has room for them."""
    mask = len(table) - 1
    for row in range(count):
        if row + AHEAD < count:
            prefetch_row(table, mix(rows[row + AHEAD, 0]) & mask, 0)
        if rows[row, 0] != 0:
            mixed = mix(rows[row, 0])
            slot = mixed & mask
            while table[slot, 0] != 0:
                slot = (slot + 1) & mask
            table[slot, 0] = entry_of(mixed, row)


@njit(**COMPILED)
def delete(table, rows, keys):
    """Takes the keys out; returns how many were there. Their rows, and all others', still begin with them.

    The entries behind a hole move back into it when their probe passes it, so there are no tombstones and a table
    that has seen many numbers come and go is as fast as a new one."""
    mask = len(table) - 1
    gone = 0
    for i in range(len(keys)):
        hole = slot_of(table, rows, keys[i], mix(keys[i]))
        if table[hole, 0] == 0:
            continue
        gone += 1
        slot = (hole + 1) & mask
        while table[slot, 0] != 0:
            home = mix(rows[row_in(table[slot, 0]), 0]) & mask
            if ((slot - home) & mask) >= ((slot - hole) & mask):
                table[hole, 0] = table[slot, 0]
                hole = slot
            slot = (slot + 1) & mask
        table[hole, 0] = 0
    return gone


@njit(**COMPILED)
def aged(rows, begin, end, newest_word, horizon, out):
    """The rows from `begin` to before `end` that are in use and whose newest time is at or before `horizon`: int64
    out[:k]; returns k."""
    k = 0
    for row in range(begin, end):
        out[k] = row
        k += 1 if rows[row, 0] != 0 and rows[row, newest_word] <= horizon else 0
    return k


@njit(**COMPILED)
def note_times(rows, dirty, newest_word, index, at, touch, newest):
    """Newest time of each event's number, in arrival order.

    dirty: uint8[capacity], set to 1 for a row that an event touches. index: int64[n], row or -1. touch: bool[n]: the
    event is of this store's topic and counts: the row's newest time becomes the larger of itself and at[i]. newest:
    int64[n], the row's time after that, 0 for never. Without a row an event that touches is all."""
    n = len(index)
    for i in range(n):
        if i + AHEAD < n:
            prefetch_row(rows, index[i + AHEAD], newest_word)
        row = index[i]
        if row < 0:
            newest[i] = at[i] if touch[i] else 0
            continue
        if touch[i]:
            dirty[row] = 1
            rows[row, newest_word] = max(rows[row, newest_word], at[i])
        newest[i] = rows[row, newest_word]
