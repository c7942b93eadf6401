"""Fetches a cache line before it is needed, so that a batch's misses overlap instead of queueing up.

With a million numbers nearly every event touches a row that is in no cache, and waits about 100 ns for it. A row's
address depends on the batch only, which is known in advance: a pass that asks for event i + AHEAD while event i is
worked on took 50 ns an event where the plain pass took 160 (two lines a row, 2 M rows of 128 bytes, one core).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

AHEAD = 16  # events; 8 to 32 measure the same


@intrinsic
def prefetch_row(typingctx, rows2d, i, j):
    """`prefetch_row(rows2d, i, j)`, inside kernels only: fetch the cache line (64 bytes) that holds `rows2d[i, j]`.

    rows2d: any C-contiguous 2-D array (other layouts do not compile). i, j: integers. Returns nothing, changes
    nothing, and never faults: an index out of range (or -1, "no row") costs time at most. Rows longer than a line
    need one call per line: j = 0, 8, 16 ... for int64.
    """
    if not (isinstance(rows2d, types.Array) and rows2d.ndim == 2 and rows2d.layout == "C"):
        return None
    if not (isinstance(i, types.Integer) and isinstance(j, types.Integer)):
        return None

    def codegen(context, builder, signature, args):
        array_type, i_type, j_type = signature.args
        array = context.make_array(array_type)(context, builder, args[0])
        row = context.cast(builder, args[1], i_type, types.int64)
        column = context.cast(builder, args[2], j_type, types.int64)
        columns = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        # A plain address computation, without `inbounds`: LLVM may assume nothing about where it points.
        address = builder.gep(array.data, [builder.add(builder.mul(row, columns), column)])
        byte_pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte_pointer, flag, flag, flag]), "llvm.prefetch.p0i8"
        )
        # For reading: a line that is then written is upgraded in place, and asking for it in writing mode needs a
        # processor feature that is not everywhere.
        read, keep_in_all_caches, data = flag(0), flag(3), flag(1)
        builder.call(function, [builder.bitcast(address, byte_pointer), read, keep_in_all_caches, data])
        return context.get_dummy_value()

    return types.void(rows2d, i, j), codegen
