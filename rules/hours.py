"""Named hours of the week and year, as Alertmanager's `time_intervals` defines them, plus public holidays.

An interval's fields are joined with AND, the items of one field with OR, and the intervals of one name with OR.
Times of day start inclusive and end exclusive, by the wall clock of `location`. A wall-clock time that exists twice,
when the clocks go back, is inside both times; one that is skipped when they go forward never comes. Holidays are
outside the hours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    import numpy as np

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
DAYS_CACHED_MAX = 8_192  # spans of one UTC day each: some 200 bytes
DAY_LAST = date(9998, 12, 31).toordinal() - date(1970, 1, 1).toordinal()

Range = tuple[int, int]  # inclusive at both ends
Spans = tuple[tuple[int, int], ...]  # [start, end) in ms since the epoch, ascending and disjoint


@dataclass(frozen=True)
class Interval:
    """One item of `time_intervals`. An empty field restricts nothing."""

    times: tuple[Range, ...] = ()  # minutes of the day, end exclusive
    weekdays: tuple[Range, ...] = ()  # Sunday is 0, as Alertmanager counts
    days_of_month: tuple[Range, ...] = ()  # 1 is the first, -1 the last
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    location: str = "UTC"
    holidays: str = ""  # country whose public holidays are outside, like "KR"

    def has_day(self, day: date) -> bool:
        """True if any time of this local day can be inside."""
        return (
            _within(self.weekdays, day.isoweekday() % 7)
            and _within(self.months, day.month)
            and _within(self.years, day.year)
            and self._has_day_of_month(day)
            and not (self.holidays and day in public_holidays(self.holidays, day.year))
        )

    def _has_day_of_month(self, day: date) -> bool:
        """A range that begins after the month's last day matches nothing; others are clamped to the month."""
        if not self.days_of_month:
            return True
        last = (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        for begin, end in self.days_of_month:
            begin = last.day + begin + 1 if begin < 0 else begin
            end = last.day + end + 1 if end < 0 else end
            if begin <= day.day <= end:
                return True
        return False


@dataclass(frozen=True)
class Hours:
    """A name for times of the week and year, in which other values of limits are in force."""

    name: str = field(compare=False)
    intervals: tuple[Interval, ...]

    def inside(self, at_ms: np.ndarray) -> np.ndarray:
        """bool[n] for int64[n] of milliseconds since the epoch, in any order.

        Only the UTC days that occur are expanded, each once; the rest is one binary search per event."""
        import numpy as np

        if not len(at_ms):
            return np.zeros(0, bool)
        first, last = int(at_ms.min()) // DAY_MS, int(at_ms.max()) // DAY_MS
        if last - first < 8:
            starts, ends = _boundaries(self.intervals, tuple(range(first, last + 1)))
        else:
            starts, ends = _boundaries.__wrapped__(self.intervals, tuple(np.unique(at_ms // DAY_MS).tolist()))
        if not len(starts):
            return np.zeros(len(at_ms), bool)
        low, high = np.searchsorted(starts, (at_ms.min(), at_ms.max()), side="right").tolist()
        if low == high:  # mostly: an epoch's events are near each other
            return at_ms < ends[low - 1] if low else np.zeros(len(at_ms), bool)
        index = np.searchsorted(starts, at_ms, side="right") - 1
        return (index >= 0) & (at_ms < ends[index])


@lru_cache(maxsize=256)
def _boundaries(intervals: tuple[Interval, ...], days: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """int64 starts and ends of the spans of these UTC days, ascending and disjoint."""
    import numpy as np

    spans = [span for day in days for span in _merged([s for i in intervals for s in _day_spans(i, day)])]
    both = np.array(spans, np.int64).reshape(-1, 2)
    return np.ascontiguousarray(both[:, 0]), np.ascontiguousarray(both[:, 1])


@lru_cache(maxsize=DAYS_CACHED_MAX)
def _day_spans(interval: Interval, utc_day: int) -> Spans:
    """The spans of one UTC day (counted from 1970-01-01) that are inside the interval."""
    if not 0 <= utc_day <= DAY_LAST:
        return ()
    spans = []
    for start, end, offset_ms in _offsets(interval.location, utc_day):
        # While the offset stays, local time is UTC plus the offset, and local days are cut by division.
        for local_day in range((start + offset_ms) // DAY_MS, (end - 1 + offset_ms) // DAY_MS + 1):
            if not interval.has_day(date(1970, 1, 1) + timedelta(days=local_day)):
                continue
            midnight = local_day * DAY_MS - offset_ms
            for first_minute, end_minute in interval.times or ((0, 1440),):
                span = max(midnight + first_minute * 60_000, start), min(midnight + end_minute * 60_000, end)
                if span[0] < span[1]:
                    spans.append(span)
    return _merged(spans)


def _offsets(location: str, utc_day: int) -> list[tuple[int, int, int]]:
    """(start, end, offset) in ms: the parts of one UTC day in which the zone's offset stays the same."""
    parts: list[tuple[int, int, int]] = []
    for at in range(utc_day * DAY_MS, (utc_day + 1) * DAY_MS, HOUR_MS):
        end = at + HOUR_MS
        cuts = [at, end]
        if offset_ms(location, at) != offset_ms(location, end - 1):
            cuts.insert(1, _transition(location, at, end - 1))
        for start, stop in pairwise(cuts):
            offset = offset_ms(location, start)
            if parts and parts[-1][2] == offset:
                start = parts.pop()[0]
            parts.append((start, stop, offset))
    return parts


def _transition(location: str, low: int, high: int) -> int:
    """Returns the first ms of the new offset, in (low, high]; there is at most one change an hour."""
    old = offset_ms(location, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset_ms(location, middle) == old else (low, middle)
    return high


def offset_ms(location: str, at_ms: int) -> int:
    """The time in ms by which the zone's wall clock is ahead of UTC at this moment."""
    local = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone(location))
    offset = local.utcoffset()
    assert offset is not None
    return round(offset.total_seconds() * 1000)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError: unknown, or this machine has no zone data."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone `{name}`") from None


@lru_cache(maxsize=512)
def public_holidays(country: str, year: int) -> frozenset[date]:
    """Public holidays with their substitutes, from the `holidays` package. Raises ValueError for an unknown country."""
    import holidays

    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        raise ValueError(f"no holidays are known for `{country}`") from None


def _merged(spans: list[tuple[int, int]]) -> Spans:
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return tuple(out)


def _within(ranges: tuple[Range, ...], value: int) -> bool:
    return not ranges or any(begin <= value <= end for begin, end in ranges)
