"""Words of a lexicon in a folded text: leftmost first, of several that begin together the longest.

A word is matched letter by letter: a syllable that is split into its letters is the same as a whole one. It begins and
ends with whole characters. Gaps inside a word are skipped if it begins where a word of the text begins, since
"수고 장난" holds no 고장; a word that begins or ends with Latin letters has no others beside them, since a moment is no
mom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from rules.lexicon import Lexicon
from streams.content.folding import LATIN_FIRST, LATIN_LAST, fold, is_loose_consonant, is_loose_vowel, symbols_of

# Latin letters and digits that are drawn for a vowel behind a loose consonant (ㅋr톡), and for ㅇ before a loose vowel.
_VOWEL_DRAWN = {"r": "ㅏ", "l": "ㅣ", "i": "ㅣ", "1": "ㅣ", "|": "ㅣ", "h": "ㅐ"}
_IEUNG_DRAWN = "o0"
WORD, BRAND, LONGER = range(3)


@dataclass(slots=True)
class TextLetter:
    """One character of a text that is no gap. symbols: see streams.content.folding. begins: a word begins here."""

    symbols: tuple[int, ...]
    at: int  # in the folded text
    begins: bool

    @property
    def is_latin(self) -> bool:
        return LATIN_FIRST <= self.symbols[-1] <= LATIN_LAST


@dataclass(slots=True)
class Found:
    """A word in a text: folded[start:end]. index: of the word or brand in its list; 0 for LONGER."""

    kind: int
    index: int
    start: int
    end: int


@dataclass(slots=True)
class _Step:
    """A state of the walk along spellings."""

    following: dict[int, _Step] = field(default_factory=dict)
    of: tuple[int, int] | None = None  # (kind, index) of the spelling that ends here


class Vocabulary:
    """A lexicon's spellings as one tree of symbols."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.names = tuple(sorted(lexicon.words))
        self.hashes = tuple(_name_hash(name) for name in self.names)
        self.brands = tuple(brand.name for brand in lexicon.brands)
        self.root = _Step()
        for kind, index, spelling in self.spellings():
            self._add(spelling, kind, index)

    def spellings(self) -> list[tuple[int, int, tuple[int, ...]]]:
        """(kind, index, symbols) of each spelling; what says more comes first, should two be the same letters."""
        listed = [(WORD, i, self.lexicon.words[name]) for i, name in enumerate(self.names)]
        listed += [(BRAND, i, brand.spellings) for i, brand in enumerate(self.lexicon.brands)]
        listed.append((LONGER, 0, self.lexicon.longer))
        return [(kind, i, spelled(text)) for kind, i, texts in listed for text in texts]

    def find(self, folded: str) -> list[Found]:
        letters = letters_of(folded)
        found = []
        at = 0
        while at < len(letters):
            end, of = self._longest(letters, at)
            if of is None:
                at += 1
                continue
            found.append(Found(*of, letters[at].at, letters[end - 1].at + 1))
            at = end
        return found

    def pattern(self, words: Sequence[int]) -> int:
        """A hash of a set of words (their indices), which other words of the lexicon do not change; 0 for none."""
        mixed = 0
        for index in set(words):
            mixed ^= self.hashes[index]
        return mixed

    def _add(self, symbols: Sequence[int], kind: int, index: int) -> None:
        step = self.root
        for symbol in symbols:
            step = step.following.setdefault(symbol, _Step())
        step.of = step.of or (kind, index)

    def _longest(self, letters: Sequence[TextLetter], start: int) -> tuple[int, tuple[int, int] | None]:
        """(the index behind the longest spelling that begins at `start`, its kind and index or None)."""
        step, best, end = self.root, None, start
        first = letters[start]
        if not first.begins and LATIN_FIRST <= first.symbols[0] <= LATIN_LAST and letters[start - 1].is_latin:
            return start, None
        for at in range(start, len(letters)):
            letter = letters[at]
            if at > start and letter.begins and not first.begins:
                break
            for symbol in letter.symbols:
                following = step.following.get(symbol)
                if following is None:
                    return end, best
                step = following
            if step.of is not None and not (letter.is_latin and _goes_on(letters, at)):
                best, end = step.of, at + 1
        return end, best


def _goes_on(letters: Sequence[TextLetter], at: int) -> bool:
    """True if another Latin letter is right behind."""
    return at + 1 < len(letters) and not letters[at + 1].begins and letters[at + 1].is_latin


def spelled(text: str) -> tuple[int, ...]:
    return tuple(symbol for letter in letters_of(fold(text)) for symbol in letter.symbols)


def letters_of(folded: str) -> list[TextLetter]:
    letters = []
    begins = True
    for at, character in enumerate(folded):
        symbols = symbols_of(_as_drawn(folded, at) or character)
        if symbols:
            letters.append(TextLetter(symbols, at, begins))
        begins = not symbols
    return letters


def _as_drawn(folded: str, at: int) -> str:
    """The Hangul letter that a Latin one or a digit stands for beside a loose Hangul letter; "" for none."""
    character = folded[at]
    if character in _VOWEL_DRAWN and at and is_loose_consonant(folded[at - 1]):
        return _VOWEL_DRAWN[character]
    if character in _IEUNG_DRAWN and at + 1 < len(folded) and is_loose_vowel(folded[at + 1]):
        return "ㅇ"
    return ""


def _name_hash(name: str) -> int:
    """A non-zero int64."""
    value = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)
    return value or 1
