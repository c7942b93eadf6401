"""Records of another partitioner, and of none, lead to the blocks that well-keyed ones lead to: the whole worker."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from rules.load import check_texts
from rules.model import RuleSet
from schemas.feeds import FEEDS
from schemas.topics import BLOCK_HISTORY, CDR, DEAD_LETTERS, HISTORY, MESSAGE_RELAY, REKEYED, TOPICS
from streams.engine.engine import Engine
from streams.kafka import topics
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from streams.runtime.settings import WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.worker.worker import Worker
from tests.conftest import broker_or_skip
from tests.kafka_broker import Broker

PARTITIONS = 4
LONG_S = 120.0  # kernels may have to be compiled first
RECORDS = 1_200
WITHHELD = "anonymous"
RULES = """
counters:
  calls: {on: cdr.setup, per: caller, count: events, window: 5m}
  live: {on: cdr, per: caller, count: concurrent, max_age: 4h}
  messages: {on: message-relay, per: sender, count: events, window: 10m}
rules:
  - {name: busy, summary: many calls, limits: {most: {always: 9}}, when: calls > most, spoofable: accepted,
     then: {block: [calls], directions: [outgoing], for: 1h}, mode: enforce}
  - {name: many-lines, summary: many calls at once, when: live >= 4, spoofable: accepted,
     then: {block: [calls], directions: [outgoing], for: 1d}, mode: enforce}
  - {name: flood, summary: many messages, when: messages > 12, spoofable: accepted,
     then: {block: [messages], directions: [outgoing], for: 1d}, mode: enforce}
"""

Feed = list[tuple[str, str, bytes]]  # (topic, number, value), in the order of their production


@dataclass(frozen=True)
class Result:
    changes: dict[str, list[tuple[str, str]]]  # number -> (block_id, change) in order
    strays: int  # records that were produced into another partition than their number's
    rekeyed: int
    dead: int
    accepted: int  # events


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with broker_or_skip() as broker:
        yield broker


@pytest.fixture(scope="module")
def feed() -> Feed:
    """Twenty minutes that end now, since the console producer writes today's timestamps: 40 numbers, a few busy."""
    draw = random.Random(7)
    start_ms = time.time_ns() // 1_000_000 - 20 * 60_000
    made: Feed = []
    for i in range(RECORDS):
        number = f"+8210111100{min(draw.randrange(40), draw.randrange(40)):02}" if i % 50 else WITHHELD
        at = start_ms + i * 1_000
        if draw.random() < 0.5:
            value = {"message_id": f"m{i}", "at": at, "sender": number, "recipient": f"+82102222{i:04}"}
            made.append((MESSAGE_RELAY, number, json.dumps(value).encode()))
            continue
        call = {"call_id": f"c{i}", "event": "setup", "at": at, "caller": number, "callee": f"+82102222{i:04}"}
        if draw.random() < 0.5:
            times = {"setup_at": at - 9_000, "answer_at": at - 5_000, "release_at": at}
            call |= {"event": "complete", **times}
        made.append((CDR, number, json.dumps(call).encode()))
    return made


def with_java(broker: Broker, feed: Feed) -> None:
    for topic in FEEDS:
        lines = [f"{number}\t{value.decode()}" for t, number, value in feed if t == topic]
        broker.console_producer(topic, lines, key_separator="\t")


def with_librdkafkas_default(broker: Broker, feed: Feed) -> None:
    produce(broker, feed, lambda i, number: {"key": number.encode()})


def without_a_key_in_turn(broker: Broker, feed: Feed) -> None:
    produce(broker, feed, lambda i, number: {"partition": i % PARTITIONS})


def produce(broker: Broker, feed: Feed, where: Callable[[int, str], dict[str, Any]]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for i, (topic, number, value) in enumerate(feed):
        producer.produce(topic, value, **where(i, number))
    assert producer.flush(LONG_S) == 0


def fresh_topics(broker: Broker) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    there = [name for name in admin.list_topics(timeout=LONG_S).topics if name in TOPICS]
    for gone in (admin.delete_topics(there) if there else {}).values():
        gone.result(LONG_S)
    until(lambda: not set(TOPICS) & set(admin.list_topics(timeout=LONG_S).topics))
    topics.create(KafkaSettings(broker.bootstrap), PARTITIONS, 1, overrides=HISTORY)


def until(happened: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LONG_S
    while not happened():
        assert time.monotonic() < give_up, "what was waited for did not happen"
        threading.Event().wait(0.05)


def read(broker: Broker, *names: str) -> list[Any]:
    """All committed records of the topics, partition by partition."""
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "reading", "isolation.level": "read_committed",
         "enable.partition.eof": True}
    )  # fmt: skip
    found = []
    for name in names:
        for partition in sorted(consumer.list_topics(name, timeout=LONG_S).topics[name].partitions):
            consumer.assign([TopicPartition(name, partition, 0)])
            while (message := consumer.poll(LONG_S)) is not None and message.error() is None:
                found.append(message)
    consumer.close()
    return found


def worked(broker: Broker, feed: Feed, send: Callable[[Broker, Feed], None], workers: int = 1) -> Result:
    """The feed, sent so, as these workers count it; a single one is stopped half way, and another goes on."""
    fresh_topics(broker)
    send(broker, feed)
    strays = sum(is_stray(message) for message in read(broker, *FEEDS))
    group = uuid.uuid4().hex
    done: list[Worker] = []
    if workers == 1:
        # What it re-keyed is read by the second, or counted silently.
        done.append(worker(broker, group, stop_after=len(feed) // 2))
        assert done[0].run() == 0, done[0].problem
    running = [worker(broker, group) for _ in range(workers)]
    for each in running:
        each.start()
    try:
        until(lambda: sum(each.progress().processed for each in [*done, *running]) >= len(feed) + strays)
    finally:
        codes = [each.stop() for each in running]
    assert codes == [0] * workers, [each.problem for each in running]
    done += running
    assert sum(each.progress().processed for each in done) == len(feed) + strays
    return Result(
        changes_of(read(broker, BLOCK_HISTORY)),
        strays,
        len(read(broker, REKEYED)),
        len(read(broker, DEAD_LETTERS)),
        int(
            sum(each.metrics.value("events_total", topic=topic, outcome="accepted") for each in done for topic in FEEDS)
        ),
    )


def worker(broker: Broker, group: str, **told: Any) -> Worker:
    ruleset, diagnostics = check_texts([("strays.yaml", RULES)])
    assert isinstance(ruleset, RuleSet), diagnostics
    client = {"bootstrap.servers": broker.bootstrap}
    settings = WorkerSettings(client, client, group=group, start_from=StartFrom("earliest"), batch_size=100, **told)
    return Worker(settings, Engine(ruleset))


def is_stray(message: Any) -> bool:
    record = json.loads(message.value())
    number = record.get("sender") or record["caller"]
    return number != WITHHELD and message.partition() != partition_of(number.encode(), PARTITIONS)


def changes_of(history: list[Any]) -> dict[str, list[tuple[str, str]]]:
    changes: dict[str, list[tuple[str, str]]] = {}
    for message in history:
        row = json.loads(message.value())
        changes.setdefault(row["number"], []).append((row["hold"]["block_id"], row["change"]))
    return changes


@pytest.fixture(scope="module")
def right(broker: Broker, feed: Feed) -> Result:
    return worked(broker, feed, with_java)


def test_javas_own_producer_makes_no_strays(right: Result, feed: Feed) -> None:
    assert (right.strays, right.rekeyed, right.dead) == (0, 0, 0)
    assert right.changes, "the rules have something to find"
    assert len({block for changes in right.changes.values() for block, _ in changes}) > 8
    assert right.accepted > len(feed)


def test_librdkafkas_default_partitioner_leads_to_the_same_blocks_by_two_workers(
    broker: Broker, feed: Feed, right: Result
) -> None:
    other = worked(broker, feed, with_librdkafkas_default, workers=2)
    assert other.strays > RECORDS // 2
    assert other.rekeyed == other.strays
    assert other.dead == 0
    assert other.accepted == right.accepted
    assert by_topic(other) == by_topic(right)


def test_records_without_keys_are_all_counted_and_the_same_numbers_blocked(
    broker: Broker, feed: Feed, right: Result
) -> None:
    other = worked(broker, feed, without_a_key_in_turn)
    assert other.rekeyed == other.strays
    assert (other.dead, other.accepted) == (0, right.accepted)
    # Their order is lost, and with it when exactly a limit was passed.
    assert other.changes.keys() == right.changes.keys()


def by_topic(result: Result) -> dict[str, list[tuple[str, str]]]:
    """Each number's changes, in an order that does not tell how its two topics were interleaved."""
    return {number: sorted(changes) for number, changes in result.changes.items()}
