"""The guard behind a change of rules: what the changed ones open beyond their limit waits for people."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rules.load import load_text
from schemas.topics import CDR
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.holds.breaker import NOTHING, Breaker
from streams.holds.firings import ENFORCE
from streams.holds.ledger import Ledger
from streams.holds.rules_guard import HELD, MINUTES, GuardLimits

START_MS = 1_794_798_000_000
M = START_MS // 60_000
PLACE = (CDR, 0)
RULES = """
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - {name: old, summary: one, when: rate >= 50, then: {block: [calls], for: 1d}, mode: enforce}
  - {name: seen, summary: two, when: rate >= LEAST, then: {block: [calls], for: 1d}, mode: MODE}
"""


def rules(least: int = 9, mode: str = "enforce", summary: str = "two"):
    return load_text(RULES.replace("LEAST", str(least)).replace("MODE", mode).replace("two", summary))


def changed(limits: GuardLimits, before: Any = None, now: Any = None, active: int = 0) -> Breaker:
    breaker = Breaker(guard=limits)
    breaker.change(before or rules(), now or rules(5), holding(active), 1)
    return breaker


def holding(active: int) -> Ledger:
    """A ledger with so many enforced holds."""
    ledger = Ledger(["old"])
    for n in range(active):
        ledger.open((821011110000 + n, 0, ENFORCE), START_MS, START_MS + 9, 0)
    return ledger


def asked(breaker: Breaker, count: int, minute: int = M, rule: str = "seen", first: int = 0) -> str:
    answers = [breaker.ask(PLACE, minute, rule, 821000000000 + n) for n in range(first, first + count)]
    return "".join({"": ".", HELD: "h"}[answer] for answer in answers)


def test_a_changed_rule_opens_up_to_the_limit_and_nothing_behind_it() -> None:
    breaker = changed(GuardLimits(3))
    assert asked(breaker, 5) == "...hh"
    assert asked(breaker, 2, M + MINUTES + 500, first=9) == "hh", "time does not end what holds"
    assert [str(trip)[:37] for trip in breaker.trips()] == ["the changed rules block too much: in "]


def test_an_hour_without_too_much_ends_it() -> None:
    breaker = changed(GuardLimits(3))
    assert asked(breaker, 3) == "..."
    assert asked(breaker, 9, M + MINUTES, first=5) == "." * 9


def test_a_share_of_the_holds_in_force_passes_if_that_is_more() -> None:
    assert asked(changed(GuardLimits(2, 0.1), active=40), 5) == "....h"
    assert asked(changed(GuardLimits(2, 0.1), active=10), 5) == "..hhh"


@pytest.mark.parametrize(
    ("now", "rule", "held"),
    [
        (rules(5), "seen", True), (rules(5), "old", False), (rules(9, summary="other words"), "seen", False),
        (rules(5, "review"), "seen", False),
    ],
    ids=["changed", "not changed", "other words", "for people"],
)  # fmt: skip
def test_only_rules_that_enforce_and_say_something_else_are_guarded(now: Any, rule: str, held: bool) -> None:
    assert asked(changed(GuardLimits(0, 0.001), now=now), 2, rule=rule) == ("hh" if held else "..")


def test_a_rule_that_leaves_shadow_is_guarded() -> None:
    assert asked(changed(GuardLimits(1), before=rules(mode="shadow"), now=rules()), 3) == ".hh"


def test_the_same_rules_once_more_end_it_and_others_begin_anew() -> None:
    breaker = changed(GuardLimits(1))
    assert asked(breaker, 2) == ".h"
    breaker.change(rules(5), rules(5), holding(0), 1)
    assert asked(breaker, 5, first=9) == "....."
    breaker.change(rules(5), rules(4), holding(0), 1)
    assert asked(breaker, 3, first=20) == ".hh"


def test_without_limits_there_is_no_guard() -> None:
    breaker = changed(GuardLimits())
    assert breaker.is_idle
    assert asked(breaker, 5) == "....."


def test_a_guard_goes_on_from_its_row_and_one_that_is_over_does_not_come_back() -> None:
    breaker = changed(GuardLimits(1))
    assert asked(breaker, 2) == ".h"
    ((partition, row),) = breaker.changed_rows()
    other = Breaker()
    other.load(partition, row)
    assert orjson.loads(row)["format"] == 3
    assert other.row(partition) == row
    assert asked(other, 1, first=7) == "h"
    breaker.change(rules(5), rules(5), holding(0), 1)
    assert breaker.changed_rows() == [(partition, NOTHING)]
    other.load(partition, NOTHING)
    assert asked(other, 2, first=9) == ".."


def calls(numbers: int, each: int) -> list[bytes]:
    out = []
    for i in range(numbers * each):
        at_ms = START_MS + 10 * i
        value = {"call_id": f"c{i}", "event": "setup", "at": at_ms, "caller": f"010-1111-{i % numbers:04d}",
                 "callee": f"010-2222-{i:04d}", "verified": "full", "origin": "domestic"}  # fmt: skip
        line = {"topic": "cdr", "partition": 0, "offset": i, "ts": at_ms, "payload": orjson.dumps(value).decode()}
        out.append(orjson.dumps(line))
    return out


@pytest.mark.parametrize("batch_lines", [1, 7, 10_000])
def test_an_engine_under_changed_rules_blocks_up_to_the_limit_and_shows_the_rest_to_people(batch_lines: int) -> None:
    before = Engine(rules(50), expire_by_clock=True, breaker=Breaker(guard=GuardLimits(4)))
    engine = before.with_rules(rules(5))
    out: list[tuple[str, dict[str, Any]]] = []
    replay = Replay(engine, lambda record: out.append((record.topic, orjson.loads(record.value or b"{}"))), batch_lines)
    replay.run(calls(10, 6), "calls")
    blocked = {value["number"] for topic, value in out if topic == "block-events"}
    shown = [value["hold"] for topic, value in out if topic == "review-queue" and value["change"] == "opened"]
    assert (len(blocked), len(shown)) == (4, 6)
    assert {hold["diverted"] for hold in shown} == {HELD}
