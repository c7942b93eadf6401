"""Deliveries when the broker does not answer, or answers badly: against a broker small enough to read, whose every
answer a test or Hypothesis chooses. The same on a real broker: tests/integration/test_transactions.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.delivery.at_least_once import AtLeastOnce
from streams.delivery.contract import DeliveryFailed, Fenced
from streams.delivery.transactional import ATTEMPTS_MAX, Transactional, is_member
from streams.ingest.epoch import OutRecord
from streams.kafka.clients import Clients
from streams.kafka.notes import noted_parts

OFFSETS = {("cdr", 0): 10, ("cdr", 1): 20}
OK = "ok"
ABORTABLE = "abortable error"
REBALANCED = "the generation is old"
LOST = "done, but never answered"
IGNORED = "neither done nor answered"
TIMED_OUT = "the broker has aborted the transaction and moved the epoch on"


def error(code: int, *, fatal: bool = False, retriable: bool = False, abort: bool = False) -> KafkaException:
    return KafkaException(KafkaError(code, None, fatal, retriable, abort))


@dataclass
class MiniBroker:
    """One group, one transactional id. `fate` names what happens to each next call; then all goes well.

    `visible` is what read-committed readers see, `offsets` what is committed: place -> (offset, note)."""

    fate: list[str] = field(default_factory=list)
    epoch: int = 0
    pending: list[tuple[str, bytes]] = field(default_factory=list)
    pending_offsets: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    visible: list[tuple[str, bytes]] = field(default_factory=list)
    offsets: dict[tuple[str, int], tuple[int, str]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def next_fate(self) -> str:
        return self.fate.pop(0) if self.fate else OK

    def end(self, commit: bool) -> None:
        if commit:
            self.visible += self.pending
            self.offsets |= self.pending_offsets
        self.pending, self.pending_offsets = [], {}

    def move_epoch(self) -> None:
        self.end(commit=False)
        self.epoch += 1


class MiniProducer:
    def __init__(self, broker: MiniBroker) -> None:
        self._broker = broker
        self._epoch = -1
        self._must_abort = False

    def init_transactions(self, timeout: float) -> None:
        self._broker.move_epoch()
        self._epoch = self._broker.epoch
        self._broker.log.append("init")

    def begin_transaction(self) -> None:
        self._check_epoch()
        self._must_abort = False

    def produce(self, topic: str, *, key: bytes, value: bytes, on_delivery: Any) -> None:
        self._check_epoch()
        self._broker.pending.append((topic, value))

    def poll(self, timeout: float) -> int:
        return 0

    def flush(self, timeout: float) -> int:
        self._broker.log.append("flush")
        return 0

    def send_offsets_to_transaction(self, places: Sequence[TopicPartition], member: bytes, timeout: float) -> None:
        self._broker.log.append("offsets")
        fate = self._fate()
        if fate == REBALANCED:
            self._must_abort = True
            raise error(KafkaError.ILLEGAL_GENERATION, abort=True)
        if fate != OK:
            self._must_abort = True
            raise error(KafkaError.UNKNOWN, abort=True)
        self._broker.pending_offsets = {(p.topic, p.partition): (p.offset, p.metadata) for p in places}

    def commit_transaction(self, timeout: float) -> None:
        self._broker.log.append("commit")
        assert not self._must_abort, "librdkafka would not end this transaction"
        fate = self._fate()
        if fate in (OK, LOST):
            self._broker.end(commit=True)
        if fate != OK:
            raise error(KafkaError._TIMED_OUT, abort=True)

    def abort_transaction(self, timeout: float) -> None:
        self._broker.log.append("abort")
        fate = self._fate()
        if fate in (OK, LOST):
            self._broker.end(commit=False)
        if fate != OK:
            raise error(KafkaError._TIMED_OUT, retriable=False)

    def _fate(self) -> str:
        self._check_epoch()
        fate = self._broker.next_fate()
        if fate == TIMED_OUT:
            self._broker.move_epoch()
        self._check_epoch()
        return fate

    def _check_epoch(self) -> None:
        if self._epoch != self._broker.epoch:
            raise error(KafkaError._FENCED, fatal=True)


@dataclass
class MiniConsumer:
    broker: MiniBroker
    member: bytes | None = b"CGMDv2:\x01\x00\x00\x00group\x00member-1\x00\x01"

    def consumer_group_metadata(self) -> bytes | None:
        return self.member

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        known = self.broker.offsets
        found = [(p.topic, p.partition, *known.get((p.topic, p.partition), ())) for p in places]
        return [TopicPartition(*each) for each in found]


@dataclass
class MiniClients(Clients):
    broker: MiniBroker

    def producer(self, config: Any) -> Any:
        return MiniProducer(self.broker)


@dataclass
class Scene:
    broker: MiniBroker = field(default_factory=MiniBroker)
    troubles: list[str] = field(default_factory=list)
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.consumer = MiniConsumer(self.broker)
        self.delivery = Transactional(
            {"transaction.timeout.ms": 10_000}, self.consumer, transactional_id="one", note_parts=4,
            clients=MiniClients(self.broker), trouble=self.troubles.append, patience_s=0, clock=lambda: self.now_s,
        )  # fmt: skip
        self.delivery.open()

    def produce(self, *values: bytes) -> None:
        self.delivery.produce([OutRecord("block-events", b"key", value) for value in values])

    @property
    def values(self) -> list[bytes]:
        return [value for _, value in self.broker.visible]


def test_an_unanswered_commit_that_happened_is_recognised_by_its_note() -> None:
    scene = Scene()
    scene.produce(b"1", b"2")
    scene.broker.fate = [OK, LOST]
    assert scene.delivery.commit(OFFSETS)
    assert scene.values == [b"1", b"2"]
    assert scene.troubles == ["txn_unanswered", "producer_replaced"]
    assert noted_parts(scene.delivery.note) == 4


def test_an_unanswered_commit_that_did_not_happen_is_produced_again() -> None:
    scene = Scene()
    scene.produce(b"1", b"2")
    scene.broker.fate = [OK, IGNORED]
    assert scene.delivery.commit(OFFSETS)
    assert scene.values == [b"1", b"2"]
    assert scene.broker.log.count("init") == 2


def test_one_place_with_the_note_is_enough() -> None:
    """A new owner has committed the other one since."""
    scene = Scene()
    scene.produce(b"1")

    def lose_one(broker: MiniBroker = scene.broker, end: Callable[[bool], None] = scene.broker.end) -> None:
        def ended(commit: bool) -> None:
            end(commit)
            if commit:
                broker.offsets["cdr", 0] = (99, "grayline1 parts=4 commit=another-1")

        broker.end = ended  # type: ignore[method-assign]

    lose_one()
    scene.broker.fate = [OK, LOST]
    assert scene.delivery.commit(OFFSETS)
    assert scene.values == [b"1"]


def test_a_rebalance_aborts_and_the_records_are_forgotten() -> None:
    scene = Scene()
    scene.produce(b"1")
    scene.broker.fate = [REBALANCED]
    assert not scene.delivery.commit(OFFSETS)
    scene.produce(b"2")
    assert scene.delivery.commit(OFFSETS)
    assert scene.values == [b"2"]


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        b"CGMDv2:\xff\xff\xff\xffgroup\x00\x00\x01",
        b"CGMDv2:\x01\x00\x00\x00group\x00\x00\x01",
        b"CGMDv2:\x01\x00\x00\x00group\x00\x00\x00static-name\x00",
    ],
)
def test_without_a_membership_no_offsets_are_sent(metadata: bytes | None) -> None:
    scene = Scene()
    scene.consumer.member = metadata
    scene.produce(b"1")
    assert not scene.delivery.commit(OFFSETS)
    assert "offsets" not in scene.broker.log
    assert scene.values == []


def test_group_metadata_of_another_layout_is_left_to_the_broker() -> None:
    assert is_member(b"CGMDv3:whatever")
    assert is_member(object())


def test_fenced_once_the_worker_takes_its_name_back() -> None:
    scene = Scene()
    for value in (b"1", b"2", b"3"):
        scene.produce(value)
        scene.broker.move_epoch()
        assert scene.delivery.commit(OFFSETS)
    assert scene.values == [b"1", b"2", b"3"]
    assert scene.troubles.count("txn_fenced") == 3


def test_fenced_again_before_it_could_commit_it_gives_way_in_words() -> None:
    scene = Scene()
    scene.produce(b"1")
    scene.broker.fate = [TIMED_OUT, TIMED_OUT]
    with pytest.raises(Fenced, match=r"the name 'one' belongs to another process now.*--name"):
        scene.delivery.commit(OFFSETS)
    assert scene.values == []


def test_a_transaction_as_old_as_its_time_limit_was_not_fenced_but_timed_out() -> None:
    scene = Scene()
    scene.produce(b"1")
    scene.broker.move_epoch()
    scene.now_s = 10.0
    assert scene.delivery.commit(OFFSETS)
    assert "txn_timed_out" in scene.troubles
    assert "txn_fenced" not in scene.troubles
    assert scene.values == [b"1"]


def test_what_fails_every_time_ends_the_worker_and_says_how() -> None:
    scene = Scene()
    scene.produce(b"1")
    scene.broker.fate = [ABORTABLE, OK] * ATTEMPTS_MAX
    with pytest.raises(DeliveryFailed, match=f"failed {ATTEMPTS_MAX} times.*UNKNOWN"):
        scene.delivery.commit(OFFSETS)
    assert scene.values == []


FATES = st.sampled_from([OK, OK, OK, ABORTABLE, LOST, IGNORED, TIMED_OUT, REBALANCED])


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(FATES, max_size=6)), min_size=1, max_size=6))
@settings(max_examples=300, deadline=None)
def test_whatever_the_broker_does_each_committed_epoch_is_visible_once_with_its_offsets(
    epochs: list[tuple[int, list[str]]],
) -> None:
    """epochs: how many records each has, and what befalls its commit."""
    scene = Scene()
    expected: list[bytes] = []
    committed_offset = 0
    for number, (count, fates) in enumerate(epochs, start=1):
        values = [b"%d.%d" % (number, i) for i in range(count)]
        scene.produce(*values)
        scene.broker.fate = list(fates)
        try:
            done = scene.delivery.commit({("cdr", 0): number})
        except DeliveryFailed:
            break
        finally:
            scene.broker.fate = []
        if done:
            expected += values
            committed_offset = number
            assert scene.broker.offsets["cdr", 0] == (number, scene.delivery.note)
    scene.broker.end(commit=False)
    assert scene.values == expected
    assert scene.broker.offsets.get(("cdr", 0), (0, ""))[0] == committed_offset


class Recorder:
    """A producer that remembers in which order it was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def produce(self, topic: str, **arguments: Any) -> None:
        self.calls.append(topic)

    def flush(self, timeout: float) -> int:
        self.calls.append("flush")
        return 0

    def poll(self, timeout: float) -> int:
        return 0


def test_a_producer_that_never_comes_back_from_sending_offsets_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.delivery.transactional.HUNG_S", -9.9)
    never = threading.Event()
    scene = Scene()
    hung = scene.delivery._producer
    hung.send_offsets_to_transaction = lambda *_: never.wait()
    scene.produce(b"1", b"2")
    assert scene.delivery.commit({("cdr", 0): 5})
    assert scene.values == [b"1", b"2"]
    assert scene.delivery._producer is not hung
    assert scene.troubles == ["txn_aborted", "producer_replaced"]
    never.set()


class RecorderClients(Clients):
    def __init__(self) -> None:
        self.recorder = Recorder()

    def producer(self, config: Any) -> Any:
        return self.recorder


class Committing:
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self._recorder.calls.append("commit")
        return offsets


def test_at_least_once_writes_the_ledger_behind_the_outputs_and_before_the_offsets() -> None:
    clients = RecorderClients()
    recorder = clients.recorder
    delivery = AtLeastOnce({}, Committing(recorder), note_parts=1, clients=clients)  # type: ignore[arg-type]
    delivery.produce([OutRecord("ledger", b"1", b"{}"), OutRecord("block-events", b"1", b"{}")])
    assert delivery.commit({("cdr", 0): 1})
    assert recorder.calls == ["block-events", "flush", "ledger", "flush", "commit"]


@pytest.mark.parametrize("note", [None, "", "made by another program", "grayline2 parts=4 commit=x-1"])
def test_offsets_that_something_else_committed_tell_no_partition_count(note: str | None) -> None:
    assert noted_parts(note) is None
