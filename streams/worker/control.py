"""Orders of operators to every worker at once: a pause of new blocks, and its end.

A pause is one record on the topic control-global, key `pause`, compacted: the newest is in force, also for a worker
that starts later. A worker reads the topic with a consumer of its own, outside of its group, and obeys between two
commits."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from schemas.topics import CONTROL_GLOBAL
from streams.holds.pause import PAUSE_KEY, Pause, pause_of
from streams.kafka.clients import Clients, outsider
from streams.kafka.errors import Meaning, meaning_of, passes_for_readers
from streams.kafka.ownership import Refused
from streams.kafka.settings import BrokerAway

log = logging.getLogger("grayline.control")

BROKER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0
POLL_S = 0.05
MISSING_QUIET_S = 30.0  # a topic that is not there is asked for again after this
LACKS = f"this user lacks the right Read on topic {CONTROL_GLOBAL!r}: whether new blocks are paused is not known"


class ControlUnread(Exception):
    """The operators' orders cannot be read, so a worker cannot know whether it may block."""

    exit_code = 1


class ControlWatch:
    """Blocking; used by one thread at a time. `pause` is the newest that was read."""

    def __init__(self, clients: Clients, config: Mapping[str, object]) -> None:
        self._consumer: Any = clients.consumer(outsider(config))
        self._is_assigned = False
        self._ask_again_s = 0.0
        self.pause: Pause | None = None

    def start(self) -> Pause | None:
        """Reads all orders so far. Raises Refused, ControlUnread, BrokerAway, KafkaException."""
        give_up = time.monotonic() + START_TIMEOUT_S
        if not self._assign():
            return None
        while not self._read(POLL_S):
            if time.monotonic() > give_up:
                raise BrokerAway(
                    f"topic {CONTROL_GLOBAL!r} could not be read to its end within {START_TIMEOUT_S:.0f} s: whether "
                    "new blocks are paused is not known"
                )
        return self.pause

    def poll(self) -> Pause | None:
        """Reads on; returns the newest order, as far as the broker answers now."""
        try:
            if self._is_assigned or (time.monotonic() >= self._ask_again_s and self._assign()):
                self._read(0.0)
        except (KafkaException, ControlUnread, Refused) as problem:
            log.warning("what operators tell cannot be read now: %s", problem)
            self._is_assigned = False
            self._ask_again_s = time.monotonic() + MISSING_QUIET_S
        return self.pause

    def close(self) -> None:
        self._consumer.close()

    def _assign(self) -> bool:
        """Assigns the topic from its beginning; returns False while it does not exist."""
        found = self._consumer.list_topics(CONTROL_GLOBAL, timeout=BROKER_TIMEOUT_S).topics.get(CONTROL_GLOBAL)
        if found is not None and found.error is not None and meaning_of(found.error) is Meaning.NO_RIGHT:
            raise Refused(LACKS)
        if found is None or found.error is not None or not found.partitions:
            log.warning("topic %r is not there, so no operator can pause: grayline topics create", CONTROL_GLOBAL)
            self._ask_again_s = time.monotonic() + MISSING_QUIET_S
            return False
        low, _ = self._consumer.get_watermark_offsets(TopicPartition(CONTROL_GLOBAL, 0), timeout=BROKER_TIMEOUT_S)
        self._consumer.assign([TopicPartition(CONTROL_GLOBAL, 0, low)])
        self._is_assigned = True
        return True

    def _read(self, timeout_s: float) -> bool:
        """Reads on; returns True if the end has been reached. Raises Refused, ControlUnread."""
        ended = False
        for message in self._consumer.consume(100, timeout_s):
            error = message.error()
            if error is None:
                ended = False
                if message.key() == PAUSE_KEY:
                    self._take(message.value())
            elif meaning_of(error) is Meaning.END:
                ended = True
            elif meaning_of(error) is Meaning.NO_RIGHT:
                raise Refused(LACKS)
            elif not error.retriable() and not passes_for_readers(error):
                raise ControlUnread(f"topic {CONTROL_GLOBAL!r} cannot be read: {error.str()}")
        return ended

    def _take(self, value: bytes | None) -> None:
        """Takes one record. One that cannot be read changes nothing: a slip of a tool must not end a pause."""
        try:
            self.pause = pause_of(value)
        except ValueError as problem:
            log.error("%s: ignored", problem)
