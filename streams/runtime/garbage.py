"""Keeps Python's cyclic collector out of the way: it walks every live message of an epoch and halves the throughput.

Objects that exist at start are frozen; collections run between epochs, on a schedule."""

from __future__ import annotations

import gc
import time

COLLECT_INTERVAL_S = 10.0


class Collector:
    def __init__(self) -> None:
        self._due = 0.0
        self._running = False

    def take_over(self) -> None:
        """Takes the collector over: from here on only `between_batches` collects."""
        gc.collect()
        gc.freeze()
        gc.disable()
        self._running = True
        self._due = time.monotonic() + COLLECT_INTERVAL_S

    def between_batches(self) -> None:
        if not self._running:
            self.take_over()
        elif time.monotonic() >= self._due:
            gc.collect()
            self._due = time.monotonic() + COLLECT_INTERVAL_S

    def restore(self) -> None:
        """Gives the collector back, for a process that goes on after the worker."""
        if self._running:
            gc.unfreeze()
            gc.enable()
            self._running = False
