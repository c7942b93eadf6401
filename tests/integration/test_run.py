"""`grayline run` as its users start it: a process of its own, a real broker, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.topics import BLOCK_EVENTS, CDR, DEAD_LETTERS, MESSAGE_RELAY
from streams.kafka import topics
from streams.kafka.settings import KafkaSettings
from tests.conftest import broker_or_skip
from tests.kafka_broker import Broker

ROOT = Path(__file__).parents[2]
LONG_S = 240.0  # kernels may have to be compiled first
DRAIN_LIMIT_S = 10.0
GROUP = "run-test"
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


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    """A broker of this module's own, with all topics."""
    with broker_or_skip() as broker:
        topics.create(KafkaSettings(broker.bootstrap), partitions=2, replication=1)
        yield broker


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


def grayline(broker: Broker, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from streams.cli import main; main()", "run", "--brokers", broker.bootstrap]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRAYLINE_")}
    return subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env=clean | environment, stderr=subprocess.PIPE, text=True
    )


def message(i: int, sender: str) -> bytes:
    at = time.time_ns() // 1_000_000
    told = {"message_id": f"{sender}-{i}", "at": at, "sender": sender, "recipient": f"+8210{i:08d}", "verified": "full"}
    return json.dumps(told).encode()


def test_a_flood_of_messages_becomes_a_block_and_sigterm_ends_in_order(
    kafka: Broker, rules: Path, tmp_path: Path
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    for i in range(30):
        producer.produce(MESSAGE_RELAY, message(i, "+821011112222"), key=b"+821011112222")
    for i in range(30):
        producer.produce(MESSAGE_RELAY, message(i, "+821033334444"), key=b"+821033334444")
    producer.produce(MESSAGE_RELAY, b'{"no": "message"}', key=b"+821033334444")
    assert producer.flush(LONG_S) == 0

    own = [tmp_path / name for name in ("one.yaml", "two.yaml")]
    own[0].write_text('numbers: ["02-123-4567"]\n')
    own[1].write_text('numbers: ["010-3333-4444"]\n')
    arguments = ("--rules", str(rules), "--from", "earliest", "--group", GROUP)
    worker = grayline(kafka, *arguments, GRAYLINE_PROTECTED=os.pathsep.join(map(str, own)))
    try:
        (key, block), *others = read(kafka, BLOCK_EVENTS, 1, worker)
        assert not others
        assert key == b"+821011112222"
        assert (block["state"], block["hold"]["rule"], block["change"]) == ("active", "twenty-a-minute", "opened")
        read(kafka, DEAD_LETTERS, 1, worker)
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=DRAIN_LIMIT_S)
    finally:
        worker.kill()
    assert worker.returncode == 0, log
    assert "821011112222" not in log
    assert committed(kafka, MESSAGE_RELAY) == 61
    assert len(blocks_of(kafka)) == 1, "the other sender is protected"


def test_a_first_start_without_a_choice_ends_with_code_2_and_one_line(kafka: Broker, rules: Path) -> None:
    worker = grayline(kafka, "--rules", str(rules), "--group", "never-seen")
    _, log = worker.communicate(timeout=LONG_S)
    assert worker.returncode == 2, log
    assert "--from earliest" in log
    assert "Traceback" not in log


def test_a_missing_topic_is_named_with_the_way_out(rules: Path) -> None:
    with broker_or_skip() as empty:
        worker = grayline(empty, "--rules", str(rules), "--from", "latest")
        _, log = worker.communicate(timeout=LONG_S)
    assert worker.returncode == 2, log
    assert MESSAGE_RELAY in log
    assert "grayline topics create" in log
    assert CDR not in log, "no rule reads it"


def test_what_cannot_work_is_refused_with_code_2_before_anything_is_read(
    kafka: Broker, rules: Path, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text('prefixes: ["1588"]\n')
    (tmp_path / "small.properties").write_text("message.max.bytes=100000\n")
    refused = [
        (("--protected", str(tmp_path / "own.yaml")), "own.yaml:1:12: error: a prefix must be international"),
        (("--kafka-config", str(tmp_path / "small.properties")), "`message.max.bytes` is 100,000"),
    ]
    for arguments, says in refused:
        worker = grayline(kafka, "--rules", str(rules), "--from", "latest", *arguments)
        _, log = worker.communicate(timeout=LONG_S)
        assert worker.returncode == 2, log
        assert says in log
        assert "Traceback" not in log


CALL_RULES = """
counters:
  call_rate: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - name: ten-calls-a-minute
    summary: ten calls within a minute
    when: call_rate >= 10
    then: {block: [calls], directions: [outgoing, incoming], for: 7d}
    mode: enforce
"""


def test_java_and_kcat_feed_it_and_both_read_the_blocks(kafka: Broker, kcat: str, tmp_path: Path) -> None:
    """A carrier's engineer with the tools at hand: no client of ours on either side."""
    rules = tmp_path / "both.yaml"
    counters, _, ours = RULES.partition("rules:")
    more_counters, _, theirs = CALL_RULES.partition("rules:")
    rules.write_text(counters + more_counters.replace("counters:\n", "").lstrip("\n") + "rules:" + ours + theirs)
    sender, caller = "+821055556666", "+827077778888"
    messages = [f"{sender}\t{message(i, sender).decode()}" for i in range(30)]
    kafka.console_producer(MESSAGE_RELAY, messages, key_separator="\t")
    calls = "".join(f"{caller}\t{call(i, caller)}\n" for i in range(12))
    subprocess.run(
        [kcat, "-P", "-b", kafka.bootstrap, "-t", CDR, "-K", "\t", "-X", "topic.partitioner=murmur2_random"],
        input=calls, text=True, check=True, timeout=LONG_S,
    )  # fmt: skip

    worker = grayline(kafka, "--rules", str(rules), "--from", "earliest", "--group", "java-and-kcat")
    try:
        wanted = {sender: "twenty-a-minute", caller: "ten-calls-a-minute"}
        deadline = time.monotonic() + LONG_S
        seen: dict[str, str] = {}
        while not wanted.items() <= seen.items():
            assert worker.poll() is None, worker.communicate()[1]
            assert time.monotonic() < deadline, seen
            seen = blocks_by_kcat(kcat, kafka)
    finally:
        worker.terminate()
        _, log = worker.communicate(timeout=LONG_S)
    assert worker.returncode == 0, log
    lines = kafka.console_consumer(BLOCK_EVENTS, messages=len(seen), key_separator="\t")
    by_java = {key: json.loads(value)["hold"]["rule"] for key, _, value in (line.partition("\t") for line in lines)}
    assert by_java == seen


def call(i: int, caller: str) -> str:
    at = time.time_ns() // 1_000_000
    told = {"call_id": f"{caller}-{i}", "event": "setup", "at": at, "caller": caller, "callee": f"+8210{i:08d}"}
    return json.dumps(told | {"origin": "domestic", "verified": "full"})


def blocks_by_kcat(kcat: str, broker: Broker) -> dict[str, str]:
    """Number -> rule of every block event so far."""
    command = [
        kcat,
        "-C",
        "-e",
        "-q",
        "-b",
        broker.bootstrap,
        "-t",
        BLOCK_EVENTS,
        "-X",
        "isolation.level=read_committed",
    ]
    told = subprocess.run([*command, "-f", "%k\t%s\n"], capture_output=True, text=True, check=True, timeout=LONG_S)
    pairs = (line.partition("\t") for line in told.stdout.splitlines())
    return {key: json.loads(value)["hold"]["rule"] for key, _, value in pairs}


def read(
    broker: Broker, topic: str, count: int, worker: subprocess.Popen[str]
) -> list[tuple[bytes | None, dict[str, Any]]]:
    """The first `count` records of a topic, from all partitions; fails with the worker's log when it has ended."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=LONG_S).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    records: list[Any] = []
    give_up = time.monotonic() + LONG_S
    while len(records) < count:
        records += consumer.consume(count - len(records), 1.0)
        assert worker.poll() is None, worker.communicate()[1]
        assert time.monotonic() < give_up, f"{len(records)} of {count} records came on {topic}"
    consumer.close()
    return [(record.key(), json.loads(record.value())) for record in records]


def blocks_of(broker: Broker) -> list[Any]:
    """Every record of block-events so far, read to the end of each partition: ends of transactions take offsets too."""
    settings = {"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.partition.eof": True}
    consumer = Consumer(settings | {"enable.auto.commit": False})
    partitions = consumer.list_topics(BLOCK_EVENTS, timeout=LONG_S).topics[BLOCK_EVENTS].partitions
    consumer.assign([TopicPartition(BLOCK_EVENTS, partition, 0) for partition in partitions])
    records: list[Any] = []
    open_ends = set(partitions)
    while open_ends:
        for record in consumer.consume(100, 0.5):
            if record.error() is None:
                records.append(record)
            else:
                open_ends.discard(record.partition())
    consumer.close()
    return records


def committed(broker: Broker, topic: str) -> int:
    """Sum over the partitions."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": GROUP})
    places = consumer.committed([TopicPartition(topic, partition) for partition in range(2)], timeout=LONG_S)
    consumer.close()
    return sum(max(place.offset, 0) for place in places)
