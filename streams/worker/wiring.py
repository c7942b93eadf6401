"""One worker put together: all between its Kafka clients and its engine, its agents, and its timers.

`streams.worker.worker` runs it in Faust's shell with threads and real clients; the simulator runs the same over its
own."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from schemas.feeds import FEEDS
from schemas.topics import CONTROL_GLOBAL, LEDGER, REKEYED, RELAY_ACTIONS, SNAPSHOTS, SPARED, TOPICS
from streams.delivery.contract import Delivery
from streams.delivery.flow import Flow
from streams.delivery.guarantees import delivery_of
from streams.delivery.handover import FlowOwner
from streams.delivery.orders import Orders
from streams.delivery.outbox import Outbox
from streams.delivery.partitions import Partitions
from streams.delivery.reading import KafkaSource
from streams.engine.contract import LiveEngine, Versioned
from streams.holds.rules_order import RulesOrder
from streams.kafka.clients import Clients
from streams.kafka.fetcher import Fetcher
from streams.kafka.patience import Asking, in_words
from streams.kafka.reader import Reader
from streams.kafka.settings import BrokerAway
from streams.kafka.topic_ids import TopicIds
from streams.kafka.topics import LOST_WITH
from streams.kafka.worker_config import consumer_config
from streams.runtime.metrics import Metrics
from streams.runtime.settings import WorkerSettings
from streams.runtime.threads import Runner
from streams.state.local import LocalState, StateDamaged
from streams.state.restore import Restore
from streams.state.snapshots import Snapshots
from streams.worker import agents
from streams.worker.agent_pipeline import Lineup
from streams.worker.control import ControlWatch

log = logging.getLogger("grayline.worker")

EXPIRE_INTERVAL_S = 1.0
CONTROL_INTERVAL_S = 0.25
TOPICS_INTERVAL_S = 5.0
CLOSE_LIMIT_S = 1.0


class TimerFailed(Exception):
    """A mistake of ours in what a timer does: the worker ends, and nothing more is committed."""


class AgentHost(Protocol):
    """The shell that runs agents and timers, as faust.App does."""

    def channel(self, *, maxsize: int) -> Any: ...
    def agent(self, channel: Any, *, name: str) -> Callable[[Any], Any]: ...
    def timer(self, interval: float, *, name: str) -> Callable[[Callable[[], Awaitable[None]]], Any]: ...


class Wiring:
    """The parts of one worker, from `connect` on. The agents and timers are attached before, and idle until then.

    clock: wall time in ms. name: by which heartbeats and transactions know this worker."""

    def __init__(
        self,
        settings: WorkerSettings,
        engine: LiveEngine,
        runner: Runner,
        clock: Callable[[], int],
        metrics: Metrics,
        *,
        name: str,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.outbox = Outbox(engine, metrics)
        self.orders = Orders(self.outbox, settings.group)
        self.lineup = Lineup(lambda: self.engine, self.outbox.step)
        self.flow: Flow | None = None
        self.source: KafkaSource | None = None
        self.local: LocalState | None = None
        self.control: ControlWatch | None = None
        # Gets the newest order to go on with other rules, first the one that stood at the start.
        self.follow_rules: Callable[[RulesOrder | None], None] = lambda order: None
        self.ids: TopicIds
        self.fetcher: Fetcher
        self.snapshots: Snapshots
        self._runner = runner
        self._clock = clock
        self._name = name

    @property
    def engine(self) -> LiveEngine:
        return self.outbox.engine

    def attach(self, app: AgentHost) -> None:
        """Registers the agents, and the timers of what wall time decides."""
        agents.attach(app, self.lineup)
        self.every(app, EXPIRE_INTERVAL_S, self.expire)
        self.every(app, CONTROL_INTERVAL_S, self.obey)
        self.every(app, TOPICS_INTERVAL_S, self.look_at_topics)

    def every(self, app: AgentHost, interval_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """A timer, at work while the source is."""

        @app.timer(interval_s, name=work.__name__)
        async def tick() -> None:
            if self.source is None:
                return
            try:
                await work()
            except Exception as problem:
                raise TimerFailed(f"the timer {work.__name__!r} failed: {in_words(problem)}") from problem

    async def expire(self) -> None:
        assert self.flow is not None
        self.flow.expire(self._clock())

    async def obey(self) -> None:
        """Takes over the operators' newest orders."""
        assert self.control is not None
        said = await self._runner.control(self.control.poll)
        self.orders.adopt_pause(said.pause and said.pause.as_of(self._clock()))
        self.orders.adopt_registry(said.registry)
        self.follow_rules(said.rules)

    async def look_at_topics(self) -> None:
        """Tells of the topics written to that were made anew: what they held is lost, and counting goes on."""
        try:
            anew = await self._runner.control(self.ids.changed)
        except BrokerAway:
            return  # as metrics and /ready show
        for topic in anew:
            log.error("topic %r was deleted and made anew: %s", topic, LOST_WITH.get(topic, "what it held is lost"))
            self.metrics.trouble("topic_anew")
        if SNAPSHOTS in anew:
            self.snapshots.begin_anew()

    async def connect(
        self,
        clients: Clients,
        asking: Asking,
        open_local: Callable[[str], LocalState | None],
        ready: Callable[[], None],
        ended: Callable[[BaseException | None], None],
    ) -> KafkaSource:
        """Puts all parts together; reading begins when the source that is returned does.

        asking: for what is asked of the broker before that. open_local: opens the local store, if there is to be one,
        given the cluster's id. ready: called whenever all state is back. ended: called when reading has ended, with
        what went wrong. Raises Refused, StateRefused, DeliveryFailed, BrokerAway, KafkaException."""
        settings, engine = self.settings, self.engine
        monotonic = asyncio.get_running_loop().time
        read = tuple(engine.reads)
        ids = self.ids = TopicIds(clients, consumer_config(settings), (*read, LEDGER), _written_to(engine.rules))
        fetcher = self.fetcher = Fetcher(
            settings, read, clients, ids, self.metrics.trouble, (*engine.rules.reads, REKEYED)
        )
        engine.group = settings.group
        cluster, engine.partitions = await asking.fetch(fetcher.topology)
        self.local = open_local(cluster)
        delivery = delivery_of(
            settings,
            fetcher.group,
            partitions=engine.partitions,
            topic_ids=ids.known,
            clients=clients,
            trouble=self.metrics.transaction_trouble,
            clock=monotonic,
        )
        try:
            await asking.deliver(delivery.open)
        except BaseException:
            delivery.close()  # its thread may still wait for the broker
            raise
        flow = self.flow = self._flow(clients, delivery, ready, monotonic)
        self.control = ControlWatch(clients, consumer_config(settings))
        said = await asking.control(self.control.start)
        self.orders.adopt_pause(said.pause and said.pause.as_of(self._clock()), at_once=True)
        self.orders.adopt_registry(said.registry, at_once=True)
        self.follow_rules(said.rules)
        owner = FlowOwner(flow, asyncio.get_running_loop(), fetcher.group)
        self.source = KafkaSource(settings, fetcher, flow, self._runner, owner, self.lineup.decode_ahead, ended)
        return self.source

    def _flow(
        self, clients: Clients, delivery: Delivery, ready: Callable[[], None], monotonic: Callable[[], float]
    ) -> Flow:
        """All between the fetched epochs and the delivery."""
        settings, runner = self.settings, self._runner
        self.snapshots = Snapshots(
            lambda: self.engine,
            self.local,
            group=settings.group,
            interval_ms=settings.snapshot_interval_ms,
            monotonic=monotonic,
            wall_ms=self._clock,
            new_id=lambda: uuid.uuid4().hex[:12],
            topic_ids=self.ids.known,
        )
        restore = partial(
            Restore,
            reader=Reader(clients, consumer_config(settings)),
            decode=self.lineup.decoded,
            runner=runner,
            local=self.local,
            group=settings.group,
            topic_ids=self.ids.known,
            may_skip=settings.start_from is not None,
            trouble=self.metrics.trouble,
        )
        partitions = Partitions(
            self.outbox,
            self.orders,
            self.snapshots,
            restore,
            note=lambda: delivery.note,
            resume=self.fetcher.resume,
            ready=ready,
            monotonic=monotonic,
        )
        return Flow(
            self.outbox,
            self.orders,
            partitions,
            self.lineup.count,
            delivery,
            self.snapshots,
            self.metrics,
            runner,
            worker=self._name,
            group=settings.group,
            commit_interval_ms=settings.commit_interval_ms,
            check=self.ids.check,
            monotonic=monotonic,
            wall_ms=self._clock,
        )

    async def close(self) -> None:
        """Ends all that still waits for the broker or holds the disk."""
        if self.flow is not None:
            self.flow.abandon()
            self.ids.close()
            self.flow.close()
        if self.local is not None:
            self.local.close()
        if self.control is not None:
            with suppress(TimeoutError):  # its thread may wait for a broker that does not answer
                await asyncio.wait_for(self._runner.control(self.control.close), CLOSE_LIMIT_S)


def _written_to(rules: Versioned) -> list[str]:
    """The topics that a worker writes to."""
    always = [name for name in TOPICS if name not in (*FEEDS, CONTROL_GLOBAL, *SPARED)]
    return [*always, RELAY_ACTIONS] if rules.stop_at_origin else always


def open_state(settings: WorkerSettings, cluster: str) -> LocalState | None:
    """The local store, if there is to be one; one that is damaged is begun anew, since the topic has all of it. Raises
    StateRefused."""
    if settings.state_dir is None:
        return None
    try:
        return LocalState.open(settings.state_dir, cluster=cluster, group=settings.group)
    except StateDamaged as problem:
        log.error("the local state is begun anew, and restored from the snapshots topic: %s", problem)
        return LocalState.open(settings.state_dir, cluster=cluster, group=settings.group, rebuild=True)
