"""Hours as people write them, from failures that users of comparable systems have reported.

times and weekdays as two items, meant as AND; hours of Korea in UTC    test_slips_that_are_valid_are_warned_of
a location as an item of its own                                        test_what_can_never_be_meant_is_refused
weekday wrap, midnight, one digit, past 24:00                           test_what_can_never_be_meant_is_refused
unquoted times, month ends, capitals, NO for Norway                     test_what_looks_odd_and_is_right_is_taken
zones with odd offsets, clock changes                                   tests/unit/rules/test_hours.py
public holidays of 2026 and their substitutes                           test_korean_holidays_from_2026_on
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from rules.diagnostics import ERROR
from rules.load import check_texts, load_text

RULES = """
hours:
  h: %s
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - {name: r, summary: s, limits: {n: {always: 40, h: 25}}, when: rate >= n, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 1d}}
"""


def said(hours: str) -> list[tuple[str, str]]:
    _, diagnostics = check_texts([("hours.yaml", RULES % hours)])
    return [(each.severity, f"{each.message} | {each.hint}") for each in diagnostics]


@pytest.mark.parametrize(("hours", "words"), [
    ("[{times: [{start_time: '12:00', end_time: '19:00'}]}, {weekdays: [wednesday]}]",
     "these `weekdays` are in hours `h` all day long"),
    ("[{weekdays: [wednesday]}, {times: [{start_time: '12:00', end_time: '19:00'}]}]",
     "to have both at once, put `weekdays` into the item with `times`"),
    ("{weekdays: ['monday:friday'], times: [{start_time: '09:00', end_time: '18:00'}], holidays: KR}",
     "these times are in UTC, and the holidays those of KR | say where the clock hangs: `location: Asia/Seoul`"),
])  # fmt: skip
def test_slips_that_are_valid_are_warned_of(hours: str, words: str) -> None:
    ((severity, text),) = said(hours)
    assert severity != ERROR
    assert words in text


@pytest.mark.parametrize(("hours", "words"), [
    ("[{weekdays: ['monday:friday']}, {location: Asia/Seoul}]", "indent `location` under the item before it"),
    ("{weekdays: ['saturday:sunday']}", "`saturday:sunday` ends before it begins; write two ranges"),
    ("{weekdays: ['monday:sunday']}", "`monday:sunday` ends before it begins"),
    ("{times: [{start_time: '22:00', end_time: '06:00'}]}", "for hours over midnight write two"),
    ("{times: [{start_time: '9:00', end_time: '18:00'}]}", "`9:00` is not a time of day"),
    ("{times: [{start_time: '12:30', end_time: '24:01'}]}", "`24:01` is not a time of day"),
])  # fmt: skip
def test_what_can_never_be_meant_is_refused(hours: str, words: str) -> None:
    found = said(hours)
    assert [severity for severity, _ in found] == [ERROR]
    assert words in found[0][1]


@pytest.mark.parametrize("hours", [
    "{times: [{start_time: 09:00, end_time: 18:00}]}",
    "{days_of_month: ['28:-1']}",
    "{days_of_month: ['30:31'], months: [february]}",
    "{weekdays: ['Monday:Friday']}",
    "{location: Europe/Oslo, weekdays: [monday], holidays: NO}",
    "{location: UTC, times: [{start_time: '09:00', end_time: '18:00'}], holidays: KR}",
    "[{times: [{start_time: '22:00', end_time: '24:00'}]}, {times: [{start_time: '00:00', end_time: '06:00'}]}]",
    "[{weekdays: [saturday]}, {weekdays: [monday], times: [{start_time: '22:00', end_time: '24:00'}]}]",
])  # fmt: skip
def test_what_looks_odd_and_is_right_is_taken(hours: str) -> None:
    assert said(hours) == []


def test_korean_holidays_from_2026_on() -> None:
    """1 May and 17 July, and the Monday after where they fall on a weekend."""
    office = "{location: Asia/Seoul, weekdays: ['monday:friday'], holidays: KR,"
    rules = load_text(RULES % f"{office} times: [{{start_time: '09:00', end_time: '18:00'}}]}}")
    (hours,) = {named for rule in rules.rules for limit in rule.limits.values() for _, named, _ in limit.during}
    days = ("2026-05-01", "2026-07-17", "2027-05-03", "2027-07-19", "2026-05-04")
    at_ms = np.array([datetime.fromisoformat(f"{day}T10:00+09:00").timestamp() * 1000 for day in days], np.int64)
    assert hours.inside(at_ms).tolist() == [False, False, False, False, True]
