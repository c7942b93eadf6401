"""Opens the files that are converted: plain, gzip, zstd or zip, in any of a few encodings, as bounded lines of text."""

from __future__ import annotations

import codecs
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from streams.captures.files import DAMAGED, uncompressed
from streams.captures.rows import CaptureError
from streams.captures.sniff import ZIP, is_utf16, sniff

ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252", "cp949", "euc-kr")
LINE_BYTES_MAX = 1 << 20  # longer ones are rejected, so that a file without line ends needs no more memory
PEEKED_BYTES = 1 << 16
_SPLITS_AT_LINE_FEEDS = frozenset(ENCODINGS) - {"utf-16"}  # the byte of a line feed is nothing else in them


class Numbered(NamedTuple):
    """A line of text without its end. problem: the reason if it cannot be read; `text` then stands for it."""

    number: int
    text: str
    problem: str | None = None


@dataclass(slots=True)
class Opened:
    """One file of text that is being read. encoding: one of ENCODINGS; a byte order mark is behind us."""

    name: str
    binary: Any  # a BufferedReader
    encoding: str

    def peek(self) -> str:
        """Some of the text to come, without reading on; empty at the end of the file."""
        try:
            return self.binary.peek(PEEKED_BYTES)[:PEEKED_BYTES].decode(self.encoding, "replace")
        except DAMAGED as error:
            raise _damaged(self.name, error) from error

    def lines(self) -> Iterator[Numbered]:
        """Raises CaptureError where the file is damaged."""
        try:
            yield from self._byte_lines() if self.encoding in _SPLITS_AT_LINE_FEEDS else self._wide_lines()
        except DAMAGED as error:
            raise _damaged(self.name, error) from error

    def pieces(self) -> Iterator[str]:
        """The text in pieces of any size. Raises CaptureError where the file is damaged, or holds bytes that are none
        of its encoding."""
        decoder, seen = codecs.getincrementaldecoder(self.encoding)(), 0
        try:
            while raw := self.binary.read1(PEEKED_BYTES):
                yield decoder.decode(raw)
                seen += len(raw)
            yield decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise CaptureError(
                f"{self.name}: a byte near {seen + error.start:,} is not {self.encoding}: name the right `encoding:` "
                "in the map, or give one record a line"
            ) from None
        except DAMAGED as error:
            raise _damaged(self.name, error) from error

    def _byte_lines(self) -> Iterator[Numbered]:
        number = 0
        while raw := self.binary.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(raw) > LINE_BYTES_MAX:
                while raw and not raw.endswith(b"\n"):
                    raw = self.binary.readline(LINE_BYTES_MAX)
                yield Numbered(number, "", f"has more than {LINE_BYTES_MAX:,} bytes: is this a file of lines?")
                continue
            raw = raw.rstrip(b"\r\n")
            try:
                yield Numbered(number, raw.decode(self.encoding))
            except UnicodeDecodeError as error:
                text = raw.decode(self.encoding, "backslashreplace")
                reason = f"byte {error.start} is not {self.encoding}: name the right `encoding:` in the map"
                yield Numbered(number, text, reason)

    def _wide_lines(self) -> Iterator[Numbered]:
        wrapped = io.TextIOWrapper(self.binary, encoding=self.encoding, errors="replace", newline="\n")
        number = 0
        while text := wrapped.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(text) > LINE_BYTES_MAX:
                while text and not text.endswith("\n"):
                    text = wrapped.readline(LINE_BYTES_MAX)
                yield Numbered(number, "", f"has more than {LINE_BYTES_MAX:,} characters: is this a file of lines?")
                continue
            text = text.rstrip("\r\n")
            bad = "\ufffd" in text
            yield Numbered(number, text, f"holds bytes that are not {self.encoding}" if bad else None)


class PushedBack:
    """Numbered lines, of which the last ones can be given back to be read anew."""

    def __init__(self, lines: Iterator[Numbered]) -> None:
        self._lines = lines
        self._back: list[Numbered] = []

    def take(self) -> Numbered | None:
        return self._back.pop() if self._back else next(self._lines, None)

    def give_back(self, lines: list[Numbered]) -> None:
        """lines: in the order in which they were taken."""
        self._back.extend(reversed(lines))


def open_file(path: Path, encoding: str, advance: Callable[[int], None]) -> Iterator[Opened]:
    """The files of text in a file: itself, or each member of a zip archive. Raises CaptureError, OSError."""
    with path.open("rb") as file:
        if file.read(len(ZIP)) == ZIP:
            start = ZIP + file.read(PEEKED_BYTES)
            _refuse_workbook(start, str(path))
            yield from _members(path, encoding, advance)
            return
        file.seek(0)
        yield open_stream(file, str(path), encoding, advance)


def open_stream(
    file: IO[bytes], name: str, encoding: str, advance: Callable[[int], None] = lambda count: None
) -> Opened:
    """Like `open_file`, for an open file that need not be on disk. Raises CaptureError for a zip archive: its list of
    members stands at its end."""
    try:
        buffered: Any = uncompressed(file, advance)
        start = buffered.peek(PEEKED_BYTES)
    except DAMAGED as error:
        raise _damaged(name, error) from error
    if start.startswith(ZIP):
        raise CaptureError(f"{name}: is a zip archive: save it to a file and name that")
    return _decoded(buffered, start, name, encoding)


def _decoded(buffered: Any, start: bytes, name: str, encoding: str) -> Opened:
    if start.startswith(codecs.BOM_UTF8):
        buffered.read(len(codecs.BOM_UTF8))
        return Opened(name, buffered, "utf-8")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and is_utf16(start):
        return Opened(name, buffered, "utf-16")
    if encoding == "utf-8" and (known := sniff(start)) and not known[0].startswith("JSON inside"):
        kind, remedy = known
        if kind == "text in UTF-16":
            remedy = "say `encoding: utf-16` in the map"
        raise CaptureError(f"{name}: is {kind}: {remedy}")
    return Opened(name, buffered, encoding)


def _members(path: Path, encoding: str, advance: Callable[[int], None]) -> Iterator[Opened]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if not members:
                raise CaptureError(f"{path}: is a zip archive without a file in it")
            for member in members:
                if member.flag_bits & 1:
                    raise CaptureError(f"{path}: {member.filename} is encrypted: unpack the archive first")
                with archive.open(member) as file:
                    buffered: Any = io.BufferedReader(file, 1 << 20)
                    name = f"{path}/{member.filename}"
                    start = buffered.peek(PEEKED_BYTES)
                    yield _decoded(buffered, start, name, encoding)
                advance(member.compress_size)
    except (zipfile.BadZipFile, NotImplementedError, *DAMAGED) as error:
        raise _damaged(str(path), error) from error


def _refuse_workbook(start: bytes, name: str) -> None:
    known = sniff(start)
    if known and "Excel" in known[0]:
        raise CaptureError(f"{name}: is {known[0]}: {known[1]}")


def _damaged(name: str, error: Exception) -> CaptureError:
    return CaptureError(f"{name}: cannot be read to its end, it may be cut off or damaged: {error}")
