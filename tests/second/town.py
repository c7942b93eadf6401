"""The whole of it: people, firms and crooks in one city for some hours of one day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from tests.second import crooks, firms
from tests.second.city import City, Written
from tests.second.people import People

DAYS = {"weekday": 16, "weekend": 21}  # a Monday and a Saturday of November 2026
OPENS = 9


def town(
    seed: int, hours: float = 2.0, people: int = 10_000, day: str = "weekday", feed: str = "events", campaigns: int = 2
) -> tuple[City, Iterator[Written]]:
    """(the city, whose `truth` says what each number is; its records in order of time). people: who live there;
    campaigns: of each kind of offender; feed: one of `tests.second.city.FEEDS`."""
    start = datetime(2026, 11, DAYS[day], OPENS, tzinfo=ZoneInfo("Asia/Seoul"))
    city = City(seed, start.timestamp(), hours, feed)
    People(city, people).settle()
    firms.settle(city, people)
    crooks.settle(city, campaigns)
    return city, city.run()
