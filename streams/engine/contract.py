"""The contract of an engine: what delivery, restore, snapshots, heartbeats and the worker ask of it.

The type checker holds `streams.engine.engine.Engine` and the stand-in of the tests to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from rules.model import Rule, RuleSet
from rules.registry import InForce
from schemas.feed_settings import FeedBook
from streams.holds.breaker import Breaker, Trip
from streams.holds.tally import HoldCounts
from streams.ingest.decode import Decoded
from streams.ingest.decode_share import Decodes
from streams.ingest.epoch import OutRecord, Place
from streams.ingest.merge import Merged
from streams.ingest.names import Names


class Awaited(NamedTuple):
    """A block that was opened, or a release: a change that somebody waits for since a record came.

    topic: of that record; `review-queue` for a block that was in review, since the event by which it was proposed.
    recorded_ms: its Kafka timestamp, None where that is unknown. at_ms: its event time."""

    topic: str
    change: str
    recorded_ms: int | None
    at_ms: int


@dataclass(slots=True)
class Outcome:
    """The outcome of an epoch."""

    records: list[OutRecord] = field(default_factory=list)  # in the order they are to be produced
    feeds: dict[str, Counter[str]] = field(default_factory=dict)  # by topic: records, accepted, late, future, ...
    # (topic, feed, what, detail): what is as in streams.ingest.decode, or `events` with their outcome as the detail
    by_feed: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    skew_ms: dict[tuple[str, str], int] = field(default_factory=dict)  # by (topic, feed): see streams.ingest.skew
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (rule, lane, change)
    # By subject, events that are to be counted for others than their number, in the order of their records.
    derived: dict[str, Merged] = field(default_factory=dict)
    ledger: list[OutRecord] = field(default_factory=list)  # for topic LEDGER: a row per number whose holds changed
    diverted: Counter[str] = field(default_factory=Counter)  # changes in review that would have been enforced, by why
    at_bound: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (rule, lane, given_up or not_opened)
    listed: Counter[str] = field(default_factory=Counter)  # events of numbers that have an entry, by kind, where asked
    orders: Counter[tuple[str, str]] = field(default_factory=Counter)  # about numbers: (action, obeyed or why not)
    trips: list[Trip] = field(default_factory=list)  # what began to hold openings back
    awaited: list[Awaited] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KnownSight:
    """One rule's values of a number. reading: streams.counting.table.READINGS. warming: readings that may lack
    events."""

    rule: Rule
    reading: str
    as_of_ms: int
    values: Mapping[str, float | str | None]
    warming: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known of one number. holds: (mode, hold as records have it). rulings: orders that stand. unblockable:
    of streams.holds.number_order.REFUSALS; "" for none."""

    sights: list[KnownSight] = field(default_factory=list)
    holds: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rulings: list[dict[str, Any]] = field(default_factory=list)
    unblockable: str = ""


class Versioned(Protocol):
    """The part of rules that delivery needs."""

    @property
    def version(self) -> str: ...

    @property
    def topics(self) -> Sequence[str]:
        """The inputs that they count."""
        ...

    @property
    def reads(self) -> Sequence[str]:
        """Those, and `derived` if they need it."""
        ...

    @property
    def stop_at_origin(self) -> bool:
        """Some rule tells relays to stop a number at their side."""
        ...


class Enforced(Protocol):
    """The part of holds that heartbeats need."""

    def enforced_by_partition(self, partitions: int) -> Sequence[int]:
        """The number of enforced holds of each partition's numbers."""
        ...


class LiveEngine(Protocol):
    """All state of one worker, kept by partition. One thread at a time calls it; nothing in it waits."""

    partitions: int
    """Of every input topic. Whoever connects the worker sets it, before anything is counted."""

    group: str
    """The consumer group that it counts for. Set likewise."""

    @property
    def topics(self) -> Sequence[str]:
        """The inputs that are read, without `rekeyed`: those that the rules count, and perhaps others."""
        ...

    @property
    def reads(self) -> Sequence[str]:
        """All topics that are read: the inputs, `rekeyed`, and `derived` if some rule needs it."""
        ...

    @property
    def decoders(self) -> Mapping[str, Decodes]:
        """One for each of `topics`."""
        ...

    @property
    def rules(self) -> Versioned: ...

    @property
    def feeds_version(self) -> str:
        """Of the settings of feeds that records are decoded under; "" without any."""
        ...

    @property
    def ledger(self) -> Enforced: ...

    @property
    def breaker(self) -> Breaker:
        """The breaker. Its `paused` is set, and its rows are saved and loaded, from outside."""
        ...

    @property
    def names(self) -> Names:
        """The texts that its decoders have learnt."""
        ...

    registry: InForce
    """The registry by which rules are evaluated. Its told entries are set from outside."""

    # -- counting

    def step(self, decoded: list[Decoded]) -> Outcome:
        """Counts one epoch and evaluates the rules."""
        ...

    def expire(self, now_ms: int) -> Outcome:
        """The notices and tombstones that are due by wall time."""
        ...

    def maintain(self) -> None:
        """A bounded piece of reclaiming work between two epochs; it changes no later reading."""
        ...

    def with_rules(self, rules: RuleSet, feeds: FeedBook | None = None) -> LiveEngine:
        """The same state under other rules, which count no topic that is not read, and under other settings of feeds
        if there are any. This engine must not be used any more."""
        ...

    # -- one partition's state

    def begin(self, partition: int, topic: str, complete: bool) -> None:
        """A place starts without a snapshot, before its first event; `complete`: its log is read from the beginning."""
        ...

    def load(self, partition: int, piece: bytes) -> int:
        """Loads a chunk of an image, in the order in which they were taken; returns how many numbers it had. Raises
        ImageError."""
        ...

    def count(self, decoded: list[Decoded]) -> None:
        """Counts an epoch that was evaluated before: no rule, no hold, nothing to produce."""
        ...

    def load_ledger(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Loads (key, value) rows of a partition's ledger, in log order. Raises LedgerRowError."""
        ...

    def image(self, partition: int, whole: bool) -> list[bytes]:
        """The image of a partition as chunks: all of it, or the changes since its last image."""
        ...

    def image_must_be_whole(self, partition: int) -> bool:
        """True if the next image cannot build on the ones before."""
        ...

    def drop(self, partition: int) -> None:
        """Forgets everything of the partition."""
        ...

    # -- what it tells

    def known_of(self, number: int, partition: int) -> Known:
        """All that is known of one number of a partition. Changes nothing."""
        ...

    def clocks(self) -> Mapping[Place, int]:
        """The event time of each place that was heard, ms."""
        ...

    def warming(self) -> int:
        """The number of (counter, place) that may lack events."""
        ...

    def hold_counts(self) -> HoldCounts:
        """The numbers that are held now, by rule and mode."""
        ...

    def stats(self) -> Mapping[str, float]:
        """Sizes of the state, by name."""
        ...
