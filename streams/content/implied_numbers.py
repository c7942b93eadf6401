"""Implied numbers: the telephone numbers that a text asks to call, in any spelling.

Digits come in groups, apart by a few marks or spaces. A number is some groups in a row whose digits are in the
numbering plan; it begins where a word of the text begins, so that the tail of an account's number is none. Plain digits
go before others: only where these make no number are Hangul and Han numerals, words for digits, and letters that are
drawn like digits read as such."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas import numbers
from schemas.codes import NUMBER_TYPES
from streams.content.folding import symbols_of

PLAIN, NUMERAL, LETTER = range(3)  # how sure a character is a digit
MARKS_MAX = 3  # between two groups
GROUPS_MAX = 16  # of one number
DIGITS_MIN, DIGITS_MAX = 8, 20
_HYPHENS = frozenset("-._~*·")  # between groups of one number; behind other marks a number may begin as well
_BREAKS = frozenset(":;=%#@&")  # no number goes on behind one
_TENS = ("공일이삼사오육칠팔구", "零一二三四五六七八九", "零壹貳參肆伍陸柒捌玖", "零壹贰叁肆伍陆柒捌玖")
NUMERALS = {
    **{c: str(i) for tens in _TENS for i, c in enumerate(tens)},
    **dict.fromkeys(("영", "령", "빵", "〇", "제로", "zero", "oh"), "0"), "륙": "6", "하나": "1", "둘": "2", "셋": "3",
    "넷": "4", "다섯": "5", "여섯": "6", "일곱": "7", "여덟": "8", "아홉": "9", "one": "1", "two": "2", "three": "3",
    "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
DRAWN = {
    "o": "0", "ㅇ": "0", "○": "0", "◯": "0", "l": "1", "i": "1", "|": "1", "ㅣ": "1", "z": "2", "s": "5", "b": "8",
}  # fmt: skip
_LATIN_WORD = re.compile(r"[a-z|]+")
_NUMERAL = re.compile("|".join(sorted(map(re.escape, NUMERALS), key=len, reverse=True)))
_INTERNATIONAL = NUMBER_TYPES.index("international")


@dataclass(frozen=True, slots=True)
class Implied:
    """A number, and where it stands in the folded text."""

    number: numbers.Number
    start: int
    end: int


@dataclass(slots=True)
class _Group:
    """Digits in a row, all as sure. marks: what is between the group before and this one; None for the first."""

    digits: str
    sure: int
    marks: str | None
    start: int
    end: int
    plus: bool = False

    @property
    def may_begin(self) -> bool:
        return self.marks is None or self.plus or not self.marks or not _HYPHENS.issuperset(self.marks)


def numbers_in(folded: str, region: str, taken: Iterable[tuple[int, int]] = ()) -> list[Implied]:
    """The numbers in order. taken: places that hold amounts."""
    open_text = folded.replace("ㅡ", "-")  # a letter that is typed for a dash
    for start, end in taken:
        open_text = f"{open_text[:start]}{':' * (end - start)}{open_text[end:]}"
    found: list[Implied] = []
    for run in _runs(open_text):
        plain = [number for part in _parted(run) for number in _among(part, region)]
        found += plain or _among([each for group in run for each in _singly(group)], region)
    return found


def _among(groups: Sequence[_Group], region: str) -> list[Implied]:
    found = []
    at = 0
    while at < len(groups):
        end, number = _beginning(groups, at, region)
        if number is not None:
            found.append(Implied(number, groups[at].start, groups[end - 1].end))
        at = max(end, at + 1)
    return found


def _beginning(groups: Sequence[_Group], at: int, region: str) -> tuple[int, numbers.Number | None]:
    """(the index behind the groups of a number that begins at `at`, the number or None). Of several, one whose groups
    are apart alike, else the longest."""
    best: tuple[bool, int, numbers.Number] | None = None
    digits = ""
    for end in range(at, min(at + GROUPS_MAX, len(groups)) if groups[at].may_begin else at):
        if end > at and groups[end].plus:
            break
        digits += groups[end].digits
        if len(digits) > DIGITS_MAX:
            break
        taken = groups[at : end + 1]
        if len(digits) >= DIGITS_MIN and (number := _planned(digits, taken, region)) is not None:
            alike = len({group.marks for group in taken[1:] if group.marks}) <= 1
            if best is None or alike >= best[0]:
                best = (alike, end + 1, number)
    return (at, None) if best is None else best[1:]


def _planned(digits: str, groups: Sequence[_Group], region: str) -> numbers.Number | None:
    letters = sum(len(group.digits) for group in groups if group.sure == LETTER)
    if 2 * letters > len(digits):
        return None
    whole = digits[0] == "0" or digits.startswith("82") or groups[0].plus
    if not whole and (len(digits) != 8 or digits[:2] not in ("15", "16", "18") or _are_times(groups)):
        return None
    number = numbers.normalise(("+" if groups[0].plus else "") + digits, region)
    return number if number.key > 0 and number.type else None


def _are_times(groups: Sequence[_Group]) -> bool:
    """True for 1500-1800, the hours of a shop."""
    return [len(group.digits) for group in groups] == [4, 4] and all(
        group.digits[2:] in ("00", "30") and group.digits[:2] <= "24" for group in groups
    )


def _parted(run: Sequence[_Group]) -> Iterator[list[_Group]]:
    """The parts of a run that are plain digits."""
    part: list[_Group] = []
    for group in run:
        if group.sure == PLAIN:
            part.append(group)
        elif part:
            yield part
            part = []
    if part:
        yield part


def _singly(group: _Group) -> Iterator[_Group]:
    """Numerals one by one, since words of the text begin and end with them."""
    if group.sure != NUMERAL:
        yield group
        return
    for k, digit in enumerate(group.digits):
        yield _Group(digit, NUMERAL, "" if k else group.marks, group.start, group.end, group.plus and not k)


def _runs(text: str) -> Iterator[list[_Group]]:
    """Groups of digits with no more than a few marks between them."""
    run: list[_Group] = []
    marks: str | None = None
    plus = False
    for start, end, digit, sure in _characters(text):
        if digit:
            joined = run and marks == "" and run[-1].sure == sure
            if joined:
                run[-1].digits += digit
                run[-1].end = end
            else:
                run.append(_Group(digit, sure, marks if run else None, start, end, plus))
            marks, plus = "", False
            continue
        mark = text[start:end]
        marks = f"{marks or ''}{mark}"
        if mark == "+":
            plus = True
        elif symbols_of(mark) or mark in _BREAKS or len(marks.strip()) > MARKS_MAX or len(marks) > 2 * MARKS_MAX:
            if run:
                yield run
            run, plus, marks = [], False, None
    if run:
        yield run


def _characters(text: str) -> Iterator[tuple[int, int, str, int]]:
    """(start, end, digit or "", how sure it is) of each character, or word for a digit, of a text."""
    drawn = {at for m in _LATIN_WORD.finditer(text) if set(m[0]) <= DRAWN.keys() for at in range(*m.span())}
    at = 0
    while at < len(text):
        c = text[at]
        if c.isdigit() and c.isascii():
            yield at, at + 1, c, PLAIN
        elif c in DRAWN and (at in drawn or not c.isascii()):
            yield at, at + 1, DRAWN[c], LETTER
        elif m := _NUMERAL.match(text, at):
            yield at, m.end(), NUMERALS[m[0]], NUMERAL
            at = m.end()
            continue
        else:
            yield at, at + 1, "", PLAIN
        at += 1
