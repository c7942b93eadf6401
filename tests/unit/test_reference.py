"""The engine against a plain second version of it, written from the design: the same bytes for any traffic."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load, load_text, packs
from rules.model import RuleSet
from schemas import topics
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.holds.number_order import REFUSALS
from streams.ingest.epoch import OutRecord
from streams.kafka.partition import partition_of
from streams.traffic.generate import TrafficSettings, generate
from tests.reference.orders import ACTIONS
from tests.reference.reference import Line, Produced, Reference
from tests.reference.rule_files import OTHER_FILES, RULE_FILES, SMALL_FILES
from tests.reference.small_traffic import MONDAY_0859_MS, as_printed, kcat_line, laid_out, steps, traffic

EVERY = (topics.MESSAGE_RELAY, topics.CDR, topics.REPORTS, topics.TRAPS)
OUTPUTS = (
    topics.BLOCK_EVENTS,
    topics.BLOCK_HISTORY,
    topics.REVIEW_QUEUE,
    topics.SHADOW_EVENTS,
    topics.SANCTIONS,
    topics.DEAD_LETTERS,
)

_MANY = re.compile(rb'("counter":"(?:callees|callees_1d|recipients|contents)","value":)(?:3[3-9]|[4-9]\d|\d{3,})\.\d+')


@lru_cache
def rules_of(name: str) -> RuleSet:
    return load_text((RULE_FILES | OTHER_FILES | SMALL_FILES)[name], f"{name}.yaml")


def replayed(rules: RuleSet, lines: list[Line], batch_lines: int, also: tuple[str, ...] = ()) -> list[Produced]:
    out: list[OutRecord] = []
    replay = Replay(Engine(rules, also=also, expire_by_clock=True), out.append, batch_lines)
    replay.run(map(kcat_line, lines), "lines")
    assert replay.summary.bad_lines == 0
    return [Produced(r.topic, r.key, r.value, tuple(r.headers)) for r in out]


def referred(rules: RuleSet, lines: list[Line], also: tuple[str, ...] = ()) -> list[Produced]:
    return Reference(rules, also=also).run(map(as_printed, lines))


def generated(seed: int, minutes: int, rate: float) -> list[Line]:
    """Synthetic traffic as four partitions of each topic would hold it."""
    offsets: Counter[tuple[str, int]] = Counter()
    out = []
    for record in generate(TrafficSettings(seed=seed, duration_ms=minutes * 60_000, rate=rate, offenders_per_kind=1)):
        partition = partition_of(record.key, 4)
        out.append(Line(record.topic, partition, offsets[record.topic, partition], record.timestamp_ms, record.value))
        offsets[record.topic, partition] += 1
    return out


def exact(produced: list[Produced]) -> list[Produced]:
    """More than 32 distinct values are an estimate, so their number is struck out. Windows of an hour forget none of
    this traffic, so that no count comes back down, and conditions ask for 32 at most."""
    return [replace(record, value=_MANY.sub(rb"\1", record.value or b"")) for record in produced]


def by_topic(produced: list[Produced]) -> dict[str, list[Produced]]:
    assert {record.topic for record in produced} <= set(OUTPUTS)
    return {topic: [record for record in produced if record.topic == topic] for topic in OUTPUTS}


def in_two(produced: list[Produced]) -> tuple[list[Produced], list[Produced]]:
    """Decisions and dead letters: they go to different places, so their order among each other means nothing."""
    dead = [record for record in produced if record.topic == topics.DEAD_LETTERS]
    return [record for record in produced if record.topic != topics.DEAD_LETTERS], dead


def assert_same(got: list[Produced], want: list[Produced]) -> None:
    for (topic, mine), theirs in zip(by_topic(got).items(), by_topic(want).values(), strict=True):
        for i, (a, b) in enumerate(zip(mine, theirs, strict=False)):
            assert a == b, f"record {i} of {topic}:\n{a}\ninstead of\n{b}"
        assert len(mine) == len(theirs), f"{topic}: {(mine + theirs)[min(len(mine), len(theirs))]}"


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic(), batch_lines=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_a_replay_of_any_traffic_gives_what_the_reference_gives(name: str, lines: list[Line], batch_lines: int) -> None:
    rules = rules_of(name)
    assert_same(replayed(rules, lines, batch_lines), referred(rules, lines))


@given(lines=traffic(topics=EVERY), batch_lines=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_reports_and_traps_beside_calls_and_messages_give_what_the_reference_gives(
    lines: list[Line], batch_lines: int
) -> None:
    rules = rules_of("others")
    assert_same(replayed(rules, lines, batch_lines), referred(rules, lines))


def within_a_day(step: dict[str, Any]) -> dict[str, Any]:
    """Rows about others are kept for a day behind the newest event of their partition, whichever feed told it: of 90
    steps like this none is further behind."""
    return step | {"step": min(step["step"], 600_000)}


@given(drawn=st.lists(steps(EVERY[:3]).map(within_a_day), min_size=1, max_size=60), batch_lines=st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_counts_for_others_than_numbers_give_what_the_reference_gives(
    drawn: list[dict[str, Any]], batch_lines: int
) -> None:
    rules, lines = rules_of("derived"), laid_out(MONDAY_0859_MS, drawn)
    assert_same(replayed(rules, lines, batch_lines), referred(rules, lines))


def test_the_traffic_that_is_drawn_makes_every_rule_about_others_recommend_the_same() -> None:
    made: Counter[tuple[str, str]] = Counter()

    @given(drawn=st.lists(steps(EVERY[:3]).map(within_a_day), min_size=60, max_size=90))
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    def run(drawn: list[dict[str, Any]]) -> None:
        lines = laid_out(MONDAY_0859_MS, drawn)
        wanted = referred(rules_of("derived"), lines)
        assert_same(replayed(rules_of("derived"), lines, 20), wanted)
        for record in wanted:
            if record.topic == topics.SANCTIONS:
                told = orjson.loads(record.value or b"")
                made[told["rule"], told["change"]] += 1

    run()
    assert made.keys() >= {(rule.name, "opened") for rule in rules_of("derived").rules if rule.recommend}
    assert {change for _, change in made} == {"opened", "extended"}


ORDERED = (topics.MESSAGE_RELAY, topics.CONTROL)


@given(lines=traffic(most=60, topics=ORDERED), batch_lines=st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_orders_about_numbers_amid_traffic_give_what_the_reference_gives(lines: list[Line], batch_lines: int) -> None:
    rules = rules_of("orders")
    assert_same(replayed(rules, lines, batch_lines, ORDERED[1:]), referred(rules, lines, ORDERED[1:]))


def test_the_orders_that_are_drawn_are_obeyed_and_refused_in_every_way() -> None:
    answers: set[tuple[str, str]] = set()

    @given(lines=st.lists(steps(ORDERED), min_size=60, max_size=90).map(lambda drawn: laid_out(MONDAY_0859_MS, drawn)))
    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    def run(lines: list[Line]) -> None:
        for record in referred(rules_of("orders"), lines, ORDERED[1:]):
            row = orjson.loads(record.value or b"{}") if record.topic == topics.BLOCK_HISTORY else {}
            if "order" in row and "hold" not in row:
                answers.add((row["order"]["action"], row["why"] or "obeyed"))

    run()
    obeyed = {action for action, answer in answers if answer == "obeyed"}
    assert obeyed == set(ACTIONS)
    drawn_by_luck = {"no_number", "protected", "too_many", "no_change"}
    assert {answer for _, answer in answers} - {"obeyed"} - drawn_by_luck == REFUSALS.keys() - drawn_by_luck


def test_the_traffic_that_is_drawn_makes_every_rule_on_reports_and_traps_fire() -> None:
    fired: set[tuple[str, str]] = set()

    @given(lines=traffic(topics=EVERY))
    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    def run(lines: list[Line]) -> None:
        for record in referred(rules_of("others"), lines):
            if record.topic in OUTPUTS[:4] and record.topic != topics.BLOCK_HISTORY:
                fired.add((orjson.loads(record.value or b"")["hold"]["rule"], record.topic))

    run()
    assert {rule for rule, _ in fired} == {rule.name for rule in rules_of("others").rules}
    assert ("reported", topics.REVIEW_QUEUE) in fired, "nobody vouches for a reported number"
    assert {("reported", topics.BLOCK_EVENTS), ("sends-and-is-reported", topics.BLOCK_EVENTS)}.isdisjoint(fired)
    assert {("trapped", topics.BLOCK_EVENTS), ("dials-and-is-trapped", topics.BLOCK_EVENTS)} <= fired


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic())
@settings(max_examples=8, deadline=None)
def test_where_batches_end_changes_no_byte(name: str, lines: list[Line]) -> None:
    one, seven, all_at_once = (in_two(replayed(rules_of(name), lines, batch)) for batch in (1, 7, 10_000))
    assert one == seven == all_at_once


def test_generated_traffic_through_the_shipped_rules_gives_what_the_reference_gives() -> None:
    rules, lines = load([packs()]), generated(seed=3, minutes=8, rate=3)
    got = replayed(rules, lines, 1000)
    assert_same(exact(got), exact(referred(rules, lines)))
    assert in_two(got) == in_two(replayed(rules, lines, 50))
    assert len({orjson.loads(r.value or b"")["hold"]["rule"] for r in got if r.topic != topics.DEAD_LETTERS}) >= 3


# ------------------------------------------------------------------------------- what such comparisons have found once


def line(offset: int, record: dict[str, object], topic: str = topics.MESSAGE_RELAY) -> Line:
    return Line(topic, 0, offset, -1, orjson.dumps(record))


def message(n: int, **more: object) -> dict[str, object]:
    told = {"message_id": f"m{n}", "at": MONDAY_0859_MS + n, "sender": "+821011110001", "recipient": "+821099900001"}
    return told | more


def test_an_epoch_may_lack_records_of_a_topic_that_rules_read() -> None:
    call = {"call_id": "c", "event": "setup", "at": MONDAY_0859_MS, "caller": "+821011110001", "callee": "114"}
    lines = [line(0, call, topics.CDR), line(0, message(0))]
    assert replayed(load([packs()]), lines, 1) == []


def test_one_record_makes_one_event_a_lane_also_when_its_changes_alternate_between_lanes() -> None:
    at_ms = MONDAY_0859_MS + 120_000
    lines = [line(n, message(n, at=at_ms, recipient=f"01099900{n:03}", text=f"t{n}")) for n in range(2)]
    got = by_topic(replayed(rules_of("messages"), lines, 10))
    (event,) = got[topics.REVIEW_QUEUE]
    assert [hold["rule"] for hold in orjson.loads(event.value or b"")["holds"]] == ["burst", "level"]
    assert len(got[topics.BLOCK_EVENTS]) == 1


@pytest.mark.parametrize("sender", ["030-1234-5678", "+821011110001", "+12025550123"])
def test_a_domestic_number_of_foreign_origin_is_reviewed_and_never_blocked(sender: str) -> None:
    lines = [line(n, message(n, sender=sender, verified="full", origin="international")) for n in range(3)]
    out = replayed(rules_of("many"), lines, 10)
    assert [r.topic for r in out if r.topic != topics.BLOCK_HISTORY] == [
        topics.BLOCK_EVENTS if sender.startswith("+1") else topics.REVIEW_QUEUE
    ]


def test_a_rule_may_ask_whether_a_counter_is_among_several_values() -> None:
    (event,) = replayed(rules_of("among"), [line(n, message(n, verified="full")) for n in range(2)], 10)[:1]
    (evidence,) = orjson.loads(event.value or b"")["hold"]["evidence"]
    assert (evidence["value"], evidence["limit"]) == (2.0, None)
