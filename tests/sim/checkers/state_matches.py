"""What a worker holds in memory of a partition equals what a fresh engine makes of the logs up to the commits."""

from __future__ import annotations

import numpy as np

from rules.model import RuleSet
from schemas.feeds import FEEDS
from schemas.topics import REKEYED
from streams.engine.engine import Engine
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import RawBatch
from tests.sim.checkers.inputs import once_per_input, records
from tests.sim.log import Record
from tests.sim.worker import SimWorker
from tests.sim.world import World


def check(world: World, rules: RuleSet, workers: list[SimWorker]) -> Engine:
    """Returns the fresh engine, holds expired by now."""
    expected = once_per_input(world, "state", lambda: counted(world, rules))
    expected.expire(world.now_ms)
    for worker in workers:
        if worker.flow is None or not worker.flow.ready:
            continue
        engine = worker.flow.engine
        engine.expire(world.now_ms)
        for partition in sorted(worker.flow.live):
            assert engine.warming() == 0, f"{worker.process.name}: counters lack events"
            if engine.digest(partition) != expected.digest(partition):
                found = difference(engine, expected)
                raise AssertionError(f"{worker.process.name}: partition {partition} differs from its logs: {found}")
    return expected


def counted(world: World, rules: RuleSet) -> Engine:
    engine = Engine(rules)
    engine.partitions = world.partitions
    committed = world.committed()
    for place in world.input_places():
        if place[0] in FEEDS:
            engine.begin(place[1], place[0], complete=True)
    for topic in (*FEEDS, REKEYED):
        for place in world.broker.places(topic):
            found = records(world, place, committed)
            if found:
                engine.step(decode_share(engine, batch(topic, place[1], found)))
    return engine


def batch(topic: str, partition: int, found: list[Record]) -> RawBatch:
    n = len(found)
    raw = RawBatch(
        topic,
        np.arange(n),
        np.full(n, partition, np.int32),
        np.array([r.offset for r in found], np.int64),
        np.array([r.timestamp_ms for r in found], np.int64),
        [r.value for r in found],
    )
    if topic == REKEYED:
        raw.headers = [list(r.headers) for r in found]
    return raw


def difference(one: Engine, other: Engine) -> str:
    """Where two engines differ, for whoever reads the failure."""
    told = []
    if one.clocks() != other.clocks():
        told.append(f"clocks {one.clocks()} != {other.clocks()}")
    for partition in range(one.partitions):
        told += [
            f"{topic} {name}: {sorted(set(mine.items()) ^ set(yours.items()))[:4]}"
            for (topic, name), mine in readings(one, partition).items()
            if mine != (yours := readings(other, partition).get((topic, name), {}))
        ]
        for number in {*one.ledger.numbers_of(partition, one.partitions)} | {
            *other.ledger.numbers_of(partition, one.partitions)
        }:
            if one.ledger.row(number) != other.ledger.row(number):
                told.append(f"holds: {one.ledger.row(number)!r} != {other.ledger.row(number)!r}")
    return "; ".join(told)[:1500] or "in what no reading shows"


def readings(engine: Engine, partition: int) -> dict[tuple[str, str], dict[int, float]]:
    return {
        (topic, name): dict(zip(numbers.tolist(), np.round(values, 6).tolist(), strict=True))
        for topic, numbers, _, outputs in engine.readings(partition)
        for name, values in outputs.items()
    }
