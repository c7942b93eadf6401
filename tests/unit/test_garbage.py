"""Python's collector is off between epochs, on its schedule from the first collection on, and given back at the end."""

from __future__ import annotations

import gc

import pytest

from streams.runtime import garbage
from streams.runtime.garbage import COLLECT_INTERVAL_S, Collector


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the module, which the test moves."""
    clock = [100.0]
    monkeypatch.setattr(garbage.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the collector is asked for, in order."""
    asked: list[str] = []
    for name in ("collect", "freeze", "unfreeze"):
        monkeypatch.setattr(garbage.gc, name, lambda name=name: asked.append(name))
    return asked


def test_a_short_run_pays_for_no_collection(now: list[float], collections: list[str]) -> None:
    collector = Collector()
    for _ in range(3):
        collector.between_batches()
        assert not gc.isenabled()
    collector.restore()
    assert gc.isenabled()
    assert collections == []


def test_the_first_collection_freezes_what_it_leaves_and_later_ones_come_on_time(
    now: list[float], collections: list[str]
) -> None:
    collector = Collector()
    collector.between_batches()
    for _ in range(2):
        now[0] += COLLECT_INTERVAL_S
        collector.between_batches()
        collector.between_batches()
    assert collections == ["collect", "freeze", "collect"]
    collector.restore()
    assert collections[3:] == ["unfreeze"]
    assert gc.isenabled()


def test_what_is_taken_over_is_frozen_at_once(now: list[float], collections: list[str]) -> None:
    collector = Collector()
    collector.take_over()
    collector.between_batches()
    assert collections == ["collect", "freeze"]
    collector.restore()
