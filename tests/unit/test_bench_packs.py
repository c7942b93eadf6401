"""The score of rules: counted on traffic whose every number is known, and the same however a figure is come by."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.packs import Scene, compare, report
from bench.packs.kinds import GOALS, INNOCENTS, KINDS, OFFENDERS
from bench.packs.run import Ran, run
from bench.packs.score import goals, quantile, recall, tally, weighted, weighted_bounds, wilson
from bench.packs.variants import rules_of
from rules.load import packs
from streams.traffic import businesses, evasions, neighbours, offenders
from tests.packs import toy_generator

ROOT = Path(__file__).parents[2]
TOY = "tests.packs.toy_generator"
NAMES = {"many-calls": "many-calls", "some-calls": "some-calls"}
EVERY = {**KINDS, **toy_generator.KINDS}


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "toy.yaml"
    path.write_text(toy_generator.RULES)
    return path


@pytest.fixture(scope="module")
def ran(rules_file: Path) -> Ran:
    rules, _ = rules_of([rules_file], with_variants=True)
    return run(rules, 1, Scene(), TOY, evidence=True)


def test_what_became_of_each_kind_is_counted(ran: Ran) -> None:
    scores = tally([ran], EVERY, NAMES)
    dialler, series, office = (scores[kind] for kind in ("toy_dialler", "toy_series", "toy_office"))
    assert (dialler.numbers, dialler.blocked, dialler.left_out) == (2, 2, 1)  # five calls show nothing
    assert dialler.contacts == [20, 20]
    assert dialler.seconds == [19 * 60, 19 * 60]
    assert (office.numbers, office.blocked, office.review_only) == (4, 1, 1)
    assert office.asked_by["some-calls"] == 2
    # Of 38 calls of the third and the fourth number, those after the third's twentieth.
    assert (series.later, series.prevented) == (38, 10)
    assert series.met == 10 / 38
    assert recall(scores) == pytest.approx((1 + 10 / 38) / 2)


def test_innocents_are_weighted_by_how_common_they_are_with_bounds_around_the_figure(ran: Ran) -> None:
    found = weighted(tally([ran], EVERY, NAMES))
    assert (found.blocked, found.reviewed) == (250, 250)
    assert 0 < found.blocked_bounds[0] < 250 < found.blocked_bounds[1] == 1000  # there are no more


def test_a_goal_names_the_kind_that_is_furthest_from_it(ran: Ran) -> None:
    by_goal = {goal.goal: goal for goal in goals(tally([ran], EVERY, NAMES))}
    assert (by_goal["machine"].is_met, by_goal["machine"].median_contacts) == (True, 20)
    assert (by_goal["gang"].is_met, by_goal["gang"].worst) == (False, "toy_series")


def test_leaving_a_rule_out_is_running_without_it(ran: Ran, rules_file: Path, tmp_path: Path) -> None:
    [without, _] = compare.left_out([ran], EVERY, list(NAMES))
    text = toy_generator.RULES
    begin, end = text.index("  - name: many-calls"), text.index("  - name: some-calls")
    other = tmp_path / "other.yaml"
    other.write_text(text[:begin] + text[end:])
    rules, _ = rules_of([other], with_variants=False)
    truly = tally([run(rules, 1, Scene(), TOY)], EVERY, {"some-calls": "some-calls"})
    base = tally([ran], EVERY, NAMES)
    assert without.recall == pytest.approx(recall(truly) - recall(base))
    assert without.blocked == weighted(truly).blocked - weighted(base).blocked == -250
    assert without.reviewed == 250


def test_a_moved_limit_is_what_the_changed_file_would_do(ran: Ran, rules_file: Path, tmp_path: Path) -> None:
    _, variants = rules_of([rules_file], with_variants=True)
    told = {(v.rule, v.limit, v.factor) for v in variants}
    assert ("many-calls", "`calls_max`", 0.8) in told
    assert ("some-calls", "10 in `calls >= 10`", 1.2) in told
    assert len(told) == len(variants) == 8  # four limits, two ways
    for variant in variants:
        old, new = {
            ("`calls_max`", 0.8): ("calls_max: 20", "calls_max: 16"),
            ("`calls_max`", 1.2): ("calls_max: 20", "calls_max: 24"),
            ("10 in `calls >= 10`", 0.8): (">= 10", ">= 8"),
            ("10 in `calls >= 10`", 1.2): (">= 10", ">= 12"),
            ("1000 in `calls + odd < 1000`", 0.8): ("1000", "800"),
            ("1000 in `calls + odd < 1000`", 1.2): ("1000", "1200"),
            ("at_least 5 of counter `ended`", 0.8): ("at_least: 5", "at_least: 4"),
            ("at_least 5 of counter `ended`", 1.2): ("at_least: 5", "at_least: 6"),
        }[variant.limit, variant.factor]
        other = tmp_path / "other.yaml"
        other.write_text(toy_generator.RULES.replace(old, new))
        rules, _ = rules_of([other], with_variants=False)
        truly = tally([run(rules, 1, Scene(), TOY)], EVERY, NAMES)
        assert tally([ran], EVERY, NAMES | {variant.rule: variant.name}).keys() == truly.keys()
        for kind, score in tally([ran], EVERY, NAMES | {variant.rule: variant.name}).items():
            assert score.to_dict() == truly[kind].to_dict()


def test_a_large_step_for_a_small_move_is_a_cliff(ran: Ran, rules_file: Path) -> None:
    _, variants = rules_of([rules_file], with_variants=True)
    changes = {(c.limit, c.factor): c for c in compare.moved([ran], EVERY, list(NAMES), variants)}
    assert changes["`calls_max`", 1.2].is_cliff  # one of two diallers is lost
    assert changes["`calls_max`", 1.2].kind == "toy_dialler"
    assert not changes["1000 in `calls + odd < 1000`", 1.2].is_cliff
    assert any(row.rstrip().endswith("cliff |") for row in report.sensitivity(list(changes.values())))


def test_evidence_of_a_hold_is_told(ran: Ran) -> None:
    [number] = [number for number in ran.numbers if number.number == "+827040000021"]
    assert number.blocked["many-calls"].evidence == "calls=20 (limit 20)"


def test_every_kind_of_the_generator_that_ships_has_its_goal_or_its_prevalence() -> None:
    assert {*offenders.KINDS, *offenders.RARE, *evasions.KINDS} == OFFENDERS.keys()
    assert {*businesses.KINDS, *neighbours.KINDS, "subscriber"} == INNOCENTS.keys()
    assert {facts.goal for facts in OFFENDERS.values()} == GOALS.keys()
    assert all(facts.per_100k > 0 and facts.source for facts in INNOCENTS.values())
    assert 95_000 < sum(facts.per_100k for facts in INNOCENTS.values()) < 100_000


def test_every_limit_of_the_shipped_rules_is_varied() -> None:
    rules, variants = rules_of([packs()], with_variants=True)
    plain, _ = rules_of([packs()], with_variants=False)
    assert {v.rule for v in variants} == {rule.name for rule in plain.rules}
    assert rules.version == plain.version
    assert {v.name for v in variants} | {rule.name for rule in plain.rules} == {rule.name for rule in rules.rules}
    for rule in plain.rules:
        limits = {v.limit for v in variants if v.rule == rule.name}
        assert {f"`{name}`" for name in rule.limits} <= limits


def test_bounds_of_shares_are_those_of_the_book() -> None:
    assert wilson(0, 100) == pytest.approx((0, 0.037), abs=0.0005)
    assert wilson(50, 100) == pytest.approx((0.404, 0.596), abs=0.0005)
    assert wilson(0, 0) == (0, 1)
    # With one weight they are those of a Poisson count (Garwood): 0 to 3.69 of none, 4.80 to 18.39 of ten.
    assert weighted_bounds(np.array([0]), np.array([1.0]), 100) == pytest.approx((0, 3.69), abs=0.05)
    assert weighted_bounds(np.array([10]), np.array([1.0]), 100) == pytest.approx((4.80, 18.39), abs=0.05)
    assert weighted_bounds(np.array([10, 0]), np.array([1.0, 5.0]), 100)[1] > 18.39
    assert (quantile([], 0.5), quantile([3, 1, 2], 0.5), quantile(range(1, 11), 0.9)) == (None, 2, 9)


def test_traffic_that_was_kept_gives_the_same_score(ran: Ran, rules_file: Path, tmp_path: Path) -> None:
    rules, _ = rules_of([rules_file], with_variants=False)
    first = run(rules, 1, Scene(), TOY, cache=tmp_path)
    [kept] = tmp_path.iterdir()
    begun = kept.stat().st_mtime_ns
    again = run(rules, 1, Scene(registered=0.5), TOY, cache=tmp_path)  # the same traffic with another registry
    assert kept.stat().st_mtime_ns == begun
    assert len(list(tmp_path.iterdir())) == 1
    for other in (first, again):
        for kind, score in tally([other], EVERY, NAMES).items():
            assert score.to_dict() == tally([ran], EVERY, NAMES)[kind].to_dict()
    run(rules, 2, Scene(), TOY, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_businesses_may_be_registered(tmp_path: Path) -> None:
    file = tmp_path / "spares.yaml"
    file.write_text(toy_generator.RULES.replace("calls >= calls_max", 'calls >= calls_max and registered == "false"'))
    rules, _ = rules_of([file], with_variants=False)
    spared = tally([run(rules, 1, Scene(registered=1.0), TOY)], EVERY, NAMES)
    assert (spared["toy_office"].blocked, spared["toy_dialler"].blocked) == (0, 2)
    assert tally([run(rules, 1, Scene(), TOY)], EVERY, NAMES)["toy_office"].blocked == 1


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.packs", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_tells_tables_or_json_and_how_far_it_is(rules_file: Path) -> None:
    asked = ("--generator", TOY, "--rules", str(rules_file), "--seeds", "1", "--days", "weekday", "--jobs", "1")
    done = bench(*asked, "--explain", "toy_office")
    assert done.returncode == 0, done.stderr
    assert "1 of 1: seed 1, weekday, events: " in done.stderr
    assert "| `toy_office` " in done.stdout
    assert "+827040000021, 21 records: blocked by many-calls: calls=20 (limit 20)" in done.stdout
    told = json.loads(bench(*asked, "--sensitivity", "--json").stdout)
    assert told["settings"]["weekday events"]["kinds"]["toy_dialler"]["blocked"] == 2
    assert len(told["sensitivity"]) == 8
    assert [change["rule"] for change in told["leave_one_out"]] == list(NAMES)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--seeds", "one"), "is no list of seeds"),
        (("--feeds", "whole"), "'whole' is none of events, complete, both"),
        (("--generator", "tests.nothing"), "No module named 'tests.nothing'"),
    ],
)
def test_a_wrong_question_is_refused_in_words(arguments: tuple[str, ...], says: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert says in done.stderr


def test_a_scene_says_when_it_begins() -> None:
    assert Scene(begin_hour=10).start_ms == 1_794_790_800_000
    assert replace(Scene(), day="weekend").start_ms - Scene().start_ms == 5 * 86_400_000
