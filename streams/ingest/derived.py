"""Events on their way to others than their own number: the records of the topic `derived`.

A counter per callee counts where the callee belongs, and the record lies where its caller does. So the events that such
counters count are packed in columns when they have been admitted, and leave in the transaction that commits them: for
each destination and subject a record, or several where it would be larger than half a megabyte. Whoever owns that
partition reads them as one more input, in the order of its log.

A record is one line of JSON, then its columns as they lie in memory, little-endian:

{"format":1,"group":"grayline","subject":"callee","events":250,"columns":[["at","int64"],["event","uint8"], ...]}

It names the group that counts, since another one that reads the same inputs writes the same events again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec
import numpy as np
import orjson

from schemas.decoding import RecordError
from schemas.feeds import CODES, EVENTS
from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.topics import DERIVED
from streams.ingest.decode import DEAD, RECORDS, Decoded, dead_letter
from streams.ingest.epoch import OutRecord, RawBatch
from streams.ingest.fields import absent
from streams.ingest.merge import Merged
from streams.kernels.partition import partition_of

FORMAT = 1
BYTES_MAX = 448 * 1024  # of the columns in one record
SUBJECT = "subject"  # the column with the key of the one that an event is counted for
BAD = "bad_derived"  # of a record that nobody of ours has written
HERE = ("line", "partition")  # columns that say where an event stands, and are not sent
NOBODY: Mapping[int, str] = MappingProxyType({})
_TYPES = {name: np.dtype(name) for name in ("int64", "int32", "uint8", "bool")}


class _DerivedHead(msgspec.Struct):
    format: Int64
    group: str
    subject: str
    events: Int64
    columns: list[tuple[str, str]]
    names: dict[int, str] = {}


_HEAD = JsonReader(_DerivedHead)


def pack(
    parts: Mapping[str, list[Merged]], partitions: int, group: str, names: Mapping[int, str] = NOBODY
) -> Iterator[OutRecord]:
    """The records that carry these events, by subject and one after the other, to where they belong. names: the
    texts of whom they are counted for, by key."""
    for subject, pieces in parts.items():
        events = Merged({name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0].columns})
        home = np.empty(events.n, np.int32)
        partition_of(events[SUBJECT], partitions, home)
        sent = {name: column for name, column in events.columns.items() if name not in HERE}
        most = max(1, BYTES_MAX // sum(column.itemsize for column in sent.values()))
        for partition in np.flatnonzero(np.bincount(home)).tolist():
            index = np.flatnonzero(home == partition)
            for at in range(0, len(index), most):
                here = index[at : at + most]
                columns = {name: column[here] for name, column in sent.items()}
                keys = np.unique(columns[SUBJECT]).tolist()
                texts = {str(key): names[key] for key in keys if key in names}
                yield OutRecord(DERIVED, None, _encode(group, subject, columns, texts), partition=partition)


def unpack(raw: RawBatch, group: str) -> Decoded:
    """The events of the group's records of `derived`, in their order; a record that cannot be read is a dead letter."""
    out = Decoded(DERIVED, {"line": np.empty(0, np.int64)}, int(raw.order[-1]) if len(raw.order) else -1)
    out.counts["records"] = out.by_feed[DERIVED, RECORDS, ""] = len(raw.values)
    found: dict[str, list[dict[str, np.ndarray]]] = {}
    for i, value in enumerate(raw.values):
        try:
            head, columns = _decode(value or b"")
        except (Unreadable, ValueError, KeyError) as problem:
            error = RecordError(BAD, None, f"is no record of {DERIVED}: {problem}; only Grayline writes to it")
            out.counts[BAD] += 1
            out.by_feed[DERIVED, DEAD, BAD] += 1
            out.dead_letters.append(dead_letter(raw, i, error))
            out.dead_lines.append(int(raw.order[i]))
            continue
        if head.group != group:
            continue
        n = len(columns["at"])
        columns["line"] = np.full(n, raw.order[i], np.int64)
        columns["partition"] = np.full(n, raw.partition[i], np.int32)
        found.setdefault(head.subject, []).append(columns)
        out.names |= head.names
    out.derived = {subject: _joined(pieces) for subject, pieces in found.items()}
    return out


def _encode(group: str, subject: str, columns: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> bytes:
    head = {
        "format": FORMAT,
        "group": group,
        "subject": subject,
        "events": len(columns["at"]),
        **({"names": texts} if texts else {}),
        "columns": [[name, column.dtype.name] for name, column in columns.items()],
    }
    return b"\n".join([orjson.dumps(head), b"".join(column.tobytes() for column in columns.values())])


def _decode(value: bytes) -> tuple[_DerivedHead, dict[str, np.ndarray]]:
    """Raises Unreadable, ValueError, KeyError."""
    first, _, rest = value.partition(b"\n")
    head = _HEAD.read(first)
    if head.format != FORMAT:
        raise ValueError(f"its format is {head.format}, and this version reads {FORMAT}")
    columns, at = {}, 0
    for name, type_name in head.columns:
        columns[name] = np.frombuffer(rest, _TYPES[type_name], head.events, at)
        at += columns[name].nbytes
    if at != len(rest) or not {"at", "event", "topic", "number", SUBJECT} <= columns.keys():
        raise ValueError("its columns are not those that it names")
    if head.events < 1 or (columns["event"] >= len(EVENTS)).any() or (columns["topic"] >= CODES).any():
        raise ValueError("its events are none that are known")
    return head, columns


def _joined(pieces: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """One set of columns. Those that only some pieces have, since other rules sent them, are absent in the others."""
    if len(pieces) == 1:
        return pieces[0]
    types = {name: column.dtype for piece in pieces for name, column in piece.items()}
    return {name: np.concatenate([_column(piece, name, dtype) for piece in pieces]) for name, dtype in types.items()}


def _column(piece: Mapping[str, np.ndarray], name: str, dtype: np.dtype) -> np.ndarray:
    return piece[name] if name in piece else np.full(len(piece["at"]), absent(name), dtype)
