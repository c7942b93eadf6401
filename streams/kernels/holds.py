"""Passes over firings that leave the ledger as it is."""

from numba import njit

from streams.kernels.options import COMPILED


@njit(**COMPILED)
def next_change(
    k, group, at, period, gain, clock_before, starts, ends, due, asking, passed_asking, passed_until, full, refused
):
    """Index of the first firing from k on that opens or extends a hold, or whose record comes after a hold's end
    (`due`, ms) by the clock; m when there is none. Passed over are openings known to change nothing: those of their
    group's `passed_asking` and before its `passed_until`. They add to `refused` where `full` is 1.

    group: int64[m], the hold each firing is about; at, period, gain, clock_before: int64[m], ms; asking: int64[m];
    starts, ends: int64[groups], ms, ends at its least where there is no hold; passed_asking, passed_until (ms), full,
    refused: int64[groups]."""
    m = group.shape[0]
    while k < m:
        g = group[k]
        if clock_before[k] >= due:
            return k
        if at[k] >= ends[g]:
            if asking[k] != passed_asking[g] or at[k] >= passed_until[g]:
                return k
            refused[g] += full[g]
        elif at[k] >= starts[g] and at[k] + period[k] - ends[g] >= gain[k]:
            return k
        k += 1
    return m
