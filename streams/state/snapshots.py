"""Snapshots: chooses the partition whose state is written next, and brings it into the topic and the local store.

A snapshot is taken right behind a commit, so that it is never ahead of the committed offsets. Its chunks go with the
transactions that follow, bounded each, the manifest with the last of them: like every transaction it commits offsets
under the group's generation, so a worker that has been replaced cannot publish one. Only when that transaction is
committed the same chunks and manifest go to the local store, in one write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from schemas.topics import LEDGER, SNAPSHOTS
from streams.engine.contract import LiveEngine
from streams.holds.ledger_keys import manifest_key
from streams.ingest.epoch import OutRecord
from streams.state.local import LocalState
from streams.state.manifest import Chunk, Manifest, chunk_key

log = logging.getLogger("grayline.snapshots")

NEVER_S = float("-inf")
SLICE_BYTES_MAX = 8 * 1024 * 1024  # of chunks in one transaction


@dataclass
class _PartitionState:
    manifest: Manifest | None = None  # the last one published
    whole: bool = True  # the next image cannot build on it
    taken_at_s: float = NEVER_S  # monotonic
    stands_ms: int = 0  # wall time at which the last one was as good as a new one
    litter: tuple[str, ...] = ()  # published chunks of snapshots that were never finished


@dataclass
class _Pending:
    """A snapshot on its way out."""

    partition: int
    manifest: Manifest
    chunks: list[tuple[str, bytes]]
    gone: list[str]
    is_whole: bool
    sent: int = 0
    in_flight: int = 0
    is_last: bool = False


class Snapshots:
    def __init__(
        self,
        engine: Callable[[], LiveEngine],
        local: LocalState | None,
        *,
        group: str,
        interval_ms: int,
        monotonic: Callable[[], float],
        wall_ms: Callable[[], int],
        new_id: Callable[[], str],
        topic_ids: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._local = local
        self._group = group
        self._interval_s = interval_ms / 1000
        self._monotonic = monotonic
        self._wall_ms = wall_ms
        self._new_id = new_id
        self._topic_ids = topic_ids
        self._partitions: dict[int, _PartitionState] = {}
        self._pending: _Pending | None = None

    def adopt(self, partition: int, manifest: Manifest | None, *, is_local: bool, litter: tuple[str, ...] = ()) -> None:
        """Takes on a partition that is live. manifest: the snapshot from which its state was restored; the next one
        builds on it."""
        has_image = manifest is not None and bool(manifest.chunks)
        whole = not has_image or (self._local is not None and not is_local)
        self._partitions[partition] = _PartitionState(
            manifest, whole, self._monotonic() if has_image else NEVER_S, litter=litter
        )

    def began(self, partition: int, offsets: Mapping[str, int]) -> OutRecord:
        """Says in the first commit of a partition from where on it is counted, as a snapshot of nothing: until there is
        a snapshot of something, a restore counts from there. offsets: by topic."""
        engine = self._engine()
        manifest = Manifest(
            snapshot=self._new_id(),
            partition=partition,
            partitions=engine.partitions,
            offsets=dict(offsets),
            chunks=[],
            base_bytes=0,
            rules_version=engine.rules.version,
            taken_ms=self._wall_ms(),
            topic_ids=dict(self._topic_ids),
        )
        return OutRecord(LEDGER, manifest_key(self._group), manifest.encode(), partition=partition)

    def interrupt(self) -> None:
        """Drops the snapshot on its way: the partitions are being given up."""
        pending, self._pending = self._pending, None
        if pending is not None and pending.partition in self._partitions:
            sent = [key for key, _ in pending.chunks[: pending.sent]]
            self._partitions[pending.partition].litter += (*sent, *pending.gone)

    def begin_anew(self) -> None:
        """The topic was made anew: what it held is gone, so the next snapshot of each partition is a whole image."""
        self.interrupt()
        for state in self._partitions.values():
            state.whole, state.taken_at_s = True, NEVER_S

    def forget(self, partition: int) -> None:
        """Forgets a partition that the engine has dropped."""
        self._partitions.pop(partition, None)

    def ages_s(self) -> dict[int, float]:
        """The age of each live partition's last snapshot, for those that have one."""
        wall = self._wall_ms()
        return {
            p: (wall - max(state.manifest.taken_ms, state.stands_ms)) / 1000
            for p, state in self._partitions.items()
            if state.manifest is not None
        }

    @property
    def is_due(self) -> bool:
        """True if something is waiting for a transaction."""
        return self._pending is not None

    def take_if_due(
        self, live: Iterable[int], position: Mapping[tuple[str, int], int], *, since_s: float | None = None
    ) -> None:
        """Called right behind a commit: position is committed, and the engine's state is exactly as of it. A partition
        is due when the interval has passed; or when its last snapshot was taken before `since_s`."""
        if self._pending is not None:
            return
        now = self._monotonic()
        before_s = now - self._interval_s if since_s is None else since_s
        due = [p for p in live if self._partitions[p].taken_at_s <= before_s]
        for partition in sorted(due, key=lambda p: (self._partitions[p].taken_at_s, p)):
            state = self._partitions[partition]
            state.taken_at_s = now
            offsets = {topic: at for (topic, p), at in position.items() if p == partition}
            if state.whole or state.manifest is None or state.manifest.offsets != offsets:
                self._pending = self._take(partition, state, offsets)
                return
            state.stands_ms = self._wall_ms()  # nothing was counted since the last one

    def next_slice(self) -> list[OutRecord]:
        """Returns the records that the next transaction takes along; the same again until `committed`."""
        pending = self._pending
        if pending is None:
            return []
        size, upto = 0, pending.sent
        while upto < len(pending.chunks) and (upto == pending.sent or size < SLICE_BYTES_MAX):
            size += len(pending.chunks[upto][1])
            upto += 1
        pending.in_flight = upto
        pending.is_last = upto == len(pending.chunks)
        records = [self._record(key, value) for key, value in pending.chunks[pending.sent : upto]]
        if pending.is_last:
            records += [self._record(key, None) for key in pending.gone]
            key = manifest_key(self._group)
            records.append(OutRecord(LEDGER, key, pending.manifest.encode(), partition=pending.partition))
        return records

    def committed(self) -> Callable[[], None] | None:
        """Notes that the transaction with the last slice is committed. Returns the write that the local store now
        needs, if any: it blocks, and raises StateFailed."""
        pending = self._pending
        if pending is None:
            return None
        pending.sent = pending.in_flight
        if not pending.is_last:
            return None
        self._pending = None
        state = self._partitions[pending.partition]
        state.manifest, state.whole = pending.manifest, False
        log.info(
            "snapshot: partition=%d chunks=%d bytes=%d whole=%s",
            pending.partition, len(pending.chunks), sum(len(c) for _, c in pending.chunks), pending.is_whole,
        )  # fmt: skip
        local = self._local
        if local is None:
            return None
        return lambda: local.write(pending.manifest, pending.chunks, pending.gone)

    def _take(self, partition: int, state: _PartitionState, offsets: dict[str, int]) -> _Pending:
        engine = self._engine()
        before = state.manifest
        deltas = 0 if before is None else before.chunk_bytes - before.base_bytes
        # Chunks of deltas are kept until they weigh as much as a whole image would.
        whole = before is None or state.whole or deltas > before.base_bytes or engine.image_must_be_whole(partition)
        snapshot = self._new_id()
        images = engine.image(partition, whole=whole)
        chunks = [(chunk_key(partition, snapshot, n), image) for n, image in enumerate(images)]
        named = [Chunk.of(key, image) for key, image in chunks]
        kept = [] if whole or before is None else before.chunks
        gone = [chunk.key for chunk in before.chunks] if whole and before is not None else []
        gone += state.litter
        state.litter = ()
        state.whole = True  # until this one is out, since the engine's dirty marks are cleared
        base = sum(chunk.bytes for chunk in named) if whole or before is None else before.base_bytes
        manifest = Manifest(
            snapshot=snapshot,
            partition=partition,
            partitions=engine.partitions,
            offsets=offsets,
            chunks=[*kept, *named],
            base_bytes=base,
            rules_version=engine.rules.version,
            taken_ms=self._wall_ms(),
            topic_ids=dict(self._topic_ids),
        )
        return _Pending(partition, manifest, chunks, gone, whole)

    def _record(self, key: str, value: bytes | None) -> OutRecord:
        return OutRecord(SNAPSHOTS, key.encode(), value, partition=int(key.split("/", 1)[0]))
