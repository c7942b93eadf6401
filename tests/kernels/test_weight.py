"""`weigh` against its oracle, and what rule files can say of it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.diagnostics import RuleErrors
from rules.load import load_text
from rules.model import Counter
from schemas.feeds import FEEDS
from schemas.topics import TRAPS
from streams.counting.kinds.base import Events
from streams.counting.kinds.weight import Weight
from streams.kernels.amounts import WORDS
from tests.kernels.oracle_weight import OracleWeight

START = 1_700_000_000_000
NUMBERS = 3
DEPTHS = FEEDS[TRAPS].choices["depth"]
TOLD = {"record": "0.001", "full": "2.5"}


def counter_of(weigh: str, on: str = "traps", per: str = "sender") -> Counter:
    (rule,) = load_text(
        f"counters:\n  c: {{on: {on}, per: {per}, weigh: {weigh}, window: 1s, resolution: 10ms}}\n"
        "rules:\n  - name: r\n    summary: s\n    when: c >= 1\n"
        "    then: {block: [calls], directions: [outgoing], for: 1d}\n    mode: review\n"
    ).rules
    return rule.counters["c"]


def refused(weigh: str) -> list[str]:
    with pytest.raises(RuleErrors) as found:
        counter_of(weigh)
    return [f"{d.message} {d.hint}".strip() for d in found.value.diagnostics]


@given(st.lists(st.tuples(st.integers(0, NUMBERS - 1), st.integers(0, 300), st.sampled_from(DEPTHS[1:]))))
@settings(max_examples=80, deadline=None)
def test_a_reading_is_the_sum_of_the_weights_in_the_window(drawn: list[tuple[int, int, str]]) -> None:
    counter = counter_of("{depth: {record: 0.001, full: 2.5}}")
    oracle = OracleWeight({value: Fraction(weight) for value, weight in TOLD.items()}, 1000, 10)
    state, rows = Weight().state(counter, 1), np.zeros((NUMBERS, WORDS + 1), np.int64)
    amounts = Weight().weights(counter, FEEDS[TRAPS])
    clock, want = dict.fromkeys(range(NUMBERS), 0), []
    steps = []
    for number, step_ms, depth in drawn:
        clock[number] += step_ms
        at = START + clock[number]
        value = amounts[DEPTHS.index(depth)]
        if value:
            oracle.add(number, at, depth)
        steps.append((number, at, value))
        want.append(oracle.read(number, at))
    if not steps:
        return
    row, at, value = (np.array(column, np.int64) for column in zip(*steps, strict=True))
    every = np.ones(len(row), np.bool_)
    (got,) = state.process(rows, Events(row, at, at, value > 0, every, value, np.zeros(len(row), np.uint8), ~every))
    assert got.tolist() == want


def test_values_that_are_left_out_do_not_count() -> None:
    counter = counter_of("{depth: {full: 4}}")
    assert dict(zip(DEPTHS, Weight().weights(counter, FEEDS[TRAPS]), strict=True)) == {
        "": 0, "record": 0, "limited": 0, "full": 4000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weigh", "why"),
    [
        ("depth", "`weigh` must be a mapping of `key: value`, not `depth`"),
        ("{}", "`weigh` needs exactly one field"),
        ("{depth: {full: 1}, kind: {call: 1}}", "`weigh` needs exactly one field"),
        ("{trap: {full: 1}}", "`trap` is not a valid field of traps to weigh by"),
        ("{depth: {deep: 1}}", "`deep` is not a valid value of `depth`"),
        ("{depth: {}}", "no value of `depth` has a weight"),
        ("{depth: 4}", "weights of `depth` must be a mapping of `key: value`, not `4`"),
        (
            "{depth: {full: 0}}",
            "a weight must be from 0.001 to 1,000,000, with at most three decimals leave out a value",
        ),
        ("{depth: {full: -1}}", "a weight must be from 0.001 to 1,000,000, with at most three decimals"),
        ("{depth: {full: 0.0001}}", "a weight must be from 0.001 to 1,000,000, with at most three decimals"),
        ("{depth: {full: 2000000}}", "a weight must be from 0.001 to 1,000,000, with at most three decimals"),
        ("{depth: {full: many}}", "a weight must be a number, not `many`"),
        ("{depth: {full: 1, full: 2}}", "`full` is given twice"),
    ],
)
def test_a_mistake_in_weights_is_told_once(weigh: str, why: str) -> None:
    (told,) = refused(weigh)
    assert told.startswith(why)


@pytest.mark.parametrize(
    ("on", "per", "weigh"),
    [("message-relay", "sender", "{channel: {sms: 1, kakao: 0.5}}"), ("reports", "number", "{kind: {call: 2}}"),
     ("cdr", "caller", "{verified: {none: 3}}")],
)  # fmt: skip
def test_any_field_that_has_few_values_can_be_weighed_by(on: str, per: str, weigh: str) -> None:
    assert counter_of(weigh, on, per).reach_ms == 1000
