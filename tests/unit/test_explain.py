"""`grayline rules explain`: what the rules made of one number, to the value and the condition that was missing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streams.cli import command

AT_MS = 1_794_798_000_000  # 2026-11-16T03:00Z, a Monday, noon in Seoul
BUSY, CALM, HOSPITAL = "+821011110001", "+821011110002", "+82215880001"
RULES = """
hours:
  concentrated: {location: Asia/Seoul, weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "18:00"}]}
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
  people: {on: message-relay, per: sender, distinct: recipient, window: 1h}
  calls: {on: cdr.setup, per: caller, count: events, window: 1h}
rules:
  - name: burst
    summary: many messages
    limits: {most: {always: 9, concentrated: 4}}
    when: rate >= most and (people >= 3 or sender_type == "voip")
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: MODE
  - name: dialler
    summary: many calls
    when: calls >= 10
    then: {block: [calls], directions: [outgoing], for: 7d}
    mode: enforce
"""


def message(n: int, sender: str, recipient: int = 0, **more: Any) -> tuple[str, dict[str, Any]]:
    told = {"message_id": f"{sender}-{n}", "at": AT_MS + n * 1000, "sender": sender, "verified": "full"}
    return "message-relay", told | {"recipient": f"+82109990000{recipient}"} | more


def explain(
    folder: Path, records: Iterable[tuple[str, dict[str, Any]]], number: str, *options: str, mode: str = "enforce"
) -> Result:
    (folder / "rules.yaml").write_text(RULES.replace("MODE", mode))
    lines = [
        json.dumps({"topic": topic, "partition": 0, "offset": n, "ts": record["at"], "payload": json.dumps(record)})
        for n, (topic, record) in enumerate(records)
    ]
    (folder / "day.jsonl").write_text("\n".join(lines) + "\n")
    return CliRunner().invoke(
        command,
        ["rules", "explain", number, "--rules", str(folder / "rules.yaml"), *options, str(folder / "day.jsonl")],
    )


def traffic() -> list[tuple[str, dict[str, Any]]]:
    """Five messages of one sender to four people, three of another to one."""
    busy = [message(n, BUSY, n % 4) for n in range(5)]
    return sorted([*busy, *(message(n, CALM) for n in range(3))], key=lambda one: one[1]["at"])


def test_a_block_is_explained_at_its_first_firing_with_values_windows_and_the_limit_in_force(tmp_path: Path) -> None:
    said = explain(tmp_path, traffic(), "010-1111-0001")
    assert said.exit_code == 0, said.output
    assert said.output.startswith("+8210****0001: 5 events, 2026-11-16T03:00:00.000Z to 2026-11-16T03:00:04.000Z")
    assert "2026-11-16T03:00:03.000Z  opened burst (enforce) until 2026-11-23T03:00:03.000Z" in said.output
    assert "fired twice" not in said.output
    assert "fired 2 times in 5 looks, first at 2026-11-16T03:00:03.000Z; blocks" in said.output
    assert "rate 4 >= most 4 (concentrated) and (people 4 >= 3 or sender_type \"mobile\" == 'voip')" in said.output
    assert "counters: people 4 in 1h, rate 4 in 1m" in said.output
    assert "limits: most 4 in concentrated; 9 outside" in said.output
    assert "missing" not in said.output
    assert "Did not look, since no event is one of theirs: dialler" in said.output


def test_a_number_that_was_not_blocked_shows_each_failing_condition_and_by_how_much(tmp_path: Path) -> None:
    said = explain(tmp_path, traffic(), CALM)
    assert "Decided: nothing" in said.output
    assert "did not fire in 3 looks" in said.output
    missing = said.output.partition("    missing:\n")[2].splitlines()
    assert missing[:4] == [
        "      rate 3 >= most 4 (concentrated): 1 too low",
        "      people 1 >= 3 or sender_type \"mobile\" == 'voip'",
        "        people 1 >= 3: 2 too low",
        "        sender_type \"mobile\" == 'voip'",
    ]


def test_outside_the_hours_the_other_limit_is_in_force_and_shown(tmp_path: Path) -> None:
    evening = [
        (topic, record | {"at": record["at"] + 9 * 3_600_000})
        for topic, record in traffic()
        if record["sender"] == BUSY
    ]
    said = explain(tmp_path, evening, BUSY)
    assert "limits: most 9 now; 4 in concentrated" in said.output
    assert "rate 5 >= most 9: 4 too low" in said.output


def test_as_of_a_time_the_last_look_up_to_it_is_shown_and_nothing_later(tmp_path: Path) -> None:
    said = explain(tmp_path, traffic(), BUSY, "--at", "2026-11-16T12:00:02+09:00")
    assert "3 events" in said.output
    assert "Decided: nothing" in said.output
    assert "rate 3 >= most 4 (concentrated): 1 too low" in said.output


def test_each_reading_is_explained_when_some_events_are_not_vouched_for(tmp_path: Path) -> None:
    records = [message(n, BUSY, n % 4, verified="none" if n % 2 else "full") for n in range(8)]
    said = explain(tmp_path, records, BUSY, "--json")
    rules = {(one["rule"], one["reading"]): one for one in json.loads(said.output)["rules"]}
    assert rules["burst", "all"]["becomes"] == "review"
    assert rules["burst", "all"]["fired"] == 5
    assert rules["burst", "vouched"]["fired"] == 0
    assert rules["burst", "vouched"]["counters"][1] == {
        "counter": "rate", "value": 4.0, "window": "1m", "as_of": AT_MS + 6000,
    }  # fmt: skip
    assert [one["mode"] for one in json.loads(said.output)["decisions"]] == ["review"]


@pytest.mark.parametrize("mode", ["review", "shadow"])
def test_the_mode_says_what_a_firing_becomes(tmp_path: Path, mode: str) -> None:
    said = explain(tmp_path, traffic(), BUSY, mode=mode)
    assert f"opened burst ({mode})" in said.output
    assert {"review": "goes to review", "shadow": "blocks nobody"}[mode] in said.output


def test_a_protected_number_says_that_nothing_blocks_it(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f'numbers: ["{BUSY}"]\n')
    said = explain(tmp_path, traffic(), BUSY, "--protected", str(tmp_path / "own.yaml"))
    assert said.exit_code == 0, said.output
    assert "never blocked: the number is protected: nothing blocks it" in said.output
    assert "blocks nobody: the number is protected" in said.output


def test_a_number_on_the_allow_list_goes_to_review(tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text(
        f'entries:\n  - {{kind: allowed, number: "{BUSY}", owner: C, reason: known, until: 2027-01-01T00:00:00Z}}\n'
    )
    said = explain(tmp_path, traffic(), BUSY, "--registry", str(tmp_path / "registry.yaml"))
    assert said.exit_code == 0, said.output
    assert "goes to review: the number is on the allow list" in said.output
    assert "opened burst (review) until 2026-11-23T03:00:03.000Z [allow_listed]" in said.output


def test_an_order_that_stands_against_a_rule_is_told(tmp_path: Path) -> None:
    """A verdict of the desk before the traffic: the rule fires, and nothing comes of it."""
    shared = {"number": BUSY, "operator": "kim", "reason": "a clinic"}
    first = message(0, BUSY, mode="review")
    review = [first, *(message(n, BUSY, n % 4) for n in range(1, 5))]
    reject = ("control", {"id": "o1", "at": AT_MS + 6000, "action": "reject", "until": AT_MS + 864_000_000} | shared)
    later = [message(n + 20, BUSY, n % 4) for n in range(5)]
    said = explain(tmp_path, [*review, reject, *later], BUSY, mode="review")
    assert said.exit_code == 0, said.output
    assert "order reject obeyed: a clinic" in said.output


def test_a_number_without_events_is_said_to_have_none(tmp_path: Path) -> None:
    said = explain(tmp_path, traffic(), HOSPITAL)
    assert said.exit_code == 1
    assert "has no event in" in said.output
    assert HOSPITAL not in said.output


def test_the_number_is_in_full_only_when_asked_for(tmp_path: Path) -> None:
    assert BUSY not in explain(tmp_path, traffic(), BUSY, "--json").output
    assert BUSY in explain(tmp_path, traffic(), BUSY, "--unmasked").output


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--at", "noon"], "RFC 3339"), (["--rule", "brust"], "no such rule"), (["--topic", "sms"], "no such topic")],
)
def test_slips_in_options_are_wrong_use(tmp_path: Path, options: list[str], words: str) -> None:
    said = explain(tmp_path, traffic(), BUSY, *options)
    assert said.exit_code == 2
    assert words in said.output


def test_many_days_give_looks_and_firings_of_each(tmp_path: Path) -> None:
    evening = AT_MS + 11 * 3_600_000  # 23:00 in Seoul
    days = [message(n, BUSY, n % 4, at=evening + n * 720_000 + n * 1000) for n in range(10)]
    days += [message(n + 20, BUSY, n % 4, at=AT_MS + 86_400_000 + n * 1000) for n in range(5)]
    told = json.loads(explain(tmp_path, days, BUSY, "--json").output)["rules"][0]
    assert told["days"] == [
        {"day": "2026-11-16", "looks": 5, "fired": 0}, {"day": "2026-11-17", "looks": 10, "fired": 2},
    ]  # fmt: skip
    assert "by day, fired of looks: 2026-11-16 0/5, 2026-11-17 2/10" in explain(tmp_path, days, BUSY).output
    west = json.loads(explain(tmp_path, days, BUSY, "--json", "--zone", "Pacific/Honolulu").output)["rules"][0]
    assert [one["day"] for one in west["days"]] == ["2026-11-16"]


def test_an_extension_is_told_at_its_events_time(tmp_path: Path) -> None:
    later = [message(n + 20, BUSY, n % 4, at=AT_MS + 86_400_000 + n * 1000) for n in range(5)]
    said = explain(tmp_path, [*traffic(), *later], BUSY)
    assert "2026-11-17T03:00:03.000Z  extended burst (enforce) until 2026-11-24T03:00:03.000Z" in said.output
