"""`replay` of a recorded file, and what its numbers weigh afterwards.

Timed: reading the file, decoding, counting, matching, and making the output records, which go nowhere. The kernels are
loaded before. Bytes per number: everything the engine keeps (rows, rings, sketches, remembered ids) over the rows of
numbers that it tracks."""

from __future__ import annotations

import time
from pathlib import Path

from bench.jobs import parameters, result
from streams.runtime.garbage import Collector


def main() -> None:
    from rules.load import load
    from streams.captures.replay import Replay
    from streams.engine.engine import Engine
    from streams.engine.warm import warm

    told = parameters()
    rules = load([Path(told["rules"])])
    path = Path(told["file"])
    made: list[int] = []

    def replay_of(lines: Path) -> Replay:
        replay = Replay(Engine(rules, expire_by_clock=True), lambda record: made.append(1))
        replay.run_file(lines)
        return replay

    warm(rules)
    replay_of(Path(told["first"]))
    collector = Collector()
    collector.take_over()
    made.clear()
    begun = time.perf_counter()
    replay = replay_of(path)
    took = time.perf_counter() - begun
    stats = replay.engine.stats()
    result(
        rate=replay.summary.lines / took,
        lines=replay.summary.lines,
        produced=len(made),
        tracked_numbers=stats["tracked_numbers"],
        remembered_ids=stats["remembered_ids"],
        bytes_per_number=stats["state_bytes"] / stats["tracked_numbers"],
    )


if __name__ == "__main__":
    main()
