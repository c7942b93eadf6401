"""`replay` of a recorded file, and what its numbers weigh afterwards.

Timed: reading the file, decoding, counting, matching, and making the output records, which go nowhere. The kernels are
loaded before. Bytes per number: everything the engine keeps (rows, rings, sketches, remembered ids) over the rows of
numbers that it tracks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.jobs import parameters, result
from streams.collector import Collector


def main() -> None:
    from rules.load import load
    from streams.replay import BATCH_LINES, Replay, file_lines
    from streams.step import Engine

    told = parameters()
    rules = load([Path(told["rules"])])
    path = Path(told["file"])
    made: list[int] = []

    def replay_of(lines: Any) -> Any:
        engine = Engine(rules, expire_by_clock=True)
        replay = Replay(engine, lambda record: made.append(1))
        replay.run(lines, path.name)
        return replay

    with path.open("rb") as file:
        replay_of([line for line, _ in zip(file, range(BATCH_LINES), strict=False)])
    collector = Collector()
    collector.take_over()
    made.clear()
    begun = time.perf_counter()
    replay = replay_of(file_lines(path, lambda _: None))
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
