"""Two runs at once: one in a process of its own, the other here.

The process is forked from this one once the kernels are compiled, so that it has them and the rules without reading
anything again; it must therefore be started before this process has other threads (decision 0065)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


class RunBroken(Exception):
    """The other process ended without a result."""


def side_by_side(there: Callable[[], A], here: Callable[[], B]) -> tuple[A, B]:
    """Runs both, `there` in a process of its own. Raises what either raises; RunBroken if the process was killed."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return there(), here()
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, sending))
    process.start()
    sending.close()
    try:
        mine = here()
        try:
            problem, theirs = receiving.recv()
        except EOFError:
            raise RunBroken("the process that ran the other rules ended without a result: out of memory?") from None
        if problem is not None:
            raise problem
        return theirs, mine
    finally:
        if process.is_alive():
            process.terminate()
        process.join()
        receiving.close()


def _run(there: Callable[[], A], sending: Connection) -> None:
    try:
        sending.send((None, there()))
    except Exception as problem:
        sending.send((problem, None))
    finally:
        sending.close()
