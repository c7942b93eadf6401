"""The one form of a rule file: two columns a level, one blank line between rules and between sections, one space where
there is one, none at the end of a line. Comments, quotes and line breaks stay as they are.

No YAML writer is asked for it: those that keep comments (ruamel) put flow collections and long conditions into lines of
their own width. Lines are moved, and what they hold is left alone, so that the content is the same for certain."""

from __future__ import annotations

import re
from collections.abc import Collection

from rules.document import Document, Node

STEP = 2  # columns of a level


class Unformatted(ValueError):
    """The file has mistakes of YAML, or would not say the same. The message says which."""


def formatted(text: str, name: str = "rules.yaml") -> str:
    """The text in the one form. Raises Unformatted."""
    doc = Document(name, text)
    if doc.root is None:
        raise Unformatted(doc.diagnostics[0].message if doc.diagnostics else "is empty")
    if doc.root.kind != "mapping":
        raise Unformatted("is no rule file: sections such as `rules:` are expected")
    kept = _kept(doc.root)
    out = "\n".join(_spaced(doc.root, _moved(doc.lines, _columns(doc.root), kept), kept)).strip("\n") + "\n"
    again = Document(name, out)
    if again.root is None or again.root.plain() != doc.root.plain():
        raise Unformatted("would say something else: its lines are laid out in a way that is not known here")
    return out


def _columns(root: Node) -> dict[int, int]:
    """The new column of each line on which a key or item of a block begins."""
    out: dict[int, int] = {}
    todo = [(root, 0)]
    while todo:
        node, column = todo.pop()
        for begin, inner in [*node.pairs, *((item, item) for item in node.items)] if not node.flow else ():
            out.setdefault(begin.line, column)
            todo.append((inner, column + STEP))
    return out


def _kept(root: Node) -> dict[int, int]:
    """For each line inside of a value of several lines, the line on which the value begins."""
    out: dict[int, int] = {}
    todo = [root]
    while todo:
        node = todo.pop()
        whole = node.kind == "scalar" or node.flow
        last = node.end_line if node.end_column else node.end_line - 1
        for line in range(node.line + 1, last + 1) if whole else ():
            out.setdefault(line, node.line)
        if not whole:
            todo += [one for pair in node.pairs for one in pair] + node.items
    return out


def _moved(lines: list[str], columns: dict[int, int], kept: dict[int, int]) -> list[tuple[int, str]]:
    """(number, line) of each line at its new column. A comment goes with what stands below it."""
    out: list[tuple[int, str]] = []
    shift: dict[int, int] = {}
    following = 0
    for number in range(len(lines) - 1, -1, -1):
        line = lines[number]
        indent = len(line) - len(line.lstrip(" "))
        if number in columns:
            following = columns[number] - indent
            shift[number] = following
        elif line.lstrip().startswith("#") and number not in kept:
            shift[number] = following
    for number, line in enumerate(lines):
        begun = kept.get(number)
        while begun is not None and begun in kept:
            begun = kept[begun]
        by = shift.get(number, shift.get(begun, 0) if begun is not None else 0)
        indent = len(line) - len(line.lstrip(" "))
        stripped = line.strip() if begun is None else line.lstrip(" ").rstrip()
        out.append((number, " " * max(0, indent + by) + stripped if stripped else ""))
    return out


def _spaced(root: Node, lines: list[tuple[int, str]], kept: Collection[int]) -> list[str]:
    """The lines with one blank line before each section and each rule, and no two in a row. kept: numbers of lines
    inside of values."""
    begins = {key.line for key, _ in root.pairs[1:]}
    for key, value in root.pairs:
        if key.text == "rules":
            begins |= {item.line for item in value.items[1:] if (item.pairs or item.items) and not item.flow}
    out: list[str] = []
    for number, line in lines:
        if number in begins:
            at = len(out)
            while at and out[at - 1].lstrip().startswith("#"):
                at -= 1
            if at and out[at - 1]:
                out.insert(at, "")
        if line or number in kept or (out and out[-1]):
            out.append(line if number in kept else re.sub(r"^( *- ) +", r"\1", line))
    return out
