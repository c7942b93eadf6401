"""Text from outside, as a terminal, a log line or a table may show it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable


def printable(text: str) -> str:
    """One line in which every character is seen: what could move a cursor, end the line or reorder what stands there
    (control and format characters, line separators, halves of surrogate pairs, private and unassigned characters) is
    written as Python would write it in a string, \\x1b or \\u202e."""
    return _escaped(text, lambda c: c.encode("unicode_escape").decode())


def printable_json(text: str) -> str:
    """The same JSON on one line, such characters in its strings escaped as JSON has it."""
    return _escaped(text, lambda c: " " if c in "\t\n\r" else _json_escape(c))


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else escape(c) for c in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
