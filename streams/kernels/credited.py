"""Keys (reporters) of a number in a sliding window of W ms, counted by their weights.

A row keeps the KEYS_MAX keys whose newest times are the latest, of equal times those with the larger keys; so what it
keeps does not depend on order. A key counts as of T when its newest time t satisfies T - t < W. Weights are none of the
row's: they come from a table of steps, each the weight of a key from a time on, before its first step NEUTRAL. So what
is learnt of a reporter changes what is read, and nothing that is stored.

Forms of a row, four words from `at` (see dated.py):

    two keys         time 0, time 1, key 0, key 1
    to KEYS_MAX      -(slot + 1), newest hit, number of keys, 0

Keys that have left the window stay in a slot until it is full."""

import numpy as np
from numba import njit

from streams.kernels.dated import (
    INLINE,
    WORDS,
    find,
    give_back,
    has_free,
    move_from_row,
    pool_of,
    put_entry,
    slot_of,
    take,
)
from streams.kernels.lanes import put_word, word
from streams.kernels.mixing import mix
from streams.kernels.options import COMPILED, INNER

KEYS_MAX = 64
CELLS = 2 * KEYS_MAX
NEUTRAL = 1000  # thousandths: sums of whole numbers do not depend on order

__all__ = ["CELLS", "KEYS_MAX", "NEUTRAL", "WORDS", "count_credited"]


@njit(**COMPILED)
def count_credited(
    rows, at, window, row, times, as_of, hit, read, key, cells, free, top, step_key, step_at, step_weight, is_mixed,
    start, out,
):  # fmt: skip
    """Counts and reads events start .. n - 1 in order; returns n, or the event that needs a free slot.

    rows: int64[capacity, words]; row, times, as_of, key: int64[n] (key 0 is absent); hit, read: bool[n]; cells:
    int64[slots, 128], with free: int64[slots] and top: int64[1]; step_key, step_at, step_weight: int64[k], by key and
    time. is_mixed: every key has a weight of its own instead, so that a sum tells which keys there are. out:
    float64[n], written where `read`."""
    pool = pool_of(cells, free, top)
    for i in range(start, len(row)):
        r = rows.ctypes.data + 8 * (row[i] * rows.shape[1] + at)
        if row[i] >= 0 and hit[i] and key[i] != 0 and not add(r, window, key[i], times[i], pool):
            return i
        if not read[i]:
            continue
        total = 0
        keys, dated, count = listed(r, pool) if row[i] >= 0 else (r, r, 0)
        for k in range(count):
            who, when = word(keys, k), word(dated, k)
            if when != 0 and as_of[i] - when < window:
                if is_mixed:
                    total += NEUTRAL + (mix(who) & 0x3FF)
                else:
                    total += weight(step_key, step_at, step_weight, who, as_of[i])
        out[i] = total / NEUTRAL
    return len(row)


@njit(**INNER)
def listed(r, pool):
    """The addresses of a row's keys and of their times, and how many places there are; time 0 marks a free one."""
    if word(r, 0) >= 0:
        return r + 8 * INLINE, r, INLINE
    slot = slot_of(pool, r)
    return slot, slot + 8 * KEYS_MAX, word(r, 2)


@njit(**INNER)
def weight(step_key, step_at, step_weight, who, when):
    """Thousandths: of the last step of this key that is no later than `when`."""
    low, high = 0, len(step_key)
    while low < high:
        middle = (low + high) // 2
        if step_key[middle] < who or (step_key[middle] == who and step_at[middle] <= when):
            low = middle + 1
        else:
            high = middle
    return step_weight[low - 1] if low > 0 and step_key[low - 1] == who else NEUTRAL


@njit(**INNER)
def add(r, window, key, t, pool):
    """A hit on the row at address `r`. False when it needs a slot; then nothing has changed."""
    if word(r, 0) >= 0:
        return add_inline(r, window, key, t, pool)
    newest = word(r, 1)
    if newest - t >= window:
        return True
    if t - newest < window:
        add_listed(r, key, t, pool)
        return True
    give_back(pool, r, KEYS_MAX, word(r, 2))  # its keys have all left the window
    for k in range(WORDS):
        put_word(r, k, 0)
    return add_inline(r, window, key, t, pool)


@njit(**INNER)
def add_inline(r, window, key, t, pool):
    """A hit on a row of two keys at most."""
    newest = max(word(r, 0), word(r, 1))
    if newest - t >= window:
        return True
    place = -1
    for k in range(INLINE):
        if word(r, k) != 0 and word(r, INLINE + k) == key:
            put_word(r, k, max(word(r, k), t))
            return True
        if word(r, k) == 0 or max(newest, t) - word(r, k) >= window:
            place = k
    if place >= 0:
        put_word(r, place, t)
        put_word(r, INLINE + place, key)
        return True
    if not has_free(pool):
        return False
    slot = take(pool)
    move_from_row(r, pool[0] + slot * pool[1], KEYS_MAX)
    put_word(r, 0, -(slot + 1))
    put_word(r, 1, newest)
    put_word(r, 2, INLINE)
    put_word(r, 3, 0)
    add_listed(r, key, t, pool)
    return True


@njit(**INNER)
def add_listed(r, key, t, pool):
    """A hit on a row with a slot, within the window as of its newest."""
    slot, count = slot_of(pool, r), word(r, 2)
    place = find(slot, count, key)
    if place >= 0:
        t = max(word(slot, KEYS_MAX + place), t)
    elif count < KEYS_MAX:
        place = count
        put_word(r, 2, count + 1)
    else:
        place = oldest(slot)
        when = word(slot, KEYS_MAX + place)
        if t < when or (t == when and key < word(slot, place)):
            return
    put_entry(slot, KEYS_MAX, place, key, t)
    put_word(r, 1, max(word(r, 1), t))


@njit(**INNER)
def oldest(slot):
    """The place that makes room in a full slot."""
    found = 0
    for k in range(1, KEYS_MAX):
        when, least = word(slot, KEYS_MAX + k), word(slot, KEYS_MAX + found)
        if when < least or (when == least and word(slot, k) < word(slot, found)):
            found = k
    return found


def newest_of(rows: np.ndarray, at: int, index: np.ndarray) -> np.ndarray:
    """int64[k]: the time of each row's newest hit, 0 without any."""
    first, second = rows[index, at], rows[index, at + 1]
    return np.where(first < 0, second, np.maximum(first, second))
