"""Apache Kafka as its clients meet it: logs, transactions and groups in memory, on the scheduler's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from confluent_kafka import KafkaError

from tests.sim.fibers import NEVER_MS
from tests.sim.groups import Groups
from tests.sim.log import Headers, PartitionLog
from tests.sim.transactions import Coordinator, GroupOffsets, Place, Refusal, Transaction


class FakeBroker:
    """topics: name -> partition count. marker_delay_ms: asked for each partition that has to hear how a transaction
    ended. `away_until_ms`: until then no client gets an answer."""

    def __init__(
        self, topics: Mapping[str, int], clock: Callable[[], int], marker_delay_ms: Callable[[], int] = lambda: 0
    ) -> None:
        self.clock = clock
        self._marker_delay_ms = marker_delay_ms
        self.away_until_ms = 0
        self.logs = {(topic, p): PartitionLog() for topic, count in topics.items() for p in range(count)}
        self._topics = dict(topics)
        self.ids = {topic: f"{topic}-0" for topic in topics}
        self.groups = Groups(clock, self.partitions)
        self.transactions = Coordinator(clock, self._finish)
        self._late: list[tuple[int, Callable[[], None]]] = []  # requests still on their way: (when they arrive, what)

    def partitions(self, topic: str) -> int:
        if topic not in self._topics:
            raise Refusal(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no topic {topic}")
        return self._topics[topic]

    def places(self, topic: str) -> list[Place]:
        return [(topic, p) for p in range(self.partitions(topic))]

    def grow(self, topics: Iterable[str], count: int) -> None:
        """An operator gives these topics more partitions; consumers learn of it, and their groups rebalance."""
        for topic in topics:
            self.logs |= {(topic, p): PartitionLog() for p in range(self._topics[topic], count)}
            self._topics[topic] = count
        self.groups.rebalance()

    def make_anew(self, topic: str) -> None:
        """Somebody deletes a topic and makes it again: its records and all commits in it are gone."""
        self.ids[topic] = f"{topic}-{int(self.ids[topic].rpartition('-')[2]) + 1}"
        self.logs |= {place: PartitionLog() for place in self.places(topic)}
        for group in self.groups.groups.values():
            for place in self.places(topic):
                group.offsets.pop(place, None)

    @property
    def is_away(self) -> bool:
        return self.clock() < self.away_until_ms

    def tick(self) -> int:
        """Does what is due by the clock; returns when it wants to be asked again at the latest."""
        if self.is_away:
            return self.away_until_ms
        now_ms = self.clock()
        due = [act for at_ms, act in self._late if at_ms <= now_ms]
        self._late = [late for late in self._late if late[0] > now_ms]
        for act in due:
            act()
        self.transactions.time_out()
        self.groups.beat()
        coming = [at_ms for at_ms, _ in self._late]
        return min([*coming, *self.transactions.next_ms(), *self.groups.next_ms()], default=NEVER_MS)

    def end_later(self, delay_ms: int, transactional_id: str, epoch: int, outcome: str) -> None:
        """The end of a transaction is asked for long after its client has given up waiting; should the transaction be
        over by then, nothing happens: a broken connection never delivers into the next one."""
        transaction = self.transactions.ids[transactional_id]
        began_ms = transaction.began_ms

        def arrive() -> None:
            if transaction.epoch == epoch and transaction.is_open and transaction.began_ms == began_ms:
                self.transactions.end(transactional_id, epoch, outcome)

        self._late.append((self.clock() + delay_ms, arrive))

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
        transaction: tuple[str, int] | None = None,
    ) -> int:
        """transaction: (transactional id, epoch). Raises Refusal."""
        log = self.logs[place]
        timestamp_ms = self.clock() if timestamp_ms is None else timestamp_ms
        producer = -1
        if transaction is not None:
            producer = self.transactions.enter(*transaction, place).producer
        return log.append(timestamp_ms, key, value, headers, producer)

    def commit_offsets(
        self, group: str, member: str, generation: int, instance: str, offsets: GroupOffsets,
        transaction: tuple[str, int] | None = None,
    ) -> None:  # fmt: skip
        """At once, or pending until the transaction ends. Raises Refusal."""
        self.groups.check_commit(group, member, generation, instance, is_transactional=transaction is not None)
        if transaction is None:
            self.groups.store(group, offsets)
        else:
            self.transactions.add_offsets(*transaction, group, offsets)

    def _finish(self, transaction: Transaction, outcome: str) -> None:
        """Each partition hears of it by itself, and so does each group: readers of one may know while others wait."""
        for place in sorted(transaction.places):
            self._soon(partial(self._mark, transaction, place, outcome))
        for group in sorted(transaction.offsets):
            self._soon(partial(self._settle, transaction, group, outcome))

    def _soon(self, act: Callable[[], None]) -> None:
        delay_ms = self._marker_delay_ms()
        if delay_ms:
            self._late.append((self.clock() + delay_ms, act))
        else:
            act()

    def _mark(self, transaction: Transaction, place: Place, outcome: str) -> None:
        self.logs[place].mark(self.clock(), transaction.producer, outcome)
        transaction.places.discard(place)

    def _settle(self, transaction: Transaction, group: str, outcome: str) -> None:
        offsets = transaction.offsets.pop(group)
        if outcome == "commit":
            self.groups.store(group, offsets)
