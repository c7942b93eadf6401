"""Reads and compares words at an address, one or several at a time: the searches of short lists are built from these.

No bounds checks: addresses are those of arrays that the kernel's caller holds. LLVM does not turn every such loop into
vector instructions by itself (short ones it unrolls first), so the comparisons of several words are spelled out.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def word(typingctx, address, k):
    """The k-th int64 from `address`.

    Base and index stay apart, unlike in words.load: a loop over k becomes vector instructions only when LLVM sees that
    nothing but the index changes."""
    signature = types.int64(types.int64, types.int64)

    def codegen(context, builder, sig, args):
        value = builder.load(_element(builder, *args, 64))
        value.align = 8
        return value

    return signature, codegen


@intrinsic
def put_word(typingctx, address, k, value):
    """Stores the k-th int64 from `address`."""
    signature = types.void(types.int64, types.int64, types.int64)

    def codegen(context, builder, sig, args):
        builder.store(args[2], _element(builder, *args[:2], 64)).align = 8
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def octet(typingctx, address, k):
    """The k-th byte from `address`, as an int64."""
    signature = types.int64(types.int64, types.int64)

    def codegen(context, builder, sig, args):
        return builder.zext(builder.load(_element(builder, *args, 8)), ir.IntType(64))

    return signature, codegen


@intrinsic
def equal_8(typingctx, address, k, value):
    """int64 whose bit j says that the (k + j)-th int64 from `address` is `value`, j = 0 .. 7."""
    return types.int64(types.int64, types.int64, types.int64), _mask("==", 8)


@intrinsic
def equal_32(typingctx, address, k, value):
    """The same for j = 0 .. 31."""
    return types.int64(types.int64, types.int64, types.int64), _mask("==", 32)


@intrinsic
def equal_octets_32(typingctx, address, k, value):
    """The same for the bytes k .. k + 31 from `address`, and the low byte of `value`."""
    return types.int64(types.int64, types.int64, types.int64), _mask("==", 32, 8)


@intrinsic
def later_of_8(typingctx, address, k, value):
    """The number of the eight int64 from the k-th on that are larger than `value`."""
    mask = _mask(">", 8)

    def codegen(context, builder, sig, args):
        return builder.ctpop(mask(context, builder, sig, args))

    return types.int64(types.int64, types.int64, types.int64), codegen


def _mask(comparison, lanes, bits=64):
    """Code that compares so many integers with one value at once, and makes a bit of each answer."""

    def codegen(context, builder, sig, args):
        address, k, value = args
        vector = ir.VectorType(ir.IntType(bits), lanes)
        pointer = builder.bitcast(_element(builder, address, k, bits), vector.as_pointer())
        words = builder.load(pointer)
        words.align = bits // 8
        value = builder.trunc(value, ir.IntType(bits)) if bits < 64 else value
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
        first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
        answers = builder.icmp_signed(comparison, words, builder.shuffle_vector(one, one, first))
        return builder.zext(builder.bitcast(answers, ir.IntType(lanes)), ir.IntType(64))

    return codegen


def _element(builder, address, k, bits):
    return builder.gep(builder.inttoptr(address, ir.IntType(bits).as_pointer()), [k])
