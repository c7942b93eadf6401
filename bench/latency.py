"""From produce to block event visible: a producer at a steady rate, the worker, and a consumer of block events, each in
a process of its own (the consumer in this one)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from bench.scene import PARTITIONS, QUIET, BenchFailed, process, scene

LIMIT_S = 120.0


def latency(rules: str, rate: int, seconds: int) -> dict[str, Any]:
    """p50 and p99 in ms at `rate` records a second, from when the producer was handed a number's 100th record to when
    the consumer was handed its block event."""
    with scene() as here, tempfile.TemporaryFile("w+") as output:
        worker = [sys.executable, "-m", "bench.jobs.live", json.dumps({"bootstrap": here.bootstrap, "rules": rules})]
        pace = {"bootstrap": here.bootstrap, "rate": rate, "seconds": seconds}
        with process(worker, {}, subprocess.PIPE, stdin=subprocess.PIPE) as live:
            assert live.stdout is not None
            said = []
            for line in live.stdout:
                said.append(line)
                if line.startswith("READY"):
                    break
            else:
                raise BenchFailed("the worker did not start:\n" + "".join(said[-20:]))
            command = [sys.executable, "-m", "bench.jobs.pace", json.dumps(pace)]
            with process(command, {}, output) as producer:
                arrived = _arrivals(here.bootstrap, producer)
            output.seek(0)
            text = output.read()
    if "RESULT " not in text:
        raise BenchFailed(f"the producer ended without a result:\n{text[-2000:]}")
    told = json.loads(text[text.rindex("RESULT ") + 7 :])
    handed_over = told.pop("handed_over")
    missing = handed_over.keys() - arrived.keys()
    if missing or not handed_over:
        raise BenchFailed(f"{len(missing)} of {len(handed_over)} numbers were never blocked")
    took_ms = np.array([1000 * (arrived[number][0] - at) for number, at in handed_over.items()])
    made_ms = np.array([1000 * (arrived[number][1] - at) for number, at in handed_over.items()])
    p50, p99 = np.percentile(took_ms, [50, 99])
    return {
        **told,
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(took_ms.max()),
        "made_p50_ms": float(np.median(made_ms)),
        "events": len(took_ms),
    }


def _arrivals(bootstrap: str, producer: subprocess.Popen[str]) -> dict[str, tuple[float, float]]:
    """Number -> times at which its block event came and at which the worker made it, until the producer has ended and
    nothing more comes."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-latency",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
            "enable.auto.commit": False,
            **QUIET,
        }
    )
    consumer.assign([TopicPartition("block-events", partition, 0) for partition in range(PARTITIONS)])
    arrived: dict[str, tuple[float, float]] = {}
    give_up = time.monotonic() + LIMIT_S
    last = time.monotonic()
    while time.monotonic() < give_up and (producer.poll() is None or time.monotonic() < last + 10):
        message = consumer.poll(0.1)
        if message is not None and message.error() is None and message.value() is not None:
            last = time.monotonic()
            number = json.loads(message.value())["number"]
            arrived.setdefault(number, (time.time(), message.timestamp()[1] / 1000))
    consumer.close()
    return arrived
