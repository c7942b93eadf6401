"""Finds the known fields of flat JSON objects without making a Python object of any of them.

Every value is read inside its own bounds, so no record can reach into its neighbour. The scanner accepts only what it
understands completely: a flat object of strings, plain numbers, true, false and null. Whatever else comes (nesting,
escapes in a key, lone surrogates, control characters, a field given twice, anything malformed) is left to the exact
decoder, one record at a time: `status` says SLOW. It never rejects a record itself.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, INNER
from streams.kernels.words import byte, load, prefix, put, put_byte, special, trailing_zeros

OK, SLOW = 0, 1
# What stands in a field.
ABSENT, STRING, ESCAPED, NUMBER, OTHER, NULL = range(6)


def name_words(names):
    """uint64[len(names), 3]: first and second 8 bytes of each name (at most 16), and its length."""
    out = np.zeros((len(names), 3), np.uint64)
    for i, name in enumerate(names):
        raw = name.encode().ljust(16, b"\0")
        out[i] = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"), len(name)
    return out


@njit(**INNER)
def is_continuation(byte):
    return (byte & 0xC0) == 0x80


@njit(**INNER)
def utf8_length(buffer, at):
    """Bytes of the well-formed multi-byte character at `at`, 0 if there is none (Unicode table 3-7)."""
    b0, b1, b2, b3 = byte(buffer, at), byte(buffer, at + 1), byte(buffer, at + 2), byte(buffer, at + 3)
    if 0xC2 <= b0 <= 0xDF:
        return 2 if is_continuation(b1) else 0
    if 0xE0 <= b0 <= 0xEF:
        low = 0xA0 if b0 == 0xE0 else 0x80
        high = 0x9F if b0 == 0xED else 0xBF
        return 3 if low <= b1 <= high and is_continuation(b2) else 0
    if 0xF0 <= b0 <= 0xF4:
        low = 0x90 if b0 == 0xF0 else 0x80
        high = 0x8F if b0 == 0xF4 else 0xBF
        return 4 if low <= b1 <= high and is_continuation(b2) and is_continuation(b3) else 0
    return 0


@njit(**INNER)
def hex4(buffer, at):
    """The number in four hexadecimal digits at `at`, -1 if they are none."""
    code = 0
    for k in range(4):
        d = byte(buffer, at + k)
        if 48 <= d <= 57:
            code = code * 16 + d - 48
        elif 97 <= d <= 102:
            code = code * 16 + d - 87
        elif 65 <= d <= 70:
            code = code * 16 + d - 55
        else:
            return -1
    return code


@njit(**INNER)
def escape_length(buffer, at):
    """Bytes of the escape that starts with the backslash at `at`; 0 for a malformed one or a surrogate."""
    c = byte(buffer, at + 1)
    if c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
        return 2
    if c != 117:
        return 0
    code = hex4(buffer, at + 2)
    return 0 if code < 0 or 0xD800 <= code <= 0xDFFF else 6


@njit(**INNER)
def string_end(buffer, at, end):
    """(place of the closing quote, whether there are escapes) of the string whose first character is at `at`;
    place -1 if it is not closed before `end` or not well-formed."""
    escaped = False
    while at < end:
        marks = special(load(buffer, at))
        if marks == 0:
            at += 8
            continue
        at += trailing_zeros(marks) >> 3
        if at >= end:
            return -1, escaped
        c = byte(buffer, at)
        if c == 34:
            return at, escaped
        if c == 92:
            escaped = True
            step = escape_length(buffer, at)
        elif c >= 0x80:
            step = utf8_length(buffer, at)
        else:
            step = 0
        if step == 0 or at + step > end:
            return -1, escaped
        at += step
    return -1, escaped


@njit(**INNER)
def number_end(buffer, at, end):
    """The place behind the JSON number at `at`, -1 if it is none (RFC 8259, section 6)."""
    if byte(buffer, at) == 45:
        at += 1
    if at >= end:
        return -1
    if byte(buffer, at) == 48:
        at += 1
    elif 49 <= byte(buffer, at) <= 57:
        while at < end and 48 <= byte(buffer, at) <= 57:
            at += 1
    else:
        return -1
    if at < end and (byte(buffer, at) == 46 or byte(buffer, at) == 101 or byte(buffer, at) == 69):
        return -1  # fractions and exponents: the exact decoder says what they are
    return at


@njit(**INNER)
def literal_end(buffer, at, end):
    """(place behind true, false or null at `at`, whether it is null); place -1 if it is none of them."""
    word = load(buffer, at)
    if at + 4 <= end:
        four = prefix(word, 4)
        if four == np.uint64(0x65757274):
            return at + 4, False
        if four == np.uint64(0x6C6C756E):
            return at + 4, True
    if at + 5 <= end and prefix(word, 5) == np.uint64(0x65736C6166):
        return at + 5, False
    return -1, False


@njit(**INNER)
def skip_space(buffer, at, end):
    if byte(buffer, at) > 32:
        return at
    while at < end and (
        byte(buffer, at) == 32 or byte(buffer, at) == 10 or byte(buffer, at) == 13 or byte(buffer, at) == 9
    ):
        at += 1
    return at


@njit(**INNER)
def is_name(buffer, at, names, f):
    """True if the string that starts at `at` is the name of field f, closing quote included."""
    length = np.int64(load(names, f * 24 + 16))
    return (
        prefix(load(buffer, at), length) == load(names, f * 24)
        and prefix(load(buffer, at + 8), length - 8) == load(names, f * 24 + 8)
        and byte(buffer, at + length) == 34
    )


@njit(**INNER)
def find_field(buffer, at, names, fields):
    """The index of the known field whose name starts at `at`; -1 if none."""
    for f in range(fields):
        if is_name(buffer, at, names, f):
            return f
    return -1


@njit(**INNER)
def scan_object(buffer, at, end, names, fields, following, spans, kinds):
    """Scans the object in buffer[at:end], with `names`, `following`, and its own rows of `spans` and `kinds` given as
    addresses; OK or SLOW."""
    at = skip_space(buffer, at, end)
    if at >= end or byte(buffer, at) != 123:
        return SLOW
    at += 1
    last = fields - 1
    while True:
        at = skip_space(buffer, at, end)
        if at >= end or byte(buffer, at) != 34:
            return SLOW
        # Feeds repeat the order of their fields: the first guess is nearly always right.
        field = np.int64(load(following, last * 8))
        if is_name(buffer, at + 1, names, field):
            close = at + 1 + np.int64(load(names, field * 24 + 16))
        else:
            field = find_field(buffer, at + 1, names, fields)
            close, escaped = string_end(buffer, at + 1, end)
            if close < 0 or escaped:
                return SLOW
        at = skip_space(buffer, close + 1, end)
        if at >= end or byte(buffer, at) != 58:
            return SLOW
        at = skip_space(buffer, at + 1, end)
        if at >= end:
            return SLOW
        start = at
        c = byte(buffer, at)
        if c == 34:
            start = at + 1
            stop, escaped = string_end(buffer, start, end)
            at = stop + 1
            kind = ESCAPED if escaped else STRING
        elif c == 45 or 48 <= c <= 57:
            stop = number_end(buffer, at, end)
            at = stop
            kind = NUMBER
        else:
            stop, null = literal_end(buffer, at, end)
            at = stop
            kind = NULL if null else OTHER
        if stop < 0:
            return SLOW
        if field >= 0:
            if byte(kinds, field) != ABSENT:
                return SLOW
            put_byte(kinds, field, kind)
            put(spans, field * 16, start)
            put(spans, field * 16 + 8, stop - start)
            put(following, last * 8, field)
            last = field
        at = skip_space(buffer, at, end)
        if at >= end:
            return SLOW
        if byte(buffer, at) == 44:
            at += 1
        elif byte(buffer, at) == 125:
            return OK if skip_space(buffer, at + 1, end) == end else SLOW
        else:
            return SLOW


@njit(**COMPILED)
def scan(buffer, ends, names, following, spans, kinds, status):
    """Scans n records that lie one behind the other.

    buffer: address of the first byte (PADDING bytes behind the last record), ends: int64[n] (record i is
    buffer[ends[i-1]:ends[i]]), names: uint64[F, 3] by `name_words`, following: int64[F], which field came after each
    field last time, kept between calls, spans: int64[n, F, 2] (start, length), kinds: uint8[n, F] zeroed,
    status: uint8[n]."""
    at = np.int64(0)  # as a literal it would have `scan_object` compiled a second time for the type "0"
    fields = names.shape[0]
    names_at, following_at = np.int64(names.ctypes.data), np.int64(following.ctypes.data)
    spans_at, kinds_at = np.int64(spans.ctypes.data), np.int64(kinds.ctypes.data)
    for i in range(ends.shape[0]):
        status[i] = scan_object(
            buffer, at, ends[i], names_at, fields, following_at, spans_at + i * fields * 16, kinds_at + i * fields
        )
        at = ends[i]
