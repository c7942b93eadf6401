"""Replay: runs the engine's `step` without Kafka. Captures go in, block events come out, the same bytes every time.

Input is what `kcat -C -J` prints, one JSON object a line, plain or compressed, or a Parquet file of `grayline record`.
Files are read in the order given, lines in file order, no sorting; a (topic, partition, offset) seen before is skipped.
A bad line is never fatal: it becomes a dead letter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import orjson

from schemas import topics
from schemas.printable import printable
from streams.captures.files import read_capture, read_stream
from streams.captures.lines import LineReader
from streams.captures.rows import CaptureRows
from streams.engine.engine import Engine
from streams.ingest.decode import Decoded
from streams.ingest.epoch import OutRecord, RawBatch
from streams.ingest.packed import Packed
from streams.runtime.garbage import Collector

BATCH_LINES = 10_000

_Batch = tuple[list[Decoded], list[tuple[int, OutRecord]]]  # and the lines that cannot be read, as dead letters


@dataclass(slots=True)
class ReplaySummary:
    """Counts of a replay."""

    lines: int = 0
    bad_lines: int = 0
    seen_before: int = 0
    disordered: int = 0  # records behind later ones of their partition
    other_topics: Counter[str] = field(default_factory=Counter)
    feeds: dict[str, Counter[str]] = field(default_factory=dict)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    at_bound: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # see streams.engine.contract.Outcome
    records: Counter[str] = field(default_factory=Counter)  # produced, by topic

    def as_json(self) -> dict[str, object]:
        return {
            "lines": self.lines,
            "bad_lines": self.bad_lines,
            "seen_before": self.seen_before,
            "other_topics": dict(sorted(self.other_topics.items())),
            "feeds": {name: dict(tally) for name, tally in sorted(self.feeds.items())},
            "changes": [
                {"rule": rule, "mode": mode, "change": change, "count": count}
                for (rule, mode, change), count in sorted(self.changes.items())
            ],
            "at_bound": [
                {"rule": rule, "mode": mode, "what": what, "count": count}
                for (rule, mode, what), count in sorted(self.at_bound.items())
            ],
            "produced": dict(sorted(self.records.items())),
        }

    def events(self, outcome: str) -> int:
        """The count of events of all topics with this outcome."""
        return sum(tally[outcome] for tally in self.feeds.values())

    def complaint(self, files: str, merged: bool = False) -> str | None:
        """The reason why a replay shows nothing, or no more than half, of what is in `files`; None if it shows it.
        merged: records were put into the order of their times, which need not be that of their offsets."""
        accepted, late = self.events("accepted"), self.events("late")
        records = self.events("records")
        if not self.lines:
            return f"nothing was replayed: no record in {files}"
        if not records and self.other_topics:
            topics = ", ".join(map(printable, sorted(self.other_topics)))
            return f"nothing was replayed: the records are of {topics}, which these rules do not count"
        if not records and self.seen_before:
            return None
        if not accepted and not self.events("duplicate") and not late:
            return (
                f"nothing was replayed: none of {self.lines:,} records can be read (--dead-letters says why): {files}"
            )
        want_order = "files that are not in the order of time want --merge"
        if late and late >= accepted:
            return f"{late:,} of {late + accepted:,} events came too late to count: {want_order}"
        if self.disordered and 2 * self.disordered >= records and not merged:
            return (
                f"{self.disordered:,} of {records:,} records stood behind later ones of their partition: {want_order}"
            )
        return None


class Seen:
    """Offsets already replayed, per (topic, partition); an ascending run of offsets costs one comparison."""

    def __init__(self) -> None:
        self._end: defaultdict[tuple[str, int], int] = defaultdict(lambda: -1)  # highest seen
        # The offsets below it that were not seen, ascending. Transactions leave such a gap at each commit.
        self._gaps: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        self.disordered = 0  # new records with an offset below the highest

    def add(self, topic: str, partition: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Returns bool[n], True for the records that are new, and remembers them."""
        new = np.ones(len(offset), bool)
        for p in np.flatnonzero(np.bincount(partition)).tolist():
            here = np.flatnonzero(partition == p)
            offsets, of = offset[here], (topic, p)
            before = np.concatenate(([self._end[of]], offsets[:-1]))
            if (offsets > before).all():
                self._end[of] = int(offsets[-1])
                jumps = np.flatnonzero(offsets > before + 1)
                self._gaps[of] += zip((before[jumps] + 1).tolist(), offsets[jumps].tolist(), strict=True)
            else:
                new[here] = [self._add(of, one) for one in offsets.tolist()]
        return new

    def _add(self, of: tuple[str, int], offset: int) -> bool:
        end, gaps = self._end[of], self._gaps[of]
        if offset > end:
            if offset > end + 1:
                gaps.append((end + 1, offset))
            self._end[of] = offset
            return True
        i = bisect_right(gaps, offset, key=lambda gap: gap[0]) - 1
        if i < 0 or offset >= gaps[i][1]:
            return False
        low, high = gaps[i]
        self.disordered += 1
        gaps[i : i + 1] = [r for r in ((low, offset), (offset + 1, high)) if r[0] < r[1]]
        return True


class Replay:
    """Feeds captures to an engine; `produce` gets every record it would have produced, in order."""

    def __init__(self, engine: Engine, produce: Callable[[OutRecord], None], batch_lines: int = BATCH_LINES) -> None:
        self.engine = engine
        self.summary = ReplaySummary()
        self._produce = produce
        self._batch_lines = batch_lines
        self._seen = Seen()
        self._lines = LineReader(engine.topics)

    def run(self, lines: Iterable[bytes], name: str, placed: bool = True) -> None:
        """Replays lines; `name` stands for their source in dead letters. placed: False where partitions and offsets
        are made up, so that equal ones are not the same record."""
        feed = iter(lines)
        batches = map(self._lines.read_list, iter(lambda: list(islice(feed, self._batch_lines)), []))
        self._run(self._decoded(batches, name, placed))

    def run_file(self, path: Path, advance: Callable[[int], None] = lambda count: None) -> None:
        """Replays a file; `advance` is called with the bytes read since its last call. Raises CaptureError, OSError."""
        self._run(_ahead(self._decoded(read_capture(path, self._lines, self._batch_lines, advance), str(path))))

    def run_stream(self, file: IO[bytes], name: str) -> None:
        """Replays the lines of an open file. Raises CaptureError."""
        self._run(self._decoded(read_stream(file, name, self._lines, self._batch_lines), name))

    def _run(self, batches: Iterable[_Batch]) -> None:
        collector = Collector()
        try:
            for decoded, unread in batches:
                collector.between_batches()
                self._step(decoded, unread)
        finally:
            collector.restore()

    def _decoded(self, batches: Iterable[CaptureRows], name: str, placed: bool = True) -> Iterator[_Batch]:
        """Yields each batch decoded. Nothing here depends on what was counted, so it may go on in another thread."""
        first = 1  # number of the batch's first line in its file
        for rows in batches:
            self.summary.lines += len(rows)
            self.summary.bad_lines += len(rows.unread)
            unread = [(index, bad_line(raw, name, first + index, error)) for index, raw, error in rows.unread]
            parts = [self._fresh(part) if placed else part for part in self._parts(rows)]
            yield [self.engine.decoders[part.topic].decode(part) for part in parts if part.values], unread
            first += len(rows)

    def _step(self, decoded: list[Decoded], unread: list[tuple[int, OutRecord]]) -> None:
        outcome = self.engine.step(decoded, unread)
        for topic, tally in outcome.feeds.items():
            self.summary.feeds.setdefault(topic, Counter()).update(tally)
        self.summary.changes.update(outcome.changes)
        self.summary.at_bound.update(outcome.at_bound)
        for record in outcome.records:
            self.summary.records[record.topic] += 1
            self._produce(record)
        self.engine.maintain()

    def _parts(self, rows: CaptureRows) -> Iterator[RawBatch]:
        """Yields the share of each input topic; records of other topics are only counted."""
        counts = np.bincount(rows.topic + 1, minlength=1)[1:]
        for code in np.flatnonzero(counts).tolist():
            topic = rows.topics[code]
            if topic not in self.engine.decoders:
                self.summary.other_topics[topic] += int(counts[code])
                continue
            here = np.flatnonzero(rows.topic == code)
            yield RawBatch(
                topic, here, rows.partition[here], rows.offset[here], rows.timestamp[here],
                rows.values.take(here), rows.keys.take(here), _taken(rows.feeds, here),
            )  # fmt: skip

    def _fresh(self, raw: RawBatch) -> RawBatch:
        """The batch without records that were replayed before."""
        fresh = self._seen.add(raw.topic, raw.partition, raw.offset)
        self.summary.disordered = self._seen.disordered
        if fresh.all():
            return raw
        self.summary.seen_before += int(np.count_nonzero(~fresh))
        assert isinstance(raw.values, Packed)
        assert isinstance(raw.keys, Packed)
        return RawBatch(
            raw.topic, raw.order[fresh], raw.partition[fresh], raw.offset[fresh], raw.timestamp[fresh],
            raw.values.take(fresh), raw.keys.take(fresh), _taken(raw.feeds, np.flatnonzero(fresh)),
        )  # fmt: skip


def _taken(feeds: Sequence[bytes | None] | None, index: np.ndarray) -> list[bytes | None] | None:
    if feeds is None:
        return None
    taken = [feeds[i] for i in index.tolist()]
    return taken if any(feed is not None for feed in taken) else None


def _ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The same batches, each read and decoded by another thread while the one before is being counted. Nearly all of it
    goes on outside of the interpreter lock."""
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = pool.submit(next, batches, None)
            yield batch


def bad_line(raw: bytes, name: str, number: int, error: Exception) -> OutRecord:
    """A dead letter that says which line of which file cannot be read, and why."""
    name = printable(name)
    headers = [
        ("__connect.errors.topic", name.encode()),
        ("__connect.errors.offset", b"%d" % number),
        ("__connect.errors.exception.class.name", b"bad_line"),
        ("__connect.errors.exception.message", printable(f"{name}:{number}: not a line of kcat -J: {error}").encode()),
    ]
    return OutRecord(topics.DEAD_LETTERS, None, raw.rstrip(b"\r\n"), headers)


def record_line(record: OutRecord) -> bytes:
    """A record as one line of JSON in kcat's form, bytes that are no UTF-8 kept by backslash escapes."""
    return orjson.dumps(
        {
            "topic": record.topic,
            "key": _text(record.key),
            "headers": {name: _text(value) for name, value in record.headers},
            "payload": _text(record.value),
        }
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
