"""Rule files: what is read from good ones, and the whole diagnostics of bad ones (tests/unit/bad_rules)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rules.diagnostics import RuleErrors, render
from rules.load import check, check_texts, load, load_protected, load_text, packs
from rules.protected import check_protected

BAD = Path(__file__).parents[1] / "bad_rules"  # GRAYLINE_UPDATE_GOLDEN=1 writes what they say anew
GOOD = """
hours:
  office: {location: Asia/Seoul, weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "18:00"}]}
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m, where: verified != "full"}
  gray: {on: cdr.setup, per: caller, gray: {short: 1m, long: 6h}}
rules:
  - name: one
    summary: a comment
    limits: {level: {always: 30, office: 12}, n: 5}
    when: gray.short + gray.long > level and rate >= n
    then: {block: [messages, calls], directions: [incoming, outgoing], for: 30d}
    mode: enforce
    spoofable: accepted
"""


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda p: p.stem)
def test_diagnostics_are_those_of_the_golden_file(path):
    _, diagnostics = check_texts([(path.name, path.read_text())])
    said = "\n".join(render(d) for d in diagnostics) + "\n"
    if os.environ.get("GRAYLINE_UPDATE_GOLDEN"):
        path.with_suffix(".txt").write_text(said)
    assert diagnostics
    assert said == path.with_suffix(".txt").read_text()


def test_there_are_sixty_bad_files():
    assert len([*BAD.glob("*.yaml")]) >= 60


def test_five_mistakes_give_exactly_five_diagnostics():
    assert len(check([BAD / "12-five-mistakes.yaml"])[1]) == 5


def test_a_counter_whose_name_is_taken_gives_one_diagnostic_and_reading_it_none():
    said = "rate: {on", "duration: {on"
    _, diagnostics = check_texts([("a.yaml", GOOD.replace(*said).replace("rate >= n", "duration >= n"))])
    assert [(d.line, d.message) for d in diagnostics] == [
        (5, "a counter cannot be named `duration`: a record field has that name")
    ]


def test_a_good_file_is_read_into_values():
    rules = load_text(GOOD)
    (rule,) = rules.rules
    assert (rule.block, rule.directions, rule.period_ms) == (
        ("calls", "messages"),
        ("outgoing", "incoming"),
        2_592_000_000,
    )
    assert rule.spoofable
    assert rule.limits["level"].always == 30
    assert [(name, value) for name, _, value in rule.limits["level"].during] == [("office", 12)]
    assert rule.counters["rate"]["resolution_ms"] == 1_000
    assert (rule.counters["gray"]["short_ms"], rule.counters["gray"]["long_ms"]) == (60_000, 21_600_000)
    assert (rule.file, rule.line) == ("rules.yaml", 8)
    assert rules.warnings == ()


def test_the_version_is_that_of_the_content_not_of_its_spacing():
    version = load_text(GOOD).version
    assert load_text(GOOD.replace("mode: enforce", "mode:   enforce  # at once")).version == version
    assert load_text(GOOD.replace("for: 30d", "for: 29d")).version != version


def test_the_shipped_packs_are_valid_and_without_warnings():
    rules, diagnostics = check([packs()])
    assert diagnostics == []
    assert rules is not None
    assert len(rules.rules) >= 8


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"\xe9")
    (tmp_path / "empty").mkdir()
    (tmp_path / "large.yaml").write_text("#" * 1_000_001)
    paths = [tmp_path / name for name in ("none.yaml", "latin.yaml", "empty", "large.yaml")]
    rules, diagnostics = check(paths)
    assert rules is None
    assert [d.message.split(":")[0] for d in diagnostics] == [
        "cannot be read", "is not UTF-8 (byte 0)", "this directory holds no *.yaml or *.yml file",
        "larger than 1,000,000 bytes",
    ]  # fmt: skip
    with pytest.raises(RuleErrors, match="no rule file"):
        load([])


def test_a_rule_name_is_unique_over_all_files():
    _, diagnostics = check_texts([("a.yaml", GOOD), ("b.yaml", GOOD)])
    assert [(d.file, d.hint) for d in diagnostics] == [("b.yaml", "it is at a.yaml:8")]


def test_protected_numbers_and_prefixes_are_covered(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text('numbers: ["02-123-4567"]\nprefixes: ["+82 1588"]\n')
    protected = load_protected([own])
    assert protected.covers(8221234567)
    assert protected.covers(8215881234)
    assert not protected.covers(821012345678)
    assert load([packs()], [own]).protected == protected
    own.write_text("prefixes: ['+1 201']\n")
    assert load([packs()], [own], "US").protected.covers(8215771000), "the shipped list is Korean wherever we run"
    own.write_text('numbers: ["(201) 555-0123"]\n')
    assert load([packs()], [own], "US").protected.covers(12015550123)
    own.write_text('prefixes: ["1588"]\n')
    with pytest.raises(RuleErrors, match="international"):
        load_protected([own])


def test_a_section_of_protected_numbers_may_be_empty_and_two_lists_can_be_compared(tmp_path):
    own, shipped = tmp_path / "own.yaml", load_protected()
    for text in ("numbers: []\n", "numbers:\nprefixes: []\n", 'numbers: ["02-123-4567"]\nprefixes:\n'):
        own.write_text(text)
        came, gone = load_protected([own]).difference(shipped)
        assert (came, gone) == (text.count("02-"), 0)
    assert shipped.difference(load_protected([own])) == (0, 1)
    own.write_text("")
    with pytest.raises(RuleErrors, match="is empty"):
        load_protected([own])


def test_mistakes_in_rules_and_protected_files_come_at_once(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"\xe9")
    (tmp_path / "typo.yaml").write_text("number: [112]\n")
    wrong = [tmp_path / name for name in ("none.yaml", "latin.yaml", "typo.yaml")]
    with pytest.raises(RuleErrors) as caught:
        load([BAD / "12-five-mistakes.yaml"], wrong)
    said = [(Path(d.file).name, d.message) for d in caught.value.diagnostics]
    assert len(said) == 8
    assert said[5:] == [
        ("none.yaml", "the protected numbers cannot be read: No such file or directory"),
        ("latin.yaml", "is not UTF-8 (byte 0)"),
        ("typo.yaml", "unknown key `number` in a file of protected numbers"),
    ]


def test_checking_the_packs_imports_nothing_heavy():
    code = (
        "import sys; from rules.load import check, packs; check([packs()]);"
        "print([m for m in ('numpy', 'holidays', 'phonenumbers', 'numba', 'faust') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_protected_number_that_cannot_be_read_is_an_error_and_a_short_one_is_none(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text('numbers: ["112", "02-2123-4567-8", "8613912345678", "02-123-4567"]\n')
    _, diagnostics = check_protected([own], "KR")
    assert [(d.line, d.message.split(" that")[0]) for d in diagnostics] == [(1, "this is no telephone number")] * 2


def test_what_silence_brings_is_said_by_the_file_for_rules_in_review_or_by_a_rule_for_itself():
    said = "unreviewed: {then: block, after: 2h}\n"
    review = GOOD.replace("mode: enforce", "mode: review")
    own = "spoofable: accepted\n    unreviewed: "
    for text, review_ms in (
        (GOOD, 0),
        (review, 0),
        (said + review, 7_200_000),
        (said + GOOD, 0),
        (review.replace("spoofable: accepted", own + "{then: block, after: 30m}"), 1_800_000),
        (said + review.replace("spoofable: accepted", own + "expire"), 0),
    ):
        (rule,) = load_text(text).rules
        assert rule.review_ms == review_ms
