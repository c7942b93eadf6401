"""The primitives that the product takes from `threading`, `queue`, `time` and `uuid`, on the scheduler's clock.

`installed` puts them into the product's modules for the time of a history. Everything else of theirs is untouched."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from queue import Empty
from types import SimpleNamespace
from typing import Any

from tests.sim.fibers import NEVER_MS, Fiber, Scheduler


class FiberLock:
    """threading.Lock."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._holder: Fiber | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        until_ms = scheduler.now_ms + (int(timeout * 1000) if timeout >= 0 else NEVER_MS if blocking else 0)
        while self._holder is not None and not self._holder.ended:
            if scheduler.now_ms >= until_ms:
                return False
            scheduler.wait(min(until_ms, scheduler.now_ms + 1))
        self._holder = scheduler.current
        return True

    def release(self) -> None:
        self._holder = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class FiberEvent:
    """threading.Event."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float | None = None) -> bool:
        scheduler = self._scheduler
        until_ms = NEVER_MS if timeout is None else scheduler.now_ms + int(timeout * 1000)
        while not self._is_set and scheduler.now_ms < until_ms:
            scheduler.wait(min(until_ms, scheduler.now_ms + 20))
        return self._is_set


class FiberQueue:
    """queue.SimpleQueue."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self._items.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        scheduler = self._scheduler
        wait_ms = NEVER_MS if timeout is None else max(1, int(timeout * 1000))
        until_ms = scheduler.now_ms + (wait_ms if block else 0)
        while not self._items:
            if scheduler.now_ms >= until_ms:
                raise Empty
            scheduler.wait(min(until_ms, scheduler.now_ms + 1))
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items


class NoCollector:
    """streams.runtime.garbage.Collector: Python's own stays as it is, many workers live in this process."""

    def between_batches(self) -> None: ...

    def restore(self) -> None: ...


WAITING = tuple(f"streams.{name}" for name in (
    "delivery.at_least_once", "delivery.flow", "delivery.guarantees", "delivery.handover", "delivery.transactional",
    "kafka.consumer_calls", "kafka.fetcher", "kafka.notes", "kafka.ownership", "kafka.reconnecting", "kafka.topic_ids",
    "runtime.metrics", "worker.control", "worker.wiring",
))  # fmt: skip


@contextmanager
def installed(scheduler: Scheduler) -> Iterator[None]:
    numbers = count()
    ours = {
        "threading": SimpleNamespace(
            Lock=lambda: FiberLock(scheduler), Event=lambda: FiberEvent(scheduler),
            current_thread=lambda: scheduler.current,
        ),
        "time": SimpleNamespace(
            monotonic=scheduler.monotonic_s, perf_counter=scheduler.monotonic_s,
            time_ns=lambda: scheduler.now_ms * 1_000_000, sleep=lambda s: scheduler.sleep(int(s * 1000)),
        ),
        "uuid": SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=f"{next(numbers):012x}{0:020x}")),
        "SimpleQueue": lambda: FiberQueue(scheduler),
        "Collector": NoCollector,
    }  # fmt: skip
    before = []
    for name in WAITING:
        module = importlib.import_module(name)
        for attribute, ersatz in ours.items():
            if hasattr(module, attribute):
                before.append((module, attribute, getattr(module, attribute)))
                setattr(module, attribute, ersatz)
    try:
        yield
    finally:
        for module, attribute, original in before:
            setattr(module, attribute, original)
