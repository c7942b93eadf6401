"""Transactional delivery on a real broker, with faults between it and its clients: what is committed is committed
once, together with its offsets, or not at all."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.delivery.at_least_once import AtLeastOnce
from streams.delivery.contract import DeliveryFailed, Fenced
from streams.delivery.transactional import Transactional, is_member
from streams.ingest.epoch import OutRecord
from streams.kafka.clients import Clients
from streams.kafka.consumer_calls import Group
from streams.kafka.notes import noted_parts
from streams.kafka.settings import KafkaSettings
from tests.conftest import missing
from tests.kafka_broker import Broker, KafkaUnavailable
from tests.kafka_proxy import (
    ADD_OFFSETS_TO_TXN,
    CUT_ANSWER,
    DROP_ANSWER,
    END_TXN,
    HOLD_ANSWER,
    HOLD_REQUEST,
    REFUSE,
    TXN_OFFSET_COMMIT,
    Proxy,
)

pytestmark = pytest.mark.kafka

PARTITIONS = 2
LONG_S = 60.0
SETTLE_S = 0.5
UNCOMMITTED = {"isolation.level": "read_uncommitted"}
# The shortest that librdkafka takes is 1 s; what is unanswered is given up after this.
TRANSACTION_MS = 3000
SMALL_RECORDS = 1000  # bytes a record may have on the topic `small`


@dataclass
class Scene:
    """One test's input and output topics and its group, on the broker that all tests share."""

    broker: Broker
    proxy: Proxy
    name: str
    troubles: list[str] = field(default_factory=list)
    ends: ExitStack = field(default_factory=ExitStack)

    @property
    def places(self) -> list[TopicPartition]:
        return [TopicPartition(f"{self.name}-in", partition) for partition in range(PARTITIONS)]

    def member(self, on_revoke: Callable[[], None] = lambda: None, **settings: Any) -> Consumer:
        """A consumer that has joined the group."""
        assigned = threading.Event()
        config = KafkaSettings(brokers=self.broker.bootstrap).consumer(f"{self.name}-group", offset_reset="earliest")
        consumer = Consumer(config | settings)
        self.ends.callback(consumer.close)
        consumer.subscribe([f"{self.name}-in"], on_assign=lambda *_: assigned.set(), on_revoke=lambda *_: on_revoke())
        while not assigned.is_set():
            consumer.poll(0.1)
        return consumer

    def delivery(self, consumer: Any, name: str | None = None, **settings: Any) -> Transactional:
        """An open delivery whose producer talks to the broker through the proxy."""
        name = name or f"{self.name}-worker"
        config = KafkaSettings(brokers=self.proxy.bootstrap).producer(transactional_id=name)
        delivery = Transactional(
            config | {"transaction.timeout.ms": TRANSACTION_MS} | settings, consumer, transactional_id=name,
            note_parts=PARTITIONS, clients=Clients(), trouble=self.troubles.append, patience_s=0.1,
        )  # fmt: skip
        self.ends.callback(delivery.close)
        delivery.open()
        return delivery

    def records(self, first: int, count: int = 100) -> list[OutRecord]:
        return [OutRecord(f"{self.name}-out", b"key-%d" % i, b"%d" % i) for i in range(first, first + count)]

    def offsets(self, offset: int) -> dict[tuple[str, int], int]:
        return {(place.topic, place.partition): offset for place in self.places}

    def committed(self, consumer: Any) -> tuple[int, str | None]:
        """The offset and the note that all partitions of the input share."""
        found = {(place.offset, place.metadata) for place in consumer.committed(self.places, timeout=LONG_S)}
        assert len(found) == 1, found
        return found.pop()

    def visible(self, isolation: str = "read_committed", topic: str = "out") -> list[int]:
        """The numbers that a reader of the output sees now, sorted. How a transaction ended reaches the partitions a
        moment after its producer is told: a stable end before the end is waited for."""
        reader = Consumer({
            "bootstrap.servers": self.broker.bootstrap, "group.id": f"reader-{uuid.uuid4()}",
            "enable.auto.commit": False, "enable.partition.eof": True, "isolation.level": isolation,
        })  # fmt: skip
        try:
            reader.assign([TopicPartition(f"{self.name}-{topic}", partition, 0) for partition in range(PARTITIONS)])
            found: list[int] = []
            ends: dict[int, int] = {}  # stable ones, as far as they were reached
            settled_s = time.monotonic() + SETTLE_S
            while len(ends) < PARTITIONS or (self._is_behind(ends, topic) and time.monotonic() < settled_s):
                message = reader.poll(SETTLE_S if len(ends) == PARTITIONS else LONG_S)
                if message is None:
                    assert len(ends) == PARTITIONS, f"no end of {topic} within {LONG_S:g} s"
                elif message.error() is None:
                    found.append(int(message.value().split()[0]))
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ends[message.partition()] = message.offset()
            return sorted(found)
        finally:
            reader.close()

    def _is_behind(self, ends: dict[int, int], topic: str) -> bool:
        """True if there is something behind these stable ends, of transactions that are open or only just over."""
        reader = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "ends"} | UNCOMMITTED)
        try:
            places = [TopicPartition(f"{self.name}-{topic}", partition) for partition in ends]
            return any(
                reader.get_watermark_offsets(place, timeout=LONG_S)[1] > ends[place.partition] for place in places
            )
        finally:
            reader.close()

    def wait_for_abort_by_broker(self) -> None:
        """Until the broker has timed out the open transaction: an abort marker follows the records."""
        with_markers = len(self.visible("read_uncommitted")) + PARTITIONS
        reader = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "ends"})
        try:
            ends = [TopicPartition(f"{self.name}-out", partition) for partition in range(PARTITIONS)]
            while sum(reader.get_watermark_offsets(end, timeout=LONG_S)[1] for end in ends) < with_markers:
                pass
        finally:
            reader.close()


@pytest.fixture(scope="module")
def behind_proxy() -> Iterator[tuple[Broker, Proxy]]:
    with Proxy() as proxy:
        try:
            broker = Broker(
                proxy_port=proxy.port,
                settings={
                    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
                    "group.min.session.timeout.ms": "1000",
                },
            )
        except KafkaUnavailable as why:
            missing(str(why))
        with broker:
            proxy.target = broker.behind_proxy
            yield broker, proxy


@pytest.fixture
def scene(behind_proxy: tuple[Broker, Proxy]) -> Iterator[Scene]:
    broker, proxy = behind_proxy
    scene = Scene(broker, proxy, f"t{uuid.uuid4().hex[:8]}")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    topics = [NewTopic(f"{scene.name}-{what}", PARTITIONS, 1) for what in ("in", "out")]
    topics.append(NewTopic(f"{scene.name}-small", PARTITIONS, 1, config={"max.message.bytes": str(SMALL_RECORDS)}))
    for made in admin.create_topics(topics).values():
        made.result()
    with scene.ends:
        yield scene


class Frozen:
    """A member as it was: its session may end, its group go on without it."""

    def __init__(self, consumer: Consumer) -> None:
        self._metadata = consumer.consumer_group_metadata()

    def consumer_group_metadata(self) -> bytes:
        return self._metadata


def test_records_and_offsets_become_visible_together(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    delivery.produce(scene.records(0))
    delivery.produce(scene.records(100))
    assert scene.visible() == []
    assert scene.committed(consumer)[0] < 0
    assert delivery.commit(scene.offsets(7))
    assert scene.visible() == list(range(200))
    assert scene.committed(consumer) == (7, delivery.note)
    assert noted_parts(delivery.note) == PARTITIONS


def test_offsets_alone_are_committed_and_nothing_at_all_is_no_transaction(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    assert delivery.commit({})
    assert delivery.note == ""
    assert delivery.commit(scene.offsets(3))
    assert scene.committed(consumer) == (3, delivery.note)


def test_records_without_offsets_are_refused(scene: Scene) -> None:
    delivery = scene.delivery(scene.member())
    delivery.produce(scene.records(0))
    with pytest.raises(ValueError, match="100 records without offsets"):
        delivery.commit({})


def test_what_was_aborted_on_purpose_is_never_seen(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    delivery.produce(scene.records(0))
    delivery.abort()
    delivery.produce(scene.records(100))
    assert delivery.commit(scene.offsets(1))
    assert scene.visible() == list(range(100, 200))


def test_an_abortable_error_produces_the_same_records_once(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    refused = scene.proxy.once(ADD_OFFSETS_TO_TXN, REFUSE)
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(5))
    assert refused.happened.is_set()
    assert scene.troubles == ["txn_aborted"]
    assert scene.visible() == list(range(100))
    assert scene.visible("read_uncommitted") == sorted(2 * list(range(100)))
    assert scene.committed(consumer) == (5, delivery.note)


def test_the_answer_to_the_end_is_lost(scene: Scene) -> None:
    """It was committed: the note among the offsets says so, and nothing is produced again."""
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    lost = scene.proxy.once(END_TXN, DROP_ANSWER)
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(5))
    assert lost.happened.is_set()
    assert "producer_replaced" in scene.troubles
    assert scene.committed(consumer) == (5, delivery.note)
    assert scene.visible("read_uncommitted") == list(range(100))
    delivery.produce(scene.records(100))
    assert delivery.commit(scene.offsets(6))
    assert scene.visible() == list(range(200))


# The last one before the end was asked for: abort, and the same records once more.
UNANSWERED = (
    (END_TXN, CUT_ANSWER), (TXN_OFFSET_COMMIT, CUT_ANSWER), (ADD_OFFSETS_TO_TXN, CUT_ANSWER),
    (TXN_OFFSET_COMMIT, DROP_ANSWER),
)  # fmt: skip


@pytest.mark.parametrize(("api", "fault"), UNANSWERED)
def test_an_answer_that_never_comes_or_a_connection_that_is_cut_instead(scene: Scene, api: int, fault: str) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    made = scene.proxy.once(api, fault)
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(5))
    assert made.happened.is_set()
    assert scene.visible() == list(range(100))
    assert scene.committed(consumer) == (5, delivery.note)


def test_an_answer_that_comes_during_the_next_transaction_ends_nothing(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    late = scene.proxy.once(END_TXN, HOLD_ANSWER)
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(5))
    assert late.happened.is_set()
    delivery.produce(scene.records(100))
    late.release()
    assert late.delivered.wait(LONG_S)
    assert scene.visible() == list(range(100))
    assert scene.committed(consumer)[0] == 5
    assert delivery.commit(scene.offsets(6))
    assert scene.visible() == list(range(200))
    assert scene.visible("read_uncommitted") == list(range(200))


def test_an_end_that_arrives_during_the_next_transaction_is_refused(scene: Scene) -> None:
    """The request itself is late: it must not commit half of what came after."""
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    late = scene.proxy.once(END_TXN, HOLD_REQUEST)
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(5))
    assert late.happened.is_set()
    assert "producer_replaced" in scene.troubles
    assert scene.visible() == list(range(100))
    delivery.produce(scene.records(100))
    late.release()
    assert late.delivered.wait(LONG_S)
    assert scene.visible() == list(range(100))
    assert scene.committed(consumer)[0] == 5
    assert delivery.commit(scene.offsets(6))
    assert scene.visible() == list(range(200))


def test_the_broker_is_killed_in_the_middle_of_a_transaction(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(1))
    delivery.produce(scene.records(100))
    scene.broker.kill()
    delivery.produce(scene.records(200))
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(delivery.commit, scene.offsets(2))
        scene.broker.start()
        assert outcome.result(LONG_S)
    assert scene.visible() == list(range(300))
    assert scene.committed(consumer) == (2, delivery.note)


def test_a_transaction_that_the_broker_timed_out_is_produced_again(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    delivery.produce(scene.records(0))
    scene.wait_for_abort_by_broker()
    delivery.produce(scene.records(100))
    assert delivery.commit(scene.offsets(5))
    assert "txn_fenced" not in scene.troubles
    assert scene.visible() == list(range(200))
    assert scene.committed(consumer) == (5, delivery.note)


def test_a_transaction_that_the_broker_timed_out_just_before_its_end_is_produced_again(scene: Scene) -> None:
    """The end is asked for in time and arrives too late."""
    consumer = scene.member()
    delivery = scene.delivery(consumer)
    late = scene.proxy.once(END_TXN, HOLD_REQUEST)
    delivery.produce(scene.records(0))
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(delivery.commit, scene.offsets(5))
        assert late.happened.wait(LONG_S)
        scene.wait_for_abort_by_broker()
        late.release()
        assert outcome.result(LONG_S)
    assert scene.visible() == list(range(100))
    assert scene.committed(consumer) == (5, delivery.note)


def test_a_commit_during_a_rebalance_learns_whether_it_happened(scene: Scene) -> None:
    """The consumer's own thread is inside its revoke callback and waits for the commit, as a worker's does."""
    outcomes: list[bool] = []
    with ThreadPoolExecutor(2) as threads:

        def drain() -> None:
            if not outcomes:
                outcome = threads.submit(delivery.commit, scene.offsets(5))
                while not outcome.done():
                    group.serve(0.05)
                outcomes.append(outcome.result())

        consumer = scene.member(drain)
        group = Group(consumer)
        group.joined()
        delivery = scene.delivery(group)
        delivery.produce(scene.records(0))
        lost = scene.proxy.once(END_TXN, DROP_ANSWER)
        joining = threads.submit(scene.member)
        while not outcomes or not joining.done():
            with group.polling:
                consumer.poll(0.1)
    assert outcomes == [True]
    assert lost.happened.is_set()
    assert scene.committed(consumer) == (5, delivery.note)
    assert scene.visible() == list(range(100))


def test_a_former_member_of_the_group_writes_nothing(scene: Scene) -> None:
    first = scene.member()
    zombie = scene.delivery(Frozen(first), "zombie")
    zombie.produce(scene.records(0))
    first.close()
    second = scene.member()
    delivery = scene.delivery(second)
    delivery.produce(scene.records(100))
    assert delivery.commit(scene.offsets(9))
    assert not zombie.commit(scene.offsets(5))
    assert zombie.note == ""
    assert scene.visible() == list(range(100, 200))
    assert scene.committed(second) == (9, delivery.note)
    assert zombie.commit({})  # and remembers nothing of it


def test_a_consumer_that_was_put_out_of_its_group_commits_nothing(scene: Scene) -> None:
    consumer = scene.member(**{"session.timeout.ms": 2000, "max.poll.interval.ms": 2000})
    delivery = scene.delivery(consumer)
    delivery.produce(scene.records(0))
    assert is_member(consumer.consumer_group_metadata())
    put_out = threading.Event()
    while is_member(consumer.consumer_group_metadata()):  # because it does not poll
        put_out.wait(0.05)
    assert not delivery.commit(scene.offsets(5))
    assert scene.visible() == []
    assert scene.committed(consumer)[0] < 0


def test_a_consumer_that_never_joined_its_group_commits_nothing(scene: Scene) -> None:
    """The broker would let such offsets pass."""
    config = KafkaSettings(brokers=scene.broker.bootstrap).consumer(f"{scene.name}-group")
    consumer = Consumer(config)
    scene.ends.callback(consumer.close)
    delivery = scene.delivery(consumer)
    delivery.produce(scene.records(0))
    assert not delivery.commit(scene.offsets(5))
    assert scene.visible() == []
    assert scene.committed(consumer)[0] < 0


def test_of_two_workers_with_one_name_the_newer_survives_and_the_other_says_why(scene: Scene) -> None:
    name = f"{scene.name}-static"
    first = scene.member(**{"group.instance.id": name})
    older = scene.delivery(first, name)
    older.produce(scene.records(0))
    second = scene.member(**{"group.instance.id": name})
    newer = scene.delivery(second, name)
    newer.produce(scene.records(100))
    with pytest.raises(Fenced, match=f"the name '{name}' belongs to another process now.*--name"):
        older.commit(scene.offsets(5))
    newer.produce(scene.records(200))
    assert newer.commit(scene.offsets(6))
    assert scene.visible() == list(range(100, 300))
    assert scene.committed(second) == (6, newer.note)


def test_a_record_that_the_topic_does_not_take_ends_the_worker_and_commits_nothing(scene: Scene) -> None:
    consumer = scene.member()
    delivery = scene.delivery(consumer, **{"compression.type": "none"})
    delivery.produce(scene.records(0))
    delivery.produce([OutRecord(f"{scene.name}-small", b"key", b"1 " + b"x" * SMALL_RECORDS)])
    with pytest.raises(DeliveryFailed, match="cannot be delivered, nothing was committed"):
        delivery.commit(scene.offsets(5))
    assert scene.visible() == []
    assert scene.committed(consumer)[0] < 0


def test_more_than_the_queue_holds_is_handed_over_piece_by_piece(scene: Scene) -> None:
    """Snapshots come as chunks of half a megabyte, many to a transaction."""
    delivery = scene.delivery(scene.member(), **{"queue.buffering.max.kbytes": 1024})
    filling = b" ".join(b"%d" % (i * 7919) for i in range(70_000))
    chunks = [OutRecord(f"{scene.name}-out", None, b"%d " % i + filling, partition=i % PARTITIONS) for i in range(12)]
    delivery.produce(chunks)
    assert delivery.commit(scene.offsets(5))
    assert scene.visible() == list(range(12))


def test_closing_ends_a_commit_that_waits_for_a_broker(scene: Scene) -> None:
    delivery = scene.delivery(scene.member())
    scene.broker.suspend()
    try:
        delivery.produce(scene.records(0))
        with ThreadPoolExecutor(1) as thread:
            outcome = thread.submit(delivery.commit, scene.offsets(5))
            delivery.close()
            with pytest.raises(DeliveryFailed, match="the broker does not answer"):
                outcome.result(LONG_S)
    finally:
        scene.broker.resume()


def test_a_new_process_with_the_name_aborts_what_its_predecessor_left_open(scene: Scene) -> None:
    consumer = scene.member()
    killed = scene.delivery(consumer)
    killed.produce(scene.records(0))
    scene.visible("read_uncommitted")
    restarted = scene.delivery(consumer)
    restarted.produce(scene.records(100))
    assert restarted.commit(scene.offsets(5))
    assert scene.visible() == list(range(100, 200))


def test_at_least_once_leaves_its_note_beside_the_offsets(scene: Scene) -> None:
    consumer = scene.member()
    config = KafkaSettings(brokers=scene.proxy.bootstrap).producer()
    delivery = AtLeastOnce(config, consumer, note_parts=PARTITIONS, clients=Clients(), trouble=scene.troubles.append)
    delivery.open()
    delivery.produce(scene.records(0))
    assert delivery.commit(scene.offsets(5))
    assert scene.visible() == list(range(100))
    assert scene.committed(consumer) == (5, delivery.note)
    assert noted_parts(delivery.note) == PARTITIONS
