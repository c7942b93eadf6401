"""The threads of a worker, in which it waits for the broker and the disk so that its event loop never has to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol


class Runner(Protocol):
    """Runs blocking work in one thread per kind of work, a piece at a time. Work that is handed over starts at once;
    awaiting it gives its result."""

    def fetch(self, work: Callable[[], Any]) -> Awaitable[Any]: ...
    def deliver(self, work: Callable[[], Any]) -> Awaitable[Any]: ...
    def restore(self, work: Callable[[], Any]) -> Awaitable[Any]: ...
    def control(self, work: Callable[[], Any]) -> Awaitable[Any]: ...


class Threads:
    """The Runner of a worker: one thread each for fetching, delivering, restoring and control."""

    def __init__(self) -> None:
        self._fetch, self._deliver, self._restore, self._control = (
            ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("fetch", "deliver", "restore", "control")
        )

    def fetch(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._fetch, work)

    def deliver(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._deliver, work)

    def restore(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._restore, work)

    def control(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._control, work)

    def close(self) -> None:
        """Ends the threads, without waiting for work that still waits for a broker."""
        for thread in (self._fetch, self._deliver, self._restore, self._control):
            thread.shutdown(wait=False, cancel_futures=True)
