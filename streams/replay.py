"""The same `step` without Kafka: files of recorded records in, block events out, the same bytes every time.

Input is what `kcat -C -J` prints, one JSON object a line. Files are read in the order given, lines in file order, no
sorting; a (topic, partition, offset) seen before is skipped. A bad line is never fatal: it becomes a dead letter.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import orjson

from schemas import topics
from streams.epoch import OutRecord, RawBatch
from streams.step import Engine

BATCH_LINES = 10_000


Partition = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Offset = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Timestamp = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 62)]


class Line(msgspec.Struct):
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
    """Offsets already replayed, per (topic, partition); a run of ascending offsets costs one comparison."""

    def __init__(self) -> None:
        self._end: defaultdict[tuple[str, int], int] = defaultdict(lambda: -1)  # highest seen
        self._gaps: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)  # below it, not seen

    def add(self, topic: str, partition: int, offset: int) -> bool:
        """Whether it is new; from now on it is not."""
        of = (topic, partition)
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
        numbered = enumerate(lines, 1)
        while batch := list(islice(numbered, self._batch_lines)):
            self._epoch(batch, name)

    def _epoch(self, batch: list[tuple[int, bytes]], name: str) -> None:
        parts: dict[str, list[tuple[int, Line]]] = {topic: [] for topic in self.engine.topics}
        unread: list[tuple[int, OutRecord]] = []
        for place, (number, raw) in enumerate(batch):
            self.summary.lines += 1
            try:
                line = self._parse(raw)
            except (msgspec.MsgspecError, UnicodeError) as error:
                if raw.strip():
                    self.summary.bad_lines += 1
                    unread.append((place, bad_line(raw, name, number, error)))
                continue
            if line.topic not in parts:
                self.summary.other_topics[line.topic] += 1
            elif self._seen.add(line.topic, line.partition, line.offset):
                parts[line.topic].append((place, line))
            else:
                self.summary.seen_before += 1
        decoded = [self.engine.decoders[topic].decode(raw_batch(topic, part)) for topic, part in parts.items() if part]
        outcome = self.engine.step(decoded, unread)
        for topic, tally in outcome.feeds.items():
            self.summary.feeds.setdefault(topic, Counter()).update(tally)
        self.summary.changes.update(outcome.changes)
        for record in outcome.records:
            self.summary.records[record.topic] += 1
            self._produce(record)
        self.engine.maintain()

    def _parse(self, raw: bytes) -> Line:
        try:
            return self._line.decode(raw)
        except msgspec.ValidationError:
            nested = self._nested.decode(raw)
            if bytes(nested.payload)[:1] != b"{":
                raise
            payload = bytes(nested.payload).decode()
            return Line(nested.topic, nested.partition, nested.offset, payload, nested.key, nested.ts)


def raw_batch(topic: str, part: list[tuple[int, Line]]) -> RawBatch:
    n = len(part)
    return RawBatch(
        topic,
        np.fromiter((place for place, _ in part), np.int64, n),
        np.fromiter((line.partition for _, line in part), np.int32, n),
        np.fromiter((line.offset for _, line in part), np.int64, n),
        np.fromiter((line.ts for _, line in part), np.int64, n),
        [None if line.payload is None else line.payload.encode("utf-8", "surrogatepass") for _, line in part],
        [None if line.key is None else line.key.encode("utf-8", "surrogatepass") for _, line in part],
    )


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
