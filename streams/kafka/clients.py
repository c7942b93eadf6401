"""Makes every Kafka client, so that a simulation can supply its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FuturesTimeout
from typing import TYPE_CHECKING, Any

from streams.kafka.reconnecting import LastingConsumer

if TYPE_CHECKING:
    from streams.kafka.native import Library


def outsider(config: Mapping[str, object]) -> dict[str, object]:
    """A worker's consumer settings for a consumer that never joins its group and is told the ends of partitions."""
    settings = {name: value for name, value in config.items() if name != "group.instance.id"}
    return settings | {"enable.partition.eof": True}


class Clients:
    """confluent-kafka's clients, which log through Python's logging. Configurations are librdkafka's settings.

    library: by which consumers may fetch in columns, if it can be (streams.kafka.native)."""

    def __init__(self, library: Library | None = None) -> None:
        self._library = library

    @property
    def message_type(self) -> Any:
        """The class of the messages that these consumers give."""
        from confluent_kafka import Message

        return Message

    def consumer(self, config: Mapping[str, object], *, in_columns: bool = False) -> Any:
        """in_columns: its `consume` may return ColumnPoll instead of messages, of places given to `forward`."""
        from confluent_kafka import Consumer

        return LastingConsumer(
            lambda: Consumer({"logger": logging.getLogger("grayline.kafka"), **config}),
            self._library.forwarding if in_columns and self._library is not None else None,
        )

    def producer(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka import Producer

        return Producer({"logger": logging.getLogger("grayline.kafka"), **config})

    def bounded(self, call: Callable[[], Any], limit_s: float) -> Any:
        """The result of a call to a client that may not keep its time limit. One that takes longer is left to itself,
        with its client: whoever called must make another. Raises KafkaException, a fatal one for such a call, and
        whatever the call does."""
        from confluent_kafka import KafkaError, KafkaException

        answer: Future[Any] = Future()
        threading.Thread(target=_answer, args=(call, answer), name="bounded", daemon=True).start()
        try:
            return answer.result(limit_s)
        except FuturesTimeout:
            error = KafkaError(KafkaError._TIMED_OUT, f"the client has not come back for {limit_s:g} s", True)
            raise KafkaException(error) from None

    def admin(self, config: Mapping[str, object]) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient(dict(config))


def _answer(call: Callable[[], Any], answer: Future[Any]) -> None:
    try:
        answer.set_result(call())
    except BaseException as problem:
        answer.set_exception(problem)
