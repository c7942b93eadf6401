"""Calls of a number that are set up and not released, younger than `max_age` ms.

A list of (call id, set-up time) per number. A set-up of a listed call, or of one known to be released already,
changes nothing; neither does a release of a call that is not listed. At each set-up or release at t, calls with
t - set-up >= max_age leave the list first, so that a lost release costs room for `max_age` at most. As of T the
reading is the number of calls with T - set-up < max_age: exact to 64, and 64 beyond.

Lists end at 1024 calls: then the earliest of all (of equal times the smallest id) is left out, be it the new one.

Forms of a row, four words from `at` (see dated.py); a list shrinks back once it is well below the next form's end:

    two calls        time 0, time 1, id 0, id 1
    to 64 calls      -(slot + 1), 0, number of calls, bound: no call in the slot is older than this
    to 1024 calls    -(slot + 1), 1, number of calls, the same bound
"""

from numba import njit

from streams.kernels.dated import INLINE, WORDS, find, give_back, live, move_to_slot, purge, put, take
from streams.kernels.prefetch import prefetch_row

READ_MAX = 64
SMALL_CELLS = 2 * 64
LARGE_CELLS = 2 * 1024
SMALL, LARGE = 0, 1
INLINE_AGAIN = 1  # calls at which a small list goes back into its row
SMALL_AGAIN = 32  # and a large one into a small slot
AHEAD = 12

__all__ = ["LARGE", "LARGE_CELLS", "SMALL", "SMALL_CELLS", "WORDS", "count_concurrent", "idle_concurrent"]


@njit(cache=True, nogil=True)
def count_concurrent(
    rows, at, max_age, setup, release, row, times, as_of, hit, read, call, event, closed,
    small, small_free, small_top, large, large_free, large_top, start, out,
):  # fmt: skip
    """Counts and reads events start .. n - 1 in order; returns n, or the event that needs a free slot: of `large` when
    the number has a small slot, of `small` otherwise.

    rows: int64[capacity, words]; setup, release: the codes of these events; row, times, as_of, call: int64[n];
    hit, read, closed: bool[n]; event: uint8[n]; small: int64[slots, 128]; large: int64[slots, 2048], each with
    free: int64[slots] and top: int64[1]; out: float64[n], written where `read`."""
    n = row.shape[0]
    for i in range(start, n):
        look_ahead(rows, at, row, i, small)
        r = row[i]
        if r < 0:
            if read[i]:
                out[i] = 0.0
            continue
        opens = event[i] == setup and not closed[i]
        if hit[i] and (opens or event[i] == release):
            if rows[r, at] >= 0:
                done = update_inline(rows, r, at, max_age, call[i], times[i], opens, small, small_free, small_top)
            elif rows[r, at + 1] == SMALL:
                done = update_small(
                    rows, r, at, max_age, call[i], times[i], opens,
                    small, small_free, small_top, large, large_free, large_top,
                )  # fmt: skip
            else:
                done = update_large(
                    rows, r, at, max_age, call[i], times[i], opens,
                    small, small_free, small_top, large, large_free, large_top,
                )  # fmt: skip
            if not done:
                return i
        if read[i]:
            out[i] = reading(rows, r, at, max_age, as_of[i], small, large)
    return n


@njit(cache=True, nogil=True)
def look_ahead(rows, at, row, i, small):
    """Asks for the memory of later events: the row, and once that is there its slot's first calls."""
    if i + 2 * AHEAD < row.shape[0] and row[i + 2 * AHEAD] >= 0:
        prefetch_row(rows, row[i + 2 * AHEAD], at)
        prefetch_row(rows, row[i + 2 * AHEAD], at + WORDS - 1)
    if i + AHEAD < row.shape[0] and row[i + AHEAD] >= 0:
        r = row[i + AHEAD]
        if rows[r, at] < 0 and rows[r, at + 1] == SMALL:
            prefetch_row(small, -rows[r, at] - 1, 0)
            prefetch_row(small, -rows[r, at] - 1, SMALL_CELLS // 2)


@njit(cache=True, nogil=True)
def update_inline(rows, r, at, max_age, call, t, opens, small, small_free, small_top):
    """A set-up or release on a row of two calls at most. False when it needs a slot; then no reading has changed."""
    gap = -1
    listed = -1
    for k in range(INLINE):
        if rows[r, at + k] != 0 and t - rows[r, at + k] >= max_age:
            rows[r, at + k] = 0
            rows[r, at + INLINE + k] = 0
        if rows[r, at + k] == 0:
            gap = k
        elif rows[r, at + INLINE + k] == call:
            listed = k
    if not opens:
        if listed >= 0:
            rows[r, at + listed] = 0
            rows[r, at + INLINE + listed] = 0
    elif listed < 0 and gap >= 0:
        rows[r, at + gap] = t
        rows[r, at + INLINE + gap] = call
    elif listed < 0:
        if small_top[0] == 0:
            return False
        slot = take(small_free, small_top)
        oldest = move_to_slot(rows, r, at, small, slot)
        put(small, slot, INLINE, call, t)
        to_slot(rows, r, at, slot, SMALL, INLINE + 1, min(oldest, t))
    return True


@njit(cache=True, nogil=True)
def to_slot(rows, r, at, slot, form, count, oldest):
    """Writes the row of a list in a slot."""
    rows[r, at] = -(slot + 1)
    rows[r, at + 1] = form
    rows[r, at + 2] = count
    rows[r, at + 3] = oldest


@njit(cache=True, nogil=True)
def update_listed(rows, r, at, max_age, call, t, opens, cells):
    """A set-up or release on a list in a slot of `cells`. False, list purged, when it is full for this call."""
    slot = -rows[r, at] - 1
    count, oldest = rows[r, at + 2], rows[r, at + 3]
    width = cells.shape[1] // 2
    if t - oldest >= max_age:
        count, oldest = purge(cells, slot, count, t - max_age)
    place = find(cells, slot, count, call)
    fits = place >= 0 or count < width or not opens
    if opens and place < 0 and count < width:
        put(cells, slot, count, call, t)
        count += 1
        oldest = min(oldest, t)
    elif not opens and place >= 0:
        count -= 1
        put(cells, slot, place, cells[slot, count], cells[slot, width + count])
        put(cells, slot, count, 0, 0)
    rows[r, at + 2] = count
    rows[r, at + 3] = oldest
    return fits


@njit(cache=True, nogil=True)
def update_small(
    rows, r, at, max_age, call, t, opens, small, small_free, small_top, large, large_free, large_top
):  # fmt: skip
    """A set-up or release on a list of up to 64. False when it needs a large slot; then no reading has changed."""
    slot = -rows[r, at] - 1
    if not update_listed(rows, r, at, max_age, call, t, opens, small):
        if large_top[0] == 0:
            return False
        into = take(large_free, large_top)
        count = rows[r, at + 2]
        move(small, slot, count, large, into)
        put(large, into, count, call, t)
        give_back(small, small_free, small_top, slot, count)
        to_slot(rows, r, at, into, LARGE, count + 1, min(rows[r, at + 3], t))
    elif rows[r, at + 2] <= INLINE_AGAIN:
        count = rows[r, at + 2]
        rows[r, at] = small[slot, SMALL_CELLS // 2]
        rows[r, at + 1] = 0
        rows[r, at + 2] = small[slot, 0]
        rows[r, at + 3] = 0
        give_back(small, small_free, small_top, slot, count)
    return True


@njit(cache=True, nogil=True)
def update_large(
    rows, r, at, max_age, call, t, opens, small, small_free, small_top, large, large_free, large_top
):  # fmt: skip
    """A set-up or release on a list of up to 1024. False when there is no small slot at hand, which it may need after a
    change that cannot be taken back; then nothing has changed."""
    if small_top[0] == 0:
        return False
    slot = -rows[r, at] - 1
    if not update_listed(rows, r, at, max_age, call, t, opens, large):
        replace_earliest(large, slot, call, t)
    count = rows[r, at + 2]
    if count <= SMALL_AGAIN:
        into = take(small_free, small_top)
        move(large, slot, count, small, into)
        give_back(large, large_free, large_top, slot, count)
        to_slot(rows, r, at, into, SMALL, count, rows[r, at + 3])
    return True


@njit(cache=True, nogil=True)
def move(cells, slot, count, others, into):
    """Copies the first `count` entries of a slot into an empty slot of another pool."""
    for k in range(count):
        put(others, into, k, cells[slot, k], cells[slot, cells.shape[1] // 2 + k])


@njit(cache=True, nogil=True)
def replace_earliest(large, slot, call, t):
    """Puts this call in the place of the earliest of a full list, unless it is earlier than all."""
    width = large.shape[1] // 2
    earliest = 0
    for k in range(1, width):
        time = large[slot, width + k]
        least = large[slot, width + earliest]
        if time < least or (time == least and large[slot, k] < large[slot, earliest]):
            earliest = k
    least = large[slot, width + earliest]
    if t > least or (t == least and call > large[slot, earliest]):
        put(large, slot, earliest, call, t)


@njit(cache=True, nogil=True)
def reading(rows, r, at, max_age, as_of, small, large):
    """Live calls as of a time that is not before any the row has counted, 64 at most."""
    if rows[r, at] >= 0:
        return float((as_of - rows[r, at] < max_age) + (as_of - rows[r, at + 1] < max_age))
    slot, count = -rows[r, at] - 1, rows[r, at + 2]
    if as_of - rows[r, at + 3] >= max_age:
        if rows[r, at + 1] == SMALL:
            count = live(small, slot, count, as_of - max_age)
        else:
            count = live(large, slot, count, as_of - max_age)
    return float(min(count, READ_MAX))


@njit(cache=True, nogil=True)
def idle_concurrent(rows, at, max_age, candidates, horizon, small, large, out):
    """out[k] (bool): row candidates[k] reads 0 at `horizon` and at any later time."""
    for k in range(candidates.shape[0]):
        out[k] = reading(rows, candidates[k], at, max_age, horizon, small, large) == 0.0
