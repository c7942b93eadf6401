"""Reads captures from files: JSON lines, plain or compressed, or Parquet; the first bytes tell the form."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from streams.captures.lines import LineReader
from streams.captures.rows import CaptureError, CaptureRows
from streams.kernels.lines import line_ends
from streams.kernels.words import PADDING

BUFFER_BYTES = 16 << 20
PARTIAL = ".partial"  # what `grayline record` has not finished
GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"


def files_below(paths: Iterable[Path]) -> list[Path]:
    """The files, and in place of each folder those in it and below, by name, numbers in names by their value. Hidden
    and unfinished ones are left out. Raises CaptureError for a folder without any."""
    out: list[Path] = []
    for path in paths:
        if not path.is_dir():
            out.append(path)
            continue
        below = [each for each in path.rglob("*") if each.is_file() and not _is_left_out(each.relative_to(path))]
        if not below:
            raise CaptureError(f"{path}: a folder without a file to read")
        out += sorted(below, key=_natural)
    return out


def _is_left_out(path: Path) -> bool:
    return path.suffix == PARTIAL or any(part.startswith(".") for part in path.parts)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", str(path))]


def read_capture(
    path: Path, reader: LineReader, batch: int, advance: Callable[[int], None] = lambda count: None
) -> Iterator[CaptureRows]:
    """Reads the records of a file in order, at most `batch` lines or rows at a time. `advance` is called with the bytes
    read since its last call. Raises CaptureError, OSError."""
    with path.open("rb") as file:
        if file.read(len(PARQUET)) == PARQUET:
            from streams.captures.parquet import read_parquet

            yield from read_parquet(path, reader.topics, batch, advance)
            return
        file.seek(0)
        yield from read_stream(file, str(path), reader, batch, advance)


def read_stream(
    file: IO[bytes],
    name: str,
    reader: LineReader,
    batch: int,
    advance: Callable[[int], None] = lambda count: None,
) -> Iterator[CaptureRows]:
    """Like `read_capture`, for the lines of an open file, which need not be on disk; `name` stands for it in
    problems."""
    with ExitStack() as stack:
        plain = stack.enter_context(uncompressed(file, advance))
        for buffer, begin, ends in _blocks(plain, name, batch):
            yield reader.read(buffer, begin, ends)


def plain_lines(file: IO[bytes], name: str, advance: Callable[[int], None] = lambda count: None) -> Iterator[bytes]:
    """The lines of a file, compressed or not, line feeds included. Raises CaptureError."""
    with uncompressed(file, advance) as plain:
        try:
            yield from plain
        except DAMAGED as error:
            raise damaged(name, error) from error


def uncompressed(file: IO[bytes], advance: Callable[[int], None]) -> IO[bytes]:
    """The file's bytes, unpacked if the first ones say gzip or zstd."""
    counted = io.BufferedReader(_Counted(file, advance), 1 << 20)
    start = counted.peek(4)
    if start.startswith(GZIP):
        return io.BufferedReader(gzip.GzipFile(fileobj=counted), 1 << 20)
    if start.startswith(ZSTD):
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.PythonFile(counted), "zstd"), 1 << 20)
    return counted


class _Counted(io.RawIOBase):
    """Reads another file, which it leaves open, and reports how far it has come."""

    def __init__(self, file: IO[bytes], advance: Callable[[int], None]) -> None:
        self._file: Any = file
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        # One read of a pipe's buffer at a time: what is there already need not wait for more.
        count = getattr(self._file, "readinto1", self._file.readinto)(into)
        self._advance(count)
        return int(count)


DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, OSError)


def damaged(name: str, error: Exception) -> CaptureError:
    """The message about a file that a decompressor or the disk gives up."""
    return CaptureError(f"{name}: cannot be read to its end, it may be cut off or damaged: {error}")


def _blocks(file: IO[bytes], name: str, batch: int) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """Yields (buffer, start of the first line, end of each line) for up to `batch` lines at a time. The buffer is used
    again for the next block."""
    buffer = np.empty(BUFFER_BYTES + PADDING, np.uint8)
    begin, have, whole = 0, 0, False
    found = np.empty(batch, np.int64)
    while True:
        count = line_ends(buffer.ctypes.data + begin, have - begin, found)
        if count < batch and not whole:
            room = len(buffer) - PADDING
            if have - begin < room and (begin or have < room):
                buffer[: have - begin] = buffer[begin:have].copy()
                begin, have = 0, have - begin
                have, whole = _fill(file, name, buffer, have)
                continue
            if count == 0:  # a line longer than the buffer
                buffer = np.concatenate((buffer[:have], np.empty(have + PADDING, np.uint8)))
                continue
        if whole and count < batch and (begin + int(found[count - 1]) if count else begin) < have:
            found[count] = have - begin  # the last line has no line feed
            count += 1
        if count == 0:
            return
        ends = begin + found[:count]
        yield buffer, begin, ends
        begin = int(ends[-1])


def _fill(file: IO[bytes], name: str, buffer: np.ndarray, have: int) -> tuple[int, bool]:
    """Reads until the buffer is full or the file ends. Returns (bytes in the buffer, True if the file has ended)."""
    room = buffer.data[: len(buffer) - PADDING]
    while have < len(room):
        try:
            count = file.readinto(room[have:])  # type: ignore[attr-defined]
        except DAMAGED as error:
            raise damaged(name, error) from error
        if not count:
            return have, True
        have += count
    return have, False
