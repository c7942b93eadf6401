"""Turns the text of a number into its int64 key, type and access code.

Two ways are fast: a string already in E.164 with the home country's code is read digit by digit, its type looked up by
the three digits behind the country code; any other string of at most 16 bytes is looked up in a cache that the exact
normaliser fills. The cache compares all 16 bytes, so no two spellings can be taken for each other.
"""

import numpy as np
from numba import njit

from streams.kernels.mixing import finalise
from streams.kernels.options import COMPILED, INNER
from streams.kernels.scan import SLOW, STRING
from streams.kernels.words import byte, load, prefix

NOT_FAST = 255


@njit(**INNER)
def e164_digits(buffer, at, length):
    """The digits of "+digits" as an int64, -1 if it is anything else or not 8 to 15 digits long."""
    if length < 9 or length > 16 or byte(buffer, at) != 43:
        return -1
    value = 0
    for k in range(1, length):
        d = byte(buffer, at + k) - 48
        if d < 0 or d > 9:
            return -1
        value = value * 10 + d
    return value


@njit(**INNER)
def slot_of(first, second, cache):
    """The slot of the 16 bytes (first, second) in the cache, or the empty slot where they would go.

    cache: uint64[capacity, 4]: 16 bytes of text, key, type + 256 * access; capacity a power of two, never full."""
    mask = np.uint64(cache.shape[0] - 1)
    slot = finalise(first ^ finalise(second)) & mask
    while cache[slot, 0] != 0 and not (cache[slot, 0] == first and cache[slot, 1] == second):
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@njit(**COMPILED)
def numbers(buffer, spans, kinds, field, longest, country, classes, cache, key, number_type, access, status, missed):
    """Fills key (int64[n]), number_type and access (uint8[n]) of a required field; returns how many records' indices
    it wrote to `missed` (int64[n]): strings that the cache does not know, or cannot hold.

    longest: bytes that a number's text may have; country: the two digits behind "+" of the home country; classes:
    uint8[1000, 16], the type by the next three digits and the count of all digits, NOT_FAST where the text alone does
    not settle it."""
    misses = 0
    for i in range(status.shape[0]):
        if status[i] == SLOW:
            continue
        at, length = spans[i, field, 0], spans[i, field, 1]
        if kinds[i, field] != STRING or length == 0 or length > longest:
            status[i] = SLOW
            continue
        if length > 16:
            missed[misses] = i
            misses += 1
            continue
        value = e164_digits(buffer, at, length)
        if value >= 0 and (byte(buffer, at + 1) - 48) * 10 + byte(buffer, at + 2) - 48 == country:
            three = (byte(buffer, at + 3) - 48) * 100 + (byte(buffer, at + 4) - 48) * 10 + byte(buffer, at + 5) - 48
            kind = classes[three, length - 1]
            if kind != NOT_FAST:
                key[i] = value
                number_type[i] = kind
                access[i] = 0
                continue
        first = prefix(load(buffer, at), length)
        slot = slot_of(first, prefix(load(buffer, at + 8), length - 8), cache)
        if cache[slot, 0] == 0:
            missed[misses] = i
            misses += 1
            continue
        key[i] = np.int64(cache[slot, 2])
        number_type[i] = cache[slot, 3] & np.uint64(255)
        access[i] = cache[slot, 3] >> np.uint64(8)
    return misses


@njit(**COMPILED)
def remember(first, second, key, packed, cache):
    """Enters one spelling; the caller keeps the cache at most half full. A text never starts with a NUL byte here:
    first == 0 marks an empty slot."""
    slot = slot_of(first, second, cache)
    cache[slot, 0] = first
    cache[slot, 1] = second
    cache[slot, 2] = np.uint64(key)
    cache[slot, 3] = packed
