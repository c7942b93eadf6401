"""`grayline demo` as its users start it, and the parts of it that must not mislead them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from rules.load import load
from schemas.topics import CDR, MESSAGE_RELAY, TOPICS
from streams.demo.feeder import UNREAD_BYTES_MAX, Feeder
from streams.demo.readback import ReadBack
from streams.demo.run import start_ms
from streams.demo.summary import KOREA, FeedCounts, Summary, blocked_by_rule, lost, review_by_reason, score_all
from streams.demo.view import Lines, Now, Screen
from streams.demo.warm import Warmth
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.operators.blocks import BlockHold, BlockState
from streams.traffic.generate import Traffic, TrafficSettings
from streams.traffic.labels import Label

ROOT = Path(__file__).parents[2]
LONG_S = 240.0  # kernels may have to be compiled first
RULES = """
counters:
  message_rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: twenty-a-minute
    summary: more than twenty messages a minute
    when: message_rate > 20
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
"""


def demo(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from streams.cli import main; main()", "demo", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRAYLINE_")}
    return subprocess.Popen(
        command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_the_demo_ends_by_itself_with_every_record_counted_and_offenders_caught() -> None:
    run = demo("--seconds", "5", "--json")
    out, lines = run.communicate(timeout=LONG_S)
    assert run.returncode == 0, lines
    told = json.loads(out)
    assert out.count("\n") == 1, "one JSON object and nothing else"
    assert (told["ok"], told["problems"]) == (True, [])
    assert set(told["feeds"]) == {CDR, MESSAGE_RELAY}
    for feed in told["feeds"].values():
        assert feed["produced"] == feed["processed"] == feed["committed"] > 1_000
    assert told["score"]["caught"] > 0
    assert told["score"]["unknown"] == 0
    assert told["blocks_by_rule"]
    assert told["event_time"]["start"] < told["event_time"]["reached"] < told["event_time"]["end"]
    assert "kcat -b 127.0.0.1:" in lines
    assert "\x1b" not in lines, "no terminal, no control sequences"


@pytest.mark.slow
def test_ctrl_c_ends_the_traffic_and_the_figures_are_for_what_was_fed(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    run = demo("--seconds", "600", "--json", "--rules", str(rules))
    assert run.stderr is not None
    for line in run.stderr:
        if " blocked " in line and " 0 events" not in line:
            break
    run.send_signal(signal.SIGINT)
    out, lines = run.communicate(timeout=LONG_S)
    assert run.returncode == 0, lines
    told = json.loads(out)
    assert told["interrupted"]
    assert list(told["feeds"]) == [MESSAGE_RELAY], "no rule reads calls"
    assert told["feeds"][MESSAGE_RELAY]["committed"] == told["feeds"][MESSAGE_RELAY]["produced"] > 0
    assert told["event_time"]["reached"] < told["event_time"]["end"]


def test_rules_that_are_wrong_are_refused_before_anything_starts(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES.replace("message_rate > 20", "message_rat > 20"))
    run = demo("--rules", str(rules))
    out, lines = run.communicate(timeout=LONG_S)
    assert run.returncode == 2
    assert out == ""
    assert "rules.yaml:" in lines
    assert "Traceback" not in lines


def test_a_record_that_is_not_counted_or_not_committed_is_a_failure() -> None:
    assert lost({CDR: FeedCounts(5, 5, 5)}) == []
    (uncounted,) = lost({CDR: FeedCounts(5, 4, 5), MESSAGE_RELAY: FeedCounts(7, 7, 7)})
    assert uncounted.startswith("cdr: 5 records were produced, 4 counted")
    assert len(lost({CDR: FeedCounts(5, 5, 4), MESSAGE_RELAY: FeedCounts(7, 8, 7)})) == 2


def test_the_feeder_waits_for_the_worker_and_the_broker_drops_nothing() -> None:
    """A worker that counts nothing: the feeder must stop short of what a partition can hold."""
    waiting, seen = threading.Event(), [-1]

    def processed() -> int:
        # Asked again without a record in between: the feeder waits.
        if feeder.produced.total() == seen[0]:
            waiting.set()
        seen[0] = feeder.produced.total()
        return 0

    with EmbeddedBroker(partitions=1) as broker:
        broker.create_topics(TOPICS)
        traffic = Traffic(TrafficSettings(rate=100.0))
        feeder = Feeder(traffic, KafkaSettings(broker.bootstrap), 1e9, processed)
        feeder.start()
        assert waiting.wait(LONG_S)
        feeder.end(LONG_S)
        assert feeder.done
        assert feeder.problem is None
        assert 1_000 < feeder.produced.total() < UNREAD_BYTES_MAX / 100
        assert sum(label.events for label in feeder.labels()) == feeder.produced.total()
        assert {CDR: offsets(broker, CDR), MESSAGE_RELAY: offsets(broker, MESSAGE_RELAY)} == {
            topic: (0, count) for topic, count in feeder.produced.items()
        }


def test_blocks_are_read_back_to_the_end_and_a_value_that_is_none_is_a_problem() -> None:
    from confluent_kafka import Producer

    with EmbeddedBroker(partitions=2) as broker:
        broker.create_topics(TOPICS)
        kafka = KafkaSettings(broker.bootstrap)
        producer = Producer(kafka.producer())
        for i in range(500):
            state = block(f"+8210{i:08d}", "one", at=i)
            producer.produce("block-events", msgspec.json.encode(state), state.number.encode())
        producer.produce("block-events", None, b"+821000000000")
        assert producer.flush(LONG_S) == 0
        with ReadBack(kafka, 2) as back:
            back.to_end(LONG_S)
            assert {s.number for s in back.states["block-events"]} == {f"+8210{i:08d}" for i in range(500)}
            assert back.records_of("block-events", LONG_S) == 501
            producer.produce("review-queue", b"[]", b"+821000000000")
            assert producer.flush(LONG_S) == 0
            with pytest.raises(KafkaProblem, match="review-queue"):
                back.to_end(LONG_S)


def test_a_rule_counts_each_number_once_whatever_the_record_that_shows_its_hold() -> None:
    two = block("+821011112222", "one", "two")
    again = block("+821011112222", "two", "one", change="extended")
    other = block("+821033334444", "two")
    assert blocked_by_rule([two, again, other]) == {"one": 1, "two": 2}


def test_review_tells_rules_that_ask_from_blocks_that_lacked_verified_evidence(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        RULES + RULES.split("rules:")[1].replace("twenty-a-minute", "asks").replace("mode: enforce", "mode: review")
    )
    rules = load([tmp_path / "rules.yaml"])
    states = [block("+821011112222", "twenty-a-minute"), block("+821033334444", "asks")]
    assert review_by_reason(states, rules) == ({"asks": 1}, {"twenty-a-minute": 1})


def test_numbers_only_in_the_review_queue_are_counted_beside_those_blocked() -> None:
    labels = [
        Label("+821011112222", "burst_dialler", False, 1_000, 20),
        Label("+821033334444", "burst_dialler", False, 1_000, 20),
        Label("+821055556666", "courier", True, 1_000, 20),
    ]
    blocked = msgspec.json.encode(block("+821011112222", "one", at=31_000))
    asked = [msgspec.json.encode(block(label.number, "two", at=41_000)) for label in labels]
    found, review_only = score_all(labels, {"block-events": [blocked], "review-queue": asked})
    assert (found.caught, found.planted, found.innocents_hit) == (1, 2, {})
    assert found.kinds[0].median_s == 30.0
    assert review_only == {"burst_dialler": 1, "courier": 1}


def test_the_summary_says_what_was_hit_and_what_failed() -> None:
    labels = [
        Label("+821011112222", "burst_dialler", False, 1_000, 20),
        Label("+821033334444", "patient_dialler", False, 1_000, 20),
        Label("+821055556666", "courier", True, 1_000, 20),
        Label("+82215880000", "bank", True, 1_000, 20),
    ]
    blocked = [block(label.number, "one", at=31_000) for label in (labels[0], labels[2])]
    asked = [block(label.number, "two", at=41_000) for label in (labels[1], labels[3])]
    values = {"block-events": blocked, "review-queue": asked}
    found, review_only = score_all(labels, {topic: list(map(msgspec.json.encode, of)) for topic, of in values.items()})
    feeds = {CDR: FeedCounts(1_000, 999, 999)}
    summary = Summary(
        1, 0, 7_200_000, 3_600_000, 10.0, Warmth(101, 42.0), feeds, 0, {"one": 2}, {"two": 2}, {}, found, review_only,
        problems=tuple(lost(feeds)),
    )  # fmt: skip
    file = io.StringIO()
    summary.print(Console(file=file, width=80))
    told = file.getvalue()
    assert "1 of 2 planted offenders blocked, 1 more for review" in told
    assert "Innocents blocked: 1 courier; for review: 1 bank" in told
    assert "42 s to compile 101 kernels" in told
    assert "FAILED: cdr: 1,000 records were produced, 999 counted" in told
    assert not summary.to_dict()["ok"]
    assert json.loads(json.dumps(summary.to_dict()))["score"]["innocents_hit"] == {"courier": 1}


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2026-11-18T15:00:00+09:00", "2026-11-18"),  # a Wednesday afternoon: this morning
        ("2026-11-18T11:59:59+09:00", "2026-11-17"),  # the morning is not over
        ("2026-11-22T23:00:00+09:00", "2026-11-20"),  # Sunday: Friday
        ("2026-11-17T00:30:00+00:00", "2026-11-16"),  # 09:30 in Korea
        ("2026-03-01T15:00:00+09:00", "2026-02-27"),  # Independence Movement Day, a Sunday
        ("2025-10-09T15:00:00+09:00", "2025-10-09"),  # the end of a week of holidays: recent counts for more
    ],
)
def test_the_day_shown_is_a_recent_working_morning_that_is_over(now: str, day: str) -> None:
    assert (
        datetime.fromtimestamp(start_ms(datetime.fromisoformat(now)) / 1000, KOREA).isoformat()
        == f"{day}T10:00:00+09:00"
    )


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20)])
def test_the_screen_fits_its_terminal_however_many_are_blocked(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    many = [block(f"+8210{i:08d}", f"a-rule-with-a-long-name-{i % 20}", at=i * 1_000) for i in range(200)]
    for blocked in ([], many[:1], many):
        now = Now(0, 7_200_000, 3_600_000, 1_234_567, 98_765.4, 12_345, blocked, blocked_by_rule(blocked), 77)
        lines = console.render_lines(Screen(console, live=None)._frame(now), pad=False)
        assert len(lines) < height
        assert all(sum(segment.cell_length for segment in line) <= width for line in lines)


def test_without_a_terminal_there_is_one_line_a_second_at_most() -> None:
    file = io.StringIO()
    view = Lines(Console(file=file, width=80))
    for _ in range(100):
        view.show(Now(0, 7_200_000, 3_600_000, 1_000, 10.0, 5, [block("+821011112222", "one")], {"one": 1}, 2))
    assert file.getvalue().count("\n") <= 2, "a second may end in between"
    assert "+821011112222 one" in file.getvalue()


def block(number: str, *rules: str, change: str = "opened", at: int = 0) -> BlockState:
    holds = [BlockHold(f"{number} {rule}", rule, at + 86_400_000, from_=at, reason="a reason") for rule in rules]
    return BlockState("e", number, "active", change, at + 86_400_000, hold=holds[0], holds=holds)


def offsets(broker: EmbeddedBroker, topic: str) -> tuple[int, int]:
    """(oldest kept, end) of the only partition."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(KafkaSettings(broker.bootstrap).consumer("test"))
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), LONG_S)
    consumer.close()
    return low, high
