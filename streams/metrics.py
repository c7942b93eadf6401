"""What a worker tells Prometheus. One registry per worker, so that two in one process do not mix."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from streams.kafka.source import Epoch, Place

EPOCH_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
RATE_SPAN_S = 5.0
# Of the engine's sizes those that only grow: events that bounded memory had no room for. -> reason
UNCOUNTED = {"untracked_events": "untracked", "narrowed_events": "narrowed"}
VERDICTS = ("accepted", "late", "future", "duplicate")  # anything else that a feed counts is a reason of dead letters


class Metrics:
    """Counts are per feed, which is the input topic a record came from."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self._make
        self._records = made(Counter, "records", "Input records counted, dead letters included", "feed")
        self._events = made(Counter, "events", "Events by what became of them", "feed", "outcome")
        self._dead = made(Counter, "dead_letters", "Records that could not be read", "feed", "reason")
        self._blocks = made(Counter, "block_changes", "Changes of holds", "rule", "mode", "change")
        self._commits = made(Counter, "commits", "Commits by result", "result")
        self._trouble = made(Counter, "broker_trouble", "Broker errors that healed by themselves, and gaps", "code")
        self._lag = made(Gauge, "lag_records", "Records behind the end of the partition", "feed", "partition")
        self._uncounted = made(Counter, "uncounted_events", "Events that full memory left uncounted", "reason")
        self._engine = made(Gauge, "engine", "Sizes of the engine's state", "size")
        self._memory = made(Gauge, "memory_bytes", "Resident memory of the process")
        self._warming = made(Gauge, "warming", "1 while counters have not yet seen their whole reach")
        self._epoch_s = made(Histogram, "epoch_seconds", "From fetched to counted", buckets=EPOCH_BUCKETS_S)
        self._commit_s = made(Histogram, "commit_seconds", "Flush and commit", buckets=EPOCH_BUCKETS_S)
        self._seen: deque[tuple[float, int]] = deque()  # (monotonic time, records so far), for the rate
        self._total = 0
        # Told from the start: an alarm on an increase needs the 0 before it.
        self._uncounted_before = dict.fromkeys(UNCOUNTED, 0.0)
        for reason in UNCOUNTED.values():
            self._uncounted.labels(reason)
        self.lag_records: dict[Place, int] = {}

    def epoch_done(self, epoch: Epoch, took_s: float) -> None:
        for batch in epoch.batches:
            self._records.labels(batch.topic).inc(len(batch.values))
        self._epoch_s.observe(took_s)
        self._total += epoch.count
        self._seen.append((time.monotonic(), self._total))
        while len(self._seen) > 2 and self._seen[0][0] < self._seen[-1][0] - RATE_SPAN_S:
            self._seen.popleft()

    def outcome(self, outcome: Any) -> None:
        """Take over what a streams.step.Outcome counted."""
        for feed, tally in outcome.feeds.items():
            for name, count in tally.items():
                if name in VERDICTS:
                    self._events.labels(feed, name).inc(count)
                elif name != "records":
                    self._dead.labels(feed, name).inc(count)
        for (rule, mode, change), count in outcome.changes.items():
            self._blocks.labels(rule, mode, change).inc(count)

    def committed(self, done: bool, took_s: float) -> None:
        self._commits.labels("committed" if done else "aborted").inc()
        self._commit_s.observe(took_s)

    def trouble(self, code: str) -> None:
        self._trouble.labels(code).inc()

    def observe(self, lag: Mapping[Place, int], engine: Mapping[str, float], warming: bool) -> None:
        """Gauges, and what `engine` has left uncounted so far, once a second. A partition given up disappears."""
        for feed, partition in self.lag_records.keys() - lag.keys():
            self._lag.remove(feed, str(partition))
        for (feed, partition), behind in lag.items():
            self._lag.labels(feed, str(partition)).set(behind)
        self.lag_records = dict(lag)
        for size, value in engine.items():
            if size in UNCOUNTED:
                self._uncounted.labels(UNCOUNTED[size]).inc(value - self._uncounted_before[size])
                self._uncounted_before[size] = value
            else:
                self._engine.labels(size).set(value)
        self._memory.set(resident_bytes())
        self._warming.set(warming)

    def rate(self) -> float:
        """Records a second over the last few; 0 when nothing came lately."""
        if len(self._seen) < 2 or time.monotonic() - self._seen[-1][0] > RATE_SPAN_S:
            return 0.0
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """One sample as Prometheus would read it, 0 when there is none; name without the `grayline_`."""
        return self.registry.get_sample_value(f"grayline_{name}", labels) or 0.0

    def _make(self, kind: Any, name: str, text: str, *labels: str, **options: Any) -> Any:
        return kind(f"grayline_{name}", text, labels, registry=self.registry, **options)


def resident_bytes() -> int:
    """Resident memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096
    except OSError:
        return 0
