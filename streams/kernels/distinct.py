"""Distinct keys (callees, recipients, contents) of a number in a sliding window of W ms.

A key counts as of T when its newest time t satisfies T - t < W. That is exact, to the millisecond, while at most 32
keys are in the window as of the row's newest hit; a late hit never moves a key's time back, and one that is W or more
older than the row's newest hit changes nothing.

The hit that makes them 33 turns the row into a sketch. Its slices are W/12 long (rounded up to a ms), slice(t) =
floor(t / length), and a key goes into the slice of its newest time, later hits into their own. As of T a sketch reads
the estimated number of distinct keys with a hit in slices (slice(T) - 12, slice(T)], to the nearest whole number:
between 11/12 of W and W of the past. It reads at least 33 for as long as no slice that held one of the first 33 keys
has left the window. When all slices have, as of a new hit, the row is exact again and starts with that key alone.

Forms of a row, four words from `at` (see dated.py):

    two keys            time 0, time 1, key 0, key 1
    tiny, 3 .. 8 keys   -(slot + 1), newest hit, number of keys, bound: no key in the slot is older than this
    wide, to 32 keys    -(slot + 1), newest hit, number of keys + 64, the same bound
    sketch              -(slot + 1), newest hit, -(union's `packed`), start (ms) of the first slice as of which 33 no
                        longer holds

Keys that have left the window stay in a slot, counted by none, until it is full: then they make room, or the row
changes to the form that fits what is left.
"""

import numpy as np
from numba import njit

from streams.kernels.dated import (
    INLINE,
    WORDS,
    find,
    find_of_8,
    free_slot,
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
from streams.kernels.lanes import put_word, word
from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.prefetch import prefetch_row
from streams.kernels.sketch import (
    CELLS,
    EMPTY,
    REGISTERS,
    SLICES,
    UNION,
    advance,
    clear,
    estimate,
    record,
    register,
    unite,
)

TINY_MAX = 8
KEYS_MAX = 32
TINY_CELLS = 2 * TINY_MAX
WIDE_CELLS = 2 * KEYS_MAX
WIDE = 64  # added to the number of keys
TINY_AGAIN = 4  # keys in the window at which a full wide slot gives way to a tiny one; far from the 9 that made it wide
AHEAD = 12

__all__ = [
    "CELLS",
    "REGISTERS",
    "SLICES",
    "TINY_CELLS",
    "WIDE",
    "WIDE_CELLS",
    "WORDS",
    "count_distinct",
    "idle_distinct",
]


@njit(**COMPILED)
def count_distinct(
    rows, at, window, row, times, as_of, hit, read, key,
    tiny_cells, tiny_free, tiny_top, wide_cells, wide_free, wide_top, sketch_cells, sketch_free, sketch_top,
    scratch, start, out,
):  # fmt: skip
    """Counts and reads events start .. n - 1 in order; returns n, or the event that needs a free slot: of `tiny` when
    the number's row holds its keys itself, of `wide` when they are in a tiny slot, else of `tiny` or of `sketch`,
    whichever has none.

    rows: int64[capacity, words]; row, times, as_of, key: int64[n] (key 0 is absent); hit, read: bool[n];
    tiny_cells: int64[slots, 16]; wide_cells: int64[slots, 64]; sketch_cells: uint8[slots, 3328], each with
    free: int64[slots] and top: int64[1]; scratch: uint8[1, 256]; out: float64[n], written where `read`."""
    length = slice_length(window)
    tiny = pool_of(tiny_cells, tiny_free, tiny_top)
    wide = pool_of(wide_cells, wide_free, wide_top)
    sketch = pool_of(sketch_cells, sketch_free, sketch_top)
    union = scratch.ctypes.data
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
                    look_ahead(soon, length, times[i + AHEAD], key[i + AHEAD], tiny_cells, wide_cells, sketch_cells)
        if row[i] < 0:
            if read[i]:
                out[i] = 0.0
            continue
        r = first + row[i] * stride
        if hit[i] and key[i] != 0 and not add(r, window, length, key[i], times[i], tiny, wide, sketch):
            return i
        if read[i]:
            out[i] = reading(r, window, length, as_of[i], tiny, wide, sketch, union)
    return n


@njit(**HOT)
def slice_length(window):
    """Of a sketch, in ms, as a float: a quotient of integers below 2**48 truncates exactly, and an integer division
    costs twice as much."""
    return float((window + SLICES - 1) // SLICES)


@njit(**HOT)
def look_ahead(r, length, t, key, tiny_cells, wide_cells, sketch_cells):
    """Asks for what a later event will touch of its row's slot."""
    slot = -word(r, 0) - 1
    state = word(r, 2)
    if state < 0:
        j = register(key)[0]
        prefetch_row(sketch_cells, slot, UNION + j)
        prefetch_row(sketch_cells, slot, int(t / length) % SLICES * REGISTERS + j)
    elif state < WIDE:
        prefetch_row(tiny_cells, slot, 0)
        prefetch_row(tiny_cells, slot, TINY_MAX - 1)  # slots need not begin with a cache line
        prefetch_row(tiny_cells, slot, TINY_CELLS - 1)
    else:
        for k in range(0, state - WIDE + 8, 8):
            prefetch_row(wide_cells, slot, k)
            prefetch_row(wide_cells, slot, KEYS_MAX + k)


@njit(**HOT)
def add(r, window, length, key, t, tiny, wide, sketch):
    """A hit on the row at address `r`. False when it needs a slot; then no reading has changed."""
    state = word(r, 2)
    if word(r, 0) >= 0:
        return add_inline(r, window, key, t, tiny)
    newest = word(r, 1)
    if newest - t >= window:
        return True
    if state < 0:
        return add_sketch(r, length, key, t, sketch)
    if t - newest >= window:
        return restart(r, key, t, tiny, wide)
    if state < WIDE:
        slot, width, count = slot_of(tiny, r), TINY_MAX, state
        place = find_of_8(slot, key)
    else:
        slot, width, count = slot_of(wide, r), KEYS_MAX, state - WIDE
        place = find(slot, count, key)
    if place >= 0:
        put_entry(slot, width, place, key, max(word(slot, width + place), t))
    elif count < width:
        put_entry(slot, width, count, key, t)
        put_word(r, 2, state + 1)
        put_word(r, 3, min(word(r, 3), t))
    else:
        return add_full(r, window, length, key, t, tiny, wide, sketch)
    put_word(r, 1, max(newest, t))
    return True


@njit(**HOT)
def add_inline(r, window, key, t, tiny):
    """A hit on a row of two keys at most."""
    newest = max(word(r, 0), word(r, 1))
    if newest - t >= window:
        return True
    latest = max(newest, t)
    place = -1
    for k in range(INLINE - 1, -1, -1):
        if word(r, k) != 0 and word(r, INLINE + k) == key:
            put_word(r, k, max(word(r, k), t))
            return True
        if latest - word(r, k) >= window:  # free places too: time 0 is long ago
            place = k
    if place >= 0:
        put_word(r, place, t)
        put_word(r, INLINE + place, key)
        return True
    if not has_free(tiny):
        return False
    slot = take(tiny)
    into = tiny[0] + slot * tiny[1]
    oldest = min(move_from_row(r, into, TINY_MAX), t)
    put_entry(into, TINY_MAX, INLINE, key, t)
    to_slot(r, slot, latest, INLINE + 1, oldest)
    return True


@njit(**INNER)
def to_slot(r, slot, newest, state, bound):
    """Writes a row in slot form."""
    put_word(r, 0, -(slot + 1))
    put_word(r, 1, newest)
    put_word(r, 2, state)
    put_word(r, 3, bound)


@njit(**INNER)
def restart(r, key, t, tiny, wide):
    """A row whose keys have all left the window, with this key alone. Always True."""
    if word(r, 2) < WIDE:
        give_back(tiny, r, TINY_MAX, word(r, 2))
    else:
        give_back(wide, r, KEYS_MAX, word(r, 2) - WIDE)
    to_row(r, t, key, 0, 0)
    return True


@njit(**INNER)
def to_row(r, time_0, key_0, time_1, key_1):
    """Writes a row of two keys; time and key 0 for none."""
    put_word(r, 0, time_0)
    put_word(r, 1, time_1)
    put_word(r, 2, key_0)
    put_word(r, 3, key_1)


@njit(**INNER)
def add_full(r, window, length, key, t, tiny, wide, sketch):
    """A hit with a key that is not in the row's full slot: in the place of those that have left the window, or in a
    larger slot. False when that one's pool has none; then no reading has changed."""
    latest = max(word(r, 1), t)
    if word(r, 2) < WIDE:
        return add_full_tiny(r, window, key, t, latest, tiny, wide)
    if not has_free(tiny):  # the row may want one after a change that cannot be taken back
        return False
    slot = slot_of(wide, r)
    count, oldest = purge(slot, KEYS_MAX, KEYS_MAX, latest - window)
    put_word(r, 2, WIDE + count)
    put_word(r, 3, oldest)
    if count == KEYS_MAX:
        if not has_free(sketch):
            return False
        into = take(sketch)
        put_word(r, 1, latest)
        fill_sketch(r, length, key, t, slot, into, sketch[0] + into * sketch[1])
        for k in range(KEYS_MAX):
            put_entry(slot, KEYS_MAX, k, 0, 0)
        free_slot(wide, (slot - wide[0]) // wide[1])
        return True
    put_entry(slot, KEYS_MAX, count, key, t)
    count += 1
    if count > TINY_AGAIN:
        to_slot(r, -word(r, 0) - 1, latest, WIDE + count, min(oldest, t))
        return True
    into = take(tiny)
    move(slot, KEYS_MAX, count, tiny[0] + into * tiny[1], TINY_MAX)
    give_back(wide, r, KEYS_MAX, count)
    to_slot(r, into, latest, count, min(oldest, t))
    return True


@njit(**INNER)
def add_full_tiny(r, window, key, t, latest, tiny, wide):
    """The same for a tiny slot."""
    slot = slot_of(tiny, r)
    count, oldest = purge(slot, TINY_MAX, TINY_MAX, latest - window)
    put_word(r, 2, count)
    put_word(r, 3, oldest)
    if count == TINY_MAX:
        if not has_free(wide):
            return False
        into = take(wide)
        move(slot, TINY_MAX, count, wide[0] + into * wide[1], KEYS_MAX)
        put_entry(wide[0] + into * wide[1], KEYS_MAX, count, key, t)
        give_back(tiny, r, TINY_MAX, count)
        to_slot(r, into, latest, WIDE + count + 1, min(oldest, t))
    elif count < INLINE:
        last_key, last_time = word(slot, 0), word(slot, TINY_MAX)
        give_back(tiny, r, TINY_MAX, count)
        to_row(r, t, key, last_time, last_key)
    else:
        put_entry(slot, TINY_MAX, count, key, t)
        to_slot(r, -word(r, 0) - 1, latest, count + 1, min(oldest, t))
    return True


@njit(**INNER)
def fill_sketch(r, length, key, t, slot, index, sketch):
    """Enters the slot's 32 keys and the 33rd into the empty sketch at address `sketch`, each by its newest time, and
    writes the row."""
    latest = word(r, 1)
    past = int(latest / length) - SLICES
    packed = np.int64(EMPTY)
    oldest = t
    for k in range(KEYS_MAX + 1):
        own, time = key, t
        if k < KEYS_MAX:
            own, time = word(slot, k), word(slot, KEYS_MAX + k)
        slice_ = int(time / length)
        if slice_ > past:
            packed = record(sketch, slice_, own, packed)
        oldest = min(oldest, time)
    to_slot(r, index, latest, -packed, (int(oldest / length) + SLICES) * int(length))


@njit(**HOT)
def add_sketch(r, length, key, t, sketch):
    """A hit on a row with a sketch, inside the window as of its newest. Always True."""
    slot = slot_of(sketch, r)
    newest, packed = word(r, 1), -word(r, 2)
    last, own = int(newest / length), int(t / length)
    if own <= last - SLICES:
        return True
    if own - last >= SLICES:
        clear(slot)
        free_slot(sketch, -word(r, 0) - 1)
        to_row(r, t, key, 0, 0)
        return True
    if own > last:
        packed = advance(slot, last, own)
    put_word(r, 1, max(newest, t))
    put_word(r, 2, -record(slot, own, key, packed))
    return True


@njit(**HOT)
def reading(r, window, length, as_of, tiny, wide, sketch, union):
    """Distinct keys as of a time that is not before the row's newest hit. union: address of 256 bytes to work in."""
    state = word(r, 2)
    if word(r, 0) >= 0:
        return float((as_of - word(r, 0) < window) + (as_of - word(r, 1) < window))
    if state < 0:
        return read_sketch(r, length, as_of, sketch, union)
    if state < WIDE:
        # Counting eight costs less than a branch that goes either way.
        return float(live(slot_of(tiny, r), TINY_MAX, TINY_MAX, as_of - window))
    if as_of - word(r, 3) < window:
        return float(state - WIDE)
    return float(live(slot_of(wide, r), KEYS_MAX, state - WIDE, as_of - window))


@njit(**HOT)
def read_sketch(r, length, as_of, sketch, union):
    """The same for a row with a sketch."""
    newest, packed = word(r, 1), -word(r, 2)
    if as_of != newest:
        last, now = int(newest / length), int(as_of / length)
        if now - last >= SLICES:
            return 0.0
        if now > last:
            packed = unite(slot_of(sketch, r), now - SLICES + 1, last, union)
    n = estimate(packed)
    return max(n, KEYS_MAX + 1.0) if as_of < word(r, 3) else n


@njit(**COMPILED)
def idle_distinct(rows, at, window, candidates, horizon, out):
    """out[k] (bool): row candidates[k] reads 0 at `horizon` and at any later time."""
    length = slice_length(window)
    for k in range(len(candidates)):
        r = candidates[k]
        if rows[r, at] >= 0:
            out[k] = horizon - max(rows[r, at], rows[r, at + 1]) >= window
        elif rows[r, at + 2] > 0:
            out[k] = horizon - rows[r, at + 1] >= window
        else:
            out[k] = int(horizon / length) - int(rows[r, at + 1] / length) >= SLICES
