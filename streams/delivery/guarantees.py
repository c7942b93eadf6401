"""The delivery guarantees by name: each with its delivery, and the settings that it needs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.delivery.at_least_once import AtLeastOnce
from streams.delivery.contract import Delivery
from streams.delivery.transactional import Transactional
from streams.kafka.clients import Clients
from streams.kafka.settings import TRANSACTION
from streams.kafka.worker_config import producer_config
from streams.runtime.settings import AT_LEAST_ONCE, EXACTLY_ONCE, WorkerSettings

if TYPE_CHECKING:
    from streams.kafka.consumer_calls import Group


@dataclass(frozen=True)
class Guarantee:
    """One guarantee. producer: librdkafka's settings that the delivery needs; an operator's own come on top. has_name:
    its producers have a name, by which the broker fences those of a worker that was replaced."""

    delivery: Callable[..., Delivery]
    producer: Mapping[str, object]
    has_name: bool


GUARANTEES = {
    EXACTLY_ONCE: Guarantee(Transactional, TRANSACTION, has_name=True),
    AT_LEAST_ONCE: Guarantee(AtLeastOnce, {}, has_name=False),
}


def delivery_of(
    settings: WorkerSettings,
    group: Group,
    *,
    partitions: int,
    topic_ids: Mapping[str, str],
    clients: Clients,
    trouble: Callable[[str], None],
    clock: Callable[[], float],
) -> Delivery:
    """Makes the delivery that the settings name. group: has the group's metadata and commits. partitions: of the
    topics, and topic_ids: for the notes beside offsets."""
    guarantee = GUARANTEES[settings.delivery]
    named = {}
    if guarantee.has_name:
        named = {"transactional_id": f"{settings.group}-{settings.name or uuid.uuid4().hex}", "clock": clock}
    config = producer_config(settings, guarantee.producer)
    return guarantee.delivery(
        config, group, note_parts=partitions, topic_ids=topic_ids, clients=clients, trouble=trouble, **named
    )
