"""Makes every Kafka client, so that a simulation can supply its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from streams.kafka.reconnecting import LastingConsumer


def outsider(config: Mapping[str, object]) -> dict[str, object]:
    """A worker's consumer settings for a consumer that never joins its group and is told the ends of partitions."""
    settings = {name: value for name, value in config.items() if name != "group.instance.id"}
    return settings | {"enable.partition.eof": True}


class Clients:
    """confluent-kafka's clients, which log through Python's logging. Configurations are librdkafka's settings."""

    @property
    def message_type(self) -> Any:
        """The class of the messages that these consumers give."""
        from confluent_kafka import Message

        return Message

    def consumer(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka import Consumer

        return LastingConsumer(lambda: Consumer({"logger": logging.getLogger("grayline.kafka"), **config}))

    def producer(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka import Producer

        return Producer({"logger": logging.getLogger("grayline.kafka"), **config})

    def admin(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient(dict(config))
