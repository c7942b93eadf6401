"""librdkafka's settings of a worker's own consumer and producer: what it was told, under what its correctness
depends on (no automatic commits, the `range` assignor, an idempotent producer)."""

from __future__ import annotations

from collections.abc import Mapping

from streams.kafka.settings import KEEP_KNOWN_BROKERS
from streams.runtime.settings import WorkerSettings

SESSION_TIMEOUT_MS = 10_000


def consumer_config(settings: WorkerSettings) -> dict[str, object]:
    return {
        # A fast reader stalls for the back-off whenever 100,000 messages are queued; the default is a second.
        "fetch.queue.backoff.ms": 1,
        # A killed worker's partitions stand still for this long.
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        **KEEP_KNOWN_BROKERS,
        **settings.consumer,
        **({"group.instance.id": settings.name} if settings.name else {}),
        "group.id": settings.group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Equal partition numbers of all topics must fall to one worker; the sticky assignors scatter them.
        "partition.assignment.strategy": "range",
        # Lost offsets are the operator's decision, never a silent jump.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
    }


def producer_config(settings: WorkerSettings, delivery: Mapping[str, object]) -> dict[str, object]:
    """delivery: what the guarantee asks for (streams.delivery.guarantees). Without the transactional id, which the
    delivery adds."""
    return {
        "linger.ms": 5,
        # Java's default; librdkafka's own is CRC32, which scatters a number's records for Java readers.
        "partitioner": "murmur2_random",
        **KEEP_KNOWN_BROKERS,
        **delivery,
        **settings.producer,
        "enable.idempotence": True,
    }
