"""Where every Kafka client of a worker is made, so that a simulation can hand in its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any


class Clients:
    """confluent-kafka's clients, which log through Python's logging. Configurations are librdkafka's settings."""

    @property
    def message_type(self) -> Any:
        """The class of the messages that these consumers give."""
        from confluent_kafka import Message

        return Message

    def consumer(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka import Consumer

        return Consumer({"logger": logging.getLogger("grayline.kafka"), **config})

    def producer(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka import Producer

        return Producer({"logger": logging.getLogger("grayline.kafka"), **config})
