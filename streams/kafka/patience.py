"""A worker's start while no broker answers: it waits, says so, and gives up in words."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from confluent_kafka import KafkaException

from streams.kafka.errors import passes
from streams.kafka.settings import BrokerAway

log = logging.getLogger("grayline.start")

AGAIN_S = 0.5  # between an attempt that failed and the next
LOOK_S = 0.25
QUIET_S = 30.0  # between two lines of the log
SILENT = "none has answered yet"


class Asking(Protocol):
    """Asks something of the broker, in a worker's thread of each kind."""

    def fetch(self, ask: Callable[[], Any], /) -> Awaitable[Any]: ...
    def deliver(self, ask: Callable[[], Any], /) -> Awaitable[Any]: ...
    def control(self, ask: Callable[[], Any], /) -> Awaitable[Any]: ...


class Patience:
    """Asks brokers in a worker's threads, and asks again while they are away.

    on_wait: called with why the start waits, now and then, and "" once it goes on."""

    def __init__(self, threads: Asking, limit_s: float, on_wait: Callable[[str], None]) -> None:
        self._threads = threads
        self._limit_s = limit_s
        self._on_wait = on_wait
        self._why = SILENT
        self._say_at_s = 0.0

    async def fetch(self, ask: Callable[[], Any]) -> Any:
        return await self._until_answered(self._threads.fetch, ask)

    async def deliver(self, ask: Callable[[], Any]) -> Any:
        return await self._until_answered(self._threads.deliver, ask)

    async def control(self, ask: Callable[[], Any]) -> Any:
        return await self._until_answered(self._threads.control, ask)

    async def _until_answered(self, hand_over: Callable[..., Awaitable[Any]], ask: Callable[[], Any]) -> Any:
        """The answer, or what was raised that no waiting heals. Raises BrokerAway after `limit_s`."""
        began_s = time.monotonic()
        self._why, self._say_at_s = SILENT, began_s + QUIET_S
        asking = asyncio.ensure_future(self._ask(hand_over, ask))
        try:
            while not (await asyncio.wait((asking,), timeout=LOOK_S))[0]:
                waited_s = time.monotonic() - began_s
                if waited_s >= self._limit_s:
                    raise BrokerAway(
                        f"no broker let this worker start within {self._limit_s:g} s (--wait-for-broker): {self._why}"
                    )
                if time.monotonic() >= self._say_at_s:
                    self._say_at_s = time.monotonic() + QUIET_S
                    self._on_wait(self._why)
                    log.warning("waiting for a broker: %s (%.0f s of %g)", self._why, waited_s, self._limit_s)
            return asking.result()
        finally:
            asking.cancel()
            self._on_wait("")

    async def _ask(self, hand_over: Callable[..., Awaitable[Any]], ask: Callable[[], Any]) -> Any:
        while True:
            try:
                return await hand_over(ask)
            except (BrokerAway, KafkaException) as problem:
                if not _may_pass(problem):
                    raise
                if self._why == SILENT:
                    self._say_at_s = 0.0  # the first reason is told at once
                self._why = in_words(problem)
            await asyncio.sleep(AGAIN_S)


def _may_pass(problem: BrokerAway | KafkaException) -> bool:
    return isinstance(problem, BrokerAway) or passes(problem.args[0])


def in_words(problem: BaseException) -> str:
    """The last line of a worker: a message about the error that ended it. The name of an exception's type marks a
    mistake of ours."""
    if isinstance(problem, KafkaException):
        return f"Kafka: {problem.args[0].str()}"
    if hasattr(problem, "exit_code") or isinstance(problem, OSError):
        return str(problem)
    return f"{type(problem).__name__}: {problem}"
