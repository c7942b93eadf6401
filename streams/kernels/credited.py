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

from streams.kernels.dated import INLINE, WORDS
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
    for i in range(start, len(row)):
        r = row[i]
        if r >= 0 and hit[i] and key[i] != 0 and not add(rows, at, window, r, key[i], times[i], cells, free, top):
            return i
        if not read[i]:
            continue
        total = 0
        if r >= 0:
            for k in range(held(rows, at, r)):
                who, when = entry(rows, at, r, cells, k)
                if when != 0 and as_of[i] - when < window:
                    if is_mixed:
                        total += NEUTRAL + (mix(who) & 0x3FF)
                    else:
                        total += weight(step_key, step_at, step_weight, who, as_of[i])
        out[i] = total / NEUTRAL
    return len(row)


@njit(**INNER)
def held(rows, at, r):
    """The places to look at."""
    return INLINE if rows[r, at] >= 0 else rows[r, at + 2]


@njit(**INNER)
def entry(rows, at, r, cells, k):
    """The key and the time in a place; time 0 marks a free one."""
    if rows[r, at] >= 0:
        return rows[r, at + INLINE + k], rows[r, at + k]
    slot = -rows[r, at] - 1
    return cells[slot, k], cells[slot, KEYS_MAX + k]


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
def add(rows, at, window, r, key, t, cells, free, top):
    """A hit. False when it needs a slot; then nothing has changed."""
    newest = max(rows[r, at], rows[r, at + 1]) if rows[r, at] >= 0 else rows[r, at + 1]
    if newest - t >= window:
        return True
    if rows[r, at] < 0 and t - newest >= window:
        restart(rows, at, r, cells, free, top)
    place, count = -1, held(rows, at, r)
    for k in range(count):
        who, when = entry(rows, at, r, cells, k)
        if who == key and when != 0:
            put(rows, at, r, cells, k, key, max(when, t))
            return True
        if rows[r, at] >= 0 and (when == 0 or max(newest, t) - when >= window):
            place = k
    if place < 0 and rows[r, at] >= 0:
        if top[0] == 0:
            return False
        to_slot(rows, at, r, newest, cells, free, top)
    if place < 0 and rows[r, at + 2] < KEYS_MAX:
        place = rows[r, at + 2]
        rows[r, at + 2] += 1
    if place < 0:
        place = oldest(cells[-rows[r, at] - 1])
        who, when = entry(rows, at, r, cells, place)
        if t < when or (t == when and key < who):
            return True
    put(rows, at, r, cells, place, key, t)
    return True


@njit(**INNER)
def put(rows, at, r, cells, k, key, t):
    """Writes a place."""
    if rows[r, at] >= 0:
        rows[r, at + k], rows[r, at + INLINE + k] = t, key
    else:
        slot = -rows[r, at] - 1
        cells[slot, k], cells[slot, KEYS_MAX + k] = key, t
        rows[r, at + 1] = max(rows[r, at + 1], t)


@njit(**INNER)
def oldest(slot):
    """The place that makes room in a full slot."""
    found = 0
    for k in range(1, KEYS_MAX):
        when, least = slot[KEYS_MAX + k], slot[KEYS_MAX + found]
        if when < least or (when == least and slot[k] < slot[found]):
            found = k
    return found


@njit(**INNER)
def to_slot(rows, at, r, newest, cells, free, top):
    """Moves a full row's two keys into a free slot."""
    top[0] -= 1
    slot = free[top[0]]
    for k in range(INLINE):
        cells[slot, k], cells[slot, KEYS_MAX + k] = rows[r, at + INLINE + k], rows[r, at + k]
    rows[r, at], rows[r, at + 1], rows[r, at + 2], rows[r, at + 3] = -(slot + 1), newest, INLINE, 0


@njit(**INNER)
def restart(rows, at, r, cells, free, top):
    """Gives back the slot of a row whose keys have all left the window."""
    slot = -rows[r, at] - 1
    for k in range(CELLS):
        cells[slot, k] = 0
    free[top[0]] = slot
    top[0] += 1
    for k in range(WORDS):
        rows[r, at + k] = 0


def newest_of(rows: np.ndarray, at: int, index: np.ndarray) -> np.ndarray:
    """int64[k]: the time of each row's newest hit, 0 without any."""
    first, second = rows[index, at], rows[index, at + 1]
    return np.where(first < 0, second, np.maximum(first, second))
