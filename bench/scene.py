"""Brokers with their topics and inputs, and the processes that are measured against them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from bench.say import say
from schemas.topics import HISTORY, LEDGER, SNAPSHOTS
from streams.kafka import topics
from streams.kafka.settings import KafkaSettings
from tests.kafka_broker import NEWEST, Broker

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
LONG_S = 60.0
LOOK_INTERVAL_S = 0.1  # at a child's memory
QUIET = {"log_level": 2}  # brokers end while clients are still connected; nobody needs to hear of it
Record = tuple[str, bytes, bytes, int]  # topic, key, value, Kafka timestamp in ms


class BenchFailed(Exception):
    """A measurement did not come about, or did not do the work it claims; the message says which and why."""


class Scene:
    """One real broker with all of Grayline's topics, 4 partitions each, nothing deleted by age."""

    def __init__(self, broker: Broker) -> None:
        self.bootstrap = broker.bootstrap
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap, **QUIET})
        self._settings = KafkaSettings(brokers=self.bootstrap)
        topics.create(self._settings, PARTITIONS, 1, overrides=HISTORY)

    def make_topic(self, name: str) -> None:
        topic = NewTopic(name, PARTITIONS, 1, config={"retention.ms": "-1"})
        for future in self._admin.create_topics([topic]).values():
            future.result()

    def forget_holds(self) -> None:
        """A group starts with the holds in the ledger, whichever group made them: the next run is to find none."""
        for future in self._admin.delete_topics([LEDGER, SNAPSHOTS]).values():
            future.result()
        until = time.monotonic() + LONG_S
        while {LEDGER, SNAPSHOTS} & self._admin.list_topics(timeout=LONG_S).topics.keys():
            if time.monotonic() > until:
                raise BenchFailed("the ledger of the run before could not be deleted")
            time.sleep(0.1)
        topics.create(self._settings, PARTITIONS, 1)

    def fill(self, records: Iterable[Record], what: str, compression: str = "lz4") -> dict[str, int]:
        """Produce the records in order, with their timestamps, placed as Java's clients place them. Returns how many
        lie in each topic; raises BenchFailed unless all arrived."""
        counts: dict[str, int] = {}
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                **QUIET,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "compression.type": compression,
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 500_000,
                "queue.buffering.max.kbytes": 1 << 20,
            }
        )
        for i, (topic, key, value, at_ms) in enumerate(records):
            while True:
                try:
                    producer.produce(topic, value, key, timestamp=at_ms)
                    break
                except BufferError:
                    producer.poll(0.05)
            counts[topic] = counts.get(topic, 0) + 1
            if i % 1_000_000 == 999_999:
                say(f"{what}: {i + 1:,} records")
        producer.flush(LONG_S)
        for topic, count in counts.items():
            if (arrived := sum(self.ends(topic).values())) != count:
                raise BenchFailed(f"{what}: {arrived:,} of {count:,} records arrived in {topic}")
        return counts

    def ends(self, topic: str) -> dict[int, int]:
        """The offset behind the last record of each partition."""
        with self._consumer() as consumer:
            places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
            return {p.partition: consumer.get_watermark_offsets(p, timeout=LONG_S)[1] for p in places}

    def blocked(self, topic: str, since: Mapping[int, int]) -> list[str]:
        """The numbers that block events of `topic` behind the offsets `since` name, in no order."""
        numbers = []
        ends = self.ends(topic)
        with self._consumer() as consumer:
            for partition, end in ends.items():
                start = since.get(partition, 0)
                consumer.assign([TopicPartition(topic, partition, start)])
                while start < end:
                    for message in consumer.consume(10_000, 1.0):
                        if message.error() is None:
                            start = message.offset() + 1
                            if message.value() is not None:
                                numbers.append(json.loads(message.value())["number"])
                    # A transaction's marker takes an offset and is never seen.
                    start = max(start, consumer.position([TopicPartition(topic, partition)])[0].offset)
        return numbers

    @contextmanager
    def _consumer(self) -> Iterator[Any]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"bench-read-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                **QUIET,
            }
        )
        try:
            yield consumer
        finally:
            consumer.close()


@contextmanager
def scene(heap: str = "1g") -> Iterator[Scene]:
    """A broker of the newest version, unless GRAYLINE_TEST_KAFKA names another."""
    with Broker(heap=heap, version=os.environ.get("GRAYLINE_TEST_KAFKA") or NEWEST) as broker:
        yield Scene(broker)


def expect_blocked(who: str, found: list[str], expected: Iterable[str]) -> None:
    """Raises BenchFailed unless these are the expected numbers, each once."""
    wanted = sorted(expected)
    if sorted(found) != wanted:
        missing, extra = len(set(wanted) - set(found)), len(set(found) - set(wanted))
        raise BenchFailed(
            f"{who} blocked {len(found)} numbers instead of {len(wanted)} ({missing} missing, {extra} wrong, "
            f"{len(found) - len(set(found))} twice): its figure would be worth nothing"
        )


def job(name: str, *, python: str = sys.executable, checkout: Path = ROOT, **parameters: Any) -> dict[str, Any]:
    """Run `bench.jobs.<name>` of a checkout in a process of its own and return its result, with `rss_mb`, its peak
    memory."""
    command = [python, "-m", f"bench.jobs.{name}", json.dumps(parameters)]
    return run(name, command, {}, checkout)


def run(name: str, command: list[str], environment: Mapping[str, str], cwd: Path = ROOT) -> dict[str, Any]:
    """Run a program that prints `RESULT {...}`. Raises BenchFailed with the tail of what it said otherwise."""
    with tempfile.TemporaryFile("w+") as output, process(command, environment, output, cwd) as child:
        peak_kb, cpu_s = _until_ended(child)
        output.seek(0)
        said = output.read()
    if "RESULT " not in said:
        raise BenchFailed(f"{name} ended with code {child.returncode} and no result:\n{said[-3000:]}")
    result: dict[str, Any] = json.JSONDecoder().raw_decode(said[said.rindex("RESULT ") + 7 :])[0]
    return {"rss_mb": peak_kb // 1024, "cpu_s": cpu_s, **result}


def _until_ended(child: subprocess.Popen[str]) -> tuple[int, float]:
    """(peak resident memory in kB, processor time in s) of a child, which has ended when this returns.

    The peak is looked up while the child runs: what the system tells behind its end includes this process's own memory,
    which the child had for a moment before it became another program."""
    peak_kb = 0
    while True:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            return peak_kb, round(usage.ru_utime + usage.ru_stime, 1)
        with suppress(OSError), open(f"/proc/{child.pid}/status") as told:
            peak_kb = next((int(line.split()[1]) for line in told if line.startswith("VmHWM")), peak_kb)
        time.sleep(LOOK_INTERVAL_S)


@contextmanager
def process(
    command: list[str], environment: Mapping[str, str], output: Any, cwd: Path = ROOT, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A child in a session of its own, all of which is gone at the end."""
    child = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, **{"stdin": subprocess.DEVNULL, **options},
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
