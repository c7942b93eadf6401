"""The partition that each number of a column belongs to: murmur2 of its published form, as in streams.kafka.partition.

A number is published as "+" and its digits, and Kafka's default partitioner takes MurmurHash2 of these bytes. They are
laid into three words instead of a buffer, since a kernel allocates nothing: 20 bytes hold any int64.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, HOT

_MULTIPLIER = np.uint64(0x5BD1E995)
_SEED = np.uint64(0x9747B28C)
_WORD = np.uint64(0xFFFFFFFF)
_PLUS = np.uint64(0x2B)
_ZERO = np.uint64(0x30)
_TEN = np.uint64(10)
_BYTE = np.uint64(8)
_SEVEN_BYTES = np.uint64(56)


@njit(**COMPILED)
def partition_of(numbers, partitions, out):
    """out[i] = the partition, 0 to `partitions` - 1, that numbers[i] belongs to on every topic.

    numbers: int64[n]; partitions: at least 1; out: int32[n]. A key <= 0 is the hash of a text and is published
    nowhere: it belongs to abs(key) % partitions, which the stray check makes the partition it arrived on."""
    for i in range(len(numbers)):
        key = numbers[i]
        if key > 0:
            out[i] = np.int64(murmur2(key) & np.uint64(0x7FFFFFFF)) % partitions
        else:
            # By the remainder, since the smallest int64 has no absolute value.
            out[i] = abs(key % -partitions)


@njit(**HOT)
def murmur2(number):
    """uint64 below 2**32: the hash of "+" and the digits of `number`, which is positive."""
    rest = np.uint64(number)
    length = 1
    first, second, third = np.uint64(0), np.uint64(0), np.uint64(0)
    # From the last digit to the first, each pushing those behind it one byte on.
    while rest > 0:
        third = third << _BYTE | second >> _SEVEN_BYTES
        second = second << _BYTE | first >> _SEVEN_BYTES
        first = first << _BYTE | (_ZERO + rest % _TEN)
        rest //= _TEN
        length += 1
    third = third << _BYTE | second >> _SEVEN_BYTES
    second = second << _BYTE | first >> _SEVEN_BYTES
    first = first << _BYTE | _PLUS
    h = _SEED ^ np.uint64(length)
    whole = length // 4
    for k in range(whole):
        k_word = quarter(first, second, third, k) * _MULTIPLIER & _WORD
        k_word = (k_word ^ k_word >> np.uint64(24)) * _MULTIPLIER & _WORD
        h = (h * _MULTIPLIER & _WORD) ^ k_word
    if length % 4 != 0:
        # The bytes behind the last digit are zeros already.
        h = (h ^ quarter(first, second, third, whole)) * _MULTIPLIER & _WORD
    h = (h ^ h >> np.uint64(13)) * _MULTIPLIER & _WORD
    return h ^ h >> np.uint64(15)


@njit(**HOT)
def quarter(first, second, third, k):
    """The k-th four bytes of the 24 in three words, little-endian."""
    word = first if k < 2 else second if k < 4 else third
    return word >> np.uint64(32 * (k & 1)) & _WORD
