"""Feeds a broker with labelled traffic, event time compressed into wall time, never further ahead of the worker than
the embedded broker can keep."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from streams.kafka.embedded import PARTITION_BYTES_MAX
from streams.kafka.settings import KafkaSettings
from streams.traffic.generate import Traffic
from streams.traffic.labels import Label
from streams.traffic.outlets import produce
from streams.traffic.rows import TrafficRecord

# The embedded broker drops a partition's oldest records beyond its bound without notice. All that is under way might
# lie in one partition, uncompressed; the rest of the bound is for the batches' own headers.
UNREAD_BYTES_MAX = PARTITION_BYTES_MAX * 3 // 4
RECORD_OVERHEAD_BYTES = 64  # key, timestamp and lengths beside the value
LOOK_EVERY = 100  # records between two looks at the worker
PATIENCE_S = 0.01


class Feeder:
    """A thread that produces `traffic`, `speed` times faster than it happens; `processed` returns how many records the
    worker has counted. Its attributes can be read at any time; `problem` says why it ended early."""

    def __init__(self, traffic: Traffic, kafka: KafkaSettings, speed: float, processed: Callable[[], int]) -> None:
        self.produced: Counter[str] = Counter()  # records by topic; all acknowledged once `done`
        self.event_time_ms = traffic.settings.start_ms
        self.problem: Exception | None = None
        self._traffic, self._kafka, self._speed, self._processed = traffic, kafka, speed, processed
        self._events: Counter[bytes] = Counter()  # records by number
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the record in hand; records already produced are still delivered. From any thread."""
        self._stopping.set()

    def end(self, timeout_s: float) -> None:
        """`stop`, and wait until everything produced is acknowledged; a no-op before `start`."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def labels(self) -> list[Label]:
        """The labels of the numbers that were fed so far, each with the records that were fed of it."""
        fed = ((label, self._events[label.number.encode()]) for label in self._traffic.labels())
        return [replace(label, events=events) for label, events in fed if events]

    def _run(self) -> None:
        try:
            for record in produce(self._held_back(), self._kafka, self._traffic.topics, self._speed):
                self.produced[record.topic] += 1
                self._events[record.key] += 1
                self.event_time_ms = record.timestamp_ms
        except Exception as problem:  # the run ends with it; a thread's own traceback would garble the view
            self.problem = problem

    def _held_back(self) -> Iterator[TrafficRecord]:
        largest = 0
        for count, record in enumerate(self._traffic):
            largest = max(largest, len(record.value) + RECORD_OVERHEAD_BYTES)
            if count % LOOK_EVERY == 0:
                while (count + LOOK_EVERY - self._processed()) * largest > UNREAD_BYTES_MAX:
                    if self._stopping.wait(PATIENCE_S):
                        break
            if self._stopping.is_set():
                return
            yield record
