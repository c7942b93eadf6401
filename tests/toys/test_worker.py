"""A worker on a broker reads the topic, counts with the kind, and blocks."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from confluent_kafka import Producer

from rules.load import load_text
from schemas.feeds import FEEDS
from schemas.topics import BLOCK_EVENTS, TOPICS
from streams.cli import command
from streams.demo.readback import ReadBack
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.settings import KafkaSettings
from streams.runtime.settings import AT_LEAST_ONCE, WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.worker.worker import worker_for
from tests.toys.pings import PINGS
from tests.toys.test_toys import EXPECTED, RULES, traffic

PARTITIONS = 2
LONG_S = 120.0
PINGS_ALONE = f"""
counters:
  streak: {{on: {PINGS}, per: number, streak: 30s}}
rules:
  - {{name: pinger, summary: pings without a pause, when: streak >= 4, mode: review,
     then: {{block: [calls], directions: [outgoing], for: 7d}}}}
"""


def test_a_worker_blocks_what_the_topic_and_the_kind_show() -> None:
    with EmbeddedBroker(PARTITIONS) as broker:
        broker.create_topics(TOPICS)
        kafka = KafkaSettings(broker.bootstrap)
        settings = WorkerSettings(
            consumer=kafka.consumer("toys"), producer=kafka.producer(), group="toys",
            start_from=StartFrom("earliest"), delivery=AT_LEAST_ONCE,
        )  # fmt: skip
        producer: Any = Producer(kafka.producer() | {"partitioner": "murmur2_random"})
        lines = traffic()
        for topic, record in lines:
            producer.produce(topic, json.dumps(record), record[FEEDS[topic].number], timestamp=record["at"])
        assert producer.flush(LONG_S) == 0
        worker = worker_for(settings, load_text(RULES))
        with ReadBack(kafka, PARTITIONS) as back:
            worker.start()
            until = time.monotonic() + LONG_S
            while worker.progress().processed < len(lines) and worker.problem is None and time.monotonic() < until:
                time.sleep(0.05)
            assert worker.stop() == 0, worker.problem
            back.to_end(LONG_S)
        found = {(int(event["number"]), event["hold"]["rule"]) for event in map(json.loads, back.values[BLOCK_EVENTS])}
        assert found == EXPECTED


def test_the_demonstration_says_that_it_makes_no_traffic_for_such_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(PINGS_ALONE, encoding="utf-8")
    done = CliRunner().invoke(command, ["demo", "--rules", str(rules)])
    assert done.exit_code == 2, done.output
    assert f"these rules count {PINGS}, and the demonstration makes traffic of cdr, message-relay only" in done.output
