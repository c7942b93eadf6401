"""Hand-computed conformance cases, as rule tests: what a replay must do, in order, for records in arrival order."""

from pathlib import Path

import pytest

from streams.captures.replay import Replay
from streams.craft.rule_test_file import read_tests
from streams.craft.rule_tests import RuleTest, lines_of, run_test
from streams.engine.engine import Engine

CASES = sorted(Path(__file__).parent.glob("*.test.yaml"))


def case(path: Path) -> RuleTest:
    (test,), _, diagnostics = read_tests(path)
    assert not diagnostics
    assert test.exact
    return test


def produced(test: RuleTest, batch_lines: int) -> list[tuple[str, bytes | None]]:
    out: list[tuple[str, bytes | None]] = []
    engine = Engine(test.rules, expire_by_clock=True)
    replay = Replay(engine, lambda record: out.append((record.topic, record.value)), batch_lines)
    replay.run(lines_of(test.records), "case")
    return out


def test_there_are_cases() -> None:
    assert len(CASES) >= 16


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_replay_does_the_hand_computed_changes(path: Path) -> None:
    assert run_test(case(path)).failures == ()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_where_epochs_end_changes_no_byte(path: Path) -> None:
    test = case(path)
    assert produced(test, 1) == produced(test, 2) == produced(test, 10_000)
