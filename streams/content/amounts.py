"""Amounts of won in a folded text: 959,000원, 95만 9천원, ₩959,000, 구십오만구천원."""

from __future__ import annotations

import re
from dataclasses import dataclass

AMOUNT_MAX = 10**12
_UNITS = {"백": 100, "천": 1_000, "만": 10_000, "백만": 1_000_000, "천만": 10_000_000, "억": 100_000_000}
_NUMERALS = {c: i for i, c in enumerate("영일이삼사오육칠팔구")} | {"공": 0, "륙": 6}
_TENS = {"십": 10, "백": 100, "천": 1_000}
_GREAT = {"만": 10_000, "억": 100_000_000}
# 원 also begins other words: 원장, 원룸, 원피스, 원주, 원천.
_WON = r"(?:원(?![장룸피주천])|won(?![a-z])|krw(?![a-z]))"
_DIGITS = r"\d{1,3}(?:[,.]\d{3})+(?!\d)|\d+"
_COUNTED = re.compile(
    rf"(?<![\d,.])(?P<first>{_DIGITS})(?:[ ]?(?P<unit>백만|천만|억|만|천|백)"
    rf"(?:[ ]?(?P<more>{_DIGITS})[ ]?(?P<little>천|백)?)?)?[ ]?{_WON}"
)
_SIGNED = re.compile(rf"(?:₩|krw)[ ]?(?P<first>{_DIGITS})")
_SPELLED = re.compile(
    rf"(?<![가-힣])(?P<spelled>[영공일이삼사오육륙칠팔구십백천만억][영공일이삼사오육륙칠팔구십백천만억 ]{{1,20}}){_WON}"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """won, and where it stands in the folded text."""

    won: int
    start: int
    end: int


def amounts_in(folded: str) -> list[Amount]:
    found = [Amount(_counted(m), *m.span()) for m in _COUNTED.finditer(folded)]
    found += [Amount(_digits(m["first"]), *m.span()) for m in _SIGNED.finditer(folded)]
    found += [Amount(won, *m.span()) for m in _SPELLED.finditer(folded) if (won := _spelled(m["spelled"]))]
    kept: list[Amount] = []
    for amount in sorted(found, key=lambda a: (a.start, -a.end)):
        if amount.won <= AMOUNT_MAX and (not kept or amount.start >= kept[-1].end):
            kept.append(amount)
    return kept


def _counted(match: re.Match[str]) -> int:
    first, unit, more, little = match["first"], match["unit"], match["more"], match["little"]
    if unit is None:
        return _digits(first)
    return _digits(first) * _UNITS[unit] + (0 if more is None else _digits(more) * _UNITS.get(little or "", 1))


def _digits(text: str) -> int:
    return int(re.sub("[,.]", "", text)[:16])


def _spelled(text: str) -> int | None:
    """The number in Hangul numerals, None where no unit is among them."""
    if not any(c in _TENS or c in _GREAT for c in text):
        return None
    whole = part = digit = 0
    for c in text.replace(" ", ""):
        if c in _NUMERALS:
            digit = digit * 10 + _NUMERALS[c]
        elif c in _TENS:
            part, digit = part + (digit or 1) * _TENS[c], 0
        else:
            whole, part, digit = whole + (part + digit or 1) * _GREAT[c], 0, 0
    return whole + part + digit
