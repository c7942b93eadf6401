"""Grayline itself: the real worker with source, agents, engine and sink, until it has read all records.

Timed from the first record handed to a decoder to the end of the last record's step, as the other processors are."""

from __future__ import annotations

import logging
import time
import uuid
from pathlib import Path
from typing import Any

from bench.jobs import parameters, result


class Watch:
    """Notes when an engine's first record is decoded and when half of them, and all, have been counted."""

    def __init__(self, engine: Any, total: int) -> None:
        self._step = engine.step
        self._total = total
        self.seen = 0
        self.first = self.half = self.last = 0.0
        self._seen_half = 0
        self._busy_s = 0.0  # processor time of the process at the first record, then from there to the last
        engine.step = self._stepping
        for decoder in engine.decoders.values():
            decoder.decode = self._noting(decoder.decode)

    def _noting(self, decode: Any) -> Any:
        def decode_and_note(raw: Any) -> Any:
            if not self.first:
                self.first, self._busy_s = time.perf_counter(), time.process_time()
            return decode(raw)

        return decode_and_note

    def _stepping(self, decoded: list[Any], *more: Any) -> Any:
        outcome = self._step(decoded, *more)
        self.seen += sum(part.counts["records"] for part in decoded)
        if not self.half and self.seen >= self._total // 2:
            self.half, self._seen_half = time.perf_counter(), self.seen
        if self.seen >= self._total:
            self.last, self._busy_s = time.perf_counter(), time.process_time() - self._busy_s
        return outcome

    def figures(self) -> dict[str, float]:
        return {
            "rate": self.seen / (self.last - self.first),
            "process_ns": 1e9 * self._busy_s / self.seen,
            "second_half": (self.seen - self._seen_half) / max(self.last - self.half, 1e-9),
        }


def worker_of(told: dict[str, Any], *, stop_after: int = 0, start_from: str = "earliest") -> Any:
    """A worker of the rule file or folder `told["rules"]`, on the broker `told["bootstrap"]`, exactly once, in a group
    of its own unless `told["group"]` names one; `told["state"]` is its folder, if it has one, and `told["fetch"]` how
    it fetches, if not as usual."""
    from rules.load import load
    from streams.kafka.settings import KafkaSettings
    from streams.runtime.settings import COLUMNS, WorkerSettings
    from streams.runtime.start_from import StartFrom
    from streams.worker.worker import worker_for

    kafka = KafkaSettings(brokers=told["bootstrap"])
    group = told.get("group") or f"bench-{uuid.uuid4()}"
    settings = WorkerSettings(
        consumer=kafka.consumer(group),
        producer=kafka.producer(),
        group=group,
        start_from=StartFrom(start_from),
        stop_after=stop_after,
        fetch=told.get("fetch", COLUMNS),
        state_dir=Path(told["state"]) if told.get("state") else None,
        breaker_opens=0,  # what is measured here is more blocks a minute than any traffic would ask for
    )
    return worker_for(settings, load([Path(told["rules"])]))


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    told = parameters()
    worker = worker_of(told, stop_after=told["messages"])
    watch = Watch(worker.engine, told["messages"])
    code = worker.run()
    if code:
        raise SystemExit(f"the worker ended with code {code}: {worker.problem}")
    stats = worker.engine.stats()
    result(**watch.figures(), seen=watch.seen, tracked_numbers=stats["tracked_numbers"])


if __name__ == "__main__":
    main()
