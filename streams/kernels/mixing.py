"""One 64-bit mix for every hash table here: the finaliser of splitmix64 (Steele, Lea, Flood, OOPSLA 2014; Stafford's
variant 13). It maps 64 bits one to one, so different keys never collide before they are cut down to a table's size."""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.kernels.options import INNER

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, splitmix64's step
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@njit(**INNER)
def finalise(z):
    """uint64 -> uint64: every input bit reaches every output bit."""
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@njit(**INNER)
def mix(key):
    """int64 -> int64, all bits well mixed. Phone numbers differ in their last digits only; their mixes in half of all
    bits. `mix(key) & (capacity - 1)` is the home slot in a table of a power of two."""
    return np.int64(finalise(np.uint64(key) + GOLDEN))


@njit(**INNER)
def mix_pair(first, second):
    """Mix of an ordered pair of int64. For one `first` it is one to one in `second`; pairs that differ in both
    collide with a chance of 2**-64."""
    return mix(mix(first) ^ np.int64(second))
