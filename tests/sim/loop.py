"""asyncio's event loop on the scheduler's clock: where it would wait for sockets, its fiber gives the baton back."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from tests.sim.fibers import NEVER_MS, Fiber, Scheduler


class SimLoop(asyncio.BaseEventLoop):
    """Everything else is the standard library's."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._fiber: Fiber | None = None
        self._selector = self  # the base class asks its selector to wait
        self._clock_resolution = 0.001
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        return self._scheduler.monotonic_s()

    def select(self, timeout_s: float | None) -> list[Any]:
        self._fiber = self._scheduler.current
        now_ms = self._scheduler.now_ms
        self._scheduler.wait(NEVER_MS if timeout_s is None else now_ms + math.ceil(timeout_s * 1000))
        return []

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        if self._fiber is not None:
            self._fiber.wake()
