"""The watch of files, and the page that has them read again: all or none, never what is being written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rules.load import load
from schemas.feed_settings import NO_BOOK
from streams.holds.rules_order import RulesOrder, rules_order_of
from streams.runtime.metrics import Metrics
from streams.runtime.silence import FeedWatch
from streams.worker.rereading import Files, FileWatch, Rereading, seen

RULES = """counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - {name: a, summary: s, when: rate > %d, then: {block: [calls], for: 1d}, mode: shadow}
"""


class Taken:
    """Stands where a worker's orders are: keeps the rules that were adopted."""

    def __init__(self) -> None:
        self.versions: list[str] = []

    def adopt_rules(self, rules: Any, feeds: Any) -> None:
        self.versions.append(rules.version)


def rereading_of(path: Path) -> tuple[Rereading, Taken]:
    taken, rules = Taken(), load([path])
    wiring: Any = SimpleNamespace(
        source=object(),
        flow=SimpleNamespace(partitions=SimpleNamespace(restoring={})),
        engine=SimpleNamespace(rules=rules, reads=("cdr",)),
        fetcher=SimpleNamespace(count=lambda topics: None),
        orders=taken,
    )
    return Rereading(lambda: Files(load([path]), NO_BOOK), wiring, Metrics(), FeedWatch(1000, {})), taken


def turned(path: Path, *steps: Callable[[], object] | None) -> list[str]:
    """The versions that were adopted after a look at the files behind each step."""

    async def go() -> list[str]:
        rereading, taken = rereading_of(path)
        watch = FileWatch(lambda: seen([path]), seen([path]), rereading)
        for step in steps:
            if step is not None:
                step()
            await watch.turn()
            while rereading._reading is not None:
                await asyncio.wait([rereading._reading])
        return taken.versions

    return asyncio.run(go())


def test_a_changed_file_is_read_once_it_is_the_same_at_two_looks(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)
    assert turned(file, None, None) == []
    assert turned(file, lambda: file.write_text(RULES % 7)) == []
    after = turned(file, lambda: file.write_text(RULES % 99), None, None, None)
    assert after == [load([file]).version]


def test_a_change_before_the_first_look_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)

    async def go() -> list[str]:
        rereading, taken = rereading_of(file)
        watch = FileWatch(lambda: seen([file]), seen([file]), rereading)
        file.write_text(RULES % 99)
        for _ in range(2):
            await watch.turn()
        while rereading._reading is not None:
            await asyncio.wait([rereading._reading])
        return taken.versions

    assert asyncio.run(go()) == [load([file]).version]


def test_a_file_that_goes_on_being_written_is_not_read_until_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)
    text = RULES % 12345
    parts = [lambda n=n: file.write_text(text[:n]) for n in range(40, len(text), 30)]
    assert turned(file, *parts, lambda: file.write_text(text), None) == [load([file]).version]


def test_a_file_that_was_left_half_written_changes_nothing_until_it_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)
    half = (RULES % 7)[:150]
    assert turned(file, lambda: file.write_text(half), None, None) == []
    assert turned_after_half(file) == [load([file]).version]


def turned_after_half(file: Path) -> list[str]:
    file.write_text(RULES % 5)
    return turned(file, lambda: file.write_text((RULES % 8)[:150]), None, lambda: file.write_text(RULES % 888), None)


@pytest.mark.parametrize("change", ["new", "gone", "renamed"])
def test_files_of_a_folder_that_come_go_or_are_replaced_are_seen(tmp_path: Path, change: str) -> None:
    (tmp_path / "a.yaml").write_text("a")
    (tmp_path / "b.yaml").write_text("b")
    before = seen([tmp_path])
    assert seen([tmp_path]) == before
    if change == "new":
        (tmp_path / "c.yaml").write_text("c")
    elif change == "gone":
        (tmp_path / "b.yaml").unlink()
    else:
        (tmp_path / "next").write_text("B")
        (tmp_path / "next").rename(tmp_path / "b.yaml")
    assert seen([tmp_path]) != before


def test_the_page_says_what_became_of_the_reading(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)

    async def go() -> list[tuple[int, Any]]:
        rereading, taken = rereading_of(file)
        answers = [await rereading.answer()]
        file.write_text(RULES % 7 + "nonsense: 1\n")
        answers.append(await rereading.answer())
        file.write_text(RULES % 8)
        answers.append(await rereading.answer())
        assert len(taken.versions) == 2
        return answers

    first, wrong, last = asyncio.run(go())
    assert (first[0], wrong[0], last[0]) == (200, 422, 200)
    assert "unknown key `nonsense`" in wrong[1]["problems"][0]
    assert last[1] == {"ok": True, "rules_version": load([file]).version}


def test_an_order_to_every_worker_is_obeyed_once_by_those_whose_files_say_so(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)

    async def go() -> tuple[list[str], list[str]]:
        rereading, taken = rereading_of(file)

        async def told(version: str, name: str) -> None:
            for _ in range(2):
                rereading.follow(RulesOrder(name, version, 1))
                while rereading._reading is not None:
                    await asyncio.wait([rereading._reading])

        rereading.follow(None)  # nobody had ordered anything at its start
        file.write_text(RULES % 7)
        wanted = load([file]).version
        await told(wanted, "one")
        assert taken.versions == [wanted]
        await told("another", "two")
        assert taken.versions == [wanted]
        problems = rereading._problems
        await told(wanted, "three")
        return taken.versions, problems

    versions, problems = asyncio.run(go())
    assert len(versions) == 2, "the same order once more confirms"
    assert "asks every worker for rules another" in problems[0]


def test_an_order_that_stood_at_the_start_is_not_obeyed_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES % 5)

    async def go() -> list[str]:
        rereading, taken = rereading_of(file)
        rereading.follow(RulesOrder("one", "another", 1))
        assert rereading._reading is None
        return taken.versions

    assert asyncio.run(go()) == []
    assert "go on with rules another" in caplog.text


def test_an_order_reads_back_as_itself_and_what_is_none_is_refused() -> None:
    order = RulesOrder("id", "v", 1, "kim", "why")
    assert rules_order_of(order.record().value) == order
    assert rules_order_of(None) is None
    with pytest.raises(ValueError, match="a record `rules` on control-global cannot be read"):
        rules_order_of(b"{}")
