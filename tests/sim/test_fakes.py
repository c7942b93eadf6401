"""The fakes keep to what Apache Kafka does where the worker's guarantees hang on it."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from tests.sim.broker import FakeBroker
from tests.sim.transactions import Refusal

PLACE = ("block-events", 0)
INPUT = ("cdr", 0)


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def broker() -> tuple[FakeBroker, Clock]:
    clock = Clock()
    return FakeBroker({"block-events": 1, "cdr": 2}, clock), clock


def test_committed_readers_stop_before_an_open_transaction_and_never_see_an_aborted_one() -> None:
    kafka, _ = broker()
    _, epoch = kafka.transactions.initialise("a", 10_000)
    kafka.append(PLACE, b"k", b"aborted", transaction=("a", epoch))
    kafka.append(PLACE, b"k", b"plain")
    log = kafka.logs[PLACE]
    assert log.read(0, 10, committed=True) == ([], 0)
    kafka.transactions.end("a", epoch, "abort")
    records, following = log.read(0, 10, committed=True)
    assert [record.value for record in records] == [b"plain"]
    assert following == log.end == 3
    assert [record.value for record in log.read(0, 10, committed=False)[0]] == [b"aborted", b"plain"]


def test_a_successor_of_the_same_name_aborts_and_fences() -> None:
    kafka, _ = broker()
    _, first = kafka.transactions.initialise("a", 10_000)
    kafka.append(PLACE, b"k", b"v", transaction=("a", first))
    kafka.transactions.initialise("a", 10_000)
    assert not kafka.logs[PLACE].open
    with pytest.raises(Refusal) as refusal:
        kafka.transactions.end("a", first, "commit")
    assert refusal.value.code == KafkaError.INVALID_PRODUCER_EPOCH


def test_a_transaction_that_is_open_for_too_long_is_aborted_and_its_offsets_forgotten() -> None:
    kafka, clock = broker()
    _, epoch = kafka.transactions.initialise("a", 10_000)
    kafka.commit_offsets("g", "", -1, "", {INPUT: (7, "note")}, ("a", epoch))
    assert kafka.transactions.is_pending("g", INPUT)
    clock.now_ms += 10_000
    kafka.tick()
    assert not kafka.transactions.is_pending("g", INPUT)
    assert INPUT not in kafka.groups.group("g").offsets


def test_an_end_that_is_repeated_is_answered_alike_and_the_other_end_is_refused() -> None:
    kafka, _ = broker()
    _, epoch = kafka.transactions.initialise("a", 10_000)
    kafka.append(PLACE, b"k", b"v", transaction=("a", epoch))
    kafka.transactions.end("a", epoch, "commit")
    kafka.transactions.end("a", epoch, "commit")
    with pytest.raises(Refusal):
        kafka.transactions.end("a", epoch, "abort")


def test_range_gives_a_member_the_same_partitions_of_every_topic_and_old_generations_are_refused() -> None:
    kafka, _ = broker()
    groups = kafka.groups
    one = groups.join("g", ["cdr"], 6_000, lambda: True)
    first = groups.state("g", one)
    assert first[2] == (("cdr", 0), ("cdr", 1))
    two = groups.join("g", ["cdr"], 6_000, lambda: True)
    assert not groups.state("g", one)[1]
    groups.join("g", ["cdr"], 6_000, lambda: True, one)
    assert {groups.state("g", member)[2] for member in (one, two)} == {(("cdr", 0),), (("cdr", 1),)}
    with pytest.raises(Refusal) as refusal:
        groups.check_commit("g", one, first[0], "", is_transactional=True)
    assert refusal.value.code == KafkaError.ILLEGAL_GENERATION


def test_a_static_member_that_comes_back_keeps_its_partitions_and_its_predecessor_is_fenced() -> None:
    kafka, _ = broker()
    groups = kafka.groups
    old = groups.join("g", ["cdr"], 6_000, lambda: True, instance="w0")
    generation = groups.state("g", old, "w0")[0]
    new = groups.join("g", ["cdr"], 6_000, lambda: True, instance="w0")
    assert groups.state("g", new, "w0") == (generation, True, (("cdr", 0), ("cdr", 1)))
    with pytest.raises(Refusal) as refusal:
        groups.check_commit("g", old, generation, "w0", is_transactional=True)
    assert refusal.value.code == KafkaError.FENCED_INSTANCE_ID


def test_compaction_keeps_the_last_committed_record_of_each_key_at_its_offset() -> None:
    kafka, _ = broker()
    log = kafka.logs[PLACE]
    _, epoch = kafka.transactions.initialise("a", 10_000)
    for value in (b"1", b"2"):
        log.append(0, b"k", value)
    kafka.append(PLACE, b"k", b"aborted", transaction=("a", epoch))
    kafka.transactions.end("a", epoch, "abort")
    log.compact(log.end, tombstones_until_ms=0)
    assert [(r.offset, r.value) for r in log.read(0, 10, committed=True)[0]] == [(1, b"2")]
