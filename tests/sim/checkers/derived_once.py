"""Events that count for others than their number are sent on to each of them, once; and these are told what is made of
what was sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from schemas.topics import DERIVED, SANCTIONS
from streams.ingest.derived import HERE, SUBJECT, unpack
from streams.ingest.epoch import RawBatch
from streams.kernels.partition import partition_of
from tests.sim.checkers.expected import Expected
from tests.sim.world import GROUP, World

Row = tuple[Any, ...]


def check(world: World, expected: list[Expected], once: bool) -> None:
    wanted = Counter(
        row
        for one in expected
        for parts in one.derived
        for name, events in parts.items()
        for row in _rows(name, events)
    )
    sent = _sent(world)
    if not once:
        wanted, sent = Counter(dict.fromkeys(wanted, 1)), Counter(dict.fromkeys(sent, 1))
    missing, surplus = wanted - sent, sent - wanted
    assert not missing, f"{sum(missing.values())} events were not sent to others: {[*missing][:2]}"
    assert not surplus, f"{sum(surplus.values())} events were sent to others too often: {[*surplus][:2]}"
    told = _told((r.topic, r.key, r.value) for one in expected for r in one.outputs)
    seen = _told(
        (SANCTIONS, r.key, r.value)
        for place in world.broker.places(SANCTIONS)
        for r in world.broker.logs[place].committed()
    )
    if not once:
        told, seen = ({by: list(dict.fromkeys(values)) for by, values in of.items()} for of in (told, seen))
    assert told == seen, f"others were told {_first(seen, told)}, and not {_first(told, seen)}"


def _sent(world: World) -> Counter[Row]:
    out: Counter[Row] = Counter()
    for topic, partition in world.broker.places(DERIVED):
        records = world.broker.logs[topic, partition].committed()
        n = len(records)
        raw = RawBatch(
            topic, np.arange(n), np.full(n, partition, np.int32), np.array([r.offset for r in records], np.int64),
            np.zeros(n, np.int64), [r.value for r in records],
        )  # fmt: skip
        decoded = unpack(raw, GROUP)
        assert not decoded.dead_letters, "a record of our own cannot be read"
        for name, columns in decoded.derived.items():
            home = np.empty(len(columns["at"]), np.int32)
            partition_of(columns[SUBJECT], world.partitions, home)
            assert (home == partition).all(), f"an event of a {name} was sent astray"
            out.update(_rows(name, columns))
    return out


def _rows(name: str, events: Any) -> Iterator[Row]:
    columns: Mapping[str, np.ndarray] = getattr(events, "columns", events)
    names = sorted(columns.keys() - set(HERE))
    yield from ((name, *row) for row in zip(*(columns[of].tolist() for of in names), strict=True))


def _told(records: Iterable[tuple[str, bytes | None, bytes | None]]) -> dict[tuple[bytes | None, str], list[bytes]]:
    """By the one that it is about and the rule, all that was told, in order."""
    out: dict[tuple[bytes | None, str], list[bytes]] = defaultdict(list)
    for topic, key, value in records:
        if topic == SANCTIONS and value is not None:
            out[key, orjson.loads(value)["rule"]].append(value)
    return dict(out)


def _first(one: dict[Any, list[bytes]], other: dict[Any, list[bytes]]) -> str:
    return next((str(values)[:300] for by, values in one.items() if other.get(by) != values), "nothing")
