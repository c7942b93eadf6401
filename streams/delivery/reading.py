"""Reading: hands fetched epochs to the flow, one at a time, and commits between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from mode import Service

from streams.kafka.fetcher import Fetcher, Owner, log
from streams.runtime.settings import WorkerSettings

if TYPE_CHECKING:
    from streams.delivery.flow import Flow
    from streams.ingest.epoch import Epoch
    from streams.runtime.threads import Runner


class KafkaSource(Service):
    """Hands the fetcher's epochs to the flow, one at a time, and commits between them.

    `prepare(epoch)` decodes what was fetched, in the fetching thread. `finished(problem)` is called once, when reading
    has ended: with None after `drain` or `stop_after`, else with what went wrong. The service itself never crashes, so
    that the worker can end in order."""

    def __init__(
        self,
        settings: WorkerSettings,
        fetcher: Fetcher,
        flow: Flow,
        runner: Runner,
        owner: Owner,
        prepare: Callable[[Epoch], None],
        finished: Callable[[BaseException | None], None],
    ) -> None:
        super().__init__()
        self._settings = settings
        self._fetcher = fetcher
        self._flow = flow
        self._runner = runner
        self._owner = owner
        self._prepare = prepare
        self._finished = finished
        self._draining = False
        self._ended = asyncio.Event()

    async def drain(self) -> None:
        """Stops polling, finishes the epoch in hand, commits and leaves the group, whose rebalances give it nothing any
        more. Returns when that is done."""
        self._draining = True
        self._fetcher.decline()
        await self._ended.wait()

    @Service.task
    async def _read(self) -> None:
        await self.read()

    async def read(self) -> None:
        """Reads until drained or `stop_after`; then commits and leaves. Calls `finished`, never raises."""
        problem: BaseException | None = None
        for part in (self._read_until_drained, self._commit_the_rest, self._leave):
            try:
                if problem is None or part == self._leave:
                    await part()
            except Exception as trouble:
                if not isinstance(trouble, KafkaException) and not hasattr(trouble, "exit_code"):
                    log.exception("reading ended unexpectedly")
                # After trouble nothing more is committed: what the last commit covers is all that is certain.
                self._flow.abandon()
                problem = problem or trouble
        self._ended.set()
        self._finished(problem)

    async def _read_until_drained(self) -> None:
        self._fetcher.subscribe(self._owner)
        stop_after = self._settings.stop_after
        ahead = self._runner.fetch(self._fetch)
        while not self._draining:
            epoch = await ahead
            async with self._flow.between_epochs:
                # Asked for before this epoch is counted, so that the next is fetched and decoded beside it. A revoke
                # inside that poll waits for the lock, and so for this epoch.
                ahead = self._runner.fetch(self._fetch)
                if epoch is not None:
                    await self._flow.process(epoch)
                await self._flow.partitions.restore_some()
                await self._flow.commit_if_due()
            if stop_after and self._flow.processed >= stop_after:
                break
        await ahead  # fetched and never counted: its offsets are not committed, the next owner reads it

    def _fetch(self) -> Epoch | None:
        """In the fetching thread: the next epoch, decoded. What a rebalance inside the poll took away is not in it."""
        epoch = self._fetcher.fetch()
        if epoch is not None:
            self._prepare(epoch)
        return epoch

    async def _commit_the_rest(self) -> None:
        async with self._flow.between_epochs:
            await self._flow.settle()

    async def _leave(self) -> None:
        """Leaves the group; its last revoke finds nothing left to commit."""
        await self._runner.fetch(self._fetcher.close)
