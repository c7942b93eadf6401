"""The way of an epoch from the source through the agents to the sink, and what is committed behind it.

Everything here runs on the event loop except the delivery, which has a thread of its own: producing and committing wait
for the broker. Records reach that thread in the order they were made, so that a number's last state is its last record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.collector import Collector
from streams.epoch import OutRecord, RawBatch
from streams.kafka.sink import Delivery
from streams.metrics import Metrics

if TYPE_CHECKING:
    from streams.kafka.source import Epoch, Place

log = logging.getLogger("grayline.flow")

BLOCKS_TOPIC = "block-events"
RECENT_BLOCKS = 100
REVOKE_LIMIT_S = 30.0


@dataclass(slots=True)
class Share:
    """One topic's part of an epoch, on its way to that topic's agent."""

    epoch: int
    raw: RawBatch


@dataclass(slots=True)
class Part:
    """The same, decoded, on its way to `step`."""

    epoch: int
    of: int  # how many parts this epoch has
    decoded: Any  # streams.decode.Decoded


class Flow:
    """One epoch at a time. `between_epochs` is held while one is being counted and while one is committed."""

    def __init__(self, engine: Any, delivery: Delivery, metrics: Metrics, commit_interval_ms: int) -> None:
        self.engine = engine
        self.between_epochs = asyncio.Lock()
        self.processed = 0  # records
        self.owned: frozenset[int] = frozenset()  # partition numbers, the same of every topic
        self.ready = False  # partitions were assigned, were it none
        self.on_ready: Callable[[], None] = lambda: None
        self.recent: deque[OutRecord] = deque(maxlen=RECENT_BLOCKS)
        self.position: dict[Place, int] = {}
        self._send: Mapping[str, Any] = {}  # topic -> its agent's channel
        self._delivery = delivery
        self._metrics = metrics
        self._commit_interval_s = commit_interval_ms / 1000
        self._commit_at = time.monotonic() + self._commit_interval_s
        self._uncommitted: dict[Place, int] = {}
        self._number = 0
        self._shares = 0
        self._parts: list[Part] = []
        self._done: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sink")
        self._produced: list[Future[None]] = []  # since the last commit
        self._abandoned = False
        self._collector = Collector()

    def connect(self, channels: Mapping[str, Any]) -> None:
        """channels: per input topic, the Faust channel of its agent."""
        self._send = channels

    async def process(self, epoch: Epoch) -> None:
        """Decode and count one epoch; returns when its records are with the sink. Raises what an agent raised."""
        if self._produced:
            await asyncio.wrap_future(self._produced[-1])  # the sink never lags more than one epoch behind
        started = time.perf_counter()
        self._number += 1
        self._shares = len(epoch.batches)
        self._done = asyncio.get_running_loop().create_future()
        for raw in epoch.batches:
            await self._send[raw.topic].send(value=Share(self._number, raw))
        await self._done
        self.processed += epoch.count
        self._uncommitted.update(epoch.next_offsets)
        self.position.update(epoch.next_offsets)
        self._metrics.epoch_done(epoch, time.perf_counter() - started)
        self.engine.maintain()
        self._collector.between_batches()

    def part(self, share: Share, decoded: Any) -> Part:
        return Part(share.epoch, self._shares, decoded)

    def gather(self, part: Part) -> None:
        """Called by the step agent for every part; the last one of an epoch makes it run."""
        self._parts.append(part)
        if len(self._parts) < part.of:
            return
        decoded = [gathered.decoded for gathered in self._parts]
        self._parts = []
        outcome = self.engine.step(decoded)
        self._hand_over(outcome.records)
        self._metrics.outcome(outcome)
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def fail(self, problem: BaseException) -> None:
        """An agent raised: the epoch will never be whole, and whoever waits for it must know."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(problem)

    def expire(self, now_ms: int) -> None:
        """Publish the holds that ended by wall time. Runs between steps, because both run on the event loop."""
        if self.owned and not self._abandoned:
            outcome = self.engine.expire(now_ms)
            self._hand_over(outcome.records)
            self._metrics.outcome(outcome)

    async def commit_if_due(self) -> None:
        if time.monotonic() >= self._commit_at:
            await self.commit()

    async def commit(self) -> None:
        """Deliver and commit all that was counted. The caller holds `between_epochs`. Raises DeliveryFailed."""
        offsets, self._uncommitted = self._uncommitted, {}
        self._commit_at = time.monotonic() + self._commit_interval_s
        produced, self._produced = self._produced, []
        if not offsets and not produced:
            return
        started = time.perf_counter()
        committed = await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, offsets, produced)
        self._metrics.committed(committed, time.perf_counter() - started)
        if not committed:
            log.warning("commit aborted by a rebalance; its records will be read again")

    def abandon(self) -> None:
        """Nothing more is produced or committed."""
        self._abandoned = True
        self._uncommitted = {}

    def close(self) -> None:
        """Whatever still waits for the broker gives up."""
        self._delivery.close()
        self._thread.shutdown(wait=False)
        self._collector.restore()

    def owner(self, loop: asyncio.AbstractEventLoop) -> FlowOwner:
        return FlowOwner(self, loop, self._metrics)

    def assigned(self, start: Mapping[Place, int], fresh: set[Place]) -> None:
        self.position = dict(start)
        self.owned = frozenset(partition for _, partition in start)
        # The operator's choice of a start is committed like any other progress: an idle partition must not ask again.
        self._uncommitted.update({place: start[place] for place in fresh})
        self.ready = True
        self.on_ready()
        log.info("assigned: partitions=%s topics=%d", sorted(self.owned), len({topic for topic, _ in start}))

    async def revoked(self, partitions: frozenset[int], lost: bool) -> None:
        async with self.between_epochs:
            if not self._abandoned and not lost:
                await self.commit()
            self._uncommitted = {place: end for place, end in self._uncommitted.items() if place[1] not in partitions}
            self.position = {place: end for place, end in self.position.items() if place[1] not in partitions}
            self.owned -= partitions
            # The engine keeps what it knows of these partitions: should they come back, `warming` starts again.
        log.info("revoked: partitions=%s lost=%s", sorted(partitions), lost)

    def _hand_over(self, records: list[OutRecord]) -> None:
        if not records or self._abandoned:
            return
        self.recent.extend(record for record in records if record.topic == BLOCKS_TOPIC)
        self._produced.append(self._thread.submit(self._delivery.produce, records))

    def _commit(self, offsets: Mapping[Place, int], produced: list[Future[None]]) -> bool:
        for future in produced:
            future.result()  # all done, this being the same thread; what one of them raised forbids the commit
        committed = self._delivery.commit(offsets)
        self._delivery.begin()
        return committed


class FlowOwner:
    """The fetching thread's view of the flow: every call waits for the event loop to have done the work."""

    def __init__(self, flow: Flow, loop: asyncio.AbstractEventLoop, metrics: Metrics) -> None:
        self._flow = flow
        self._loop = loop
        self._metrics = metrics

    def assigned(self, start: Mapping[Place, int], fresh: set[Place]) -> None:
        self._loop.call_soon_threadsafe(self._flow.assigned, start, fresh)

    def revoked(self, partitions: frozenset[int], lost: bool) -> None:
        asyncio.run_coroutine_threadsafe(self._flow.revoked(partitions, lost), self._loop).result(REVOKE_LIMIT_S)

    def trouble(self, code: str) -> None:
        self._metrics.trouble(code)
