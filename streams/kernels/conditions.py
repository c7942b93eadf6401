"""The `when` of rules: a rule's events are left one condition after the other, each at the first that is false.

An event is left, too, where a value is missing: whatever stands around a missing value, it makes the whole false. So
nothing that is behind is looked at, and most events of most rules are left at the first comparison. A condition that
compares two values is a loop of its own; any other is a program for a machine with a small stack.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from streams.kernels.options import COMPILED, HOT
from streams.kernels.words import byte

# What a program's step does; of VALUE the argument is the value's place.
(
    VALUE, NEGATE, ADD, SUBTRACT, MULTIPLY, DIVIDE, LESS, AT_MOST, MORE, AT_LEAST, EQUAL, UNEQUAL, AND, OR, NOT,
) = range(15)  # fmt: skip
# A value's kind, and the columns that say where it lies. CODE: a byte, 0 where absent. NUMBER: a float, NaN where
# absent, and taken for absent where the float at SAMPLES, if that is an address, is less than AT_LEAST_SAMPLES. LIMIT:
# what is in force at each event, of the masks FIRST to END; a constant has none.
CODE, NUMBER, LIMIT = range(3)
KIND, ADDRESS, STRIDE, SAMPLES, SAMPLES_STRIDE, AT_LEAST_SAMPLES = range(6)
FIRST, END = ADDRESS, STRIDE
# A rule's columns, and a condition's: its steps, and if it compares two values, how and which; else NO_TEST.
BEGIN, STOP, EVENTS, LOOKS = range(4)
TEST, LEFT, RIGHT = range(2, 5)
NO_TEST = -1


@intrinsic
def number(typingctx, address):
    """The float64 at `address` (int64)."""
    signature = types.float64(types.int64)

    def codegen(context, builder, sig, args):
        pointer = builder.inttoptr(args[0], ir.DoubleType().as_pointer())
        found = builder.load(pointer)
        found.align = 1
        return found

    return signature, codegen


@njit(**COMPILED)
def firings(rules, conditions, program, values, defaults, masks, in_force, stack, fired, counts):
    """Finds the events at which rules fire; returns how many there are.

    rules: int64[r, 4], each one's conditions, number of events, and address of a byte for each event, not 0 where the
    rule looks. conditions: int64[c, 5]. program: int64[p, 2]. values: int64[v, 6], with their defaults, float64[v], NaN
    for none; of limits, what is always in force. masks: int64[m], addresses of a byte an event; in_force: float64[m],
    the limit where that is not 0. stack: float64, as deep as any program needs. fired: int64, room for all events of
    each rule: gets the events of the first rule, then those of the next. counts: int64[r], how many of each."""
    k = 0
    for r in range(len(rules)):
        n, looks, m = rules[r, EVENTS], rules[r, LOOKS], 0
        for i in range(n):
            fired[k + m] = i
            m += 1 if byte(looks, i) != 0 else 0
        for c in range(rules[r, BEGIN], rules[r, STOP]):
            begin, stop, test, left, right = conditions[c]
            if test == AT_LEAST and is_plain(left, values, defaults) and is_constant(right, values):
                m = keep_at_least(fired, k, m, values[left, ADDRESS], values[left, STRIDE], defaults[right])
                continue
            kept = k
            for j in range(k, k + m):
                i = fired[j]
                if test != NO_TEST:
                    a = value_of(i, left, values, defaults, masks, in_force)
                    b = value_of(i, right, values, defaults, masks, in_force)
                    stays = a == a and b == b and joined(test, a, b) != 0.0
                else:
                    stays = holds(i, begin, stop, program, values, defaults, masks, in_force, stack)
                fired[kept] = i
                kept += 1 if stays else 0
            m = kept - k
        counts[r] = m
        k += m
    return k


@njit(**HOT)
def is_plain(v, values, defaults):
    """True if the value in place v is a column of numbers, and nothing else to be asked."""
    return values[v, KIND] == NUMBER and values[v, SAMPLES] == 0 and defaults[v] != defaults[v]


@njit(**HOT)
def is_constant(v, values):
    return values[v, KIND] == LIMIT and values[v, FIRST] == values[v, END]


@njit(**HOT)
def keep_at_least(fired, k, m, address, stride, bound):
    """Keeps those of the m events from place k on whose number is at least `bound`; returns how many. Most conditions
    that come first are of this form, and those decide most events."""
    kept = k
    for j in range(k, k + m):
        i = fired[j]
        fired[kept] = i
        kept += 1 if number(address + i * stride) >= bound else 0  # NaN is not
    return kept - k


@njit(**HOT)
def holds(i, begin, stop, program, values, defaults, masks, in_force, stack):
    """True if a condition is true for event i. NaN in a result stands for a missing value."""
    top = -1
    for p in range(begin, stop):
        step = program[p, 0]
        if step == VALUE:
            x = value_of(i, program[p, 1], values, defaults, masks, in_force)
            top += 1
        elif step == NEGATE:
            x = -stack[top]
        elif step == NOT:
            x = 1.0 - stack[top]
        else:
            top -= 1
            x = joined(step, stack[top], stack[top + 1])
        if x != x:
            return False
        stack[top] = x
    return stack[0] != 0.0


@njit(**HOT)
def joined(step, a, b):
    """The result of two operands; true is 1, false is 0."""
    if step == AT_LEAST:
        return 1.0 if a >= b else 0.0
    if step == AT_MOST:
        return 1.0 if a <= b else 0.0
    if step == EQUAL:
        return 1.0 if a == b else 0.0
    if step == UNEQUAL:
        return 1.0 if a != b else 0.0
    if step == MORE:
        return 1.0 if a > b else 0.0
    if step == LESS:
        return 1.0 if a < b else 0.0
    if step == ADD:
        return a + b
    if step == SUBTRACT:
        return a - b
    if step == MULTIPLY:
        return a * b
    if step == DIVIDE:
        return a / b if b != 0.0 else np.nan
    if step == AND:
        return a * b
    return max(a, b)  # OR


@njit(**HOT)
def value_of(i, v, values, defaults, masks, in_force):
    """The value in place v for event i, NaN where it is absent."""
    kind = values[v, KIND]
    if kind == NUMBER:
        x = number(values[v, ADDRESS] + i * values[v, STRIDE])
        samples = values[v, SAMPLES]
        if samples != 0 and not number(samples + i * values[v, SAMPLES_STRIDE]) >= values[v, AT_LEAST_SAMPLES]:
            x = np.nan
        return x if x == x else defaults[v]
    if kind == CODE:
        code = byte(values[v, ADDRESS], i * values[v, STRIDE])
        return np.float64(code) if code != 0 else np.nan
    x = defaults[v]
    for m in range(values[v, FIRST], values[v, END]):
        if byte(masks[m], i) != 0:
            x = in_force[m]
    return x
