"""Reports, traps and orders of operators in the engine: told apart, sent home, counted, or read only."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rules.load import load_text
from schemas.decoding import check_all
from schemas.feeds import FEEDS
from schemas.topics import (
    BLOCK_EVENTS,
    BLOCK_HISTORY,
    CDR,
    CONTROL,
    DEAD_LETTERS,
    MESSAGE_RELAY,
    REKEYED,
    REPORTS,
    REVIEW_QUEUE,
    TRAPS,
)
from streams.captures.check import Check, lines
from streams.captures.samples import Item, Sample
from streams.engine.engine import Engine, Outcome
from streams.engine.warm_records import records
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import RawBatch
from streams.kafka.partition import partition_of
from streams.traffic.generate import Traffic, TrafficSettings

AT_MS = 1_794_798_000_000
MINUTE, HOUR = 60_000, 3_600_000
NUMBER, TRAP = "+827011110001", "+82299990077"
RULES = """
counters:
  people: {on: reports, per: number, distinct: reporter, window: 1d}
  hits:   {on: traps, per: sender, count: events, window: 1d}
  dialled: {on: cdr.setup, per: caller, count: events, window: 1d}
  sent:   {on: message-relay, per: sender, count: events, window: 1d}
rules:
  - {name: reported, summary: three people, when: people >= 3, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 7d}}
  - {name: trapped, summary: three hits, when: hits >= 3, mode: enforce, spoofable: accepted,
     then: {block: [calls, messages], directions: [outgoing], for: 1d}}
  - {name: calls-and-reported, summary: calls and two people, when: dialled >= 2 and people >= 2, mode: enforce,
     spoofable: accepted, then: {block: [calls], directions: [outgoing], for: 2d}}
  - {name: writes-and-reported, summary: messages and two people, when: sent >= 2 and people >= 2, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 2d}}
"""


def report(i: int, **more: Any) -> dict[str, Any]:
    return {"report_id": f"r{i}", "at": AT_MS + i, "number": NUMBER, "reporter": f"+8210999900{i:02}"} | more


def hit(i: int, **more: Any) -> dict[str, Any]:
    return {"at": AT_MS + i, "sender": NUMBER, "trap": TRAP, "depth": "record"} | more


def order(i: int, **more: Any) -> dict[str, Any]:
    told = {"id": f"o{i}", "at": AT_MS + i, "number": NUMBER, "action": "release", "operator": "kim", "reason": "wrong"}
    return told | more


def call(i: int) -> dict[str, Any]:
    return {
        "call_id": f"c{i}",
        "event": "setup",
        "at": AT_MS + i,
        "caller": NUMBER,
        "callee": "114",
        "verified": "full",
    }


def message(i: int) -> dict[str, Any]:
    return {"message_id": f"m{i}", "at": AT_MS + i, "sender": NUMBER, "recipient": "114", "verified": "full"}


MAKE = {REPORTS: report, TRAPS: hit, CONTROL: order, CDR: call, MESSAGE_RELAY: message}


def batch(topic: str, records: list[dict[str, Any]], first: int = 0, partition: int = 0) -> RawBatch:
    n = len(records)
    order = np.arange(n) + first
    values = [json.dumps(record).encode() for record in records]
    return RawBatch(topic, order, np.full(n, partition, np.int32), order, np.full(n, AT_MS + HOUR), values)


def step(engine: Engine, topic: str, records: list[dict[str, Any]], first: int = 0) -> Outcome:
    return engine.step(decode_share(engine, batch(topic, records, first)))


def engine_of(text: str = RULES, also: tuple[str, ...] = ()) -> Engine:
    engine = Engine(load_text(text), also=also)
    engine.partitions = 1
    return engine


def opened(*outcomes: Outcome) -> set[tuple[str, str]]:
    """(topic, rule) of what was opened."""
    published = [
        (record.topic, json.loads(record.value or b"{}"))
        for outcome in outcomes
        for record in outcome.records
        if record.topic in (BLOCK_EVENTS, REVIEW_QUEUE)
    ]
    return {(topic, value["hold"]["rule"]) for topic, value in published if value["change"] == "opened"}


# ----------------------------------------------------------------------------------------------------- told apart


@pytest.mark.parametrize(
    ("topic", "same", "others"),
    [
        (REPORTS, [report(1, at=AT_MS), report(1, at=AT_MS + 9)], [report(2), report(3, reporter="114")]),
        (TRAPS, [hit(0), hit(0, text="again", sender="070-1111-0001")], [hit(1), hit(0, trap="+82299990078")]),
        (CONTROL, [order(1), order(1)], [order(2)]),
    ],
)
def test_the_same_twice_counts_once(topic: str, same: list[Any], others: list[Any]) -> None:
    told = step(engine_of(also=(CONTROL,)), topic, [*same, *others]).feeds[topic]
    assert (told["records"], told["accepted"], told["duplicate"]) == (len(same + others), 1 + len(others), 1)


@pytest.mark.parametrize("topic", FEEDS)
def test_a_record_in_another_partition_than_its_numbers_goes_home(topic: str) -> None:
    engine = Engine(load_text(RULES), also=(CONTROL,))
    engine.partitions = 4
    home = partition_of(NUMBER.encode(), 4)
    (part,) = decode_share(engine, batch(topic, [MAKE[topic](1)], partition=(home + 1) % 4))
    assert len(part) == 0
    (stray,) = part.rekeyed
    assert (stray.topic, stray.key, stray.partition) == (REKEYED, NUMBER.encode(), home)
    raw = batch(topic, [MAKE[topic](1)], partition=home)
    back = RawBatch(
        REKEYED, raw.order, raw.partition, raw.offset, raw.timestamp, [stray.value], headers=[list(stray.headers)]
    )
    counted, _ = decode_share(engine, back)
    assert (counted.topic, counted.columns["number"].tolist()) == (topic, [int(NUMBER)])


@pytest.mark.parametrize("topic", FEEDS)
def test_records_that_warm_the_kernels_are_right_records_of_every_topic(topic: str) -> None:
    values = [value for value in records(FEEDS[topic], AT_MS, 50) if value != b"{}"]
    assert len(values) == 50
    assert [check_all(topic, value) for value in values] == [[]] * 50


# ------------------------------------------------------------------------------------------------------- counted


def test_people_are_counted_and_not_their_reports_and_nobody_vouches_for_the_number() -> None:
    engine = engine_of()
    again = [report(i, reporter="010-9999-0001") for i in range(8)]
    assert opened(step(engine, REPORTS, again)) == set()
    assert opened(step(engine, REPORTS, [report(20), report(21)], 8)) == {(REVIEW_QUEUE, "reported")}


def test_hits_of_a_trap_block_where_the_rule_accepts_evidence_that_nobody_vouches_for() -> None:
    outcome = step(engine_of(), TRAPS, [hit(0), hit(0), hit(1)])
    assert opened(outcome) == set()
    engine = engine_of()
    outcome = step(engine, TRAPS, [hit(0), hit(1), hit(2)])
    assert opened(outcome) == {(BLOCK_EVENTS, "trapped")}
    assert TRAP.encode() not in b"".join(record.value or b"" for record in outcome.records)


@pytest.mark.parametrize(
    ("topic", "told"),
    [(CDR, (BLOCK_EVENTS, "calls-and-reported")), (MESSAGE_RELAY, (REVIEW_QUEUE, "writes-and-reported"))],
)
@pytest.mark.parametrize("reports_first", [True, False])
def test_a_rule_joins_reports_with_what_the_same_number_does(
    topic: str, told: tuple[str, str], reports_first: bool
) -> None:
    engine = engine_of()
    shares = [(REPORTS, [report(1), report(2)]), (topic, [MAKE[topic](3), MAKE[topic](4)])]
    first, second = shares if reports_first else shares[::-1]
    assert opened(step(engine, *first)) == set()
    assert opened(step(engine, *second, 10)) == {told}


def test_a_rule_may_ask_what_a_report_is_about_and_how_deep_a_trap_was() -> None:
    rules = """
counters:
  calls: {on: reports, per: number, distinct: reporter, window: 1d, where: kind == "call"}
  heard: {on: traps, per: sender, distinct: source_ip, window: 1d, where: 'depth in ("limited", "full")'}
rules:
  - {name: calls, summary: s, when: calls >= 2 and number_type == "voip" and reporter_type == "mobile", mode: review,
     then: {block: [calls], directions: [outgoing], for: 1d}}
  - {name: heard, summary: s, when: heard >= 2 and depth == "full", mode: review,
     then: {block: [calls], directions: [outgoing], for: 1d}}
"""
    engine = engine_of(rules)
    assert not opened(step(engine, REPORTS, [report(1, kind="call"), report(2, kind="message"), report(3)]))
    assert opened(step(engine, REPORTS, [report(4, kind="call")], 3)) == {(REVIEW_QUEUE, "calls")}
    hits = [hit(i, source_ip=f"192.0.2.{i}") for i in range(3)] + [hit(5, depth="full", source_ip="192.0.2.5")]
    assert not opened(step(engine, TRAPS, hits, 10))
    hits = [hit(6, depth="limited", source_ip="192.0.2.6"), hit(7, depth="full")]
    assert not opened(step(engine, TRAPS, hits, 20)), "a hit without an address counts nowhere in that rule"
    assert opened(step(engine, TRAPS, [hit(8, depth="full", source_ip="192.0.2.6")], 30)) == {(REVIEW_QUEUE, "heard")}


REPORTED = """
counters:
  people: {on: reports, per: number, distinct: reporter, window: 1d}
rules:
  - {name: reported, summary: s, when: people >= 3, mode: review,
     then: {block: [calls], directions: [outgoing], for: 7d}}
"""


def test_a_rule_on_generated_reports_finds_offenders_and_leaves_whom_several_report_by_mistake_to_people() -> None:
    traffic = Traffic(TrafficSettings(seed=3, duration_ms=6 * HOUR, rate=5, reports=True))
    told = [record for record in traffic if record.topic == REPORTS]
    labels = traffic.report_labels()
    guilty = {label.number for label in traffic.labels() if not label.innocent}
    assert {"mistake", "malicious"} <= {label.kind for label in labels if label.number not in guilty}
    n = len(told)
    at = np.array([record.timestamp_ms for record in told])
    raw = RawBatch(REPORTS, np.arange(n), np.zeros(n, np.int32), np.arange(n), at, [record.value for record in told])
    engine = engine_of(REPORTED)
    outcome = engine.step(decode_share(engine, raw))
    again = sum(label.kind == "duplicate" for label in labels)  # delivered twice, or tapped twice
    assert outcome.feeds[REPORTS]["duplicate"] == again > 0
    found = {(record.key or b"").decode() for record in outcome.records}
    assert len(found & guilty) > 10
    # A bank that writes to everybody stands below the offender's call in many a list.
    assert len(found & guilty) > 5 * len(found - guilty)
    assert {record.topic for record in outcome.records} == {REVIEW_QUEUE}
    malicious = {label.number for label in labels if label.kind == "malicious"}
    only_one = malicious - {label.number for label in labels if label.kind in ("true", "mistake")}
    assert only_one
    assert not found & only_one, "whoever reports alone, however often, is one person"


# ------------------------------------------------------------------------------------- read, checked, not counted

NEITHER = {"late": 0, "future": 0}
ONE_RULE = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1d}
rules:
  - {name: sent, summary: s, when: sent >= 3, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
"""


def test_what_is_read_and_not_counted_is_checked_whole_and_changes_no_other_output() -> None:
    alone, both = engine_of(ONE_RULE), engine_of(ONE_RULE, (CONTROL, REPORTS))
    assert (alone.topics, both.topics) == ((MESSAGE_RELAY,), (CONTROL, MESSAGE_RELAY, REPORTS))
    orders = [order(1), order(1), order(2, until="noon"), order(3, rule="")]
    outcome = step(both, CONTROL, orders)
    told = outcome.feeds[CONTROL]
    assert (told["records"], told["accepted"], told["duplicate"], told["bad_time"], told["bad_value"]) == (
        4,
        1,
        1,
        1,
        1,
    )
    assert [record.topic for record in outcome.records] == [DEAD_LETTERS, DEAD_LETTERS, BLOCK_HISTORY]
    assert not step(both, REPORTS, [report(i) for i in range(9)]).records
    sent = [message(i) for i in range(5)]
    assert step(both, MESSAGE_RELAY, sent).records == step(alone, MESSAGE_RELAY, sent).records
    assert both.stats()["tracked_numbers"] == alone.stats()["tracked_numbers"] == 1


def test_a_report_that_is_not_counted_survives_a_restart_as_one_that_was_there() -> None:
    one, another = engine_of(ONE_RULE, (REPORTS,)), engine_of(ONE_RULE, (REPORTS,))
    step(one, REPORTS, [report(1)])
    step(one, MESSAGE_RELAY, [message(1)])
    for piece in one.image(0, whole=True):
        another.load(0, piece)
    assert another.digest(0) == one.digest(0)
    assert step(another, REPORTS, [report(1)]).feeds[REPORTS]["duplicate"] == 1


def test_rules_come_to_count_what_was_only_read_warming_and_cease_to() -> None:
    engine = engine_of(ONE_RULE, (REPORTS,))
    step(engine, REPORTS, [report(1), report(2)])
    counting = engine.with_rules(load_text(ONE_RULE.replace("rules:", COUNT_REPORTS)))
    assert counting.topics == (MESSAGE_RELAY, REPORTS)
    assert counting.warming() == 1
    outcome = step(counting, REPORTS, [report(1), report(3), report(4)], 10)
    assert outcome.feeds[REPORTS]["duplicate"] == 1, "what was there before the change is known"
    assert opened(outcome) == {(REVIEW_QUEUE, "reported")}
    evidence = json.loads(outcome.records[0].value or b"")["hold"]["evidence"]
    assert [(told["value"], told["warming"]) for told in evidence] == [(2.0, True)]
    again = counting.with_rules(load_text(ONE_RULE))
    assert again.topics == (MESSAGE_RELAY, REPORTS)
    assert not step(again, REPORTS, [report(5), report(6), report(7)], 20).records
    again.maintain()


COUNT_REPORTS = """  people: {on: reports, per: number, distinct: reporter, window: 1d}
rules:
  - {name: reported, summary: s, when: people >= 2, mode: review,
     then: {block: [calls], directions: [outgoing], for: 1d}}"""


def test_a_quiet_topic_that_no_rule_counts_holds_back_no_row_of_rules_across_topics() -> None:
    tracked = []
    for also in ((), (CONTROL,)):
        engine = engine_of(RULES.replace("1d", "10m"), also)
        if also:
            step(engine, CONTROL, [order(1)])
        # Of as many numbers as it takes for the clocks to be believed, and for more than an hour.
        for later in range(2):
            at_ms = AT_MS + 5 * later * HOUR
            for topic in (REPORTS, TRAPS, CDR, MESSAGE_RELAY):
                numbers = [
                    {FEEDS[topic].number: f"+8210555500{later}{n % 4}", "at": at_ms + n * MINUTE} for n in range(100)
                ]
                records = [MAKE[topic](100 * later + n) | told for n, told in enumerate(numbers)]
                raw = batch(topic, records, 100 * later)
                raw.timestamp[:] = [told["at"] for told in numbers]
                engine.step(decode_share(engine, raw))
        before = engine.stats()["tracked_numbers"]
        engine.maintain()
        tracked.append((before, engine.stats()["tracked_numbers"]))
    assert tracked[0] == tracked[1]
    assert tracked[0][0] == 2 * tracked[0][1]


# ---------------------------------------------------------------------------------------------------- records check


@pytest.mark.parametrize("topic", FEEDS)
def test_a_sample_of_each_topic_is_told_from_the_others_by_its_fields(topic: str) -> None:
    values = [json.dumps(MAKE[topic](i)).encode() for i in range(3)]
    check = Check()
    check.run(Sample("sample", "values", iter([Item(i, None, value) for i, value in enumerate([*values, values[0]])])))
    assert list(check.topics) == [topic]
    assert (check.bad_records, check.topics[topic].repeated_ids) == (0, 1)


@pytest.mark.parametrize("topic", FEEDS)
def test_a_field_that_no_record_has_is_told_with_what_that_costs(topic: str) -> None:
    record = MAKE[topic](1) | {"at": AT_MS}
    check = Check(topic)
    check.run(Sample("sample", "values", iter([Item(1, None, json.dumps(record).encode())])))
    told = check.as_json()["topics"][topic]["missing_costs"]
    lacking = {name for name in FEEDS[topic].missing if name not in record} - {"answer_at"}
    assert told == {name: FEEDS[topic].missing[name] for name in lacking}
    shown = "\n".join(lines(check))
    assert all(f"      {cost}" in shown for cost in told.values())
