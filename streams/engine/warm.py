"""Compiles every kernel that these rules need before the worker joins its group, or loads them from the cache.

The first call of a kernel compiles it, seconds each on a first start ever. In the middle of an epoch that would hold up
blocks and overrun the time that a rebalance allows, so a scratch engine sees some records first: enough of them that
tables grow, memories are swept, rows are given back and an image is loaded, since those are kernels too.

numba compiles one kernel at a time in a process. On a first start ever a second process compiles the kernels of the
counters that take longest (`python -m streams.engine.warm KIND...`) while this one compiles the rest, and this one then
finds them in the cache. No kernel is in both parts: numba's cache is not made for two that write the same.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rules.kinds import KINDS
from rules.load import load, packs
from rules.model import Counter, RuleSet
from schemas.feeds import FEEDS
from schemas.topics import DERIVED
from streams.counting.kinds.base import Events
from streams.counting.rows import HEADER
from streams.engine.engine import Engine
from streams.engine.warm_records import records
from streams.ingest.decode import Decoded
from streams.ingest.decode_share import decode_share
from streams.ingest.derived import pack
from streams.ingest.epoch import RawBatch

RECORDS = 3_000  # more than every table holds at first
START_MS = 1_700_000_000_000
MUCH_LATER_MS = 400 * 86_400_000  # longer than any counter reaches back
EPOCHS = ((START_MS, RECORDS), (START_MS + 1, 10), (START_MS + MUCH_LATER_MS, 10))


def warm(rules: RuleSet, *, region: str = "KR") -> None:
    counters = {counter.kind: counter for rule in rules.rules for counter in rule.counters.values()}
    slow = {kind: kernel for kind in counters if (kernel := KINDS[kind].slow_kernel()) is not None}
    beside = [kind for kind, kernel in slow.items() if not _is_cached(kernel)]
    if beside:
        with _compiling(beside):
            _warm_all_but_counters(rules, region)
            for kind in counters.keys() - beside:
                _warm_counter(counters[kind])
    _warm_engine(rules, region)


def _warm_engine(rules: RuleSet, region: str) -> None:
    engine = Engine(rules, region=region, expire_by_clock=True)
    restored = Engine(rules, region=region)
    engine.partitions = restored.partitions = 1  # known, so that strays are looked for
    for start_ms, count in EPOCHS:
        derived = engine.step(_decoded(engine, start_ms, count)).derived
        sent = [record.value for record in pack({name: [events] for name, events in derived.items()}, 1, "")]
        engine.step([part for raw in _batches(DERIVED, sent, start_ms) for part in decode_share(engine, raw)])
        for piece in engine.image(0, whole=True):
            restored.load(0, piece)
        engine.maintain()
    # The clock of so few records is not believed for long enough to give rows back.
    for state in (*engine._counted.states.values(), *engine._counted.others.states.values()):
        state.reclaim(np.full(1, START_MS + MUCH_LATER_MS), RECORDS)
    engine.expire(START_MS + MUCH_LATER_MS)


def _warm_all_but_counters(rules: RuleSet, region: str) -> None:
    engine = Engine(rules, region=region)
    engine.partitions = 1
    for state in engine._counted.states.values():
        state.counters.clear()
    for start_ms, count in EPOCHS:
        engine.count(_decoded(engine, start_ms, count))
        engine.maintain()


def _warm_counter(counter: Counter) -> None:
    """Counts one event in a counter. That is enough: a kernel is compiled with everything it may call."""
    state = KINDS[counter.kind].state(counter, HEADER)
    rows = np.zeros((1, HEADER + state.words), np.int64)
    zero, at, yes = np.zeros(1, np.int64), np.full(1, START_MS), np.ones(1, np.bool_)
    state.process(rows, Events(zero, at, at, yes, yes, np.ones(1, np.int64), np.zeros(1, np.uint8), ~yes))
    state.idle(rows, zero, START_MS)


def _is_cached(kernel: Any) -> bool:
    return any(Path(kernel.stats.cache_path).glob(f"*.{kernel.py_func.__name__}-*.nbi"))


@contextmanager
def _compiling(kinds: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a second process that compiles, and waits for its end. Kernels that it does not finish are compiled here
    afterwards."""
    # -P: packages come from where ours do, never from the working folder, which may well have a `rules` of its own.
    command = [sys.executable, "-P", "-m", "streams.engine.warm", *kinds]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _decoded(engine: Engine, start_ms: int, count: int) -> list[Decoded]:
    return [
        part
        for topic in engine.topics
        for raw in _batches(topic, list(records(FEEDS[topic], start_ms, count)), start_ms)
        for part in decode_share(engine, raw)
    ]


def _batches(topic: str, values: Sequence[bytes | None], start_ms: int) -> Iterator[RawBatch]:
    n = len(values)
    order = np.arange(n)
    if n:
        yield RawBatch(topic, order, np.zeros(n, np.int32), start_ms + order, np.full(n, start_ms), values)


def main(kinds: list[str]) -> None:
    """Compiles the kernel of each of these kinds, by the first counter of the shipped rules that runs it."""
    counters = [counter for rule in load([packs()]).rules for counter in rule.counters.values()]
    for kernel in dict.fromkeys(KINDS[kind].slow_kernel() for kind in kinds):
        _warm_counter(next(counter for counter in counters if KINDS[counter.kind].slow_kernel() is kernel))


if __name__ == "__main__":
    main(sys.argv[1:])
