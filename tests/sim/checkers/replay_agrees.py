"""The inputs, recorded to a file and replayed, lead to the blocks that the workers published.

For histories that the logs alone explain: no strays, which a replay counts where they lie."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from streams.captures.replay import Replay
from streams.captures.writing import FORMATS, CaptureWriter, Record
from streams.ingest.epoch import OutRecord
from tests.sim.checkers.expected_blocks import by_subject, compare, outputs
from tests.sim.checkers.inputs import lines, once_per_input
from tests.sim.world import World


def check(world: World, once: bool) -> None:
    replayed = by_subject(once_per_input(world, "replayed", lambda: _replayed(world)))
    seen = by_subject((topic, r.key, r.value, r.headers) for topic, r in outputs(world))
    compare(replayed, seen, once)


def _replayed(world: World) -> list[OutRecord]:
    made: list[OutRecord] = []
    with TemporaryDirectory() as folder:
        writer = CaptureWriter(Path(folder), FORMATS[world.seed % len(FORMATS)], "none")
        writer.write([Record(r.topic, r.partition, r.offset, r.ts_ms, 1, r.key, r.value) for r in lines(world)])
        writer.finish()
        replay = Replay(world.engine(world.rules_in_force.version), made.append)
        for written in writer.files:
            replay.run_file(written.path)
    return made
