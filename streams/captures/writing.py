"""Writes captures to files. A file is whole or does not exist.

Each file is written as `NAME.partial` and gets its name once it is closed and on disk. No file is ever overwritten:
of two that would have the same name the later counts on. Files are for their owner alone (0600), in a folder for its
owner alone (0700), since traffic is personal data.
"""

from __future__ import annotations

import gzip
import os
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import orjson

ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 32 << 20
SUFFIX = {"none": "", "gzip": ".gz", "zstd": ".zst"}
FORMATS = ("jsonl", "parquet")
TIMESTAMP_TYPES = ("unknown", "create", "logappend")  # as kcat calls what confluent_kafka numbers


class Record(NamedTuple):
    """One record of a broker. timestamp: ms since the epoch, -1 where there is none."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class WriteProblem(Exception):
    """The capture cannot be written. The message says what is wrong, where, and which files are whole nevertheless."""


@dataclass(slots=True)
class Written:
    """One whole file."""

    path: Path
    records: int
    size_bytes: int


class CaptureWriter:
    """Writes records to the files of a folder, one file after another. Raises WriteProblem."""

    def __init__(
        self,
        folder: Path,
        form: str,
        compression: str,
        *,
        rotate_bytes: int = 1 << 30,
        rotate_s: float = float("inf"),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """form: one of FORMATS; compression: a key of SUFFIX. A file is closed once it has `rotate_bytes` (give or take
        what the compressor holds back) or has been open for `rotate_s`."""
        self.files: list[Written] = []
        self._folder, self._form, self._compression = folder, form, compression
        self._rotate_bytes, self._rotate_s, self._clock = rotate_bytes, rotate_s, clock
        self._open: _Partial | None = None
        _private(folder)

    def write(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            if self._open is None:
                self._open = _Partial(self._folder, self._clock(), self._form, self._compression)
            self._open.write(records)
        except OSError as error:
            raise self._problem(error) from error
        if self._open.size_bytes >= self._rotate_bytes:
            self.finish()

    def tick(self) -> None:
        """Closes the file in hand when its time has come."""
        if self._open is not None and self._clock() - self._open.opened_at >= self._rotate_s:
            self.finish()

    def finish(self) -> None:
        """Closes the file in hand, if there is one, and gives it its name."""
        if self._open is None:
            return
        try:
            self.files.append(self._open.finish())
        except OSError as error:
            raise self._problem(error) from error
        self._open = None

    def abandon(self) -> None:
        """Throws the file in hand away."""
        if self._open is not None:
            self._open.abandon()
            self._open = None

    def _problem(self, error: OSError) -> WriteProblem:
        lost = self._open.records if self._open is not None else 0
        self.abandon()
        return WriteProblem(
            f"{self._folder}: {error.strerror or error}: the file in hand was thrown away with its {lost} records; "
            f"the {len(self.files)} files before it are whole"
        )


def _private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode & 0o777
    except OSError as error:
        raise WriteProblem(f"{folder}: cannot be a folder for captures: {error.strerror}") from error
    if mode & 0o077:
        raise WriteProblem(
            f"{folder}: others may look into this folder (mode {mode:03o}), and traffic is personal data: "
            "`chmod 700` it, or name a folder that does not exist yet"
        )


class _Partial:
    """A file that is being written."""

    def __init__(self, folder: Path, now: float, form: str, compression: str) -> None:
        self.opened_at = now
        self.records = 0
        self._stem = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        self._suffix = ".parquet" if form == "parquet" else ".jsonl" + SUFFIX[compression]
        self._folder, self._number = folder, 0
        while True:
            path = self._next()
            try:
                descriptor = os.open(f"{path}.partial", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                break
            except FileExistsError:
                continue
        self._path, self._partial = path, Path(f"{path}.partial")
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._disk = _Disk(self._file)
        self._form: _Form = (_ParquetForm if form == "parquet" else _LinesForm)(self._disk, compression)

    @property
    def size_bytes(self) -> int:
        return self._file.tell()

    def write(self, records: Sequence[Record]) -> None:
        self._form.write(records)
        self.records += len(records)

    def finish(self) -> Written:
        self._form.close()
        os.fsync(self._file.fileno())
        size_bytes = self._file.tell()
        self._file.close()
        while True:
            try:
                os.link(self._partial, self._path)
                break
            except FileExistsError:  # another recording in the same folder came first
                self._path = self._next()
        self._partial.unlink()
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return Written(self._path, self.records, size_bytes)

    def abandon(self) -> None:
        self._disk.dropped = True
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._partial.unlink()

    def _next(self) -> Path:
        while True:
            self._number += 1
            path = self._folder / f"{self._stem}-{self._number:04}{self._suffix}"
            if not path.exists():
                return path


class _Form(Protocol):
    def write(self, records: Sequence[Record]) -> None: ...

    def close(self) -> None:
        """Writes the bytes that are still held back; the underlying file stays open."""
        ...


class _LinesForm:
    def __init__(self, file: _Disk, compression: str) -> None:
        self._out: Any = file
        if compression == "gzip":
            self._out = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)
        elif compression == "zstd":
            import pyarrow

            self._out = pyarrow.CompressedOutputStream(pyarrow.PythonFile(file, mode="w"), "zstd")

    def write(self, records: Sequence[Record]) -> None:
        self._out.write(b"".join(map(line, records)))

    def close(self) -> None:
        self._out.close()


class _Disk:
    """The file as compressors see it. It stays open when they are done, so that it can be brought to disk. Once it is
    `dropped`, it ignores what is written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.dropped = False
        self.closed = False

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        while rest and not self.dropped:
            rest = rest[self._file.write(rest) :]
        return len(data)

    def tell(self) -> int:
        return 0 if self.dropped else self._file.tell()

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class _ParquetForm:
    def __init__(self, file: _Disk, compression: str) -> None:
        from pyarrow import parquet

        from streams.captures.parquet import SCHEMA

        self._writer = parquet.ParquetWriter(
            file, SCHEMA, compression=compression, use_dictionary=["topic"], write_statistics=False
        )
        self._pending: list[Record] = []
        self._pending_bytes = 0

    def write(self, records: Sequence[Record]) -> None:
        self._pending += records
        self._pending_bytes += sum(len(record.value or b"") + len(record.key or b"") for record in records)
        if len(self._pending) >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        from streams.captures.parquet import SCHEMA

        if self._pending:
            topic, partition, offset, timestamp, _, key, value, headers = zip(*self._pending, strict=True)
            header_lists = [[{"name": name, "value": text} for name, text in of] for of in headers]
            columns = [topic, partition, offset, timestamp, key, value, header_lists]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
            self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=SCHEMA))
        self._pending, self._pending_bytes = [], 0


def line(record: Record) -> bytes:
    """A record as `kcat -J` prints it. Bytes that are no UTF-8 text are in base64, in a field whose name says so."""
    headers = _headers(record.headers) if record.headers else b""
    return (
        b'{"topic":%b,"partition":%d,"offset":%d,"tstype":"%b","ts":%d,%b%b,%b}\n'
        % (orjson.dumps(record.topic), record.partition, record.offset,
           TIMESTAMP_TYPES[record.timestamp_type].encode(), record.timestamp, headers,
           _named(b"key", record.key), _named(b"payload", record.value))
    )  # fmt: skip


def _named(name: bytes, text: bytes | None) -> bytes:
    try:
        return b'"%b":%b' % (name, orjson.dumps(None if text is None else text.decode()))
    except UnicodeDecodeError:
        return b'"%b_base64":%b' % (name, orjson.dumps(b64encode(text or b"").decode()))


def _headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    try:
        flat = [part for name, value in headers for part in (name, None if value is None else value.decode())]
        return b'"headers":%b,' % orjson.dumps(flat)
    except UnicodeDecodeError:
        flat = [p for name, value in headers for p in (name, None if value is None else b64encode(value).decode())]
        return b'"headers_base64":%b,' % orjson.dumps(flat)
