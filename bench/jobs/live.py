"""A worker that reads what comes from now on, says READY once it has its partitions, and drains when its standard input
ends."""

from __future__ import annotations

import logging
import sys

from bench.jobs import parameters, result
from bench.jobs.worker import worker_of


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    worker = worker_of(parameters(), start_from="latest")
    worker.start()
    print("READY", flush=True)
    sys.stdin.read()
    code = worker.stop()
    if code:
        raise SystemExit(f"the worker ended with code {code}: {worker.problem}")
    result(processed=worker.progress().processed)


if __name__ == "__main__":
    main()
