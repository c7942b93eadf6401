"""The input logs as the reference reads them: strays where `rekeyed` has brought them, all else where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from schemas.decoding import RecordError, decode
from schemas.feeds import FEEDS
from schemas.topics import CDR, MESSAGE_RELAY, REKEYED
from streams.ingest.epoch import REKEYED_BASE
from tests.reference.reference import Line
from tests.sim.history import home_of
from tests.sim.log import Record
from tests.sim.world import World

T = TypeVar("T")
ACTOR = {MESSAGE_RELAY: "sender", CDR: "caller"}


def once_per_input(world: World, name: str, make: Callable[[], T]) -> T:
    """What `make` makes of the input logs and the group's commits; made again only when these have changed. A history
    is checked before and after everybody begins anew, with the same inputs."""
    # Behind the last record may lie the ends of transactions, which a commit passes or does not.
    upto = world.committed()
    key = {
        place: [(r.offset, r.offset < upto.get(place, 0)) for r in world.broker.logs[place].committed()]
        for place in world.input_places()
    }
    if world.known.get(name, (None, None))[0] != key:
        world.known[name] = (key, make())
    made: T = world.known[name][1]
    return made


def is_stray(world: World, topic: str, partition: int, value: bytes | None) -> bool:
    try:
        number = str(decode(topic, value, frozenset())[ACTOR[topic]])
    except RecordError:
        return False
    return home_of(number, world.partitions) not in (None, partition)


def lines(world: World, upto: dict[tuple[str, int], int] | None = None) -> Iterator[Line]:
    """upto: the offset before which each place is read, its end unless given."""
    for topic in FEEDS:
        for place in world.broker.places(topic):
            for r in records(world, place, upto):
                if not is_stray(world, *place, r.value):
                    yield Line(*place, r.offset, r.timestamp_ms, r.value, r.key)
    for place in world.broker.places(REKEYED):
        for r in records(world, place, upto):
            topic, first, _, timestamp_ms = origin(r)
            yield Line(topic, place[1] + REKEYED_BASE * (1 + first), r.offset, timestamp_ms, r.value, r.key)


def records(world: World, place: tuple[str, int], upto: dict[tuple[str, int], int] | None) -> list[Record]:
    found = world.broker.logs[place].committed()
    return found if upto is None else [r for r in found if r.offset < upto.get(place, 0)]


def origin(record: Record) -> tuple[str, int, int, int]:
    """(topic, partition, offset, timestamp in ms) of a re-keyed record, as its headers tell."""
    told = [content for _, content in record.headers]
    return told[0].decode(), int(told[1]), int(told[2]), int(told[3])
