"""Reads the input topics: one poll is one epoch, fetched by one thread ahead of the one that is being counted.

`Fetcher` lives in that thread and is the only one to call `consume`; `KafkaSource` is the Faust service that hands its
epochs to the flow one at a time. At most two epochs are in memory: one being counted, one fetched ahead.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from mode import Service

from streams.epoch import RawBatch
from streams.kafka.ownership import Refused, owned_partitions, start_offsets
from streams.settings import WorkerSettings

if TYPE_CHECKING:
    from streams.agents.flow import Flow

log = logging.getLogger("grayline.source")

Place = tuple[str, int]  # (topic, partition)

REPEATED_ERROR_QUIET_S = 30.0


class ReadFailed(Exception):
    """The broker refuses this consumer for good; nothing that waits would help."""

    exit_code = 1


@dataclass(slots=True)
class Epoch:
    """One poll's records, in the order they arrived, split by topic."""

    batches: list[RawBatch]
    count: int
    next_offsets: dict[Place, int]


class Owner(Protocol):
    """What the fetching thread tells the rest. Called in that thread; each call returns when its work is done."""

    def assigned(self, start: Mapping[Place, int], fresh: set[Place]) -> None: ...

    def revoked(self, partitions: frozenset[int], lost: bool) -> None:
        """Finish the epoch in hand and commit; the partitions are another worker's afterwards."""
        ...

    def trouble(self, code: str) -> None: ...


class Fetcher:
    """The consumer and its rebalance callbacks, all in one thread. topics: all subscribed ones, with equal partition
    counts."""

    def __init__(self, settings: WorkerSettings, topics: tuple[str, ...]) -> None:
        self._settings = settings
        self._topics = topics
        self._owner: Owner
        self._code_of = {topic: code for code, topic in enumerate(topics)}
        self._position: dict[Place, int] = {}
        self._rebalanced = False
        self._failed: Exception | None = None
        self._quiet_until: dict[int, float] = {}
        config = settings.consumer_config() | {
            "error_cb": self._on_error,
            "logger": logging.getLogger("grayline.kafka"),
        }
        self.consumer: Any = Consumer(config)

    def subscribe(self, owner: Owner) -> None:
        """Join the group. `owner` hears of every change of partitions, in the fetching thread."""
        self._owner = owner
        self.consumer.subscribe(
            list(self._topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def fetch(self) -> Epoch | None:
        """The next epoch, or None when nothing came in time. Raises Refused, ReadFailed, KafkaException."""
        messages = self.consumer.consume(self._settings.batch_size, self._settings.poll_timeout_ms / 1000)
        if self._failed is not None:
            raise self._failed
        rebalanced, self._rebalanced = self._rebalanced, False
        if any(map(Message.error, messages)):
            messages = self._without_errors(messages)
        if rebalanced:
            messages = still_owned(messages, self._position)
        if not messages:
            return None
        epoch = epoch_of(messages, self._topics, self._code_of)
        self._position.update(epoch.next_offsets)
        return epoch

    def close(self) -> None:
        """Leave the group; its last revoke drains like any other."""
        self.consumer.close()

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._rebalanced = True
        try:
            assigned = {topic: [p.partition for p in partitions if p.topic == topic] for topic in self._topics}
            owned_partitions(assigned)
            start, fresh, alarms = start_offsets(consumer, partitions, self._settings.start_from, self._settings.group)
        except Exception as problem:  # an exception would be lost inside librdkafka's callback: `fetch` raises it
            self._failed = problem
            consumer.assign([])
            return
        for alarm in alarms:
            log.error("gap: %s", alarm)
            self._owner.trouble("gap")
        self._position = dict(start)
        consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in start.items()])
        self._owner.assigned(start, fresh)

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, lost=False)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, lost=True)

    def _give_up(self, partitions: list[TopicPartition], lost: bool) -> None:
        self._rebalanced = True
        for gone in partitions:
            self._position.pop((gone.topic, gone.partition), None)
        try:
            self._owner.revoked(frozenset(p.partition for p in partitions), lost)
        except Exception as problem:  # as in `_on_assign`; without a commit, the next owner reads the records again
            log.error("partitions given up without a commit: %s", problem or type(problem).__name__)
            self._failed = self._failed or problem

    def _without_errors(self, messages: list[Message]) -> list[Message]:
        for message in messages:
            error = message.error()
            if error is not None:
                self._on_error(error, message)
        if self._failed is not None:
            raise self._failed
        return [message for message in messages if message.error() is None]

    def _on_error(self, error: KafkaError, message: Message | None = None) -> None:
        """End of a partition is news to nobody; what heals by itself is logged, now and then; the rest stops us."""
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            return
        if code in _LOST_OFFSET and message is not None:
            self._failed = Refused(
                f"the next records of partition {message.partition()} of {message.topic()!r} are no longer at the "
                f"broker ({error.str()}); start again with --from earliest, latest or TIME to go on behind the gap"
            )
        elif error.fatal() or code in _HOPELESS:
            self._failed = ReadFailed(f"the broker refuses to be read: {error.str()}")
        else:
            self._owner.trouble(error.name())
            now = time.monotonic()
            if now >= self._quiet_until.get(code, 0.0):
                self._quiet_until[code] = now + REPEATED_ERROR_QUIET_S
                log.warning("broker trouble, going on: code=%s %s", error.name(), error.str())


_LOST_OFFSET = frozenset((KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE))
_HOPELESS = frozenset(
    (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._FATAL,
    )
)


def still_owned(messages: list[Message], position: Mapping[Place, int]) -> list[Message]:
    """Of a poll during which partitions changed hands: records of owned partitions, each offset once. What was gathered
    before the change comes again after it, from the committed offset on. position: the next offset of each owned
    partition, as the last assignment and the polls since left it."""
    expected = dict(position)
    kept = []
    for message in messages:
        place = (message.topic(), message.partition())
        if place in expected and message.offset() >= expected[place]:
            kept.append(message)
            expected[place] = message.offset() + 1
    return kept


def epoch_of(messages: list[Message], topics: tuple[str, ...], code_of: Mapping[str, int]) -> Epoch:
    """Columns of n messages without errors. Each accessor runs over the whole poll at once: one Python loop that asked
    a message for everything would cost more than all of this together."""
    n = len(messages)
    values = list(map(Message.value, messages))
    partition = np.fromiter(map(Message.partition, messages), np.int32, n)
    offset = np.fromiter(map(Message.offset, messages), np.int64, n)
    timestamp = np.fromiter([message.timestamp()[1] for message in messages], np.int64, n)
    if len(topics) == 1:
        raw = RawBatch(topics[0], np.arange(n), partition, offset, timestamp, values)
        return Epoch([raw], n, _next_offsets([raw]))
    code = np.frombuffer(bytes(map(code_of.__getitem__, map(Message.topic, messages))), np.uint8)
    batches = []
    for number in np.flatnonzero(np.bincount(code)).tolist():
        here = code == number
        ours = list(compress(values, here.tolist()))
        order = np.flatnonzero(here)
        batches.append(RawBatch(topics[number], order, partition[here], offset[here], timestamp[here], ours))
    return Epoch(batches, n, _next_offsets(batches))


def _next_offsets(batches: list[RawBatch]) -> dict[Place, int]:
    ends: dict[Place, int] = {}
    for batch in batches:
        last = np.full(int(batch.partition.max()) + 1, -1, np.int64)
        last[batch.partition] = batch.offset  # of equal indices numpy keeps the last, and offsets ascend
        for partition in np.flatnonzero(last >= 0).tolist():
            ends[batch.topic, partition] = int(last[partition]) + 1
    return ends


class KafkaSource(Service):
    """Hands the fetcher's epochs to the flow, one at a time, and commits between them.

    `finished(problem)` is called once, when reading has ended: with None after `drain` or `stop_after`, else with what
    went wrong. The service itself never crashes, so that the worker can end in order."""

    def __init__(
        self, settings: WorkerSettings, fetcher: Fetcher, flow: Flow, finished: Callable[[BaseException | None], None]
    ) -> None:
        super().__init__()
        self._settings = settings
        self._fetcher = fetcher
        self._flow = flow
        self._finished = finished
        self._draining = False
        self._ended = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")

    async def drain(self) -> None:
        """Stop polling, finish the epoch in hand, commit, leave the group. Returns when that is done."""
        self._draining = True
        await self._ended.wait()

    def lag(self) -> dict[Place, int]:
        """Records behind the end of each owned partition, from what the last fetches told; no call to the broker."""
        behind = {}
        for (topic, partition), position in self._flow.position.items():
            try:
                _, high = self._fetcher.consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            except (KafkaException, RuntimeError):  # given up or closed meanwhile
                continue
            if high >= 0:
                behind[topic, partition] = max(0, high - position)
        return behind

    @Service.task
    async def _read(self) -> None:
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
        self._fetcher.subscribe(self._flow.owner(asyncio.get_running_loop()))
        stop_after = self._settings.stop_after
        ahead = self._submit()
        while not self._draining:
            epoch = await ahead
            async with self._flow.between_epochs:
                # Asked for before this epoch is counted, so that the broker's answer and the kernels overlap. A revoke
                # inside that poll waits for the lock, and so for this epoch.
                ahead = self._submit()
                if epoch is not None:
                    await self._flow.process(epoch)
                await self._flow.commit_if_due()
            if stop_after and self._flow.processed >= stop_after:
                break
        await ahead  # fetched and never counted: its offsets are not committed, the next owner reads it

    def _submit(self) -> asyncio.Future[Epoch | None]:
        return asyncio.get_running_loop().run_in_executor(self._thread, self._fetcher.fetch)

    async def _commit_the_rest(self) -> None:
        async with self._flow.between_epochs:
            await self._flow.commit()

    async def _leave(self) -> None:
        """Leave the group; its last revoke finds nothing left to commit."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._fetcher.close)
        finally:
            self._thread.shutdown(wait=False)
