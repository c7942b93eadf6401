"""A lexicon as the arrays by which the kernel reads texts (streams.kernels.texts)."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np

from rules.lexicon import AMOUNT, HAS, LINK, MESSENGER, NUMBER, Combination
from schemas import codes
from streams.content import implied_numbers
from streams.content.folding import (
    ALPHABET,
    LATIN_FIRST,
    LATIN_LAST,
    SYMBOLS_MAX,
    fold_one,
    is_loose_consonant,
    is_loose_vowel,
    symbols_of,
)
from streams.content.text_reader import ASKS, MESSENGERS
from streams.content.vocabulary import WORD, Vocabulary
from streams.kernels import text_numbers as entry
from streams.kernels import texts as kernel

_HAS = {NUMBER: kernel.HAS_NUMBER, AMOUNT: kernel.HAS_AMOUNT, MESSENGER: kernel.HAS_MESSENGER}
_CHARACTERS = 1 << 16
_UNITS = "십백천만억"
_LINKED = "/.])。"
_HEEDED = {c for word in (*implied_numbers.NUMERALS, *implied_numbers.DRAWN, *"0123456789", "+원kw") for c in word}
_PAIRED = {word[0] for word in implied_numbers.NUMERALS if len(word) == 2 and word != "oh"}
_NAMES_ID = "톡라램디"  # 톡 카톡, 라인, 텔레그램, 아이디


class CompiledText:
    """All that the kernel knows of a lexicon."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        combinations = vocabulary.lexicon.combinations
        # Links are not read there, and so many sets not held: such combinations are left to the exact reader.
        self.is_whole = all(len(each.words) <= kernel.SETS_MAX and LINK not in each.has for each in combinations)
        self.needs_messenger = any(MESSENGER in each.has for each in combinations)
        self._bit = {name: 1 << index for index, name in enumerate(vocabulary.names)}
        self.roots, self.firsts, self.symbols, self.targets, self.ends = _tree(vocabulary)
        self.table = characters().copy()
        self.table[_may_begin(self.table, vocabulary)] |= np.uint64(entry.BEGINS)
        self.combinations = np.array([self._row(each) for each in combinations if self.is_whole], np.uint64)
        self.combinations = self.combinations.reshape(-1, kernel.SETS_MAX + 2)
        self.hashes = np.array(vocabulary.hashes, np.int64)
        self.messengers, self.asks = self._set(MESSENGERS), self._set(ASKS)

    def _set(self, words: frozenset[str] | tuple[str, ...]) -> np.uint64:
        return np.uint64(sum(self._bit.get(word, 0) for word in set(words)))

    def _row(self, combination: Combination) -> list[int]:
        sets = [int(self._set(words)) for words in combination.words]
        rest = [(1 << 64) - 1] * (kernel.SETS_MAX - len(sets))
        has = sum(_HAS[name] for name in HAS if name in combination.has)
        return [*sets, *rest, has, codes.IMPOSTURES.index(combination.imposture)]


def _may_begin(table: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """The characters with all of whose symbols a spelling begins."""
    first = vocabulary.root.following
    begins = np.array([symbol in first for symbol in range(1 << entry.SYMBOL_BITS)])
    likely = np.flatnonzero(begins[(table & np.uint64(127)).astype(np.int64)])
    return np.array([code for code in likely.tolist() if _is_walked(int(table[code]), vocabulary)], np.int64)


def _is_walked(packed: int, vocabulary: Vocabulary) -> bool:
    step = vocabulary.root
    for k in range(packed >> entry.COUNT_AT & 7):
        following = step.following.get(packed >> entry.SYMBOL_BITS * k & 127)
        if following is None:
            return False
        step = following
    return step is not vocabulary.root


def _tree(vocabulary: Vocabulary) -> tuple[np.ndarray, ...]:
    """The tree of spellings as `streams.kernels.texts.words` wants it, states in the order of their distance."""
    roots = np.full(128, -1, np.int32)
    firsts: list[int] = []
    symbols: list[int] = []
    targets: list[int] = []
    ends: list[int] = []
    numbered = 0
    waiting = deque([vocabulary.root])
    while waiting:
        step = waiting.popleft()
        if step is not vocabulary.root:
            firsts.append(len(symbols))
            ends.append(-1 if step.of is None else step.of[1] if step.of[0] == WORD else kernel.NO_WORD)
        for symbol, following in step.following.items():
            if step is vocabulary.root:
                roots[symbol] = numbered
            else:
                symbols.append(symbol)
                targets.append(numbered)
            numbered += 1
            waiting.append(following)
    firsts.append(len(symbols))
    return (roots, np.array(firsts, np.int32), np.array(symbols, np.uint8), np.array(targets, np.int32),
            np.array(ends, np.int8))  # fmt: skip


@lru_cache(maxsize=1)
def characters() -> np.ndarray:
    """uint64[65536]: the entry of each character, without what a lexicon adds."""
    found = np.array([_entry(chr(code)) for code in range(_CHARACTERS)], np.uint64)
    found.flags.writeable = False
    return found


def _entry(character: str) -> int:
    folded = fold_one(character)
    if folded == "":
        return entry.UNSEEN
    if len(folded) > 1:
        has_letters = any(map(symbols_of, folded)) or any(c in implied_numbers.DRAWN for c in folded)
        return entry.ODD if has_letters else entry.SEVERAL
    if folded != character and not (character.isascii() or (folded.isascii() and not folded.isalpha())):
        return entry.ODD
    if folded == "₩":
        return entry.ODD
    symbols = symbols_of(folded)
    assert len(symbols) <= SYMBOLS_MAX
    flags = len(symbols) << entry.COUNT_AT | (ord(folded) if folded.isascii() else 0) << entry.PLAIN_AT
    for k, symbol in enumerate(symbols):
        flags |= symbol << entry.SYMBOL_BITS * k
    if symbols:
        flags |= entry.LATIN_FIRST * (LATIN_FIRST <= symbols[0] <= LATIN_LAST)
        flags |= entry.LATIN_LAST * (LATIN_FIRST <= symbols[-1] <= LATIN_LAST)
    for flag, holds in (
        (entry.NUMERAL, folded in implied_numbers.NUMERALS),
        (entry.PAIRED, folded in _PAIRED),
        (entry.DRAWN, folded in implied_numbers.DRAWN and not folded.isascii()),
        (entry.CONSONANT, is_loose_consonant(folded)),
        (entry.VOWEL, is_loose_vowel(folded)),
        (entry.NAMES_ID, folded in _NAMES_ID),
        (entry.UNIT, folded in _UNITS),
        (entry.HEEDED, folded in _HEEDED),
        (entry.LINKED, folded in _LINKED),
    ):
        flags |= flag * holds
    return flags


assert len(ALPHABET) < 128, "a symbol has seven bits"
