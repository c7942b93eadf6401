"""One word for one thing: class names, the glossary, and how docstrings begin."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "rules", "streams")

# Class names that stand in several modules, each with the reason.
SHARED_NAMES: dict[str, str] = {}

# A docstring says what a thing is or does; one that begins so makes its reader look for the subject.
QUESTIONS = ("What", "How", "Where", "Who", "Which", "Whether")


def _modules() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text("utf-8"))


def _terms() -> list[tuple[str, str]]:
    """(term, room) of each line of the glossary."""
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    assert all(len(row) == 3 and all(row) for row in rows)
    return [(term, room.strip("`")) for term, _, room in rows]


def test_each_class_name_is_used_once() -> None:
    homes: defaultdict[str, set[str]] = defaultdict(set)
    for path, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(str(path))
    shared = {name: sorted(paths) for name, paths in homes.items() if len(paths) > 1}
    assert {name: paths for name, paths in shared.items() if name not in SHARED_NAMES} == {}
    assert SHARED_NAMES.keys() <= shared.keys(), "a reason outlives its name"


def test_no_docstring_begins_with_a_question_word() -> None:
    found = [
        f"{path}:{node.body[0].lineno}"
        for path, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (ast.get_docstring(node) or "").split(maxsplit=1)[:1] in [[word] for word in QUESTIONS]
    ]
    assert found == []


def test_each_term_of_the_glossary_has_a_room_that_exists() -> None:
    terms = _terms()
    assert len(terms) > 50
    assert [(term, room) for term, room in terms if not (ROOT / room).exists()] == []


def test_the_glossary_is_in_order_and_names_each_term_once() -> None:
    keys = [re.sub(r"[^a-z0-9 ]", "", term.lower()) for term, _ in _terms()]
    assert keys == sorted(keys)
    assert len(set(_terms())) == len(keys)


def test_the_glossary_is_found_from_the_first_pages() -> None:
    for page in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        assert "(docs/glossary.md)" in (ROOT / page).read_text("utf-8"), page
