"""A worker of a group that has committed: how long until its state is back and it counts again.

Timed from the assignment of its partitions to the moment it is ready; kernels are compiled before."""

from __future__ import annotations

import logging
import threading
import time

from bench.jobs import parameters, result
from bench.jobs.worker import worker_of

LOOK_INTERVAL_S = 0.005


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    worker = worker_of(parameters())
    begun: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not begun and not ended.is_set():
            if worker.progress().restoring:
                begun.append(time.perf_counter())
            time.sleep(LOOK_INTERVAL_S)

    watching = threading.Thread(target=watch)
    watching.start()
    worker.start()
    ready = time.perf_counter()
    ended.set()
    watching.join()
    stats = worker.engine.stats()
    code = worker.stop()
    if code or not begun:
        raise SystemExit(f"the worker ended with code {code}: {worker.problem or 'nothing was restored'}")
    result(seconds=ready - begun[0], tracked_numbers=stats["tracked_numbers"], state_bytes=stats["state_bytes"])


if __name__ == "__main__":
    main()
