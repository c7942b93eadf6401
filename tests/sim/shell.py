"""Faust's app as the agents and timers of a worker meet it: channels in memory, and a turn for anybody at each await.

Faust's channels and streams let the event loop go on wherever they wait, and its timers are due whenever they are. Here
the seed decides at each such point who goes first, and after how long: so a timer may run between any two of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.sim.world import World

LATE = (0.05, 0.5, 1, 1, 2, 8)  # timers are due after so many times their interval
TURNS_MAX = 3
SLOW_MS = 40


class SimShell:
    """streams.worker.wiring.AgentHost. ended: called with the error of an agent or timer that must end a worker."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop, ended: Callable[[BaseException], None]) -> None:
        self._random = world.random
        self._loop = loop
        self._ended = ended
        self._turn = world.faults.rates.turn
        self._work: list[Callable[[], Awaitable[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._due: list[asyncio.Future[None]] = []  # of the timers that wait

    def channel(self, *, maxsize: int) -> Channel:
        return Channel(self, maxsize)

    def agent(self, channel: Channel, *, name: str) -> Callable[[Any], Any]:
        def register(work: Callable[[Any], Awaitable[None]]) -> Any:
            self._work.append(lambda: work(channel.stream()))
            return work

        return register

    def timer(self, interval: float, *, name: str) -> Callable[[Callable[[], Awaitable[None]]], Any]:
        def register(work: Callable[[], Awaitable[None]]) -> Any:
            self._work.append(lambda: self._tick(interval, work))
            return work

        return register

    def start(self) -> None:
        self._tasks = [self._loop.create_task(self._guarded(work)) for work in self._work]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def breathe(self) -> None:
        """An await point of Faust's: others may run, timers among them, and time may pass."""
        if self._random.random() >= self._turn:
            return
        if self._due:
            _fire(self._random.choice(self._due))
        if self._random.random() < 0.1:
            await asyncio.sleep(self._random.randint(1, SLOW_MS) / 1000)
        for _ in range(self._random.randint(0, TURNS_MAX)):
            await asyncio.sleep(0)

    async def _tick(self, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            due = self._loop.create_future()
            self._due.append(due)
            by_clock = self._loop.call_later(interval_s * self._random.choice(LATE), _fire, due)
            try:
                await due
            finally:
                self._due.remove(due)
                by_clock.cancel()
            await work()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as problem:
            self._ended(problem)


def _fire(due: asyncio.Future[None]) -> None:
    if not due.done():
        due.set_result(None)


class Channel:
    """faust.Channel: `send` waits while it is full."""

    def __init__(self, shell: SimShell, maxsize: int) -> None:
        self._shell = shell
        self._maxsize = maxsize
        self._items: deque[Any] = deque()
        self._changed = asyncio.Event()

    async def send(self, *, value: Any) -> None:
        await self._shell.breathe()
        while len(self._items) >= self._maxsize:
            self._changed.clear()
            await self._changed.wait()
        self._items.append(value)
        self._changed.set()
        await self._shell.breathe()

    async def stream(self) -> AsyncIterator[Any]:
        while True:
            while not self._items:
                self._changed.clear()
                await self._changed.wait()
            item = self._items.popleft()
            self._changed.set()
            await self._shell.breathe()
            yield item
            await self._shell.breathe()
