"""This traffic as `python -m bench.packs --generator tests.second.traffic` asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from bench.packs import Labelled, Scene
from bench.packs.kinds import Facts
from tests.second.city import City, Written
from tests.second.crooks import GOALS
from tests.second.firms import FIRMS
from tests.second.people import ODD
from tests.second.town import town

KINDS: Mapping[str, Facts] = {
    **{kind: Facts(goal) for goal, kinds in GOALS.items() for kind in kinds},
    **{kind: Facts("business", per_100k) for kind, per_100k in FIRMS.items()},
    **{kind: Facts("person", 100_000 * share) for kind, share in ODD.items()},
    "subscriber": Facts("ordinary", 93_000),
}


class Record(NamedTuple):
    """As it lies in Kafka."""

    topic: str
    key: bytes
    timestamp_ms: int
    value: bytes


class Label(NamedTuple):
    """The truth about a number that acted."""

    number: str
    kind: str
    innocent: bool
    gang: str


class Traffic:
    """One day of one city."""

    def __init__(self, city: City, written: Iterator[Written]) -> None:
        self._city, self._written = city, written
        self._acted: dict[str, None] = {}

    def __iter__(self) -> Iterator[Record]:
        for one in self._written:
            self._acted[one.number] = None
            yield Record(one.topic, one.number.encode(), one.at_ms, orjson.dumps(one.record))

    def labels(self) -> list[Label]:
        """Of every number that acted, once all records have been read."""
        return [Label(number, *self._told(number)) for number in self._acted]

    def _told(self, number: str) -> tuple[str, bool, str]:
        who = self._city.truth[number]
        return who.kind, who.innocent, who.gang


def traffic(seed: int, scene: Scene) -> Labelled:
    return Traffic(
        *town(seed, scene.hours, scene.subscribers, scene.start_ms / 1000, scene.feed, max(1, scene.per_kind // 2))
    )
