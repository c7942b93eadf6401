"""Reads texts in UTF-8: the words of a lexicon, the imposture that they show, the implied number, the greatest amount.

A text is understood completely or not at all. What the table of characters marks as odd (letters of other scripts that
are drawn alike, forms that stand for several characters), spellings of numbers and amounts beyond plain digits, links,
and what may be an id make it SLOW and leave it to `streams.content.text_reader`, which says what each result means.
"""

import numpy as np
from numba import njit

from streams.kernels.options import COMPILED, HOT, INNER
from streams.kernels.scan import SLOW, STRING
from streams.kernels.text_numbers import (
    AMOUNT,
    ANY,
    BEGINS,
    CALLED,
    CONSONANT,
    FLAGS,
    HEEDED,
    LATIN_FIRST,
    LATIN_LAST,
    LINKED,
    NAMES_ID,
    ODD,
    OTHER,
    SYMBOL_BITS,
    UNSEEN,
    VOWEL,
    has,
    is_digit,
    is_small,
    plain_of,
    read_numbers,
    spells,
    symbols_in,
)
from streams.kernels.words import byte

CHARACTERS_MAX = 1024  # of a text that is read here
BYTES_MAX = 4096  # of one: what is longer is left to the exact reader
EMOJI_FIRST, EMOJI_LAST, ANY_MARK = 0x1F300, 0x1FAFF, 0x2022  # gaps beyond the table, and one of it
NO_WORD = 64  # stands for spellings that only hold another word
# What is asked of texts.
WANT_NUMBERS, WANT_MESSENGER, WANT_LINKS = 1, 2, 4
HAS_NUMBER, HAS_AMOUNT, HAS_MESSENGER = 1, 2, 4
SETS_MAX = 6  # of words, in a combination
NONE = 1  # the code of "none" among impostures, types of implied number, links and requests to be added
ADD = 2
# Columns of the result.
IMPOSTURE, IMPLIED_TYPE, MESSENGER, URL_RISK, AMOUNT_WON, PATTERN, IMPLIED = range(7)
COLUMNS = 7


@njit(**INNER)
def characters(buffer, at, end, table, entries, codes, results):
    """Writes the text's entries and characters; returns how many, -1 if it is SLOW. The text is well-formed UTF-8."""
    n = 0
    before = flags = np.uint64(0)
    while at < end:
        c = byte(buffer, at)
        if c < 0x80:
            at += 1
        elif c < 0xE0:
            c = (c & 0x1F) << 6 | byte(buffer, at + 1) & 0x3F
            at += 2
        elif c < 0xF0:
            c = (c & 0xF) << 12 | (byte(buffer, at + 1) & 0x3F) << 6 | byte(buffer, at + 2) & 0x3F
            at += 3
        else:
            c = (c & 7) << 18 | (byte(buffer, at + 1) & 0x3F) << 12
            c |= (byte(buffer, at + 2) & 0x3F) << 6 | byte(buffer, at + 3) & 0x3F
            at += 4
            if not EMOJI_FIRST <= c <= EMOJI_LAST:
                return -1
            c = 0x2022  # any mark
        entry = table[c]
        if has(entry, ODD | UNSEEN):
            # What is not seen stands behind emoji; within words it hides something.
            if has(entry, ODD) or symbols_in(before) > 0:
                return -1
            continue
        plain = plain_of(entry)
        if has(before, CONSONANT) and is_drawn_vowel(plain):
            return -1
        if has(entry, VOWEL) and (plain_of(before) == 48 or plain_of(before) == 111):
            return -1
        if n == CHARACTERS_MAX:
            return -1
        entries[n] = entry
        codes[n] = plain if plain != 0 else c
        before = entry
        flags |= entry
        n += 1
    results[FLAGS] = np.int64(flags)
    return n


@njit(**HOT)
def is_drawn_vowel(c):
    """r l i h 1 |"""
    return c == 114 or c == 108 or c == 105 or c == 104 or c == 49 or c == 124


@njit(**INNER)
def words(entries, n, roots, firsts, symbols, targets, ends):
    """The words of the text as bits. roots: int32[128], the state behind each first symbol, -1 for none; firsts:
    int32[S + 1], a state's edges are those from its place to the next one's; symbols: uint8[E], targets: int32[E];
    ends: int8[S], the word whose spelling ends there, -1 for none, 64 for what is no word."""
    found = np.uint64(0)
    start = 0
    while start < n:
        first = entries[start]
        begins = start == 0 or symbols_in(entries[start - 1]) == 0
        if not has(first, BEGINS) or (not begins and has(first, LATIN_FIRST) and has(entries[start - 1], LATIN_LAST)):
            start += 1
            continue
        state, best, behind = -1, -1, start + 1
        at = start
        fresh = False  # a gap is right before
        while at < n:
            entry = entries[at]
            count = symbols_in(entry)
            if count == 0:
                fresh = True
                at += 1
                continue
            if fresh and not begins:
                break
            fresh = False
            for k in range(count):
                symbol = np.int64(entry >> np.uint64(SYMBOL_BITS * k)) & 127
                state = roots[symbol] if state < 0 else follow(state, symbol, firsts, symbols, targets)
                if state < 0:
                    break
            if state < 0:
                break
            at += 1
            if ends[state] >= 0:
                goes_on = at < n and has(entry, LATIN_LAST) and has(entries[at], LATIN_LAST)
                if not goes_on:
                    best, behind = ends[state], at
        if 0 <= best < 64:
            found |= np.uint64(1) << np.uint64(best)
        start = behind
    return found


@njit(**HOT)
def follow(state, symbol, firsts, symbols, targets):
    for edge in range(firsts[state], firsts[state + 1]):
        if symbols[edge] == symbol:
            return targets[edge]
    return -1


@njit(**INNER)
def has_link(codes, n):
    """True if there may be a link: two slashes, or a dot before a Latin letter, or three dots between digits."""
    dots, slash = 0, -9
    for k in range(n):
        c = codes[k]
        if c == 47:
            if k - slash <= 2:
                return True
            slash = k
        elif c == 0x3002 or c == 0xFF61:
            return True
        elif c == 46 or c == 93 or c == 41:  # . and the end of [.] and (.)
            if k + 1 < n and is_small(codes[k + 1]):
                return True
            dots += c == 46 and k > 0 and is_digit(codes[k - 1])
            if dots == 3:
                return True
    return False


@njit(**INNER)
def may_name_id(codes, entries, n):
    """True if there are a word behind which an id may stand, and what may be one: four Latin letters or more."""
    names, latin, length = False, False, 0
    for k in range(n):
        c = codes[k]
        names |= has(entries[k], NAMES_ID)
        if is_small(c):
            if length == 0:
                names |= c == 105 and spells(codes, k, n, 100, 0, 0, 0)  # id
                names |= c == 107 and spells(codes, k, n, 97, 107, 97, 111)  # kakao
                names |= c == 116 and spells(codes, k, n, 101, 108, 101, 103)  # teleg
            length += 1
        elif length > 0 and (is_digit(c) or c == 46 or c == 95 or c == 45):
            length += 1
        else:
            length = 0
        latin |= length >= 4
    return names and latin


@njit(**INNER)
def imposture_of(found, shown, combinations):
    """The code of the first combination that is shown. combinations: uint64[C, SETS_MAX + 2]: sets of words, all bits
    for none; what the text has besides; the imposture."""
    for c in range(combinations.shape[0]):
        wanted = combinations[c, SETS_MAX]
        if wanted & shown != wanted:
            continue
        holds = True
        for k in range(SETS_MAX):
            holds &= combinations[c, k] == ~np.uint64(0) or combinations[c, k] & found != 0
        if holds:
            return np.int64(combinations[c, SETS_MAX + 1])
    return np.int64(NONE)


@njit(**INNER)
def pattern_of(found, hashes):
    mixed = np.int64(0)
    for k in range(hashes.shape[0]):
        if found >> np.uint64(k) & np.uint64(1):
            mixed ^= hashes[k]
    return mixed


@njit(**INNER)
def hidden(number):
    """A number as counters keep it: the same for equal ones, and not the number itself."""
    mixed = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed ^ mixed >> np.uint64(32))


@njit(**COMPILED)
def read_texts(
    buffer, spans, kinds, field, longest, status, sender, wanted, table, roots, firsts, symbols, targets, ends,
    combinations, hashes, messengers, asks, classes, entries, codes, groups, results, columns, slow,
):  # fmt: skip
    """Reads field `field` of n records whose status is OK; returns how many rows it wrote to `slow` (int64[n]), those
    of texts that are left to the exact reader.

    buffer: address; spans, kinds: as `scan` has them; longest: bytes that a text may have, beyond which it is slow;
    sender: int64[n]; wanted: WANT_... bits; table: uint64[65536], entries of characters; roots, firsts, symbols,
    targets, ends: see `words`; combinations: see `imposture_of`; hashes: int64[W], of words; messengers, asks: uint64,
    sets of words; classes: types of number as `identity.numbers` has them. entries: uint64[CHARACTERS_MAX], codes:
    int64[CHARACTERS_MAX], groups: int64[GROUPS_MAX, 5], results: int64[RESULTS]: scratch. columns: int64[n, 7]."""
    missed = 0
    for i in range(status.shape[0]):
        at, length = spans[i, field, 0], spans[i, field, 1]
        if status[i] == SLOW or kinds[i, field] != STRING or length == 0:
            continue
        n = -1
        results[:] = 0
        if length <= longest:
            n = characters(buffer, at, at + length, table, entries, codes, results)
        slow[missed] = i
        flags = np.uint64(results[FLAGS])
        if n < 0 or (wanted & WANT_LINKS and has(flags, LINKED) and has_link(codes, n)):
            missed += 1
            continue
        numbers = wanted & WANT_NUMBERS and has(flags, HEEDED)
        if numbers and read_numbers(codes, entries, n, classes, sender[i], groups, results) == SLOW:
            missed += 1
            continue
        found = words(entries, n, roots, firsts, symbols, targets, ends)
        messenger = NONE
        if wanted & WANT_MESSENGER:
            if has(flags, LATIN_FIRST) and may_name_id(codes, entries, n):
                missed += 1
                continue
            messenger = ADD if found & messengers != 0 and found & asks != 0 else NONE
        of = CALLED if results[CALLED] != 0 else OTHER if results[OTHER] != 0 else ANY
        shown = np.uint64(0)
        shown |= np.uint64(HAS_NUMBER * (results[OTHER] != 0))
        shown |= np.uint64(HAS_AMOUNT * (results[AMOUNT] != 0)) | np.uint64(HAS_MESSENGER * (messenger == ADD))
        columns[i, IMPOSTURE] = imposture_of(found, shown, combinations)
        columns[i, IMPLIED_TYPE] = results[of + 1] + 1
        columns[i, MESSENGER] = messenger
        columns[i, URL_RISK] = NONE
        columns[i, AMOUNT_WON] = results[AMOUNT]
        columns[i, PATTERN] = pattern_of(found, hashes)
        columns[i, IMPLIED] = hidden(results[of]) if results[of] != 0 else 0
    return missed
