"""Converts files into records, row by row in constant memory, and accounts for every row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from schemas import decoding
from schemas.feeds import FEEDS
from schemas.printable import printable
from streams.captures.convert.json_rows import JsonRows
from streams.captures.convert.model import ConversionMap, FieldFlaw, RecordMap
from streams.captures.convert.opening import Opened
from streams.captures.convert.tables import CsvRows, FixedRows, LogRows, Passed, Row, RowOrNot, Unread

READERS: dict[str, Any] = {"csv": CsvRows, "json": JsonRows, "fixed": FixedRows, "lines": LogRows}


class Rejection(NamedTuple):
    """A row that became no record. raw: the row as it came, which is personal data."""

    file: str
    line: int
    code: str
    field: str | None
    reason: str
    raw: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field + ': ' if self.field else ''}{self.reason}"

    def as_json(self) -> bytes:
        text = json.dumps(self._asdict(), ensure_ascii=not self.raw.isprintable())
        return text.encode("utf-8") + b"\n"


class _Rejected(Exception):
    def __init__(self, code: str, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason = code, field, reason


@dataclass(slots=True)
class LeftOut:
    """A field that some records do without, since its value was wrong. first: the place of the first."""

    count: int
    first: str


@dataclass(slots=True)
class Conversion:
    """The conversion by one map; its attributes are the account. Always rows = converted + rejected + passed."""

    map: ConversionMap
    rows: int = 0
    converted: int = 0
    records: int = 0
    rejected: int = 0
    passed: Counter[str] = field(default_factory=Counter)  # rows by why they were passed over on purpose
    left_out: dict[tuple[str, str], LeftOut] = field(default_factory=dict)  # by field and reason
    codes: Counter[str] = field(default_factory=Counter)  # of rejections
    files: list[str] = field(default_factory=list)  # a sentence for each
    made: Counter[str] = field(default_factory=Counter)  # records by field that they have

    def run(self, opened: Opened) -> Iterator[bytes | Rejection]:
        """The records of a file as JSON, and its rejections, in the order of its rows. Raises CaptureError where the
        file cannot be read on."""
        rows: Iterator[RowOrNot] = iter(READERS[self.map.input.form](opened, self.map))
        for row in rows:
            self.rows += 1
            if isinstance(row, Row):
                yield from self._row(opened.name, row)
            elif isinstance(row, Passed):
                self.passed[row.reason] += 1
            else:
                yield self._reject(opened.name, row)
        self.files.append(f"{opened.name}: {self.map.input.form} in {opened.encoding}")

    def _row(self, file: str, row: Row) -> Iterator[bytes | Rejection]:
        for condition in self.map.skip:
            if condition.holds(row.cells):
                self.passed[f"{condition}"] += 1
                return
        made = []
        try:
            for record in self.map.records:
                if all(condition.holds(row.cells) for condition in record.when):
                    made.append(self._record(record, row, file))
        except _Rejected as error:
            yield self._reject(file, Unread(row.line, error.code, error.reason, row.raw), error.field)
            return
        if not made:
            self.passed["no `when` of a record holds"] += 1
            return
        self.converted += 1
        self.records += len(made)
        yield from made

    def _reject(self, file: str, unread: Unread, field_name: str | None = None) -> Rejection:
        self.rejected += 1
        self.codes[unread.code] += 1
        return Rejection(file, unread.line, unread.code, field_name, unread.reason, unread.raw)

    def _record(self, record: RecordMap, row: Row, file: str) -> bytes:
        """One record of a row. A wrong value costs its field, and a worker counts the record all the same; only without
        what is essential there is none. Raises _Rejected."""
        feed = FEEDS[self.map.topic]
        made: dict[str, Any] = {}
        flaws: dict[str, str] = {}
        for name, make in record.fields.items():
            try:
                if (found := make(row.cells)) is not None:
                    made[name] = found
            except FieldFlaw as flaw:
                if name in feed.essential:
                    raise _Rejected(flaw.code, name, str(flaw)) from None
                flaws[name] = str(flaw)
        value = _encoded(made)
        for error in decoding.check_all(self.map.topic, value):
            if error.effect == decoding.DEAD or error.field is None:
                raise _Rejected(error.code, error.field, error.reason)
            if error.effect == decoding.ABSENT:
                flaws.setdefault(error.field, error.reason)
                made.pop(error.field, None)
        if flaws:
            value = _encoded(made)
            self._leave_out(flaws, f"{file}:{row.line}")
        self.made.update(made.keys())
        return value

    def _leave_out(self, flaws: dict[str, str], place: str) -> None:
        for name, reason in flaws.items():
            out = self.left_out.setdefault((name, reason), LeftOut(0, place))
            out.count += 1

    @property
    def never_made(self) -> list[str]:
        """Fields of the map that no record has."""
        return list(dict.fromkeys(name for each in self.map.records for name in each.fields if not self.made[name]))

    @property
    def is_whole(self) -> bool:
        """True if there were records and no row was rejected."""
        return bool(self.records) and not self.rejected

    def as_json(self) -> dict[str, Any]:
        return {
            "map": self.map.name,
            "topic": self.map.topic,
            "files": self.files,
            "rows": self.rows,
            "converted": self.converted,
            "records": self.records,
            "rejected": self.rejected,
            "codes": dict(sorted(self.codes.items())),
            "passed": dict(sorted(self.passed.items())),
            "never_made": self.never_made if self.records else [],
            "left_out": [
                {"field": name, "reason": reason, "count": out.count, "first": out.first}
                for (name, reason), out in sorted(self.left_out.items())
            ],
        }

    def lines(self) -> Iterator[str]:
        """The account as lines for people."""
        yield from map(printable, self.files)
        passed = f", {self.passed.total():,} passed over" if self.passed else ""
        yield (
            f"{self.rows:,} row{'' if self.rows == 1 else 's'}: {self.converted:,} became "
            f"{self.records:,} record{'' if self.records == 1 else 's'} of {self.map.topic}, "
            f"{self.rejected:,} rejected{passed}"
        )
        for reason, count in sorted(self.passed.items()):
            yield f"  passed over: {reason} ({count:,})"
        for (name, reason), out in sorted(self.left_out.items()):
            yield f"  left out: {name} {reason} ({out.count:,}, first at {out.first})"
        if self.records and self.never_made:
            yield f"  no record has {', '.join(self.never_made)}"
        if self.codes:
            yield "  rejected: " + ", ".join(f"{code} {count:,}" for code, count in sorted(self.codes.items()))


def _encoded(made: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(made)
    except TypeError:  # half of a surrogate pair, which the check of the record names
        return json.dumps(made).encode()
