"""The metrics of a worker, for Prometheus. Each worker has its own registry, so that two in one process do not mix."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from schemas.feeds import FEEDS
from schemas.printable import printable

if TYPE_CHECKING:
    from rules.registry import InForce
    from streams.ingest.epoch import Epoch, Place

EPOCH_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# From a record to the block that it brought about. A number reported must be blocked within ten minutes.
WAIT_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 6 * 3600, 86_400)
SINCE = ("record", "event")  # its Kafka timestamp, its event time
RATE_SPAN_S = 5.0
MINUTE_MS = 60_000
# Of the engine's sizes those that only grow: events that bounded memory had no room for. -> reason
UNCOUNTED = {"untracked_events": "untracked", "narrowed_events": "narrowed"}


class Tallies(Protocol):
    """The counts in an epoch's outcome (streams.engine.contract.Outcome)."""

    @property
    def feeds(self) -> Mapping[str, Mapping[str, int]]: ...
    @property
    def by_feed(self) -> Mapping[tuple[str, str, str, str], int]: ...
    @property
    def skew_ms(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def changes(self) -> Mapping[tuple[str, str, str], int]: ...
    @property
    def diverted(self) -> Mapping[str, int]: ...
    @property
    def listed(self) -> Mapping[str, int]: ...
    @property
    def at_bound(self) -> Mapping[tuple[str, str, str], int]: ...
    @property
    def orders(self) -> Mapping[tuple[str, str], int]: ...


class HoldCounted(Protocol):
    """The numbers that are held (streams.holds.tally.HoldCounts)."""

    @property
    def blocked(self) -> int: ...
    @property
    def held(self) -> Mapping[tuple[str, str], int]: ...


class Metrics:
    """Counts of records are per input topic and feed; at most a thousand feeds have names, the rest are `others`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self._make
        self._records = made(Counter, "records", "Input records counted, dead letters included", "topic", "feed")
        self._events = made(Counter, "events", "Events by what became of them", "topic", "feed", "outcome")
        self._reused = made(Counter, "reused_ids", "Events whose id another number or peer had", "topic", "feed")
        self._dead = made(Counter, "dead_letters", "Records that could not be read", "topic", "feed", "reason")
        self._flawed = made(Counter, "flawed_fields", "Flawed fields of records that count", "topic", "feed", "field")
        self._rekeyed = made(Counter, "rekeyed", "Records sent to the partition of their number", "topic")
        self._exact_texts = made(Counter, "exact_texts", "Texts that the kernel left to the exact reader", "topic")
        self._blocks = made(Counter, "block_changes", "Changes of holds", "rule", "mode", "change")
        self._commits = made(Counter, "commits", "Commits by result", "result")
        self._trouble = made(Counter, "broker_trouble", "Broker errors that healed by themselves, and gaps", "code")
        self._lag = made(Gauge, "lag_records", "Records behind the end of the partition", "topic", "partition")
        self._uncounted = made(Counter, "uncounted_events", "Events that full memory left uncounted", "reason")
        self._engine = made(Gauge, "engine", "Sizes of the engine's state", "size")
        self._memory = made(Gauge, "memory_bytes", "Resident memory of the process")
        self._warming = made(Gauge, "warming", "Counters of partitions that may lack events from before they began")
        self._txn = made(Counter, "transaction_failures", "Failures of transactions and deliveries", "kind")
        self._restored = made(Gauge, "restore_progress_ratio", "Share of a partition's state that is back", "partition")
        self._snapshot_age = made(Gauge, "snapshot_age_seconds", "Since the last snapshot was taken", "partition")
        self._live = made(Gauge, "live_partitions", "Partitions that are counted, not restoring")
        self._silent = made(Gauge, "feed_silent", "1 while a feed that had records has none", "feed")
        self._quiet = made(Gauge, "feed_quiet_seconds", "Since the last record of a feed", "feed")
        self._skew = made(Gauge, "feed_skew_seconds", "A feed's times against its log's, lately", "topic", "feed")
        self._rules_failed = made(Gauge, "rules_reload_failed", "1 since the rules could last not be read again")
        self._breaker = made(Gauge, "breaker_open", "Feeds that hold new blocks back for review", "scope", "name")
        self._diverted = made(Counter, "breaker_diverted", "Changes in review that would have been enforced", "why")
        self._entries = made(Gauge, "registry_entries", "Entries of the registry, by state", "kind", "state")
        self._listed = made(
            Counter, "registry_matches", "Events of numbers with an entry, as far as rules asked", "kind"
        )
        self._orders = made(Counter, "number_orders", "Operators' orders about numbers", "action", "answer")
        self._waiting = made(Gauge, "waiting_for_broker", "1 while the start waits for a broker that does not answer")
        self._unbounded = made(Gauge, "timestamps_unbounded", "1 for an input with any timestamps ahead", "topic")
        self._at_bound = made(
            Counter, "holds_at_bound", "Holds given up, or not opened, at a bound", "rule", "mode", "what"
        )
        self._blocked = made(Gauge, "blocked_numbers", "Numbers that are blocked now, as `grayline blocks` lists them")
        self._held = made(Gauge, "held_numbers", "Numbers that a rule holds now, in each mode", "rule", "mode")
        self._commit_age = made(Gauge, "commit_age_seconds", "Since the last commit, 0 without partitions to count")
        self._broker_silent = made(Gauge, "broker_silent_seconds", "Since a broker last answered")
        self._stuck = made(
            Gauge,
            "stable_offset_stuck_seconds",
            "Since a stable offset before the end last moved",
            "topic",
            "partition",
        )
        self._native = made(Gauge, "native_fetch", "1 while records are fetched in columns, 0 while as messages")
        self._paused = made(Gauge, "paused", "1 while an operator has paused new blocks")
        self._epoch_s = made(Histogram, "epoch_seconds", "From fetched to counted", buckets=EPOCH_BUCKETS_S)
        self._commit_s = made(Histogram, "commit_seconds", "Flush and commit", buckets=EPOCH_BUCKETS_S)
        self._visible_s = made(
            Histogram, "block_visible_seconds", "From a record to the commit of the change it brought about", "topic",
            "change", "since", buckets=WAIT_BUCKETS_S,
        )  # fmt: skip
        self._registry_as_of: tuple[str, int] | None = None  # (version, minute)
        self._seen: deque[tuple[float, int]] = deque()  # (monotonic time, records so far), for the rate
        self._total = 0
        # Told from the start: an alarm on an increase needs the 0 before it.
        self._uncounted_before = dict.fromkeys(UNCOUNTED, 0.0)
        for reason in UNCOUNTED.values():
            self._uncounted.labels(reason)
        for topic, since in product(FEEDS, SINCE):
            self._visible_s.labels(topic, "opened", since)
        self.lag_records: dict[Place, int] = {}

    def epoch_done(self, epoch: Epoch, took_s: float) -> None:
        self._epoch_s.observe(took_s)
        self._total += epoch.count
        self._seen.append((time.monotonic(), self._total))
        while len(self._seen) > 2 and self._seen[0][0] < self._seen[-1][0] - RATE_SPAN_S:
            self._seen.popleft()

    def outcome(self, outcome: Tallies) -> None:
        for topic, tally in outcome.feeds.items():
            if "rekeyed" in tally:
                self._rekeyed.labels(topic).inc(tally["rekeyed"])
            if "texts_read_exactly" in tally:
                self._exact_texts.labels(topic).inc(tally["texts_read_exactly"])
        counters = {"events": self._events, "dead": self._dead, "flawed": self._flawed, "records": self._records}
        counters["reused_ids"] = self._reused
        for (topic, feed, what, detail), count in outcome.by_feed.items():
            counters[what].labels(topic, printable(feed), *([detail] if detail else [])).inc(count)
        for (topic, feed), ahead_ms in outcome.skew_ms.items():
            self._skew.labels(topic, printable(feed)).set(ahead_ms / 1000)
        for (rule, mode, change), count in outcome.changes.items():
            self._blocks.labels(printable(rule), mode, change).inc(count)
        for why, count in outcome.diverted.items():
            self._diverted.labels(why).inc(count)
        for kind, count in outcome.listed.items():
            self._listed.labels(kind).inc(count)
        for (rule, mode, what), count in outcome.at_bound.items():
            self._at_bound.labels(rule, mode, what).inc(count)
        for (action, answer), count in outcome.orders.items():
            self._orders.labels(action, answer).inc(count)

    def committed(self, done: bool, took_s: float) -> None:
        self._commits.labels("committed" if done else "aborted").inc()
        self._commit_s.observe(took_s)

    def visible(self, awaited: Iterable[tuple[str, str, int | None, int]], now_ms: int) -> None:
        """Notes that changes have become visible to read-committed consumers: (topic of the record behind it, change,
        the record's Kafka timestamp if it is known, its event time), ms."""
        for topic, change, recorded_ms, at_ms in awaited:
            if recorded_ms is not None:
                self._visible_s.labels(topic, change, SINCE[0]).observe(max(0, now_ms - recorded_ms) / 1000)
            self._visible_s.labels(topic, change, SINCE[1]).observe(max(0, now_ms - at_ms) / 1000)

    def trouble(self, code: str) -> None:
        self._trouble.labels(code).inc()

    def transaction_trouble(self, kind: str) -> None:
        self._txn.labels(kind).inc()

    def waiting(self, is_waiting: bool) -> None:
        """Shows that the worker's start waits for a broker, or no longer does."""
        self._waiting.set(is_waiting)

    def fetches_in_columns(self, does: bool) -> None:
        self._native.set(does)

    def timestamps_unbounded(self, topics: Iterable[str]) -> None:
        """Shows the inputs whose Kafka timestamps may be any time ahead, as far as the start could see."""
        self._unbounded.clear()
        for topic in topics:
            self._unbounded.labels(topic).set(1)

    def rules_read(self, done: bool) -> None:
        """Shows whether the rules were read again when asked to."""
        self._rules_failed.set(not done)

    def observe_state(self, restoring: Mapping[int, float], snapshot_age_s: Mapping[int, float], live: int) -> None:
        """restoring: share by partition, 0 to 1. A partition that is restored or given up disappears."""
        for gauge, values in ((self._restored, restoring), (self._snapshot_age, snapshot_age_s)):
            gauge.clear()
            for partition, value in values.items():
                gauge.labels(str(partition)).set(value)
        self._live.set(live)

    def observe_health(
        self, commit_age_s: float, broker_silent_s: float, stuck_s: Mapping[tuple[str, int], float]
    ) -> None:
        """stuck_s: by place. One whose stable offset moves again disappears."""
        self._commit_age.set(commit_age_s)
        self._broker_silent.set(broker_silent_s)
        self._stuck.clear()
        for (topic, partition), since_s in stuck_s.items():
            self._stuck.labels(topic, str(partition)).set(since_s)

    def observe_feeds(self, silent: Mapping[str, bool], quiet_ms: Mapping[str, int]) -> None:
        """Shows the feeds that were ever heard."""
        for gauge in (self._silent, self._quiet):
            gauge.clear()
        for feed, is_silent in silent.items():
            self._silent.labels(printable(feed)).set(is_silent)
            self._quiet.labels(printable(feed)).set(quiet_ms[feed] / 1000)

    def observe_safety(self, is_open: Mapping[tuple[str, str], int], paused: bool) -> None:
        """is_open: feeds that hold back, by scope and name. One that closes disappears."""
        self._breaker.clear()
        for (scope, name), feeds in is_open.items():
            self._breaker.labels(scope, printable(name)).set(feeds)
        self._paused.set(paused)

    def observe_holds(self, counts: HoldCounted) -> None:
        """Shows the holds in force. A rule that holds nobody any more disappears."""
        self._blocked.set(counts.blocked)
        self._held.clear()
        for (rule, mode), numbers in counts.held.items():
            self._held.labels(printable(rule), mode).set(numbers)

    def observe_registry(self, registry: InForce, now_ms: int) -> None:
        """Shows how many entries are in force, over and to come: once a minute, since there may be millions."""
        as_of = registry.version, now_ms // MINUTE_MS
        if as_of == self._registry_as_of:
            return
        self._registry_as_of = as_of
        for kind, states in registry.counts(now_ms).items():
            for state, count in states.items():
                self._entries.labels(kind, state).set(count)

    def observe(self, lag: Mapping[Place, int], engine: Mapping[str, float], warming: int) -> None:
        """Sets the gauges, and the counts of events that `engine` left uncounted, once a second. A partition that is
        given up disappears."""
        for topic, partition in self.lag_records.keys() - lag.keys():
            self._lag.remove(topic, str(partition))
        for (topic, partition), behind in lag.items():
            self._lag.labels(topic, str(partition)).set(behind)
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
        """Records per second over the last few seconds; 0 when none came."""
        if len(self._seen) < 2 or time.monotonic() - self._seen[-1][0] > RATE_SPAN_S:
            return 0.0
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if end > start else 0.0

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, as Prometheus would read them; name without the
        `grayline_`."""
        found = (sample for family in self.registry.collect() for sample in family.samples)
        return sum(
            sample.value
            for sample in found
            if sample.name == f"grayline_{name}" and labels.items() <= sample.labels.items()
        )

    def _make(self, kind: Any, name: str, text: str, *labels: str, **options: Any) -> Any:
        return kind(f"grayline_{name}", text, labels, registry=self.registry, **options)


def resident_bytes() -> int:
    """Resident memory; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096
    except OSError:
        return 0
