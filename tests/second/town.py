"""The whole of it: people, firms and crooks in one city for some hours of one day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from tests.second import crooks, firms
from tests.second.city import City, Written
from tests.second.people import People

MONDAY_S = datetime(2026, 11, 16, 9, tzinfo=ZoneInfo("Asia/Seoul")).timestamp()


def town(
    seed: int, hours: float = 2.0, people: int = 10_000, start_s: float = MONDAY_S, feed: str = "events", each: int = 2
) -> tuple[City, Iterator[Written]]:
    """(the city, whose `truth` says what each number is; its records in order of time). people: who live there; each:
    firms and campaigns of each kind; feed: one of `tests.second.city.FEEDS`; start_s: since the epoch."""
    city = City(seed, start_s, hours, feed)
    People(city, people).settle()
    firms.settle(city, each)
    crooks.settle(city, each)
    return city, city.run()
