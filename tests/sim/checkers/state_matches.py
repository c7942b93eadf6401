"""A worker's memory of a partition equals that of a fresh engine that counted up to the commits."""

from __future__ import annotations

import numpy as np

from streams.engine.engine import Engine
from streams.ingest.epoch import home_of
from tests.sim.checkers.expected import Expected
from tests.sim.worker import SimWorker
from tests.sim.world import World


def check(world: World, expected: list[Expected], workers: list[SimWorker]) -> None:
    """Holds are expired by now on both sides."""
    for one in expected:
        one.engine.expire(world.now_ms)
    for worker in workers:
        if worker.wiring is None or worker.flow is None or not worker.flow.partitions.ready:
            continue
        engine = worker.wiring.engine
        engine.expire(world.now_ms)
        # Counters of topics that were only read until now warm; all others have counted every event.
        assert world.also or engine.warming() == 0, f"{worker.process.name}: counters lack events"
        for partition in sorted(worker.flow.partitions.live):
            fresh = expected[partition].engine
            if engine.rules.version != fresh.rules.version:  # nothing was counted since the rules changed
                fresh = expected[partition].engine = fresh.with_rules(engine.rules)
            if engine.digest(partition) != fresh.digest(partition):
                found = difference(engine, fresh, partition)
                raise AssertionError(f"{worker.process.name}: partition {partition} differs from its logs: {found}")


def difference(one: Engine, other: Engine, partition: int) -> str:
    """The differences of two engines in a partition, for the reader of the failure."""
    told = []
    mine_told, yours_told = readings(one, partition), readings(other, partition)
    for topic, name in mine_told:
        mine, yours = mine_told[topic, name], yours_told.get((topic, name), {})
        if mine != yours:
            told.append(f"{topic} {name}: {sorted(set(mine.items()) ^ set(yours.items()))[:4]}")
    clocks = [{place: at for place, at in e.clocks().items() if home_of(place[1]) == partition} for e in (one, other)]
    if clocks[0] != clocks[1]:
        told.append(f"clocks {clocks[0]} != {clocks[1]}")
    if one.breaker.row(partition) != other.breaker.row(partition):
        told.append(f"breaker {one.breaker.row(partition)!r} != {other.breaker.row(partition)!r}")
    for number in {n for e in (one, other) for n in e.ledger.numbers_of(partition, one.partitions)}:
        if one.ledger.row(number) != other.ledger.row(number):
            told.append(f"holds: {one.ledger.row(number)!r} != {other.ledger.row(number)!r}")
    return "; ".join(told)[:1500] or "in what no reading shows"


def readings(engine: Engine, partition: int) -> dict[tuple[str, str], dict[int, float]]:
    return {
        (topic, name): dict(zip(numbers.tolist(), np.round(np.nan_to_num(values, nan=-1.0), 6).tolist(), strict=True))
        for topic, numbers, _, outputs in engine.readings(partition)
        for name, values in outputs.items()
    }
