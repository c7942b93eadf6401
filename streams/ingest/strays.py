"""Strays: records that do not lie in their number's partition, because a producer used another key or partitioner.

Counted where they lie, a number would be counted in several places, each too low. They are taken out of the columns
and go home through the topic `rekeyed`, in the transaction that commits them; who owns their number's partition reads
them there, as records of their own topic. A record is sent home once: one that is in the wrong partition of `rekeyed`
too is a dead letter.

An identity that is no number has no home, since nobody partitions by its hash: it is counted where it arrives.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from schemas.decoding import RecordError
from schemas.feeds import FEEDS
from schemas.subjects import key_text
from schemas.topics import REKEYED
from streams.ingest.decode import DEAD, DEAD_LETTER_WHOLE_BYTES, RECORDS, Decoded, dead_letter
from streams.ingest.epoch import ORIGINS_MAX, Headers, OutRecord, RawBatch, home_of, partition_of_strays
from streams.ingest.feed_codes import HEADER, feeds_of, header_text
from streams.kernels.partition import partition_of

# Headers with the first position of a re-keyed record, and its timestamp there: decimal digits, but for the topic.
TOPIC, PARTITION, OFFSET, TIMESTAMP = (
    f"grayline.origin.{name}" for name in ("topic", "partition", "offset", "timestamp")
)
NO_TIMESTAMP = -1  # what Kafka says of a record without one

# Their name in `Decoded.counts`.
SENT_HOME = "rekeyed"
TOO_LARGE = "stray_too_large"
STRAYED_TWICE = "strayed_twice"
BAD_HEADERS = "bad_headers"

INT64_MAX = int(np.iinfo(np.int64).max)


def sort_out(raw: RawBatch, decoded: Decoded, partitions: int) -> Decoded:
    """Takes the strays out of `decoded`, which is `raw` decoded, and returns it.

    They become records for `rekeyed` in `decoded.rekeyed`, or dead letters if `raw` came through `rekeyed` already. The
    number of an event that is no telephone number gets a key of the partition where it arrived: abs(key) % partitions
    is that partition. partitions: of every input topic; 0 if unknown, and then nothing is done."""
    if not partitions or not len(decoded):
        return decoded
    columns = decoded.columns
    number, partition = columns["number"], columns["partition"]
    home = np.empty(len(number), np.int32)
    partition_of(number, partitions, home)
    arrived = home_of(partition) if raw.origin is not None else partition
    elsewhere = np.flatnonzero(home != arrived)
    if not len(elsewhere):
        return decoded
    texts = elsewhere[number[elsewhere] <= 0]
    number[texts] = _kept_at(number[texts], arrived[texts], partitions)
    strays = elsewhere[number[elsewhere] > 0]
    if len(strays):
        _send_home(raw, decoded, strays, home)
    return decoded


def unwrap(raw: RawBatch, read: Collection[str], partitions: int) -> tuple[list[RawBatch], Decoded]:
    """Returns the records of `rekeyed` by the topic they came from, with their first offsets and Kafka timestamps.
    `partition` is `partition_of_strays` of the partition of `rekeyed` and the first one, `origin` the first one.

    read: the topics that are counted; other inputs' strays belong to other rules, and are left out. The second result
    has no columns: a dead letter for each record whose headers do not say where it came from."""
    assert raw.headers is not None, f"records of {REKEYED} come with their headers"
    wrong = Decoded(REKEYED, {"line": np.empty(0, np.int64)}, int(raw.order[-1]) if len(raw.order) else -1)
    wrong.counts["records"] = len(raw.values)
    wrong.by_feed[REKEYED, RECORDS, ""] = len(raw.values)
    found: dict[str, list[tuple[int, ...]]] = {}  # topic -> (index, partition, offset, timestamp)
    for i, headers in enumerate(raw.headers):
        try:
            topic, *numbers = _origin(headers, partitions)
        except RecordError as error:
            _bury(raw, wrong, i, error)
            continue
        if topic in read:
            found.setdefault(topic, []).append((i, *numbers))
    return [_batch(raw, topic, np.array(rows, np.int64)) for topic, rows in found.items()], wrong


def _kept_at(keys: np.ndarray, partition: np.ndarray, partitions: int) -> np.ndarray:
    """int64[n]: for each hash of a text, which is <= 0, the one nearby that belongs to this partition."""
    # By remainders of the negative key, since the smallest int64 has no absolute value.
    kept = keys - keys % -partitions - partition
    kept[kept > 0] += partitions  # ran below the smallest int64
    kept[kept == 0] = -partitions  # 0 stands for no number
    return kept


def _send_home(raw: RawBatch, decoded: Decoded, strays: np.ndarray, home: np.ndarray) -> None:
    """strays: int64[k], indices of events, ascending. A `complete` record has several and is one stray."""
    columns = decoded.columns
    lines, first = np.unique(columns["line"][strays], return_index=True)
    records, events = np.searchsorted(raw.order, lines), strays[first]
    header_columns = (
        raw.partition[records],
        raw.offset[records],
        raw.timestamp[records],
        home[events],
        columns["number"][events],
    )
    topic = raw.topic.encode()
    for i, partition, offset, timestamp, to, number in zip(
        records.tolist(), *(column.tolist() for column in header_columns), strict=True
    ):
        value = raw.values[i]
        if raw.origin is not None:
            _bury(raw, decoded, i, _strayed_twice(home_of(partition), to))
        elif value is not None and len(value) > DEAD_LETTER_WHOLE_BYTES:
            _bury(raw, decoded, i, _too_large(len(value), to))
        else:
            named = None if raw.feeds is None else raw.feeds[i]
            headers = [
                *([] if named is None else [(HEADER, named)]),
                (TOPIC, topic), (PARTITION, b"%d" % partition), (OFFSET, b"%d" % offset), (TIMESTAMP, b"%d" % timestamp)
            ]  # fmt: skip
            decoded.rekeyed.append(OutRecord(REKEYED, key_text(number), value, headers, to))
    if decoded.rekeyed:
        decoded.counts[SENT_HOME] = len(decoded.rekeyed)
    kept = np.ones(len(home), bool)
    kept[strays] = False
    decoded.columns = {name: column[kept] for name, column in columns.items()}


def _strayed_twice(partition: int, home: int) -> RecordError:
    return RecordError(
        STRAYED_TWICE,
        None,
        f"lies in partition {partition} of {REKEYED}, and its number belongs to partition {home}: a record is re-keyed "
        "once only",
    )


def _too_large(size_bytes: int, home: int) -> RecordError:
    return RecordError(
        TOO_LARGE,
        None,
        f"belongs to partition {home}, and with {size_bytes:,} bytes is too large to be sent there: records of more "
        f"than {DEAD_LETTER_WHOLE_BYTES:,} bytes must be keyed by their number, with Java's partitioner (murmur2)",
    )


def _bury(raw: RawBatch, decoded: Decoded, i: int, error: RecordError) -> None:
    named = header_text(raw.feeds[i]) if raw.feeds else None
    decoded.counts[error.code] += 1
    decoded.by_feed[raw.topic, DEAD, error.code] += 1
    decoded.dead_letters.append(dead_letter(raw, i, error, named))
    decoded.dead_lines.append(int(raw.order[i]))


def _origin(headers: Headers, partitions: int) -> tuple[str, int, int, int]:
    """(topic, partition, offset, timestamp). Raises RecordError."""
    found: dict[str, bytes | None] = {}
    for name, value in headers:
        if name in found:
            raise RecordError(BAD_HEADERS, name, "is given more than once: give it once")
        found[name] = value
    topic = (found.get(TOPIC) or b"").decode("ascii", "replace")
    if topic not in FEEDS:
        raise RecordError(BAD_HEADERS, TOPIC, f"is none of {', '.join(FEEDS)}: only Grayline writes to {REKEYED}")
    return (
        topic,
        _integer(found, PARTITION, 0, min(partitions or ORIGINS_MAX, ORIGINS_MAX) - 1),
        _integer(found, OFFSET, 0, INT64_MAX),
        _integer(found, TIMESTAMP, NO_TIMESTAMP, INT64_MAX),
    )


def _integer(found: dict[str, bytes | None], name: str, low: int, high: int) -> int:
    text = found.get(name) or b""
    digits = text.removeprefix(b"-")
    if digits.isdigit() and len(text) <= 20 and low <= int(text) <= high:
        return int(text)
    raise RecordError(BAD_HEADERS, name, f"is no integer from {low} to {high}: only Grayline writes to {REKEYED}")


def _batch(raw: RawBatch, topic: str, rows: np.ndarray) -> RawBatch:
    headers = raw.headers or []
    index, partition, offset, timestamp = rows.T
    here = index.tolist()
    return replace(
        raw,
        topic=topic,
        order=raw.order[index],
        partition=partition_of_strays(raw.partition[index], partition).astype(np.int32),
        offset=offset,
        timestamp=timestamp,
        values=[raw.values[i] for i in here],
        keys=None if raw.keys is None else [raw.keys[i] for i in here],
        feeds=feeds_of([headers[i] for i in here]),
        headers=None,
        origin=partition.astype(np.int32),
    )
