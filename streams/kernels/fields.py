"""Turns the spans that `scan` found into columns: times, enumerations, hashes. One field, n records, per call.

A field that these kernels do not understand completely sets status[i] to SLOW and leaves the record to the exact
decoder; they never judge a record themselves. `required` makes an absent field SLOW too.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, INNER
from streams.kernels.scan import ABSENT, NULL, NUMBER, OTHER, SLOW, STRING
from streams.kernels.words import byte, hash_bytes, load, prefix

YEAR_2000_MS = 946_684_800_000
YEAR_10000_MS = 253_402_300_800_000
FEED_CODES = 1 << 16  # of feeds; 0 is for records that name none


@njit(**INNER)
def digits(buffer, at, count):
    """The decimal number in `count` digits at `at`, -1 if one of them is no digit."""
    value = 0
    for k in range(count):
        d = byte(buffer, at + k) - 48
        if d < 0 or d > 9:
            return -1
        value = value * 10 + d
    return value


@njit(**INNER)
def days_from_civil(year, month, day):
    """Days since 1970-01-01 of a Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms")."""
    if month <= 2:
        year -= 1
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


@njit(**INNER)
def rfc3339_utc(buffer, at, length):
    """ms of "YYYY-MM-DDTHH:MM:SS[.fraction]Z", -1 for anything else (offsets and oddities: the exact decoder)."""
    if length < 20 or length > 30 or byte(buffer, at + length - 1) != 90:
        return -1
    if byte(buffer, at + 4) != 45 or byte(buffer, at + 7) != 45 or byte(buffer, at + 10) != 84:
        return -1
    if byte(buffer, at + 13) != 58 or byte(buffer, at + 16) != 58:
        return -1
    year, month, day = digits(buffer, at, 4), digits(buffer, at + 5, 2), digits(buffer, at + 8, 2)
    hour, minute, second = digits(buffer, at + 11, 2), digits(buffer, at + 14, 2), digits(buffer, at + 17, 2)
    if year < 2000 or not 1 <= month <= 12 or not 1 <= day <= 28 + 3 * (month != 2):
        return -1
    if day == 31 and (month == 4 or month == 6 or month == 9 or month == 11):
        return -1
    if not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return -1
    ms = 0
    if length > 20:
        if length < 22 or byte(buffer, at + 19) != 46:
            return -1
        scale = 100
        for k in range(20, length - 1):
            d = digits(buffer, at + k, 1)
            if d < 0:
                return -1
            ms += d * scale
            scale //= 10
    return ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms


@njit(**COMPILED)
def times(buffer, spans, kinds, field, required, out, status):
    """out: int64[n] ms, left alone where the field is absent."""
    for i in range(status.shape[0]):
        kind = kinds[i, field]
        at, length = spans[i, field, 0], spans[i, field, 1]
        if kind == ABSENT or kind == NULL:
            if required:
                status[i] = SLOW
            continue
        value = -1
        if kind == NUMBER and length <= 15:
            value = digits(buffer, at, length)
        elif kind == STRING:
            value = rfc3339_utc(buffer, at, length)
        if YEAR_2000_MS <= value < YEAR_10000_MS:
            out[i] = value
        else:
            status[i] = SLOW


@njit(**COMPILED)
def choices(buffer, spans, kinds, field, required, words, out, status):
    """out: uint8[n], the place of the string among the choices; words: uint64[C, 3] by `name_words`, choice 0 being
    "absent" and never matched. Left alone where the field is absent."""
    for i in range(status.shape[0]):
        kind = kinds[i, field]
        at, length = spans[i, field, 0], spans[i, field, 1]
        if kind == ABSENT or kind == NULL:
            if required:
                status[i] = SLOW
            continue
        found = 0
        if kind == STRING and 0 < length <= 16:
            first = prefix(load(buffer, at), length)
            second = prefix(load(buffer, at + 8), length - 8)
            for c in range(1, words.shape[0]):
                if words[c, 0] == first and words[c, 1] == second and words[c, 2] == np.uint64(length):
                    found = c
                    break
        if found:
            out[i] = found
        else:
            status[i] = SLOW


@njit(**COMPILED)
def hashes(buffer, spans, kinds, field, required, lenient, longest, out, status, flawed):
    """out: int64[n], a non-zero hash of the string's bytes; left alone where the field is absent. Strings with
    escapes and those over `longest` bytes are SLOW. Empty ones and other values are absent where `lenient`, and noted:
    bit `field` of flawed (uint32[n]); else they are SLOW too."""
    for i in range(status.shape[0]):
        kind = kinds[i, field]
        length = spans[i, field, 1]
        if kind == STRING and 0 < length <= longest:
            out[i] = hash_bytes(buffer, spans[i, field, 0], length)
        elif kind == ABSENT or kind == NULL:
            if required:
                status[i] = SLOW
        elif lenient and (kind == NUMBER or kind == OTHER or (kind == STRING and length == 0)):
            flawed[i] |= np.uint32(1) << np.uint32(field)
        else:
            status[i] = SLOW


@njit(**COMPILED)
def feed_codes(header, first, second, listed, out):
    """out: int32[n], the code of each record's feed, by the hash of its name: the first that is not 0 of header, first
    and second (int64[n] each, or empty where no record has one). 0 where there is none.

    listed: int64[FEED_CODES], the hash of the name that has a code to itself, else 0; another name with the same code
    goes on to the next that is not listed."""
    for i in range(out.shape[0]):
        name = np.int64(0)
        if header.shape[0]:
            name = header[i]
        if name == 0 and first.shape[0]:
            name = first[i]
        if name == 0 and second.shape[0]:
            name = second[i]
        code = np.int64(0)
        if name != 0:
            code = np.int64(np.uint64(name) % np.uint64(FEED_CODES - 1)) + 1
            while listed[code] != 0 and listed[code] != name:
                code = code % (FEED_CODES - 1) + 1
        out[i] = code


@njit(**COMPILED)
def ascii_hashes(buffer, begins, lengths, longest, out, slow):
    """Hashes n texts, 0 for those that are absent, empty or longer than `longest`. buffer: address, begins, lengths:
    int64[n], a negative length for an absent text, out: int64[n], slow: bool[n], out: True for a text that is not ASCII
    throughout, whose `out` is of no use."""
    for i in range(out.shape[0]):
        out[i] = 0
        slow[i] = False
        if lengths[i] <= 0:
            continue
        for k in range(lengths[i]):
            slow[i] |= byte(buffer, begins[i] + k) > 127
        if lengths[i] <= longest:
            out[i] = hash_bytes(buffer, begins[i], lengths[i])
