"""Hostile rule files are refused by their size, depth or shape, before they can cost anything."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rules.document import BYTES_MAX, DEPTH_MAX
from rules.load import check, check_texts
from streams.cli.rules import command

HEAD = "counters:\n  rate: {on: cdr.setup, per: caller, count: events, window: 1m}\nrules:\n"
THEN = "{block: [calls], for: 1d, directions: [outgoing]}"
RULE = f"  - {{name: a, summary: s, when: 'WHEN', then: {THEN}, mode: shadow}}\n"


def said(text: str) -> list[str]:
    rules, diagnostics = check_texts([("a.yaml", text)])
    assert rules is None
    return [d.message for d in diagnostics]


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert said(bomb) == ["anchors and aliases are not allowed"]


@pytest.mark.parametrize("brackets", ["[" * 10_000, "{a: " * 10_000, "- " * 10_000, "[" * 10_000 + "]" * 10_000])
def test_ten_thousand_nested_brackets_are_refused_at_the_twenty_first(brackets: str) -> None:
    assert said(brackets) == [f"nested more than {DEPTH_MAX} deep"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("(" * 10_000 + "rate > 1" + ")" * 10_000, "when: longer than 2000 characters"),
        ("(" * 900 + "rate > 1" + ")" * 900, "when: cannot be parsed: nested too deeply"),
        ("not " * 300 + "rate > 1", "when: nested 302 deep; the most is 40"),
        ("-" * 900 + "rate > 1", "when: cannot be parsed: nested too deeply"),
        (" and ".join(["rate>1"] * 180), "when: 541 parts; the most is 500"),
    ],
)
def test_a_condition_has_a_length_a_depth_and_a_number_of_parts(condition: str, message: str) -> None:
    found = said(HEAD + RULE.replace("WHEN", condition))
    assert len(found) == 1
    assert found[0].split(": ")[0] == message.split(": ")[0]


class Endless(io.RawIOBase):
    """Gives zeros without end, and notes how many were asked for."""

    given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "all of an endless file"
        self.given += size
        return b"#" * size


def test_no_more_of_a_file_is_read_than_a_rule_file_may_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    endless = Endless()

    class Input:
        buffer = endless

    monkeypatch.setattr(sys, "stdin", Input())
    rules, diagnostics = check([Path("-")])
    assert rules is None
    assert [d.message for d in diagnostics] == [f"larger than {BYTES_MAX:,} bytes"]
    assert endless.given == BYTES_MAX + 1
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(10_000_000)
    assert [d.message for d in check([large])[1]] == [f"larger than {BYTES_MAX:,} bytes"]


def test_rules_are_checked_from_standard_input() -> None:
    good, bad = (HEAD + RULE.replace("WHEN", f"{name} > 1") for name in ("rate", "rat"))
    assert CliRunner().invoke(command, ["check", "-"], input=good).exit_code == 0
    result = CliRunner().invoke(command, ["check", "-"], input=bad)
    assert result.exit_code == 1
    assert result.output.startswith("standard input:4:")


def test_a_strict_check_ends_with_code_1_on_warnings() -> None:
    never = HEAD + RULE.replace("WHEN", "rate > 3 and rate < 1")
    assert CliRunner().invoke(command, ["check", "-"], input=never).exit_code == 0
    assert CliRunner().invoke(command, ["check", "--strict", "-"], input=never).exit_code == 1
