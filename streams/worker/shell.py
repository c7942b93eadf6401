"""Faust's app and worker as the shell around everything: its services and timers run, its Kafka client and web server
are off, and signals are ours."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import faust
from faust.app import BootStrategy


class _Boot(BootStrategy):
    enable_kafka = False


class App(faust.App):
    """Faust's app without its Kafka client and without directories of its own."""

    BootStrategy = _Boot
    begin: Callable[[], Awaitable[None]]

    async def on_first_start(self) -> None:
        """Does nothing: no state of Faust's is kept on disk."""

    async def on_started_init_extra_services(self) -> None:
        await super().on_started_init_extra_services()
        # Without Kafka nobody else opens the channels.
        self.flow_control.resume()
        self.add_future(self.begin())


class Shell(faust.Worker):
    """Faust's worker, with our logging, our signals and an event loop that is already running."""

    def __init__(self, app: App, on_end: Callable[[], None], on_reload: Callable[[], None], **options: Any) -> None:
        super().__init__(app, quiet=True, override_logging=False, redirect_stdouts=False, **options)
        self.spinner = None
        self._stopping = asyncio.Event()
        self._on_end = on_end
        self._on_reload = on_reload

    def set_shutdown_soon(self) -> None:
        """Lets `start` return; the caller stops the services in order."""
        self._stopping.set()

    async def on_first_start(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.loop.add_signal_handler(number, self._on_end)
            self.loop.add_signal_handler(signal.SIGHUP, self._on_reload)
            # One that came earlier was held back (streams.cli.run), and is obeyed now.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def on_started(self) -> None:
        waits: Iterable[asyncio.Task[Any]] = (
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(self.wait_until_stopped()),
        )
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
