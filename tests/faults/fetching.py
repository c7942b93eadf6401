"""A reader that fetches in columns, in a process of its own: `python -m tests.faults.fetching BOOTSTRAP GROUP TOPIC...`

It reads until its standard input ends, and then leaves in order. It prints a line for all that happens to it:

    assigned
    record TOPIC PARTITION OFFSET CRC      crc32 of key and value; - for a tombstone
    memory KILOBYTES                       resident, each second
"""

from __future__ import annotations

import faulthandler
import resource
import select
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams.kafka.native import Library
from streams.kafka.polls import epoch_of, without_errors
from streams.kafka.reconnecting import LastingConsumer

PAGE_KB = resource.getpagesize() // 1024
SETTINGS = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 20,
    "fetch.queue.backoff.ms": 1,
    "queued.max.messages.kbytes": 16_384,
    "session.timeout.ms": 6_000,
    "reconnect.backoff.max.ms": 500,
    "log_level": 0,
}


class Reader:
    def __init__(self, bootstrap: str, group: str, topics: list[str]) -> None:
        config = {**SETTINGS, "bootstrap.servers": bootstrap, "group.id": group}
        self._topics = tuple(topics)
        self._codes = {topic: code for code, topic in enumerate(topics)}
        self._consumer = LastingConsumer(lambda: Consumer(config), Library().forwarding)
        self._read: dict[tuple[str, int], int] = {}  # the next offset of each place that is held
        self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def run(self) -> None:
        memory_at = 0.0
        while not select.select([sys.stdin], [], [], 0)[0]:
            self._take()
            if time.monotonic() >= memory_at:
                memory_at = time.monotonic() + 1
                print("memory", int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KB, flush=True)
        self._consumer.unsubscribe()
        until = time.monotonic() + 10
        while self._consumer.assignment() and time.monotonic() < until:
            self._consumer.consume(1, 0.02)
        self._consumer.close()

    def _take(self) -> None:
        polled = without_errors(self._consumer.consume(500, 0.05))
        if not polled:
            return
        lines = []
        for raw in epoch_of(polled, self._topics, self._codes, Message).batches:
            for i, (partition, offset) in enumerate(zip(raw.partition.tolist(), raw.offset.tolist(), strict=True)):
                if offset < self._read.get((raw.topic, partition), 1 << 62):
                    continue  # of a partition that was given up, or from before it came back
                self._read[raw.topic, partition] = offset + 1
                key, value = raw.keys[i], raw.values[i]
                lines.append(f"record {raw.topic} {partition} {offset} {crc_of(key, value)}")
        print("\n".join(lines), flush=True)

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        found = self._consumer.committed(partitions, timeout=30)  # which survives a broker that restarts
        starts = [TopicPartition(p.topic, p.partition, max(p.offset, 0)) for p in found]
        self._read = {(p.topic, p.partition): p.offset for p in starts}
        print("assigned", flush=True)
        self._consumer.forward(list(self._read))
        self._consumer.assign(starts)

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        offsets = [TopicPartition(*place, at) for place, at in self._read.items() if at]
        self._read = {}
        if offsets:
            with suppress(KafkaException):  # then the next owner reads again what this one has read
                consumer.commit(offsets=offsets, asynchronous=False)

    def _lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._read = {}


def crc_of(key: bytes | None, value: bytes | None) -> str:
    return "-" if value is None else str(zlib.crc32(value, zlib.crc32(key or b"")))


if __name__ == "__main__":
    faulthandler.enable()  # a client library that aborts takes the process along: this says amid what
    Reader(sys.argv[1], sys.argv[2], sys.argv[3:]).run()
