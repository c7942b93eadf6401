"""The local store: a worker's snapshots on its own disk, so that a restart need not read them back from Kafka.

    DIRECTORY/grayline-state.json   whose state this is: format, cluster, group
    DIRECTORY/lock                  held by the one process that has it open
    DIRECTORY/db/                   RocksDB: chunks under their names, manifests under `#snapshot/PARTITION`

A snapshot is written in one synced WriteBatch: a crash leaves the snapshot before it or the new one. Kafka holds the
same snapshots, so everything here may be lost. Content that looks wrong is refused or rebuilt, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from streams.state import manifest as manifests
from streams.state.folder import (
    DATABASE,
    Folder,
    Identity,
    StateDamaged,
    StateFailed,
    StateFull,
    StateRefused,
)
from streams.state.manifest import Chunk, Manifest, ManifestError, NewerManifest

if TYPE_CHECKING:
    from rocksdict import Options, Rdict, RdictIter

__all__ = ["LocalState", "StateDamaged", "StateFailed", "StateFull", "StateRefused"]

_T = TypeVar("_T")

_MEMTABLE_BYTES = 16 << 20
_WAL_BYTES_MAX = 64 << 20
_MANIFEST = b"#snapshot/"


class LocalState:
    """The snapshots of the partitions that this worker owns or owned, one each. Threads may work on different
    partitions at once.

    Raises, here and in every method: StateRefused (2: an operator must decide), StateDamaged (1: what lies here cannot
    be trusted; `open(rebuild=True)` starts afresh), StateFull and StateFailed (1: the disk)."""

    def __init__(self, folder: Folder, database: Rdict) -> None:
        self._folder = folder
        self._database = database
        self._manifests: dict[int, Manifest] = {}

    @classmethod
    def open(cls, directory: Path | str, *, cluster: str, group: str, rebuild: bool = False) -> LocalState:
        """Takes the directory for this process, making it (for this user alone) when it is missing.

        rebuild: throw away the snapshots that lie there, damaged or not; another cluster's or group's stay refused."""
        folder = Folder.take(Path(directory), Identity(cluster=cluster, group=group), rebuild=rebuild)
        try:
            if rebuild:
                folder.clear()
            return cls._opened(folder, _options())
        except BaseException:
            folder.release()
            raise

    @classmethod
    def read(cls, directory: Path | str) -> LocalState:
        """Opens the state of a stopped worker, of any cluster and group, for reading only."""
        folder = Folder.read(Path(directory))
        try:
            return cls._opened(folder, _options(), read_only=True)
        except BaseException:
            folder.release()
            raise

    @property
    def identity(self) -> Identity:
        return self._folder.identity

    def partitions(self) -> list[int]:
        """The partitions that have a snapshot, in order."""
        return sorted(self._manifests)

    def manifest(self, partition: int) -> Manifest | None:
        return self._manifests.get(partition)

    def chunks(self, manifest: Manifest) -> Iterator[bytes]:
        """The snapshot's chunks in order, each checked against the manifest. Raises StateDamaged, naming the chunk."""
        for chunk in manifest.chunks:
            yield self.chunk(chunk)

    def chunk(self, chunk: Chunk) -> bytes:
        """One chunk, checked. Raises StateDamaged, naming it."""
        content = self._trying(f"reading chunk {chunk.key}", lambda: self._database.get(chunk.key.encode()))
        if fault := chunk.fault(content):
            raise StateDamaged(f"local state {self._folder.path}: {fault}")
        assert content is not None
        return bytes(content)

    def write(self, manifest: Manifest, new_chunks: Sequence[tuple[str, bytes]], gone: Iterable[str]) -> None:
        """Makes `manifest` the partition's snapshot, on disk when this returns; when it raises, the one before stays.

        new_chunks: (key, content) of the chunks that are not here yet. gone: chunks that no manifest names any more;
        those of the manifest before that the new one leaves out go in any case. Raises ValueError for a manifest whose
        chunks would not all be here, or not as it describes them."""
        from rocksdict import WriteBatch

        before = self._manifests.get(manifest.partition)
        held = {chunk.key: chunk for chunk in before.chunks} if before else {}
        held |= {key: Chunk.of(key, content) for key, content in new_chunks}
        if wrong := [chunk.key for chunk in manifest.chunks if held.get(chunk.key) != chunk]:
            raise ValueError(
                f"the manifest of snapshot {manifest.snapshot} names chunk {wrong[0]}, which is neither among the new "
                "chunks nor in the snapshot before it with the same length and CRC-32"
            )
        batch = WriteBatch(raw_mode=True)
        for key, content in new_chunks:
            batch.put(key.encode(), content)
        for key in sorted({*gone, *held} - {chunk.key for chunk in manifest.chunks}):
            batch.delete(key.encode())
        batch.put(_manifest_key(manifest.partition), manifest.encode())
        self._write(batch, f"writing snapshot {manifest.snapshot} of partition {manifest.partition}")
        self._manifests[manifest.partition] = manifest

    def unnamed(self) -> list[str]:
        """The chunks here that no manifest names: there should be none."""
        named = {chunk.key.encode() for manifest in self._manifests.values() for chunk in manifest.chunks}
        keys = [key for key, _ in self._entries(b"")]
        return [key.decode(errors="replace") for key in keys if key not in named and not key.startswith(_MANIFEST)]

    def drop(self, partition: int) -> None:
        """Forgets the partition's snapshot: its manifest and every chunk."""
        from rocksdict import WriteBatch

        batch = WriteBatch(raw_mode=True)
        batch.delete(_manifest_key(partition))
        batch.delete_range(b"%d/" % partition, b"%d0" % partition)  # "0" follows "/": every key that begins with "P/"
        self._write(batch, f"dropping partition {partition}")
        self._manifests.pop(partition, None)

    def close(self) -> None:
        """Lets the directory go; another process may take it. Closing twice is fine."""
        if self._folder.is_held:
            # On a full disk the last flush fails. What it would flush is in the synced log.
            with suppress(Exception):
                self._database.close()
            del self._database  # and this closes the files
        self._folder.release()

    # -- RocksDB -----------------------------------------------------------------------------------------------

    @classmethod
    def _opened(cls, folder: Folder, options: Options, read_only: bool = False) -> LocalState:
        from rocksdict import AccessType, Rdict

        # Without its CURRENT file a database is read as one that does not exist yet, and would be begun anew.
        if read_only and not (folder.path / DATABASE / "CURRENT").exists():
            raise StateDamaged(f"local state {folder.path} is damaged: its database has no file CURRENT")
        access = AccessType.read_only(False) if read_only else AccessType.read_write()
        path = str(folder.path / DATABASE)
        database = folder.trying("opening it", lambda: Rdict(path, options, access_type=access))
        state = cls(folder, database)
        try:
            state._manifests = dict(state._stored_manifests())
        except BaseException:
            database.close()
            raise
        return state

    def _stored_manifests(self) -> Iterator[tuple[int, Manifest]]:
        for key, entry in self._entries(_MANIFEST):
            if not key.startswith(_MANIFEST):
                return
            try:
                manifest = manifests.decode(bytes(entry.value()))
            except NewerManifest as error:
                raise StateRefused(f"local state {self._folder.path}: {error}, or give another --state") from error
            except ManifestError as error:
                raise StateDamaged(f"local state {self._folder.path}: {key.decode()}: {error}") from error
            if key != _manifest_key(manifest.partition):
                raise StateDamaged(
                    f"local state {self._folder.path}: {key.decode()} holds the manifest of partition "
                    f"{manifest.partition}"
                )
            yield manifest.partition, manifest

    def _entries(self, start: bytes) -> Iterator[tuple[bytes, RdictIter]]:
        """(key, the iterator there) from `start` on."""
        entries = self._database.iter()
        entries.seek(start)
        while entries.valid():
            yield bytes(entries.key()), entries
            entries.next()
        self._trying("listing what it holds", entries.status)  # an iterator that meets damage just ends

    def _write(self, batch: object, what: str) -> None:
        from rocksdict import WriteOptions

        synced = WriteOptions()
        synced.sync = True
        self._trying(what, lambda: self._database.write(batch, synced))  # type: ignore[arg-type]

    def _trying(self, what: str, act: Callable[[], _T]) -> _T:
        return self._folder.trying(what, act)


def _manifest_key(partition: int) -> bytes:
    return _MANIFEST + b"%d" % partition


def _options() -> Options:
    """For some gigabytes in values of up to 512 KB, written every ten seconds and read at start."""
    from rocksdict import DBCompressionType, DBRecoveryMode, Options

    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(_MEMTABLE_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_max_total_wal_size(_WAL_BYTES_MAX)
    options.set_max_background_jobs(2)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(1 << 20)
    options.set_stats_dump_period_sec(0)
    # After a crash the log ends in a torn record. What comes before it is whole snapshots, older at worst.
    options.set_wal_recovery_mode(DBRecoveryMode.point_in_time())
    return options
