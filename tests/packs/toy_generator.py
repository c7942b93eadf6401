"""A generator for `bench.packs` whose every number can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator

from bench.packs import Scene
from bench.packs.kinds import Facts
from streams.traffic.labels import Label
from streams.traffic.rows import TrafficRecord

KINDS = {"toy_dialler": Facts("machine"), "toy_series": Facts("gang"), "toy_office": Facts("business", 1_000)}
RULES = """
counters:
  calls: {on: cdr.setup, per: caller, count: events, window: 1h}
  ended: {on: cdr.setup, per: caller, share: origin == "domestic", window: 1h, at_least: 5, default: 1}
  odd:   {on: cdr.setup, per: caller, count: events, window: 1h, where: origin == "international"}
rules:
  - name: many-calls
    summary: many calls
    limits: {calls_max: 20}
    when: calls >= calls_max
    then: {block: [calls], directions: [outgoing], for: 7d}
    mode: enforce
  - name: some-calls
    summary: some calls
    when: calls >= 10 and calls + odd < 1000 and ended > 0
    then: {block: [calls], directions: [outgoing], for: 7d}
    mode: review
"""
# number -> (kind, innocent, gang, calls a minute apart, from which minute)
WHO = {
    "+827040000001": ("toy_dialler", False, "", 40, 0),
    "+827040000002": ("toy_dialler", False, "", 22, 0),
    "+827040000003": ("toy_dialler", False, "", 5, 0),
    "+827040000011": ("toy_series", False, "series-1", 30, 0),
    "+827040000012": ("toy_series", False, "series-1", 30, 60),
    "+827040000013": ("toy_series", False, "series-1", 30, 120),
    "+827040000014": ("toy_series", False, "series-1", 8, 180),
    "+827040000021": ("toy_office", True, "", 21, 0),
    "+827040000022": ("toy_office", True, "", 15, 0),
    "+827040000023": ("toy_office", True, "", 3, 0),
    "+827040000024": ("toy_office", True, "", 3, 0),
}


class Toy:
    def __init__(self, seed: int, scene: Scene) -> None:
        self._seed, self._scene = seed, scene

    def __iter__(self) -> Iterator[TrafficRecord]:
        calls = sorted(
            (self._scene.start_ms + 60_000 * (begin + i), number, i)
            for number, (_, _, _, count, begin) in WHO.items()
            for i in range(count)
        )
        for at, number, i in calls:
            value = (
                f'{{"call_id":"{number}-{i}","event":"setup","at":{at},"caller":"{number}","callee":"+8210{i:08d}",'
                '"origin":"domestic","verified":"full"}'
            )
            yield TrafficRecord("cdr", number.encode(), at, value.encode())

    def labels(self) -> list[Label]:
        return [Label(n, kind, innocent, 0, calls, gang) for n, (kind, innocent, gang, calls, _) in WHO.items()]


def traffic(seed: int, scene: Scene) -> Toy:
    return Toy(seed, scene)
