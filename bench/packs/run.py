"""One run: traffic through the engine, and what became of each labelled number."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from bench.packs import Scene
from bench.packs.kinds import KINDS, Facts
from bench.packs.made import Hold, Number, traffic_of
from rules.model import RuleSet
from rules.registry import ALWAYS_MS, Entry, Registry
from schemas.registry import BULK_SENDER, INSTITUTION
from streams.engine.engine import Engine
from streams.engine.evaluate import Fired
from streams.holds.firings import ENFORCE, REVIEW
from streams.holds.hold import Change
from streams.ingest.decode import Decoded
from streams.ingest.epoch import RawBatch


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
        self.watch_changes(self._note)

    def _note(self, change: Change, fired: Fired) -> None:
        key = (change.hold.number, change.hold.lane, self.ledger.rules[change.hold.rule])
        if key not in self.holds:
            told = ""
            if self._evidence and change.firing >= 0:
                told = _told(self._evaluator.content(fired, change.firing))
            self.holds[key] = Hold(change.hold.from_ms, told)


def run(
    rules: RuleSet, seed: int, scene: Scene, generator: str, evidence: bool = False, cache: Path | None = None
) -> Ran:
    """cache: a folder in which traffic that was made is kept, and looked for. Raises ImportError or AttributeError
    where the generator is none, ValueError where its records are none."""
    begun, cpu = time.monotonic(), time.process_time()
    made = traffic_of(seed, scene, generator, cache)
    if scene.registered:
        kinds = KINDS | dict(getattr(importlib.import_module(generator), "KINDS", {}))
        rules = replace(rules, registry=_registry(made.numbers, kinds, scene.registered))
    engine = Watched(rules, evidence)
    for epoch in made.epochs:
        engine.step([_decoded(engine, batch) for batch in epoch if batch.topic in engine.decoders])
        engine.maintain()
    by_key = {int(number.number[1:]): number for number in made.numbers if number.number[1:].isdigit()}
    for (key, lane, rule), hold in engine.holds.items():
        number = by_key.get(key)
        if number is not None and lane in (ENFORCE, REVIEW):
            (number.blocked if lane == ENFORCE else number.reviewed)[rule] = hold
    return Ran(seed, scene, made.records, time.monotonic() - begun, time.process_time() - cpu, made.numbers)


def _decoded(engine: Engine, batch: RawBatch) -> Decoded:
    decoded = engine.decoders[batch.topic].decode(batch)
    if decoded.dead_letters:
        why = dict(decoded.dead_letters[0].headers)["__connect.errors.exception.message"].decode()
        raise ValueError(f"the generator's records are not all records of {batch.topic}: {why}")
    return decoded


def _registry(labels: Iterable[Number], kinds: Mapping[str, Facts], share: float) -> Registry:
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


def _told(content: dict[str, Any]) -> str:
    return ", ".join(
        f"{e['counter']}={e['value']:g}" + ("" if e.get("limit") is None else f" (limit {e['limit']:g})")
        for e in content["evidence"]
    )
