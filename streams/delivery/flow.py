"""The way of an epoch from the source to the commit behind it.

Everything here runs on the event loop except what waits for the broker or the disk: that runs in the threads of a
`Runner`. `between_epochs` is held while an epoch is counted, while one is committed, and while partitions change hands.

What is counted but not committed is in memory only: outputs gather in the outbox and leave with the commit, in one
transaction with the ledger rows and the offsets. A commit that comes back False was taken away by a rebalance: the
state is ahead of what is committed, so nothing more is counted until the next assignment, where every partition is
restored.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from schemas.topics import LEDGER
from streams.delivery.contract import Delivery
from streams.delivery.heartbeat import heartbeats
from streams.delivery.orders import Orders
from streams.delivery.outbox import Outbox
from streams.delivery.partitions import Partitions
from streams.holds.ledger_keys import breaker_key
from streams.ingest.epoch import OutRecord
from streams.runtime.garbage import Collector
from streams.runtime.metrics import Metrics
from streams.runtime.threads import Runner
from streams.state.snapshots import Snapshots

if TYPE_CHECKING:
    from streams.engine.contract import Awaited
    from streams.ingest.epoch import Epoch, Place
    from streams.kafka.ownership import Start

log = logging.getLogger("grayline.flow")

OUTPUT_BYTES_MAX = 32 * 1024 * 1024  # gathered outputs beyond this are committed at once
HEARTBEAT_INTERVAL_S = 5.0
HURRY_S = 0.05  # a block that waits is committed at once, unless the last commit began less than this ago
SETTLE_S = 4.0


class Flow:
    """One epoch at a time. All times are monotonic seconds of the injected clock."""

    def __init__(
        self,
        outbox: Outbox,
        orders: Orders,
        partitions: Partitions,
        count: Callable[[Epoch], Awaitable[None]],
        delivery: Delivery,
        snapshots: Snapshots,
        metrics: Metrics,
        runner: Runner,
        *,
        worker: str,
        group: str,
        commit_interval_ms: int,
        check: Callable[[], None],
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
    ) -> None:
        """count: decodes one epoch and hands it to `outbox.step` before it returns. check: called before records and
        offsets of a commit go out, in the delivering thread; raises Refused when they must not."""
        self.between_epochs = asyncio.Lock()
        self.partitions = partitions
        self.processed = 0  # records
        self.committed_s = monotonic()  # when something was last committed
        self._outbox = outbox
        self._orders = orders
        self._count = count
        self._delivery = delivery
        self._snapshots = snapshots
        self._metrics = metrics
        self._runner = runner
        self._worker = worker
        self._group = group
        self._commit_interval_s = commit_interval_ms / 1000
        self._check = check
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._commit_at = monotonic() + self._commit_interval_s
        self._heartbeat_at = monotonic()
        self._under_way: asyncio.Future[bool] | None = None  # a commit
        self._began_s = monotonic()
        self._abandoned = False
        self._heard: Counter[str] = Counter()  # records by topic, until somebody takes them
        self._collector = Collector()

    @property
    def _is_void(self) -> bool:
        """True if nothing that is counted now could be committed."""
        return self.partitions.is_ahead or self._abandoned

    # -- counting ----------------------------------------------------------------------------------------------

    async def process(self, epoch: Epoch) -> None:
        """Counts one epoch. The caller holds `between_epochs`. Raises what decoding or `step` raised."""
        if self._is_void:
            return  # read again after the assignment
        foreign = {partition for _, partition in epoch.next_offsets} - self.partitions.live
        if foreign:
            raise RuntimeError(f"records of partitions {sorted(foreign)} arrived, which this worker does not count")
        started = self._monotonic()
        await self._count(epoch)
        self.processed += epoch.count
        self.partitions.counted(epoch.next_offsets)
        for raw in epoch.batches:
            self._heard[raw.topic] += len(raw.values)
        self._outbox.ask_for_a_commit()
        self._metrics.epoch_done(epoch, self._monotonic() - started)
        self._outbox.engine.maintain()
        self._collector.between_batches()

    def expire(self, now_ms: int) -> None:
        """Publishes the holds that ended by wall time."""
        if self.partitions.live and not self._is_void:
            self._outbox.expire(now_ms)

    def take_heard(self) -> Counter[str]:
        """Records by topic since the last call."""
        heard, self._heard = self._heard, Counter()
        return heard

    # -- committing --------------------------------------------------------------------------------------------

    async def commit_if_due(self) -> None:
        """Begins a commit when it is time, or a block waits for it, and goes on counting while it is under way: never
        more than one."""
        now = self._monotonic()
        if now >= self._heartbeat_at:
            self._beat(now)
        if self._under_way is not None and self._under_way.done():
            await self._end_commit()
        if self._outbox.has_blocks and self._under_way is None and now >= self._began_s + HURRY_S:
            self._begin_commit()
        elif now >= self._commit_at or self._outbox.size_bytes > OUTPUT_BYTES_MAX:
            await self._end_commit()
            self._begin_commit()

    async def commit(self) -> None:
        """Commits all that was counted, and waits for it. The caller holds `between_epochs`. Raises DeliveryFailed,
        StateFailed.

        1. The outputs and ledger rows of all epochs since the last commit are taken, with the offsets they reach, and a
           slice of the snapshot that is on its way.
        2. Rules, entries of the registry or a pause that are waiting take effect: what is counted from here on is of
           the next commit.
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
        if self._is_void:
            return
        if self._outbox.is_due or self._snapshots.is_due:
            awaited = self._outbox.take_awaited()
            records = self._outbox.take()  # 1
            records += self._snapshots.next_slice()
            records += [
                OutRecord(LEDGER, breaker_key(self._group), row, partition=partition)
                for partition, row in self._outbox.engine.breaker.changed_rows()
            ]
            offsets = self.partitions.offsets
            self._began_s = self._monotonic()
            work = partial(self._deliver, records, offsets, awaited)
            self._under_way = asyncio.ensure_future(self._runner.deliver(work))
        partitions = self.partitions
        if partitions.all_live:
            self._orders.switch_rules(partitions.live)  # 2
        if partitions.are_settled:
            self._orders.switch_registry(partitions.live)
            if self._orders.switch_pause(partitions.live):
                self._heartbeat_at = self._monotonic()  # whoever paused waits for it
        self._snapshots.take_if_due(partitions.live, partitions.position)  # 3

    async def _end_commit(self) -> None:
        if self._under_way is None:
            return
        under_way, self._under_way = self._under_way, None
        committed = await under_way  # 4
        self._metrics.committed(committed, self._monotonic() - self._began_s)
        if not committed:
            log.warning("commit aborted by a rebalance; its records will be read again")
            self.partitions.run_ahead()
            return
        self.committed_s = self._monotonic()
        write = self._snapshots.committed()
        if write is not None:
            await self._runner.deliver(write)  # 5

    async def settle(self) -> None:
        """Makes the last commits before an orderly end, with a fresh snapshot of every partition as far as the time
        goes: the worker that takes them over then has next to nothing to count again. The caller holds
        `between_epochs`."""
        began_s = self._monotonic()
        await self.commit()
        while not self.partitions.is_ahead and self._monotonic() < began_s + SETTLE_S:
            self._snapshots.take_if_due(self.partitions.live, self.partitions.position, since_s=began_s)
            if not self._snapshots.is_due:
                return
            await self.commit()

    def _deliver(self, records: list[OutRecord], offsets: Mapping[Place, int], awaited: list[Awaited]) -> bool:
        self._check()
        self._delivery.produce(records)
        is_committed = self._delivery.commit(offsets)
        if is_committed:
            self._metrics.visible(awaited, self._wall_ms())
        return is_committed

    def _beat(self, now: float) -> None:
        self._heartbeat_at = now + HEARTBEAT_INTERVAL_S
        partitions = self.partitions
        if not partitions.live or self._is_void:
            return  # a transaction without offsets would not be fenced
        restoring = frozenset(partitions.restoring)
        for record in heartbeats(self._worker, self._outbox.engine, partitions.position, partitions.owned, restoring):
            self._outbox.put(record)

    # -- partitions --------------------------------------------------------------------------------------------

    async def assigned(self, start: Start) -> list[Place]:
        """Takes assigned partitions over. Returns the places that must wait, since their state is to be restored."""
        async with self.between_epochs:
            return self.partitions.assigned(start)

    async def revoked(self, lost: bool) -> None:
        """Gives all partitions up. `range` takes them all at every rebalance; those that come back are still in
        memory."""
        async with self.between_epochs:
            if not lost:
                await self.commit()
            await self._end_commit()
            owned = sorted(self.partitions.owned)
            self.partitions.revoked(is_exact=not (lost or self._is_void or self._outbox.is_due))
            self._outbox.take_awaited()
            self._outbox.take()
            log.info("revoked: partitions=%s lost=%s", owned, lost)

    # -- the end -----------------------------------------------------------------------------------------------

    def abandon(self) -> None:
        """Stops the flow: nothing more is counted, produced or committed."""
        self._abandoned = True
        if self._under_way is not None:  # nobody will ask how it ended
            self._under_way.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        """Makes all that still waits for the broker give up."""
        self._delivery.close()
        self._collector.restore()
