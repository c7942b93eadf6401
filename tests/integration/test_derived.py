"""Rules about others than the number of a record, on a real broker: what they recommend is said once."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from rules.load import load_text
from schemas.topics import DERIVED, HISTORY, MESSAGE_RELAY, REKEYED, SANCTIONS, TOPICS
from streams.engine.engine import Engine
from streams.kafka import topics
from streams.kafka.settings import KafkaSettings
from streams.runtime.settings import WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.worker.worker import Worker
from tests.conftest import broker_or_skip
from tests.kafka_broker import Broker

PARTITIONS = 4
LONG_S = 120.0  # kernels may have to be compiled first
RECORDS = 1_200
RULES = """
counters:
  senders: {on: message-relay, per: recipient, distinct: sender, window: 1h}
  carried: {on: message-relay, per: relay, count: events, window: 1h}
rules:
  - name: flooded
    summary: many people write to one number
    when: senders >= 8
    then: {recommend: [warn], for: 30d}
    mode: enforce
  - name: busy-relay
    summary: a relay carries a lot
    when: carried >= 100
    then: {recommend: [inspect], for: 30d}
    mode: enforce
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with broker_or_skip() as broker:
        topics.create(KafkaSettings(broker.bootstrap), PARTITIONS, overrides=HISTORY)
        yield broker


def feed() -> list[dict[str, object]]:
    draw, start_ms = random.Random(7), time.time_ns() // 1_000_000 - 20 * 60_000
    return [
        {
            "message_id": f"m{i}",
            "at": start_ms + i * 1_000,
            "sender": f"+8210111100{draw.randrange(40):02}",
            "recipient": f"+82102222{draw.randrange(200):04}",
            "relay": f"relay {draw.choice((1, 1, 1, 1, 2, 2, 3))}" if i % 20 else "rare",
        }
        for i in range(RECORDS)
    ]


def worker(broker: Broker, group: str, stop_after: int | None = None) -> Worker:
    client = {"bootstrap.servers": broker.bootstrap}
    told = {} if stop_after is None else {"stop_after": stop_after}
    settings = WorkerSettings(client, client, group=group, start_from=StartFrom("earliest"), batch_size=100, **told)
    return Worker(settings, Engine(load_text(RULES)))


def read(broker: Broker, name: str) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": uuid.uuid4().hex,
                         "isolation.level": "read_committed", "enable.partition.eof": True})  # fmt: skip
    found = []
    for partition in range(PARTITIONS):
        consumer.assign([TopicPartition(name, partition, 0)])
        while (message := consumer.poll(LONG_S)) is not None and message.error() is None:
            found.append(message)
    consumer.close()
    return found


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end, "what should come about has not"
        threading.Event().wait(0.05)


def test_what_is_recommended_is_said_once_though_workers_come_and_go(broker: Broker) -> None:
    records, group = feed(), uuid.uuid4().hex
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
    for record in records:
        producer.produce(MESSAGE_RELAY, json.dumps(record).encode(), str(record["sender"]))
    producer.flush()
    first = worker(broker, group, stop_after=RECORDS // 2)
    assert first.run() == 0, first.problem
    running = [worker(broker, group) for _ in range(2)]
    for each in running:
        each.start()
    try:
        until(lambda: told(broker) == expected(records))
    finally:
        codes = [each.stop() for each in running]
    assert codes == [0, 0], [each.problem for each in running]
    assert told(broker) == expected(records)
    assert {message.topic() for message in read(broker, DERIVED)} == {DERIVED}
    assert not read(broker, REKEYED)
    assert TOPICS[DERIVED].partitions_like_input


def told(broker: Broker) -> Counter[tuple[str, str, str]]:
    said = [json.loads(message.value()) for message in read(broker, SANCTIONS)]
    return Counter((one["rule"], one["name"], one["change"]) for one in said)


def expected(records: list[dict[str, object]]) -> Counter[tuple[str, str, str]]:
    senders: dict[object, set[object]] = {}
    for record in records:
        senders.setdefault(record["recipient"], set()).add(record["sender"])
    carried = Counter(record["relay"] for record in records)
    flooded = [("flooded", str(name), "opened") for name, of in senders.items() if len(of) >= 8]
    assert flooded
    return Counter([*flooded, *(("busy-relay", str(name), "opened") for name, n in carried.items() if n >= 100)])
