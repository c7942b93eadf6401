"""The life of a worker's partitions: assigned, restored in pieces, live, revoked; kept in memory meanwhile if exact."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING

from streams.delivery.orders import Orders
from streams.delivery.outbox import Outbox
from streams.kafka.notes import is_of
from streams.state.restore import Restore
from streams.state.snapshots import Snapshots

if TYPE_CHECKING:
    from streams.ingest.epoch import Place
    from streams.kafka.ownership import Start

log = logging.getLogger("grayline.flow")

RESTORE_PIECE_S = 0.1  # of restoring between two epochs


class Partitions:
    """The owned partitions, and the position of each. Called by the flow alone, between two epochs."""

    def __init__(
        self,
        outbox: Outbox,
        orders: Orders,
        snapshots: Snapshots,
        restore: Callable[..., Restore],
        *,
        note: Callable[[], str],
        resume: Callable[[list[Place]], None],
        ready: Callable[[], None],
        monotonic: Callable[[], float],
    ) -> None:
        """restore: makes a Restore of an engine from `partition`, `committed` and `fresh`. note: what our last commit
        left beside its offsets. resume: called with the places of a partition that goes live. ready: called whenever
        all state is back."""
        self.owned: frozenset[int] = frozenset()  # partition numbers, the same of every topic
        self.position: dict[Place, int] = {}  # of every owned place: the next offset to count
        self.restoring: dict[int, Restore] = {}
        self.ready = False  # partitions were assigned, were it none, and all their state is back
        self.is_ahead = False  # memory is ahead of what is committed, and the rebalance that did it is not over
        self._outbox = outbox
        self._orders = orders
        self._snapshots = snapshots
        self._restore = restore
        self._note = note
        self._resume = resume
        self._tell_ready = ready
        self._monotonic = monotonic
        self._pieces: dict[int, AsyncIterator[None]] = {}
        self._kept: dict[int, dict[Place, int]] = {}  # partitions in memory as of these offsets, committed by us

    @property
    def live(self) -> frozenset[int]:
        """Partitions that are counted and committed."""
        return self.owned - self.restoring.keys()

    @property
    def are_settled(self) -> bool:
        """True if no partition is kept between two assignments: it would miss the row of a change."""
        return not self._kept

    @property
    def all_live(self) -> bool:
        """True if they are settled, and none is being restored."""
        return not self.restoring and self.are_settled

    @property
    def offsets(self) -> dict[Place, int]:
        """The offsets that a commit commits: the next one to count of every live place."""
        live = self.live
        return {place: at for place, at in self.position.items() if place[1] in live}

    def counted(self, next_offsets: Mapping[Place, int]) -> None:
        self.position.update(next_offsets)

    def run_ahead(self) -> None:
        """Notes that a rebalance took a commit away: nothing is counted until the next assignment restores all."""
        self.is_ahead = True
        self._snapshots.interrupt()

    def assigned(self, start: Start) -> list[Place]:
        """Takes assigned partitions over. Returns the places that must wait for `resume`, since their state is to be
        restored."""
        self.position = dict(start.offsets)
        self.owned = frozenset(partition for _, partition in start.offsets)
        kept, self._kept = self._kept, {}
        still = {p for p in self.owned if not self.is_ahead and self._is_untouched(p, kept.get(p), start)}
        for partition in kept.keys() - still:
            self._forget(partition)
        self.is_ahead = False
        for partition in sorted(self.owned - still):
            committed = {topic: at for (topic, p), at in start.offsets.items() if p == partition}
            fresh = frozenset(topic for topic, p in start.fresh if p == partition)
            restore = self._restore(engine=self._outbox.engine, partition=partition, committed=committed, fresh=fresh)
            self.restoring[partition] = restore
            self._pieces[partition] = restore.pieces()
        if start.fresh:  # the operator's choice of a start is committed like any other progress
            self._outbox.ask_for_a_commit()
        self._tell_if_ready()
        log.info(
            "assigned: partitions=%s restoring=%s topics=%d",
            sorted(self.owned), sorted(self.restoring), len({topic for topic, _ in start.offsets}),
        )  # fmt: skip
        return [place for place in start.offsets if place[1] in self.restoring]

    def _is_untouched(self, partition: int, kept: dict[Place, int] | None, start: Start) -> bool:
        """True if nobody has committed the partition since this worker did: its state in memory is then still exact."""
        mine = {place: at for place, at in start.offsets.items() if place[1] == partition}
        return kept == mine and all(is_of(start.notes[place], self._note()) for place in mine)

    def revoked(self, is_exact: bool) -> None:
        """Gives all partitions up. is_exact: memory is as of this worker's commits, and is kept for the next
        assignment."""
        self._snapshots.interrupt()
        for partition in self.live:
            if is_exact:
                self._kept[partition] = {place: at for place, at in self.position.items() if place[1] == partition}
            else:
                self._forget(partition)
        for partition in self.restoring:
            self._outbox.engine.drop(partition)
        self.restoring, self._pieces, self.position, self.owned = {}, {}, {}, frozenset()
        self.ready = False

    def _forget(self, partition: int) -> None:
        self._outbox.engine.drop(partition)
        self._snapshots.forget(partition)

    async def restore_some(self) -> None:
        """Restores for about a tenth of a second. Raises Refused, ReadBroken."""
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
            self._outbox.put(self._snapshots.began(partition, here))
        self._orders.tell(partition, restored.rules_version, restored.pause, restored.registry_version)
        self._outbox.ask_for_a_commit()
        log.info("live: partition=%d snapshot=%s", partition, manifest.snapshot if manifest else "none")
        self._resume([place for place in self.position if place[1] == partition])
        self._tell_if_ready()

    def _tell_if_ready(self) -> None:
        self.ready = not self.restoring
        if self.ready:
            self._tell_ready()
