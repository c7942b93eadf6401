"""Number -> row: a hash table with open addressing and linear probing.

A table is int64[capacity, 2]: key and row side by side (one memory access finds both), capacity a power of two, key 0
is an empty slot. Keys are any int64 but 0; 0 is "no number" and is found nowhere. At least one slot stays empty
(`claim` stops at 0.6), so every probe ends. Look-ups of a batch run with a prefetch `AHEAD` events in front.
"""

from __future__ import annotations

from numba import njit

from streams.kernels.mixing import mix
from streams.kernels.options import COMPILED, INNER
from streams.kernels.prefetch import AHEAD, prefetch_row

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


@njit(**COMPILED)
def find(table, keys, out):
    """out[i] = row of keys[i], or -1. keys, out: int64[n]."""
    mask = len(table) - 1
    n = len(keys)
    for i in range(n):
        if i + AHEAD < n:
            prefetch_row(table, mix(keys[i + AHEAD]) & mask, 0)
        key = keys[i]
        slot = place(table, key, mix(key) & mask)
        out[i] = table[slot, 1] if table[slot, 0] != 0 else -1


@njit(**COMPILED)
def claim(table, rows, free, state, row_max, keys, wanted, out, start):
    """`find`, and a row for each key that has none where wanted[i]: a reclaimed one first, else the next fresh one.

    rows: int64[capacity, words], word 0 becomes the key. free: int64[>= state[FREE]], a stack of reclaimed rows.
    state: int64[4], see USED. wanted: bool[n]. With `row_max` rows in use a new key gets -1 and adds to UNTRACKED.
    Works from event `start`; returns n, or the event at which the table or the rows must grow first."""
    mask = len(table) - 1
    n = len(keys)
    for i in range(start, n):
        if i + AHEAD < n:
            prefetch_row(table, mix(keys[i + AHEAD]) & mask, 0)
        key = keys[i]
        slot = place(table, key, mix(key) & mask)
        if table[slot, 0] != 0:
            out[i] = table[slot, 1]
            continue
        out[i] = -1
        if key == 0 or not wanted[i]:
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
        table[slot, 0] = key
        table[slot, 1] = row
        rows[row, 0] = key
        state[USED] += 1
        out[i] = row
    return n


@njit(**COMPILED)
def rehash(old, new):
    """Puts every entry of `old` into `new`, which is empty and has room for them."""
    mask = len(new) - 1
    for i in range(len(old)):
        key = old[i, 0]
        if key != 0:
            slot = place(new, key, mix(key) & mask)
            new[slot, 0] = key
            new[slot, 1] = old[i, 1]


@njit(**COMPILED)
def delete(table, keys):
    """Takes the keys out; returns how many were there.

    The entries behind a hole move back into it when their probe passes it, so there are no tombstones and a table
    that has seen many numbers come and go is as fast as a new one."""
    mask = len(table) - 1
    gone = 0
    for i in range(len(keys)):
        hole = place(table, keys[i], mix(keys[i]) & mask)
        if table[hole, 0] == 0:
            continue
        gone += 1
        slot = (hole + 1) & mask
        while table[slot, 0] != 0:
            home = mix(table[slot, 0]) & mask
            if ((slot - home) & mask) >= ((slot - hole) & mask):
                table[hole, 0] = table[slot, 0]
                table[hole, 1] = table[slot, 1]
                hole = slot
            slot = (slot + 1) & mask
        table[hole, 0] = 0
        table[hole, 1] = 0
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
