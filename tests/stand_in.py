"""A stand-in for the engine: counts nothing, remembers what it was handed, and announces a block where asked.

For tests and measurements of everything around the engine; it keeps `streams.engine.contract.LiveEngine`, as the type
checker sees (tests.contract_check)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from rules.model import RuleSet
from rules.registry import InForce, empty
from schemas.feed_settings import FeedBook
from schemas.topics import REKEYED
from streams.engine.contract import Known, Outcome
from streams.holds.breaker import Breaker
from streams.holds.tally import HoldCounts
from streams.ingest.decode import Decoded
from streams.ingest.epoch import OutRecord, RawBatch
from streams.ingest.names import Names

NO_EVENTS = np.empty(0, np.int64)


@dataclass
class Undecoded(Decoded):
    """Records as they were fetched, and no events: whoever looks for strays among them finds none."""

    raw: RawBatch | None = None


class Decoder:
    """Values that start with `bad` become dead letters."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def decode(self, raw: RawBatch) -> Decoded:
        bad = [value for value in raw.values if value is not None and value.startswith(b"bad")]
        letters = [OutRecord("dead-letters", None, value) for value in bad]
        counts = Counter(records=len(raw.values), not_json=len(bad))
        return Undecoded(self.topic, {"line": NO_EVENTS}, -1, letters, counts=counts, raw=raw)


def fetched(decoded: list[Decoded]) -> Iterator[tuple[str, RawBatch]]:
    return ((one.topic, one.raw) for one in decoded if isinstance(one, Undecoded) and one.raw is not None)


class Ledger:
    def enforced_by_partition(self, partitions: int) -> list[int]:
        return [0] * partitions


@dataclass(frozen=True)
class Rules:
    topics: tuple[str, ...]
    version: str = "stand-in"
    stop_at_origin: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        return self.topics


class StandIn:
    """Values that start with `block` come out on `block-events`; one that is `crash` raises."""

    def __init__(self, *topics: str) -> None:
        self.topics = topics
        self.decoders = {topic: Decoder(topic) for topic in topics}
        self.seen: list[tuple[str, int, int]] = []  # (topic, partition, offset) in the order of the steps
        self.arrivals: list[bytes | None] = []  # values in arrival order
        self.feeds: list[bytes | None] = []  # the header `feed` of each
        self.expired_at: list[int] = []
        self.keep = True
        self.partitions = 0
        self.group = ""
        self.names = Names({})
        self.rules: Rules | RuleSet = Rules(topics)
        self.feeds_version = ""
        self.ledger = Ledger()
        self.breaker = Breaker()
        self.registry = InForce(empty(), empty())
        self.replayed: list[tuple[str, int, int]] = []  # (topic, partition, offset) counted silently
        self.loaded: list[int] = []
        self.dropped: list[int] = []
        self.begun: list[tuple[int, str, bool]] = []

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.topics, REKEYED)

    def step(self, decoded: list[Decoded]) -> Outcome:
        outcome = Outcome([letter for one in decoded for letter in one.dead_letters])
        for one in decoded:
            outcome.feeds[one.topic] = one.counts.copy()
        for topic, raw in fetched(decoded):
            bad = outcome.feeds[topic]["not_json"]
            outcome.feeds[topic]["accepted"] = len(raw.values) - bad
            outcome.by_feed[topic, topic, "records", ""] = len(raw.values)
            outcome.by_feed[topic, topic, "dead", "not_json"] = bad
        if not self.keep:
            return outcome
        raws = dict(fetched(decoded))
        arrived = sorted((order, topic, i) for topic, raw in raws.items() for i, order in enumerate(raw.order.tolist()))
        for _, topic, i in arrived:
            raw = raws[topic]
            value = raw.values[i]
            self.seen.append((topic, int(raw.partition[i]), int(raw.offset[i])))
            self.arrivals.append(value)
            self.feeds.append(raw.feeds[i] if raw.feeds else None)
            if value == b"crash":
                raise RuntimeError("asked to crash")
            if value is not None and value.startswith(b"block"):
                outcome.records.append(OutRecord("block-events", b"821012345678", value))
                outcome.changes["stand-in", "enforce", "opened"] += 1
        return outcome

    def count(self, decoded: list[Decoded]) -> None:
        for topic, raw in fetched(decoded):
            offsets = zip(raw.partition.tolist(), raw.offset.tolist(), strict=True)
            self.replayed += [(topic, partition, offset) for partition, offset in offsets]

    def image(self, partition: int, whole: bool) -> list[bytes]:
        return [b"image of %d" % partition]

    def image_must_be_whole(self, partition: int) -> bool:
        return False

    def load(self, partition: int, piece: bytes) -> int:
        assert piece == b"image of %d" % partition
        self.loaded.append(partition)
        return 0

    def load_ledger(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None: ...

    def drop(self, partition: int) -> None:
        self.dropped.append(partition)

    def begin(self, partition: int, topic: str, complete: bool) -> None:
        self.begun.append((partition, topic, complete))

    def warming(self) -> int:
        return sum(not complete for _, _, complete in self.begun)

    def known_of(self, number: int, partition: int) -> Known:
        return Known()

    def clocks(self) -> dict[tuple[str, int], int]:
        return {}

    def expire(self, now_ms: int) -> Outcome:
        self.expired_at.append(now_ms)
        return Outcome()

    def maintain(self) -> None: ...

    def with_rules(self, rules: RuleSet, feeds: FeedBook | None = None) -> StandIn:
        self.rules = rules
        self.feeds_version = self.feeds_version if feeds is None else feeds.version
        return self

    def hold_counts(self) -> HoldCounts:
        return HoldCounts()

    def stats(self) -> dict[str, float]:
        return {"tracked": float(len(self.seen))}
