"""The manifest of a partition's snapshot: it names the chunks and the offsets at which the snapshot was taken.

The same manifest lies in the topic `ledger` under SNAPSHOT_KEY and in a worker's local state; the same chunks, key for
key, lie in the topic `snapshots` and in the local state. A snapshot exists once its manifest does.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from schemas.json_reading import Int64, JsonReader, Unreadable

FORMAT = 1  # of manifests and of the keys they name; goes up when an older Grayline could misread one

Content = bytes  # `Chunk.bytes` is a length


class ManifestError(ValueError):
    """A value that is no manifest, or one that contradicts itself. The message says how."""


class NewerManifest(ManifestError):
    """A manifest in a format that this version does not know."""


class Chunk(msgspec.Struct, frozen=True):
    """One chunk by name, with its length and checksum."""

    key: str
    bytes: Int64
    crc: Int64  # CRC-32 of its bytes

    @classmethod
    def of(cls, key: str, content: Content) -> Chunk:
        return cls(key, len(content), zlib.crc32(content))

    def fault(self, content: Content | None) -> str:
        """A message about what is wrong with these bytes for this chunk; empty when nothing is."""
        if content is None:
            return f"chunk {self.key} is missing"
        if len(content) != self.bytes:
            return f"chunk {self.key} has {len(content)} bytes instead of {self.bytes}"
        if zlib.crc32(content) != self.crc:
            return f"chunk {self.key} is damaged: its CRC-32 is {zlib.crc32(content):08x} instead of {self.crc:08x}"
        return ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of one partition: loading `chunks` in order gives the state at `offsets`."""

    format: Int64 = FORMAT
    snapshot: str  # id of the newest snapshot in it; a delta's manifest also names the chunks before it
    partition: Int64
    partitions: Int64  # of every input topic when it was taken
    offsets: dict[str, Int64]  # by topic: the next record to count
    chunks: list[Chunk]  # in loading order: a whole image, then deltas
    base_bytes: Int64  # of the whole image, to tell when deltas have outgrown it
    rules_version: str
    taken_ms: Int64  # wall time
    topic_ids: dict[str, str] = {}  # of the topics it was taken with, where the broker tells them

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @property
    def chunk_bytes(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)


def decode(value: bytes) -> Manifest:
    """The manifest in a ledger value or local state. Raises ManifestError, NewerManifest."""
    try:
        head = _HEAD.read(value)
        if head.format > FORMAT:
            raise NewerManifest(
                f"the snapshot has format {head.format}, this version reads up to {FORMAT}: run the newer Grayline "
                "that wrote it"
            )
        manifest = _MANIFEST.read(value)
    except Unreadable as error:
        raise ManifestError(f"the manifest cannot be read: {error}") from error
    if fault := _fault(manifest):
        raise ManifestError(f"the manifest contradicts itself: {fault}")
    return manifest


def chunk_key(partition: int, snapshot: str, n: int) -> str:
    """The name of a snapshot's chunk n: no two snapshots share one."""
    return f"{partition}/{snapshot}/{n}"


class _Head(msgspec.Struct):
    format: Int64


_HEAD, _MANIFEST = JsonReader(_Head), JsonReader(Manifest)


def _fault(manifest: Manifest) -> str:
    keys = [chunk.key for chunk in manifest.chunks]
    if manifest.format < 1:
        return f"format {manifest.format}; formats begin at 1"
    if not 0 <= manifest.partition < manifest.partitions:
        return f"partition {manifest.partition} of {manifest.partitions}"
    if len(set(keys)) != len(keys):
        return "it names a chunk twice"
    if foreign := _foreign(manifest.partition, keys):
        return f"chunk {foreign!r} is not of partition {manifest.partition}"
    if any(offset < 0 for offset in manifest.offsets.values()):
        return "an offset below 0"
    return ""


def _foreign(partition: int, keys: Sequence[str]) -> str:
    return next((key for key in keys if not key.startswith(f"{partition}/")), "")
