"""Every kind of counter and every kernel is compared with something plain that says what it should give."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rules import kinds
from rules.kinds import KINDS, Kind

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
kinds.all_keys()  # those that ship register themselves

# Kinds without an oracle of their own: the reason.
EXEMPT_KINDS: dict[str, str] = {}
# Kernels without an oracle beside this file: the test that compares them with plain Python, or the kernels whose
# oracles cover them.
ELSEWHERE = {
    "conditions": "tests/unit/test_conditions.py",  # the oracle of expressions
    "fields": "tests/unit/test_decode.py",  # the exact decoder is the oracle
    "identity": "tests/unit/test_decode.py",
    "scan": "tests/unit/test_decode.py",
    "words": "tests/unit/test_decode.py",
    "lines": "tests/unit/test_replay.py",  # the exact reader of lines is the oracle
    "fetch": "tests/unit/test_native.py",  # confluent-kafka's messages are the oracle
    "texts": "tests/content/test_text_kernel.py",  # the exact reader is the oracle
    "text_numbers": "tests/content/test_text_kernel.py",
    "holds": "tests/unit/test_reference.py",  # the reference's ledger is the oracle
    "partition": "tests/kernels/test_partition.py",  # Kafka's own client is the oracle
    "dated": "tests/kernels/test_distinct.py",
    "sketch": "tests/kernels/test_distinct.py",
    "mixing": "tests/kernels/test_table.py",
    "table": "tests/unit/test_store.py",  # StoreOracle, of rows and their table together
}
# Neither counts nor decides: the words and hints to the processor that kernels are made of, and how they are compiled.
PARTS = {"__init__", "lanes", "prefetch", "options"}


def module_of(kind: Kind) -> str:
    return type(kind).__module__.rpartition(".")[2]


def names(path: Path) -> set[str]:
    """Modules and names that a file imports, and its decorators."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {node.module or ""}
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found |= {ast.unparse(d).partition("(")[0] for d in node.decorator_list}
    return found


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_is_compared_with_its_oracle_on_random_traffic(name: str) -> None:
    if name in EXEMPT_KINDS:
        pytest.skip(EXEMPT_KINDS[name])
    module = module_of(KINDS[name])
    assert (HERE / f"oracle_{module}.py").exists(), "write what the kind means in plain Python"
    test = names(HERE / f"test_{module}.py")
    assert f"tests.kernels.oracle_{module}" in test
    assert f"streams.counting.kinds.{module}" in test
    assert "given" in test, "some test draws its events"


@pytest.mark.parametrize("kernel", sorted(path.stem for path in (ROOT / "streams" / "kernels").glob("*.py")))
def test_every_kernel_has_something_plain_that_it_is_compared_with(kernel: str) -> None:
    compiled = "njit" in (ROOT / "streams" / "kernels" / f"{kernel}.py").read_text(encoding="utf-8")
    if kernel in PARTS:
        assert not compiled
    elif kernel in ELSEWHERE:
        assert "given" in names(ROOT / ELSEWHERE[kernel])
    else:
        assert (HERE / f"oracle_{kernel}.py").exists()
        assert f"tests.kernels.oracle_{kernel}" in names(HERE / f"test_{kernel}.py")


def test_every_oracle_is_asked() -> None:
    asked = set().union(*(names(path) for path in (ROOT / "tests").rglob("test_*.py")))
    assert [path.stem for path in HERE.glob("oracle_*.py") if f"tests.kernels.{path.stem}" not in asked] == []


def test_the_reference_counts_every_kind_too() -> None:
    """So that whole rules, and not the counters alone, are compared with plain Python."""
    from rules.load import load_text
    from tests.reference.rule_files import OTHER_FILES, RULE_FILES

    every = RULE_FILES | OTHER_FILES
    read = {c.kind for text in every.values() for rule in load_text(text).rules for c in rule.counters.values()}
    assert read == set(KINDS) - EXEMPT_KINDS.keys()
