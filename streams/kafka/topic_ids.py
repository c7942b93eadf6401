"""The identity of topics: one that is deleted and made anew under its name is another topic, with another id.

A consumer that reads on at its offset would skip the new topic's first records, or count records that it has never
seen from the middle on. Ids never come back: records that were fetched before a topic was found to have its id still
are records of that topic."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException

from streams.kafka.clients import Clients
from streams.kafka.errors import Meaning, client_errors, error_of, meaning_of
from streams.kafka.ownership import Refused, gone, made_anew
from streams.kafka.settings import CONSUMER_ONLY, BrokerAway

log = logging.getLogger("grayline.topics")

ANSWER_S = 5.0
AGAIN_S = 0.2
WHILE_S = 30.0
GONE_S = 10.0  # a broker that is only just coming back may not know its topics yet
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"  # of a broker that knows no ids


class TopicIds:
    """The ids of topics as they were when `learn` was called. Any thread may ask; they take turns.

    config: librdkafka's settings of a consumer. watched: topics without which a worker must not commit; the others
    among `topics` are only told about."""

    def __init__(
        self, clients: Clients, config: Mapping[str, object], watched: Collection[str], topics: Iterable[str]
    ) -> None:
        self.known: dict[str, str] = {}  # of the topics whose id the broker tells
        self.heard_s = time.monotonic()  # when the broker last answered
        self._clients = clients
        self._config = _admin_config(config)
        self._watched = frozenset(watched)
        self._topics = tuple(dict.fromkeys((*watched, *topics)))
        self._admin: Any = None
        self._turn = threading.Lock()
        self._closing = threading.Event()

    def learn(self) -> None:
        """Takes the present ids for those of the start. Raises BrokerAway."""
        found = self._ask(self._topics) if self._has_controller() else {}
        self.known.clear()  # others look at the same mapping
        self.known |= {topic: id for topic, id in found.items() if id}

    def check(self) -> None:
        """Raises Refused if a watched topic is another one than at the start, or gone; BrokerAway when that is not
        known. Asks again, for as long as it takes, while no broker answers."""
        self._check(wait_s=float("inf"))

    def check_a_while(self) -> None:
        """The same, asked for half a minute: by a broker that has just come back, which rebalances the group before it
        knows its controller."""
        self._check(WHILE_S)

    def check_once(self) -> None:
        """The same, with a question that is asked once."""
        self._check(wait_s=0.0)

    def changed(self) -> list[str]:
        """Those of the topics that are not watched which were made anew since this was last asked, with what is lost.
        Raises BrokerAway."""
        asked = [topic for topic in self.known if topic not in self._watched]
        found = self._ask(asked)
        anew = [topic for topic in asked if found[topic] not in ("", self.known[topic])]
        self.known |= {topic: found[topic] for topic in anew}
        return anew

    def close(self) -> None:
        """Ends all waiting. May be called from any thread."""
        self._closing.set()

    def _check(self, wait_s: float) -> None:
        began_s = time.monotonic()
        while True:
            try:
                self._compare(began_s)
                return
            except BrokerAway:
                if time.monotonic() - began_s >= wait_s or self._closing.wait(AGAIN_S):
                    raise

    def _compare(self, began_s: float) -> None:
        asked = [topic for topic in self.known if topic in self._watched]
        for topic, found in self._ask(asked).items():
            if not found and time.monotonic() - began_s < GONE_S:
                raise BrokerAway(f"topic {topic!r} is not at the broker")
            if found != self.known[topic]:
                raise Refused(gone(topic) if not found else made_anew(topic))

    def _has_controller(self) -> bool:
        """True if the cluster names a controller among its brokers: only it tells ids, and the broker embedded in
        librdkafka names none. Raises BrokerAway."""
        with self._turn:
            try:
                metadata = self._client().list_topics(timeout=ANSWER_S)
            except client_errors() as problem:
                raise self._away(problem) from problem
        if not metadata.brokers:
            raise BrokerAway("the cluster names no broker yet")
        return metadata.controller_id in metadata.brokers

    def _client(self) -> Any:
        if self._admin is None:
            self._admin = self._clients.admin(self._config)
        return self._admin

    def _away(self, problem: BaseException) -> BrokerAway:
        self._admin = None  # a client that has lost its brokers finds none again: librdkafka #5301
        return BrokerAway(f"no broker says which topics it has: {error_of(problem).str()}")

    def _ask(self, topics: Collection[str]) -> dict[str, str]:
        """The present id of each topic, "" for one that is not there or has none. Raises BrokerAway."""
        if not topics:
            return {}
        from confluent_kafka import TopicCollection

        with self._turn:
            try:
                futures = self._client().describe_topics(TopicCollection(list(topics)), request_timeout=ANSWER_S)
                found = {topic: self._id(future) for topic, future in futures.items()}
            except client_errors() as problem:
                raise self._away(problem) from problem
            self.heard_s = time.monotonic()
            return found

    @staticmethod
    def _id(future: Any) -> str:
        try:
            return str(future.result(2 * ANSWER_S).topic_id).replace(NO_ID, "")
        except KafkaException as problem:
            if meaning_of(problem.args[0]) in (Meaning.NO_TOPIC, Meaning.NO_RIGHT):
                return ""
            raise


def _admin_config(consumer: Mapping[str, object]) -> dict[str, object]:
    ours = ("group.id", "group.instance.id", "auto.offset.reset", "enable.partition.eof", "error_cb")
    kept = {name: value for name, value in consumer.items() if name not in CONSUMER_ONLY and name not in ours}
    return {**kept, "logger": logging.getLogger("grayline.kafka"), "log_level": 0}
