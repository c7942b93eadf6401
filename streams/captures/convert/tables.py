"""Reads tables of text: CSV with any separator, columns of fixed width, and lines of logs. Nothing is lost in silence:
each line becomes part of a row, is rejected with a reason, or is passed over with one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from streams.captures.convert.fields import from_percent, from_python
from streams.captures.convert.model import ConversionMap, FieldFlaw, FileInput, LineTemplate
from streams.captures.convert.opening import Numbered, Opened, PushedBack
from streams.captures.rows import CaptureError

ROW_LINES_MAX = 100  # of one row with line breaks inside quotes, or of one message in a log


class Row(NamedTuple):
    """One row of a file. line: the one on which it starts, from 1. cells: of the map's columns, in their order, None
    for absent. raw: the row as it came."""

    line: int
    cells: list[str | None]
    raw: str


class Unread(NamedTuple):
    """A row that cannot be read."""

    line: int
    code: str
    reason: str
    raw: str


class Passed(NamedTuple):
    """A row that is passed over on purpose, and why."""

    line: int
    reason: str


RowOrNot = Row | Unread | Passed


def cleaner(source: FileInput) -> Callable[[str | None], str | None]:
    """A function from a cell as it stands in the file to its text, None for absent. It raises FieldFlaw."""
    absent = source.absent
    decode = {"percent": from_percent, "python": from_python}.get(source.decode or "")

    def clean(cell: str | None) -> str | None:
        if cell is None or (cell := cell.strip()) in absent:
            return None
        if decode is not None and (cell := decode(cell).strip()) in absent:
            return None
        return cell

    return clean


def plain_name(name: str) -> str:
    """The name of a column without case, spaces and signs: `Caller ID` and `caller_id` are one."""
    return "".join(c for c in name.casefold() if c.isalnum())


class _TooLong(Exception):
    pass


class _Feed:
    """Lines for the reader of CSV. taken: those of the row in hand. It goes on after its end if some are given back."""

    def __init__(self, lines: PushedBack) -> None:
        self.taken: list[Numbered] = []
        self._lines = lines

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= ROW_LINES_MAX:
            raise _TooLong
        line = self._lines.take()
        if line is None:
            raise StopIteration
        self.taken.append(line)
        if line.problem is not None:
            if len(self.taken) > 1:
                raise _TooLong
            return ""
        return line.text + "\n"


class CsvRows:
    """The rows of a CSV file. A quote that is opened and never closed costs its own line only: the lines that it would
    swallow are read again."""

    def __init__(self, opened: Opened, map_: ConversionMap) -> None:
        self._name, self._map, self._input = opened.name, map_, map_.input
        self._start = opened.peek().lstrip()
        self._lines = PushedBack(opened.lines())
        self._feed = _Feed(self._lines)
        self._clean = cleaner(map_.input)
        self._places: list[int | None] = []
        self._width = (0, 0)
        self._header: frozenset[str] = frozenset()
        if not self._input.header:
            self._use_header(self._input.columns)

    def __iter__(self) -> Iterator[RowOrNot]:
        if self._start.startswith(("{", "[{", '"{')):
            raise CaptureError(f"{self._name}: is JSON, and the map reads CSV: take or write a map of `form: json`")
        quoting: Any = csv.QUOTE_MINIMAL if self._input.quote else csv.QUOTE_NONE
        reader = csv.reader(
            self._feed, delimiter=self._input.separator, quotechar=self._input.quote, escapechar=self._input.escape,
            doublequote=True, quoting=quoting, strict=True,
        )  # fmt: skip
        while True:
            self._feed.taken = []
            try:
                cells = next(reader)
            except StopIteration:
                return
            except _TooLong:
                yield self._broken(f"has a quote that is not closed within {ROW_LINES_MAX} lines")
            except csv.Error as error:
                reason = "a quote is opened and never closed" if "end of data" in str(error) else str(error)
                yield self._broken(f"is no row of CSV: {reason}")
            else:
                if self._feed.taken[0].problem is not None:
                    yield self._broken("")
                elif cells:
                    yield self._row(cells)

    def _broken(self, reason: str) -> Unread:
        """Rejects the first line that was taken, and gives back the others."""
        first, *others = self._feed.taken
        self._lines.give_back(others)
        if first.problem is not None:
            return Unread(first.number, "not_text", first.problem, first.text)
        return Unread(first.number, "not_a_row", reason, first.text)

    def _row(self, cells: list[str]) -> RowOrNot:
        line, raw = self._feed.taken[0].number, "\n".join(each.text for each in self._feed.taken)
        if self._looks_like_header(cells):
            self._use_header([cell.strip() for cell in cells])
            return Passed(line, "headers")
        if not self._places:
            self._refuse_header(cells)
        least, most = self._width
        if not least <= len(cells) <= most:
            wanted = f"{most}" if least == most else f"{least} to {most}"
            reason = f"has {len(cells)} columns, not {wanted}"
            return (
                self._broken(f"{reason}: a quote is opened in it and not closed")
                if len(self._feed.taken) > 1
                else Unread(line, "columns", reason, raw)
            )
        try:
            found = [self._clean(cells[at]) if at is not None and at < len(cells) else None for at in self._places]
        except FieldFlaw as flaw:
            return Unread(line, flaw.code, str(flaw), raw)
        return Row(line, found, raw)

    def _looks_like_header(self, cells: Sequence[str]) -> bool:
        """True of the first row where the header is to stand, and of one that stands there again, as in files that were
        put together; its columns may come in another order."""
        if self._header and plain_name(cells[0]) not in self._header:
            return False
        names = frozenset(map(plain_name, cells))
        if self._header:
            return names == self._header or (not self._input.header and names < self._header and len(names) > 3)
        return not self._lacking(names) and not names.isdisjoint(map(plain_name, self._map.columns))

    def _use_header(self, names: Sequence[str]) -> None:
        at = {plain_name(name): index for index, name in reversed(list(enumerate(names)))}
        self._places = [at.get(plain_name(name)) for name in self._map.columns]
        self._width = (len(names) - self._input.optional, len(names))
        self._header = frozenset(map(plain_name, names))

    def _lacking(self, names: frozenset[str]) -> list[tuple[int, ...]]:
        """The groups of columns of which a header names none."""
        plain = [plain_name(name) for name in self._map.columns]
        return [group for group in self._map.needed if names.isdisjoint(plain[index] for index in group)]

    def _refuse_header(self, cells: Sequence[str]) -> None:
        lacking = [
            " or ".join(f"`{self._map.columns[index]}`" for index in group)
            for group in self._lacking(frozenset(map(plain_name, cells)))
        ]
        has = ", ".join(cell.strip()[:40] if _is_name(cell) else "..." for cell in cells[:40])
        raise CaptureError(
            f"{self._name}:{self._feed.taken[0].number}: no column {', '.join(lacking)} in the "
            f"header ({has}): change the map, or say `header: no` and `columns` if this is no header"
        )


def _is_name(cell: str) -> bool:
    """True of a text that may be shown: a value that stands where a header should is personal data."""
    return sum(c.isdigit() for c in cell) < 4


class FixedRows:
    """The rows of a file whose columns stand at fixed characters."""

    def __init__(self, opened: Opened, map_: ConversionMap) -> None:
        self._lines, self._clean = opened.lines(), cleaner(map_.input)
        self._spans = [map_.input.spans[name] for name in map_.columns]
        firsts = (min(map_.input.spans[map_.columns[i]][0] for i in group) for group in map_.needed)
        self._least = max(firsts, default=1)

    def __iter__(self) -> Iterator[RowOrNot]:
        for number, text, problem in self._lines:
            if problem is not None:
                yield Unread(number, "not_text", problem, text)
            elif len(text.rstrip()) < self._least:
                if text.strip():
                    yield Unread(number, "columns", f"has {len(text)} characters: columns are missing", text)
            else:
                try:
                    yield Row(number, [self._clean(text[first - 1 : last]) for first, last in self._spans], text)
                except FieldFlaw as flaw:
                    yield Unread(number, flaw.code, str(flaw), text)


class LogRows:
    """The lines of a log that tell of records, by how they look. A message with line breaks in it goes on in the lines
    that follow, until the whole looks as it should."""

    def __init__(self, opened: Opened, map_: ConversionMap) -> None:
        self._lines, self._input = PushedBack(opened.lines()), map_.input
        self._columns, self._clean = map_.columns, cleaner(map_.input)

    def __iter__(self) -> Iterator[RowOrNot]:
        while (line := self._lines.take()) is not None:
            if line.problem is not None:
                yield Unread(line.number, "not_text", line.problem, line.text)
            elif self._is_of_interest(line):
                yield self._record(line)
            elif line.text.strip():
                yield Passed(line.number, f"lines without `{self._input.about}`")

    def _is_of_interest(self, line: Numbered) -> bool:
        return bool(line.text.strip()) and (self._input.about is None or self._input.about in line.text)

    def _record(self, first: Numbered) -> RowOrNot:
        taken, text = [first], first.text
        while (found := self._matched(text)) is None and self._input.about is not None and len(taken) < ROW_LINES_MAX:
            line = self._lines.take()
            if line is None:
                break
            taken.append(line)
            if line.problem is not None or self._input.about in line.text:
                break
            text += "\n" + line.text
        if found is None:
            self._lines.give_back(taken[1:])
            return Unread(first.number, "not_a_row", "does not look like any of the map's `lines`", first.text)
        try:
            return Row(first.number, [self._clean(found.get(name)) for name in self._columns], text)
        except FieldFlaw as flaw:
            return Unread(first.number, flaw.code, str(flaw), text)

    def _matched(self, text: str) -> dict[str, str] | None:
        for template in self._input.templates:
            if (found := match(template, text)) is not None:
                return found
        return None


def match(template: LineTemplate, text: str) -> dict[str, str] | None:
    """The columns of a line, None if it does not look so. Each column ends where the text behind it first comes: time
    grows with the line's length alone, whatever it holds."""
    if not text.startswith(template.texts[0]):
        return None
    at, out = len(template.texts[0]), {}
    last = len(template.names) - 1
    for place, name in enumerate(template.names):
        behind = template.texts[place + 1]
        if place < last:
            end = text.find(behind, at)
        else:
            end = len(text) - len(behind) if text.endswith(behind) else -1
        if end < at:
            return None
        if name is not None:
            out[name] = text[at:end]
        at = end + len(behind)
    return out
