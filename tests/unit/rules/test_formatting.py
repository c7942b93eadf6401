"""`grayline rules fmt`: one form, comments kept, the same content, and a second time changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.document import Document
from rules.formatting import Unformatted, formatted
from rules.load import packs
from streams.cli.rules import command

BAD = sorted((Path(__file__).parents[1] / "bad_rules").glob("*.yaml"))
PACKS = [file for file in sorted(packs().rglob("*.yaml")) if not file.name.endswith(".test.yaml")]

CROOKED = """

# what this is
counters:
      rate: {on: cdr.setup,
         per: caller, count: events, window: 1m}   # a minute
      # above the next
      other:
            on: cdr.setup
            per: caller
            count: events
            window: 1m
rules:
-    name: one
     summary: a "quoted" text \t
     # why
     when: >-
         rate > 5
           and other > 3
     then: {block: [calls], for: 1d}
     mode: shadow
# about the second
- name: two
  summary: 'x # no comment'


  when: rate > 7
  then:
    block:
    - calls
    for: 1d
  mode: shadow
"""
STRAIGHT = """# what this is
counters:
  rate: {on: cdr.setup,
     per: caller, count: events, window: 1m}   # a minute
  # above the next
  other:
    on: cdr.setup
    per: caller
    count: events
    window: 1m

rules:
  - name: one
    summary: a "quoted" text
    # why
    when: >-
        rate > 5
          and other > 3
    then: {block: [calls], for: 1d}
    mode: shadow

  # about the second
  - name: two
    summary: 'x # no comment'

    when: rate > 7
    then:
      block:
        - calls
      for: 1d
    mode: shadow
"""


def test_a_crooked_file_is_straightened_with_its_comments() -> None:
    assert formatted(CROOKED) == STRAIGHT


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.name)
def test_the_shipped_packs_are_in_form(path: Path) -> None:
    assert formatted(path.read_text(), path.name) == path.read_text()


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_files_with_mistakes_keep_their_content_and_a_second_time_changes_nothing(path: Path) -> None:
    text = path.read_text()
    root = Document(path.name, text).root
    if root is None or root.kind != "mapping":
        with pytest.raises(Unformatted):
            formatted(text)
        return
    once = formatted(text)
    assert Document("a", once).root.plain() == Document("a", text).root.plain()  # type: ignore[union-attr]
    assert formatted(once) == once


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 7), st.sampled_from(["", "  # said", "\n\n", "\n# said\n", "   "])),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_the_layout_the_content_stays(parts: list[tuple[int, str]]) -> None:
    text = "rules:\n"
    for i, (indent, more) in enumerate(parts):
        text += f"{' ' * indent}- name: r{i}{more if not more.startswith(chr(10)) else ''}\n"
        text = text if not more.startswith("\n") else text + more + "\n"
        text += f"{' ' * indent}  when: 'a  >  {i}'\n"
    root = Document("a", text).root
    if root is None:
        return  # items at different columns are no list
    once = formatted(text)
    assert Document("a", once).root.plain() == root.plain()  # type: ignore[union-attr]
    assert formatted(once) == once
    assert once.count("# said") == text.count("# said")


def test_the_command_writes_checks_and_filters(tmp_path: Path) -> None:
    crooked, straight = tmp_path / "crooked.yaml", tmp_path / "straight.yaml"
    crooked.write_text(CROOKED)
    straight.write_text(STRAIGHT)

    def run(*arguments: str, **more: str) -> tuple[int, str]:
        result = CliRunner().invoke(command, ["fmt", *arguments], **more)
        return result.exit_code, result.output

    assert run("--check", str(tmp_path)) == (1, f"not in form: {crooked}\n")
    assert crooked.read_text() == CROOKED
    assert run("-", input=CROOKED) == (0, STRAIGHT)
    assert run(str(tmp_path)) == (0, f"formatted: {crooked}\n")
    assert crooked.read_text() == STRAIGHT
    assert run("--check", str(tmp_path)) == (0, "")
    crooked.write_text("a: {")
    assert run(str(crooked))[0] == 1
    assert crooked.read_text() == "a: {"
