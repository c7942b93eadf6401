"""ARCHITECTURE.md names what is there: files by whole paths, and every room on its floor."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def _rooms() -> list[str]:
    """In the order of the table of packages."""
    table = PAGE.partition("## Packages")[2].partition("## Decisions")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def _floors() -> list[set[str]]:
    """Bottom up, as import-linter holds them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    (packages,), (rooms,) = (
        [found for found in layers if ("streams" in found) == is_whole] for is_whole in (True, False)
    )
    below = [{name} for name in reversed(packages) if name != "streams"]
    return below + [{room.strip().replace(".", "/") for room in floor.split("|")} for floor in reversed(rooms)]


def test_every_file_and_folder_that_is_named_exists() -> None:
    named = set(re.findall(r"[\w./-]*\w\.py\b|\b(?:schemas|rules|streams|tests|docs)/[\w./-]*\w", PAGE))
    assert len(named) > 60
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_every_room_has_a_line_on_its_floor() -> None:
    rooms, floors = _rooms(), _floors()
    there = {f"streams/{path.parent.name}" for path in (ROOT / "streams").glob("*/__init__.py")} | {"schemas", "rules"}
    assert set(rooms) == there
    assert len(rooms) == len(there)
    heights = [next(height for height, floor in enumerate(floors) if room in floor) for room in rooms]
    assert heights == sorted(heights)


def test_every_decision_is_listed() -> None:
    decisions = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")}
    assert set(re.findall(r"\(docs/decisions/([\w-]+\.md)\)", PAGE)) == decisions
