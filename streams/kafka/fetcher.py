"""Reads the input topics: one poll is one epoch, fetched by one thread ahead of the one that is being counted.

`Fetcher` lives in that thread and is the only one to call `consume`; `KafkaSource` is the Faust service that hands its
epochs to the flow one at a time. At most two epochs are in memory: one being counted, one fetched ahead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaError, TopicPartition

from streams.ingest.epoch import Epoch, Place
from streams.kafka.clients import Clients
from streams.kafka.consumer_calls import Group
from streams.kafka.errors import Meaning, meaning_of
from streams.kafka.ownership import (
    BROKER_TIMEOUT_S,
    Refused,
    Start,
    committed_offsets,
    lacks_the_group,
    owned_partitions,
    refuse_changed_count,
    refuse_topics_made_anew,
    start_offsets,
)
from streams.kafka.polls import epoch_of, errors_in, goes_back, still_owned, without_errors
from streams.kafka.settings import BrokerAway
from streams.kafka.topic_ids import TopicIds
from streams.kafka.worker_config import consumer_config
from streams.runtime.settings import WorkerSettings

if TYPE_CHECKING:
    from confluent_kafka import Message

    from streams.kafka.columns import Trouble


log = logging.getLogger("grayline.source")

REPEATED_ERROR_QUIET_S = 30.0
LEAVE_LIMIT_S = 9.0
LAG_INTERVAL_S = 1.0
POLL_S = 0.05
NOTES_TIMEOUT_S = 15.0  # longer than a killed worker's open transaction
HOPELESS = (Meaning.NO_RIGHT, Meaning.NO_GROUP, Meaning.NO_LOGIN, Meaning.MISMATCH, Meaning.NAME_TAKEN, Meaning.FATAL)


class ReadFailed(Exception):
    """The broker refuses this consumer for good; nothing that waits would help."""

    exit_code = 1


class Owner(Protocol):
    """The listener of the fetching thread. Its methods are called in that thread, and return when their work is
    done."""

    def assigned(self, start: Start) -> list[Place]:
        """Takes the partitions over; returns the places that are to be paused until `Fetcher.resume`."""
        ...

    def revoked(self, lost: bool) -> None:
        """Finishes the epoch in hand and commits; all partitions may be another worker's afterwards."""
        ...


class Fetcher:
    """The consumer and its rebalance callbacks, all in one thread. topics: all subscribed ones, with equal partition
    counts. counted: those of which this worker must have the same partition numbers, all unless given; of the others,
    to which members may subscribe one after the other, it reads the numbers that it has of these. ids: of the topics.
    trouble: told the name of each error that heals by itself, from the first call to the broker on."""

    def __init__(
        self,
        settings: WorkerSettings,
        topics: tuple[str, ...],
        clients: Clients,
        ids: TopicIds,
        trouble: Callable[[str], None] = lambda code: None,
        counted: Collection[str] | None = None,
    ) -> None:
        self._settings = settings
        self._message_type = clients.message_type
        self._ids = ids
        self._topics = topics
        self._counted = frozenset(topics if counted is None else counted)
        self._subscription = list(topics)  # what the group is to know next
        self._told = False  # the group was told twice already what we subscribe to
        self._assigned: dict[str, list[int]] = {}  # by topic, as the group shared the partitions out
        self._trouble = trouble
        self._owner: Owner
        self._code_of = {topic: code for code, topic in enumerate(topics)}
        self._position: dict[Place, int] = {}
        self._waiting: frozenset[Place] = frozenset()  # of them, those that the last assignment has paused
        self._partitions = 0  # of each topic, once `topology` has asked
        self._rebalanced = False
        self._leaving = False
        self._failed: Exception | None = None
        self._quiet_until: dict[int, float] = {}
        config = consumer_config(settings) | {
            "error_cb": self._on_error,
            "enable.partition.eof": True,
            "logger": logging.getLogger("grayline.kafka"),
        }
        self._consumer: Any = clients.consumer(config, in_columns=True)
        self.group = Group(self._consumer)
        self.lag: dict[Place, int] = {}  # records behind the end of each owned place, as of the last second
        self._lag_at = 0.0
        self.stuck_s: dict[Place, float] = {}  # places whose stable offset lies before their end, and since when
        self._ends: dict[Place, int] = {}  # where a partition was last read to its stable end
        self._stuck: dict[Place, tuple[int, float]] = {}  # that end, and when it was first seen before the end of all
        self._to_resume: SimpleQueue[list[Place]] = SimpleQueue()

    def topology(self) -> tuple[str, int]:
        """(the cluster's id, the partition count of the topics). Raises BrokerAway, KafkaException; Refused, also when
        the group last worked with another count, or with topics that were made anew since."""
        cluster = ""
        counts = {}
        for topic in self._topics:
            metadata = self._consumer.list_topics(topic, timeout=BROKER_TIMEOUT_S)
            cluster = metadata.cluster_id or cluster
            known = metadata.topics[topic]
            if known.error is not None and meaning_of(known.error) is Meaning.LEADER:
                raise BrokerAway(f"the brokers do not know who leads {topic!r}: {known.error.str()}")
            counts[topic] = len(known.partitions)
        if len(set(counts.values())) != 1 or 0 in counts.values():
            shown = ", ".join(f"{topic}: {count}" for topic, count in counts.items())
            raise Refused(f"the topics that a worker reads must have equal partition counts, at least 1 ({shown})")
        self._partitions = counts[self._topics[0]]
        notes, settings = self._notes(), self._settings
        refuse_changed_count(notes, self._partitions, settings.group)
        self._ids.learn()
        refuse_topics_made_anew(notes, self._ids.known, settings.start_from is not None, settings.new_ledger)
        return cluster, self._partitions

    def _notes(self) -> dict[Place, str]:
        """Beside the committed offsets of all places, other workers' included: partitions that are new have none."""
        places = [TopicPartition(topic, p) for topic in self._topics for p in range(self._partitions)]
        try:
            committed = committed_offsets(self._consumer, places, NOTES_TIMEOUT_S, self._settings.group)
        except BrokerAway:
            self._refuse_a_missing_right()
            raise
        return {(place.topic, place.partition): place.metadata or "" for place in committed}

    def _refuse_a_missing_right(self) -> None:
        """librdkafka asks on for a coordinator that the broker denies to this user, and says so only to whoever polls.
        Raises Refused."""
        for message in errors_in(self._consumer.consume(100, POLL_S), self._message_type):
            error = message.error()
            if meaning_of(error) in (Meaning.NO_RIGHT, Meaning.NO_GROUP):
                raise Refused(lacks_the_group(self._settings.group, error))

    def subscribe(self, owner: Owner) -> None:
        """Joins the group. `owner` hears of every change of partitions, in the fetching thread."""
        self._owner = owner
        self._subscribe()

    def _subscribe(self) -> None:
        self._subscribed = self._subscription
        self._consumer.subscribe(
            self._subscribed, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def fetch(self) -> Epoch | None:
        """The next epoch, or None when nothing came in time. Raises Refused, ReadFailed, KafkaException."""
        with self.group.polling:
            while not self._to_resume.empty():
                places = [place for place in self._to_resume.get() if place in self._position]
                self._consumer.resume([TopicPartition(*place) for place in places])
            if self._subscribed != self._subscription:
                self._subscribe()
            messages = self._consumer.consume(self._settings.batch_size, self._settings.poll_timeout_ms / 1000)
            self.group.serve()
            self._note_lag()
        if self._failed is not None:
            raise self._failed
        rebalanced, self._rebalanced = self._rebalanced, False
        if errors := errors_in(messages, self._message_type):
            for message in errors:
                self._on_error(message.error(), message)
            if self._failed is not None:
                raise self._failed
            messages = without_errors(messages)
        if rebalanced:  # what was gathered before it of a partition that waits now comes again behind `resume`
            read = {place: at for place, at in self._position.items() if place not in self._waiting}
            messages = still_owned(messages, read)
        if not messages:
            return None
        epoch = epoch_of(messages, self._topics, self._code_of, self._message_type)
        # What comes of a partition that was given up has passed the change of hands inside librdkafka.
        if not epoch.next_offsets.keys() <= self._position.keys() or goes_back(epoch, self._position):
            messages = still_owned(messages, self._position)
            if not messages:
                return None
            epoch = epoch_of(messages, self._topics, self._code_of, self._message_type)
        self._position.update(epoch.next_offsets)
        return epoch

    def resume(self, places: list[Place]) -> None:
        """From any thread: from the next poll on, read these places, which are assigned and paused."""
        self._to_resume.put(places)

    def count(self, topics: Iterable[str]) -> None:
        """From any thread: this worker is to count these topics as well, from now on. Raises Refused where it has other
        partitions of one than of those that it counts, since some member of the group does not read it."""
        before = self._counted
        self._counted = before | set(topics)  # first: an assignment at this moment is looked at here or there
        try:
            self._owned()
        except Refused:
            self._counted = before
            raise

    def _asks_again(self, assigned: Mapping[str, list[int]], owned: frozenset[int]) -> bool:
        """A named member that comes back is given what it had, whatever it subscribes to now: of a topic that is new to
        it, nothing. Only another subscription makes the group share out anew, so there are two more, once."""
        every = list(self._topics)
        if self._subscribed != every:
            self._subscription = every
        elif owned and not self._told and not all(assigned.values()):
            self._told = True
            self._subscription = [topic for topic in every if topic in self._counted]
        return self._subscribed != self._subscription

    def _owned(self) -> frozenset[int]:
        counted = self._counted
        return owned_partitions({topic: numbers for topic, numbers in self._assigned.items() if topic in counted})

    def decline(self) -> None:
        """From any thread: this worker is about to leave. It takes over no partitions any more, whatever the group
        gives it."""
        self._leaving = True

    def close(self) -> None:
        """Leaves the group; its last revoke drains like any other.

        That is not left to the consumer's own `close`, inside which no other call is answered."""
        self.decline()
        with self.group.polling:
            # A named worker's partitions wait for it (`session.timeout.ms`): `close` alone leaves it its place.
            if not self._settings.name:
                self._consumer.unsubscribe()
                until = time.monotonic() + LEAVE_LIMIT_S
                while self._consumer.assignment() and time.monotonic() < until:
                    self._consumer.consume(1, POLL_S)
            self._consumer.close()

    def _note_lag(self) -> None:
        """Notes the lag, as the last fetches reported it; no call to the broker."""
        if time.monotonic() < self._lag_at:
            return
        self._lag_at = time.monotonic() + LAG_INTERVAL_S
        lag: dict[Place, int] = {}
        stuck: dict[Place, tuple[int, float]] = {}
        for place, position in self._position.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            if high >= 0:
                # The ends of transactions take offsets, too: behind the last record there may be nothing to read.
                lag[place] = 0 if self._ends.get(place, -1) >= high else max(0, high - position)
                if position <= (end := self._ends.get(place, -1)) < high:  # behind it lies an open transaction
                    before = self._stuck.get(place, (-1, 0.0))
                    stuck[place] = before if before[0] == end else (end, self._lag_at)
        self.lag, self._stuck = lag, stuck
        self.stuck_s = {place: self._lag_at - since_s for place, (_, since_s) in stuck.items()}

    def _on_assign(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._rebalanced = True
        # A rebalance that began before this worker leaves may be heard of as late as inside the consumer's `close`,
        # where the committed offsets would be waited for in vain.
        if self._leaving:
            consumer.assign([])
            return
        self.group.joined()
        try:
            self._ids.check_a_while()  # first: whatever else is wrong then comes from it
            assigned = {topic: [p.partition for p in partitions if p.topic == topic] for topic in self._topics}
            self._assigned = assigned
            owned = self._owned()
            if max(owned, default=0) >= self._partitions:
                raise Refused(
                    f"the topics have more than the {self._partitions} partitions that they had at the start: numbers "
                    "belong to other partitions now. Start the worker again: it says what to do"
                )
            if not self._asks_again(assigned, owned):
                _warn_of_unread(assigned, owned)
            partitions = [p for p in partitions if p.partition in owned]
            settings = self._settings
            start = start_offsets(consumer, partitions, settings.start_from, settings.group, self._ids.known)
            for gap in start.gaps:
                log.error("gap: %s", gap)
                self._trouble("gap")
            waiting = self._owner.assigned(start)
        except Exception as problem:  # an exception would be lost inside librdkafka's callback: `fetch` raises it
            self._failed = problem
            consumer.assign([])
            return
        self._position = dict(start.offsets)
        self._waiting = frozenset(waiting)
        self._consumer.forward(start.offsets)
        consumer.assign([TopicPartition(*place, offset) for place, offset in start.offsets.items()])
        # librdkafka keeps a pause for a partition that goes and comes back: one that was given up before `resume` was
        # served would never be read again.
        consumer.resume([TopicPartition(*place) for place in start.offsets if place not in waiting])
        consumer.pause([TopicPartition(*place) for place in waiting])

    def _on_revoke(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, lost=False)

    def _on_lost(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._give_up(partitions, lost=True)

    def _give_up(self, partitions: list[TopicPartition], lost: bool) -> None:
        self._rebalanced = True
        self._position, self._assigned = {}, {}
        if lost:
            self.group.left()
        try:
            self._owner.revoked(lost)
        except Exception as problem:  # as in `_on_assign`; without a commit, the next owner reads the records again
            log.error("partitions given up without a commit: %s", problem or type(problem).__name__)
            self._failed = self._failed or problem
        self.group.left()
        while not self._to_resume.empty():  # should they come back, they are restored and resumed anew
            self._to_resume.get()

    def _on_error(self, error: KafkaError, message: Message | Trouble | None = None) -> None:
        """Handles an error: the end of a partition is ignored, errors that heal by themselves are logged now and then,
        others stop the worker."""
        meaning, code = meaning_of(error), error.code()
        if meaning is Meaning.END:
            if message is not None:
                self._ends[message.topic(), message.partition()] = message.offset()
            return
        if meaning is Meaning.LOST_OFFSET and message is not None:
            self._failed = self._made_anew() or Refused(
                f"the next records of partition {message.partition()} of {message.topic()!r} are no longer at the "
                f"broker ({error.str()}); start again with --from earliest, latest or TIME to go on behind the gap"
            )
        elif error.fatal() or meaning in HOPELESS:
            self._failed = ReadFailed(f"the broker refuses to be read: {error.str()}")
        else:
            self._trouble(error.name())
            now = time.monotonic()
            if now >= self._quiet_until.get(code, 0.0):
                self._quiet_until[code] = now + REPEATED_ERROR_QUIET_S
                log.warning("broker trouble, going on: code=%s %s", error.name(), error.str())

    def _made_anew(self) -> Refused | None:
        """Returns what explains a lost offset, if a topic was made anew."""
        try:
            self._ids.check_once()
        except Refused as why:
            return why
        except BrokerAway:
            pass
        return None


def _warn_of_unread(assigned: Mapping[str, list[int]], owned: frozenset[int]) -> None:
    """Warns of a topic that no rule counts: some of its partitions may have no reader until all members of the group
    read it."""
    for topic, numbers in assigned.items():
        if set(numbers) != owned:
            log.warning(
                "%s: partitions %s are assigned, and %s of the topics that rules count: partitions that are not "
                "in both have no reader until every member of the group runs with --topics %s",
                topic, sorted(numbers), sorted(owned), topic,
            )  # fmt: skip
