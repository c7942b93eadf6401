"""One worker of a simulated deployment: all of the product between its Kafka client and its disk, over the fakes.

streams.worker.worker.Worker does the same with Faust's shell, threads, signals and a web server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from streams.delivery.flow import Flow
from streams.runtime.metrics import Metrics
from streams.runtime.settings import WorkerSettings
from streams.worker.wiring import Wiring
from tests.sim.clients import SimClients
from tests.sim.counted import Mode
from tests.sim.disk import FakeLocalState
from tests.sim.fibers import NEVER_MS, Fiber, Process
from tests.sim.loop import SimLoop
from tests.sim.shell import SimShell
from tests.sim.world import World


class SimWorker:
    """`exit` is None while it runs, then its exit code (137 after a crash); `problem` is what ended it."""

    def __init__(self, world: World, process: Process, settings: WorkerSettings, has_disk: bool) -> None:
        self.world = world
        self.process = process
        self.settings = settings
        self.exit: int | None = None
        self.problem: BaseException | None = None
        self.wiring: Wiring | None = None
        self._has_disk = has_disk
        self._loop = SimLoop(world.scheduler)
        self._draining: asyncio.Task[None] | None = None
        world.note(process, f"started delivery={settings.delivery} name={settings.name or '-'} disk={has_disk}")
        world.scheduler.start(process, "loop", self._run)

    @property
    def flow(self) -> Flow | None:
        return None if self.wiring is None else self.wiring.flow

    @property
    def is_running(self) -> bool:
        return self.exit is None and not self.process.dead

    def stop(self) -> None:
        """SIGTERM."""
        self.world.note(self.process, "told to stop")
        self._loop.call_soon_threadsafe(self._end_soon)

    def reload(self) -> None:
        """SIGHUP."""
        self._loop.call_soon_threadsafe(self._read_rules)

    def _read_rules(self) -> None:
        """As streams.worker.worker.Worker does: one that is not connected yet reads them then."""
        if self.wiring is not None and self.flow is not None:
            self.wiring.orders.adopt_rules(self.world.rules_in_force)

    def _end_soon(self) -> None:
        if self.wiring is not None and self.wiring.source is not None and self._draining is None:
            self._draining = self._loop.create_task(self.wiring.source.drain())

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except Exception as problem:
            self.problem = self.problem or problem
        finally:
            self._loop.close()
        self.exit = 0 if self.problem is None else int(getattr(self.problem, "exit_code", 1))
        self.world.note(self.process, f"ended code={self.exit} {self.problem or ''}")
        self.process.dead = True  # its threads end with it
        if self.problem is not None and not is_told(self.problem):
            raise AssertionError(f"{self.process.name} ended unexpectedly") from self.problem

    async def _main(self) -> None:
        world, process, loop = self.world, self.process, self._loop
        runner = FiberRunner(world, process, loop)
        engine, metrics = world.engine(world.rules_in_force.version), NotedMetrics(world, process)
        engine.partitions = 0  # asked of the broker
        wiring = self.wiring = Wiring(
            self.settings, engine, runner, lambda: world.now_ms, metrics, name=process.name
        )  # fmt: skip
        shell = SimShell(world, loop, self._broke)
        wiring.attach(shell)
        self._note_what_is_counted(wiring)
        clients: Any = SimClients(world, process)
        source = await wiring.connect(clients, runner, self._open_local, lambda: None, self._ended)
        self._read_rules()
        shell.start()
        await source.read()
        shell.stop()
        await wiring.close()

    def _note_what_is_counted(self, wiring: Wiring) -> None:
        count = wiring.lineup.count

        async def noted(epoch: Any) -> None:
            engine = wiring.engine
            told = engine.registry.told
            self.world.registries[told.version] = told
            mode = Mode(engine.rules.version, engine.breaker.paused, told.version)
            self.world.counted.count(self.process.name, epoch, mode)
            await count(epoch)

        wiring.lineup.count = noted  # type: ignore[method-assign]

    def _open_local(self, cluster: str) -> Any:
        return (
            FakeLocalState(self.world, self.process, self.world.disk_of(self.settings.name)) if self._has_disk else None
        )

    def _broke(self, problem: BaseException) -> None:
        """An agent or a timer raised."""
        self.problem = self.problem or problem
        self._end_soon()

    def _ended(self, problem: BaseException | None) -> None:
        self.problem = self.problem or problem


def is_told(problem: BaseException) -> bool:
    """True if the worker ended by a decision of its own: any other end is a mistake in the product."""
    return isinstance(problem, KafkaException) or hasattr(problem, "exit_code")


class FiberRunner:
    """streams.runtime.threads.Runner: a fiber for each kind of waiting."""

    def __init__(self, world: World, process: Process, loop: SimLoop) -> None:
        self._world = world
        self._loop = loop
        self._queues: dict[str, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = {}
        self._fibers: dict[str, Fiber] = {}
        for kind in ("fetch", "deliver", "restore", "control"):
            self._queues[kind] = deque()
            self._fibers[kind] = world.scheduler.start(process, kind, partial(self._serve, kind))

    def fetch(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("fetch", work)

    def deliver(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("deliver", work)

    def restore(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("restore", work)

    def control(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("control", work)

    def _hand_over(self, kind: str, work: Callable[[], Any]) -> Awaitable[Any]:
        future = self._loop.create_future()
        self._queues[kind].append((work, future))
        self._fibers[kind].wake()
        return future

    def _serve(self, kind: str) -> None:
        queue = self._queues[kind]
        while True:
            while not queue:
                if self._loop.is_closed():
                    return
                self._world.scheduler.wait(NEVER_MS)
            work, future = queue.popleft()
            try:
                done = partial(_settle, future, work(), None)
            except Exception as problem:
                done = partial(_settle, future, None, problem)
            self._loop.call_soon_threadsafe(done)


def _settle(future: asyncio.Future[Any], result: Any, problem: Exception | None) -> None:
    if future.cancelled():
        return
    if problem is None:
        future.set_result(result)
    else:
        future.set_exception(problem)


class NotedMetrics(Metrics):
    """Trouble is told in the trace."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._note = partial(world.note, process)

    def trouble(self, code: str) -> None:
        self._note(f"trouble {code}")

    def transaction_trouble(self, kind: str) -> None:
        self._note(f"trouble {kind}")
