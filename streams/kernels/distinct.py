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

    two keys         time 0, time 1, key 0, key 1
    3 .. 32 keys     -(slot + 1), newest hit, number of keys (> 0), bound: no key in the slot is older than this
    sketch           -(slot + 1), newest hit, -(union's `packed`), first slice as of which 33 no longer holds
"""

import numpy as np
from numba import njit

from streams.kernels.dated import INLINE, WORDS, find, give_back, live, move_to_slot, purge, put, take
from streams.kernels.prefetch import prefetch_row
from streams.kernels.sketch import CELLS, EMPTY, REGISTERS, SLICES, advance, clear, estimate, record, unite

KEYS_MAX = 32
EXACT_CELLS = 2 * KEYS_MAX
AHEAD = 12

__all__ = ["CELLS", "EXACT_CELLS", "REGISTERS", "SLICES", "WORDS", "count_distinct", "idle_distinct"]


@njit(cache=True, nogil=True)
def count_distinct(
    rows, at, window, row, times, as_of, hit, read, key,
    exact, exact_free, exact_top, sketch, sketch_free, sketch_top, scratch, start, out,
):  # fmt: skip
    """Counts and reads events start .. n - 1 in order; returns n, or the event that needs a free slot: of `exact` when
    the number's row holds its keys itself, of `sketch` otherwise.

    rows: int64[capacity, words]; row, times, as_of, key: int64[n] (key 0 is absent); hit, read: bool[n];
    exact: int64[slots, 64]; sketch: uint8[slots, 3328], each with free: int64[slots] and top: int64[1];
    scratch: uint8[1, 256]; out: float64[n], written where `read`."""
    length = -(-window // SLICES)
    n = row.shape[0]
    for i in range(start, n):
        look_ahead(rows, at, row, i, exact)
        r = row[i]
        if r < 0:
            if read[i]:
                out[i] = 0.0
            continue
        if hit[i] and key[i] != 0:
            t = times[i]
            if rows[r, at] >= 0:
                done = add_inline(rows, r, at, window, key[i], t, exact, exact_free, exact_top)
            elif rows[r, at + 2] > 0:
                done = add_exact(
                    rows, r, at, window, length, key[i], t,
                    exact, exact_free, exact_top, sketch, sketch_free, sketch_top,
                )  # fmt: skip
            else:
                done = add_sketch(rows, r, at, window, length, key[i], t, sketch, sketch_free, sketch_top)
            if not done:
                return i
        if read[i]:
            out[i] = reading(rows, r, at, window, length, as_of[i], exact, sketch, scratch)
    return n


@njit(cache=True, nogil=True)
def look_ahead(rows, at, row, i, exact):
    """Asks for the memory of later events: the row, and once that is there its slot's first keys."""
    if i + 2 * AHEAD < row.shape[0] and row[i + 2 * AHEAD] >= 0:
        prefetch_row(rows, row[i + 2 * AHEAD], at)
        prefetch_row(rows, row[i + 2 * AHEAD], at + WORDS - 1)
    if i + AHEAD < row.shape[0] and row[i + AHEAD] >= 0:
        r = row[i + AHEAD]
        if rows[r, at] < 0 and rows[r, at + 2] > 0:
            slot = -rows[r, at] - 1
            for k in range(0, rows[r, at + 2], 8):
                prefetch_row(exact, slot, k)
            prefetch_row(exact, slot, KEYS_MAX + rows[r, at + 2])


@njit(cache=True, nogil=True)
def restart(rows, r, at, key, t):
    """A row with this key alone."""
    rows[r, at] = t
    rows[r, at + 1] = 0
    rows[r, at + 2] = key
    rows[r, at + 3] = 0


@njit(cache=True, nogil=True)
def add_inline(rows, r, at, window, key, t, exact, exact_free, exact_top):
    """A hit on a row of two keys at most. False when it needs a slot; then nothing has changed."""
    newest = max(rows[r, at], rows[r, at + 1])
    if newest - t >= window:
        return True
    latest = max(newest, t)
    place = -1
    for k in range(INLINE - 1, -1, -1):
        if rows[r, at + k] != 0 and rows[r, at + INLINE + k] == key:
            rows[r, at + k] = max(rows[r, at + k], t)
            return True
        if latest - rows[r, at + k] >= window:  # free places too: time 0 is long ago
            place = k
    if place >= 0:
        rows[r, at + place] = t
        rows[r, at + INLINE + place] = key
        return True
    if exact_top[0] == 0:
        return False
    slot = take(exact_free, exact_top)
    oldest = min(move_to_slot(rows, r, at, exact, slot), t)
    put(exact, slot, INLINE, key, t)
    rows[r, at] = -(slot + 1)
    rows[r, at + 1] = latest
    rows[r, at + 2] = INLINE + 1
    rows[r, at + 3] = oldest
    return True


@njit(cache=True, nogil=True)
def add_exact(
    rows, r, at, window, length, key, t, exact, exact_free, exact_top, sketch, sketch_free, sketch_top
):  # fmt: skip
    """A hit on a row with a slot of keys. False when it needs a sketch; then no reading has changed."""
    slot = -rows[r, at] - 1
    newest, count, oldest = rows[r, at + 1], rows[r, at + 2], rows[r, at + 3]
    if newest - t >= window:
        return True
    if t - newest >= window:
        give_back(exact, exact_free, exact_top, slot, count)
        restart(rows, r, at, key, t)
        return True
    latest = max(newest, t)
    if latest - oldest >= window:
        # Done again without effect when the same event comes back with a free sketch.
        count, oldest = purge(exact, slot, count, latest - window)
        rows[r, at + 2] = count
        rows[r, at + 3] = oldest
    place = find(exact, slot, count, key)
    if place >= 0:
        put(exact, slot, place, key, max(exact[slot, KEYS_MAX + place], t))
    elif count < KEYS_MAX:
        put(exact, slot, count, key, t)
        rows[r, at + 2] = count + 1
        rows[r, at + 3] = min(oldest, t)
    elif sketch_top[0] == 0:
        return False
    else:
        to_sketch(rows, r, at, length, key, t, exact, slot, sketch, take(sketch_free, sketch_top))
        give_back(exact, exact_free, exact_top, slot, count)
    rows[r, at + 1] = latest
    return True


@njit(cache=True, nogil=True)
def to_sketch(rows, r, at, length, key, t, exact, slot, sketch, into):
    """Enters the slot's 32 keys and the 33rd into an empty sketch, each by its newest time."""
    last = max(rows[r, at + 1], t) // length
    packed = np.int64(EMPTY)
    oldest = t
    for k in range(KEYS_MAX + 1):
        own, time = key, t
        if k < KEYS_MAX:
            own, time = exact[slot, k], exact[slot, KEYS_MAX + k]
        if time // length > last - SLICES:
            packed = record(sketch, into, time // length, own, packed)
        oldest = min(oldest, time)
    rows[r, at] = -(into + 1)
    rows[r, at + 2] = -packed
    rows[r, at + 3] = oldest // length + SLICES


@njit(cache=True, nogil=True)
def add_sketch(rows, r, at, window, length, key, t, sketch, sketch_free, sketch_top):
    """A hit on a row with a sketch. Always True."""
    slot = -rows[r, at] - 1
    newest, packed = rows[r, at + 1], -rows[r, at + 2]
    last, own = newest // length, t // length
    if newest - t >= window or own <= last - SLICES:
        return True
    if own - last >= SLICES:
        clear(sketch, slot)
        sketch_free[sketch_top[0]] = slot
        sketch_top[0] += 1
        restart(rows, r, at, key, t)
        return True
    if own > last:
        packed = advance(sketch, slot, last, own)
    rows[r, at + 1] = max(newest, t)
    rows[r, at + 2] = -record(sketch, slot, own, key, packed)
    return True


@njit(cache=True, nogil=True)
def reading(rows, r, at, window, length, as_of, exact, sketch, scratch):
    """Distinct keys as of a time that is not before the row's newest hit."""
    if rows[r, at] >= 0:
        return float((as_of - rows[r, at] < window) + (as_of - rows[r, at + 1] < window))
    slot = -rows[r, at] - 1
    if rows[r, at + 2] > 0:
        if as_of - rows[r, at + 3] < window:
            return float(rows[r, at + 2])
        return float(live(exact, slot, rows[r, at + 2], as_of - window))
    packed = -rows[r, at + 2]
    last, now = rows[r, at + 1] // length, as_of // length
    if now - last >= SLICES:
        return 0.0
    if now > last:
        packed = unite(sketch, slot, now - SLICES + 1, last, scratch, 0, 0)
    n = estimate(packed)
    return max(n, KEYS_MAX + 1.0) if now < rows[r, at + 3] else n


@njit(cache=True, nogil=True)
def idle_distinct(rows, at, window, candidates, horizon, out):
    """out[k] (bool): row candidates[k] reads 0 at `horizon` and at any later time."""
    length = -(-window // SLICES)
    for k in range(candidates.shape[0]):
        r = candidates[k]
        if rows[r, at] >= 0:
            out[k] = horizon - max(rows[r, at], rows[r, at + 1]) >= window
        elif rows[r, at + 2] > 0:
            out[k] = horizon - rows[r, at + 1] >= window
        else:
            out[k] = horizon // length - rows[r, at + 1] // length >= SLICES
