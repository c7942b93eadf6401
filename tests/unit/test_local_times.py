"""Times as other systems write them, against Python's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.times import TimeError
from streams.captures.convert.local_times import FormatError, time_reader, zone_of

AT_MS = 1_795_395_600_000  # 2026-11-23T10:00:00+09:00
ZONES = ("Asia/Seoul", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns", "UTC", "+05:45")
LOCAL = "%Y-%m-%d %H:%M:%S"


def utc(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@settings(max_examples=150, deadline=None)
@given(st.integers(946_900_000_000, 4_000_000_000_000), st.sampled_from(ZONES))
def test_a_local_time_is_read_as_it_was_written_or_is_said_to_come_twice(ms: int, name: str) -> None:
    zone = zone_of(name)
    local = utc(ms).astimezone(zone)
    text = local.strftime(LOCAL) + f".{ms % 1000:03d}"
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    if twice:
        with pytest.raises(TimeError, match="comes twice"):
            time_reader(LOCAL, zone)(text)
    else:
        assert time_reader(LOCAL, zone)(text) == ms
    assert time_reader(LOCAL, zone, "later" if local.fold else "earlier")(text) == ms


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_an_hour_that_comes_twice_is_told_and_not_guessed(minute: int) -> None:
    zone, text = ZoneInfo("America/New_York"), f"2026-11-01 01:{minute:02d}:30"
    with pytest.raises(TimeError, match="comes twice in America/New_York, where clocks are set back"):
        time_reader(LOCAL, zone)(text)
    earlier, later = (time_reader(LOCAL, zone, which)(text) for which in ("earlier", "later"))
    assert later - earlier == 3_600_000


def test_an_hour_that_does_not_exist_is_told() -> None:
    for which in ("refuse", "earlier", "later"):
        with pytest.raises(TimeError, match="does not exist in America/New_York: clocks are set forward"):
            time_reader(LOCAL, ZoneInfo("America/New_York"), which)("2026-03-08 02:30:00")


SPELLINGS = {
    "%d.%m.%Y %H:%M:%S": "23.11.2026 10:00:00", "%d/%b/%Y:%H:%M:%S": "23/Nov/2026:10:00:00",
    "%m/%d/%y %I:%M:%S %p": "11/23/26 10:00:00 AM", "%Y%m%d%H%M%S": "20261123100000", "%F %T": "2026-11-23 10:00:00",
    "%Y-%m-%dT%H:%M:%S%z": "2026-11-23T03:00:00+0200", "%Y-%m-%d %H:%M:%S %z": "2026-11-23 01:00:00 UTC",
    "%a %d %b %Y %T": "Mon 23 nov 2026 10:00:00", "%Y-%m-%d %H:%M": "2026-11-23   10:00",
    "%F %T,%f": "2026-11-23 10:00:00,000",
    "s": "1795395600", "ms": "1795395600000", "us": "1795395600000000", "rfc3339": "2026-11-23T02:00:00+01:00",
}  # fmt: skip


@pytest.mark.parametrize("format_", SPELLINGS)
def test_spellings_of_one_time(format_: str) -> None:
    assert time_reader(format_, ZoneInfo("Asia/Seoul"))(SPELLINGS[format_]) == AT_MS


def test_fractions_and_rfc3339_without_a_zone() -> None:
    assert time_reader("s", None)("1795395600.1239") == AT_MS + 123
    assert time_reader("ms", None)("1795395600000.9") == AT_MS
    assert time_reader("rfc3339", ZoneInfo("Asia/Seoul"))("2026-11-23 10:00:00.5") == AT_MS + 500
    with pytest.raises(TimeError, match="has no zone"):
        time_reader("rfc3339", None)("2026-11-23T10:00:00")


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("s", "1795395600000"), ("ms", "1795395600"), ("s", "soon"), ("s", "9" * 5000), ("us", "-1"),
        (LOCAL, "2026-02-30 10:00:00"),
        (LOCAL, "2026-11-23 24:00:00"), (LOCAL, "2026-11-23 10:60:00"), (LOCAL, "2026-11-23 10:00:60"),
        (LOCAL, "0000-00-00 00:00:00"),
        (LOCAL, "0001-01-01 00:00:00"), (LOCAL, "9999-12-31 23:59:59 "), (LOCAL, ""),
        ("%d/%b/%Y %T", "23/Foo/2026 10:00:00"),
        ("%F %I:%M %p", "2026-11-23 13:00 PM"), ("%F %T %z", "2026-11-23 10:00:00 +25:00"), ("rfc3339", "x" * 100_000),
    ],
)  # fmt: skip
def test_what_is_no_time_is_told(format_: str, text: str) -> None:
    with pytest.raises(TimeError):
        time_reader(format_, ZoneInfo("Asia/Seoul"))(text)


@pytest.mark.parametrize("format_", ["%Y", "%H:%M", "%Q", "%Y-%m-%d %Y %H:%M", "%F %I:%M", "", "ns", "%"])
def test_what_is_no_format_is_told(format_: str) -> None:
    with pytest.raises(FormatError):
        time_reader(format_, ZoneInfo("Asia/Seoul"))


@pytest.mark.parametrize("name", ["Mars", "Asia/", "../../etc/passwd", "/etc/localtime", "+25:00", "", "Asia"])
def test_what_is_no_zone_is_told(name: str) -> None:
    with pytest.raises(FormatError):
        zone_of(name)
