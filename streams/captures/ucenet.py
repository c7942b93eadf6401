"""A report of international traffic in the form in which regulators exchange them (UCENet, 2017, made for e-mail):
nation, provider, masked address, time, date, count and title."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

import phonenumbers

from schemas import decoding
from schemas.feeds import InputTopic, counted
from schemas.numbers import masked, normalise
from streams.captures.files import read_capture
from streams.captures.lines import LineReader

COLUMNS = ("nation", "provider", "address", "time", "date", "count", "title")
ADDRESS = COLUMNS.index("address")
READ = frozenset({"origin", "carrier", "relay", "channel", "text"})  # of those that a record has
UNKNOWN = "ZZ"  # a nation that no number tells, as ISO 3166 has it
TITLE_MAX = 60  # characters
ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class UcenetGroup:
    nation: str
    provider: str
    address: str
    date: str
    title: str


class UcenetReport:
    """Counts records that come from abroad, or from a foreign number. with_titles: the beginnings of texts, which may
    name people; else a title is the kind of record. zone: of times and dates."""

    def __init__(self, region: str, zone: tzinfo, *, with_titles: bool) -> None:
        self.records, self.unread = 0, 0
        self._region, self._zone, self._with_titles = region, zone, with_titles
        self._groups: dict[UcenetGroup, tuple[str, int]] = {}  # first time, count
        self._whole: set[str] = set()  # calls that were counted
        self._feeds = {feed.name: feed for feed in counted() if feed.vouching}

    def read(self, path: Path) -> None:
        """Raises CaptureError, OSError."""
        reader = LineReader()
        for rows in read_capture(path, reader, ROWS_AT_ONCE):
            self.unread += len(rows.unread)
            for code, value in zip(rows.topic.tolist(), rows.values, strict=True):
                if code >= 0 and rows.topics[code] in self._feeds:
                    self.take(self._feeds[rows.topics[code]], value)

    def take(self, feed: InputTopic, value: bytes | None) -> None:
        try:
            record = decoding.read(feed.name, value, READ & set(feed.optional))[0]
        except decoding.RecordError:
            self.unread += 1
            return
        self.records += 1
        if not self._is_new(feed, record):
            return
        number = normalise(str(record[feed.number]), self._region)
        nation = nation_of(number.key)
        if record.get("origin") != "international" and nation in (self._region, UNKNOWN):
            return
        at = datetime.fromtimestamp(int(str(record["at"])) / 1000, self._zone)
        provider = str(record.get("carrier") or record.get("relay") or "")
        title = str(record.get("channel") or (feed.events[0] if len(feed.events) == 1 else "call"))
        if self._with_titles and "text" in record:
            # A spreadsheet takes a cell that begins so for a formula.
            title = " ".join(str(record["text"]).split()).lstrip("=+-@")[:TITLE_MAX]
        group = UcenetGroup(nation, provider, masked(number.key), at.strftime("%Y%m%d"), title)
        first, count = self._groups.get(group, ("24", 0))
        self._groups[group] = min(first, at.strftime("%H:%M:%S")), count + 1

    def rows(self) -> Iterator[tuple[str, ...]]:
        """As COLUMNS, by date, nation and address; the time is the first of the day."""
        by = sorted(
            self._groups.items(), key=lambda one: (one[0].date, one[0].nation, one[0].address, one[1], one[0].title)
        )
        for group, (first, count) in by:
            yield group.nation, group.provider, group.address, first, group.date, str(count), group.title

    def _is_new(self, feed: InputTopic, record: dict[str, object]) -> bool:
        """A call counts once, by its set-up or as a whole."""
        if len(feed.events) == 1:
            return True
        if record["event"] not in (feed.events[0], feed.events[-1]):
            return False
        call = f"{record[feed.id or 'at']} {record[feed.number]}"
        is_new = call not in self._whole
        self._whole.add(call)
        return is_new


def nation_of(key: int) -> str:
    """The ISO code of a number's country, UNKNOWN for what is no number or belongs to none."""
    if key <= 0:
        return UNKNOWN
    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{key}"))
    except phonenumbers.NumberParseException:
        return UNKNOWN
    if found is None:
        code = phonenumbers.parse(f"+{key}").country_code or 0
        found = phonenumbers.region_code_for_country_code(code)
    return UNKNOWN if found in (None, "001") else str(found)
