"""One partition as the broker keeps it: records, the markers that end transactions, and what readers may see."""

from __future__ import annotations

from dataclasses import dataclass, field

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record, or with `marker` the end of a transaction in this partition ("commit" or "abort")."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    producer: int = -1  # producer id, of a transaction
    marker: str = ""


@dataclass(slots=True)
class PartitionLog:
    records: list[Record] = field(default_factory=list)  # by offset; compaction and retention leave holes
    archive: list[Record] = field(default_factory=list)  # the same without holes, for checkers
    start: int = 0
    end: int = 0  # the next offset
    open: dict[int, int] = field(default_factory=dict)  # producer id -> first offset of its open transaction
    aborted: list[tuple[int, int, int]] = field(default_factory=list)  # (producer id, first offset, marker's offset)

    @property
    def stable_end(self) -> int:
        """The last stable offset: in front of the first record whose transaction is undecided."""
        return min(self.open.values()) if self.open else self.end

    def append(
        self, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers = (), producer: int = -1
    ) -> int:
        offset = self.end
        if producer >= 0:
            self.open.setdefault(producer, offset)
        self._add(Record(offset, timestamp_ms, key, value, headers, producer))
        self.end += 1
        return offset

    def mark(self, timestamp_ms: int, producer: int, marker: str) -> None:
        """Ends the producer's transaction here; nothing when it has written nothing."""
        if producer not in self.open:
            return
        first = self.open.pop(producer)
        if marker == "abort":
            self.aborted.append((producer, first, self.end))
        self._add(Record(self.end, timestamp_ms, None, None, (), producer, marker))
        self.end += 1

    def is_aborted(self, record: Record) -> bool:
        return record.producer >= 0 and any(
            producer == record.producer and first <= record.offset < marker for producer, first, marker in self.aborted
        )

    def read(self, start: int, most: int, committed: bool) -> tuple[list[Record], int]:
        """(at most `most` records from `start` on, where to read next): markers and aborted records are passed over."""
        end = self.stable_end if committed else self.end
        found: list[Record] = []
        for record in self.records[self._index(start) :]:
            if record.offset >= end:
                break
            if record.marker or (committed and self.is_aborted(record)):
                continue
            if len(found) == most:
                return found, found[-1].offset + 1
            found.append(record)
        return found, max(start, end)

    def committed(self) -> list[Record]:
        """Everything that a read-committed reader has ever been able to see."""
        end = self.stable_end
        return [r for r in self.archive if r.offset < end and not r.marker and not self.is_aborted(r)]

    def trim(self, start: int) -> None:
        """Retention: what lies before `start` is gone."""
        self.start = max(self.start, min(start, self.stable_end))
        self.records = self.records[self._index(self.start) :]

    def compact(self, upto: int, tombstones_until_ms: int) -> None:
        """Below `upto` only the last committed record of each key stays; a tombstone older than `tombstones_until_ms`
        goes as well, and so do the records of aborted transactions."""
        upto = min(upto, self.stable_end)
        last = {r.key: r.offset for r in self.records if r.offset < upto and not r.marker and not self.is_aborted(r)}
        kept = []
        for record in self.records:
            if record.offset < upto and not record.marker:
                if self.is_aborted(record) or last[record.key] != record.offset:
                    continue
                if record.value is None and record.timestamp_ms < tombstones_until_ms:
                    continue
            kept.append(record)
        self.records = kept

    def _add(self, record: Record) -> None:
        self.records.append(record)
        self.archive.append(record)

    def _index(self, offset: int) -> int:
        low, high = 0, len(self.records)
        while low < high:
            middle = (low + high) // 2
            if self.records[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return low
