"""Entries of the table of characters by which kernels read texts, and the plain digits, numbers and amounts in them."""

import numpy as np
from numba import njit

from streams.kernels.options import HOT, INNER
from streams.kernels.scan import OK, SLOW

# An entry of the table of characters (uint64): up to five symbols of seven bits, how many, then flags, then the plain
# ASCII character that it is read as, if it is one.
SYMBOL_BITS, COUNT_AT, FLAGS_AT, PLAIN_AT = 7, 35, 38, 56
BEGINS, LATIN_FIRST, LATIN_LAST = 1 << 38, 1 << 39, 1 << 40  # may begin a spelling; its first, last symbol is Latin
ODD, UNSEEN, SEVERAL = 1 << 41, 1 << 42, 1 << 43  # leave it to the exact reader; nothing to see; several marks
NUMERAL, PAIRED, DRAWN = 1 << 44, 1 << 45, 1 << 46  # a digit; may be, with the next; a letter drawn like a digit
CONSONANT, VOWEL = 1 << 47, 1 << 48  # a loose one
NAMES_ID = 1 << 49  # of a word behind which an id may stand
UNIT = 1 << 50  # 십 백 천 만 억
HEEDED = 1 << 51  # may begin a number or end an amount: digits of all kinds, letters of words for them, 원 +
LINKED = 1 << 52  # may be part of a link
AMOUNT_MAX = 10**12
GROUPS_MAX = 24  # of digits in a row that are read here
DIGITS_MIN, DIGITS_MAX, NUMBER_GROUPS_MAX, MARKS_MAX = 8, 20, 16, 3  # as the exact reader has them
NOT_PLANNED = 255
TOLL_FREE = 6  # a type of number
# A group of digits: its place, the one behind it, a hash of the marks before it, whether a number may begin with it,
# the part of the run that it belongs to: between two parts are digits of another kind.
START, END, MARKS, MAY_BEGIN, PART = range(5)
GROUP_WORDS = 5
# Results: the greatest amount; the first number, the first that is not the sender's own, and the first of these that is
# not toll free: key and type of each; and all flags of its characters together.
AMOUNT, ANY, OTHER, CALLED, FLAGS = 0, 1, 3, 5, 7
RESULTS = 8


@njit(**HOT)
def symbols_in(entry):
    return np.int64(entry >> np.uint64(COUNT_AT)) & 7


@njit(**HOT)
def has(entry, flag):
    return entry & np.uint64(flag) != 0


@njit(**HOT)
def plain_of(entry):
    """The ASCII character that it is read as, 0 for none."""
    return np.int64(entry >> np.uint64(PLAIN_AT))


@njit(**HOT)
def is_small(c):
    return 97 <= c <= 122


@njit(**HOT)
def is_digit(c):
    return 48 <= c <= 57


@njit(**INNER)
def drawn_word(codes, at, n):
    """The place behind the word of Latin letters and | at `at`; negative if not all are drawn like digits: o l i z s b
    and |."""
    drawn = True
    while at < n and (is_small(codes[at]) or codes[at] == 124):
        c = codes[at]
        drawn &= c == 111 or c == 108 or c == 105 or c == 124 or c == 122 or c == 115 or c == 98
        at += 1
    return at if drawn else -at


@njit(**INNER)
def spells(codes, at, n, second, third, fourth, fifth):
    """True if these letters follow, 0 for none."""
    if at + 1 >= n or codes[at + 1] != second:
        return False
    if third == 0:
        return True
    if at + 2 >= n or codes[at + 2] != third:
        return False
    if fourth == 0:
        return True
    if at + 3 >= n or codes[at + 3] != fourth:
        return False
    return fifth == 0 or (at + 4 < n and codes[at + 4] == fifth)


@njit(**INNER)
def digit_word(codes, at, n):
    """The letters of the English word for a digit at `at`, 0 for none."""
    c = codes[at]
    if c == 111:  # one, oh
        return 3 if spells(codes, at, n, 110, 101, 0, 0) else 2 if spells(codes, at, n, 104, 0, 0, 0) else 0
    if c == 122:  # zero
        return 4 if spells(codes, at, n, 101, 114, 111, 0) else 0
    if c == 116:  # two, three
        return 3 if spells(codes, at, n, 119, 111, 0, 0) else 5 if spells(codes, at, n, 104, 114, 101, 101) else 0
    if c == 102:  # four, five
        four, five = spells(codes, at, n, 111, 117, 114, 0), spells(codes, at, n, 105, 118, 101, 0)
        return 4 if four or five else 0
    if c == 115:  # six, seven
        return 3 if spells(codes, at, n, 105, 120, 0, 0) else 5 if spells(codes, at, n, 101, 118, 101, 110) else 0
    if c == 101:  # eight
        return 5 if spells(codes, at, n, 105, 103, 104, 116) else 0
    return 4 if c == 110 and spells(codes, at, n, 105, 110, 101, 0) else 0  # nine


@njit(**HOT)
def is_pair(one, two):
    """하나 다섯 여섯 일곱 여덟 아홉 제로"""
    return (
        (one == 0xD558 and two == 0xB098)
        or (one == 0xB2E4 and two == 0xC12F)
        or (one == 0xC5EC and (two == 0xC12F or two == 0xB35F))
        or (one == 0xC77C and two == 0xACF1)
        or (one == 0xC544 and two == 0xD649)
        or (one == 0xC81C and two == 0xB85C)
    )


@njit(**HOT)
def is_hyphen(c):
    """- . _ ~ * and the middle dot"""
    return c == 45 or c == 46 or c == 95 or c == 126 or c == 42 or c == 0xB7


@njit(**HOT)
def is_break(c):
    """: ; = % # @ &"""
    return c == 58 or c == 59 or c == 61 or c == 37 or c == 35 or c == 64 or c == 38


@njit(**HOT)
def is_space(c):
    return c == 32 or c == 10


@njit(**INNER)
def planned(codes, groups, at, end, length, classes):
    """(key, type) of the domestic number in groups[at:end], `length` digits; key 0 for none, -1 for SLOW."""
    first, value, place, national = np.int64(0), np.int64(0), 0, 0
    for g in range(at, end):
        for k in range(groups[g, START], groups[g, END]):
            d = np.int64(codes[k]) - 48
            if place < 2:
                first = first * 10 + d
            if place < 16:
                value = value * 10 + d
            place += 1
    if first == 0:
        return np.int64(-1), np.int64(0)
    if first < 10:
        national = length - 1
    elif first == 82:
        national = length - 2
    elif length != 8 or not (first == 15 or first == 16 or first == 18) or are_times(codes, groups, at, end):
        return np.int64(0), np.int64(0)
    else:
        national = 8
    if 8 <= national <= 11:
        if first == 82:
            value %= np.int64(10) ** national
        three = value // np.int64(10) ** (national - 3)
        kind = np.int64(classes[three, national + 2])
        if kind != NOT_PLANNED:
            whole = np.int64(82) * np.int64(10) ** national + value
            return whole if kind != 0 else np.int64(0), kind
    return np.int64(-1) if first == 82 or first == 8 else np.int64(0), np.int64(0)


@njit(**INNER)
def are_times(codes, groups, at, end):
    """True for 1500-1800, the hours of a shop."""
    if end - at != 2:
        return False
    for g in range(at, end):
        k = groups[g, START]
        if groups[g, END] - k != 4:
            return False
        hour = (codes[k] - 48) * 10 + codes[k + 1] - 48
        if hour > 24 or codes[k + 3] != 48 or not (codes[k + 2] == 48 or codes[k + 2] == 51):
            return False
    return True


@njit(**INNER)
def numbers_among(codes, groups, count, classes, sender, out):
    """Notes the numbers in groups[:count]; returns how many, -1 for SLOW: there are others than plain domestic ones."""
    at, noted = 0, 0
    while at < count:
        best_end, best_key, best_kind, best_alike = at + 1, np.int64(0), np.int64(0), False
        length, alike, marks = 0, True, np.int64(0)
        for g in range(at, min(at + NUMBER_GROUPS_MAX, count) if groups[at, MAY_BEGIN] else at):
            length += groups[g, END] - groups[g, START]
            if length > DIGITS_MAX or groups[g, PART] != groups[at, PART]:
                break
            if g > at:
                alike &= marks == 0 or marks == groups[g, MARKS]
                marks = groups[g, MARKS]
            if length < DIGITS_MIN:
                continue
            key, kind = planned(codes, groups, at, g + 1, length, classes)
            if key < 0:
                return -1
            if key > 0 and (best_key == 0 or alike or not best_alike):
                best_end, best_key, best_kind, best_alike = g + 1, key, kind, alike
        if best_key > 0:
            note(best_key, best_kind, sender, out)
            noted += 1
        at = best_end
    return noted


@njit(**INNER)
def note(key, kind, sender, out):
    for place in (ANY, OTHER, CALLED):
        is_other = place == ANY or key != sender
        if out[place] == 0 and is_other and (place != CALLED or kind != TOLL_FREE):
            out[place] = key
            out[place + 1] = kind


@njit(**INNER)
def amount_before(codes, entries, at, out):
    """Notes the amount in plain digits that 원 at `at` ends; returns its place, -1 for none, -2 for SLOW."""
    p = at - 1
    if p >= 0 and codes[p] == 32:
        p -= 1
    times = np.int64(1)
    if p >= 1 and p == at - 1 and (codes[p] == 0xB9CC or codes[p] == 0xCC9C) and is_digit(codes[p - 1]):  # 만 천
        times = np.int64(10_000 if codes[p] == 0xB9CC else 1_000)
        p -= 1
    if p < 0 or not is_digit(codes[p]):
        while p >= 0 and (codes[p] == 32 or has(entries[p], NUMERAL | UNIT)):
            if has(entries[p], UNIT):
                return -2
            p -= 1
        return -1
    last = p
    while p >= 0 and (is_digit(codes[p]) or codes[p] == 44 or codes[p] == 46):
        p -= 1
    start, value, behind_mark, marks = p + 1, np.int64(0), 0, 0
    b = p - 1 if p >= 0 and codes[p] == 32 else p
    if last - start > 15 or (b >= 0 and has(entries[b], UNIT)) or (p >= 0 and has(entries[p], SEVERAL)):
        return -2
    if not is_digit(codes[start]):
        return -1
    for k in range(start, last + 1):
        if is_digit(codes[k]):
            value = value * 10 + codes[k] - 48
            behind_mark += 1
            continue
        if (marks == 0 and behind_mark > 3) or (marks > 0 and behind_mark != 3):
            return -1
        marks += 1
        behind_mark = 0
    if marks > 0 and behind_mark != 3:
        return -1
    if value * times > AMOUNT_MAX:
        return -2
    out[AMOUNT] = max(out[AMOUNT], value * times)
    return start


@njit(**HOT)
def begins_another(c):
    """장 룸 피 주 천: behind 원 they make another word."""
    return c == 0xC7A5 or c == 0xB8F8 or c == 0xD53C or c == 0xC8FC or c == 0xCC9C


@njit(**INNER)
def spells_won(codes, entries, at, n):
    """True for krw, or for won behind a number."""
    if codes[at] == 107:
        return spells(codes, at, n, 114, 119, 0, 0)
    p = at - 2 if at >= 2 and codes[at - 1] == 32 else at - 1
    is_counted = p >= 0 and (is_digit(codes[p]) or has(entries[p], NUMERAL | UNIT))
    return is_counted and spells(codes, at, n, 111, 110, 0, 0) and not (at + 3 < n and is_small(codes[at + 3]))


@njit(**INNER)
def digit_at(codes, entries, at, n, word_end):
    """(1 for a plain digit, 2 for another, 0 for none, the place behind it, the place behind the Latin word that is
    under way, negative if its letters are not all drawn like digits)."""
    c = codes[at]
    if is_digit(c):
        return 1, at + 1, word_end
    if is_small(c) or c == 124:
        if at >= abs(word_end):
            word_end = drawn_word(codes, at, n)
        if word_end > 0:
            return 2, at + 1, word_end
        length = digit_word(codes, at, n)
        return (2, at + length, word_end) if length > 0 else (0, at + 1, word_end)
    if has(entries[at], PAIRED) and at + 1 < n and is_pair(c, codes[at + 1]):
        return 2, at + 2, word_end
    return 2 if has(entries[at], NUMERAL | DRAWN) else 0, at + 1, word_end


@njit(**INNER)
def read_numbers(codes, entries, n, classes, sender, groups, out):
    """Notes the amounts and numbers of a text in `out` (int64[RESULTS], zeroed), or says SLOW."""
    count, digits, parts, word_end, at = 0, 0, 0, 0, 0
    crowded = plus = other = False
    marks, length, first, last = np.int64(0), 0, -1, -1  # between groups: a hash, how many, the seen ones among them
    while at <= n:
        while digits == 0 and not plus and at < n and not has(entries[at], HEEDED):
            at += 1
        kind, behind = 0, at + 1
        if at < n:
            kind, behind, word_end = digit_at(codes, entries, at, n, word_end)
        if kind:
            if kind == 2:
                parts += 1
            elif count > 0 and length == 0 and groups[count - 1, END] == at:
                groups[count - 1, END] = behind
            elif count == GROUPS_MAX:
                crowded = True
            else:
                groups[count, START], groups[count, END], groups[count, MARKS] = at, behind, marks
                groups[count, MAY_BEGIN], groups[count, PART] = digits == 0 or length == 0 or other, parts
                count += 1
            digits += 1
            marks, length, first, last, other = np.int64(0), 0, -1, -1, False
            at = behind
            continue
        c = codes[at] if at < n else 58
        is_dash = c == 0x3161  # ㅡ, a letter that is typed for a dash
        c = 45 if is_dash else c
        if at < n and has(entries[at], SEVERAL) and digits > 0:
            return SLOW
        if (c == 107 or c == 119) and spells_won(codes, entries, at, n):
            return SLOW
        if at < n and c == 0xC6D0 and not (at + 1 < n and begins_another(codes[at + 1])):
            place = amount_before(codes, entries, at, out)
            if place == -2:
                return SLOW
            while place >= 0 and count > 0 and groups[count - 1, START] >= place:
                count -= 1
        plus |= c == 43
        marks, length, other = marks * 31 + c + 1, length + 1, other or not is_hyphen(c)
        if not is_space(c):
            first, last = at if first < 0 else first, at
        many = last - first >= MARKS_MAX or length > 2 * MARKS_MAX
        is_letter = at < n and symbols_in(entries[at]) > 0 and not is_dash
        if at == n or (c != 43 and (is_letter or is_break(c) or many)):
            if digits >= DIGITS_MIN:
                is_amount = at < n and has(entries[at], UNIT)  # its last digits may be: 5678만원
                noted = -1
                if not (crowded or plus or is_amount):
                    noted = numbers_among(codes, groups, count, classes, sender, out)
                # Digits of other kinds count where plain ones are no number.
                if noted < 0 or (noted == 0 and parts > 0):
                    return SLOW
            count, digits, parts = 0, 0, 0
            crowded = plus = other = False
            marks, length, first, last = np.int64(0), 0, -1, -1
        at = behind
    return OK
