"""A rule's expression with its values filled in."""

from __future__ import annotations

from rules.filled import filled
from rules.load import load_text
from rules.model import Rule

CONCENTRATED_MS, SUNDAY_MS = 1_794_805_200_000, 1_795_309_200_000  # a Monday, 14:00 in Seoul; a Sunday, 10:00


def rule(when: str, limits: str = "{}") -> Rule:
    text = f"""
hours:
  concentrated:
    location: Asia/Seoul
    weekdays: ["monday:friday"]
    times: [{{start_time: "09:00", end_time: "18:00"}}]
counters:
  gray: {{on: cdr.setup, per: caller, gray: {{short: 1m, long: 6h}}}}
  callees: {{on: cdr.setup, per: caller, distinct: callee, window: 1h}}
rules:
  - name: sample
    summary: s
    limits: {limits}
    when: {when}
    then: {{block: [calls], directions: [outgoing], for: 1d}}
    mode: enforce
"""
    return load_text(text).rules[0]


VALUES = {"gray.short": 10.9, "gray.long": 197.3, "callees": 22.0}
LEVEL = "{level: {always: 300, concentrated: 180}}"


def test_values_stand_behind_their_names_and_the_total_behind_a_sum() -> None:
    made = rule("gray.short + gray.long > level and callees >= 8", LEVEL)
    assert filled(made, VALUES, CONCENTRATED_MS) == (
        "gray.short 10.9 + gray.long 197.3 = 208.2 > level 180 (concentrated) and callees 22 >= 8"
    )
    assert " > level 300 and " in filled(made, VALUES, SUNDAY_MS)


def test_what_has_no_value_stays_as_it_stands() -> None:
    made = rule("gray.short > 5 and registered == 'false'")
    assert filled(made, {}, SUNDAY_MS) == "gray.short > 5 and registered == 'false'"
    assert filled(rule("gray.short / callees > 2"), {"gray.short": 6, "callees": 0}, SUNDAY_MS) == (
        "gray.short 6 / callees 0 > 2"
    )
