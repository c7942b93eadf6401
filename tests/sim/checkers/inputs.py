"""The input logs as the reference reads them: strays where `rekeyed` has brought them, all else where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from schemas.decoding import RecordError, decode
from schemas.feeds import FEEDS
from schemas.topics import DERIVED, REKEYED
from streams.ingest.epoch import partition_of_strays
from tests.reference.reference import Line
from tests.sim.history import home_of
from tests.sim.log import Record
from tests.sim.world import World

T = TypeVar("T")


def once_per_input(world: World, name: str, make: Callable[[], T]) -> T:
    """The result of `make` on the committed records; made again only when these have changed. A history is checked
    before and after everybody begins anew, with the same inputs."""
    key = (world.committed(), [len(world.counted.order[p]) for p in range(world.partitions)])
    if world.known.get(name, (None, None))[0] != key:
        world.known[name] = (key, make())
    made: T = world.known[name][1]
    return made


def is_stray(world: World, topic: str, partition: int, value: bytes | None) -> bool:
    try:
        number = str(decode(topic, value, frozenset())[FEEDS[topic].number])
    except RecordError:
        return False
    return home_of(number, world.partitions) not in (None, partition)


def lines(world: World) -> Iterator[Line]:
    """The committed records, in the order in which they were counted."""
    for partition in range(world.partitions):
        logs: dict[str, dict[int, Record]] = {}
        for (topic, _), offset, _ in world.counted.order[partition]:
            if topic == DERIVED:
                continue
            if topic not in logs:
                logs[topic] = {r.offset: r for r in world.broker.logs[topic, partition].committed()}
            r = logs[topic][offset]
            if topic == REKEYED:
                topic, first, offset, timestamp_ms = origin(r)
                yield Line(topic, partition_of_strays(partition, first), offset, timestamp_ms, r.value, r.key)
            elif not is_stray(world, topic, partition, r.value):
                yield Line(topic, partition, r.offset, r.timestamp_ms, r.value, r.key)


def origin(record: Record) -> tuple[str, int, int, int]:
    """(topic, partition, offset, timestamp in ms) of a re-keyed record, as its headers tell."""
    told = [content for _, content in record.headers]
    return told[0].decode(), int(told[1]), int(told[2]), int(told[3])
