"""The same `step` without Kafka: files of recorded records in, block events out, the same bytes every time.

Input is what `kcat -C -J` prints, one JSON object a line. Files are read in the order given, lines in file order, no
sorting; a (topic, partition, offset) seen before is skipped. A bad line is never fatal: it becomes a dead letter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice
from operator import attrgetter
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import orjson

from schemas import topics
from streams.collector import Collector
from streams.epoch import OutRecord, RawBatch
from streams.step import Engine

BATCH_LINES = 10_000


# Far more than a topic can have: a slip in a file must not make tables of two thousand million entries.
Partition = Annotated[int, msgspec.Meta(ge=0, lt=1 << 20)]
Offset = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Timestamp = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)]


class Line(msgspec.Struct, gc=False):
    """One line as kcat prints it; other fields are ignored. `ts` -1 says that there is none."""

    topic: str
    partition: Partition
    offset: Offset
    payload: str | None = None
    key: str | None = None
    ts: Timestamp = -1


class NestedLine(msgspec.Struct):
    """A line whose payload stands there as an object instead of a string."""

    topic: str
    partition: Partition
    offset: Offset
    payload: msgspec.Raw
    key: str | None = None
    ts: Timestamp = -1


@dataclass(slots=True)
class Summary:
    """What a replay did."""

    lines: int = 0
    bad_lines: int = 0
    seen_before: int = 0
    other_topics: Counter[str] = field(default_factory=Counter)
    feeds: dict[str, Counter[str]] = field(default_factory=dict)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)  # produced, by topic

    def as_json(self) -> dict[str, object]:
        return {
            "lines": self.lines,
            "bad_lines": self.bad_lines,
            "seen_before": self.seen_before,
            "other_topics": dict(self.other_topics),
            "feeds": {name: dict(tally) for name, tally in sorted(self.feeds.items())},
            "changes": [
                {"rule": rule, "mode": mode, "change": change, "count": count}
                for (rule, mode, change), count in sorted(self.changes.items())
            ],
            "produced": dict(self.records),
        }


class Seen:
    """Offsets already replayed, per (topic, partition); an ascending run of offsets costs one comparison."""

    def __init__(self) -> None:
        self._end: defaultdict[tuple[str, int], int] = defaultdict(lambda: -1)  # highest seen
        self._gaps: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)  # below it, not seen

    def add(self, topic: str, partition: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """bool[n]: which records of a topic are new; from now on they are not."""
        new = np.ones(len(offset), bool)
        for p in np.unique(partition).tolist():
            here = np.flatnonzero(partition == p)
            offsets, of = offset[here], (topic, p)
            end = self._end[of]
            if offsets[0] == end + 1 and (np.diff(offsets) == 1).all():
                self._end[of] = int(offsets[-1])
            else:
                new[here] = [self._add(of, one) for one in offsets.tolist()]
        return new

    def _add(self, of: tuple[str, int], offset: int) -> bool:
        end = self._end[of]
        if offset > end:
            if offset > end + 1:
                self._gaps[of].append((end + 1, offset))
            self._end[of] = offset
            return True
        for i, (low, high) in enumerate(self._gaps[of]):
            if low <= offset < high:
                self._gaps[of][i : i + 1] = [r for r in ((low, offset), (offset + 1, high)) if r[0] < r[1]]
                return True
        return False


class Replay:
    """Feeds lines to an engine; `produce` gets every record it would have produced, in order."""

    def __init__(self, engine: Engine, produce: Callable[[OutRecord], None], batch_lines: int = BATCH_LINES) -> None:
        self.engine = engine
        self.summary = Summary()
        self._produce = produce
        self._batch_lines = batch_lines
        self._seen = Seen()
        self._line = msgspec.json.Decoder(Line)
        self._nested = msgspec.json.Decoder(NestedLine)

    def run(self, lines: Iterable[bytes], name: str) -> None:
        """Replays the lines of one file; `name` is what dead letters call it."""
        collector, feed, first = Collector(), iter(lines), 1
        try:
            while batch := list(islice(feed, self._batch_lines)):
                collector.between_batches()
                self._epoch(batch, name, first)
                first += len(batch)
        finally:
            collector.restore()

    def _epoch(self, batch: list[bytes], name: str, first: int) -> None:
        """first: number of the batch's first line in its file."""
        self.summary.lines += len(batch)
        unread: list[tuple[int, OutRecord]] = []
        parts: dict[str, list[tuple[int, Line]]] = {topic: [] for topic in self.engine.topics}
        for place, line in enumerate(self._parse_all(batch)):
            if isinstance(line, Line):
                if line.topic in parts:
                    parts[line.topic].append((place, line))
                else:
                    self.summary.other_topics[line.topic] += 1
            elif batch[place].strip():
                self.summary.bad_lines += 1
                unread.append((place, bad_line(batch[place], name, first + place, line)))
        raw = [self._fresh(raw_batch(topic, part)) for topic, part in parts.items() if part]
        decoded = [self.engine.decoders[part.topic].decode(part) for part in raw if part.values]
        outcome = self.engine.step(decoded, unread)
        for topic, tally in outcome.feeds.items():
            self.summary.feeds.setdefault(topic, Counter()).update(tally)
        self.summary.changes.update(outcome.changes)
        for record in outcome.records:
            self.summary.records[record.topic] += 1
            self._produce(record)
        self.engine.maintain()

    def _parse_all(self, batch: list[bytes]) -> Sequence[Line | Exception]:
        """Each line parsed, or why not."""
        try:
            return list(map(self._line.decode, batch))
        except (msgspec.MsgspecError, UnicodeError):
            return list(map(self._parse, batch))

    def _parse(self, raw: bytes) -> Line | Exception:
        try:
            return self._line.decode(raw)
        except (msgspec.MsgspecError, UnicodeError) as error:
            try:
                nested = self._nested.decode(raw)
                if bytes(nested.payload)[:1] != b"{":
                    return error
                payload = bytes(nested.payload).decode()
            except (msgspec.MsgspecError, UnicodeError):
                return error
            return Line(nested.topic, nested.partition, nested.offset, payload, nested.key, nested.ts)

    def _fresh(self, raw: RawBatch) -> RawBatch:
        """The batch without records that were replayed before."""
        fresh = self._seen.add(raw.topic, raw.partition, raw.offset)
        if fresh.all():
            return raw
        self.summary.seen_before += int(np.count_nonzero(~fresh))
        keep = fresh.tolist()
        assert raw.keys is not None
        return RawBatch(
            raw.topic, raw.order[fresh], raw.partition[fresh], raw.offset[fresh], raw.timestamp[fresh],
            list(compress(raw.values, keep)), list(compress(raw.keys, keep)),
        )  # fmt: skip


def raw_batch(topic: str, part: list[tuple[int, Line]]) -> RawBatch:
    n = len(part)
    places, lines = zip(*part, strict=True)
    return RawBatch(
        topic,
        np.array(places, np.int64),
        np.fromiter(map(attrgetter("partition"), lines), np.int32, n),
        np.fromiter(map(attrgetter("offset"), lines), np.int64, n),
        np.fromiter(map(attrgetter("ts"), lines), np.int64, n),
        _encoded([line.payload for line in lines]),
        _encoded([line.key for line in lines]),
    )


def _encoded(texts: list[str | None]) -> list[bytes | None]:
    try:
        return list(map(str.encode, texts))  # type: ignore[arg-type]
    except (TypeError, UnicodeError):  # an absent one, or one with a lone surrogate
        return [None if text is None else text.encode("utf-8", "surrogatepass") for text in texts]


def bad_line(raw: bytes, name: str, number: int, error: Exception) -> OutRecord:
    """A dead letter that says which line of which file cannot be read, and why."""
    headers = [
        ("__connect.errors.topic", name.encode()),
        ("__connect.errors.offset", b"%d" % number),
        ("__connect.errors.exception.class.name", b"bad_line"),
        ("__connect.errors.exception.message", f"{name}:{number}: not a line of kcat -J: {error}".encode()),
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


def file_lines(path: Path, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Lines of a file; `advance` is told the bytes read, in steps."""
    unsaid = 0
    with path.open("rb") as file:
        for line in file:
            unsaid += len(line)
            if unsaid >= 1 << 20:
                advance(unsaid)
                unsaid = 0
            yield line
    advance(unsaid)
