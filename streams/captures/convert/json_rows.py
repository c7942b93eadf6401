"""Reads rows from JSON: an object a line, an array, or objects one after another; nested values by dotted names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from schemas.json_reading import JsonReader, Unreadable
from schemas.objects import ObjectError, kind_of, read_pairs
from streams.captures.convert.model import ConversionMap, FieldFlaw
from streams.captures.convert.opening import Opened
from streams.captures.convert.tables import Row, RowOrNot, Unread, cleaner
from streams.captures.rows import CaptureError

ELEMENT_CHARACTERS_MAX = 16 << 20
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*+"|[^\s,\[\]{}"]+')
_BETWEEN = re.compile(r"[\s,\ufeff]*")
_STRING = JsonReader(str)


class JsonRows:
    """The rows of a file of JSON."""

    def __init__(self, opened: Opened, map_: ConversionMap) -> None:
        self._opened, self._clean = opened, cleaner(map_.input)
        self._paths = [name.split(".") for name in map_.columns]
        self._names = map_.columns

    def __iter__(self) -> Iterator[RowOrNot]:
        start = self._opened.peek().lstrip("\ufeff \t\r\n")
        if start and not start.startswith(("{", "[", '"{', '"[', '" ')):
            raise CaptureError(f"{self._opened.name}: is no JSON, and the map reads JSON: take or write another map")
        if self._is_one_a_line(start):
            for number, text, problem in self._opened.lines():
                if problem is not None:
                    yield Unread(number, "not_text", problem, text)
                elif text.strip():
                    yield self._row(number, text)
        else:
            for number, text in elements(self._opened):
                yield self._row(number, text)

    def _is_one_a_line(self, start: str) -> bool:
        if start.startswith("["):
            return False
        lines = [line for line in start.splitlines() if line.strip()][:20]
        return not start.startswith("{") or any(map(_is_whole, lines))

    def _row(self, line: int, text: str) -> RowOrNot:
        try:
            pairs = _object(text)
            cells = [self._cell(index, path, pairs) for index, path in enumerate(self._paths)]
        except ObjectError as error:
            return Unread(line, error.code, str(error), text)
        except FieldFlaw as flaw:
            return Unread(line, flaw.code, str(flaw), text)
        return Row(line, cells, text)

    def _cell(self, index: int, path: list[str], pairs: list[tuple[str, Any]]) -> str | None:
        value = _at(pairs, path)
        if value is None:
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, list):
            raise FieldFlaw("wrong_type", f"`{self._names[index]}` is {kind_of(value)}: name a value inside of it")
        return self._clean(str(value))


def _object(text: str) -> list[tuple[str, Any]]:
    if text.lstrip().startswith('"'):
        with suppress(Unreadable):
            text = _STRING.read(text.encode("utf-8", "surrogatepass"))
    return read_pairs(text.strip().encode("utf-8", "surrogatepass"))


def _is_whole(line: str) -> bool:
    try:
        _object(line)
    except ObjectError:
        return False
    return True


def _at(value: Any, path: list[str]) -> Any:
    """The value behind names and positions; a name with dots of its own is found whole too."""
    for place, name in enumerate(path):
        if not isinstance(value, list):
            return None
        if kind_of(value) == "an object":
            found = dict(value)
            whole = ".".join(path[place:])
            if whole in found:
                return found[whole]
            value = found.get(name)
        else:
            value = value[int(name)] if name.isdecimal() and int(name) < len(value) else None
    return value


def elements(opened: Opened) -> Iterator[tuple[int, str]]:
    """(line, text) of the elements of an array, or of values that follow each other, of which one at a time is in
    memory. Raises CaptureError where the text is cut off or one element is too long: where the next begins is then
    unknown."""
    buffer = _Buffer(opened)
    is_array = buffer.skip() == "["
    if is_array:
        buffer.pass_over()
    while first := buffer.skip():
        if is_array and first == "]":
            buffer.pass_over()
            if buffer.skip():
                raise CaptureError(f"{opened.name}:{buffer.line}: something follows the end of the array")
            return
        yield buffer.line, buffer.value()
    if is_array:
        raise CaptureError(f"{opened.name}: the array has no end: the file is cut off")


class _Buffer:
    """A piece of a file's text, and the place in it. line: of that place, from 1."""

    def __init__(self, opened: Opened) -> None:
        self.line = 1
        self._name, self._pieces = opened.name, opened.pieces()
        self._text, self._at, self._is_last = "", 0, False

    def skip(self) -> str:
        """The next character that is neither white space nor a comma; empty at the end of the file."""
        while True:
            end = _BETWEEN.match(self._text, self._at).end()  # type: ignore[union-attr]
            self.line += self._text.count("\n", self._at, end)
            self._at = end
            if end < len(self._text):
                return self._text[end]
            if self._is_last:
                return ""
            self._fill(1)

    def pass_over(self) -> None:
        self._at += 1

    def value(self) -> str:
        """The value that begins here. Raises CaptureError if it has no end."""
        while (end := _end(self._text, self._at, self._is_last)) is None:
            have = len(self._text) - self._at
            if self._is_last or have > ELEMENT_CHARACTERS_MAX:
                where = "" if self._is_last else f" within {ELEMENT_CHARACTERS_MAX >> 20} million characters"
                raise CaptureError(
                    f"{self._name}:{self.line}: a value that begins here has no end{where}: is the file cut off?"
                )
            self._fill(have)
        found = self._text[self._at : end]
        self.line += found.count("\n")
        self._at = end
        return found

    def _fill(self, characters: int) -> None:
        """Reads at least so many further characters, if there are. A long value is looked at anew only each time that
        its text has doubled."""
        parts, size = [self._text[self._at :]], 0
        while size < characters:
            piece = next(self._pieces, None)
            if piece is None:
                self._is_last = True
                break
            parts.append(piece)
            size += len(piece)
        self._text, self._at = "".join(parts), 0


def _end(text: str, at: int, is_last: bool) -> int | None:
    """The end of the value that begins at a place of a text, None where the text does not hold all of it."""
    if text[at] in "{[":
        depth = 0
        for found in _TOKEN.finditer(text, at):
            depth += (found[0] in "{[") - (found[0] in "]}")
            if not depth:
                return found.end()
        return None
    scalar = _SCALAR.match(text, at)
    if scalar is None:
        return None if text[at] == '"' else at + 1
    return scalar.end() if scalar.end() < len(text) or is_last else None
