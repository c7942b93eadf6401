"""A worker's disk with the methods of streams.state.local.LocalState: it outlives the process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from streams.state.local import StateDamaged, StateFull
from streams.state.manifest import Chunk, Manifest
from tests.sim.fibers import Process

if TYPE_CHECKING:
    from tests.sim.world import World


@dataclass
class Disk:
    """The content of one state directory."""

    manifests: dict[int, Manifest] = field(default_factory=dict)
    chunks: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Disk:
        return Disk(dict(self.manifests), dict(self.chunks))


class FakeLocalState:
    """A write is one synced batch: it happens whole or not at all, and is there when the call returns."""

    def __init__(self, world: World, process: Process, disk: Disk) -> None:
        self._world = world
        self._process = process
        self._disk = disk

    def partitions(self) -> list[int]:
        return sorted(self._disk.manifests)

    def manifest(self, partition: int) -> Manifest | None:
        return self._disk.manifests.get(partition)

    def chunks(self, manifest: Manifest) -> Iterator[bytes]:
        for chunk in manifest.chunks:
            yield self.chunk(chunk)

    def chunk(self, chunk: Chunk) -> bytes:
        if self._world.faults.meet(self._process, "disk read"):
            raise StateDamaged(f"simulated: chunk {chunk.key} is damaged")
        content = self._disk.chunks.get(chunk.key)
        if fault := chunk.fault(content):
            raise StateDamaged(f"simulated: {fault}")
        assert content is not None
        return content

    def write(self, manifest: Manifest, new_chunks: Sequence[tuple[str, bytes]], gone: Iterable[str]) -> None:
        if self._world.faults.meet(self._process, "disk write"):
            raise StateFull("simulated: no space left on device")
        before = self._disk.manifests.get(manifest.partition)
        held = {chunk.key: chunk for chunk in before.chunks} if before else {}
        held |= {key: Chunk.of(key, content) for key, content in new_chunks}
        if wrong := [chunk.key for chunk in manifest.chunks if held.get(chunk.key) != chunk]:
            raise ValueError(f"the manifest names chunk {wrong[0]}, which is not here")
        self._disk.chunks |= dict(new_chunks)
        for key in {*gone, *held} - {chunk.key for chunk in manifest.chunks}:
            self._disk.chunks.pop(key, None)
        self._disk.manifests[manifest.partition] = manifest
        self._world.note(self._process, f"disk: snapshot of partition {manifest.partition}")

    def drop(self, partition: int) -> None:
        if self._world.faults.meet(self._process, "disk drop"):
            raise StateFull("simulated: no space left on device")
        self._disk.manifests.pop(partition, None)
        for key in [key for key in self._disk.chunks if key.startswith(f"{partition}/")]:
            del self._disk.chunks[key]

    def close(self) -> None:
        """Nothing is held."""
