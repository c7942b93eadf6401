"""What reaches Prometheus."""

from __future__ import annotations

from collections import Counter

from streams.metrics import Metrics
from tests.stand_in import Outcome


def test_verdicts_are_events_and_everything_else_a_feed_counts_is_a_dead_letter() -> None:
    metrics = Metrics()
    metrics.outcome(Outcome(feeds={"cdr": Counter(records=9, accepted=5, late=2, duplicate=1, zoneless_time=1)}))
    assert metrics.value("events_total", feed="cdr", outcome="accepted") == 5
    assert metrics.value("events_total", feed="cdr", outcome="late") == 2
    assert metrics.value("dead_letters_total", feed="cdr", reason="zoneless_time") == 1
    assert metrics.value("dead_letters_total", feed="cdr", reason="records") == 0


def test_the_lag_of_a_partition_given_up_disappears() -> None:
    metrics = Metrics()
    metrics.observe({("cdr", 0): 7, ("cdr", 1): 3}, {"tracked_numbers": 2}, warming=True)
    metrics.observe({("cdr", 1): 4}, {"tracked_numbers": 2}, warming=False)
    told = metrics.render().decode()
    assert 'grayline_lag_records{feed="cdr",partition="1"} 4.0' in told
    assert 'partition="0"' not in told
    assert metrics.value("warming") == 0
    assert metrics.value("engine", size="tracked_numbers") == 2
    assert metrics.value("memory_bytes") > 0


def test_two_workers_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.trouble("_TRANSPORT")
    assert one.value("broker_trouble_total", code="_TRANSPORT") == 1
    assert other.value("broker_trouble_total", code="_TRANSPORT") == 0
