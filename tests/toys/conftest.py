"""Takes out again what these tests add to the product's tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rules import kinds
from schemas import export, feeds, subjects, topics
from streams import cli
from tests.toys import knock, pings, streaks

TABLES: tuple[dict[str, Any], ...] = (
    topics.TOPICS, feeds.FEEDS, subjects.SUBJECTS, export.PUBLISHED, kinds.KINDS, cli.COMMANDS
)  # fmt: skip


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kinds.all_keys()  # those that ship register themselves first
    before, events = [dict(table) for table in TABLES], len(feeds.EVENTS)
    pings.register()
    streaks.register()
    cli.COMMANDS["knock"] = "Knock at a topic."
    monkeypatch.setitem(sys.modules, "streams.cli.knock", knock)
    yield
    for table, rows in zip(TABLES, before, strict=True):
        table.clear()
        table.update(rows)
    del feeds.EVENTS[events:]
