"""`grayline rules diff`: the numbers that a change of rules hits or lets go, on recorded traffic."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from rules.model import Rule
from streams.cli import command
from streams.craft.rule_changes import rule_changes
from streams.craft.side_by_side import side_by_side
from streams.craft.spread import Furthest, compared

AT_MS = 1_794_798_000_000  # 2026-11-16T03:00Z, noon in Seoul
DAY_MS = 86_400_000
RULES = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
  people: {on: message-relay, per: sender, distinct: recipient, window: 1h}
rules:
  - name: burst
    summary: many messages
    limits: {most: 6}
    when: rate >= most
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
  - name: spread
    summary: many people
    when: people >= 5
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: shadow
"""


def number(n: int) -> str:
    return f"+82101111000{n}"


def capture(folder: Path, counts: dict[int, int], name: str = "day.jsonl", at_ms: int = AT_MS) -> Path:
    """counts: by sender, the messages of a minute, each to somebody else."""
    lines = []
    for n, count in counts.items():
        for k in range(count):
            record = {
                "message_id": f"{name}-{n}-{k}", "at": at_ms + n * 100_000 + k * 1000, "sender": number(n),
                "verified": "full", "recipient": f"+82109990000{k}",
            }  # fmt: skip
            line = {"topic": "message-relay", "partition": 0, "ts": record["at"], "payload": json.dumps(record)}
            lines.append(json.dumps(line | {"offset": at_ms // DAY_MS * 1000 + len(lines)}))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def diff(folder: Path, new: str, *options: str, files: list[Path] | None = None, old: str = RULES) -> Result:
    (folder / "old.yaml").write_text(old)
    (folder / "new.yaml").write_text(new)
    files = files or [capture(folder, {1: 3, 2: 5, 3: 8})]
    given = ["rules", "diff", str(folder / "old.yaml"), str(folder / "new.yaml"), *map(str, files), *options]
    return CliRunner().invoke(command, given)


def found(folder: Path, new: str, *options: str, **more: Any) -> dict[str, Any]:
    said = diff(folder, new, "--json", "--unmasked", *options, **more)
    assert said.exit_code == 0, said.output
    out: dict[str, Any] = json.loads(said.output)
    return out


def numbers(moved: list[dict[str, Any]]) -> list[str]:
    return [one["number"] for one in moved]


def test_a_lower_limit_blocks_more_and_says_which_by_which_rule(tmp_path: Path) -> None:
    out = found(tmp_path, RULES.replace("most: 6", "most: 4"))
    enforce = out["modes"]["enforce"]
    assert numbers(enforce["new"]) == [number(2)]
    assert enforce["new"][0]["rule"] == "burst"
    assert enforce["new"][0]["other_version"] == ["shadow"]
    assert (enforce["before"], enforce["after"], enforce["lost"]) == (1, 2, [])
    assert enforce["by_rule"] == [{"rule": "burst", "before": 1, "after": 2, "new": 1, "lost": 0}]
    assert out["counts"]["new_blocks"] == 1
    assert out["rules"] == [{"rule": "burst", "kind": "changed", "details": ["limit most 6 -> 4"]}]


def test_a_higher_limit_lets_go(tmp_path: Path) -> None:
    out = found(tmp_path, RULES.replace("most: 6", "most: 9"))
    assert numbers(out["modes"]["enforce"]["lost"]) == [number(3)]
    assert out["counts"]["lost_blocks"] == 1


def test_a_number_that_stays_blocked_shows_its_other_time_and_reason(tmp_path: Path) -> None:
    sooner = found(tmp_path, RULES.replace("most: 6", "most: 5").replace("for: 7d", "for: 8d"))
    (changed,) = (one for one in sooner["changed"] if one["number"] == number(3))
    assert changed["from"]["after"] == changed["from"]["before"] - 1000
    assert changed["until"]["after"] - changed["from"]["after"] == 8 * DAY_MS
    other = found(tmp_path, RULES.replace("name: burst", "name: flood"))
    assert other["changed"] == [
        {"number": number(3), "known_good": None, "reason": {"before": "burst", "after": "flood"}}
    ]


def test_comments_order_and_the_version_that_they_change_are_no_difference(tmp_path: Path) -> None:
    spread = RULES.index("  - name: spread")
    rules = RULES.index("rules:\n") + len("rules:\n")
    turned = RULES[:rules] + "  # first\n" + RULES[spread:] + RULES[rules:spread]
    out = found(tmp_path, turned)
    assert (out["rules"], out["changed"]) == ([], [])
    assert not any(out["counts"][name] for name in ("new_blocks", "lost_blocks", "changed_rules"))
    assert diff(tmp_path, turned).output.startswith("rules: no difference")


@pytest.mark.parametrize(
    ("modes", "kind", "counts"),
    [
        (("shadow", "review"), "promoted", {"new_reviews": 2, "lost_shadows": 2, "new_blocks": 0}),
        (("review", "enforce"), "promoted", {"new_blocks": 1, "lost_reviews": 2}),
        (("enforce", "shadow"), "demoted", {"lost_blocks": 1, "new_shadows": 2}),
    ],
)
def test_a_promotion_is_one_word_and_shows(
    tmp_path: Path, modes: tuple[str, str], kind: str, counts: dict[str, int]
) -> None:
    before, after = (RULES.replace("mode: shadow", f"mode: {mode}") for mode in modes)
    out = found(tmp_path, after, old=before)
    assert out["rules"] == [{"rule": "spread", "kind": kind, "details": [f"mode {modes[0]} -> {modes[1]}"]}]
    assert {name: out["counts"][name] for name in counts} == counts


def test_known_good_numbers_of_a_file_and_of_the_registry_stand_on_top(tmp_path: Path) -> None:
    files = [capture(tmp_path, {1: 5, 2: 5, 3: 5})]
    (tmp_path / "good.txt").write_text("# hospitals\n010-1111-0003, Saint Mary\n")
    (tmp_path / "registry.yaml").write_text(
        f'entries:\n  - {{kind: institution, number: "{number(2)}", owner: A, reason: r, until: 1830000000000}}\n'
    )
    lower = RULES.replace("most: 6", "most: 4")
    options = ("--known-good", str(tmp_path / "good.txt"), "--registry", str(tmp_path / "registry.yaml"))
    out = found(tmp_path, lower, *options, files=files)
    new = out["modes"]["enforce"]["new"]
    assert [(one["number"], one["known_good"]) for one in new] == [
        (number(2), "A"), (number(3), "Saint Mary"), (number(1), None),
    ]  # fmt: skip
    assert out["counts"]["known_good_blocks"] == 2
    said = diff(tmp_path, lower, *options, "--show", "1", files=files).output
    assert said.index("KNOWN-GOOD NUMBERS that become blocked: 2") < said.index("\nbecome blocked: 3")
    assert "  and 2 more" in said
    hidden = diff(tmp_path, lower, *options, "--show", "0", files=files).output
    assert "KNOWN-GOOD NUMBERS that become blocked: 2" in hidden
    assert "\nbecome blocked" not in hidden
    assert "[known good: Saint Mary]" in said


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("new_blocks > 0", 1), ("new_blocks > 1", 0), ("new_blocks >= 1 and lost_blocks == 0", 1),
        ("new_blocks > 0.5 * blocks_after", 0), ("lost_blocks > 0", 0),
    ],
)  # fmt: skip
def test_a_condition_over_the_counts_fails_the_command(tmp_path: Path, condition: str, code: int) -> None:
    said = diff(tmp_path, RULES.replace("most: 6", "most: 4"), "--fail-if", condition)
    assert said.exit_code == code, said.output
    assert ("failed: " in said.output) == bool(code)


@pytest.mark.parametrize("condition", ["new_bloks > 1", "new_blocks", "__import__('os')", "new_blocks > "])
def test_a_condition_that_is_none_is_wrong_use(tmp_path: Path, condition: str) -> None:
    said = diff(tmp_path, RULES, "--fail-if", condition)
    assert said.exit_code == 2
    assert "counts are new_blocks, lost_blocks" in said.output


def test_many_files_and_days_give_a_result_for_each_day(tmp_path: Path) -> None:
    files = [
        capture(tmp_path, {1: 5}, "1.jsonl", AT_MS),
        capture(tmp_path, {2: 5, 3: 8}, "2.jsonl", AT_MS + DAY_MS),
    ]
    out = found(tmp_path, RULES.replace("most: 6", "most: 4"), "--zone", "Asia/Seoul", files=files)
    assert out["days"] == [
        {"day": "2026-11-16", "before": 0, "after": 1, "new": 1, "lost": 0},
        {"day": "2026-11-17", "before": 1, "after": 2, "new": 1, "lost": 0},
    ]
    far_west = found(tmp_path, RULES.replace("most: 6", "most: 4"), "--zone", "Pacific/Honolulu", files=files)
    assert [row["day"] for row in far_west["days"]] == ["2026-11-15", "2026-11-16"]


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    capture(tmp_path / "days", {1: 5}, "1.jsonl", AT_MS)
    capture(tmp_path / "days", {2: 5}, "2.jsonl", AT_MS + DAY_MS)
    out = found(tmp_path, RULES.replace("most: 6", "most: 4"), files=[tmp_path / "days"])
    assert out["counts"]["new_blocks"] == 2


def test_numbers_are_masked_unless_asked_for(tmp_path: Path) -> None:
    lower = RULES.replace("most: 6", "most: 4")
    for options in ((), ("--json",)):
        said = diff(tmp_path, lower, *options).output
        assert "+8210****0002" in said
        assert number(2) not in said
    assert number(2) in diff(tmp_path, lower, "--unmasked").output


def test_rules_with_mistakes_and_files_that_are_not_there_end_in_words(tmp_path: Path) -> None:
    wrong = diff(tmp_path, RULES.replace("rate >= most", "rat >= most"))
    assert wrong.exit_code == 1
    assert "unknown name `rat`" in wrong.output
    missing = CliRunner().invoke(command, ["rules", "diff", "shipped", "nowhere.yaml", str(tmp_path / "old.yaml")])
    assert missing.exit_code == 2
    assert "nowhere.yaml: no such file" in missing.output


def test_an_error_in_either_process_is_the_commands_error(tmp_path: Path) -> None:
    def fail() -> int:
        raise ValueError("here it is")

    with pytest.raises(ValueError, match="here it is"):
        side_by_side(fail, lambda: 1)
    with pytest.raises(ValueError, match="here it is"):
        side_by_side(lambda: 1, fail)
    assert side_by_side(lambda: "there", lambda: "here") == ("there", "here")


# ----------------------------------------------------------------------------------------------------- the page


def page(folder: Path, new: str, *options: str, **more: Any) -> str:
    said = diff(folder, new, "--html", str(folder / "diff.html"), *options, **more)
    assert said.exit_code == 0, said.output
    return (folder / "diff.html").read_text()


def test_the_page_shows_limits_in_what_was_read_and_blocks_by_hour(tmp_path: Path) -> None:
    text = page(tmp_path, RULES.replace("most: 6", "most: 4"))
    for svg in re.findall(r"<svg.*?</svg>", text):
        ElementTree.fromstring(svg)  # well-formed
    assert "burst: each number&#x27;s largest rate" in text
    assert re.search(r">before</text>.*>after</text>|>after</text>.*>before</text>", text)
    assert "3 numbers" in text
    assert "11-16 03:00: before 1" in text
    assert "11-16 03:00: after 2" in text
    assert "spread" not in text.partition("Numbers by rule")[0].partition("each number")[2]


def test_the_page_loads_nothing_runs_nothing_and_escapes_what_it_is_told(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    (tmp_path / "good.txt").write_text(f"{number(2)}, {evil}\n")
    new = RULES.replace("most: 6", "most: 4").replace("many messages", f"'{evil}\"&'")
    text = page(tmp_path, new, "--known-good", str(tmp_path / "good.txt"))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text
    assert not re.search(r"(?:href|src|srcset)=|url[(]", text)
    assert number(2) not in text


def test_a_page_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    said = diff(tmp_path, RULES, "--html", str(tmp_path / "nowhere" / "diff.html"))
    assert said.exit_code == 1
    assert "cannot be written" in said.output


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 100) | st.just(float("nan"))), max_size=60),
    st.booleans(),
    st.integers(1, 7),
)
def test_a_numbers_furthest_value_is_its_largest_or_smallest(
    seen: list[tuple[int, float]], is_up: bool, batch: int
) -> None:
    furthest = Furthest(is_up)
    for i in range(0, len(seen), batch):
        part = seen[i : i + batch]
        furthest.add(np.array([n for n, _ in part], np.int64), np.array([v for _, v in part], np.float64))
    plain: dict[int, list[float]] = {}
    for n, value in seen:
        if value == value:
            plain.setdefault(n, []).append(value)
    assert furthest.values().tolist() == [(max if is_up else min)(plain[n]) for n in sorted(plain)]


def test_limits_are_found_in_the_conditions_that_compare_counters_with_them() -> None:
    text = """
hours:
  night: {location: Asia/Seoul, times: [{start_time: "00:00", end_time: "06:00"}]}
counters:
  gray: {on: cdr.setup, per: caller, gray: {short: 1m, long: 6h}}
  people: {on: cdr.setup, per: caller, distinct: callee, window: 1h}
rules:
  - name: dialler
    summary: s
    limits: {level: {always: 30, night: 12}, share: 0.5}
    when: gray.short + gray.long > 2 * level and 8 >= share * 4 + people and people >= 5 and people < level
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: enforce
"""
    rule = load_text(text).rules[0]
    found = [(one.text, one.is_up, one.bounds(rule)) for one in compared(rule)]
    assert found == [
        ("gray.short + gray.long", True, [("", 60.0), ("night", 24.0)]),
        ("people", False, [("", 30.0), ("night", 12.0)]),
    ]


def test_the_page_about_tuning_names_every_count() -> None:
    from streams.craft.diff import COUNTS

    text = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text("utf-8")
    assert [name for name in COUNTS if f"`{name}`" not in text] == []


def otherwise(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1000
    if isinstance(value, tuple):
        return (*value, "other")
    return {} if isinstance(value, dict) else "review"


@pytest.mark.parametrize("name", [each.name for each in fields(Rule) if each.name not in ("name", "file", "line")])
def test_a_change_of_any_part_of_a_rule_is_a_difference(name: str) -> None:
    """Of parts that come later, too."""
    rules = load_text(RULES)
    when = load_text(RULES.replace("rate >= most", "rate > most")).rules[0].when
    other = when if name == "when" else otherwise(getattr(rules.rules[0], name))
    changed = replace(rules, rules=(replace(rules.rules[0], **{name: other}), rules.rules[1]))
    (change,) = rule_changes(rules, changed)
    assert len(change.details) == 1
    assert " -> " in change.details[0] or name == "counters"


@pytest.mark.parametrize("action", ["release", "suspend"])
def test_a_hold_that_an_order_ended_ends_with_it(tmp_path: Path, action: str) -> None:
    file = capture(tmp_path, {3: 8})
    order = {
        "id": "o1", "at": AT_MS + 400_000, "number": number(3), "action": action, "operator": "kim", "reason": "r",
    }  # fmt: skip
    line = {"topic": "control", "partition": 0, "offset": 0, "ts": order["at"], "payload": json.dumps(order)}
    file.write_text(file.read_text() + json.dumps(line) + "\n")
    out = found(tmp_path, RULES.replace("name: burst", "name: flood").replace("for: 7d", "for: 8d"), files=[file])
    (changed,) = out["changed"]
    assert changed.keys() == {"number", "known_good", "reason"}, "both ended with the order"


def test_records_that_are_skipped_are_told(tmp_path: Path) -> None:
    file = capture(tmp_path, {1: 5})
    twice = [file, tmp_path / "again.jsonl"]
    twice[1].write_bytes(file.read_bytes())
    said = diff(tmp_path, RULES, files=twice)
    assert (
        "warning: 5 of 10 records were skipped: their topic, partition and offset had been read before" in said.output
    )
