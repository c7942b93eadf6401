"""Sources of a replay: files and folders in any form that `records check` takes, one after another or merged by time.

Captures (lines of kcat, Parquet) say where each record lay. Other forms hold records alone: they are taken as one log
in the order of the file, the topic being guessed from the fields unless it is told.
"""

from __future__ import annotations

import heapq
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO

import msgspec
import orjson

from schemas.json_reading import JsonReader, Unreadable
from schemas.times import TimeError, parse_time
from streams.captures.check import GUESSED_FROM, guess_topic
from streams.captures.files import DAMAGED, PARQUET, damaged, files_below, plain_lines, uncompressed
from streams.captures.lines import LineReader, texts
from streams.captures.parquet import read_parquet
from streams.captures.replay import Replay
from streams.captures.rows import NO_RECORD, CaptureError
from streams.captures.samples import KCAT, LOOKED_AT, Sample, read_open

LOOKED_AT_BYTES = 1 << 20
ROWS_AT_ONCE = 2_000

Advance = Callable[[int], None]


class _Dated(msgspec.Struct):
    """A record's own time."""

    at: int | str


_AT = JsonReader(_Dated)


def replay_files(
    replay: Replay, given: Sequence[Path], topic: str | None, merge: bool, advance: Advance = lambda count: None
) -> None:
    """Replays files, and those below folders; `-` is standard input. topic: that of records which do not say it.
    merge: in the order of their times. advance: gets the bytes read since its last call. Raises CaptureError, OSError.
    """
    files = tuple(files_below(given))
    if merge:
        replay_merged(replay, files, topic, advance)
        return
    for file in files:
        if str(file) == "-":
            replay_stream(replay, sys.stdin.buffer, "standard input", topic)
        else:
            replay_file(replay, file, topic, advance)


def replay_file(replay: Replay, path: Path, topic: str | None, advance: Advance) -> None:
    """Replays one file. topic: that of records which do not say it. Raises CaptureError, OSError."""
    with path.open("rb") as file:
        form = _form(file, str(path))
    if form == KCAT:
        replay.run_file(path, advance)
    elif form:
        with path.open("rb") as file:
            sample = read_open(file, str(path), advance)
            replay.run(_values_as_lines(sample, topic), str(path), placed=False)


def replay_stream(replay: Replay, file: IO[bytes], name: str, topic: str | None) -> None:
    """The same for an open file that cannot be read twice."""
    with uncompressed(file, lambda count: None) as plain:
        form = _form_of(plain, name)
        if form == KCAT:
            replay.run_stream(plain, name)
        elif form:
            replay.run(_values_as_lines(read_open(plain, name), topic), name, placed=False)


def replay_merged(replay: Replay, paths: Sequence[Path], topic: str | None, advance: Advance) -> None:
    """Replays the records of all files in the order of their Kafka timestamps, or of their own times where there are no
    such. A file is open only while its records are due. Raises CaptureError, OSError."""
    begins = []
    for index, path in enumerate(paths):
        first = next(_timed(path, topic, lambda count: None), None)
        if first is not None:
            begins.append((first[0], index))
    captures = {_is_capture(path) for path in paths}
    if len(captures) > 1:
        raise CaptureError("captures and files of mere records cannot be merged: replay the ones or the others")
    lines = _merge([(at_ms, _timed(paths[index], topic, advance)) for at_ms, index in sorted(begins)])
    replay.run(lines, "the merged files", placed=captures == {True})


def _merge(files: list[tuple[int, Iterator[tuple[int, bytes]]]]) -> Iterator[bytes]:
    """files: when each begins, ascending, and its timed lines."""
    heads: list[tuple[int, int, bytes]] = []
    waiting = 0
    while heads or waiting < len(files):
        while waiting < len(files) and (not heads or files[waiting][0] <= heads[0][0]):
            _push(heads, waiting, files[waiting][1])
            waiting += 1
        if heads:
            _, index, line = heads[0]
            yield line
            heapq.heappop(heads)
            _push(heads, index, files[index][1])


def _push(heads: list[tuple[int, int, bytes]], index: int, lines: Iterator[tuple[int, bytes]]) -> None:
    following = next(lines, None)
    if following is not None:
        heapq.heappush(heads, (following[0], index, following[1]))


def _timed(path: Path, topic: str | None, advance: Advance) -> Iterator[tuple[int, bytes]]:
    """Yields (time, line of kcat), times never falling within a file, so that its order stays."""
    reader, latest = LineReader(), 0
    for line in _lines(path, topic, advance):
        latest = max(latest, _time_of(reader, line))
        yield latest, line if line.endswith(b"\n") else line + b"\n"


def _lines(path: Path, topic: str | None, advance: Advance) -> Iterator[bytes]:
    with path.open("rb") as file:
        form = _form(file, str(path))
    with path.open("rb") as file:
        if form == KCAT and file.read(len(PARQUET)) == PARQUET:
            yield from _rows_as_lines(path, advance)
        elif form == KCAT:
            file.seek(0)
            yield from plain_lines(file, str(path), advance)
        elif form:
            yield from _values_as_lines(read_open(file, str(path), advance), topic)


def _is_capture(path: Path) -> bool:
    with path.open("rb") as file:
        return _form(file, str(path)) == KCAT


def _form(file: IO[bytes], name: str) -> str:
    """KCAT for what says where its records lay, "values" for records alone, "" for nothing."""
    if file.read(len(PARQUET)) == PARQUET:
        return KCAT
    file.seek(0)
    with uncompressed(file, lambda count: None) as plain:
        return _form_of(plain, name)


def _form_of(plain: IO[bytes], name: str) -> str:
    try:
        start = bytes(plain.peek(LOOKED_AT_BYTES))  # type: ignore[attr-defined]
    except DAMAGED as error:
        raise damaged(name, error) from error
    lines = [line for line in start.split(b"\n") if line.strip()][:LOOKED_AT]
    if not lines:
        return ""
    reader = LineReader()
    return KCAT if any(_is_line(reader, line) for line in lines) else "values"


def _is_line(reader: LineReader, line: bytes) -> bool:
    try:
        reader.parse(line)
    except Unreadable:
        return False
    return True


def _values_as_lines(sample: Sample, topic: str | None) -> Iterator[bytes]:
    """The records of a sample as lines of kcat. The offset is the line on which a record starts. Raises CaptureError
    when neither the fields nor `topic` tell which topic it is."""
    items = iter(sample.items)
    if topic is None:
        first = list(islice(items, GUESSED_FROM))
        topic, _ = guess_topic(sample.name, first)
        items = chain(first, items)
    for item in items:
        yield _line(topic, 0, item.line, -1, None, item.value)


def _rows_as_lines(path: Path, advance: Advance) -> Iterator[bytes]:
    for rows in read_parquet(path, [], ROWS_AT_ONCE, advance):
        feeds = rows.feeds or [None] * len(rows)
        numbers = (rows.topic.tolist(), rows.partition.tolist(), rows.offset.tolist(), rows.timestamp.tolist())
        for code, partition, offset, ts, key, value, feed in zip(*numbers, rows.keys, rows.values, feeds, strict=True):
            if code != NO_RECORD:
                yield _line(rows.topics[code], partition, offset, ts, key, value, feed)


def _line(
    topic: str, partition: int, offset: int, ts: int, key: bytes | None, value: bytes | None, feed: bytes | None = None
) -> bytes:
    line: dict[str, object] = {"topic": topic, "partition": partition, "offset": offset, "ts": ts}
    for name, text in (("key", key), ("payload", value)):
        try:
            line[name] = None if text is None else text.decode()
        except UnicodeDecodeError:
            line[name + "_base64"] = b64encode(text or b"").decode()
    if feed is not None:
        line["headers"] = ["feed", feed.decode("utf-8", "replace")]
    return orjson.dumps(line) + b"\n"


def _time_of(reader: LineReader, raw: bytes) -> int:
    """ms since the epoch; 0 for a line that tells no time."""
    try:
        line = reader.parse(raw)
        return line.ts if line.ts >= 0 else parse_time(_AT.read(texts(line)[1] or b"").at)
    except (ValueError, TimeError):
        return 0
