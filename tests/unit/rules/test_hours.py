"""Hours against a scalar oracle that follows Alertmanager: convert to the wall clock, compare the fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.hours import Hours, Interval, public_holidays

OFFICE = Interval(times=((540, 1080),), weekdays=((1, 5),), location="Asia/Seoul", holidays="KR")
CASES = {
    "office": (OFFICE,),
    "new york nights": (Interval(times=((0, 200), (1300, 1440)), location="America/New_York"),),
    "half-hour shifts": (Interval(times=((100, 180),), location="Australia/Lord_Howe"),),
    "month ends": (Interval(days_of_month=((-3, -1), (1, 1), (30, 31)), location="Europe/Berlin"),),
    "summers": (Interval(months=((6, 8),), years=((2024, 2026),)), Interval(weekdays=((0, 0),), times=((60, 61),))),
}


def contains(intervals: tuple[Interval, ...], at_ms: int) -> bool:
    return any(_contains(i, at_ms) for i in intervals)


def _contains(i: Interval, at_ms: int) -> bool:
    t = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(ZoneInfo(i.location))
    minute = t.hour * 60 + t.minute
    days = (t.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    turned = [tuple(days.day + v + 1 if v < 0 else v for v in r) for r in i.days_of_month]
    return (
        (not i.times or any(a <= minute < b for a, b in i.times))
        and (not i.weekdays or any(a <= t.isoweekday() % 7 <= b for a, b in i.weekdays))
        and (not turned or any(a <= t.day <= b for a, b in turned))
        and (not i.months or any(a <= t.month <= b for a, b in i.months))
        and (not i.years or any(a <= t.year <= b for a, b in i.years))
        and not (i.holidays and t.date() in public_holidays(i.holidays, t.year))
    )


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


around_clock_changes = st.sampled_from(
    ["2026-03-08T07:00+00:00", "2026-11-01T06:00+00:00", "2026-04-04T15:00+00:00", "2026-10-03T15:30+00:00"]
).flatmap(lambda text: st.integers(ms(text) - 8_000_000, ms(text) + 8_000_000))
times = st.one_of(st.integers(ms("2020-01-01T00:00+00:00"), ms("2030-01-01T00:00+00:00")), around_clock_changes)


@settings(max_examples=150, deadline=None)
@given(case=st.sampled_from(sorted(CASES)), at=st.lists(times, min_size=1, max_size=20))
def test_boundaries_give_what_the_wall_clock_oracle_gives(case, at):
    got = Hours(case, CASES[case]).inside(np.array(at, np.int64))
    assert got.tolist() == [contains(CASES[case], t) for t in at]


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-11-16T08:59:59.999+09:00", False),
        ("2026-11-16T09:00:00+09:00", True),
        ("2026-11-16T17:59:59.999+09:00", True),
        ("2026-11-16T18:00:00+09:00", False),
        ("2026-11-21T10:00:00+09:00", False),
        ("2026-12-25T10:00:00+09:00", False),
    ],
)
def test_office_hours_start_inclusive_end_exclusive_without_weekends_and_holidays(at, inside):
    assert Hours("office", (OFFICE,)).inside(np.array([ms(at)], np.int64)).tolist() == [inside]


def test_a_wall_clock_time_that_exists_twice_is_inside_twice_and_a_skipped_one_never():
    night = Hours("night", (Interval(times=((90, 120),), location="America/New_York"),))
    back = [ms("2026-11-01T05:45+00:00"), ms("2026-11-01T06:45+00:00")]  # 01:45 twice
    assert night.inside(np.array(back, np.int64)).tolist() == [True, True]
    skipped = Hours("skipped", (Interval(times=((120, 180),), location="America/New_York"),))
    day = np.arange(ms("2026-03-08T00:00-05:00"), ms("2026-03-09T00:00-04:00"), 60_000)
    assert not skipped.inside(day).any()


def test_a_batch_that_spans_centuries_costs_only_its_own_days():
    at = np.array([0, ms("2026-11-16T10:00+09:00"), 253_402_300_799_000, 2**62], np.int64)
    assert Hours("office", (OFFICE,)).inside(at).tolist() == [False, True, False, False]
    assert Hours("office", (OFFICE,)).inside(at[:0]).tolist() == []
