"""`grayline rules diff`: the numbers that a change of rules hits or lets go, on recorded traffic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.cli import command
from streams.craft.side_by_side import side_by_side

AT_MS = 1_794_798_000_000  # 2026-11-16T03:00Z
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
    said = diff(tmp_path, lower, *options, "--show", "0", files=files).output
    assert said.index("KNOWN-GOOD NUMBERS that become blocked: 2") < said.index("become blocked: 3")
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
