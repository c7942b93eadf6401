"""Errors of YAML in the words of somebody who writes rule files: where the slip was made, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CLOSERS = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class Slip:
    """A slip, at a line and column that count from 0."""

    line: int
    column: int
    message: str
    hint: str = ""


def explained(error: Any, lines: Sequence[str]) -> Slip | None:
    """The likely slip behind an error of the parser; None where it says no place."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    if mark is None:
        return _control_character(lines)
    at = mark.line, mark.column
    if (tab := _tab(lines, *at)) is not None:
        return Slip(*tab, "a tab cannot indent a line", "write spaces instead")
    context = getattr(error, "context", None) or ""
    begin = getattr(error, "context_mark", None)
    if begin is not None and ("flow mapping" in context or "flow sequence" in context):
        return _unclosed(lines, (begin.line, begin.column), at)
    if begin is not None and "quoted scalar" in context:
        return Slip(begin.line, begin.column, "this quote is never closed", "close it, or double it if it is meant")
    if "cannot start any token" in problem:
        return Slip(*at, f"a value cannot begin with `{_letter(lines, *at)}`", "put the value in quotes")
    if "mapping values are not allowed" in problem:
        hint = "put a text that has `: ` in it in quotes; or indent this line as its neighbours are"
        return Slip(*at, "a `:` cannot stand here", hint)
    if "expected '-' indicator" in problem or "did not find expected key" in problem:
        since = f", which begin on line {begin.line + 1}" if begin is not None else ""
        return Slip(*at, "this does not go on with what stands before it", f"indent it as its neighbours{since}")
    if "expected node content" in problem and _letter(lines, *at) in ("}", "]"):
        return Slip(*at, f"`{_letter(lines, *at)}` closes nothing", "remove it")
    return Slip(*at, f"not YAML: {problem}")


def _unclosed(lines: Sequence[str], begin: tuple[int, int], at: tuple[int, int]) -> Slip:
    opener, found = _letter(lines, *begin), _letter(lines, *at)
    closer = CLOSERS.get(opener, "")
    if found in CLOSERS.values() and found != closer:
        return Slip(*begin, f"`{opener}` is closed by `{found}` on line {at[0] + 1}", f"close it with `{closer}`")
    fits = "the file ends" if at[0] >= len(lines) - 1 and not found else f"line {at[0] + 1} does not fit in it"
    return Slip(*begin, f"`{opener}` is never closed: {fits}", f"add `{closer}`, or `,` between its parts")


def _tab(lines: Sequence[str], line: int, column: int) -> tuple[int, int] | None:
    """The tab that indents the line of an error, or stands where it is."""
    if line >= len(lines):
        return None
    text = lines[line]
    indent = text[: len(text) - len(text.lstrip())]
    if "\t" in indent and column <= len(indent) + 1:
        return line, indent.index("\t")
    return (line, column) if text[column : column + 1] == "\t" else None


def _control_character(lines: Sequence[str]) -> Slip | None:
    for line, text in enumerate(lines):
        for column, letter in enumerate(text):
            if letter != "\t" and (letter < " " or letter in "\x7f\ufffe\uffff"):
                hint = "write it as an escape in double quotes, or remove it"
                return Slip(line, column, f"the character {letter!r} cannot stand in a file", hint)
    return None


def _letter(lines: Sequence[str], line: int, column: int) -> str:
    return lines[line][column : column + 1] if line < len(lines) else ""
