"""The worker: Faust's app, agents, web server and timers around the Kafka source and sink.

Faust is the shell, never the delivery path: its Kafka client is off (`enable_kafka = False`), its channels are in
memory, and what is committed when is decided in `streams.agents.flow`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import faust
from faust.app import BootStrategy
from mode.supervisors import CrashingSupervisor

from rules.model import RuleSet
from streams import agents
from streams.agents.flow import Flow
from streams.epoch import OutRecord
from streams.kafka.sink import AtLeastOnce
from streams.kafka.source import Fetcher, KafkaSource
from streams.metrics import Metrics
from streams.settings import WorkerSettings
from streams.web import pages

log = logging.getLogger("grayline.worker")

OBSERVE_INTERVAL_S = 1.0
EXPIRE_INTERVAL_S = 1.0


class DrainTimedOut(Exception):
    """The epoch in hand could not be finished and committed in time."""

    exit_code = 1


@dataclass(frozen=True)
class Snapshot:
    """A worker's progress at one moment, for a live view."""

    processed: int  # records since start
    rate: float  # records a second, over the last few seconds
    lag_records: int  # behind the ends of all owned partitions
    partitions: tuple[int, ...]
    ready: bool
    warming: bool
    recent_blocks: tuple[OutRecord, ...]  # the last records for `block-events`, oldest first


class Worker:
    """One worker, from joining the group to leaving it.

    engine: streams.step.Engine or anything with its methods; clock: wall time in ms, for expiry and `warming`.
    `warm_after_ms` is how long the longest counter reaches back: until then counts are lower bounds."""

    def __init__(
        self,
        settings: WorkerSettings,
        engine: Any,
        *,
        warm_after_ms: int = 0,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.metrics = Metrics()
        self.problem: BaseException | None = None
        self._clock = clock
        self._warm_after_ms = warm_after_ms
        self._warm_at = clock() + warm_after_ms
        self._warmed: frozenset[int] = frozenset()
        self._flow: Flow | None = None
        self._source: KafkaSource | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shell: _Shell | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()  # assigned for the first time, or ended
        self._ending: asyncio.Task[None] | None = None

    def run(self) -> int:
        """Work until a signal, `stop` or `stop_after`; returns the exit code: 0, 1 (failed) or 2 (refused to start).
        `problem` holds what went wrong."""
        try:
            asyncio.run(self._main())
        except OSError as problem:  # the web server's port, as a rule
            self.problem = self.problem or problem
        except Exception as problem:
            log.exception("the worker could not start")
            self.problem = self.problem or problem
        finally:
            self._started.set()
        if self.problem is None:
            return 0
        log.error("stopped: %s", self.problem)
        return int(getattr(self.problem, "exit_code", 1))

    def start(self) -> None:
        """Run in a thread of its own; returns once the group has assigned partitions (or none) to this worker, or the
        worker has ended. End it with `stop`."""
        self._thread = threading.Thread(target=self.run, name="worker", daemon=True)
        self._thread.start()
        self._started.wait()

    def stop(self) -> int:
        """Drain and end, from any thread; with `start`, waits for the end. Returns the exit code so far."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end_soon)
        if self._thread is not None:
            self._thread.join()
        return int(getattr(self.problem, "exit_code", 1)) if self.problem else 0

    def snapshot(self) -> Snapshot:
        flow = self._flow
        return Snapshot(
            processed=flow.processed if flow else 0,
            rate=self.metrics.rate(),
            lag_records=sum(self.metrics.lag_records.values()),
            partitions=tuple(sorted(flow.owned)) if flow else (),
            ready=bool(flow and flow.ready),
            warming=self.warming,
            recent_blocks=tuple(flow.recent) if flow else (),
        )

    @property
    def warming(self) -> bool:
        return self._clock() < self._warm_at

    async def _main(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        fetcher = Fetcher(self.settings, tuple(self.engine.topics))
        delivery = AtLeastOnce(self.settings.producer_config(), fetcher.consumer)
        flow = self._flow = Flow(self.engine, delivery, self.metrics, self.settings.commit_interval_ms)
        flow.on_ready = self._started.set
        self._source = KafkaSource(self.settings, fetcher, flow, self._reading_ended)
        app = self._app(flow, self._source)
        self._shell = _Shell(app, self._end_soon, loop=loop)
        try:
            await self._shell.start()  # returns when stopped
        finally:
            await self._shell.stop()
            flow.close()

    def _app(self, flow: Flow, source: KafkaSource) -> _App:
        settings = self.settings
        app = _App(
            settings.group,
            # Never dialled: Faust only wants an address it can parse.
            broker="kafka://localhost",
            autodiscover=False,
            agent_supervisor=CrashingSupervisor,
            web_enabled=bool(settings.web_port),
            web_bind=settings.web_bind,
            web_port=settings.web_port or 6066,
            web_router_enabled=False,
            web_tables_enabled=False,
            web_graph_enabled=False,
            web_stats_enabled=False,
            web_metrics_enabled=False,
        )
        app.source = source
        app.on_reading = self._reading
        agents.attach(app, flow)
        if settings.web_port:
            pages.attach(app, self.metrics, self._status, settings.web_token)

        @app.timer(EXPIRE_INTERVAL_S, name="expire")
        async def expire() -> None:
            flow.expire(self._clock())

        @app.timer(OBSERVE_INTERVAL_S, name="observe")
        async def observe() -> None:
            self._warm_up(flow.owned)
            self.metrics.observe(source.lag(), self.engine.stats(), self.warming)

        return app

    def _warm_up(self, owned: frozenset[int]) -> None:
        """A partition gained brings numbers whose past this worker has not counted."""
        if owned - self._warmed:
            self._warm_at = self._clock() + self._warm_after_ms
        self._warmed = owned

    def _reading(self) -> None:
        log.info("reading: topics=%s group=%s", ",".join(self.engine.topics), self.settings.group)
        if self.warming:
            log.warning("warming: counters start empty; counts are lower bounds until the longest window has passed")

    def _status(self) -> dict[str, object]:
        now = self.snapshot()
        return {
            "ready": now.ready,
            "warming": now.warming,
            "partitions": list(now.partitions),
            "processed": now.processed,
            "lag_records": now.lag_records,
        }

    def _reading_ended(self, problem: BaseException | None) -> None:
        self.problem = self.problem or problem
        if self._shell is not None:
            self._shell.set_shutdown_soon()

    def _end_soon(self) -> None:
        if self._ending is None and self._loop is not None:
            self._ending = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        """The source first, while the agents still run; only then the rest of the shell."""
        assert self._source is not None
        assert self._shell is not None
        log.info("draining")
        try:
            await asyncio.wait_for(self._source.drain(), self.settings.drain_limit_ms / 1000)
        except TimeoutError:
            limit_s = self.settings.drain_limit_ms / 1000
            self.problem = self.problem or DrainTimedOut(f"the epoch in hand was not committed within {limit_s:.0f} s")
            self._shell.set_shutdown_soon()


def worker_for(settings: WorkerSettings, rules: RuleSet, *, home_region: str = "KR", warmed: bool = False) -> Worker:
    """A worker that runs these rules, kernels compiled; it warms for as long as their longest counter reaches back.

    warmed: the caller has run `streams.warm.warm` in this process."""
    from streams.step import Engine
    from streams.warm import warm

    if not warmed:
        log.info("preparing kernels: seconds from the cache, about a minute on a first start ever")
        warm(rules, region=home_region)
    reach_ms = max((counter.reach_ms for rule in rules.rules for counter in rule.counters.values()), default=0)
    return Worker(settings, Engine(rules, region=home_region), warm_after_ms=reach_ms)


class _Boot(BootStrategy):
    enable_kafka = False


class _App(faust.App):
    """Faust's app without its Kafka client and without directories of its own."""

    BootStrategy = _Boot
    source: KafkaSource
    on_reading: Callable[[], None]

    async def on_first_start(self) -> None:
        """Nothing of Faust's is kept on disk."""

    async def on_started_init_extra_services(self) -> None:
        await super().on_started_init_extra_services()
        # Without Kafka nobody else opens the channels.
        self.flow_control.resume()
        await self.add_runtime_dependency(self.source)
        self.on_reading()


class _Shell(faust.Worker):
    """Faust's worker, with our logging, our signals and an event loop that is already running."""

    def __init__(self, app: _App, on_signal: Callable[[], None], **options: Any) -> None:
        super().__init__(app, quiet=True, override_logging=False, redirect_stdouts=False, **options)
        self.spinner = None
        self._on_signal = on_signal

    def set_shutdown_soon(self) -> None:
        """Let `start` return; the caller stops the services in order."""
        self._stopping.set()

    async def on_first_start(self) -> None:
        self._stopping = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.loop.add_signal_handler(number, self._on_signal)

    async def on_started(self) -> None:
        waits: Iterable[asyncio.Task[Any]] = (
            asyncio.ensure_future(self._stopping.wait()),
            asyncio.ensure_future(self.wait_until_stopped()),
        )
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
