"""A stand-in for the engine: counts nothing, remembers what it was handed, and announces a block where asked.

For tests and measurements of everything around the engine; its methods are those of `streams.engine.engine.Engine`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.holds.breaker import Breaker, Trip
from streams.ingest.epoch import OutRecord, RawBatch


@dataclass
class Outcome:
    records: list[OutRecord] = field(default_factory=list)
    feeds: dict[str, Counter[str]] = field(default_factory=dict)
    changes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    ledger: list[OutRecord] = field(default_factory=list)
    diverted: Counter[str] = field(default_factory=Counter)
    at_bound: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    trips: list[Trip] = field(default_factory=list)


@dataclass
class Decoded:
    topic: str
    raw: RawBatch
    dead_letters: list[OutRecord] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        """No events: whoever looks for strays among them finds none."""
        return 0


class Decoder:
    """Values that start with `bad` become dead letters."""

    def __init__(self, topic: str) -> None:
        self.topic = topic

    def decode(self, raw: RawBatch) -> Decoded:
        bad = [value for value in raw.values if value is not None and value.startswith(b"bad")]
        letters = [OutRecord("dead-letters", None, value) for value in bad]
        return Decoded(self.topic, raw, letters, Counter(records=len(raw.values), not_json=len(bad)))


class Ledger:
    def enforced_by_partition(self, partitions: int) -> list[int]:
        return [0] * partitions


@dataclass
class Rules:
    version: str = "stand-in"


class StandIn:
    """Values that start with `block` come out on `block-events`; one that is `crash` raises."""

    def __init__(self, *topics: str) -> None:
        self.topics = topics
        self.decoders = {topic: Decoder(topic) for topic in topics}
        self.seen: list[tuple[str, int, int]] = []  # (topic, partition, offset) in the order of the steps
        self.arrivals: list[bytes | None] = []  # values in arrival order
        self.expired_at: list[int] = []
        self.keep = True
        self.partitions = 0
        self.rules = Rules()
        self.ledger = Ledger()
        self.breaker = Breaker()
        self.replayed: list[tuple[str, int, int]] = []  # (topic, partition, offset) counted silently
        self.loaded: list[int] = []
        self.dropped: list[int] = []
        self.begun: list[tuple[int, str, bool]] = []

    def step(self, decoded: list[Decoded]) -> Outcome:
        outcome = Outcome([letter for one in decoded for letter in one.dead_letters])
        for one in decoded:
            outcome.feeds[one.topic] = one.counts + Counter(accepted=len(one.raw.values) - one.counts["not_json"])
        if not self.keep:
            return outcome
        arrived = sorted((order, one.topic, i) for one in decoded for i, order in enumerate(one.raw.order.tolist()))
        raws = {one.topic: one.raw for one in decoded}
        for _, topic, i in arrived:
            raw = raws[topic]
            value = raw.values[i]
            self.seen.append((topic, int(raw.partition[i]), int(raw.offset[i])))
            self.arrivals.append(value)
            if value == b"crash":
                raise RuntimeError("asked to crash")
            if value is not None and value.startswith(b"block"):
                outcome.records.append(OutRecord("block-events", b"821012345678", value))
                outcome.changes["stand-in", "enforce", "opened"] += 1
        return outcome

    def count(self, decoded: list[Decoded]) -> None:
        for one in decoded:
            offsets = zip(one.raw.partition.tolist(), one.raw.offset.tolist(), strict=True)
            self.replayed += [(one.topic, partition, offset) for partition, offset in offsets]

    def image(self, partition: int, *, whole: bool) -> list[bytes]:
        return [b"image of %d" % partition]

    def image_must_be_whole(self, partition: int) -> bool:
        return False

    def load(self, partition: int, chunk: bytes) -> int:
        assert chunk == b"image of %d" % partition
        self.loaded.append(partition)
        return 0

    def load_ledger(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None: ...

    def drop(self, partition: int) -> None:
        self.dropped.append(partition)

    def begin(self, partition: int, topic: str, complete: bool) -> None:
        self.begun.append((partition, topic, complete))

    def warming(self) -> int:
        return sum(not complete for _, _, complete in self.begun)

    def clocks(self) -> dict[tuple[str, int], int]:
        return {}

    def expire(self, now_ms: int) -> Outcome:
        self.expired_at.append(now_ms)
        return Outcome()

    def maintain(self) -> None: ...

    def stats(self) -> dict[str, float]:
        return {"tracked": float(len(self.seen))}
