"""Checks that spare a review: lengths, no clocks or chance where there must be none, topics' fields outside of their
table. What imports what, import-linter says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas import topics
from schemas.feeds import FEEDS

ROOT = Path(__file__).parents[2]
FUNCTION_MAX, MODULE_MAX = 70, 400  # lines

LONG_FUNCTIONS = {
    "streams/kernels/lines.py:read_line": "one loop over a line's fields, compiled whole; its steps are inlined anyway",
    "streams/cli/run.py:command": "two thirds are its options, one a line, and a function of click has them all",
}
LONG_MODULES: dict[str, str] = {}

# Rooms whose results hang on records and rules alone.
PURE = ("schemas", "rules", *(f"streams/{room}" for room in ("kernels", "ingest", "counting", "holds", "engine")))
CLOCKS = {"time", "random", "uuid", "secrets", "sched", "timeit"}  # modules
READINGS = {"now", "utcnow", "today", "urandom", "getrandom", "default_rng", "monotonic", "perf_counter", "uuid4"}
HANDED_ON = {"np.random", "numpy.random", "datetime.now", "datetime.utcnow", "date.today", "os.urandom"}

# Fields that say which topic a record is of: whoever names one knows topics by heart. `number` is a word of all rooms.
FIELDS = {
    name
    for feed in FEEDS.values()
    for name in (feed.id, feed.number, feed.peer)
    if name not in (None, "id", "number", "trap")
}
# Both make records and no decisions: a topic of other traffic is other code.
MAKERS = ("streams/traffic", "streams/demo")
NAMES_A_FIELD: dict[str, str] = {}
# Names that are nothing else; `control`, `reports`, `events` and `sum` are words as well.
TOPICS = {"message-relay", "cdr"}
TOPIC_CONSTANTS = {name for name, value in vars(topics).items() if name.isupper() and value in [*FEEDS]}
KINDS_NAMED = {"distinct", "concurrent", "gray"}


def modules(*folders: str) -> Iterator[tuple[str, ast.Module, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            yield path.relative_to(ROOT).as_posix(), ast.parse(source), source


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if (node.end_lineno or node.lineno) - node.lineno + 1 > FUNCTION_MAX:
                yield node.name


def clocks(tree: ast.Module) -> Iterator[str]:
    """Every import of a module that tells time or draws lots, and every call that may."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in CLOCKS)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from [module] if module.split(".")[0] in CLOCKS else []
            yield from (alias.name for alias in node.names if alias.name in READINGS | {"random"})
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in READINGS:
            yield ast.unparse(node.func)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in HANDED_ON:
            yield ast.unparse(node)


def named_fields(tree: ast.Module) -> Iterator[str]:
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in docs:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            yield from {text} & FIELDS


def named_rows(tree: ast.Module) -> Iterator[str]:
    """Topics and kinds of counter by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in (TOPICS | KINDS_NAMED):
            yield str(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in TOPIC_CONSTANTS:
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "schemas.topics":
            yield from (alias.name for alias in node.names if alias.name in TOPIC_CONSTANTS)


def test_no_function_is_longer_than_a_screen() -> None:
    found = {
        f"{path}:{name}" for path, tree, _ in modules("schemas", "rules", "streams") for name in long_functions(tree)
    }
    assert found == LONG_FUNCTIONS.keys(), "cut it, or say here why not; strike out what has become shorter"


def test_no_module_is_longer_than_it_can_be_read_in_one_go() -> None:
    found = {path for path, _, source in modules("schemas", "rules", "streams") if source.count("\n") > MODULE_MAX}
    assert found == LONG_MODULES.keys()


def test_no_clock_and_no_chance_is_in_the_rooms_whose_results_hang_on_records_alone() -> None:
    rooms = list(modules(*PURE))
    assert len(rooms) > 60
    assert {path: list(clocks(tree)) for path, tree, _ in rooms if list(clocks(tree))} == {}


def test_only_the_tables_name_the_fields_of_a_topic() -> None:
    assert {"sender", "caller", "recipient", "callee", "message_id", "call_id", "reporter"} <= FIELDS
    rooms = [room for room in modules("rules", "streams") if not room[0].startswith(MAKERS)]
    assert {path: set(named_fields(tree)) for path, tree, _ in rooms if set(named_fields(tree))} == NAMES_A_FIELD


def test_only_the_tables_and_their_rows_name_a_topic_or_a_kind() -> None:
    assert {"MESSAGE_RELAY", "CDR", "REPORTS", "TRAPS", "CONTROL"} <= TOPIC_CONSTANTS
    rooms = [
        room for room in modules("rules", "streams") if not room[0].startswith((*MAKERS, "streams/counting/kinds"))
    ]
    assert {path: set(named_rows(tree)) for path, tree, _ in rooms if set(named_rows(tree))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time", "import time as t", "from time import monotonic", "import random", "from numpy import random",
        "from uuid import uuid4", "import numpy as np\nnp.random.normal()", "datetime.now(UTC)", "date.today()",
        "os.urandom(8)", "clock = datetime.now", "rng = np.random.default_rng()", "def f():\n    import secrets",
    ],
)  # fmt: skip
def test_clocks_and_chance_are_noticed_however_they_come_in(source: str) -> None:
    assert list(clocks(ast.parse(source)))


def test_lengths_and_fields_are_noticed() -> None:
    body = "    x = 1\n"
    assert list(long_functions(ast.parse("async def f():\n" + body * FUNCTION_MAX))) == ["f"]
    assert list(long_functions(ast.parse("def f():\n" + body * (FUNCTION_MAX - 1)))) == []
    assert list(named_fields(ast.parse('"""A sender."""\nx = record["sender"]\ny = {b"callee": 1}'))) == [
        "sender", "callee",
    ]  # fmt: skip
    assert sorted(named_rows(ast.parse('if topic == "cdr" or counter.kind == "gray": topics.REPORTS'))) == [
        "cdr", "gray", "topics.REPORTS",
    ]  # fmt: skip
    assert list(named_rows(ast.parse("from schemas.topics import LEDGER, TRAPS"))) == ["TRAPS"]
