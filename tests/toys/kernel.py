"""The kernel of a kind of counter that the product does not have (see streaks.py)."""

from numba import njit

from streams.kernels.options import COMPILED

WORDS = 2  # newest time in ms; events of the streak


@njit(**COMPILED)
def streaks(rows, at, pause, row, time, as_of, hit, read, out):
    """Count and read all events in order. rows int64[:, :], the counter's first word `at`; pause in ms."""
    for i in range(len(row)):
        r = row[i]
        if hit[i]:
            age = time[i] - rows[r, at]
            if age > pause:
                rows[r, at + 1] = 1
            elif age >= -pause:
                rows[r, at + 1] += 1
            rows[r, at] = max(rows[r, at], time[i])
        if read[i]:
            out[i] = rows[r, at + 1] if r >= 0 and as_of[i] - rows[r, at] <= pause else 0
