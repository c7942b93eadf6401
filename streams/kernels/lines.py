"""Reads lines of recorded traffic as `kcat -C -J` prints them, without making a Python object of any of them.

A line is understood completely or not at all: a flat object of strings, plain numbers, true, false, null and flat lists
of strings (kcat's headers), each known field once. Whatever else comes is SLOW and left to the exact reader, one line
at a time. Keys and payloads are written out as they were before they were quoted, one behind the other.
"""

import numpy as np
from numba import njit

from streams.kernels.fields import digits
from streams.kernels.options import COMPILED, INNER
from streams.kernels.scan import (
    OK,
    SLOW,
    find_field,
    hex4,
    is_name,
    literal_end,
    name_words,
    number_end,
    skip_space,
    string_end,
    utf8_length,
)
from streams.kernels.words import HIGHS, byte, load, prefix, put, put_byte, special, trailing_zeros

NAMES = (
    *("topic", "partition", "offset", "ts", "key", "payload", "headers"),
    *("key_base64", "payload_base64", "headers_base64"),
)
TOPIC, PARTITION, OFFSET, TS, KEY, PAYLOAD, HEADERS = range(7)  # what is only read exactly comes behind
NAME_WORDS = name_words(NAMES)
REQUIRED = 1 << TOPIC | 1 << PARTITION | 1 << OFFSET
PARTITIONS_MAX = 1 << 20  # as the exact reader has it
NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
LOWS = np.uint64(0x7F7F7F7F7F7F7F7F)


@njit(**COMPILED)
def line_ends(buffer, length, ends):
    """Writes the places behind the line feeds of `length` bytes at address `buffer` to `ends` (int64[m]), at most m,
    and returns how many. PADDING bytes behind the buffer are read, not heeded."""
    count, at = 0, np.int64(0)
    while at < length and count < ends.shape[0]:
        word = load(buffer, at) ^ NEWLINES
        marks = ~(((word & LOWS) + LOWS) | word | LOWS) & HIGHS  # exact in every byte
        while marks != 0 and count < ends.shape[0]:
            place = at + (trailing_zeros(marks) >> 3)
            if place >= length:
                break
            ends[count] = place + 1
            count += 1
            marks &= marks - np.uint64(1)
        at += 8
    return count


@njit(**INNER)
def put_utf8(out, to, code):
    """Writes a character; returns the place behind it."""
    if code < 0x80:
        put_byte(out, to, code)
        return to + 1
    if code < 0x800:
        put_byte(out, to, 0xC0 | code >> 6)
        put_byte(out, to + 1, 0x80 | code & 0x3F)
        return to + 2
    if code < 0x10000:
        put_byte(out, to, 0xE0 | code >> 12)
        put_byte(out, to + 1, 0x80 | code >> 6 & 0x3F)
        put_byte(out, to + 2, 0x80 | code & 0x3F)
        return to + 3
    put_byte(out, to, 0xF0 | code >> 18)
    put_byte(out, to + 1, 0x80 | code >> 12 & 0x3F)
    put_byte(out, to + 2, 0x80 | code >> 6 & 0x3F)
    put_byte(out, to + 3, 0x80 | code & 0x3F)
    return to + 4


@njit(**INNER)
def unescape(buffer, at, out, to):
    """Writes what the escape at `at` stands for; (place behind the escape, place behind what was written), the first
    -1 for a malformed one or half of a surrogate pair."""
    c = byte(buffer, at + 1)
    if c == 34 or c == 92 or c == 47:
        put_byte(out, to, c)
        return at + 2, to + 1
    if c == 117:
        code = hex4(buffer, at + 2)
        at += 6
        if 0xD800 <= code < 0xDC00 and byte(buffer, at) == 92 and byte(buffer, at + 1) == 117:
            low = hex4(buffer, at + 2)
            if not 0xDC00 <= low < 0xE000:
                return np.int64(-1), to
            code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
            at += 6
        if code < 0 or 0xD800 <= code < 0xE000:
            return np.int64(-1), to
        return at, put_utf8(out, to, code)
    plain = 0
    if c == 110:
        plain = 10
    elif c == 116:
        plain = 9
    elif c == 114:
        plain = 13
    elif c == 98:
        plain = 8
    elif c == 102:
        plain = 12
    else:
        return np.int64(-1), to
    put_byte(out, to, plain)
    return at + 2, to + 1


@njit(**INNER)
def copy_string(buffer, at, end, out, to):
    """Copies the string whose first character is at `at` to address `out` + `to`, unescaped; (place of the closing
    quote, place behind the copy), the first -1 if it is not closed before `end` or not well-formed.

    Up to 8 bytes behind the copy are written as well."""
    while at < end:
        word = load(buffer, at)
        put(out, to, np.int64(word))
        marks = special(word)
        if marks == 0:
            at += 8
            to += 8
            continue
        plain = trailing_zeros(marks) >> 3
        at += plain
        to += plain
        if at >= end:
            return np.int64(-1), to
        c = byte(buffer, at)
        if c == 34:
            return at, to
        if c == 92 and byte(buffer, at + 1) == 34:  # nearly every escape of a record inside a record
            put_byte(out, to, 34)
            at += 2
            to += 1
            if at > end:
                return np.int64(-1), to
            continue
        if c == 92:
            at, to = unescape(buffer, at, out, to)
            if at < 0 or at > end:
                return np.int64(-1), to
            continue
        step = utf8_length(buffer, at) if c >= 0x80 else 0
        if step == 0 or at + step > end:
            return np.int64(-1), to
        put(out, to, np.int64(load(buffer, at)))
        at += step
        to += step
    return np.int64(-1), to


@njit(**INNER)
def list_end(buffer, at, end):
    """The place behind the flat list of strings, true, false and null at `at`, -1 if it is anything else."""
    at = skip_space(buffer, at + 1, end)
    if at < end and byte(buffer, at) == 93:
        return at + 1
    while at < end:
        if byte(buffer, at) == 34:
            close, _ = string_end(buffer, at + 1, end)
            at = close + 1
        else:
            at, _ = literal_end(buffer, at, end)
            close = at
        if close < 0:
            return np.int64(-1)
        at = skip_space(buffer, at, end)
        if at >= end:
            return np.int64(-1)
        if byte(buffer, at) == 93:
            return at + 1
        if byte(buffer, at) != 44:
            return np.int64(-1)
        at = skip_space(buffer, at + 1, end)
    return np.int64(-1)


@njit(**INNER)
def whole_number(buffer, at, stop, limit):
    """The number in digits from `at` to `stop`, -1 if it is anything else or not below `limit`."""
    if stop - at > 18:
        return np.int64(-1)
    value = digits(buffer, at, stop - at)
    return value if value < limit else np.int64(-1)


@njit(**INNER)
def find_topic(buffer, at, length, topics):
    """The index in `topics` (uint64[T, 3] by `name_words`) of the `length` bytes at `at`, -1 if they are none of
    them."""
    if length > 16:
        return np.int64(-1)
    first, second = prefix(load(buffer, at), length), prefix(load(buffer, at + 8), length - 8)
    for t in range(topics.shape[0]):
        if topics[t, 0] == first and topics[t, 1] == second and topics[t, 2] == np.uint64(length):
            return np.int64(t)
    return np.int64(-1)


@njit(**INNER)
def read_line(buffer, at, end, names, fields, following, topics, out, to, i, topic, numbers, spans, lists):
    """Reads the line in buffer[at:end] into row i of `topic`, `numbers`, `spans` and `lists`; the place in `out` behind
    its texts, -1 if it is SLOW."""
    at = skip_space(buffer, at, end)
    if at >= end or byte(buffer, at) != 123:
        return np.int64(-1)
    at += 1
    seen, last = 0, fields - 1
    while True:
        at = skip_space(buffer, at, end)
        if at >= end or byte(buffer, at) != 34:
            return np.int64(-1)
        # Tools repeat the order of their fields: the first guess is nearly always right.
        field = np.int64(load(following, last * 8))
        if is_name(buffer, at + 1, names, field):
            close = at + 1 + np.int64(load(names, field * 24 + 16))
        else:
            field = find_field(buffer, at + 1, names, fields)
            close, escaped = string_end(buffer, at + 1, end)
            if close < 0 or escaped:
                return np.int64(-1)
        if field > HEADERS or (field >= 0 and seen >> field & 1):
            return np.int64(-1)
        at = skip_space(buffer, close + 1, end)
        if at >= end or byte(buffer, at) != 58:
            return np.int64(-1)
        at = skip_space(buffer, at + 1, end)
        if at >= end:
            return np.int64(-1)
        start, c = at, byte(buffer, at)
        if field == HEADERS:
            if c == 91:
                at = list_end(buffer, at, end)
                stop = at
                lists[i, 0] = start
                lists[i, 1] = stop - start
            else:
                at, null = literal_end(buffer, at, end)
                stop = at if null else np.int64(-1)
        elif field >= KEY:
            if c == 34:
                spans[i, field - KEY, 0] = to
                at, to = copy_string(buffer, at + 1, end, out, to)
                spans[i, field - KEY, 1] = to - spans[i, field - KEY, 0]
                stop = at
                at += 1
            else:
                at, null = literal_end(buffer, at, end)
                stop = at if null else np.int64(-1)
        elif c == 34:
            stop, escaped = string_end(buffer, at + 1, end)
            at = stop + 1
            if field == TOPIC and not escaped and stop > 0:
                topic[i] = find_topic(buffer, start + 1, stop - start - 1, topics)
                if topic[i] < 0:
                    return np.int64(-1)
            elif field >= 0:
                return np.int64(-1)
        elif c == 45 or 48 <= c <= 57:
            at = number_end(buffer, at, end)
            stop = at
            if field == TOPIC or at < 0:
                return np.int64(-1)
            if field >= 0:
                if field == TS and at - start == 2 and c == 45 and byte(buffer, start + 1) == 49:
                    numbers[i, TS - 1] = -1
                else:
                    limit = PARTITIONS_MAX if field == PARTITION else 1 << 62
                    numbers[i, field - 1] = whole_number(buffer, start, at, limit)
                    if numbers[i, field - 1] < 0:
                        return np.int64(-1)
        elif field >= 0:
            return np.int64(-1)
        elif c == 91:
            at = list_end(buffer, at, end)
            stop = at
        else:
            at, _ = literal_end(buffer, at, end)
            stop = at
        if stop < 0:
            return np.int64(-1)
        if field >= 0:
            seen |= 1 << field
            put(following, last * 8, field)
            last = field
        at = skip_space(buffer, at, end)
        if at >= end:
            return np.int64(-1)
        if byte(buffer, at) == 44:
            at += 1
        elif byte(buffer, at) == 125:
            whole = skip_space(buffer, at + 1, end) == end and seen & REQUIRED == REQUIRED
            return to if whole else np.int64(-1)
        else:
            return np.int64(-1)


@njit(**COMPILED)
def read_lines(buffer, begin, ends, names, following, topics, out, topic, numbers, spans, lists, status):
    """Reads n lines, the first from `begin` on; returns how many bytes of texts were written to `out`.

    buffer: address (PADDING bytes behind the last line), ends: int64[n], names: NAME_WORDS, following: int64[10], kept
    between calls, topics: uint64[T, 3] by `name_words`, out: address of as many bytes as all lines have, and PADDING,
    topic: int64[n], place among `topics`, numbers: int64[n, 3], partition, offset and ts (-1 where there is none),
    spans: int64[n, 2, 2], (place in `out`, length) of key and payload, length -1 where it is null or absent,
    lists: int64[n, 2], (place in `buffer`, length) of the list of headers, length 0 where there is none,
    status: uint8[n], OK or SLOW; a SLOW row holds nothing of use."""
    at, to = np.int64(begin), np.int64(0)
    names_at, following_at = np.int64(names.ctypes.data), np.int64(following.ctypes.data)
    for i in range(ends.shape[0]):
        numbers[i, 2] = -1
        spans[i, 0, 1] = -1
        spans[i, 1, 1] = -1
        lists[i, 1] = 0
        done = read_line(
            buffer,
            at,
            ends[i],
            names_at,
            names.shape[0],
            following_at,
            topics,
            out,
            to,
            i,
            topic,
            numbers,
            spans,
            lists,
        )
        status[i] = SLOW if done < 0 else OK
        if done >= 0:
            to = done
        at = ends[i]
    return to


@njit(**COMPILED)
def gather(source, begins, lengths, out, ends):
    """Lays n texts out one behind the other. source: address, begins, lengths: int64[n] (a negative length counts as
    none), out: address of as many bytes as they have together, and 8, ends: int64[n]."""
    to = np.int64(0)
    for i in range(begins.shape[0]):
        at, left = begins[i], lengths[i]
        while left >= 8:
            put(out, to, np.int64(load(source, at)))
            at += 8
            to += 8
            left -= 8
        while left > 0:
            put_byte(out, to, byte(source, at))
            at += 1
            to += 1
            left -= 1
        ends[i] = to
