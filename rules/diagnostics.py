"""Diagnostics of rule files. Each says what is wrong and where, with a caret, the valid choices and a guess."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.printable import printable

ERROR = "error"
WARNING = "warning"


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `line` and `column` count from 1; line 0 means the file as a whole."""

    file: str
    line: int
    column: int
    message: str
    source_line: str = ""
    hint: str = ""
    severity: str = ERROR
    length: int = 1  # characters to underline
    choices: tuple[str, ...] = ()

    @property
    def position(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class RuleErrors(ValueError):
    """Everything that is wrong with the files, warnings included."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        super().__init__("\n".join(render(d) for d in self.diagnostics))

    @property
    def lines(self) -> list[str]:
        """The lines of the message; text from the files never breaks a line."""
        return str(self).split("\n")


def render(diagnostic: Diagnostic, color: bool = False) -> str:
    """Several printable lines without a final newline: place and message, the source line with carets, choices,
    hint."""
    d = diagnostic
    paint = _PAINT if color else _PLAIN
    tint = paint[d.severity]
    lines = [f"{paint['bold']}{printable(d.position)}: {tint}{d.severity}: {paint['end']}{printable(d.message)}"]
    if d.line and d.source_line:
        margin = f"{d.line:>5} | "
        source = d.source_line.replace("\t", " ")
        before, marked = source[: d.column - 1], source[d.column - 1 : d.column - 1 + d.length]
        before, marked = printable(before), printable(marked)
        carets = "^" * max(_width(marked), 1)
        lines.append(margin + printable(source))
        lines.append(" " * 5 + " | " + " " * _width(before) + tint + carets + paint["end"])
    if d.choices:
        lines.append("        one of: " + printable(", ".join(c for c in d.choices if c)))
    if d.hint:
        lines.append("        hint: " + printable(d.hint))
    return "\n".join(lines)


_PLAIN = {"bold": "", "end": "", ERROR: "", WARNING: ""}
_PAINT = {"bold": "\x1b[1m", "end": "\x1b[0m", ERROR: "\x1b[31m", WARNING: "\x1b[33m"}


def _width(text: str) -> int:
    """The width of a text on a terminal, in columns: Korean letters take two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
