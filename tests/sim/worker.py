"""One worker of a simulated deployment: the product's source, flow, delivery, restore and snapshots over the fakes.

It puts together what streams.app.Worker does, without Faust's shell, threads, signals and web server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

from confluent_kafka import KafkaException

from rules.model import RuleSet
from schemas.topics import REKEYED
from streams.agents.flow import Flow
from streams.agents.owner import FlowOwner
from streams.kafka.epochs import Epoch
from streams.kafka.reader import Reader
from streams.kafka.sink import AtLeastOnce
from streams.kafka.source import Fetcher, KafkaSource
from streams.kafka.transactions import Transactional
from streams.metrics import Metrics
from streams.settings import WorkerSettings
from streams.shares import decode_share
from streams.state.restore import Restore
from streams.state.snapshots import Snapshots
from streams.step import Engine
from tests.sim.clients import SimClients
from tests.sim.disk import FakeLocalState
from tests.sim.fibers import NEVER_MS, Fiber, Process
from tests.sim.loop import SimLoop
from tests.sim.world import World

EXPIRE_INTERVAL_S = 1.0


class SimWorker:
    """`exit` is None while it runs, then its exit code (137 after a crash); `problem` is what ended it."""

    def __init__(
        self, world: World, process: Process, settings: WorkerSettings, rules: RuleSet, has_disk: bool
    ) -> None:
        self.world = world
        self.process = process
        self.settings = settings
        self.exit: int | None = None
        self.problem: BaseException | None = None
        self.flow: Flow | None = None
        self.source: KafkaSource | None = None
        self._rules = rules
        self._has_disk = has_disk
        self._loop = SimLoop(world.scheduler)
        self._draining: asyncio.Task[None] | None = None
        world.note(process, f"started delivery={settings.delivery} name={settings.name or '-'} disk={has_disk}")
        world.scheduler.start(process, "loop", self._run)

    @property
    def is_running(self) -> bool:
        return self.exit is None and not self.process.dead

    def stop(self) -> None:
        """SIGTERM."""
        self.world.note(self.process, "told to stop")
        self._loop.call_soon_threadsafe(self._end_soon)

    def adopt_rules(self, rules: RuleSet) -> None:
        if self.flow is not None:
            self._loop.call_soon_threadsafe(self.flow.adopt_rules, rules)

    def _end_soon(self) -> None:
        if self.source is not None and self._draining is None:
            self._draining = self._loop.create_task(self.source.drain())

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
        world, settings, process = self.world, self.settings, self.process
        clients: Any = SimClients(world, process)
        runner = FiberRunner(world, process, self._loop)
        engine = Engine(self._rules)
        fetcher = Fetcher(settings, (*engine.topics, REKEYED), clients)
        _, engine.partitions = await runner.fetch(fetcher.topology)
        local: Any = FakeLocalState(world, process, world.disk_of(settings.name)) if self._has_disk else None
        metrics = Metrics()
        delivery = self._delivery(fetcher, clients, metrics)
        await runner.deliver(delivery.open)
        ids = count()
        snapshots = Snapshots(
            lambda: flow.engine,
            local,
            group=settings.group,
            interval_ms=settings.snapshot_interval_ms,
            monotonic=self._loop.time,
            wall_ms=lambda: world.now_ms,
            new_id=lambda: f"{process.name}-{next(ids)}",
        )
        restore = partial(
            Restore,
            reader=Reader(clients, settings.consumer_config()),
            runner=runner,
            local=local,
            group=settings.group,
            may_skip=False,
            trouble=lambda code: world.note(process, f"trouble {code}"),
        )
        flow = self.flow = Flow(
            engine,
            self._count,
            delivery,
            snapshots,
            metrics,
            runner,
            restore,
            worker=process.name,
            group=settings.group,
            commit_interval_ms=settings.commit_interval_ms,
            monotonic=self._loop.time,
        )
        flow._collector = NoCollector()  # type: ignore[assignment]
        owner = FlowOwner(flow, self._loop, metrics, fetcher.group)
        self.source = KafkaSource(settings, fetcher, flow, runner, owner, self._ended)
        expiring = self._loop.create_task(self._expire())
        await self.source.read()
        expiring.cancel()
        flow.close()

    def _delivery(self, fetcher: Fetcher, clients: Any, metrics: Metrics) -> Any:
        settings, config = self.settings, self.settings.producer_config()
        delivery: Any
        if settings.delivery == "at_least_once":
            delivery = AtLeastOnce(config, fetcher.group, note_parts=self.world.partitions, clients=clients)
        else:
            delivery = Transactional(
                config,
                fetcher.group,
                transactional_id=settings.name or f"{settings.group}-{self.process.name}",
                note_parts=self.world.partitions,
                clients=clients,
                trouble=lambda code: self.world.note(self.process, f"trouble {code}"),
                clock=self._loop.time,
            )
        return delivery

    async def _count(self, epoch: Epoch) -> None:
        """What the Faust agents do between them."""
        assert self.flow is not None
        engine = self.flow.engine
        self.flow.step([decoded for raw in epoch.batches for decoded in decode_share(engine, raw)])

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_INTERVAL_S)
            if self.flow is not None:
                self.flow.expire(self.world.now_ms)

    def _ended(self, problem: BaseException | None) -> None:
        self.problem = self.problem or problem


def is_told(problem: BaseException) -> bool:
    """Whether the worker ended by a decision of its own: anything else is a mistake in the product."""
    return isinstance(problem, KafkaException) or hasattr(problem, "exit_code")


class FiberRunner:
    """streams.state.restore.Runner: a fiber for each kind of waiting."""

    def __init__(self, world: World, process: Process, loop: SimLoop) -> None:
        self._world = world
        self._loop = loop
        self._queues: dict[str, deque[tuple[Callable[[], Any], asyncio.Future[Any]]]] = {}
        self._fibers: dict[str, Fiber] = {}
        for kind in ("fetch", "deliver", "restore"):
            self._queues[kind] = deque()
            self._fibers[kind] = world.scheduler.start(process, kind, partial(self._serve, kind))

    def fetch(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("fetch", work)

    def deliver(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("deliver", work)

    def restore(self, work: Callable[[], Any]) -> Awaitable[Any]:
        return self._hand_over("restore", work)

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


class NoCollector:
    """Python's own collector stays as it is: many workers live in this process, one after the other."""

    def between_batches(self) -> None: ...

    def restore(self) -> None: ...
