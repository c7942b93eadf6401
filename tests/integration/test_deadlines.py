"""`grayline deadlines` on a real broker: what was written since some time, joined."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from schemas.topics import BLOCK_ACKS, BLOCK_EVENTS, BLOCK_HISTORY
from streams.cli import command
from tests.conftest import broker_with_topics
from tests.integration.test_blocks import A, B, event
from tests.kafka_broker import Broker

HOUR_MS, MINUTE_MS = 3_600_000, 60_000


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with broker_with_topics(2) as running:
        yield running


def write(broker: Broker, *records: tuple[str, str, dict[str, Any], int]) -> None:
    """(topic, number, value, Kafka timestamp where the producer says it)"""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
    for topic, number, value, at_ms in records:
        producer.produce(topic, json.dumps(value), number, timestamp=at_ms)
    assert producer.flush(30) == 0


def opened(number: str, event_id: str, from_ms: int) -> dict[str, Any]:
    return {"event_id": event_id, "number": number, "change": "opened", "hold": {"rule": "burst", "from": from_ms}}


def state(number: str, event_id: str) -> dict[str, Any]:
    return json.loads(event(number)) | {"event_id": event_id}


def ask(broker: Broker, *more: str) -> tuple[int, Any]:
    done = CliRunner().invoke(command, ["deadlines", "--brokers", broker.bootstrap, "--json", *more])
    return done.exit_code, json.loads(done.stdout) if done.stdout else done.stderr


def test_it_tells_for_each_blocker_what_was_applied_in_time_and_what_is_missing(broker: Broker) -> None:
    now = round(time.time() * 1000)
    write(
        broker,
        (BLOCK_HISTORY, A, opened(A, "old", now - 3 * HOUR_MS), now - 2 * HOUR_MS),
        (BLOCK_HISTORY, A, opened(A, "a1", now - MINUTE_MS - 400), now - MINUTE_MS),
        (BLOCK_HISTORY, A, {"event_id": "o", "number": A, "change": "ordered", "order": {"id": "5f3c"}}, now),
        (BLOCK_HISTORY, B, opened(B, "b1", now - 15 * MINUTE_MS - 300), now - 15 * MINUTE_MS),
        (BLOCK_EVENTS, A, state(A, "a1"), now),
        (BLOCK_EVENTS, B, state(B, "b1"), now),
        (BLOCK_ACKS, A, {"event_id": "a1", "blocker": "switch-7", "applied_at": now - MINUTE_MS + 90}, 0),
        (BLOCK_ACKS, A, {"event_id": "a1", "blocker": "switch-7", "applied_at": now}, 0),
        (BLOCK_ACKS, A, {"event_id": "nobody's", "blocker": "switch-7", "applied_at": now}, 0),
        (BLOCK_ACKS, A, {"no": "ack"}, 0),
    )
    code, told = ask(broker, "--since", "1h")
    assert (code, told["kept"]) == (0, True)
    assert told["decided"] == {"count": 2, "p50": 300, "p99": 400, "late": 0}
    (seven,) = told["blockers"]
    assert seven == {
        "blocker": "switch-7", "count": 1, "p50": 90, "p99": 90, "late": 0, "missing": 0, "waiting": 0, "clock_off": 0,
        "again": 1, "unknown": 1,
    }  # fmt: skip
    code, told = ask(broker, "--since", "1h", "--blocker", "switch-8", "--blocker", "switch-7")
    assert (code, told["kept"]) == (1, False)
    assert [(row["blocker"], row["missing"], row["waiting"]) for row in told["blockers"]] == [
        ("switch-7", 1, 0),
        ("switch-8", 1, 1),
    ]
    code, told = ask(broker, "--since", "1h", "--within", "350ms")
    assert (code, told["decided"]["late"]) == (1, 1)


def test_where_nothing_was_decided_it_says_so_and_no_limit_is_broken(broker: Broker) -> None:
    done = CliRunner().invoke(command, ["deadlines", "--brokers", broker.bootstrap, "--since", "1s"])
    assert "event to visible block  none" in done.stdout
    assert "every limit was kept" in done.stdout
