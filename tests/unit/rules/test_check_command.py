"""`grayline rules check`: what it prints beside the diagnostics."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rules.load import packs
from streams.cli.rules import command

RULE = """
  - name: {name}
    summary: a test's own
    when: rate > 5
    then: {{block: [calls], directions: [outgoing], for: 7d}}
    mode: {mode}
"""


def check(path: Path, *names: str, mode: str = "shadow") -> tuple[int, str]:
    counters = "counters:\n  rate: {on: cdr.setup, per: caller, count: events, window: 1m}\nrules:"
    path.write_text(counters + "".join(RULE.format(name=name, mode=mode) for name in names))
    result = CliRunner().invoke(command, ["check", str(path)])
    return result.exit_code, result.output.splitlines()[-1]


def test_one_rule_is_counted_in_the_singular(tmp_path: Path) -> None:
    code, last = check(tmp_path / "rules.yaml", "a")
    assert (code, last.split(", version")[0]) == (0, "1 rule")


@pytest.mark.parametrize(("names", "says"), [(["a"], "1 error"), (["a", "b"], "2 errors")])
def test_errors_are_counted_and_end_with_code_1(tmp_path: Path, names: list[str], says: str) -> None:
    assert check(tmp_path / "rules.yaml", *names, mode="loud") == (1, says)


def test_without_a_path_the_shipped_packs_and_lexicons_are_checked() -> None:
    shipped, named = (CliRunner().invoke(command, ["check", *args]) for args in ([], [str(packs())]))
    assert shipped.exit_code == 0
    lexicon, rest = shipped.output.split("\n", 1)
    assert lexicon.startswith("lexicon: ")
    assert rest == named.output


def test_a_lexicon_is_checked_together_with_those_that_ship(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("words:\n  mum: [마더]\nimpostures:\n  relative:\n    - {words: [mum, phnoe]}\n")
    wrong = CliRunner().invoke(command, ["check", "--lexicon", str(own)])
    assert wrong.exit_code == 1
    assert "`phnoe` is not a valid word or group" in wrong.output
    own.write_text("words:\n  mum: [마더]\n")
    assert CliRunner().invoke(command, ["check", "--lexicon", str(own)]).exit_code == 0


def test_files_of_protected_numbers_are_checked_beside_the_rules(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text('numbers: ["02-123-4567"]\nprefixes: []\n')
    right = CliRunner().invoke(command, ["check", "--protected", str(own)])
    assert (right.exit_code, right.output.splitlines()[0].split(":")[0]) == (0, "protected")
    own.write_text('prefixes: ["1588"]\n')
    wrong = CliRunner().invoke(command, ["check", "--protected", str(own)])
    assert (wrong.exit_code, wrong.output.splitlines()[-1]) == (1, "1 error")
    assert "a prefix must be international" in wrong.output
