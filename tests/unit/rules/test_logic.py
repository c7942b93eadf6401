"""Judgements of conditions err to one side: what is called impossible, always true, or a consequence, is."""

from __future__ import annotations

import ast
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.expression_check import NUMBER, Choice
from rules.expressions import parse
from rules.load import check_texts
from rules.logic import Between, Beyond, Logic, Term

ORIGINS = ("", "domestic", "web", "roaming")
NAMES = {"a": NUMBER, "b": NUMBER, "s": NUMBER, "origin": Choice(ORIGINS)}
READINGS = {
    "a": Term("a", Between(0), is_whole=True),
    "b": Term("b", Between(0), is_whole=True),
    "s": Term("s", Between(0, 1)),
    "origin": Term("origin", names=ORIGINS[1:]),
}
GRID = [
    (a, b, s, origin) for a in range(7) for b in range(7) for s in (0.0, 0.25, 0.5, 1.0) for origin in (1, 2, 3)
]  # fmt: skip

numbers = st.sampled_from(["0", "1", "2", "3", "5", "0.5", "-1", "2.5"])
operands = st.one_of(
    numbers, st.sampled_from(["a", "b", "s", "a + b", "a - b", "2 * a", "a - 0.5 * b", "a * b", "a / 2", "a + 1 - s"])
)
compared = st.builds("{} {} {}".format, operands, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), operands)
chained = st.builds("{} <= {} < {}".format, numbers, operands, numbers)
named = st.sampled_from(
    ['origin == "web"', 'origin != "web"', 'origin in ("web", "roaming")', 'origin not in ("web", "domestic")']
)
listed = st.sampled_from(["a in (1, 2)", "a not in (0, 1)", "s in (0, 1)"])
conditions = st.recursive(
    st.one_of(compared, chained, named, listed),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)


def truth(source: str) -> np.ndarray | None:
    """The condition at every point of the grid; None where it is none, as of constants alone."""
    columns = dict(zip(NAMES, np.array(GRID, float).T, strict=True))
    columns["origin"] = columns["origin"].astype(np.uint8)
    try:
        expression = parse(source, NAMES)
    except ValueError:
        return None
    return expression.evaluate(columns, len(GRID))


def tree(source: str) -> ast.expr:
    return ast.parse(source, mode="eval").body


@settings(max_examples=600, deadline=None)
@given(conditions)
def test_what_is_called_impossible_is_never_true(source: str) -> None:
    found = truth(source)
    if found is None:
        return
    logic = Logic(READINGS)
    try:
        possible = any(map(logic.is_possible, logic.alternatives(tree(source))))
        always = not any(map(logic.is_possible, logic.alternatives(tree(source), negated=True)))
    except Beyond:
        return
    assert possible or not found.any(), source
    assert not always or found.all(), source


@settings(max_examples=600, deadline=None)
@given(conditions, conditions)
def test_what_is_called_a_consequence_holds_wherever_the_other_does(one: str, other: str) -> None:
    first, second = truth(one), truth(other)
    if first is None or second is None:
        return
    logic, under = Logic(READINGS), Logic(READINGS)
    try:
        follows = logic.follows(logic.alternatives(tree(one)), tree(other), under)
    except Beyond:
        return
    assert not follows or not (first & ~second).any(), (one, other)


@pytest.mark.parametrize(
    "source",
    [
        "a >= 5 and a < 3", "a > 5 and a < 6", "s > 1", "a < 0", "a + b < 0", "a - b >= 3 and b >= 4 and a < 7",
        'origin == "web" and origin == "roaming"', "not (a >= 0)", "5 <= a < 5", "a == 2.5", "2 * a == 3",
        "a - b > 0 and b - a > 0", "a in (1, 2) and a > 2", "(a > 3 or a < 2) and a == 3", "a * b > 4 and a * b < 2",
    ],
)  # fmt: skip
def test_contradictions_are_found(source: str) -> None:
    logic = Logic(READINGS)
    assert not any(map(logic.is_possible, logic.alternatives(tree(source))))


@pytest.mark.parametrize("source", ["a > 5 and a < 7", "s > 0 and s < 1", "a == b", "a * b > 4 and a * b < 6"])
def test_what_may_be_is_not_called_impossible(source: str) -> None:
    logic = Logic(READINGS)
    assert any(map(logic.is_possible, logic.alternatives(tree(source))))


def test_a_condition_of_too_many_alternatives_is_not_judged() -> None:
    source = " and ".join(f"(a == {n} or b == {n})" for n in range(9))
    with pytest.raises(Beyond):
        Logic(READINGS).alternatives(tree(source))
    assert math.prod([2] * 9) > 200


COUNTERS = """
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
  same: {on: cdr.setup, per: caller, count: events, window: 1m}
  mean: {on: cdr.release, per: caller, mean: duration, window: 1h, default: -1}
rules:
"""
RULE = """
  - name: {name}
    summary: a test's own
    limits: {{most: {most}}}
    when: {when}
    then: {{block: [calls], directions: [outgoing], for: {period}}}
    mode: {mode}
"""


def warned(*rules: dict[str, str]) -> list[str]:
    text = COUNTERS + "".join(
        RULE.format(**{"name": "abc"[i], "most": "5", "period": "7d", "mode": "shadow", **rule})
        for i, rule in enumerate(rules)
    )
    return [d.message for d in check_texts([("a.yaml", text)])[1] if "counter `" not in d.message]


def test_a_rule_is_compared_by_its_counters_whatever_their_names_and_by_its_limits() -> None:
    adds = "rule `b` adds nothing to `a`, which fires whenever it does"
    assert warned({"when": "rate >= most"}, {"when": "same >= most", "most": "6"}) == [adds]
    assert warned({"when": "rate >= most"}, {"when": "same >= most", "most": "4"}) == [
        "rule `a` adds nothing to `b`, which fires whenever it does"
    ]
    assert warned({"when": "rate >= most"}, {"when": "same >= most", "most": "6", "mode": "review"}) == []
    assert warned({"when": "rate >= most"}, {"when": "same >= most", "most": "6", "period": "8d"}) == []
    assert warned({"when": "rate >= most or mean < 3"}, {"when": "same >= most", "most": "6"}) == []


def test_a_default_widens_the_values_of_a_counter() -> None:
    assert warned({"when": "mean < most", "most": "0"}) == []
    assert warned({"when": "rate < most", "most": "0"}) == ["rule `a` never fires: `rate < most` is never true"]


def test_rules_of_different_files_are_compared() -> None:
    texts = []
    for name, least in (("one", 5), ("two", 9)):
        rule = RULE.format(name=name, when=f"rate > {least}", most=1, period="7d", mode="shadow")
        texts.append((f"{name}.yaml", COUNTERS + rule))
    messages = [d.message for d in check_texts(texts)[1]]
    assert "rule `two` adds nothing to `one`, which fires whenever it does" in messages
