from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.times import YEAR_2000_MS, YEAR_10000_MS, TimeError, parse_time, rfc3339

NOON_IN_SEOUL_MS = 1_794_798_000_000  # 2026-11-16T03:00:00Z


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (NOON_IN_SEOUL_MS, 0),
        ("2026-11-16T03:00:00Z", 0),
        ("2026-11-16t03:00:00z", 0),
        ("2026-11-16T12:00:00+09:00", 0),
        ("2026-11-15T22:00:00.000-05:00", 0),
        ("2026-11-16T08:30:00+05:30", 0),
        ("2026-11-16T03:00:00-00:00", 0),
        ("2026-11-16T03:00:00.1Z", 100),
        ("2026-11-16T03:00:00.12Z", 120),
        ("2026-11-16T03:00:00.123Z", 123),
        ("2026-11-16T03:00:00.1239999999999999999999Z", 123),
        ("2026-11-16T03:00:00.999999999+00:00", 999),
    ],
)
def test_a_time_in_any_allowed_form_is_milliseconds(value: int | str, ms: int) -> None:
    assert parse_time(value) == NOON_IN_SEOUL_MS + ms


def test_the_first_and_last_possible_times_are_accepted_and_their_neighbours_are_not() -> None:
    assert parse_time(YEAR_2000_MS) == parse_time("2000-01-01T00:00:00Z") == YEAR_2000_MS
    assert parse_time(YEAR_10000_MS - 1) == parse_time("9999-12-31T23:59:59.999Z")
    for value in (YEAR_2000_MS - 1, YEAR_10000_MS, "1999-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"):
        with pytest.raises(TimeError):
            parse_time(value)
    with pytest.raises(TimeError):
        parse_time("2000-01-01T00:00:00+00:01")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1_794_798_000, "seconds taken for milliseconds"),
        (0, "seconds taken for milliseconds"),
        (-1, "seconds taken for milliseconds"),
        (1_794_798_000_000_000, "microseconds or nanoseconds"),
        (10**40, "microseconds or nanoseconds"),
        (True, "is a bool"),
        (1.794798e12, "is a float"),
        (None, "is a NoneType"),
        ("2026-11-16T03:00:00", "has no zone"),
        ("2026-11-16T03:00:00.5", "has no zone"),
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2026-02-29T00:00:00Z", "does not exist in the calendar"),
        ("2026-11-16T24:00:00Z", "does not exist in the calendar"),
        ("0000-01-01T00:00:00Z", "does not exist in the calendar"),
        ("2026-11-16T03:00:00+24:00", "offset beyond"),
        ("2026-11-16T03:00:00+09:60", "offset beyond"),
        ("2026-11-16T03:00:00+0900", "is not RFC 3339"),
        ("2026-11-16 03:00:00Z", "is not RFC 3339"),
        ("2026-11-16T03:00Z", "is not RFC 3339"),
        ("2026-11-16T03:00:00.Z", "is not RFC 3339"),
        ("2026-11-16T03:00:00Z\n", "is not RFC 3339"),
        ("٢٠٢٦-11-16T03:00:00Z", "is not RFC 3339"),
        ("1794798000000", "is not RFC 3339"),
        ("", "is not RFC 3339"),
    ],
)
def test_what_is_no_time_is_refused_with_what_would_be_right(value: object, says: str) -> None:
    with pytest.raises(TimeError, match=says):
        parse_time(value)  # type: ignore[arg-type]


@given(st.integers(YEAR_2000_MS, YEAR_10000_MS - 1))
def test_a_printed_time_reads_back_as_itself(ms: int) -> None:
    assert parse_time(rfc3339(ms)) == ms


@given(st.datetimes(datetime(2000, 1, 3), datetime(9999, 12, 29)), st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_every_offset_agrees_with_the_standard_library(moment: datetime, offset_minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    assert parse_time(aware.isoformat()) == (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,12}[Z+-][0-9:]{0,5}"))
def test_any_text_is_a_time_or_a_time_error(text: str) -> None:
    with contextlib.suppress(TimeError):
        assert YEAR_2000_MS <= parse_time(text) < YEAR_10000_MS
