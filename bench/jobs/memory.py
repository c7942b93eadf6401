"""The memory of so many numbers: an hour of messages in which each sends at least one and a heavy tail many more,
through decoding, counting and matching, without a broker. A fiftieth of the numbers are too many for the engine's
bound.

Bytes per number: everything the engine keeps over the numbers that it tracks, and without the remembered ids. The bound
shows in events that were left uncounted and in the memory, which stays."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from bench.jobs import parameters, result
from bench.traffic import KEY, RECORD_BYTES, hour_of
from schemas.topics import MESSAGE_RELAY
from streams.ingest.epoch import RawBatch
from streams.ingest.packed import Packed
from streams.runtime.garbage import Collector

BEYOND_SHARE = 0.02
EPOCH_RECORDS = 10_000


def resident_mb() -> float:
    with open("/proc/self/statm") as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    from rules.load import load
    from streams.engine.engine import Engine
    from streams.engine.warm import warm

    told = parameters()
    rules, numbers = load([Path(told["rules"])]), told["numbers"]
    warm(rules)
    traffic = hour_of(int(numbers * (1 + BEYOND_SHARE)), told["start_ms"])
    engine = Engine(rules, numbers_max=numbers, expire_by_clock=True)
    collector = Collector()
    collector.take_over()
    before_mb = resident_mb()
    seconds = 0.0
    at_bound: dict[str, float] = {}
    for first in range(0, len(traffic), EPOCH_RECORDS):
        end = min(first + EPOCH_RECORDS, len(traffic))
        at = np.arange(end - first) * RECORD_BYTES
        buffer = np.frombuffer(traffic.values(first, end), np.uint8)
        sized, keys = np.full(len(at), RECORD_BYTES), np.full(len(at), KEY.stop - KEY.start)
        raw = RawBatch(
            MESSAGE_RELAY, np.arange(len(at)), np.zeros(len(at), np.int32), np.arange(first, end),
            traffic.at_ms[first:end], Packed(buffer, at, sized), Packed(buffer, at + KEY.start, keys),
        )  # fmt: skip
        begun = time.perf_counter()
        engine.step([engine.decoders[MESSAGE_RELAY].decode(raw)])
        engine.maintain()
        collector.between_batches()
        seconds += time.perf_counter() - begun
        if not at_bound and engine.stats()["untracked_events"]:
            at_bound = {"bound_record": first, "bound_mb": resident_mb() - before_mb}
    stats = engine.stats()
    result(
        rate=len(traffic) / seconds,
        records=len(traffic),
        tracked_numbers=stats["tracked_numbers"],
        untracked_events=stats["untracked_events"],
        remembered_ids=stats["remembered_ids"],
        bytes_per_number=stats["state_bytes"] / stats["tracked_numbers"],
        ids_bytes_per_number=stats["ids_bytes"] / stats["tracked_numbers"],
        engine_mb=resident_mb() - before_mb,
        **at_bound,
    )


if __name__ == "__main__":
    main()
