"""Disguises of words and numbers: what impostors do to a text so that a filter does not read it, and a person does.

Each text has one or two, as messages that got through have."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

Rng = np.random.Generator

_WORDS = re.compile("엄마|아빠|액정|고장|파손|수리|카톡|답장|승인|결제|해외|국제|고객센터")
_NUMBER = re.compile(r"[0+][0-9-]{8,}[0-9]|1[568][0-9]{2}-[0-9]{4}")
_LEADING, _VOWELS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ", "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINAL = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")


def disguised(rng: Rng, text: str) -> str:
    """The text with one word or the number, or both, in disguise."""
    which = int(rng.integers(3))
    if which != 1:
        words = list(_WORDS.finditer(text))
        if words:
            word = words[int(rng.integers(len(words)))]
            hidden = _WORD_TRICKS[int(rng.integers(len(_WORD_TRICKS)))](word[0])
            text = f"{text[: word.start()]}{hidden}{text[word.end() :]}"
    if which != 0:
        trick = _NUMBER_TRICKS[int(rng.integers(len(_NUMBER_TRICKS)))]
        text = _NUMBER.sub(lambda number: trick(number[0]), text)
    return text


def _split(word: str) -> str:
    """The first syllable as its letters."""
    code = ord(word[0]) - 0xAC00
    return _LEADING[code // 588] + _VOWELS[code // 28 % 21] + _FINAL[code % 28] + word[1:]


def _digits(others: str) -> Callable[[str], str]:
    table = str.maketrans("0123456789", others)
    return lambda number: number.translate(table)


_WORD_TRICKS: tuple[Callable[[str], str], ...] = (
    " ".join, ".".join, "\u200b".join, "*".join, _split, lambda word: "".join(map(_split, word)),
)  # fmt: skip
_NUMBER_TRICKS: tuple[Callable[[str], str], ...] = (
    lambda number: number.replace("-", "."), lambda number: number.replace("-", " "),
    lambda number: " ".join(number.replace("-", "")), lambda number: number.replace("-", "～"),
    lambda number: number.replace("0", "O").replace("1", "l"),
    _digits("０１２３４５６７８９"),
    _digits("공일이삼사오육칠팔구"),
    _digits("零一二三四五六七八九"),
    lambda number: number[:3].translate(str.maketrans("0123", "공일이삼")) + number[3:],
)  # fmt: skip
