"""The model of lexicons: the words by which texts are read, and the combinations of words that are an imposture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas import codes

WORDS_MAX = 63  # a text's words are bits of one integer
IMPOSTURES = codes.IMPOSTURES[2:]
NUMBER, AMOUNT, MESSENGER, LINK = HAS = ("number", "amount", "messenger", "link")


@dataclass(frozen=True)
class Combination:
    """A text shows an imposture with one word of each set, and all of `has`."""

    imposture: str  # from IMPOSTURES
    words: tuple[frozenset[str], ...]
    has: frozenset[str]  # from HAS


@dataclass(frozen=True)
class Brand:
    """An institution: how texts name it, and its registered domains."""

    name: str
    spellings: tuple[str, ...]
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """All lexicon files together. words: spellings by the word's name. longer: what holds a word and means something
    else."""

    words: Mapping[str, tuple[str, ...]]
    longer: tuple[str, ...]
    combinations: tuple[Combination, ...]
    brands: tuple[Brand, ...]
    shorteners: frozenset[str]
    allowed: frozenset[str]
    denied: frozenset[str]
    version: str  # first 12 hex digits of a sha256 over the files' parsed content
