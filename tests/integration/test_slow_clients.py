"""Clients of the pages that hold connections open, at a worker with few descriptors to spare."""

from __future__ import annotations

import os
import resource
import socket
import time

from tests.integration.live import Live, Text, senders

PARTITIONS = 2
BEFORE = AFTER = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - {name: thirty, summary: more than thirty messages an hour, when: sent > 30, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
"""
SPARE = 150
CROWD = 400


def test_a_crowd_of_half_open_requests_leaves_a_worker_counting(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - 3_600_000
    first, second = (numbers[0] for numbers in senders(PARTITIONS, 1))
    worker = live.start("worker")
    live.wait_ready(worker)
    live.feed(Text(first, start_ms + i * 1000, i) for i in range(31))
    live.wait_caught_up(worker)

    pid = worker.process.pid
    limit = len(os.listdir(f"/proc/{pid}/fd")) + SPARE
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    crowd = [socket.create_connection(("127.0.0.1", worker.port)) for _ in range(CROWD)]
    for client in crowd:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
    # Another worker comes and goes: the partition that returns is restored, which needs connections and files.
    other = live.start("other")
    live.wait(lambda: len(other.ready().get("partitions", ())) == 1, "the other has its share", worker, other)
    live.stop(other)
    live.wait(lambda: worker.ready().get("partitions") == [0, 1], "it has both again", worker)
    live.wait_ready(worker)
    live.feed(Text(second, start_ms + i * 1000, i) for i in range(31))
    live.wait_caught_up(worker)
    assert worker.ready()["processed"] == 62
    live.wait(lambda: worker.metric("live_partitions") == PARTITIONS, "the metric shows both", worker)
    assert {row["number"] for row in live.history()} == {first, second}
    for client in crowd:
        client.close()
    live.stop(worker)
    assert "system resource" not in worker.log
