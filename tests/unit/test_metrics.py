"""The metrics that reach Prometheus."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from rules.load import load, packs
from rules.registry import Entry, InForce, Registry, empty
from schemas.registry import ALLOWED, BULK_SENDER
from streams.engine.contract import Outcome
from streams.engine.engine import Engine
from streams.ingest.epoch import RawBatch
from streams.runtime.metrics import UNCOUNTED, Metrics


def test_records_events_flaws_and_dead_letters_are_counted_by_topic_and_feed() -> None:
    metrics = Metrics()
    told = {
        ("cdr", "KT", "records", ""): 9, ("cdr", "cdr", "records", ""): 1, ("cdr", "KT", "events", "late"): 2,
        ("cdr", "KT", "dead", "bad_time"): 1, ("cdr", "KT", "flawed", "origin"): 3,
        ("cdr", "K\u202eT", "events", "accepted"): 5,
    }  # fmt: skip
    metrics.outcome(Outcome(by_feed=Counter(told)))
    assert metrics.value("records_total", topic="cdr") == 10
    assert metrics.value("records_total", topic="cdr", feed="KT") == 9
    assert metrics.value("events_total", feed="KT", outcome="late") == 2
    assert metrics.value("events_total", feed="K\\u202eT", outcome="accepted") == 5
    assert metrics.value("dead_letters_total", feed="KT", reason="bad_time") == 1
    assert metrics.value("flawed_fields_total", feed="KT", field="origin") == 3


def test_records_sent_to_their_numbers_partition_are_no_dead_letters() -> None:
    metrics = Metrics()
    metrics.outcome(Outcome(feeds={"cdr": Counter(records=9, rekeyed=4, strayed_twice=1)}))
    assert metrics.value("rekeyed_total", topic="cdr") == 4
    assert metrics.value("dead_letters_total") == 0


def test_the_lag_of_a_partition_given_up_disappears() -> None:
    metrics = Metrics()
    metrics.observe({("cdr", 0): 7, ("cdr", 1): 3}, {"tracked_numbers": 2}, warming=True)
    metrics.observe({("cdr", 1): 4}, {"tracked_numbers": 2}, warming=False)
    told = metrics.render().decode()
    assert 'grayline_lag_records{partition="1",topic="cdr"} 4.0' in told
    assert 'partition="0"' not in told
    assert metrics.value("warming") == 0
    assert metrics.value("engine", size="tracked_numbers") == 2
    assert metrics.value("memory_bytes") > 0


def test_two_workers_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.trouble("_TRANSPORT")
    assert one.value("broker_trouble_total", code="_TRANSPORT") == 1
    assert other.value("broker_trouble_total", code="_TRANSPORT") == 0


def test_events_that_full_memory_left_uncounted_are_a_counter_from_0_on() -> None:
    metrics = Metrics()
    told = [line for line in metrics.render().decode().splitlines() if line.startswith("grayline_uncounted_events_t")]
    assert told == [f'grayline_uncounted_events_total{{reason="{reason}"}} 0.0' for reason in UNCOUNTED.values()]
    for untracked, narrowed in ((3, 0), (3, 2), (10, 2)):
        metrics.observe({}, {"untracked_events": untracked, "narrowed_events": narrowed}, warming=False)
    assert metrics.value("uncounted_events_total", reason="untracked") == 10
    assert metrics.value("uncounted_events_total", reason="narrowed") == 2
    assert "untracked_events" not in metrics.render().decode()


def test_an_engine_tells_what_it_could_not_count() -> None:
    engine = Engine(load([packs()]), numbers_max=1)
    calls = [call(n, caller) for n, caller in enumerate(("+821011110001", "+821011110002", "+821011110002"))]
    engine.step([engine.decoders["cdr"].decode(raw("cdr", calls))])
    metrics = Metrics()
    metrics.observe({}, engine.stats(), warming=False)
    assert metrics.value("uncounted_events_total", reason="untracked") == 2
    assert metrics.value("engine", size="tracked_numbers") == 1
    assert engine.stats().keys() >= UNCOUNTED.keys()


def call(n: int, caller: str) -> bytes:
    told = {"call_id": f"c{n}", "event": "setup", "at": 1_794_798_000_000, "caller": caller, "callee": "+821099990000"}
    return json.dumps(told).encode()


def raw(topic: str, values: list[bytes]) -> RawBatch:
    n = len(values)
    offsets = np.arange(n)
    return RawBatch(topic, offsets, np.zeros(n, np.int32), offsets, np.full(n, -1, np.int64), list(values), None)


def test_entries_of_the_registry_are_shown_by_kind_and_state() -> None:
    metrics = Metrics()
    days = [(0, 10), (0, 1_000_000), (900_000, 1_000_000)]
    files = Registry.of([Entry(ALLOWED, 0, 8210 + i, since, until, "o", "r") for i, (since, until) in enumerate(days)])
    told = Registry.of([Entry(BULK_SENDER, 4, 8210, 0, 1_000_000, "o", "r")])
    metrics.observe_registry(InForce(files, told), 600_000)
    shown = {
        (kind, state): metrics.value("registry_entries", kind=kind, state=state)
        for kind in ("allowed", "bulk_sender", "institution")
        for state in ("in_force", "expired", "coming")
    }
    assert {of: count for of, count in shown.items() if count} == {
        ("allowed", "in_force"): 1, ("allowed", "expired"): 1, ("allowed", "coming"): 1, ("bulk_sender", "in_force"): 1,
    }  # fmt: skip
    metrics.observe_registry(InForce(empty(), told), 600_000)
    assert metrics.value("registry_entries", kind="allowed", state="in_force") == 0


def test_a_feed_that_is_ahead_of_its_log_is_shown_with_how_far() -> None:
    metrics = Metrics()
    metrics.outcome(Outcome(skew_ms={("cdr", "switch-1"): 90_500}))
    metrics.outcome(Outcome(skew_ms={("cdr", "switch-2"): -32_400_000}))
    assert metrics.value("feed_skew_seconds", topic="cdr", feed="switch-1") == 90.5
    assert metrics.value("feed_skew_seconds", topic="cdr", feed="switch-2") == -32_400


def test_the_time_from_a_record_to_its_block_is_shown_with_the_ten_minutes_that_it_may_take() -> None:
    metrics = Metrics()
    at = 1_794_798_000_000
    for waited_ms in (800, 600_000, 600_001):
        metrics.visible([("reports", "opened", at, at - 1_000_000)], at + waited_ms)
    metrics.visible([("cdr", "opened", None, at), ("control", "released", at + 9, at + 9)], at)
    asked = {"topic": "reports", "change": "opened", "since": "record"}
    assert metrics.value("block_visible_seconds_count", **asked) == 3
    assert metrics.value("block_visible_seconds_bucket", le="600.0", **asked) == 2
    assert metrics.value("block_visible_seconds_bucket", le="600.0", topic="reports", since="event") == 0
    assert metrics.value("block_visible_seconds_count", topic="cdr", since="record") == 0
    assert metrics.value("block_visible_seconds_count", topic="cdr", since="event") == 1
    assert metrics.value("block_visible_seconds_sum", topic="control", change="released", since="record") == 0


def test_the_wait_for_a_block_is_a_histogram_from_0_on() -> None:
    told = Metrics().render().decode()
    assert 'grayline_block_visible_seconds_count{change="opened",since="record",topic="reports"} 0.0' in told
