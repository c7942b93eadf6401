"""The outputs of a fresh engine on the logs, each partition by itself, in the order in which its records were counted.

It has never been restored, saved or moved. In quiet histories the plain reference is asked as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from schemas.topics import REKEYED
from streams.engine.engine import Engine
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import OutRecord, RawBatch
from streams.ingest.merge import Merged
from tests.sim.checkers.inputs import once_per_input
from tests.sim.counted import Counted
from tests.sim.log import Record
from tests.sim.rules import by_version
from tests.sim.world import World


@dataclass
class Expected:
    """One partition as of the committed offsets."""

    engine: Engine
    outputs: list[OutRecord] = field(default_factory=list)
    derived: list[dict[str, Merged]] = field(default_factory=list)  # by subject, epoch by epoch


def expected(world: World) -> list[Expected]:
    """By partition. Raises AssertionError when what is committed is not what was counted."""
    return once_per_input(world, "expected", lambda: [_counted(world, p) for p in range(world.partitions)])


def _counted(world: World, partition: int) -> Expected:
    logs = {
        place: {r.offset: r for r in world.broker.logs[place].committed()}
        for place in world.input_places()
        if place[1] == partition
    }
    order = world.counted.order[partition]
    _check_whole(world, logs, order)
    made = Expected(world.engine(order[0].mode.rules_version if order else world.rules_in_force.version))
    for place in logs:
        if place[0] in world.topics:
            made.engine.begin(partition, place[0], complete=True)
    for mode, run in groupby(order, key=lambda one: one.mode):
        if made.engine.rules.version != mode.rules_version:
            made.engine = made.engine.with_rules(by_version(mode.rules_version))
        made.engine.breaker.paused = mode.paused
        made.engine.registry = replace(made.engine.registry, told=world.registries[mode.told])
        decoded = [part for raw in _batches(world, logs, list(run)) for part in decode_share(made.engine, raw)]
        outcome = made.engine.step(decoded)
        made.outputs += outcome.records
        made.derived.append(outcome.derived)
    return made


def _check_whole(world: World, logs: dict[tuple[str, int], dict[int, Record]], order: list[Counted]) -> None:
    """Nothing is committed that was not counted, nothing is counted twice."""
    upto = world.committed()
    wanted = {(place, offset) for place, found in logs.items() for offset in found if offset < upto.get(place, 0)}
    seen = [(one.place, one.offset) for one in order]
    assert len(seen) == len(set(seen)), f"{len(seen) - len(set(seen))} records were counted in two commits"
    assert wanted == set(seen), f"{len(wanted - set(seen))} records were committed and never counted"


def _batches(world: World, logs: dict[tuple[str, int], dict[int, Record]], run: list[Counted]) -> Iterator[RawBatch]:
    for topic in world.reads:
        found = [(i, logs[one.place][one.offset]) for i, one in enumerate(run) if one.place[0] == topic]
        if found:
            raw = RawBatch(
                topic,
                np.array([i for i, _ in found]),
                np.full(len(found), run[0].place[1], np.int32),
                np.array([r.offset for _, r in found], np.int64),
                np.array([r.timestamp_ms for _, r in found], np.int64),
                [r.value for _, r in found],
            )
            if topic == REKEYED:
                raw.headers = [list(r.headers) for _, r in found]
            yield raw
