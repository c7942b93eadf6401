"""Eight bytes at a time: unaligned loads from a byte buffer, and searches inside one 64-bit word.

Buffers carry at least PADDING bytes behind their last value, so that a load near the end stays inside.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from streams.kernels.mixing import GOLDEN, finalise
from streams.kernels.options import COMPILED, HOT

PADDING = 16

ONES = np.uint64(0x0101010101010101)
HIGHS = np.uint64(0x8080808080808080)
QUOTES = np.uint64(0x2222222222222222)
BACKSLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)
SPACES = np.uint64(0x2020202020202020)


@intrinsic
def load(typingctx, buffer, offset):
    """The 8 bytes at address `buffer` + `offset` (both int64) as a little-endian uint64. No bounds check.

    Buffers are passed as addresses, since numba counts references to an array at every call of a small function,
    atomically: that took more than half of the time of scanning a record."""
    signature = types.uint64(types.int64, types.int64)

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(64).as_pointer())
        word = builder.load(pointer)
        word.align = 1
        return word

    return signature, codegen


@intrinsic
def byte(typingctx, buffer, offset):
    """The byte at address `buffer` + `offset` as an int64. No bounds check."""
    signature = types.int64(types.int64, types.int64)

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(8).as_pointer())
        return builder.zext(builder.load(pointer), ir.IntType(64))

    return signature, codegen


@intrinsic
def put(typingctx, buffer, offset, word):
    """Stores int64 `word` at address `buffer` + `offset`. No bounds check."""
    signature = types.void(types.int64, types.int64, types.int64)

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(64).as_pointer())
        builder.store(args[2], pointer)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def put_byte(typingctx, buffer, offset, value):
    """Stores the low byte of int64 `value` at address `buffer` + `offset`. No bounds check."""
    signature = types.void(types.int64, types.int64, types.int64)

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(builder.add(args[0], args[1]), ir.IntType(8).as_pointer())
        builder.store(builder.trunc(args[2], ir.IntType(8)), pointer)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def trailing_zeros(typingctx, word):
    """The number of zero bits that a non-zero uint64 ends with."""
    signature = types.int64(types.uint64)

    def codegen(context, builder, sig, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, codegen


@njit(**HOT)
def special(word):
    """Marks (bit 7 of a byte) the bytes that end or bend a JSON string: quote, backslash, control, non-ASCII.

    Bytes above the first marked one may be marked wrongly (borrows travel upwards): use the lowest only."""
    quote = word ^ QUOTES
    slash = word ^ BACKSLASHES
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | ((word - SPACES) & ~word) | word) & HIGHS


@njit(**HOT)
def prefix(word, length):
    """`word` with all but its first `length` bytes zeroed; length 0 to 8 (more counts as 8)."""
    if length >= 8:
        return word
    if length <= 0:
        return np.uint64(0)
    return word & ((np.uint64(1) << np.uint64(8 * length)) - np.uint64(1))


@njit(**COMPILED)
def hash_bytes(buffer, start, length):
    """A non-zero int64 hash of `length` bytes at address `buffer` + `start`; the same in every process."""
    h = GOLDEN ^ np.uint64(length)
    at = start
    left = length
    while left > 0:
        h = finalise(h ^ prefix(load(buffer, at), left)) + GOLDEN
        at += 8
        left -= 8
    out = np.int64(finalise(h))
    return out if out != 0 else np.int64(1)
