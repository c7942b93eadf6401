"""The worker: Faust's app, agents and timers, and a web server, around the wiring of all other parts.

Faust is the shell, never the delivery path: its Kafka client is off (`enable_kafka = False`), its channels are in
memory, and what is committed when is decided in `streams.delivery.flow`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaException
from mode.supervisors import CrashingSupervisor

from rules.model import RuleSet
from schemas.feed_settings import NO_BOOK, FeedBook
from schemas.printable import printable
from streams.delivery.flow import Flow
from streams.engine.contract import LiveEngine
from streams.holds.breaker import Breaker
from streams.holds.rules_guard import GuardLimits
from streams.ingest.epoch import OutRecord
from streams.kafka.clients import Clients
from streams.kafka.native_check import library_or_none
from streams.kafka.patience import Patience, in_words
from streams.runtime.metrics import Metrics
from streams.runtime.settings import COLUMNS, WorkerSettings
from streams.runtime.silence import FeedWatch
from streams.runtime.threads import Threads
from streams.runtime.web_server import serving
from streams.worker.health import Health
from streams.worker.pages import pages, reloads_nothing
from streams.worker.rereading import Files, FileWatch, Rereading, said
from streams.worker.shell import App, Shell
from streams.worker.why import why
from streams.worker.wiring import Wiring, open_state

log = logging.getLogger("grayline.worker")

OBSERVE_INTERVAL_S = 1.0
COUNT_HOLDS_S = 5.0  # between two looks at all holds, of which there may be a million


class DrainTimedOut(Exception):
    """The epoch in hand could not be finished and committed in time."""

    exit_code = 1


def nothing() -> None:
    """Does nothing, for a worker that has nothing to check, or to warm."""


@dataclass(frozen=True)
class Progress:
    """A worker's progress at one moment, for a live view."""

    processed: int  # records since start
    rate: float  # records a second, over the last few seconds
    lag_records: int  # behind the ends of all owned partitions
    partitions: tuple[int, ...]
    ready: bool
    restoring: dict[int, float]  # partition -> share of its state that is back, 0 to 1
    warming: bool  # some counter may lack events from before it began to count
    recent_blocks: tuple[OutRecord, ...]  # the last records for `block-events`, oldest first


class Worker:
    """One worker, from joining the group to leaving it.

    clock: wall time in ms, for expiry and ages. reload: reads the files
    again at SIGHUP; raises rules.load.RuleErrors, and then the old ones stay. look: what is seen of these files, every
    `watch_ms` of the settings; known: what was before they were read (streams.worker.rereading.FileWatch). check: asks
    the broker whether this worker can run there; raises KafkaProblem. warm: compiles kernels, which may take a while.
    feeds: what is known of those who deliver."""

    def __init__(
        self,
        settings: WorkerSettings,
        engine: LiveEngine,
        *,
        reload: Callable[[], Files] | None = None,
        look: Callable[[], object] | None = None,
        known: object = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        check: Callable[[], None] = nothing,
        warm: Callable[[], None] = nothing,
        feeds: FeedBook = NO_BOOK,
    ) -> None:
        self.settings = settings
        self._threads = Threads()
        self.metrics = Metrics()
        self.problem: BaseException | None = None
        self.name = settings.name or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._clock = clock
        self._check = check
        self._warm = warm
        self._waiting = ""  # why the start waits for a broker, if it does
        self._wiring = Wiring(settings, engine, self._threads, clock, self.metrics, name=self.name)
        self._feeds = FeedWatch(settings.silent_after_ms, feeds.own_silence_ms)
        self._rereading = None if reload is None else Rereading(reload, self._wiring, self.metrics, self._feeds)
        if self._rereading is not None:
            self._wiring.follow_rules = self._rereading.follow
        self._files = None
        if look is not None and self._rereading is not None and settings.watch_ms:
            self._files = FileWatch(look, known, self._rereading)
        self._health = Health()  # as of the last second
        self._idle_s = time.monotonic()  # when no partition was counted, for the last time
        self._ill: dict[str, str] = {}  # what was wrong a second ago
        self._count_holds_s = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shell: Shell | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()  # assigned for the first time, or ended
        self._ending: asyncio.Future[Any] | None = None

    @property
    def engine(self) -> LiveEngine:
        return self._wiring.engine

    def run(self) -> int:
        """Works until a signal, `stop` or `stop_after`; returns the exit code: 0, 1 (failed) or 2 (refused to start).
        `problem` holds what went wrong."""
        try:
            asyncio.run(self._main())
        except Exception as problem:
            self._failed(problem)
        finally:
            self._started.set()
        if self.problem is None:
            return 0
        log.error("stopped: %s", in_words(self.problem))
        return int(getattr(self.problem, "exit_code", 1))

    def start(self) -> None:
        """Runs in a thread of its own. Returns once the group has assigned partitions (or none) to this worker and
        their state is back, or the worker has ended. End it with `stop`."""
        self._thread = threading.Thread(target=self.run, name="worker", daemon=True)
        self._thread.start()
        self._started.wait()

    def stop(self) -> int:
        """Drains and ends, from any thread; after `start`, waits for the end. Returns the exit code so far."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end_soon)
        if self._thread is not None:
            self._thread.join()
        return int(getattr(self.problem, "exit_code", 1)) if self.problem else 0

    def progress(self) -> Progress:
        flow = self._wiring.flow
        partitions = flow.partitions if flow else None
        return Progress(
            processed=flow.processed if flow else 0,
            rate=self.metrics.rate(),
            lag_records=sum(self.metrics.lag_records.values()),
            partitions=tuple(sorted(partitions.owned)) if partitions else (),
            ready=bool(partitions and partitions.ready),
            restoring={p: min(1.0, r.done / r.total) for p, r in partitions.restoring.items()} if partitions else {},
            warming=self.engine.warming() > 0,
            recent_blocks=tuple(self._wiring.outbox.recent),
        )

    async def _main(self) -> None:
        """The pages are there before the broker is, and until the last: /health tells that the process lives."""
        self._loop = asyncio.get_running_loop()
        settings = self.settings
        answer = pages(self.metrics, self._status, settings.web_token, self._why, self._reload)
        async with serving(answer, settings.web_bind, settings.web_port) if settings.web_port else nullcontext():
            await self._work()

    async def _work(self) -> None:
        self._shell = Shell(self._app(), self._end_soon, self._reload_soon, loop=self._loop)
        try:
            await self._shell.start()  # returns when stopped, or when a timer or a service has failed
        finally:
            self.problem = self.problem or self._shell.crash_reason
            await self._shell.stop()
            await self._wiring.close()
            self._threads.close()

    async def _begin(self, app: App) -> None:
        threads, asking = self._threads, Patience(self._threads, self.settings.broker_wait_ms / 1000, self._waits)
        try:
            await asking.fetch(self._check)
            await threads.fetch(self._warm)
            library = await threads.fetch(library_or_none) if self.settings.fetch == COLUMNS else None
            self.metrics.fetches_in_columns(library is not None)
            source = await self._wiring.connect(
                Clients(library), asking, partial(open_state, self.settings), self._started.set, self._reading_ended
            )
            await app.add_runtime_dependency(source)
            log.info("reading: topics=%s group=%s", ",".join(self.engine.topics), self.settings.group)
            if self._rereading is not None:
                self._rereading.obey()
        except Exception as problem:
            self._failed(problem)

    def _waits(self, why: str) -> None:
        self._waiting = why
        self.metrics.waiting(bool(why))

    def _failed(self, problem: Exception) -> None:
        """Ends the worker; the first error is kept."""
        if self.problem is None and not isinstance(problem, (KafkaException, OSError)):
            if not hasattr(problem, "exit_code"):  # those with one say in words what is wrong
                log.error("the worker failed unexpectedly", exc_info=problem)
        self._reading_ended(problem)

    def _app(self) -> App:
        app = App(
            self.settings.group,
            # Never dialled: Faust only wants an address it can parse.
            broker="kafka://localhost",
            autodiscover=False,
            agent_supervisor=CrashingSupervisor,
            web_enabled=False,
        )
        app.begin = lambda: self._begin(app)
        self._wiring.attach(app)
        self._wiring.every(app, OBSERVE_INTERVAL_S, self.observe)
        if self._files is not None:
            self._wiring.every(app, self.settings.watch_ms / 1000, self._files.turn)
        return app

    async def observe(self) -> None:
        """Brings the metrics up to date, once a second."""
        now, wiring = self.progress(), self._wiring
        flow, engine = wiring.flow, wiring.engine
        assert flow is not None
        self.metrics.observe(wiring.fetcher.lag, engine.stats(), engine.warming())
        self.metrics.observe_state(now.restoring, wiring.snapshots.ages_s(), len(flow.partitions.live))
        self.metrics.observe_safety(engine.breaker.open(engine.clocks()), engine.breaker.paused)
        self.metrics.observe_registry(engine.registry, self._clock())
        if time.monotonic() >= self._count_holds_s:
            self._count_holds_s = time.monotonic() + COUNT_HOLDS_S
            self.metrics.observe_holds(engine.hold_counts())
        self._listen(flow)
        self._examine(flow)

    def _listen(self, flow: Flow) -> None:
        """Logs the feeds that have fallen silent, or are heard again."""
        now_ms = round(time.monotonic() * 1000)
        heard = flow.take_heard()
        delivered = self._wiring.outbox.take_delivered()
        if not flow.partitions.owned:
            self._feeds.forget()
        elif flow.partitions.restoring:
            self._feeds.restart(now_ms)
        named = sorted(self._feeds.named - {*self.engine.topics})
        heard.update({name: delivered[name] for name in named})
        for feed in (*self.engine.topics, *named):
            turn = self._feeds.note(feed, heard[feed], now_ms)
            if turn is not None:
                log.log(logging.ERROR if turn.silent else logging.INFO, "%s", turn)
        self.metrics.observe_feeds(self._feeds.silent(), self._feeds.quiet_ms(now_ms))

    def _examine(self, flow: Flow) -> None:
        """Notes what keeps this worker from committing or reading, and logs when it begins and when it ends."""
        now_s, wiring = time.monotonic(), self._wiring
        if not flow.partitions.live:
            self._idle_s = now_s
        health = self._health = Health(
            commit_age_s=now_s - max(flow.committed_s, self._idle_s),
            broker_silent_s=now_s - wiring.ids.heard_s,
            stuck_s=wiring.fetcher.stuck_s,
        )
        self.metrics.observe_health(health.commit_age_s, health.broker_silent_s, health.stuck_s)
        before, self._ill = self._ill, health.problems()
        for kind in self._ill.keys() - before.keys():
            log.error("not ready: %s", self._ill[kind])
        for kind in before.keys() - self._ill.keys():
            log.info("no longer: %s", before[kind])

    def _status(self) -> dict[str, object]:
        now = self.progress()
        return {
            "ready": now.ready and not self._ill,
            "waiting": self._waiting,
            "problems": list(self._ill.values()),
            "warming": now.warming,
            "rules_version": self.engine.rules.version,
            "feeds_version": self.engine.feeds_version,
            "silent_feeds": [printable(feed) for feed, is_silent in self._feeds.silent().items() if is_silent],
            "registry_version": self.engine.registry.version,
            "paused": self.engine.breaker.paused,
            "partitions": list(now.partitions),
            "restoring": {str(partition): round(share, 3) for partition, share in now.restoring.items()},
            "processed": now.processed,
            "lag_records": now.lag_records,
        }

    def _why(self, number: str, unmasked: bool) -> tuple[int, Mapping[str, object]]:
        """The answer of /why: what is known of a number, if it is one of this worker's."""
        return why(self._wiring, number, unmasked)

    def _reading_ended(self, problem: BaseException | None) -> None:
        self.problem = self.problem or problem
        if self._shell is not None:
            self._shell.set_shutdown_soon()

    async def _reload(self) -> tuple[int, Mapping[str, object]]:
        """The answer of /reload."""
        return await reloads_nothing() if self._rereading is None else await self._rereading.answer()

    def _reload_soon(self) -> None:
        """Asks for a reload, at SIGHUP."""
        if self._loop is not None and self._rereading is not None:
            self._rereading.ask(self._loop)

    def _end_soon(self) -> None:
        if self._ending is None and self._shell is not None:
            self._ending = self._shell.add_future(self._drain())

    async def _drain(self) -> None:
        """The source first, while the agents still run; only then the rest of the shell."""
        source = self._wiring.source
        assert self._shell is not None
        if source is None:  # still at its start
            self._shell.set_shutdown_soon()
            return
        log.info("draining")
        try:
            await asyncio.wait_for(source.drain(), self.settings.drain_limit_ms / 1000)
        except TimeoutError:
            limit_s = self.settings.drain_limit_ms / 1000
            self.problem = self.problem or DrainTimedOut(f"the epoch in hand was not committed within {limit_s:.0f} s")
            self._shell.set_shutdown_soon()


def worker_for(
    settings: WorkerSettings,
    rules: RuleSet,
    *,
    home_region: str = "KR",
    feeds: FeedBook = NO_BOOK,
    warmed: bool = False,
    reload: Callable[[], Files] | None = None,
    look: Callable[[], object] | None = None,
    known: object = None,
    check: Callable[[], None] = nothing,
) -> Worker:
    """A worker that runs these rules, its kernels compiled before it reads.

    feeds: what is known of those who deliver. warmed: the caller has run `streams.engine.warm.warm` in this process."""
    from streams.engine.engine import Engine
    from streams.engine.warm import warm
    from streams.ingest.feed_codes import Feeds

    def prepare() -> None:
        log.info("preparing kernels: seconds from the cache, a quarter of a minute on a first start ever")
        warm(rules, region=home_region)

    for line in said(Files(rules, feeds)):
        log.info("%s", line)
    guard = GuardLimits(settings.reload_opens, settings.reload_share)
    breaker = Breaker(settings.breaker_opens, settings.breaker_factor, guard)
    # The topics that are read stay the same for the worker's life: rules may begin and cease to count any of them.
    also = frozenset((*rules.reads, *settings.topics))
    engine = Engine(rules, also=also, region=home_region, breaker=breaker, feeds=Feeds(feeds))
    warm_up = nothing if warmed else prepare
    return Worker(
        settings, engine, reload=reload, look=look, known=known, check=check, warm=warm_up, feeds=feeds
    )  # fmt: skip
