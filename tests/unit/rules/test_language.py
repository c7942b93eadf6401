"""The language of rule files: what is shared, lists of values, units, warnings, longer periods for repeated deeds."""

from __future__ import annotations

import pytest

from rules.diagnostics import RuleErrors
from rules.load import check_texts, load_text
from rules.model import Rule

SHARED = """
shared:
  hours:
    night: {location: Asia/Seoul, times: [{start_time: "21:00", end_time: "24:00"}]}
  lists:
    personal: {of: caller_type, values: [mobile, voip]}
  counters:
    calls: {on: cdr.setup, per: caller, count: events, window: 1h}
    talked: {on: cdr.release, per: caller, mean: duration, window: 1h}
  limits:
    pace: {always: 60/h, night: 30/h}
"""
RULE = """
  - name: {name}
    summary: a test's own
    limits: {limits}
    when: {when}
    then: {then}
    mode: {mode}
"""
FORTNIGHT = 14 * 86_400_000


def rule(
    when: str, name: str = "a", limits: str = "{}", then: str = "{block: [calls], for: 7d}", mode: str = "enforce"
):
    return RULE.format(name=name, when=when, limits=limits, then=then, mode=mode)


def read(*files: str) -> tuple[Rule, ...]:
    rules, diagnostics = check_texts([(f"{'abc'[i]}.yaml", text) for i, text in enumerate(files)])
    assert rules is not None, [d.message for d in diagnostics]
    return rules.rules


def mistakes(*files: str) -> list[str]:
    return [d.message for d in check_texts([(f"{'abc'[i]}.yaml", text) for i, text in enumerate(files)])[1]]


def test_definitions_of_one_file_are_read_by_the_rules_of_all() -> None:
    (one,) = read("rules:" + rule("calls >= pace and caller_type in personal"), SHARED)
    assert one.when.source == "calls >= pace and caller_type in ('mobile', 'voip')"
    assert (one.limits["pace"].always, [value for _, _, value in one.limits["pace"].during]) == (60, [30])
    assert one.counters["calls"]["window_ms"] == 3_600_000


def test_a_files_own_definition_of_a_shared_name_is_a_mistake() -> None:
    own = "counters:\n  calls: {on: cdr.setup, per: caller, count: events, window: 1m}\nrules:" + rule("calls > 5")
    assert mistakes(own, SHARED) == ["`calls` is defined among the `counters` that all files share"]
    assert mistakes("rules:" + rule("calls > pace", limits="{pace: 3}"), SHARED) == [
        "a limit named `pace` is defined for all rules already"
    ]


def test_files_that_only_share_hold_no_rules() -> None:
    assert mistakes(SHARED) == ["holds no rule, nor do the other files"]


def test_what_is_wrong_with_a_shared_definition_is_said_once() -> None:
    wrong = SHARED.replace("count: events, window: 1h", "count: events, window: 1x")
    found = mistakes("rules:" + rule("calls > 5") + rule("calls > 6", name="b"), wrong)
    assert len(found) == 1


def test_a_list_of_values_has_the_type_of_its_field() -> None:
    assert read("rules:" + rule("calls > 5 and not (caller_type not in personal)"), SHARED)
    for when, says in (
        ("calls > 5 and origin in personal", "when: `origin` has none of the values of `personal`"),
        ('calls > 5 and personal == "mobile"', "when: `personal` is a list of values"),
        ("calls > 5 and caller_type in persnal", "when: unknown name `persnal`"),
    ):
        assert mistakes("rules:" + rule(when), SHARED)[0] == says
    assert mistakes(SHARED.replace("voip]", "viop]"), "rules:" + rule("calls > 5"))[0].startswith(
        "`viop` is not a valid"
    )
    assert mistakes(SHARED.replace("of: caller_type", "of: duration"), "rules:" + rule("calls > 5"))[0] == (
        "`duration` is no field with names"
    )


def test_a_where_reads_lists_too_and_a_counter_is_the_same_whether_it_names_them_or_not() -> None:
    counters = """
counters:
  named: {on: cdr.setup, per: caller, count: events, window: 1m, where: callee_type in personal}
  written: {on: cdr.setup, per: caller, count: events, window: 1m, where: 'callee_type in ("mobile", "voip")'}
rules:"""
    (one,) = read(counters + rule("named + written > 5"), SHARED)
    assert one.counters["named"] == one.counters["written"]


@pytest.mark.parametrize(
    ("limit", "when", "value"),
    [
        ("90s", "talked < most", 90), ("1m30s", "talked < most", 90), ("500ms", "talked < most", 0.5),
        ("30/m", "calls > most", 1800), ("5/10m", "calls > most", 30), ("2/s", "most < calls", 7200),
        ("0.5/m", "calls > most", 30), ("7", "calls > most", 7),
    ],
)  # fmt: skip
def test_a_limit_may_be_a_duration_or_a_rate(limit: str, when: str, value: float) -> None:
    (one,) = read("rules:" + rule(when, limits=f"{{most: {limit}}}"), SHARED)
    assert one.limits["most"].always == value


@pytest.mark.parametrize(
    ("limit", "when", "says"),
    [
        ("90s", "calls > most", "when: limit `most` is a duration, and is compared with something else"),
        ("30/m", "talked > most", "when: limit `most` is a rate, and is compared with something else"),
        ("30/m", "calls > 2 * most", "when: limit `most` is a rate, and is compared with something else"),
        ("30/x", "calls > most", "limit `most`: `30/x` is no rate"),
        ("{always: 30/m, night: 5}", "calls > most", "limit `most` is measured in two ways"),
    ],
)
def test_a_unit_that_does_not_fit_is_a_mistake(limit: str, when: str, says: str) -> None:
    assert mistakes("rules:" + rule(when, limits=f"{{most: {limit}}}"), SHARED)[0] == says


def test_a_warning_below_the_critical_value_is_a_rule_of_its_own_for_people() -> None:
    limits = "{most: {always: {warning: 20, critical: 40}, night: {warning: 10, critical: 20}}}"
    one, before = read("rules:" + rule("calls >= most", limits=limits), SHARED)
    assert (one.name, one.mode, one.limits["most"].always) == ("a", "enforce", 40)
    assert (before.name, before.mode, before.limits["most"].always) == ("a-warning", "review", 20)
    assert before.when.source == "calls >= most and (not calls >= most__critical)"
    assert [value for _, _, value in before.limits["most"].during] == [10]
    assert [value for _, _, value in before.limits["most__critical"].during] == [20]
    assert (before.summary, before.block, before.period_ms) == (one.summary, one.block, one.period_ms)
    (_, shadowed) = read("rules:" + rule("calls >= most", limits=limits, mode="shadow"), SHARED)
    assert shadowed.mode == "shadow"


def test_a_warning_needs_a_critical_value_another_one_and_a_free_name() -> None:
    for limits, says in (
        ("{most: {warning: 5}}", "limit `most` has no `critical`"),
        ("{most: {warning: 5, critical: 5}}", "the warning of limit `most` is its critical value"),
        ("{most: {always: {warning: 5, critical: 9}, night: 5}}", "limit `most` has a warning at some times only"),
    ):
        assert mistakes("rules:" + rule("calls >= most", limits=limits), SHARED)[0] == says
    two = rule("calls >= most", limits="{most: {warning: 5, critical: 9}}") + rule("calls > 1", name="a-warning")
    assert mistakes("rules:" + two, SHARED)[0] == "a rule named `a-warning` exists already"


def test_directions_that_are_left_out_are_outgoing() -> None:
    (one,) = read("rules:" + rule("calls > 5"), SHARED)
    assert one.directions == ("outgoing",)


def test_a_period_may_be_longer_for_those_who_do_it_again() -> None:
    (one,) = read("rules:" + rule("calls > 5", then="{block: [calls], for: {first: 1d, again: 2w}}"), SHARED)
    assert (one.period_ms, one.again_ms) == (86_400_000, FORTNIGHT)
    assert mistakes("rules:" + rule("calls > 5", then="{block: [calls], for: {first: 1d, again: 1d}}"), SHARED) == [
        "the period `again` must be longer than `first`"
    ]
    assert mistakes("rules:" + rule("calls > 5", then="{block: [calls], for: {first: 1d}}"), SHARED) == [
        "`for` has no `again`"
    ]


def test_a_rule_may_combine_what_a_number_calls_writes_and_is_reported_for() -> None:
    counters = """
counters:
  texts: {on: message-relay, per: sender, distinct: recipient, window: 1d}
  people: {on: reports, per: number, distinct: reporter, window: 1d}
rules:"""
    (one,) = read(counters + rule("calls >= 5 and texts >= 5 and people >= 2", mode="review"), SHARED)
    assert {counter.topic for counter in one.counters.values()} == {"cdr", "message-relay", "reports"}


def test_one_file_may_be_loaded_by_itself_with_what_it_shares() -> None:
    assert len(load_text(SHARED + "rules:" + rule("calls > pace")).rules) == 1
    with pytest.raises(RuleErrors):
        load_text(SHARED)
