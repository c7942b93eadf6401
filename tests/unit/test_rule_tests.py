"""Rule tests: what passes, what fails and says why, which mistakes are named, and that the shipped rules have some."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from rules.load import check, packs
from streams.cli.rules import command
from streams.craft.rule_test_file import read_tests, read_text
from streams.craft.rule_tests import run_test

RULES = """
rules: |
  hours:
    office:
      location: Asia/Seoul
      weekdays: ["monday:friday"]
      times: [{start_time: "09:00", end_time: "18:00"}]
      holidays: KR
    summer: {location: Europe/Berlin, months: [march, october], times: [{start_time: "02:00", end_time: "04:00"}]}
  counters:
    rate: {on: cdr.setup, per: caller, count: events, window: 1m}
    lines: {on: cdr, per: caller, count: concurrent, max_age: 1h}
  rules:
    - name: burst
      summary: a test's own
      limits: {n: {always: 5, office: 3}}
      when: rate >= n
      then: {block: [calls], directions: [outgoing], for: 1h}
      mode: enforce
    - name: lines
      summary: a test's own
      limits: {most: {always: 2, summer: 9}}
      when: lines >= most and registered == "false"
      then: {block: [calls], directions: [outgoing], for: 1h}
      mode: review
location: Asia/Seoul
tests:
"""
THREE = """
    events:
      - {at: "2026-11-23 10:00:00", call: {caller: 010-1111-0001, talk: 5s}, repeat: 3, every: 10s}
"""


def failures(test: str, rules: str = RULES) -> list[str]:
    """The lines of the only test's failures, counted from its `- name`."""
    tests, _, diagnostics = read_text("a.test.yaml", rules + test)
    assert [d.message for d in diagnostics] == []
    first = rules.count("\n")
    return [f"{failure.line - first}: {failure.message}" for one in tests for failure in run_test(one).failures]


def mistakes(test: str, rules: str = RULES) -> list[str]:
    return [d.message for d in read_text("a.test.yaml", rules + test)[2]]


def test_a_rule_that_does_what_is_expected_passes() -> None:
    expect = (
        "    expect: [{rule: burst, number: 01011110001, from: '2026-11-23 10:00:20', until: '2026-11-23 11:00:20'}]"
    )
    assert failures(f"  - name: a\n{THREE}{expect}\n    none: [lines]\n") == []


@pytest.mark.parametrize(
    ("expect", "says"),
    [
        ("expect: [{rule: burst, number: 010-1111-0002}]", "5: burst (enforce) has not opened +821011110002 as expe"),
        ("expect: [{rule: burst, from: '2026-11-23 10:00:21'}]", "5: burst (enforce) has not opened as expected; wh"),
        ("expect: [{rule: burst, mode: review}]", "5: burst (review) has not opened as expected; what it does: opened"),
        ("expect: [{rule: lines}]", "5: lines (review) has not opened as expected; it does nothing"),
        ("none: [burst]", "5: burst must not fire: opened +821011110001 by burst (enforce) from 2026-11-23T10:00"),
        ("none: all", "5: burst must not fire: opened +821011110001 by burst"),
        ("exact: true", "1: not expected: opened +821011110001 by burst"),
    ],
)  # fmt: skip
def test_what_is_not_met_is_a_failure_that_says_what_happened(expect: str, says: str) -> None:
    (failure,) = failures(f"  - name: a\n{THREE}    {expect}\n")
    assert failure.startswith(says)


def test_an_opening_of_an_expected_rule_that_is_not_listed_is_a_failure() -> None:
    more = THREE + THREE.replace("\n    events:\n", "").replace("0001", "0002")
    (failure,) = failures(f"  - name: a\n{more}    expect: [{{rule: burst, number: 010-1111-0001}}]\n")
    assert "not expected of burst: opened +821011110002" in failure


def test_limits_are_those_of_their_moment_to_the_second_on_holidays_and_when_clocks_change() -> None:
    rows = [
        ("burst", "n", "2026-11-23 08:59:59", 5), ("burst", "n", "2026-11-23 09:00:00", 3),
        ("burst", "n", "2026-11-23 17:59:59", 3), ("burst", "n", "2026-11-23 18:00:00", 5),
        ("burst", "n", "2026-12-25 10:00:00", 5),  # Christmas
        ("lines", "most", "2026-03-29T00:59:59Z", 2), ("lines", "most", "2026-03-29T01:00:00Z", 9),  # two becomes three
        ("lines", "most", "2026-10-25T00:30:00Z", 9), ("lines", "most", "2026-10-25T01:30:00Z", 9),  # twice
        ("lines", "most", "2026-10-25T02:59:59Z", 9), ("lines", "most", "2026-10-25T03:00:00Z", 2),
    ]  # fmt: skip
    text = "  - name: a\n    limits:\n" + "".join(
        f'      - {{rule: {rule}, limit: {limit}, at: "{at}", is: {value}}}\n' for rule, limit, at, value in rows
    )
    assert failures(text) == []
    wrong = failures(text.replace("is: 3", "is: 4"))
    assert [failure.split(":")[0] for failure in wrong] == ["4", "5"]
    assert "limit `n` of burst is 3 at 2026-11-23T09:00:00+09:00 (in hours `office`), not 4" in wrong[0]


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("  - name: a\n", "this test expects nothing"),
        ("  - name: a\n    none: all\n", "this test has no `events`"),
        ("  - name: a\n    none: [brust]\n" + THREE, "there is no rule `brust`"),
        ("  - name: a\n    none: all\n" + THREE.replace("call:", "cal:"), "unknown key `cal` in an event"),
        ("  - name: a\n    none: all\n" + THREE.replace("talk", "talks"), "unknown key `talks` in a call"),
        ("  - name: a\n    none: all\n" + THREE.replace("5s", "5"), "talk: `5` has no unit"),
        ("  - name: a\n    none: all\n" + THREE.replace(", every: 10s", ""), "this event is repeated and does not say"),
        ("  - name: a\n    none: all\n" + THREE.replace("10s", "10s, jitter: 1s"), "jitter needs a seed"),
        ("  - name: a\n    none: all\n" + THREE.replace("call: {", "cdr: {"), "unknown key `talk` in a cdr"),
        ("  - name: a\n    none: all\n" + THREE.replace("11-23 10", "11-31 10"), "`2026-11-31 10:00:00` does not"),
        ("  - name: a\n    none: all\n" + THREE.replace("3,", "200000,"), "`repeat` must be a whole number from 1"),
        ("  - name: a\n    limits: [{rule: burst, limit: m, at: 2026-01-01T00:00:00Z, is: 1}]", "`m` is not a valid"),
        ("  - name: a\n    none: all\n" + THREE + "  - name: a\n    none: all\n" + THREE, "a test of this name exists"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_test_is_named(test: str, says: str) -> None:
    assert [message for message in mistakes(test) if message.startswith(says)]


def test_a_local_time_that_comes_twice_or_never_is_a_mistake() -> None:
    berlin = RULES.replace("location: Asia/Seoul\ntests", "location: Europe/Berlin\ntests")
    for at, says in (("2026-10-25 02:30:00", "comes twice"), ("2026-03-29 02:30:00", "does not exist in its zone")):
        test = f'  - name: a\n    limits: [{{rule: burst, limit: n, at: "{at}", is: 5}}]\n'
        assert [message for message in mistakes(test, berlin) if says in message]


def test_a_record_that_no_rule_can_read_fails_its_test() -> None:
    message = '    events: [{at: "2026-11-23 10:00:00", message-relay: {sender: 010-1111-0001}}]\n    none: all\n'
    assert failures(f"  - name: a\n{message}") == ["2: no rule of these reads message-relay"]
    empty = '    events: [{at: "2026-11-23 10:00:00", cdr: {event: setup, caller: "", callee: "1"}}]\n    none: all\n'
    (failure,) = failures(f"  - name: a\n{empty}")
    assert failure.startswith("2: the record cannot be understood")


def test_registered_numbers_are_registered_in_their_test_alone() -> None:
    calls = THREE.replace("5s", "50s") + "    none: [lines]\n"
    assert failures("  - name: a\n    registry: {bulk_sender: [010-1111-0001]}\n" + calls) == []
    assert len(failures("  - name: a\n    registry: {bulk_sender: [010-1111-0002]}\n" + calls)) == 1


def test_jitter_is_the_same_in_every_run_and_another_with_another_seed() -> None:
    def times(seed: int) -> list[int]:
        jitter = THREE.replace("10s}", f"10s, jitter: 5s, seed: {seed}}}")
        (test,), _, _ = read_text("a.test.yaml", f"{RULES}  - name: a\n{jitter}    none: [lines]\n")
        return [record.arrives_ms for record in test.records]

    assert times(1) == times(1) != times(2)


def test_a_list_of_values_is_taken_in_turn_and_n_is_the_place() -> None:
    calls = THREE.replace("talk: 5s", 'talk: [none, 5s], callee: "010-2{n:03}-0000", carrier: ~')
    (test,), _, _ = read_text("a.test.yaml", f"{RULES}  - name: a\n{calls}    none: [lines]\n")
    assert [(r.value["event"], r.value["callee"]) for r in test.records if r.value["event"] != "release"] == [
        ("setup", "010-2000-0000"),
        ("setup", "010-2001-0000"),
        ("answer", "010-2001-0000"),
        ("setup", "010-2002-0000"),
    ]


# ----------------------------------------------------------------------------------------------------- the command


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["test", *arguments])
    return result.exit_code, result.output


def test_every_shipped_rule_has_tests_and_they_pass() -> None:
    code, said = run("--complete")
    assert code == 0, said
    assert {file.name for file in packs().rglob("*.yaml") if not file.name.endswith(".test.yaml")} == {
        file.name.replace(".test", "") for file in packs().rglob("*.test.yaml")
    }
    for file in packs().rglob("*.test.yaml"):
        rules = read_tests(file)[1]
        assert rules is not None
        assert {Path(rule.file).name for rule in rules.rules} == {file.name.replace(".test", "")}


def test_a_rule_without_a_test_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.test.yaml"
    expect = "    expect: [{rule: burst}]\n    none: [lines]\n"
    limits = '    limits: [{rule: burst, limit: n, at: "2026-11-23 10:00:00", is: 3}]\n'
    file.write_text(f"{RULES}  - name: a\n{THREE}{expect}{limits}")
    assert run(str(file))[0] == 0
    code, said = run("--complete", str(file))
    assert code == 1
    assert said.splitlines() == [
        "INCOMPLETE burst: no test in which it must not (`none`)",
        "INCOMPLETE burst: no test of limit `n` outside its hours",
        "INCOMPLETE lines: no test in which it must fire",
        "INCOMPLETE lines: no test of limit `most` outside its hours",
        "INCOMPLETE lines: no test of limit `most` in hours `summer`",
        "1 of 1 tests passed; 2 rules lack a test",
    ]


def test_verdicts_are_told_as_text_json_and_junit(tmp_path: Path) -> None:
    file, report = tmp_path / "a.test.yaml", tmp_path / "report.xml"
    file.write_text(f"{RULES}  - name: right\n{THREE}    expect: [{{rule: burst}}]\n"
                    f"  - name: wrong <&>\n{THREE}    none: [burst]\n")  # fmt: skip
    code, said = run(str(tmp_path), "--junit", str(report))
    assert (code, said.splitlines()[-1]) == (1, "1 of 2 tests passed")
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    cases = {case.get("name"): case.find("failure") for case in suite.iter("testcase")}
    assert cases["right"] is None
    assert "burst must not fire" in (cases["wrong <&>"].get("message") or "")  # type: ignore[union-attr]
    told = json.loads(run(str(file), "--json")[1])
    assert (told["ok"], [test["passed"] for test in told["tests"]]) == (False, [True, False])


def test_a_wrong_file_ends_with_code_1_and_a_missing_one_with_2(tmp_path: Path) -> None:
    file = tmp_path / "a.test.yaml"
    file.write_text("tests: []\n")
    assert run(str(file))[0] == 1
    assert run(str(tmp_path / "none.test.yaml"))[0] == 2
    (tmp_path / "empty").mkdir()
    assert run(str(tmp_path / "empty"))[0] == 1


def test_files_of_tests_beside_rules_are_no_rules(tmp_path: Path) -> None:
    (tmp_path / "a.test.yaml").write_text("tests: []\n")
    rules, diagnostics = check([tmp_path])
    assert rules is None
    assert [d.message for d in diagnostics] == ["this directory holds no *.yaml or *.yml file"]
    assert [d.message for d in check([tmp_path / "a.test.yaml"])[1]] == ["this file holds tests and no rules"]
