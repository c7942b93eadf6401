"""Brings one partition back to the state at its committed offsets, in bounded pieces between epochs.

    1  the committed offsets are read first, stable (streams.kafka.ownership, at the assignment)
    2  then the end of the ledger, open transactions included
    3  the ledger is read, committed records only, until past that end: holds, and the newest manifest
    4  the newest snapshot that is not ahead of the committed offsets, the local one or the topic's, is loaded
    5  the inputs from the snapshot's offsets up to the committed ones are counted silently, re-keyed ones included
    6  the holds are loaded

The order of 1 and 2 matters: a transaction that was open at 1 commits its offsets and its ledger rows together, so a
ledger read to an end that was asked for later cannot be behind the offsets. Nothing is written."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import KafkaException

from schemas.topics import DERIVED, LEDGER, SNAPSHOTS
from streams.counting.chunk import NewerImage
from streams.counting.image import ImageError
from streams.engine.contract import LiveEngine
from streams.holds.breaker import BreakerRowError
from streams.holds.ledger_keys import (
    INTERNAL_KEY,
    RULES_KEY,
    SANCTION_KEY,
    breaker_key,
    manifest_key,
    pause_key,
    registry_key,
    rules_key,
)
from streams.holds.ledger_rows import LedgerRowError
from streams.ingest.decode import Decoded
from streams.ingest.epoch import RawBatch
from streams.kafka.errors import Meaning, meaning_of, passes
from streams.kafka.ownership import Refused, is_another, made_anew
from streams.kafka.polls import batch_of
from streams.kafka.reader import Reader, RecordsGone, Span
from streams.runtime.threads import Runner
from streams.state.local import LocalState, StateDamaged
from streams.state.manifest import Manifest, ManifestError, NewerManifest
from streams.state.manifest import decode as manifest_of

log = logging.getLogger("grayline.restore")

ENDS_ASKED_MAX = 12  # times five seconds, and what it takes to look for another client


@dataclass(frozen=True)
class Restored:
    manifest: Manifest | None  # what the next snapshot builds on
    is_local: bool  # the local store has the manifest's chunks
    rules_version: str | None  # under which the partition was last worked, as its ledger says
    pause: bytes | None  # the operator's pause or resumption under which it was last worked, likewise
    registry_version: str | None  # likewise
    litter: tuple[str, ...]  # keys of published chunks that no manifest names: snapshots that were never finished


class Restore:
    """`done` and `total` count what has been read and is to be read: bytes of chunks and records alike."""

    def __init__(
        self,
        engine: LiveEngine,
        reader: Reader,
        decode: Callable[[RawBatch], list[Decoded]],
        runner: Runner,
        local: LocalState | None,
        *,
        group: str,
        partition: int,
        committed: Mapping[str, int],
        fresh: frozenset[str],
        topic_ids: Mapping[str, str],
        may_skip: bool,
        trouble: Callable[[str], None],
    ) -> None:
        """decode: by the engine's decoders. committed: next offset by topic; fresh: topics without a commit. topic_ids:
        of the topics, where the broker tells them. may_skip: the operator said where to go on behind a gap."""
        self.partition = partition
        self.committed = dict(committed)
        self.done, self.total = 0, 1
        self.result: Restored | None = None
        self._engine = engine
        self._reader = reader
        self._decode = decode
        self._runner = runner
        self._local = local
        self._group = group
        self._fresh = fresh
        self._topic_ids = topic_ids
        self._may_skip = may_skip
        self._trouble = trouble
        self._litter: dict[str, None] = {}
        self._ends = 0, 0  # first offset and end, of the topic that was asked for last

    async def pieces(self) -> AsyncIterator[None]:
        """Works through the restore and yields after each bounded piece; `result` is set at the end. Raises Refused,
        ReadBroken, KafkaException."""
        p = self.partition
        rows: dict[bytes, bytes | None] = {}
        async for _ in self._ask_ends(LEDGER):  # 2
            yield
        low, end = self._ends
        self.total = max(1, end - low)
        span = self._reader.span(LEDGER, p, low, end)
        while not span.done:  # 3
            for message in await self._runner.restore(span.read):
                # Of a number's rows the last holds; a later one of another number must not move before it.
                rows.pop(message.key(), None)
                rows[message.key()] = message.value()
            self.done = span.position - low
            yield
        manifest, is_local = self._newest(rows.get(manifest_key(self._group)))
        loaded = False
        while manifest is not None and not loaded:  # 4
            self._engine.drop(p)
            try:
                async for _ in self._load(manifest, is_local):
                    yield
                loaded = True
            except NewerImage as problem:
                raise Refused(f"partition {p}: {problem}") from problem
            except (StateDamaged, ImageError) as problem:
                log.error("snapshot of partition %d is not used: %s", p, problem)
                self._trouble("snapshot_damaged")
                if is_local:
                    await self._drop_local()
                    manifest, is_local = self._newest(rows.get(manifest_key(self._group)))
                else:
                    manifest = None
        if not loaded:
            self._engine.drop(p)
        if not is_local:
            await self._drop_local()
        self._begin(manifest)
        if manifest is not None:
            async for _ in self._replay(manifest):  # 5
                yield
        version, registry = (rows.get(key(self._group)) for key in (rules_key, registry_key))
        self._warn_of_other_groups(rows)
        try:
            self._engine.load_ledger([(k, v) for k, v in rows.items() if _is_of_the_engine(k)])  # 6
        except LedgerRowError as problem:
            raise Refused(f"partition {p}: {problem}") from problem
        self._load_breaker(rows.get(breaker_key(self._group)))
        self.result = Restored(
            manifest,
            is_local,
            None if version is None else version.decode(errors="replace"),
            rows.get(pause_key(self._group)),
            None if registry is None else registry.decode(errors="replace"),
            tuple(self._litter),
        )

    async def _ask_ends(self, topic: str) -> AsyncIterator[None]:
        """Finds the first offset and the end of the partition in a topic, and yields between two questions: a cluster
        that has lost a broker finds other leaders within a minute or so. Raises KafkaException."""
        for left in range(ENDS_ASKED_MAX - 1, -1, -1):
            try:
                self._ends = await self._runner.restore(partial(self._reader.ends, topic, self.partition))
                return
            except KafkaException as problem:
                error = problem.args[0]
                if not left or not (passes(error) or meaning_of(error) is Meaning.NO_TOPIC):
                    raise
                log.warning("partition %d waits for the broker: %s of %s", self.partition, error.str(), topic)
            yield

    def _warn_of_other_groups(self, rows: Iterable[bytes]) -> None:
        """Warns of other groups in the ledger. Holds are kept by number, for any worker of the partition: two groups at
        once would end each other's."""
        ours = rules_key(self._group)
        keys = [key for key in rows if key.startswith(RULES_KEY) and key != ours]
        others = {key.partition(b"/")[2].decode(errors="replace") for key in keys}
        if others:
            log.warning(
                "the ledger of partition %d was also written by %s: their holds are taken over; two groups must not "
                "work the same topics at once", self.partition, ", ".join(f"group {name!r}" for name in sorted(others)),
            )  # fmt: skip

    def _load_breaker(self, row: bytes | None) -> None:
        """Loads the breaker's row. One that cannot be read is no reason to stop: the breaker counts from here on."""
        try:
            self._engine.breaker.load(self.partition, row)
        except BreakerRowError as problem:
            log.error("%s: it begins anew", problem)
            self._trouble("breaker_damaged")

    async def _drop_local(self) -> None:
        """Drops a local snapshot that is damaged or older than the published one."""
        local = self._local
        if local is not None:
            await self._runner.restore(lambda: local.drop(self.partition))

    # -- which snapshot ----------------------------------------------------------------------------------------

    def _newest(self, from_topic: bytes | None) -> tuple[Manifest | None, bool]:
        """Returns the newest usable manifest, and True if its chunks are local."""
        local = self._local.manifest(self.partition) if self._local is not None else None
        candidates = [] if local is None else [(local, True)]
        if from_topic is not None:
            try:
                candidates.append((manifest_of(from_topic), False))
            except NewerManifest as problem:
                raise Refused(f"partition {self.partition}: {problem}") from problem
            except ManifestError as problem:
                log.error("the published snapshot of partition %d is not used: %s", self.partition, problem)
                self._trouble("snapshot_damaged")
        usable = [(manifest, is_local) for manifest, is_local in candidates if self._is_usable(manifest, is_local)]
        # The local one wins a tie: nothing has to be fetched.
        return max(usable, key=lambda c: (sum(c[0].offsets.values()), c[1]), default=(None, False))

    def _is_usable(self, manifest: Manifest, is_local: bool) -> bool:
        where = "local" if is_local else "published"
        if manifest.partitions != self._engine.partitions:
            log.error(
                "the %s snapshot of partition %d was taken with %d partitions, not %d: it is not used",
                where, self.partition, manifest.partitions, self._engine.partitions,
            )  # fmt: skip
            return False
        anew = self._made_anew(manifest)
        ahead = [t for t, at in manifest.offsets.items() if t not in anew and at > self.committed.get(t, at)]
        if ahead:
            log.warning("the %s snapshot of partition %d is ahead of the commits: not used", where, self.partition)
        return not ahead

    def _made_anew(self, manifest: Manifest) -> set[str]:
        """Topics that are others than those which the snapshot was taken with. Raises Refused for one whose offsets it
        holds, unless the operator has said where to go on."""
        ids = self._topic_ids
        anew = {topic for topic, noted in manifest.topic_ids.items() if is_another(noted, ids.get(topic))}
        for topic in sorted(anew & manifest.offsets.keys()):
            if not self._may_skip:
                raise Refused(made_anew(topic))
        return anew

    def _begin(self, manifest: Manifest | None) -> None:
        """Places that no snapshot covers start to count where the partition's first commit says, or else at their
        committed offset."""
        began = {} if manifest is None else manifest.offsets
        starts = [began.get(topic, self.committed[topic]) for topic in self._engine.topics if topic in self.committed]
        for topic in (*self._engine.topics, DERIVED):
            if topic not in self.committed:  # no rule counts it, and it is nobody's at the moment
                continue
            if topic in began and manifest is not None and manifest.chunks:
                continue
            first = began.get(topic, self.committed[topic]) == 0
            if topic == DERIVED:  # it holds what was derived of the inputs that were read since
                first = not any(starts) and (manifest is None or topic in began)
            self._engine.begin(self.partition, topic, complete=first)
            if topic not in self._fresh and topic not in began and not first:
                log.warning("partition %d of %s has no snapshot: its counters start empty", self.partition, topic)
                self._trouble("snapshot_missing")

    # -- loading -----------------------------------------------------------------------------------------------

    async def _load(self, manifest: Manifest, is_local: bool) -> AsyncIterator[None]:
        self.done, self.total = 0, max(1, manifest.chunk_bytes)
        if is_local:
            assert self._local is not None
            chunks = self._local.chunks(manifest)
            while (chunk := await self._runner.restore(lambda: next(chunks, None))) is not None:
                self._take(chunk)
                yield
            return
        async for _ in self._load_from_topic(manifest):
            yield

    async def _load_from_topic(self, manifest: Manifest) -> AsyncIterator[None]:
        """Chunks lie in the topic in the manifest's order, among others that no manifest names any more."""
        wanted = {chunk.key.encode(): chunk for chunk in manifest.chunks}
        async for _ in self._ask_ends(SNAPSHOTS):
            yield
        low, end = self._ends
        span = self._reader.span(SNAPSHOTS, self.partition, low, end)
        while not span.done:  # to its end: behind the last chunk may lie those of a snapshot that was never finished
            for message in await self._runner.restore(span.read):
                chunk = wanted.get(message.key())
                if chunk is None:
                    self._note_litter(message.key(), message.value())
                    continue
                if message.value() is None:
                    continue
                if fault := chunk.fault(message.value()):
                    raise StateDamaged(f"topic {SNAPSHOTS!r}: {fault}")
                self._take(message.value())
                del wanted[message.key()]
            yield
        if wanted:
            raise StateDamaged(f"{len(wanted)} of {len(manifest.chunks)} chunks are no longer in topic {SNAPSHOTS!r}")

    def _note_litter(self, key: bytes, value: bytes | None) -> None:
        try:
            name = key.decode()
        except UnicodeDecodeError:
            return  # no chunk has such a name
        self._litter.pop(name, None)
        if value is not None:
            self._litter[name] = None

    def _take(self, chunk: bytes) -> None:
        self._engine.load(self.partition, chunk)
        self.done += len(chunk)

    # -- silent replay -----------------------------------------------------------------------------------------

    async def _replay(self, manifest: Manifest) -> AsyncIterator[None]:
        spans = []
        anew = self._made_anew(manifest)
        for topic in sorted(anew):
            log.error("partition %d: %s", self.partition, made_anew(topic))
            self._trouble("topic_anew")
        for topic, start in manifest.offsets.items():
            if topic in anew:  # its records behind the snapshot's offset are gone, and nobody can count them any more
                continue
            end = self.committed.get(topic, start)
            if start >= end:
                continue
            async for _ in self._ask_ends(topic):
                yield
            low, _ = self._ends
            if low > start:
                start = self._behind_gap(topic, start, low)
            spans.append((topic, start, end))
        self.done, self.total = 0, max(1, sum(end - start for _, start, end in spans))
        for topic, start, end in spans:
            span = self._reader.span(topic, self.partition, start, end)
            before = self.done
            while not span.done:
                try:
                    messages = await self._runner.restore(span.read)
                except RecordsGone:
                    async for _ in self._ask_ends(topic):
                        yield
                    low, _ = self._ends
                    span = self._reader.span(topic, self.partition, self._behind_gap(topic, span.position, low), end)
                    continue
                if messages:
                    self._count(span, messages)
                self.done = before + span.position - start
                yield

    def _behind_gap(self, topic: str, start: int, low: int) -> int:
        what = (
            f"partition {self.partition} of {topic!r} begins at offset {low}, but the newest snapshot needs the "
            f"records from {start} on: {low - start} records are gone, and counts would be too low"
        )
        if not self._may_skip:
            raise Refused(
                f"{what}. Give the topic a longer retention than the age of a snapshot; to go on with counts that lack "
                "these records, start once with --from earliest"
            )
        log.error("gap: %s; going on, since --from is set", what)
        self._trouble("gap")
        return low

    def _count(self, span: Span, messages: list[Any]) -> None:
        raw = batch_of(messages, span.topic, self._reader.message_type)
        self._engine.count(self._decode(raw))


def _is_of_the_engine(key: bytes) -> bool:
    """True for rows of holds and of recommendations."""
    return key.startswith(SANCTION_KEY) or not key.startswith(INTERNAL_KEY)
