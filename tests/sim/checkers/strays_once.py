"""Every record that lies in a foreign partition is re-keyed to its number's own, once."""

from __future__ import annotations

from collections import Counter

from schemas.feeds import FEEDS
from schemas.topics import REKEYED
from tests.sim.checkers.inputs import is_stray, origin
from tests.sim.history import home_of
from tests.sim.world import World


def check(world: World, once: bool) -> None:
    expected = Counter(
        (topic, p, record.offset)
        for topic in FEEDS
        for _, p in world.broker.places(topic)
        for record in world.broker.logs[topic, p].committed()
        if is_stray(world, topic, p, record.value)
    )
    seen: Counter[tuple[str, int, int]] = Counter()
    for place in world.broker.places(REKEYED):
        for record in world.broker.logs[place].committed():
            seen[origin(record)[:3]] += 1
            assert home_of((record.key or b"").decode(), world.partitions) == place[1], "a stray was re-keyed astray"
    if not once:
        seen = Counter(dict.fromkeys(seen, 1))
    assert not expected - seen, (
        f"{sum((expected - seen).values())} strays were not re-keyed: {[*(expected - seen)][:3]}"
    )
    assert not seen - expected, f"{sum((seen - expected).values())} were re-keyed too often: {[*(seen - expected)][:3]}"
