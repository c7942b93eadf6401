"""One run: traffic through the engine, and what became of each labelled number."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
import orjson

from bench.packs import Named, Recorded, Scene
from bench.packs.kinds import KINDS, Facts
from rules.model import RuleSet
from rules.registry import ALWAYS_MS, Entry, Registry
from schemas.registry import BULK_SENDER, INSTITUTION
from schemas.topics import CDR
from streams.engine.contract import Outcome
from streams.engine.engine import Engine
from streams.engine.evaluate import Fired
from streams.holds.breaker import Gate
from streams.holds.firings import ENFORCE, REVIEW
from streams.holds.ledger import Change
from streams.ingest.decode import Decoded
from streams.ingest.epoch import RawBatch
from streams.kafka.partition import partition_of

PARTITIONS = 4
EPOCH = 20_000  # records
KEPT_MAX = 20_000  # contact times of one number; more say nothing


@dataclass
class Hold:
    """A rule's first hold on a number in a lane."""

    from_ms: int
    evidence: str = ""


@dataclass
class Number:
    """A labelled number that acted. blocked, reviewed: rule -> its first hold."""

    number: str
    kind: str
    innocent: bool
    gang: str
    records: int
    first_ms: int
    contacts: np.ndarray  # int64, ms, ascending: set-ups and messages; of offenders only
    blocked: dict[str, Hold] = field(default_factory=dict)
    reviewed: dict[str, Hold] = field(default_factory=dict)


@dataclass
class Ran:
    """The result of one run."""

    seed: int
    scene: Scene
    records: int
    took_s: float
    cpu_s: float
    numbers: list[Number]


class Watched(Engine):
    """An engine that says which holds opened and makes no records of them, which costs more than all the rest."""

    def __init__(self, rules: RuleSet, evidence: bool = False) -> None:
        super().__init__(rules)
        self.holds: dict[tuple[int, int, str], Hold] = {}  # by (number, lane, rule)
        self._evidence = evidence

    def _changes(self, fired: Fired, gate: Gate | None) -> Iterator[tuple[int, Change]]:
        for change in self.ledger.apply(fired.firings, self.expire_by_clock, gate):
            key = (change.hold.number, change.hold.lane, self.ledger.rules[change.hold.rule])
            if key not in self.holds:
                told = ""
                if self._evidence and change.firing >= 0:
                    told = _told(self._evaluator.content(fired, change.firing))
                self.holds[key] = Hold(change.hold.from_ms, told)
            change.hold.content = b"{}"
            yield -1, change

    def _emit(self, outcome: Outcome, changes: Iterable[tuple[int, Change]]) -> None:
        for _ in changes:
            pass


def run(rules: RuleSet, seed: int, scene: Scene, generator: str, evidence: bool = False) -> Ran:
    """Raises ImportError or AttributeError where the generator is none, ValueError where its records are none."""
    begun, cpu = time.monotonic(), time.process_time()
    module = importlib.import_module(generator)
    made = module.traffic(seed, scene)
    if scene.registered:
        kinds = KINDS | dict(getattr(module, "KINDS", {}))
        rules = replace(rules, registry=_registry(made.labels(), kinds, scene.registered))
    engine, watch = Watched(rules, evidence), _Contacts()
    records = 0
    for epoch in _epochs(watch.seen(made)):
        records += sum(len(part) for part in epoch.values())
        engine.step(_decoded(engine, epoch))
        engine.maintain()
    numbers = watch.numbers(made.labels())
    by_key = {int(number.number[1:]): number for number in numbers if number.number[1:].isdigit()}
    for (key, lane, rule), hold in engine.holds.items():
        number = by_key.get(key)
        if number is not None and lane in (ENFORCE, REVIEW):
            (number.blocked if lane == ENFORCE else number.reviewed)[rule] = hold
    return Ran(seed, scene, records, time.monotonic() - begun, time.process_time() - cpu, numbers)


def _registry(labels: Iterable[Named], kinds: Mapping[str, Facts], share: float) -> Registry:
    """A registry of a share of the businesses, as institutions that send in bulk. The number decides, so that it is
    registered in all runs or in none."""
    entries = []
    for label in labels:
        facts = kinds.get(label.kind)
        if facts is None or facts.goal != "business" or crc32(label.number.encode()) >= share * 2**32:
            continue
        for kind in (BULK_SENDER, INSTITUTION):
            entries.append(Entry(kind, 0, int(label.number[1:]), ALWAYS_MS, 2**62, "its owner", "registered"))
    return Registry.of(entries)


class _Contacts:
    """Who acted when. Times of all numbers are kept: who is an offender is known afterwards."""

    def __init__(self) -> None:
        self._times: dict[bytes, list[int]] = {}
        self._count: dict[bytes, int] = {}
        self._first: dict[bytes, int] = {}
        self._calls: dict[bytes, set[str]] = {}

    def seen(self, records: Iterable[Recorded]) -> Iterator[Recorded]:
        times, count = self._times, self._count
        for record in records:
            key, value = record.key, record.value
            count[key] = count.get(key, 0) + 1
            if key not in self._first:
                self._first[key] = record.timestamp_ms
            if record.topic != CDR or b'"event":"setup"' in value:
                times.setdefault(key, []).append(record.timestamp_ms)
            elif b'"event":"complete"' in value:
                times.setdefault(key, []).append(int(orjson.loads(value)["setup_at"]))
            yield record

    def numbers(self, labels: Iterable[Any]) -> list[Number]:
        out = []
        for label in labels:
            key = label.number.encode()
            if key not in self._count:
                continue
            contacts = np.empty(0, np.int64)
            if not label.innocent:
                # A feed that tells calls both ways names each set-up twice, at the same time.
                contacts = np.unique(np.array(self._times.get(key, ()), np.int64))[:KEPT_MAX]
            first = min(self._first[key], int(contacts[0]) if len(contacts) else self._first[key])
            out.append(Number(label.number, label.kind, label.innocent, label.gang, self._count[key], first, contacts))
        return out


def _epochs(records: Iterable[Recorded]) -> Iterator[dict[str, list[tuple[int, Recorded]]]]:
    """Up to EPOCH records at a time, by topic, each with its place."""
    stream = iter(records)
    while batch := list(islice(stream, EPOCH)):
        parts: dict[str, list[tuple[int, Recorded]]] = {}
        for place, record in enumerate(batch):
            parts.setdefault(record.topic, []).append((place, record))
        yield parts


_partition_by_key: dict[bytes, int] = {}


def _decoded(engine: Engine, epoch: dict[str, list[tuple[int, Recorded]]]) -> list[Decoded]:
    out = []
    for topic, part in epoch.items():
        if topic not in engine.decoders:
            continue
        for _, record in part:
            if record.key not in _partition_by_key:
                _partition_by_key[record.key] = partition_of(record.key, PARTITIONS)
        batch = RawBatch(
            topic,
            np.array([place for place, _ in part], np.int64),
            np.array([_partition_by_key[record.key] for _, record in part], np.int32),
            np.zeros(len(part), np.int64),
            np.array([record.timestamp_ms for _, record in part], np.int64),
            [record.value for _, record in part],
        )
        decoded = engine.decoders[topic].decode(batch)
        if decoded.dead_letters:
            why = dict(decoded.dead_letters[0].headers)["__connect.errors.exception.message"].decode()
            raise ValueError(f"the generator's records are not all records of {topic}: {why}")
        out.append(decoded)
    return out


def _told(content: dict[str, Any]) -> str:
    return ", ".join(
        f"{e['counter']}={e['value']:g}" + ("" if e.get("limit") is None else f" (limit {e['limit']:g})")
        for e in content["evidence"]
    )
