"""Heartbeats, one per partition on the topic block-status: they distinguish an idle worker from a dead one.

Heartbeats leave in the same transactions as block events. So a blocker that has read one has read every block that the
input before its offsets led to. Pure: the caller decides when, and Kafka's timestamps show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from schemas.topics import BLOCK_STATUS
from streams.ingest.epoch import OutRecord

if TYPE_CHECKING:
    from streams.engine.contract import LiveEngine
    from streams.ingest.epoch import Place


def heartbeats(
    worker: str, engine: LiveEngine, position: Mapping[Place, int], owned: frozenset[int], restoring: frozenset[int]
) -> list[OutRecord]:
    """One record for each owned partition.

    worker: a name of this worker that logs know. position: of each owned place, the next offset to count; it must be as
    of what `engine` has counted, and the records must not leave before the outputs of that. restoring: those of the
    owned partitions whose state is not whole yet."""
    clocks = engine.clocks()
    holds = engine.ledger.enforced_by_partition(engine.partitions)
    warming = engine.warming() > 0
    return [
        OutRecord(
            BLOCK_STATUS,
            b"%d" % partition,
            orjson.dumps(
                {
                    "partition": partition,
                    "worker": worker,
                    "state": "restoring" if partition in restoring else "live",
                    "paused": engine.breaker.paused,
                    "offsets": _of_partition(position, partition),
                    "clocks": _of_partition(clocks, partition),
                    "rules_version": engine.rules.version,
                    "registry_version": engine.registry.version,
                    "feeds_version": engine.feeds_version,
                    "holds_active": holds[partition],
                    "warming": warming,
                }
            ),
            partition=partition,
        )
        for partition in sorted(owned)
    ]


def _of_partition(values: Mapping[Place, int], partition: int) -> dict[str, int]:
    return {topic: value for (topic, p), value in sorted(values.items()) if p == partition}
