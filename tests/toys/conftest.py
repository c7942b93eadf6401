"""What these tests add to the product's tables is taken out again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rules import kinds
from schemas import feeds, subjects, topics
from tests.toys import pings, streaks


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    kinds.all_keys()  # those that ship register themselves first
    tables: list[dict[str, object]] = [feeds.FEEDS, topics.TOPICS, kinds.KINDS, subjects.SUBJECTS]  # type: ignore[list-item]
    before, events = [dict(table) for table in tables], len(feeds.EVENTS)
    pings.register()
    streaks.register()
    yield
    for table, rows in zip(tables, before, strict=True):
        table.clear()
        table.update(rows)
    del feeds.EVENTS[events:]
