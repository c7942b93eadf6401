"""Two decaying levels of a number: the short one rises and falls fast, the long one slowly, so that a patient sender is
still seen (PMG-style, after Shin, Ahn and Shim, IEEE Network 20(5), 2006).

An event adds 1, and a level halves with every half-life: level <- level * 2^(-dt / half-life) + 1. A late event adds
2^(-(newest - time) / half-life) instead, so that the order of arrival does not matter. Below FLOOR a level reads 0, and
counts as 0 when the next event arrives: forgetting such a row changes no later reading.

Three words: newest time in ms, short level, long level; the levels are float64 in the same eight bytes.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, HOT
from streams.kernels.prefetch import AHEAD, prefetch_row

WORDS = 3
FLOOR = 1e-6


@njit(**COMPILED)
def gray_levels(rows, levels, at, row, time, as_of, hit, read, short, long, out_short, out_long):
    """Counts and reads all events in order.

    rows int64[:, :], the counter's first word `at`; levels the same memory as float64; row, time, as_of int64[:], hit,
    read bool[:]; half-lives short and long in ms, float64; out_short, out_long float64[:]."""
    for i in range(len(row)):
        if i + AHEAD < len(row):
            prefetch_row(rows, row[i + AHEAD], at)
        r = row[i]
        if hit[i]:
            age = time[i] - rows[r, at]
            if age >= 0:
                rows[r, at] = time[i]
                levels[r, at + 1] = decayed(levels[r, at + 1], age, short) + 1.0
                levels[r, at + 2] = decayed(levels[r, at + 2], age, long) + 1.0
            else:
                levels[r, at + 1] += np.exp2(age / short)
                levels[r, at + 2] += np.exp2(age / long)
        if read[i]:
            if r >= 0:
                age = as_of[i] - rows[r, at]
                out_short[i] = decayed(levels[r, at + 1], age, short)
                out_long[i] = decayed(levels[r, at + 2], age, long)
            else:
                out_short[i] = 0.0
                out_long[i] = 0.0


@njit(**HOT)
def decayed(level, age, half_life):
    """The level after `age` ms, 0 below FLOOR."""
    if age != 0:
        level *= np.exp2(-age / half_life)
    return level if level >= FLOOR else 0.0
