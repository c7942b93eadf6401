"""`grayline rules tune`: one pass over the traffic gives for every value what a rule file with that value does."""

from __future__ import annotations

import json
import re
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from streams.cli import command
from streams.craft.recorded import Recorded
from streams.craft.standing import Decided
from streams.craft.tune import Setting, settings_of, sweep, values_of
from streams.traffic.labels import Label, write_labels
from tests.reference.reference import Line
from tests.reference.small_traffic import kcat_line, traffic
from tests.unit.test_rules_diff import AT_MS, DAY_MS, capture, number

RULES = """
hours:
  evening: {location: Asia/Seoul, times: [{start_time: "18:00", end_time: "24:00"}]}
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
  people: {on: message-relay, per: sender, distinct: recipient, window: 1h}
rules:
  - name: burst
    summary: many messages
    limits: {most: {always: 6, evening: 3}, few: 2}
    when: rate >= most and people >= few
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: shadow
  - name: other
    summary: blocks everybody
    when: rate >= 1
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
"""


def label(n: int, innocent: bool, events: int = 20) -> Label:
    return Label(number(n), "shop" if innocent else "crook", innocent, AT_MS + n * 100_000, events)


def tune(folder: Path, *options: str, files: list[Path] | None = None, rules: str = RULES) -> Result:
    """Offenders send 5, 7 and 9 messages, an innocent 8, and one that nobody labelled 8."""
    (folder / "rules.yaml").write_text(rules)
    write_labels(folder / "labels.jsonl", [label(1, False), label(2, False), label(3, False), label(4, True)])
    files = files or [capture(folder, {1: 5, 2: 7, 3: 9, 4: 8, 5: 8})]
    given = ["--rules", str(folder / "rules.yaml"), "--labels", str(folder / "labels.jsonl")]
    return CliRunner().invoke(command, ["rules", "tune", "burst", *given, *options, *map(str, files)])


def found(folder: Path, *options: str, **more: Any) -> dict[str, Any]:
    said = tune(folder, "--json", *options, **more)
    assert said.exit_code == 0, said.output
    out: dict[str, Any] = json.loads(said.output)
    return out


def test_each_value_has_its_offenders_innocents_and_contacts(tmp_path: Path) -> None:
    (most,) = found(tmp_path, "--limit", "most=5:9:2")["limits"]
    rows = [
        (one["value"], one["caught"], one["innocents"], one["unknown"], one["contacts_median"], one["is_own"])
        for one in most["settings"]
    ]
    assert rows == [
        (5.0, 3, 1, 1, 5, False), (6.0, 2, 1, 1, 6, True), (7.0, 2, 1, 1, 7, False), (9.0, 1, 0, 0, 9, False),
    ]  # fmt: skip
    assert most["settings"][0]["caught_by_kind"] == {"crook": 3}
    assert most["settings"][0]["seconds_median"] == 4.0


def test_it_says_where_the_files_own_value_stands(tmp_path: Path) -> None:
    (most,) = found(tmp_path, "--limit", "most=5,9")["limits"]
    assert most["better"] == [5.0]
    assert most["standing"] == "most 6 catches 2 and hits 1 innocent; most 5 catches 3 and hits 1 innocent"
    (most,) = found(tmp_path, "--limit", "most=7,9")["limits"]
    assert most["standing"].endswith("no other value here is better in one thing and worse in none")
    said = tune(tmp_path, "--limit", "most=5,9").output
    assert re.search(r"^ +6 +2 +67% +1 .*<- as the file has it$", said, re.M)


def test_without_a_limit_all_of_the_rule_are_swept_around_their_own_values(tmp_path: Path) -> None:
    out = found(tmp_path)
    assert [one["limit"] for one in out["limits"]] == ["most", "few"]
    assert [one["value"] for one in out["limits"][0]["settings"]] == [3, 4, 5, 6, 7, 8, 10, 12, 18]


def test_inside_hours_a_limit_is_changed_in_proportion(tmp_path: Path) -> None:
    evening = [capture(tmp_path, {1: 5, 2: 7}, at_ms=AT_MS + 8 * 3_600_000)]
    (most,) = found(tmp_path, "--limit", "most=6,12", files=evening)["limits"]
    assert [(one["value"], one["contacts_median"]) for one in most["settings"]] == [(6.0, 3), (12.0, 6)]


def test_many_days_give_a_result_for_each(tmp_path: Path) -> None:
    files = [
        capture(tmp_path, {1: 7}, "1.jsonl"), capture(tmp_path, {2: 7, 4: 9}, "2.jsonl", AT_MS + DAY_MS),
    ]  # fmt: skip
    (most,) = found(tmp_path, "--limit", "most=6", files=files)["limits"]
    assert most["settings"][0]["days"] == [
        {"day": "2026-11-16", "caught": 1, "innocents": 0},
        {"day": "2026-11-17", "caught": 1, "innocents": 1},
    ]
    assert re.search(r"^2026-11-17 +1 +1$", tune(tmp_path, "--limit", "most=6", files=files).output, re.M)


def test_who_is_protected_or_allowed_is_not_blocked(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f'numbers: ["{number(4)}"]\n')
    (tmp_path / "registry.yaml").write_text(
        f'entries:\n  - {{kind: allowed, number: "{number(3)}", owner: A, reason: r, until: 1830000000000}}\n'
    )
    options = ("--protected", str(tmp_path / "own.yaml"), "--registry", str(tmp_path / "registry.yaml"))
    (most,) = found(tmp_path, "--limit", "most=6", *options)["limits"]
    own = most["settings"][0]
    assert (own["caught"], own["innocents"], own["review"]) == (1, 0, 1)


def test_the_picture_shows_each_value_and_runs_nothing(tmp_path: Path) -> None:
    said = tune(tmp_path, "--limit", "most=5,9", "--html", str(tmp_path / "sweep.html"))
    assert said.exit_code == 0, said.output
    text = (tmp_path / "sweep.html").read_text()
    assert text.count("<circle") == 3
    assert "<script" not in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--limit", "mos=1"], 2, "choose from most, few"),
        (["--limit", "most=a"], 2, "FROM:TO:STEP"),
        (["--limit", "most=1:9:0"], 2, "FROM:TO:STEP"),
        (["--zone", "Nowhere"], 2, "no such time zone"),
        (["--zone", "Asia"], 2, "no such time zone"),
    ],
)
def test_slips_are_said(tmp_path: Path, options: list[str], code: int, words: str) -> None:
    said = tune(tmp_path, *options)
    assert said.exit_code == code
    assert words in said.output


def test_a_line_that_is_no_label_is_said_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n")
    said = tune(tmp_path, "--labels", str(tmp_path / "bad.jsonl"))
    assert said.exit_code == 1
    assert "bad.jsonl:1: not a label" in said.output


def test_a_range_has_its_end() -> None:
    assert list(values_of("1:2:0.1"))[-1] == 2.0
    assert list(values_of("3,1")) == [3.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(lines=traffic(), values=st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True))
def test_every_value_blocks_what_a_file_with_it_blocks(
    lines: list[Line], values: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against whole runs, on drawn traffic with unvouched, late and double records."""
    file = tmp_path_factory.mktemp("drawn") / "drawn.jsonl"
    file.write_bytes(b"\n".join(kcat_line(line) for line in lines) + b"\n")
    text = RULES.replace("most: {always: 6, evening: 3}", "most: VALUE").partition("  - name: other")[0]
    rules, recorded = load_text(text.replace("VALUE", "6")), Recorded((file,))
    asked = settings_of(rules.rules[0], {"most": [float(value) for value in values]})
    labels = [Label(f"+{n}", "crook", False, 0, 20) for n in range(821011110000, 821011110004)]
    labels += [Label("+827011110003", "crook", False, 0, 20), Label("+12025550123", "crook", False, 0, 20)]
    known = {one.number for one in labels}
    swept = sweep(recorded, rules, rules.rules[0], labels, asked, UTC)
    for outcome in swept.outcomes:
        decided = Decided()
        made = load_text(text.replace("VALUE", f"{outcome.setting.value:g}").replace("mode: shadow", "mode: enforce"))
        recorded.run(recorded.trial(made, decided.take))
        blocked = decided.by_mode["enforce"].keys()
        assert outcome.caught_count == len(blocked & known)
        assert outcome.unknown == len(blocked - known)
        assert outcome.reviews == len(decided.by_mode["review"].keys() - blocked)


def test_a_limit_of_nothing_is_replaced_and_not_multiplied() -> None:
    rule = load_text(RULES.replace("few: 2", "few: 0")).rules[0]
    assert Setting("few", 3.0, False).factor(rule.limits["few"]) == 1.0
