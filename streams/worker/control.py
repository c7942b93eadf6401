"""Orders of operators to every worker at once: a pause of new blocks and its end, other rules, and entries of the
registry.

They are records on the topic control-global, compacted: keys `pause` and `rules`, and a key for each entry. The newest
of a key is in force, also for a worker that starts later. A worker reads the topic with a consumer of its own, outside
of its group, and obeys between two commits."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from rules.registry import Registry, empty
from schemas.topics import CONTROL_GLOBAL
from streams.holds.pause import PAUSE_KEY, Pause, pause_of
from streams.holds.registry_records import PREFIX, ToldEntries
from streams.holds.rules_order import RULES_ORDER_KEY, RulesOrder, rules_order_of
from streams.kafka.clients import Clients, outsider
from streams.kafka.errors import Meaning, meaning_of, passes_for_readers
from streams.kafka.ownership import Refused
from streams.kafka.settings import BrokerAway

log = logging.getLogger("grayline.control")

BROKER_TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0
POLL_S = 0.05
READ_MAX = 1000  # records at once
MISSING_QUIET_S = 30.0  # a topic that is not there is asked for again after this
LACKS = f"this user lacks the right Read on topic {CONTROL_GLOBAL!r}: whether new blocks are paused is not known"


class ControlUnread(Exception):
    """The operators' orders cannot be read, so a worker cannot know whether it may block."""

    exit_code = 1


@dataclass(frozen=True)
class Said:
    """All that operators have said so far. registry: the same object until an entry changes."""

    pause: Pause | None = None
    registry: Registry = field(default_factory=empty)
    rules: RulesOrder | None = None


class ControlWatch:
    """Blocking; used by one thread at a time. `said` is as of the newest record that was read.

    After a trouble the topic is read from its beginning, into a memory of its own: what was taken back meanwhile may
    have left no trace. Until its end is reached the old words hold."""

    def __init__(self, clients: Clients, config: Mapping[str, object]) -> None:
        self._consumer: Any = clients.consumer(outsider(config))
        self._is_assigned = False
        self._ask_again_s = 0.0
        self._is_whole = False  # the topic was read to its end since it was assigned
        self._pause: Pause | None = None
        self._rules: RulesOrder | None = None
        self._entries = ToldEntries()
        self.said = Said()

    def start(self) -> Said:
        """Reads all orders so far. Raises Refused, ControlUnread, BrokerAway, KafkaException."""
        give_up = time.monotonic() + START_TIMEOUT_S
        if not self._assign():
            return self.said
        while not self._read(POLL_S):
            if time.monotonic() > give_up:
                raise BrokerAway(
                    f"topic {CONTROL_GLOBAL!r} could not be read to its end within {START_TIMEOUT_S:.0f} s: whether "
                    "new blocks are paused is not known"
                )
        return self.said

    def poll(self) -> Said:
        """Reads on; returns what holds, as far as the broker answers now."""
        try:
            if self._is_assigned or (time.monotonic() >= self._ask_again_s and self._assign()):
                self._read(0.0)
        except (KafkaException, ControlUnread, Refused) as problem:
            log.warning("what operators tell cannot be read now: %s", problem)
            self._is_assigned = False
            self._ask_again_s = time.monotonic() + MISSING_QUIET_S
        return self.said

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
        self._is_assigned, self._is_whole = True, False
        self._pause, self._rules, self._entries = None, None, ToldEntries()
        return True

    def _read(self, timeout_s: float) -> bool:
        """Reads on; returns True if the end has been reached. Raises Refused, ControlUnread."""
        ended = False
        for message in self._consumer.consume(READ_MAX, timeout_s):
            error = message.error()
            if error is None:
                ended = False
                self._take(message.key() or b"", message.value())
            elif meaning_of(error) is Meaning.END:
                ended = True
            elif meaning_of(error) is Meaning.NO_RIGHT:
                raise Refused(LACKS)
            elif not error.retriable() and not passes_for_readers(error):
                raise ControlUnread(f"topic {CONTROL_GLOBAL!r} cannot be read: {error.str()}")
        self._is_whole |= ended
        if self._is_whole:
            self._tell()
        return ended

    def _tell(self) -> None:
        registry = self._entries.registry()
        if registry.version == self.said.registry.version:
            registry = self.said.registry
        self.said = Said(self._pause, registry, self._rules)

    def _take(self, key: bytes, value: bytes | None) -> None:
        """Takes one record. One that cannot be read changes nothing: a slip of a tool must not end a pause."""
        try:
            if key == PAUSE_KEY:
                self._pause = pause_of(value)
            elif key == RULES_ORDER_KEY:
                self._rules = rules_order_of(value)
            elif key.startswith(PREFIX):
                self._entries.take(key, value)
        except ValueError as problem:
            log.error("%s: ignored", problem)
