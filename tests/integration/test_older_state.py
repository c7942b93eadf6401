"""A worker takes over from version 0.1.0: holds go on, counts begin anew, and the log says why."""

from __future__ import annotations

import json
import logging
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from rules.load import load_text
from schemas.topics import BLOCK_HISTORY, CDR, LEDGER, SNAPSHOTS, TOPICS
from streams.counting import chunk
from streams.holds.ledger_keys import manifest_key
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.settings import KafkaSettings
from streams.runtime.settings import AT_LEAST_ONCE, WorkerSettings
from streams.state.manifest import Chunk, Manifest, chunk_key
from streams.worker.worker import worker_for

RECORDED = Path(__file__).parents[1] / "unit" / "recorded" / "state-0.1.0.json"
TOLD: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
PARTITIONS = TOLD["partitions"]
AT_MS = 1_794_787_200_000  # a minute after what was recorded
BLOCKED, OTHER = "+821011110001", "+821011119999"
GROUP = "grayline"
LONG_S = 120.0


def calls(caller: str, first: int) -> list[bytes]:
    """Three set-ups, at which the rule fires."""
    return [
        json.dumps(
            {"call_id": f"{caller}-{i}", "event": "setup", "at": AT_MS + 1000 * i, "caller": caller,
             "callee": f"+82108888{i:04d}", "origin": "domestic", "verified": "full"}
        ).encode()
        for i in range(first, first + 3)
    ]  # fmt: skip


class Here:
    """A broker as the older version left it: a manifest and its chunks, holds, and commits behind what it counted."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        broker.create_topics(TOPICS)
        self.kafka = KafkaSettings(broker.bootstrap)
        self.producer: Any = Producer(self.kafka.producer() | {"partitioner": "murmur2_random", "log_level": 0})
        self.consumer: Any = Consumer(self.kafka.consumer(GROUP) | {"enable.partition.eof": True, "log_level": 0})
        for key, row in TOLD["ledger"]:
            self.producer.produce(LEDGER, row, key)
        for partition in range(PARTITIONS):
            self.producer.produce(CDR, calls("+821011118888", 0)[0], partition=partition, timestamp=AT_MS)
            pieces = [b64decode(piece) for piece in TOLD["images"][str(partition)]]
            chunks = [Chunk.of(chunk_key(partition, "old", n), piece) for n, piece in enumerate(pieces)]
            for one, piece in zip(chunks, pieces, strict=True):
                self.producer.produce(SNAPSHOTS, piece, one.key, partition=partition)
            manifest = Manifest(
                snapshot="old", partition=partition, partitions=PARTITIONS, offsets={CDR: 1}, chunks=chunks,
                base_bytes=1, rules_version="old", taken_ms=AT_MS,
            )  # fmt: skip
            self.producer.produce(LEDGER, manifest.encode(), manifest_key(GROUP), partition=partition)
        self.flush()
        self.consumer.commit(offsets=[TopicPartition(CDR, p, 1) for p in range(PARTITIONS)], asynchronous=False)

    def flush(self) -> None:
        assert self.producer.flush(LONG_S) == 0

    def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        self.consumer.assign([TopicPartition(BLOCK_HISTORY, p, 0) for p in range(PARTITIONS)])
        ends = 0
        while ends < PARTITIONS:
            for message in self.consumer.consume(100, 0.2):
                ends += message.error() is not None
                found += [] if message.error() is not None else [json.loads(message.value())]
        return found


def wait(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_worker_behind_the_older_version_keeps_its_holds_and_counts_anew(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedBroker(PARTITIONS) as broker, caplog.at_level(logging.INFO):
        here = Here(broker)
        settings = WorkerSettings(
            consumer=here.kafka.consumer(GROUP), producer=here.kafka.producer(), group=GROUP, delivery=AT_LEAST_ONCE
        )
        worker = worker_for(settings, load_text(TOLD["rules"]))
        worker.start()
        for caller in (BLOCKED, OTHER):
            for value in calls(caller, 10):
                here.producer.produce(CDR, value, caller, timestamp=AT_MS)
        here.flush()
        wait(lambda: worker.problem is not None or worker.progress().processed >= 6)
        assert worker.stop() == 0, worker.problem
        assert worker.metrics.value("broker_trouble_total", code="snapshot_damaged") == PARTITIONS
        assert (
            f"an image of format 1, where this version reads {chunk.FORMAT}: counters begin empty and warm"
            in caplog.text
        )
        opened = [told for told in here.history() if told["change"] == "opened"]
        # The one that is blocked already stays so under its old hold, and no second one is opened.
        assert [(told["number"], told["hold"]["rule"]) for told in opened] == [(OTHER, "dialler")]
        assert all(told["warming"] for told in opened[0]["hold"]["evidence"])
        here.consumer.close()
