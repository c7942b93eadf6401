"""Captures as Parquet files: a row a record, with the columns

    topic      string
    partition  int32
    offset     int64
    ts         int64    ms since the epoch, UTC, -1 where there is none
    key        binary, may be null
    payload    binary, may be null (a tombstone)
    headers    list of {name: string, value: binary}; only `feed` is read

Text in place of binary, wider integers and timestamps in place of `ts` are read too: that is what other tools write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from streams.captures.rows import CaptureError, CaptureRows
from streams.ingest.feed_codes import HEADER
from streams.ingest.packed import Packed
from streams.kernels.lines import PARTITIONS_MAX

HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
SCHEMA = pa.schema([
    pa.field("topic", pa.string(), nullable=False),
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("ts", pa.int64(), nullable=False),
    pa.field("key", pa.binary()),
    pa.field("payload", pa.binary()),
    pa.field("headers", HEADERS),
])  # fmt: skip
READ = ("topic", "partition", "offset", "ts", "key", "payload")
LIMITS = {"partition": (0, PARTITIONS_MAX), "offset": (0, 1 << 62), "ts": (-1, 1 << 62)}


def read_parquet(path: Path, topics: list[str], batch: int, advance: Callable[[int], None]) -> Iterator[CaptureRows]:
    """Reads the rows of a file in order, at most `batch` at a time; a topic that is not yet in `topics` is added to it.
    `advance` is called with an estimate of the bytes read since its last call. Raises CaptureError, OSError."""
    first, total, reported = 0, path.stat().st_size, 0
    try:
        with parquet.ParquetFile(path, read_dictionary=["topic"]) as file:
            _check(file.schema_arrow, path)
            count = file.metadata.num_rows
            columns = [*READ, "headers"] if HEADERS in _type_of(file.schema_arrow, "headers") else list(READ)
            for part in file.iter_batches(batch, columns=columns):
                yield _rows(part, topics, path, first)
                first += len(part)
                advance(total * first // count - reported)
                reported = total * first // count
    except (pa.ArrowException, OSError) as error:
        raise CaptureError(f"{path}: cannot be read as Parquet, it may be cut off or damaged: {error}") from error


def _type_of(schema: Any, name: str) -> list[Any]:
    """The type of a column, in a list; an empty one where there is no such column."""
    return [schema.field(name).type] if name in schema.names else []


def _check(schema: Any, path: Path) -> None:
    missing = [name for name in READ if name not in schema.names and name != "key"]
    if missing:
        raise CaptureError(
            f"{path}: a capture has the columns {', '.join(READ)}, and here {', '.join(missing)} is missing; "
            f"there are {', '.join(schema.names)}"
        )


def _rows(part: Any, topics: list[str], path: Path, first: int) -> CaptureRows:
    """first: number of the batch's first row in its file."""
    code_of = {topic: code for code, topic in enumerate(topics)}
    topic = part.column("topic")
    if not pa.types.is_dictionary(topic.type):
        topic = topic.dictionary_encode()
    _refuse(topic.is_null().to_numpy(zero_copy_only=False), "topic", "null", path, first)
    codes = []
    for name in topic.dictionary.to_pylist():
        if name not in code_of:
            code_of[name] = len(topics)
            topics.append(name)
        codes.append(code_of[name])
    n = len(part)
    numbers = {name: _integers(part.column(name), name, path, first) for name in LIMITS}
    keys = part.column("key") if "key" in part.schema.names else pa.nulls(n, pa.binary())
    return CaptureRows(
        topics, np.array(codes, np.int64)[topic.indices.to_numpy()] if n else np.empty(0, np.int64),
        numbers["partition"].astype(np.int32), numbers["offset"], numbers["ts"],
        _packed(keys, "key", path), _packed(part.column("payload"), "payload", path), feeds=_feeds(part),
    )  # fmt: skip


def _feeds(part: Any) -> list[bytes | None] | None:
    """The header `feed` of each row, the first where several are called so; None where no row has one."""
    if "headers" not in part.schema.names:
        return None
    column = part.column("headers")
    every = pc.list_flatten(column)
    mine = pc.equal(pc.struct_field(every, "name"), HEADER)
    rows = pc.list_parent_indices(column).filter(mine).to_pylist()
    values = pc.struct_field(every, "value").filter(mine).to_pylist()
    if not rows:
        return None
    first = dict(zip(reversed(rows), reversed(values), strict=True))
    return [first.get(i) for i in range(len(part))]


def _integers(column: Any, name: str, path: Path, first: int) -> np.ndarray:
    """The column as int64[n], checked against its limits."""
    if pa.types.is_timestamp(column.type):
        # Exact or finer: what lies within a millisecond is cut off, as Kafka's own times have no more.
        column = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    elif not pa.types.is_integer(column.type):
        raise CaptureError(f"{path}: column {name} is {column.type}: integers are right")
    if column.null_count:
        if name != "ts":
            _refuse(column.is_null().to_numpy(zero_copy_only=False), name, "null", path, first)
        column = pc.fill_null(column, -1)
    try:
        values: np.ndarray = column.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise CaptureError(f"{path}: column {name}, in the rows from {first + 1} on: {error}") from None
    low, high = LIMITS[name]
    _refuse((values < low) | (values >= high), name, f"not from {low} to {high - 1}", path, first)
    return values


def _refuse(wrong: np.ndarray, name: str, what: str, path: Path, first: int) -> None:
    if wrong.any():
        raise CaptureError(f"{path}: row {first + 1 + int(np.argmax(wrong))}: {name} is {what}")


def _packed(column: Any, name: str, path: Path) -> Packed:
    """The column's texts, not copied."""
    kind = column.type
    if pa.types.is_null(kind):
        column = column.cast(pa.binary())
    elif pa.types.is_dictionary(kind):
        column = column.cast(pa.binary() if pa.types.is_binary(kind.value_type) else pa.string())
    elif not (pa.types.is_binary(kind) or pa.types.is_string(kind)):
        if not (pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)):
            raise CaptureError(f"{path}: column {name} is {kind}: binary or text is right")
    large = pa.types.is_large_binary(column.type) or pa.types.is_large_string(column.type)
    n = len(column)
    _, offsets, data = column.buffers()
    if offsets is None or data is None:
        at, buffer = np.zeros(n + 1, np.int64), np.zeros(1, np.uint8)
    else:
        bounds = np.frombuffer(offsets, np.int64 if large else np.int32)
        at, buffer = bounds[column.offset : column.offset + n + 1].astype(np.int64), np.frombuffer(data, np.uint8)
    length = np.diff(at)
    if column.null_count:
        length[column.is_null().to_numpy(zero_copy_only=False)] = -1
    return Packed(buffer, np.ascontiguousarray(at[:-1]), length)
