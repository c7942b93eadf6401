"""Once every partition has a new snapshot, `snapshots` holds the chunks that manifests name, and no others."""

from __future__ import annotations

from schemas.topics import LEDGER, SNAPSHOTS
from streams.holds.ledger_keys import manifest_key
from streams.state import manifest
from streams.state.manifest import Manifest
from tests.sim.world import GROUP, World


def newest(world: World, partition: int) -> Manifest | None:
    rows = [r.value for r in world.broker.logs[LEDGER, partition].committed() if r.key == manifest_key(GROUP)]
    return manifest.decode(rows[-1]) if rows else None


def check(world: World) -> None:
    for partition in range(world.partitions):
        named = {chunk.key for chunk in newest(world, partition).chunks}  # type: ignore[union-attr]
        last = {(r.key or b"").decode(): r.value for r in world.broker.logs[SNAPSHOTS, partition].committed()}
        kept = {key for key, value in last.items() if value is not None}
        assert named <= kept, f"partition {partition}: {len(named - kept)} chunks of the newest snapshot are gone"
        assert kept <= named, f"partition {partition}: {len(kept - named)} chunks are left that no manifest names"
