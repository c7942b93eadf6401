"""The city as `python -m bench.packs --generator tests.second.measured` asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from bench.packs import Scene
from bench.packs.kinds import Facts
from tests.second.crooks import GROUPS
from tests.second.town import town

GANGS = ("series", "sim_box")
CONTENT = ("bait_burst", "relative_burst", "relative_by_hand", "payment_landline", "payment_voip")
# As common as the like of them in bench/packs/kinds.py.
COMMON = {
    "subscriber": 94_000, "ported": 4_000, "roaming": 250, "redialling_elder": 200, "rider": 300, "courier": 80,
    "group_chat": 500, "wedding_host": 3, "exchange": 100, "hospital": 15, "call_centre": 3, "taxi_dispatch": 0.7,
    "debt_collector": 5, "opinion_poll": 0.2, "shop_by_web": 150, "academy_by_web": 80, "school": 25,
    "code_sender": 1, "code_sender_abroad": 0.1, "meter": 300, "fax_server": 2, "broadcast": 5, "bank_desk": 40,
    "alarm_centre": 60, "spoofed_owner": 2, "desk_abroad": 0.5,
}  # fmt: skip
PEOPLE = {"ported", "roaming", "redialling_elder", "rider", "courier", "group_chat", "wedding_host", "spoofed_owner"}


def _goal(group: str, kind: str) -> str:
    if kind in GANGS:
        return "gang"
    if kind in CONTENT:
        return "content"
    return {"plain": "machine", "evasive": "patient", "unvouched": "unvouched"}[group]


KINDS = {kind: Facts(_goal(group, kind)) for group, kinds in GROUPS.items() for kind in kinds} | {
    kind: Facts("ordinary" if kind == "subscriber" else "person" if kind in PEOPLE else "business", share)
    for kind, share in COMMON.items()
}


class CityRecord(NamedTuple):
    topic: str
    key: bytes
    timestamp_ms: int
    value: bytes


class CityLabel(NamedTuple):
    number: str
    kind: str
    innocent: bool
    gang: str


class Measured:
    def __init__(self, seed: int, scene: Scene) -> None:
        self._city, self._records = town(
            seed, scene.hours, scene.subscribers, scene.day, scene.feed, max(1, scene.per_kind // 2)
        )

    def __iter__(self) -> Iterator[CityRecord]:
        for written in self._records:
            yield CityRecord(written.topic, written.number.encode(), written.at_ms, orjson.dumps(written.record))

    def labels(self) -> list[CityLabel]:
        return [CityLabel(number, who.kind, who.innocent, who.gang) for number, who in self._city.truth.items()]


def traffic(seed: int, scene: Scene) -> Measured:
    return Measured(seed, scene)
