"""The way of an epoch from the source to the commit behind it, and of a partition from its assignment to its revoke.

Everything here runs on the event loop except what waits for the broker or the disk: that runs in the threads of a
`Runner`. `between_epochs` is held while an epoch is counted, while one is committed, and while partitions change hands.

What is counted but not committed is in memory only: outputs gather here and leave with the commit, in one transaction
with the ledger rows and the offsets. A commit that comes back False was taken away by a rebalance: the state is ahead
of what is committed, so nothing more is counted until the next assignment, where every partition is restored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from schemas.topics import BLOCK_EVENTS, LEDGER
from streams.delivery.contract import Delivery
from streams.delivery.heartbeat import heartbeats
from streams.holds.ledger_keys import breaker_key, pause_key, rules_key
from streams.ingest.epoch import OutRecord
from streams.runtime.garbage import Collector
from streams.runtime.metrics import Metrics
from streams.runtime.threads import Runner
from streams.state.restore import Restore
from streams.state.snapshots import Snapshots

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.engine.contract import LiveEngine, Outcome
    from streams.holds.pause import Pause
    from streams.ingest.decode import Decoded
    from streams.ingest.epoch import Epoch, Place
    from streams.kafka.ownership import Start

log = logging.getLogger("grayline.flow")

RECENT_BLOCKS = 100
OUTPUT_BYTES_MAX = 32 * 1024 * 1024  # gathered outputs beyond this are committed at once
RESTORE_PIECE_S = 0.1  # of restoring between two epochs
HEARTBEAT_INTERVAL_S = 5.0
SETTLE_S = 4.0


class Flow:
    """One epoch at a time. All times are monotonic seconds of the injected clock."""

    def __init__(
        self,
        engine: LiveEngine,
        count: Callable[[Epoch], Awaitable[None]],
        delivery: Delivery,
        snapshots: Snapshots,
        metrics: Metrics,
        runner: Runner,
        restore: Callable[..., Restore],
        *,
        worker: str,
        group: str,
        commit_interval_ms: int,
        monotonic: Callable[[], float],
    ) -> None:
        """count: decodes one epoch and hands it to `step` before it returns. restore: makes a Restore of this engine
        from `partition`, `committed` and `fresh`."""
        self.engine = engine
        self.between_epochs = asyncio.Lock()
        self.processed = 0  # records
        self.owned: frozenset[int] = frozenset()  # partition numbers, the same of every topic
        self.ready = False  # partitions were assigned, were it none, and all their state is back
        self.on_ready: Callable[[], None] = lambda: None
        self.resume: Callable[[list[Place]], None] = lambda places: None
        self.heard: Counter[str] = Counter()  # records by topic, until somebody takes them
        self.recent: deque[OutRecord] = deque(maxlen=RECENT_BLOCKS)
        self.position: dict[Place, int] = {}  # of every owned place: the next offset to count
        self.restoring: dict[int, Restore] = {}
        self._pieces: dict[int, AsyncIterator[None]] = {}
        self._count = count
        self._delivery = delivery
        self._snapshots = snapshots
        self._metrics = metrics
        self._runner = runner
        self._restore = restore
        self._worker = worker
        self._group = group
        self._commit_interval_s = commit_interval_ms / 1000
        self._monotonic = monotonic
        self._commit_at = monotonic() + self._commit_interval_s
        self._heartbeat_at = monotonic()
        self._uncommitted = False  # something was counted or made since the last commit began
        self._under_way: asyncio.Future[bool] | None = None  # a commit
        self._began_s = monotonic()
        self._outputs: list[OutRecord] = []
        self._output_bytes = 0
        self._kept: dict[int, dict[Place, int]] = {}  # partitions in memory as of these offsets, committed by us
        self._is_ahead = False  # memory is ahead of what is committed, and the rebalance that did it is not over
        self._abandoned = False
        self._next_rules: RuleSet | None = None
        self._pause: Pause | None = None
        self._next_pause: Pause | None = None
        self._collector = Collector()

    @property
    def live(self) -> frozenset[int]:
        """Partitions that are counted and committed."""
        return self.owned - self.restoring.keys()

    # -- counting ----------------------------------------------------------------------------------------------

    async def process(self, epoch: Epoch) -> None:
        """Count one epoch. The caller holds `between_epochs`. Raises what decoding or `step` raised."""
        if self._is_ahead or self._abandoned:
            return  # read again after the assignment
        foreign = {partition for _, partition in epoch.next_offsets} - self.live
        if foreign:
            raise RuntimeError(f"records of partitions {sorted(foreign)} arrived, which this worker does not count")
        started = self._monotonic()
        await self._count(epoch)
        self.processed += epoch.count
        self.position.update(epoch.next_offsets)
        for raw in epoch.batches:
            self.heard[raw.topic] += len(raw.values)
        self._uncommitted = True
        self._metrics.epoch_done(epoch, self._monotonic() - started)
        self.engine.maintain()
        self._collector.between_batches()

    def step(self, decoded: list[Decoded]) -> None:
        """Count the parts of one epoch, which `process` has handed out. What the engine returns is gathered here and in
        `expire`, where it is returned: a timer may run at every `await`, so outcomes that wait for their caller could
        change places, and a number's `expired` would leave before its `opened`."""
        self._gather(self.engine.step(decoded))

    def expire(self, now_ms: int) -> None:
        """Publish the holds that ended by wall time."""
        if self.live and not self._is_ahead and not self._abandoned:
            self._gather(self.engine.expire(now_ms))

    def _gather(self, outcome: Outcome) -> None:
        for record in (*outcome.records, *outcome.ledger):
            self._put(record)
        self._metrics.outcome(outcome)
        for trip in outcome.trips:
            log.error("%s", trip)

    def _put(self, record: OutRecord) -> None:
        self._outputs.append(record)
        self._output_bytes += len(record.value or b"")
        self._uncommitted = True
        if record.topic == BLOCK_EVENTS:
            self.recent.append(record)

    # -- committing --------------------------------------------------------------------------------------------

    async def commit_if_due(self) -> None:
        """Begins a commit when it is time, and goes on counting while it is under way: never more than one."""
        now = self._monotonic()
        if now >= self._heartbeat_at:
            self._beat(now)
        if self._under_way is not None and self._under_way.done():
            await self._end_commit()
        if now >= self._commit_at or self._output_bytes > OUTPUT_BYTES_MAX:
            await self._end_commit()
            self._begin_commit()

    async def commit(self) -> None:
        """Commit all that was counted, and wait for it. The caller holds `between_epochs`. Raises DeliveryFailed,
        StateFailed.

        1. The outputs and ledger rows of all epochs since the last commit are taken, with the offsets they reach, and a
           slice of the snapshot that is on its way.
        2. A rule change or a pause that is waiting takes effect: what is counted from here on is of the next commit.
        3. The next snapshot is taken, if one is due: memory is exactly as of the offsets of this commit, and its chunks
           go with later ones, which there are only if this one succeeds.
        4. Records and offsets become visible at once (Delivery.commit). Failing that, the worker stops or, after a
           rebalance, restores: what was counted meanwhile is void too.
        5. If the slice was a snapshot's last, it is written to the local store, which is thus never ahead.
        """
        await self._end_commit()
        self._begin_commit()
        await self._end_commit()

    def _begin_commit(self) -> None:
        self._commit_at = self._monotonic() + self._commit_interval_s
        if self._is_ahead or self._abandoned:
            return
        if self._uncommitted or self._snapshots.is_due:
            records, self._outputs, self._output_bytes = self._outputs, [], 0  # 1
            records += self._snapshots.next_slice()
            records += [
                OutRecord(LEDGER, breaker_key(self._group), row, partition=partition)
                for partition, row in self.engine.breaker.changed_rows()
            ]
            self._uncommitted = False
            live = self.live
            offsets = {place: at for place, at in self.position.items() if place[1] in live}
            self._began_s = self._monotonic()
            self._under_way = asyncio.ensure_future(self._runner.deliver(lambda: self._deliver(records, offsets)))
        # Partitions that are between two assignments would miss the row that tells of the change.
        if self._next_rules is not None and not self.restoring and not self._kept:
            self._switch()  # 2
        if self._next_pause != self._pause:
            self._switch_pause()
        self._snapshots.take_if_due(self.live, self.position)  # 3

    async def _end_commit(self) -> None:
        if self._under_way is None:
            return
        under_way, self._under_way = self._under_way, None
        committed = await under_way  # 4
        self._metrics.committed(committed, self._monotonic() - self._began_s)
        if not committed:
            log.warning("commit aborted by a rebalance; its records will be read again")
            self._is_ahead = True
            self._snapshots.interrupt()
            return
        write = self._snapshots.committed()
        if write is not None:
            await self._runner.deliver(write)  # 5

    async def settle(self) -> None:
        """The last commits before an orderly end: with a fresh snapshot of every partition, as far as the time goes,
        whoever takes them over has next to nothing to count again. The caller holds `between_epochs`."""
        began_s = self._monotonic()
        await self.commit()
        while not self._is_ahead and self._monotonic() < began_s + SETTLE_S:
            self._snapshots.take_if_due(self.live, self.position, since_s=began_s)
            if not self._snapshots.is_due:
                return
            await self.commit()

    def _deliver(self, records: list[OutRecord], offsets: Mapping[Place, int]) -> bool:
        self._delivery.produce(records)
        return self._delivery.commit(offsets)

    def _beat(self, now: float) -> None:
        self._heartbeat_at = now + HEARTBEAT_INTERVAL_S
        if not self.live or self._is_ahead or self._abandoned:
            return  # a transaction without offsets would not be fenced
        for record in heartbeats(self._worker, self.engine, self.position, self.owned, frozenset(self.restoring)):
            self._put(record)

    # -- rules -------------------------------------------------------------------------------------------------

    def adopt_rules(self, rules: RuleSet) -> None:
        """Go on with these rules from the next commit on."""
        self._next_rules = rules

    def _switch(self) -> None:
        assert self._next_rules is not None
        rules, self._next_rules = self._next_rules, None
        self.engine = self.engine.with_rules(rules)
        for partition in self.live:
            self._put(self._rules_row(partition))
        log.info("rules: version=%s", self.engine.rules.version)

    def _rules_row(self, partition: int) -> OutRecord:
        return OutRecord(LEDGER, rules_key(self._group), self.engine.rules.version.encode(), partition=partition)

    # -- pause -------------------------------------------------------------------------------------------------

    def adopt_pause(self, pause: Pause | None, *, at_once: bool = False) -> None:
        """Obey an operator's newest word from the next commit on; at_once: before anything was counted."""
        self._next_pause = pause
        if at_once:
            self._pause = pause
            self.engine.breaker.paused = pause is not None and pause.paused

    def _switch_pause(self) -> None:
        self._pause = pause = self._next_pause
        self.engine.breaker.paused = pause is not None and pause.paused
        for partition in self.live:
            self._put(self._pause_row(partition))
        self._heartbeat_at = self._monotonic()  # whoever paused waits for it
        state = "paused" if self.engine.breaker.paused else "resumed"
        log.warning("new blocks are %s: %s", state, pause or "the record was removed")

    def _pause_row(self, partition: int) -> OutRecord:
        row = self._pause.row() if self._pause else None
        return OutRecord(LEDGER, pause_key(self._group), row, partition=partition)

    # -- partitions --------------------------------------------------------------------------------------------

    async def assigned(self, start: Start) -> list[Place]:
        """Partitions are ours. Returns the places that must wait for `resume`, since their state is to be restored."""
        async with self.between_epochs:
            self.position = dict(start.offsets)
            self.owned = frozenset(partition for _, partition in start.offsets)
            kept, self._kept = self._kept, {}
            still = {p for p in self.owned if not self._is_ahead and self._is_untouched(p, kept.get(p), start)}
            for partition in kept.keys() - still:
                self.engine.drop(partition)
                self._snapshots.forget(partition)
            self._is_ahead = False
            for partition in sorted(self.owned - still):
                committed = {topic: at for (topic, p), at in start.offsets.items() if p == partition}
                fresh = frozenset(topic for topic, p in start.fresh if p == partition)
                restore = self._restore(engine=self.engine, partition=partition, committed=committed, fresh=fresh)
                self.restoring[partition] = restore
                self._pieces[partition] = restore.pieces()
            # The operator's choice of a start is committed like any other progress.
            self._uncommitted = self._uncommitted or bool(start.fresh)
            self._tell_if_ready()
            log.info(
                "assigned: partitions=%s restoring=%s topics=%d",
                sorted(self.owned), sorted(self.restoring), len({topic for topic, _ in start.offsets}),
            )  # fmt: skip
            return [place for place in start.offsets if place[1] in self.restoring]

    def _is_untouched(self, partition: int, kept: dict[Place, int] | None, start: Start) -> bool:
        """Whether nobody has committed the partition since we did: then what is in memory is still exact."""
        mine = {place: at for place, at in start.offsets.items() if place[1] == partition}
        return kept == mine and all(start.notes[place] == self._delivery.note for place in mine)

    async def revoked(self, lost: bool) -> None:
        """All partitions go. `range` takes them all at every rebalance; the ones that come back are still in memory."""
        async with self.between_epochs:
            if not lost:
                await self.commit()
            await self._end_commit()
            self._snapshots.interrupt()
            self._outputs, self._output_bytes = [], 0
            is_exact = not (lost or self._is_ahead or self._abandoned or self._uncommitted)
            for partition in self.live:
                if is_exact:
                    self._kept[partition] = {place: at for place, at in self.position.items() if place[1] == partition}
                else:
                    self.engine.drop(partition)
                    self._snapshots.forget(partition)
            for partition in self.restoring:
                self.engine.drop(partition)
            log.info("revoked: partitions=%s lost=%s", sorted(self.owned), lost)
            self.restoring, self._pieces, self.position, self.owned = {}, {}, {}, frozenset()
            self.ready = False
            self._uncommitted = False

    async def restore_some(self) -> None:
        """Restoring, for about a tenth of a second. The caller holds `between_epochs`. Raises Refused, ReadBroken."""
        until = self._monotonic() + RESTORE_PIECE_S
        while self.restoring and self._monotonic() < until:
            partition = min(self.restoring)
            try:
                await anext(self._pieces[partition])
            except StopAsyncIteration:
                self._go_live(partition)

    def _go_live(self, partition: int) -> None:
        restored = self.restoring.pop(partition).result
        del self._pieces[partition]
        assert restored is not None
        manifest = restored.manifest
        self._snapshots.adopt(partition, manifest, is_local=restored.is_local, litter=restored.litter)
        if manifest is None:
            here = {topic: at for (topic, p), at in self.position.items() if p == partition}
            self._put(self._snapshots.began(partition, here))
        if restored.rules_version != self.engine.rules.version:
            self._put(self._rules_row(partition))
        if restored.pause != (self._pause.row() if self._pause else None):
            self._put(self._pause_row(partition))
        self._uncommitted = True
        log.info("live: partition=%d snapshot=%s", partition, manifest.snapshot if manifest else "none")
        self.resume([place for place in self.position if place[1] == partition])
        self._tell_if_ready()

    def _tell_if_ready(self) -> None:
        self.ready = not self.restoring
        if self.ready:
            self.on_ready()

    # -- the end -----------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Nothing more is counted, produced or committed."""
        self._abandoned = True
        if self._under_way is not None:  # nobody will ask how it ended
            self._under_way.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        """Whatever still waits for the broker gives up."""
        self._delivery.close()
        self._collector.restore()
