"""Folding: a text as its reader sees it, one character for each that it was written with, none for what is not seen.

Full-width and other compatibility forms, letters of other scripts that look like Latin ones, accents, katakana and Han
characters drawn for Hangul letters, and digits of any script become plain ones; Hangul letters of any block become
those of the keyboard. Hangul syllables stay whole: `symbols_of` takes them apart, so that a split syllable and a whole
one are the same letters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_CONSONANTS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
# Letters that a keyboard makes of two others.
_PARTS = {
    "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ",
    "ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ", "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ",
    "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ",
}  # fmt: skip

# What letters are made of. A character of another script has no symbol: no word holds it.
ALPHABET = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅑㅒㅓㅔㅕㅖㅗㅛㅜㅠㅡㅣabcdefghijklmnopqrstuvwxyz0123456789"
SYMBOLS = {letter: code for code, letter in enumerate(ALPHABET, 1)}
SYMBOLS_MAX = 5  # of one character: 쐈 is ㅆㅗㅏㅆ, 괅 is ㄱㅗㅏㄹㄱ
LATIN_FIRST, LATIN_LAST = SYMBOLS["a"], SYMBOLS["z"]

_SYLLABLE_FIRST, _SYLLABLES = 0xAC00, 11_172
_LEADING, _MIDDLE, _TRAILING = 0x1100, 0x1161, 0x11A7  # of conjoining Hangul letters
_FILLERS = "\u115f\u1160\u3164\uffa0"

# Letters of other scripts by what they are drawn like: Cyrillic, Greek, Armenian, Latin with strokes; kana and Han.
_DRAWN_LIKE = {
    "a": "аαɑ", "b": "вβьßъ", "c": "сϲ", "d": "ԁđ", "e": "еёεє", "g": "ɡց", "h": "нһհ", "i": "іїιıꓲ", "j": "јϳȷ",
    "k": "кκ", "l": "ℓł", "m": "м", "n": "пηո", "o": "оοօø", "p": "рρ", "q": "ԛ", "r": "гꭇ", "s": "ѕ", "t": "тτ",
    "u": "υս", "v": "νѵ", "w": "ԝω", "x": "хχ", "y": "уγ", "z": "ᴢ",
    "ㅁ": "口ロ囗", "ㅏ": "卜ト", "ㅅ": "人入", "ㅈ": "ス", "ㄹ": "己", "ㅗ": "⊥", "ㅣ": "丨", "ㅋ": "ヲ",
}  # fmt: skip
_LOOK_ALIKE = {drawn: letter for letter, all_drawn in _DRAWN_LIKE.items() for drawn in all_drawn}


def fold(text: str) -> str:
    """The text as it is read, in small letters."""
    return text if text.isascii() and text.islower() else "".join(map(fold_one, text))


@lru_cache(maxsize=1 << 16)
def fold_one(character: str) -> str:
    """Zero or more characters that stand for one."""
    code = ord(character)
    if _SYLLABLE_FIRST <= code < _SYLLABLE_FIRST + _SYLLABLES:
        return character
    if character in _FILLERS:
        return ""
    if (jamo := _conjoining(code)) is not None:
        return jamo
    if character in _LOOK_ALIKE:
        return _LOOK_ALIKE[character]
    category = unicodedata.category(character)
    if category in ("Cf", "Mn", "Me", "Cs"):
        return ""
    if category[0] == "Z" or category == "Cc":
        return "\n" if character in "\n\r\u2028\u2029" else " "
    if category == "Pd" or character in "−˗⁃ーｰ":
        return "-"
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", character)
    if plain != character:
        return "".join(map(fold_one, plain))
    bare = unicodedata.normalize("NFD", character)
    if len(bare) > 1 and not 0xAC00 <= ord(bare[0]) <= 0xD7A3:
        return "".join(map(fold_one, bare))
    small = character.lower()
    return small if small == character else "".join(map(fold_one, small))


def _conjoining(code: int) -> str | None:
    if _LEADING <= code < _LEADING + len(_CONSONANTS):
        return _CONSONANTS[code - _LEADING]
    if _MIDDLE <= code < _MIDDLE + len(_VOWELS):
        return _VOWELS[code - _MIDDLE]
    if _TRAILING < code < _TRAILING + len(_FINALS):
        return _FINALS[code - _TRAILING]
    return None


@lru_cache(maxsize=1 << 16)
def symbols_of(character: str) -> tuple[int, ...]:
    """The symbols of a folded character; none for a gap, (0,) for a letter of another script."""
    code = ord(character) - _SYLLABLE_FIRST
    if 0 <= code < _SYLLABLES:
        letters = _CONSONANTS[code // 588] + _VOWELS[code // 28 % 21] + _FINALS[code % 28]
    elif character in SYMBOLS or character in _PARTS:
        letters = character
    else:
        return (0,) if character.isalnum() else ()
    return tuple(SYMBOLS[part] for letter in letters for part in _PARTS.get(letter, letter))


def is_loose_consonant(character: str) -> bool:
    return character in _CONSONANTS


def is_loose_vowel(character: str) -> bool:
    return character in _VOWELS
