"""Samples of records as carriers send them: JSON lines, kcat's lines, a JSON array, objects over several lines, or
Parquet captures; plain or compressed. The first bytes say which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

import msgspec

from schemas.envelopes import envelope_seen
from schemas.feeds import FEEDS
from schemas.json_reading import JsonReader, Unreadable
from streams.captures.files import PARQUET, plain_lines
from streams.captures.lines import LineReader, feed_in, texts
from streams.captures.rows import CaptureError
from streams.captures.sniff import sniff

LOOKED_AT = 20  # lines, to say what a file is
WHOLE_BYTES_MAX = 1 << 30  # of a file that cannot be read line by line
VALUES, KCAT, ARRAY, OBJECTS, ROWS = "values", "kcat lines", "a JSON array", "JSON objects", "Parquet rows"
_BOM = b"\xef\xbb\xbf"
_OBJECT = JsonReader(dict[str, msgspec.Raw])


class Item(NamedTuple):
    """One record of a sample. line: the line on which it starts, from 1 (the row in a Parquet file). topic: set if the
    sample names it. problem: the reason if there is no value to look at."""

    line: int
    topic: str | None
    value: bytes | None
    problem: str | None = None
    feed: bytes | None = None  # its header `feed`


@dataclass(slots=True)
class Sample:
    """A sample as it is read. form: one of the words above."""

    name: str
    form: str
    items: Iterator[Item]


def read_sample(path: Path, advance: Callable[[int], None]) -> Iterator[Sample]:
    """The one sample in a file, open while it is being read. Raises CaptureError, OSError."""
    with path.open("rb") as file:
        if file.read(len(PARQUET)) == PARQUET:
            yield Sample(str(path), ROWS, _rows(path, advance))
            return
        file.seek(0)
        yield read_open(file, str(path), advance)


def read_open(file: IO[bytes], name: str, advance: Callable[[int], None] = lambda count: None) -> Sample:
    """The sample in an open file. Raises CaptureError."""
    lines = plain_lines(file, name, advance)
    first = list(islice(lines, LOOKED_AT))
    if first and first[0].startswith(_BOM):
        first[0] = first[0][len(_BOM) :]
    if (known := sniff(b"".join(first))) is not None and not _wrapped(first[0].strip()):
        raise CaptureError(f"{name}: is {known[0]}: {known[1]}")
    filled = [line for line in (line.strip() for line in first) if line]
    if not filled:
        raise CaptureError(f"{name}: holds no record: give JSON lines, kcat's lines, a JSON array or a Parquet capture")
    everything = chain(first, lines)
    if filled[0].startswith(b"["):
        return Sample(name, ARRAY, _elements(_whole(everything, name), name))
    if filled[0] == b"{" or (filled[0].startswith(b"{") and not any(map(_is_object, filled))):
        return Sample(name, OBJECTS, _elements(_whole(everything, name), name))
    if not any(line.startswith(b"{") for line in filled):
        raise CaptureError(f"{name}: none of its first lines is a JSON object: {_otherwise(first, filled, name)}")
    reader = LineReader()
    if any(_is_kcat(reader, line) for line in filled):
        return Sample(name, KCAT, _kcat(everything, reader))
    return Sample(name, VALUES, _values(everything))


def _otherwise(first: list[bytes], filled: list[bytes], name: str) -> str:
    """The remedy for a file of lines that are no JSON."""
    from streams.captures.convert.suggest import alike, command_line, fitting

    if seen := _wrapped(filled[0]):
        return f"a record {seen}"
    if maps := fitting(b"".join(first)):
        return f"the map {maps[0]} reads it: {command_line(maps[0], name)}"
    separator = max((b",", b";", b"\t", b"|"), key=filled[0].count)
    if filled[0].count(separator) > 1:
        names = [name.decode("utf-8", "replace").strip(' "') for name in filled[0].split(separator)]
        if known := [next(iter(found.values()))[1] for topic in FEEDS if (found := alike(names, topic, "csv"))]:
            return f"its columns look like those of the map {known[0]}: {command_line(known[0], name)}"
        return f"it looks like a table (CSV): make records of it with {command_line('FILE', name)}"
    return "give JSON lines, kcat's lines, a JSON array or a Parquet capture"


def _wrapped(line: bytes) -> str | None:
    """The reason to tell of a record in an envelope; JSON in a string is another's to name."""
    return None if line.startswith(b'"') else envelope_seen(line)


def _is_object(line: bytes) -> bool:
    try:
        _OBJECT.read(line)
    except Unreadable:
        return False
    return True


def _is_kcat(reader: LineReader, line: bytes) -> bool:
    try:
        reader.parse(line)
    except Unreadable:
        return False
    return True


def _values(lines: Iterator[bytes]) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        if text := line.strip():
            yield Item(number, None, text)


def _kcat(lines: Iterator[bytes], reader: LineReader) -> Iterator[Item]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            read = reader.parse(line)
            yield Item(number, read.topic, texts(read)[1], feed=feed_in(read))
        except ValueError as error:
            yield Item(number, None, None, f"not a line of kcat -J: {error}")


def _rows(path: Path, advance: Callable[[int], None]) -> Iterator[Item]:
    from streams.captures.parquet import read_parquet

    number = 0
    for rows in read_parquet(path, [], 10_000, advance):
        feeds = rows.feeds or [None] * len(rows)
        for code, value, feed in zip(rows.topic.tolist(), rows.values, feeds, strict=True):
            number += 1
            yield Item(number, rows.topics[code], value, feed=feed)


def _whole(lines: Iterator[bytes], name: str) -> str:
    parts, size = [], 0
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > WHOLE_BYTES_MAX:
            raise CaptureError(f"{name}: over {WHOLE_BYTES_MAX >> 30} GiB in one piece: give one record a line")
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError as error:
        raise CaptureError(f"{name}: byte {error.start} is not UTF-8: give JSON in UTF-8") from None


def _elements(text: str, name: str) -> Iterator[Item]:
    """Yields the elements of an array, or objects that follow each other. Raises CaptureError where the text is
    neither: the start of the next record is then unknown."""
    # Only where an element ends is asked of it: what it holds is the record's business.
    decoder = json.JSONDecoder(parse_int=len, parse_float=len)  # noqa: TID251
    array = text.lstrip(_SPACE).startswith("[")
    at = _skip(text, text.index("[") + 1 if array else 0)
    counted_to, line = 0, 1
    while at < len(text) and not (array and text[at] == "]"):
        line += text.count("\n", counted_to, at)
        counted_to = at
        try:
            _, end = decoder.raw_decode(text, at)
        except RecursionError:
            end = _behind(text, at)
        except ValueError as error:
            raise CaptureError(f"{name}:{line}: here is no JSON value: {error}") from None
        yield Item(line, None, text[at:end].encode("utf-8"))
        at = _skip(text, end)
        if array:
            if text[at : at + 1] == ",":
                at = _skip(text, at + 1)
            elif text[at : at + 1] != "]":
                raise CaptureError(f"{name}:{line}: a comma or the array's end is missing behind this record")
    if array and at >= len(text):
        raise CaptureError(f"{name}: the array has no end")


def _behind(text: str, at: int) -> int:
    """Returns the position after the object or list at `at`, however deep it is; the text's end if it is never
    closed."""
    depth = 0
    for found in _TOKEN.finditer(text, at):
        depth += (found[0] in "{[") - (found[0] in "]}")
        if not depth:
            return found.end()
    return len(text)


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_SPACE = " \t\r\n"


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
