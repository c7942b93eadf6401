"""One YAML file as nodes with positions. Nothing is constructed: scalars stay text, so `on` is never a boolean and
`09:00` never a number. Tags, anchors and aliases are refused, sizes bounded."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from rules.diagnostics import ERROR, Diagnostic
from rules.expression_check import Hidden, ValueList
from rules.yaml_slips import explained

BYTES_MAX = 1_000_000
TOO_LARGE, SPLIT = f"larger than {BYTES_MAX:,} bytes", "split it into several files of a directory"
DEPTH_MAX = 20
NODES_MAX = 50_000

_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # as YAML 1.1 breaks lines


@dataclass(slots=True)
class Node:
    """A scalar, a sequence or a mapping, with its position (lines and columns count from 0)."""

    kind: str  # "scalar", "sequence" or "mapping"
    line: int
    column: int
    end_line: int
    end_column: int
    text: str = ""  # of a scalar
    quoted: bool = False
    flow: bool = False  # of a sequence or mapping in brackets
    items: list[Node] = field(default_factory=list)  # of a sequence
    pairs: list[tuple[Node, Node]] = field(default_factory=list)  # of a mapping, keys scalar

    @property
    def empty(self) -> bool:
        return self.kind == "scalar" and not self.quoted and self.text in ("", "~", "null")

    def plain(self) -> Any:
        """The content without positions: equal for two files that say the same."""
        if self.kind == "scalar":
            return self.text
        if self.kind == "sequence":
            return [item.plain() for item in self.items]
        return {key.text: value.plain() for key, value in self.pairs}


class Document:
    """A file's text, its root node, and the diagnostics found in it so far."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.lines = _BREAK.split(text.removeprefix("\ufeff"))
        self.diagnostics: list[Diagnostic] = []
        self.lists: dict[str, ValueList | Hidden] = {}  # of values, which its expressions know
        self.root: Node | None = None
        if len(text.encode()) > BYTES_MAX:
            self.whole(TOO_LARGE, SPLIT)
            return
        try:
            self.root = _compose(text.removeprefix("\ufeff"))
        except _Refused as e:
            self.at(e.line, e.column, e.message, hint=e.hint)
        except yaml.YAMLError as e:
            self._syntax(e)

    def error(self, node: Node, message: str, hint: str = "", choices: tuple[str, ...] = (), **more: Any) -> None:
        length = node.end_column - node.column if node.kind == "scalar" and node.end_line == node.line else 1
        self.at(node.line, node.column, message, hint, choices, length=max(length, 1), **more)

    def error_within(
        self, node: Node, offset: int, length: int, message: str, hint: str, choices: Any, severity: str = ERROR
    ) -> None:
        """Notes an error at `offset` characters into the value of a scalar, at its position in the file."""
        positions = self._positions(node)
        line, column = positions[min(offset, len(positions) - 1)] if positions else (node.line, node.column)
        last = positions[min(offset + length, len(positions)) - 1] if positions else (line, column)
        shown = last[1] - column + 1 if last[0] == line else len(self.lines[line]) - column
        self.at(line, column, message, hint, choices, severity, max(shown, 1))

    def at(
        self,
        line: int,
        column: int,
        message: str,
        hint: str = "",
        choices: tuple[str, ...] = (),
        severity: str = ERROR,
        length: int = 1,
    ) -> None:
        source = self.lines[line] if line < len(self.lines) else ""
        self.diagnostics.append(
            Diagnostic(self.name, line + 1, column + 1, message, source[:500], hint, severity, length, choices)
        )

    def whole(self, message: str, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic(self.name, 0, 0, message, hint=hint))

    def _positions(self, node: Node) -> list[tuple[int, int]]:
        """(line, column) of each character of a scalar's value. Quotes, folding and indentation stand between them,
        but the letters come in the same order, so each is the next of its kind in the file."""
        raw = self._raw(node)
        if not node.quoted and raw and raw[0][2] in "|>":
            raw = [r for r in raw if r[0] > node.line]
        elif node.quoted:
            raw = raw[1:]
        out: list[tuple[int, int]] = []
        at = 0
        for letter in node.text:
            found = next((i for i in range(at, len(raw)) if raw[i][2] == letter), None)
            if letter.isspace() or found is None:
                out.append(raw[min(at, len(raw) - 1)][:2] if raw else (node.line, node.column))
                at += bool(at < len(raw) and raw[at][2].isspace() and len(raw[at][2]) == 1)
            else:
                out.append(raw[found][:2])
                at = found + 1
        return out

    def _raw(self, node: Node) -> list[tuple[int, int, str]]:
        out = []
        for line in range(node.line, min(node.end_line, len(self.lines) - 1) + 1):
            start = node.column if line == node.line else 0
            stop = node.end_column if line == node.end_line else len(self.lines[line])
            out += [(line, column, self.lines[line][column]) for column in range(start, stop)]
        return out

    def _syntax(self, e: yaml.YAMLError) -> None:
        slip = explained(e, self.lines)
        if slip is None:
            self.whole(f"not YAML: {getattr(e, 'reason', None) or 'cannot be read'}")
        else:
            self.at(slip.line, slip.column, slip.message, slip.hint)


def text_of(path: Path, unread: list[Diagnostic], what: str = "", opened: IO[bytes] | None = None) -> str | None:
    """The text of a file, of which no more is read than a Document may have; None where it cannot be read, and then why
    is noted. what: the file in the words of that note. opened: read instead of the path."""
    try:
        with path.open("rb") if opened is None else nullcontext(opened) as file:
            content = file.read(BYTES_MAX + 1)
        if len(content) > BYTES_MAX:
            unread.append(Diagnostic(str(path), 0, 0, TOO_LARGE, hint=SPLIT))
            return None
        return content.decode()
    except OSError as e:
        unread.append(Diagnostic(str(path), 0, 0, f"{what} cannot be read: {e.strerror}".lstrip()))
    except UnicodeDecodeError as e:
        unread.append(Diagnostic(str(path), 0, 0, f"is not UTF-8 (byte {e.start})"))
    return None


def version_of(documents: Iterable[Document]) -> str:
    """The first 12 hex digits of a sha256 over what the files say: comments and layout change nothing."""
    content = json.dumps([doc.root.plain() for doc in documents if doc.root], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


class _Refused(Exception):
    def __init__(self, mark: Any, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.column, self.message, self.hint = mark.line, mark.column, message, hint


def _compose(text: str) -> Node | None:
    """The root node, None of an empty document. Reads the parser's events with a stack of its own, so that depth is
    checked before it can hurt."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    stack: list[tuple[Node, list[Node]]] = []
    root: Node | None = None
    for count, event in enumerate(_events(text, loader)):
        if count > NODES_MAX:
            raise _Refused(event.start_mark, f"more than {NODES_MAX:,} values")
        if isinstance(event, yaml.CollectionEndEvent):
            done, children = stack.pop()
            end: Any = event.end_mark
            done.end_line, done.end_column = end.line, end.column
            if done.kind == "mapping":
                done.pairs = list(zip(children[::2], children[1::2], strict=True))
            else:
                done.items = children
            continue
        node = _node(event)
        if len(stack) >= DEPTH_MAX:
            raise _Refused(event.start_mark, f"nested more than {DEPTH_MAX} deep")
        if stack:
            parent, siblings = stack[-1]
            if parent.kind == "mapping" and len(siblings) % 2 == 0 and node.kind != "scalar":
                raise _Refused(
                    event.start_mark, "a key must be a name", "put the value in quotes if it starts with [ or {"
                )
            siblings.append(node)
        elif root is not None:
            raise _Refused(event.start_mark, "a second document", "use one file for each")
        root = root or node
        if node.kind != "scalar":
            stack.append((node, []))
    return root


def _events(text: str, loader: Any) -> Iterator[Any]:
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent):
            yield event


def _node(event: Any) -> Node:
    start, end = event.start_mark, event.end_mark
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _Refused(start, "anchors and aliases are not allowed", "write the value out")
    if event.tag is not None:
        raise _Refused(start, "tags are not allowed", "leave out the word that starts with `!`")
    position = (start.line, start.column, end.line, end.column)
    if isinstance(event, yaml.ScalarEvent):
        return Node("scalar", *position, text=event.value, quoted=event.style in ("'", '"'))
    kind = "sequence" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
    return Node(kind, *position, flow=bool(event.flow_style))
