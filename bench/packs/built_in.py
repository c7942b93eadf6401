"""The generator that ships, as `bench.packs` asks for it."""

from __future__ import annotations

from bench.packs import Labelled, Scene
from streams.traffic.generate import Traffic, TrafficSettings


def traffic(seed: int, scene: Scene) -> Labelled:
    settings = TrafficSettings(
        seed=seed, start_ms=scene.start_ms, duration_ms=scene.duration_ms, subscribers=scene.subscribers,
        every_kind=True, offenders_per_kind=scene.per_kind, businesses_per_kind=scene.per_kind, form=scene.feed,
    )  # fmt: skip
    return Traffic(settings)
