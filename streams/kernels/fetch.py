"""From librdkafka's messages to columns: everything a poll has brought, without an object for any record.

Messages are read where librdkafka keeps them, by the layout of `rd_kafka_message_t` in its public header; what is not
in that struct is asked of librdkafka's own functions, by their addresses. `streams.kafka.native` checks both.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.cgutils import raw_memcpy
from numba.extending import intrinsic

from streams.kernels.options import COMPILED, HOT
from streams.kernels.words import byte, load

TOPICS_MAX = 250  # of one poll
FAILED = 255  # stands for the topic of a message that is an error
CONTENT, KEYS, NAMED, HEADERS, RECORDS = range(5)  # what `weigh` measures of a topic

# Bytes from the beginning of an `rd_kafka_message_t`.
ERROR_AT, TOPIC_AT, PARTITION_AT, VALUE_AT, KEY_AT, OFFSET_AT = 0, 8, 16, 24, 40, 56  # lengths lie behind texts
LOW = np.uint64(0xFFFFFFFF)


@intrinsic
def call(typingctx, function, a, b, c, d, e):
    """The result of the C function at address `function` for up to five integers or pointers, as an int64. One that
    returns 32 bits leaves the upper half undefined; one that takes fewer never looks at the rest."""
    signature = types.int64(*[types.int64] * 6)

    def codegen(context, builder, sig, args):
        word = ir.IntType(64)
        pointer = builder.inttoptr(args[0], ir.FunctionType(word, [word] * 5).as_pointer())
        return builder.call(pointer, args[1:])

    return signature, codegen


@intrinsic
def copy(typingctx, target, source, length):
    """Copies `length` bytes between addresses that do not overlap."""
    signature = types.void(types.int64, types.int64, types.int64)

    def codegen(context, builder, sig, args):
        to, at = (builder.inttoptr(each, ir.IntType(8).as_pointer()) for each in args[:2])
        raw_memcpy(builder, to, at, args[2], 1)
        return context.get_dummy_value()

    return signature, codegen


@njit(**HOT)
def low(word):
    """The signed 32 bits at the low end of a word."""
    return np.int64(np.int32(np.uint64(word) & LOW))


@njit(**HOT)
def headers_of(message, get_headers, scratch):
    """The address of a message's headers, 0 if it has none. scratch: address of a word.

    The number of its headers stands behind a record's value, and is one zero byte if there are none. Records of Kafka's
    older formats have no headers at all; what stands behind them may be any byte. librdkafka would make and free a list
    for each record that has none: that took half of the time of the whole fetch."""
    value, length = np.int64(load(message, VALUE_AT)), np.int64(load(message, VALUE_AT + 8))
    if length > 0 and byte(value, length) == 0:  # an empty value may stand anywhere
        return np.int64(0)
    if low(call(get_headers, message, scratch, 0, 0, 0)) != 0:
        return np.int64(0)
    return np.int64(load(scratch, 0))


@njit(**HOT)
def next_header(headers, number, get_header, scratch):
    """True if there is a header of this number; then the words at `scratch` are the addresses of its name and value
    and its value's length."""
    return low(call(get_header, headers, number, scratch, scratch + 8, scratch + 16)) == 0


@njit(**HOT)
def text_length(text):
    """Of a text that ends with a zero byte."""
    n = np.int64(0)
    while byte(text, n) != 0:
        n += 1
    return n


@njit(**COMPILED)
def weigh(messages, n, get_headers, get_header, topics, code, sizes, scratch):
    """Measures a poll before room is made for it; returns how many topics it has.

    messages: int64[m], the addresses of n messages. get_headers, get_header: addresses of functions. topics: int64[T],
    out: the handle of each topic, in the order of their first records. code: uint8[m], out: each message's place among
    them, FAILED for errors. sizes: int64[T, 5] of zeros, out, of each topic: bytes of values, keys and header texts,
    headers, records. scratch: int64[4]. Topics beyond T are FAILED too."""
    found = 0
    at = np.int64(scratch.ctypes.data)
    for i in range(n):
        message = messages[i]
        code[i] = FAILED
        if low(load(message, ERROR_AT)) != 0:
            continue
        topic = np.int64(load(message, TOPIC_AT))
        c = 0
        while c < found and topics[c] != topic:
            c += 1
        if c == topics.shape[0]:
            continue
        if c == found:
            topics[c] = topic
            found += 1
        code[i] = c
        sizes[c, RECORDS] += 1
        sizes[c, CONTENT] += np.int64(load(message, VALUE_AT + 8))
        sizes[c, KEYS] += np.int64(load(message, KEY_AT + 8))
        headers = headers_of(message, get_headers, at)
        number = 0
        while headers != 0 and next_header(headers, number, get_header, at):
            sizes[c, NAMED] += text_length(np.int64(load(at, 0))) + np.int64(load(at, 16))
            number += 1
        sizes[c, HEADERS] += number
    return found


@njit(**HOT)
def put_text(source, length, out, at):
    """Copies a text to byte `at` of the buffer at address `out`; returns its length, -1 for the null pointer."""
    if source == 0:
        return np.int64(-1)
    copy(out + at, source, length)
    return length


@njit(**HOT)
def is_named(name, length, wanted):
    if length != wanted.shape[0]:
        return False
    same = True
    for i in range(length):
        same &= byte(name, i) == wanted[i]
    return same


@njit(**COMPILED)
def drain(messages, n, code, wanted, functions, begins, numbers, spans, ends, out, heads, parts, scratch):
    """Copies n messages into columns and gives each back to librdkafka, errors excepted; returns how many it copied.

    Rows are sorted by topic, in order of arrival within one. messages, code: as `weigh` left them; an address becomes 0
    once its message is given back. wanted: uint8[k], the name of the header that is looked for. functions: int64[4],
    the addresses of those that give a message's timestamp, its headers, one of them, and that destroy it. begins:
    int64[T, 5], counted on here, of each topic: the first byte of its values, keys and header texts in `out`, its first
    header and its first row. numbers: int64[rows, 4], out: place of arrival, partition, offset, timestamp. spans:
    int64[rows, 2, 2], out: (first byte in `out`, length, -1 for none) of value and key. ends: int64[rows], out: the
    byte behind each value. out: address. heads: int64[rows, 3], out: first header, how many, and the first of them with
    the wanted name, -1 for none. parts: int64[h, 2, 2], out: spans of each header's name and value. scratch:
    int64[4]."""
    get_timestamp, get_headers, get_header, destroy = functions[0], functions[1], functions[2], functions[3]
    at = np.int64(scratch.ctypes.data)
    copied = np.int64(0)
    for i in range(n):
        c = code[i]
        if c == FAILED:
            continue
        message = messages[i]
        row = begins[c, RECORDS]
        begins[c, RECORDS] = row + 1
        numbers[row, 0] = copied
        numbers[row, 1] = low(load(message, PARTITION_AT))
        numbers[row, 2] = np.int64(load(message, OFFSET_AT))
        numbers[row, 3] = call(get_timestamp, message, 0, 0, 0, 0)
        for part in range(2):  # value, key
            field = message + VALUE_AT + part * (KEY_AT - VALUE_AT)
            spans[row, part, 0] = begins[c, part]
            length = put_text(np.int64(load(field, 0)), np.int64(load(field, 8)), out, begins[c, part])
            spans[row, part, 1] = length
            begins[c, part] += max(length, 0)
        ends[row] = begins[c, CONTENT]
        heads[row, 0] = begins[c, HEADERS]
        heads[row, 2] = -1
        headers = headers_of(message, get_headers, at)
        number = 0
        while headers != 0 and next_header(headers, number, get_header, at):
            h = begins[c, HEADERS] + number
            name, value = np.int64(load(at, 0)), np.int64(load(at, 8))
            length = text_length(name)
            if heads[row, 2] < 0 and is_named(name, length, wanted):
                heads[row, 2] = h
            parts[h, 0, 0] = begins[c, NAMED]
            parts[h, 0, 1] = put_text(name, length, out, begins[c, NAMED])
            begins[c, NAMED] += length
            parts[h, 1, 0] = begins[c, NAMED]
            length = put_text(value, np.int64(load(at, 16)), out, begins[c, NAMED])
            parts[h, 1, 1] = length
            begins[c, NAMED] += max(length, 0)
            number += 1
        begins[c, HEADERS] += number
        heads[row, 1] = number
        call(destroy, message, 0, 0, 0, 0)
        messages[i] = 0
        copied += 1
    return copied


@njit(**COMPILED)
def give_back(messages, n, destroy):
    """Destroys those of n messages that are not yet; returns how many they were."""
    count = 0
    for i in range(n):
        if messages[i] != 0:
            call(destroy, messages[i], 0, 0, 0, 0)
            messages[i] = 0
            count += 1
    return count
