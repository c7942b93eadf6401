"""Passes over firings that leave the ledger as it is."""

from numba import njit

from streams.kernels.options import COMPILED


@njit(**COMPILED)
def next_change(k, group, at, period, gain, clock_before, starts, ends, due, minute, held_minute, held_until):
    """Index of the first firing from k on that opens or extends a hold, or whose record comes after a hold's end
    (`due`, ms) by the clock; m when there is none. Passed over are openings known to be held back without a change:
    those of their group's `held_minute` and before its `held_until`.

    group: int64[m], the hold each firing is about; at, period, gain, clock_before: int64[m], ms; minute: int64[m];
    starts, ends: int64[groups], ms, ends at its least where there is no hold; held_minute, held_until (ms):
    int64[groups]."""
    m = group.shape[0]
    while k < m:
        g = group[k]
        if clock_before[k] >= due:
            return k
        if at[k] >= ends[g]:
            if minute[k] != held_minute[g] or at[k] >= held_until[g]:
                return k
        elif at[k] >= starts[g] and at[k] + period[k] - ends[g] >= gain[k]:
            return k
        k += 1
    return m
