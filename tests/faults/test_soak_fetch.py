"""Records that are fetched in columns, while brokers restart, readers come and go, and the input is whatever a broker
keeps: compressed in every way, in transactions that end either way, up to a megabyte, compacted, tombstones. For some
seconds, or for as long as `make soak` is told."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.conftest import broker_or_skip
from tests.faults.fetching import crc_of
from tests.faults.scene import BROKER

MINUTES = float(os.environ.get("GRAYLINE_SOAK_MINUTES") or 0)
SECONDS = 60 * MINUTES or 15.0
PARTITIONS = 4
PLAIN, COMPACTED = "soak-plain", "soak-compacted"
COMPACTION = {
    "cleanup.policy": "compact",
    "segment.ms": "2000",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "2000",
    "delete.retention.ms": "2000",
}
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
BATCH = 200
PAUSE_S = 0.1
LIMIT_S = 120.0
GROWTH_KB = 64_000  # an allocator's own; 16 MB of values wait in the client at most
Spot = tuple[str, int, int]  # topic, partition, offset


class Writer(threading.Thread):
    """Writes batches until it is told to stop. certain: the records that a reader of committed records sees, with their
    keys and crc; possible: those of transactions of which nobody knows how they ended."""

    def __init__(self, bootstrap: str, seed: int) -> None:
        super().__init__(name="writer", daemon=True)
        self.certain: dict[Spot, tuple[bytes, str]] = {}
        self.possible: dict[Spot, tuple[bytes, str]] = {}
        self.written: Counter[str] = Counter()
        self.problem: BaseException | None = None
        self._brokers = bootstrap
        self._draw = random.Random(seed)
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()
        self.join(LIMIT_S)
        if self.problem is not None:
            raise self.problem

    def run(self) -> None:
        try:
            while not self._ended.wait(PAUSE_S):
                self._batch()
        except BaseException as problem:
            self.problem = problem

    def _batch(self) -> None:
        codec, kind = self._draw.choice(CODECS), self._draw.choice(("plain", "plain", "committed", "aborted"))
        self.written[codec] += 1
        self.written[kind] += 1
        config = {
            "bootstrap.servers": self._brokers, "compression.type": codec, "linger.ms": 5, "log_level": 0,
            "enable.idempotence": True, "message.max.bytes": 2_000_000,
        }  # fmt: skip
        if kind != "plain":
            config["transactional.id"] = f"soak-{uuid.uuid4()}"
        producer = Producer(config)
        found: dict[Spot, tuple[bytes, str]] = {}
        if kind == "plain":
            self._produce(producer, found)
            self.certain |= found
            return
        try:
            producer.init_transactions(30)
            producer.begin_transaction()
            self._produce(producer, found)
            if kind == "aborted":
                producer.abort_transaction(30)
                return
            producer.commit_transaction(30)
            self.certain |= found
        except (KafkaException, AssertionError):  # the broker restarts
            self.written["unknown"] += 1
            self.possible |= found

    def _produce(self, producer: Any, found: dict[Spot, tuple[bytes, str]]) -> None:
        def delivered(error: Any, message: Any) -> None:
            if error is None:
                spot = (message.topic(), message.partition(), message.offset())
                found[spot] = message.key() or b"", crc_of(message.key(), message.value())

        draw = self._draw
        for _ in range(BATCH):
            size = draw.randrange(300_000, 1_000_000) if draw.random() < 0.005 else draw.randrange(400)
            self.written["oversized"] += size >= 300_000
            value = draw.randbytes(size // 2) * 2  # so that there is something to compress
            topic = draw.choice((PLAIN, COMPACTED))
            key = b"k%d" % draw.randrange(300) if topic == COMPACTED else draw.choice((None, b"key"))
            producer.produce(
                topic, None if topic == COMPACTED and draw.random() < 0.1 else value, key,
                draw.randrange(PARTITIONS), headers=[("feed", b"f")] if draw.random() < 0.3 else None,
                on_delivery=delivered,
            )  # fmt: skip
            producer.poll(0)
        assert producer.flush(60) == 0


class Fetching:
    """A reader's process, and what it has printed."""

    def __init__(self, bootstrap: str, group: str, file: Path) -> None:
        self._file = file
        command = [sys.executable, "-m", "tests.faults.fetching", bootstrap, group, PLAIN, COMPACTED]
        with file.open("wb") as out, file.with_suffix(".err").open("wb") as problems:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=problems)

    def leave(self) -> None:
        assert self.process.stdin is not None
        assert self.process.poll() is None, self.problems
        self.process.stdin.write(b"\n")
        self.process.stdin.close()
        assert self.process.wait(LIMIT_S) == 0, self.problems
        assert "Traceback" not in self.problems, self.problems

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def problems(self) -> str:
        return self._file.with_suffix(".err").read_text()

    def lines(self) -> list[list[str]]:
        text = self._file.read_text()
        return [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]  # whoever is killed ends amid one


def seen_by(readers: list[Fetching], writer: Writer) -> set[Spot]:
    """All records that somebody read. Each is what was written, and comes once and in order to whoever holds its
    partition."""
    known = writer.certain | writer.possible
    seen = set()
    for reader in readers:
        last: dict[tuple[str, int], int] = {}
        for what, *told in reader.lines():
            if what == "assigned":
                last = {}
            elif what == "record":
                spot = told[0], int(told[1]), int(told[2])
                assert spot in known, f"{spot} was aborted, or never written"
                assert told[3] == known[spot][1], f"{spot} is another record"
                assert spot[2] > last.get(spot[:2], -1), f"{spot} came behind {last[spot[:2]]}"
                last[spot[:2]] = spot[2]
                seen.add(spot)
    return seen


def lost(writer: Writer, seen: set[Spot]) -> list[Spot]:
    """Records that nobody read, but for those that compaction may take: a later one has the same key."""
    newest: dict[tuple[str, int, bytes], int] = {}
    for (topic, partition, offset), (key, _) in (writer.certain | writer.possible).items():
        newest[topic, partition, key] = max(offset, newest.get((topic, partition, key), -1))
    return [
        spot
        for spot, (key, crc) in writer.certain.items()
        if spot not in seen and not (spot[0] == COMPACTED and (newest[spot[0], spot[1], key] > spot[2] or crc == "-"))
    ]


def wait_until(true: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.2)


@pytest.mark.timeout(60 * MINUTES + 600)
def test_whatever_a_broker_keeps_is_read_once_in_columns_and_nothing_of_it_is_held(tmp_path: Path, seed: int) -> None:
    draw, group = random.Random(seed), f"soak-{seed}"
    with broker_or_skip(settings=BROKER) as broker:
        topics = [NewTopic(PLAIN, PARTITIONS, 1), NewTopic(COMPACTED, PARTITIONS, 1, config=COMPACTION)]
        admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        for future in admin.create_topics(topics).values():
            future.result()
        writer = Writer(broker.bootstrap, seed)
        writer.start()
        lasting = Fetching(broker.bootstrap, group, tmp_path / "lasting")
        readers, happened = [lasting], Counter[str]()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            passing = Fetching(broker.bootstrap, group, tmp_path / f"passing-{len(readers)}")
            readers.append(passing)
            time.sleep(draw.uniform(3, 6))  # of its life
            fault = draw.choice(("leaves", "is killed", "broker restarts"))
            happened[fault] += 1
            if fault == "broker restarts":
                broker.kill()
                broker.start()
            if fault == "is killed":
                passing.kill()
            else:
                passing.leave()
        writer.end()
        try:
            wait_until(lambda: not lost(writer, seen_by(readers, writer)), "records are not read")
        finally:
            unread = lost(writer, seen_by(readers, writer))
            told = f"seed {seed}: {dict(writer.written)} {dict(happened)}"
            assert not unread, f"{told}; {len(unread)} of {len(writer.certain)} lost: {unread[:5]}"
            lasting.leave()
        print(told, f"records={len(writer.certain)}", flush=True)
        memory = [int(told[0]) for what, *told in lasting.lines() if what == "memory"]
        quarter = max(1, len(memory) // 4)
        assert max(memory[-quarter:]) < max(memory[quarter : 2 * quarter]) + GROWTH_KB, memory[:: max(1, quarter // 5)]
