"""`grayline why`: an engine's word about one number is what its rules read there, and asking changes nothing."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from streams.counting.table import VOUCHED
from streams.craft.live import lines, told_now
from streams.craft.trial import Trial
from streams.engine.evaluate import Fired
from streams.ingest.merge import Merged
from tests.reference.reference import Line
from tests.reference.small_traffic import kcat_line, traffic

RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 10m}
  people: {on: message-relay, per: sender, distinct: recipient, window: 1h}
  gray: {on: cdr.setup, per: caller, gray: {short: 1m, long: 6h}}
  live: {on: cdr, per: caller, count: concurrent, max_age: 4h}
  mean_call: {on: cdr.release, per: caller, mean: duration, window: 1h}
rules:
  - {name: burst, summary: s, limits: {most: 3}, when: sent >= most and people >= 2, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: busy, summary: s, when: gray.short + gray.long > 3 and live >= 1 and caller_type == "mobile", mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 1d}}
  - {name: spoofed, summary: s, when: sent >= 2 and registered == "false", mode: enforce, spoofable: accepted,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: brief, summary: s, when: mean_call < 10, mode: review,
     then: {block: [calls], directions: [outgoing], for: 1d}}
  - {name: across, summary: s, when: sent >= 1 and gray.long > 1, mode: shadow,
     then: {block: [calls], directions: [outgoing], for: 1d}}
"""
ALONE = ("burst", "busy", "brief")  # rules on one topic
Seen = dict[tuple[int, str, str], tuple[int, dict[str, float]]]  # by number, rule, reading: (as of, counters)


class LastLooks:
    """The values at each number's last look of each rule."""

    def __init__(self) -> None:
        self.seen: Seen = {}
        self.numbers: set[int] = set()

    def watch(self, events: Merged, fired: Fired) -> None:
        self.numbers |= set(events["number"][events["number"] > 0].tolist())
        for part in fired.parts:
            numbers = part.view.events["number"]
            for row in np.flatnonzero(part.looks & (numbers > 0)).tolist():
                values = {one.name: float(part.columns[one.name][row]) for one in part.rule.readings}
                key = int(numbers[row]), part.rule.rule.name, part.reading
                self.seen[key] = int(part.as_of[row]), values


def run(given: list[Line]) -> tuple[Trial, LastLooks]:
    looks = LastLooks()
    trial = Trial(load_text(RULES), lambda change: None, also=("control",))
    trial.engine.watch(looks.watch)
    trial.run([kcat_line(line) for line in given], "drawn")
    return trial, looks


@settings(max_examples=60, deadline=None)
@given(lines=traffic())
def test_an_engine_knows_of_a_number_what_its_rules_read_last(lines: list[Line]) -> None:
    trial, looks = run(lines)
    for number in looks.numbers:
        for sight in trial.engine.known_of(number, 0).sights:
            last = looks.seen.get((number, sight.rule.name, sight.reading))
            if last is None or last[0] != sight.as_of_ms:
                continue  # a later event moved the number's time, and none of the rule's counters
            for name, value in last[1].items():
                got = sight.values[name]
                assert isinstance(got, float)
                assert math.isclose(got, value, rel_tol=1e-9) or (math.isnan(got) and math.isnan(value)), name


@settings(max_examples=30, deadline=None)
@given(given_lines=traffic(), asked=st.lists(st.integers(0, 40), max_size=3))
def test_asking_changes_nothing(given_lines: list[Line], asked: list[int]) -> None:
    plain, looks = run(given_lines)
    questioned, _ = run(given_lines)
    for engine in (plain.engine, questioned.engine):
        engine.partitions = 1
    before = plain.engine.digest(0)
    for number in [*looks.numbers, *asked]:
        questioned.engine.known_of(number, 0)
    assert questioned.engine.digest(0) == before


def message(n: int, **more: object) -> Line:
    import json

    record = {"message_id": f"m{n}", "at": 1_794_798_000_000 + n * 1000, "sender": "+821011110001", "verified": "full"}
    told = record | {"recipient": f"+82109990000{n}"} | more
    return Line("message-relay", 0, n, int(str(record["at"])), json.dumps(told).encode(), b"k")


def test_the_words_say_what_is_in_force_what_fires_and_what_is_missing() -> None:
    trial, _ = run([message(n) for n in range(3)])
    known = trial.engine.known_of(821011110001, 0)
    told = told_now(known)
    said = "\n".join(lines(known, "+8210****0001", told))
    assert said.startswith("+8210****0001: as of its last event, 2026-11-16T03:00:02.000Z")
    assert "In force:\n  burst (enforce) from 2026-11-16T03:00:02.000Z until 2026-11-17T03:00:02.000Z (s)" in said
    assert "sent 3 >= most 3 and people 3 >= 2" in said
    assert "fires: blocks" in said
    assert [one.rule.name for one in told if one.rule.name in ("burst", "spoofed")] == ["burst", "spoofed"]
    assert {one.reading for one in told} == {VOUCHED}


def test_a_condition_on_the_record_is_said_to_hang_on_it() -> None:
    text = RULES.replace('live >= 1 and caller_type == "mobile"', 'origin == "international"').replace(
        "sent >= most and people >= 2", 'sent >= most and origin == "international"'
    )
    trial = Trial(load_text(text), lambda change: None)
    trial.run([kcat_line(message(n)) for n in range(3)], "drawn")
    known = trial.engine.known_of(821011110001, 0)
    (burst,) = (one for one in told_now(known) if one.rule.name == "burst")
    assert [(part.holds, part.fails) for part in burst.conditions] == [
        (True, ""), (None, "depends on the record's origin"),
    ]  # fmt: skip


def test_a_number_that_was_never_seen_has_nothing() -> None:
    trial, _ = run([message(0)])
    known = trial.engine.known_of(821099999999, 0)
    assert (known.sights, known.holds, known.rulings) == ([], [], [])
    assert next(lines(known, "+8210****9999", [])) == "+8210****9999: nothing is counted"
