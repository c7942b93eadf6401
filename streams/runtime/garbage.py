"""Keeps Python's cyclic collector out of the way: it walks every live message of an epoch and halves the throughput.

Collections run between epochs, on a schedule. The first one also freezes what it leaves, so that the later ones are
short; a run that is over before it is due, as of a small file, pays for none."""

from __future__ import annotations

import gc
import time

COLLECT_INTERVAL_S = 10.0


class Collector:
    def __init__(self) -> None:
        self._due = 0.0
        self._running = self._frozen = False

    def take_over(self) -> None:
        """Takes the collector over and freezes what exists: from here on only `between_batches` collects."""
        self._start()
        self._freeze()

    def between_batches(self) -> None:
        if not self._running:
            self._start()
        elif time.monotonic() >= self._due:
            if self._frozen:
                gc.collect()
            else:
                self._freeze()
            self._due = time.monotonic() + COLLECT_INTERVAL_S

    def restore(self) -> None:
        """Gives the collector back, for a process that goes on after the worker."""
        if self._frozen:
            gc.unfreeze()
        if self._running:
            gc.enable()
        self._running = self._frozen = False

    def _start(self) -> None:
        gc.disable()
        self._running = True
        self._due = time.monotonic() + COLLECT_INTERVAL_S

    def _freeze(self) -> None:
        gc.collect()
        gc.freeze()
        self._frozen = True
