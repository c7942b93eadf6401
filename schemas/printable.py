"""Makes text from outside safe to show on a terminal, in a log line or in a table."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable


def printable(text: str) -> str:
    """Returns one line in which every character is visible. Characters that could move a cursor, end the line or
    reorder text (control and format characters, line separators, halves of surrogate pairs, private and unassigned
    characters) are escaped as in a Python string: \\x1b, \\u202e."""
    return _escaped(text, lambda c: c.encode("unicode_escape").decode())


def printable_json(text: str) -> str:
    """Returns the same JSON on one line; such characters in its strings become JSON escapes."""
    return _escaped(text, lambda c: " " if c in "\t\n\r" else _json_escape(c))


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else escape(c) for c in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
