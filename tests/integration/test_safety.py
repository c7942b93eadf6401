"""Attacks on those who are blocked, and the operator's pause: shipped rules, and whole workers on a real broker."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from rules.load import load, load_text, packs
from rules.model import RuleSet
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CDR, CONTROL, CONTROL_GLOBAL, MESSAGE_RELAY, REVIEW_QUEUE
from streams.captures.replay import Replay
from streams.cli import command
from streams.engine.engine import Engine
from streams.holds.breaker import Breaker
from streams.ingest.epoch import OutRecord
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from streams.kafka.topics import create
from streams.operators.ordering import GivenOrder, produce
from streams.runtime.settings import BREAKER_FACTOR, BREAKER_OPENS, WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.worker.worker import Worker
from tests.kafka_broker import Broker

# A Monday, 14:00 in Seoul: the tighter limits are in force.
T_MS = 1_794_805_200_000
GATEWAY, HOSPITAL, POLICE = "+82312345678", "+82220721114", "112"
PARTITIONS = 2
LONG_S = 60.0


# ----------------------------------------------------------------------------------------------- with shipped rules


def message(n: int, at: int, sender: str, verified: str = "full", **more: str) -> tuple[str, int, dict[str, Any]]:
    told = {"message_id": f"m{n}", "at": at, "sender": sender, "recipient": f"+8210{n % 100_000_000:08d}"}
    return MESSAGE_RELAY, at, told | {"verified": verified, "text": f"text {n % 3}"} | more


def call(n: int, at: int, caller: str, **more: str) -> tuple[str, int, dict[str, Any]]:
    """A complete call of four seconds to somebody new."""
    times = {"setup_at": at - 6000, "answer_at": at - 4000, "release_at": at}
    told = {"call_id": f"c{n}", "event": "complete", "at": at, "caller": caller, "callee": f"+8210{n:08d}"}
    return CDR, at, told | times | {"verified": "full"} | more


def found(feed: list[tuple[str, int, dict[str, Any]]], breaker: Breaker | None = None) -> dict[str, dict[str, Any]]:
    """By topic: number -> its last record."""
    lines = [
        json.dumps({"topic": topic, "partition": 0, "offset": n, "ts": at, "payload": json.dumps(value)}).encode()
        for n, (topic, at, value) in enumerate(feed)
    ]
    out: list[OutRecord] = []
    Replay(Engine(load([packs()]), breaker=breaker), out.append).run(lines, "attack")
    by_topic: dict[str, dict[str, Any]] = {BLOCK_EVENTS: {}, REVIEW_QUEUE: {}}
    for record in out:
        if record.topic in by_topic:
            by_topic[record.topic][(record.key or b"").decode()] = json.loads(record.value or b"")
    return by_topic


@pytest.mark.parametrize("verified", ["none", "partial", "full"])
def test_a_feed_that_puts_its_gateways_number_into_every_sender_gets_it_looked_at_and_not_blocked(
    verified: str,
) -> None:
    """Thousands of innocents behind one landline number: rules that enforce leave such numbers to people."""
    got = found([message(n, T_MS + n * 20, GATEWAY, verified, origin="web") for n in range(5000)])
    assert got[BLOCK_EVENTS] == {}
    assert (GATEWAY in got[REVIEW_QUEUE]) == (verified != "full")


def test_a_mobile_gateway_whose_messages_nobody_vouches_for_is_looked_at_and_not_blocked() -> None:
    got = found([message(n, T_MS + n * 20, "+821022223333", "none") for n in range(5000)])
    assert got[BLOCK_EVENTS] == {}
    assert "+821022223333" in got[REVIEW_QUEUE]


def test_a_forged_hospital_that_calls_forty_times_a_minute_from_abroad_is_not_blocked() -> None:
    """Not listed: what is not verified, or comes from abroad under a domestic number, goes to people."""
    for more in ({"verified": "none"}, {"verified": "full", "origin": "international"}):
        got = found([call(n, T_MS + n * 1500, HOSPITAL, **more) for n in range(400)])
        assert got[BLOCK_EVENTS] == {}, more
        assert HOSPITAL in got[REVIEW_QUEUE], more


def test_one_genuine_call_after_the_forged_ones_does_not_block_the_hospital_either() -> None:
    forged = [call(n, T_MS + n * 1500, HOSPITAL, verified="none") for n in range(400)]
    assert found([*forged, call(400, T_MS + 600_500, HOSPITAL)])[BLOCK_EVENTS] == {}


def test_the_same_calls_of_a_line_that_its_carrier_vouches_for_are_blocked() -> None:
    assert HOSPITAL in found([call(n, T_MS + n * 1500, HOSPITAL) for n in range(400)])[BLOCK_EVENTS]


@pytest.mark.parametrize("number", [POLICE, "02-112", "1339", "+8215771000", "15771000", "+82221001234"])
def test_a_protected_or_short_number_is_not_touched_in_any_lane(number: str) -> None:
    feed = [call(n, T_MS + n * 1500, number) for n in range(400)]
    feed += [message(n, T_MS + 600_000 + n * 20, number) for n in range(2000)]
    assert found(feed) == {BLOCK_EVENTS: {}, REVIEW_QUEUE: {}}


def test_a_feed_that_suddenly_makes_every_number_offend_blocks_no_more_than_the_breaker_lets_through() -> None:
    """A carrier's slip doubles every innocent's traffic and vouches for it: 1,000 lines would be cut off."""
    lines = 300
    feed = [call(n, T_MS + n * 50, f"+8210{7_000_000 + n % lines:08d}") for n in range(lines * 45)]
    without, within = found(feed), found(feed, Breaker(BREAKER_OPENS, BREAKER_FACTOR))
    assert len(without[BLOCK_EVENTS]) == lines
    assert 0 < len(within[BLOCK_EVENTS]) <= 2 * BREAKER_OPENS
    held_back = {n for n, r in within[REVIEW_QUEUE].items() if r["hold"].get("diverted", "").startswith("breaker:")}
    assert held_back | within[BLOCK_EVENTS].keys() == without[BLOCK_EVENTS].keys()


# --------------------------------------------------------------------------------------------------- with a broker

RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: burst
    summary: many messages
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
"""


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    """A broker of this module's own: Grayline's topics have fixed names."""
    with Broker() as broker:
        create(KafkaSettings(brokers=broker.bootstrap), partitions=PARTITIONS)
        until(lambda: has_coordinator(broker))
        yield broker


def has_coordinator(broker: Broker) -> bool:
    """A broker that has just started knows no group yet."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "safety"})
    try:
        return bool(consumer.committed([TopicPartition(CDR, 0)], timeout=LONG_S))
    except KafkaException:
        return False
    finally:
        consumer.close()


def worker(broker: Broker, rules: RuleSet) -> Worker:
    client = {"bootstrap.servers": broker.bootstrap}
    settings = WorkerSettings(client, client, group="safety", start_from=StartFrom("earliest"), poll_timeout_ms=20)
    return Worker(settings, Engine(rules))


def until(is_true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LONG_S
    while not is_true():
        assert time.monotonic() < give_up, "it did not come to pass"
        time.sleep(0.05)


def values(broker: Broker, topic: str, key: str | None = None) -> list[Any]:
    consumer = Consumer(KafkaSettings(brokers=broker.bootstrap).consumer("reader", offset_reset="earliest"))
    out = []
    try:
        for partition in consumer.list_topics(topic, timeout=LONG_S).topics[topic].partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=LONG_S)
            if low == high:
                continue
            consumer.assign([TopicPartition(topic, partition, low)])
            while consumer.position([TopicPartition(topic, partition)])[0].offset < high:
                got = consumer.poll(0.2)
                if got is None:
                    break  # transaction markers end the partition
                if got.error() is None and (key is None or got.key() == key.encode()):
                    out.append(json.loads(got.value()) if got.value() else None)
    finally:
        consumer.close()
    return out


def offend(broker: Broker, *numbers: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
    for number in numbers:
        for n in range(2):
            at = time.time_ns() // 1_000_000
            value = {
                "message_id": f"{number}-{n}-{at}", "at": at, "sender": number, "recipient": "+821099990000",
                "verified": "full",
            }  # fmt: skip
            producer.produce(MESSAGE_RELAY, json.dumps(value).encode(), number.encode())
    assert producer.flush(LONG_S) == 0


def said(broker: Broker, word: str, *more: str) -> tuple[int, dict[str, Any]]:
    got = CliRunner().invoke(command, [word, "--brokers", broker.bootstrap, "--operator", "kim", "--json", *more])
    assert got.exception is None or isinstance(got.exception, SystemExit), got.output
    return got.exit_code, json.loads(got.stdout)


def desk(broker: Broker, *words: str) -> tuple[int, str]:
    """(exit code, all that a command printed)."""
    who = ("--operator", "kim") if "--reason" in words and "--operator" not in words else ()
    got = CliRunner().invoke(command, [*words, *who, "--brokers", broker.bootstrap])
    assert got.exception is None or isinstance(got.exception, SystemExit), got.output
    return got.exit_code, got.output


def numbered(first: int) -> list[str]:
    return [f"+8210555500{n:02d}" for n in range(first, first + 6)]


@pytest.mark.timeout(240)
def test_a_pause_reaches_every_worker_and_those_that_start_later_until_it_is_ended(kafka: Broker) -> None:
    rules = load_text(RULES)
    running = [worker(kafka, rules) for _ in range(2)]
    try:
        for each in running:
            each.start()
        offend(kafka, *numbered(0))
        until(lambda: len(values(kafka, BLOCK_HISTORY)) == 6)

        code, told = said(kafka, "pause", "--reason", "a feed runs wild")
        assert (code, told["obeyed"], told["waiting"], told["silent"]) == (0, [0, 1], {}, [])
        until(lambda: all(each.metrics.value("paused") == 1 for each in running))
        code, text = desk(kafka, "paused")
        assert code == 0
        assert "paused by kim: a feed runs wild, until 20" in text
        assert "2 of 2 live partitions say so" in text
        offend(kafka, *numbered(10))
        until(lambda: len(values(kafka, REVIEW_QUEUE)) == 6)
        assert {value["hold"]["diverted"] for value in values(kafka, REVIEW_QUEUE)} == {"paused"}
        assert len(values(kafka, BLOCK_HISTORY)) == 6

        assert running.pop().stop() == 0
        running.append(worker(kafka, rules))
        running[-1].start()
        offend(kafka, *numbered(20))
        until(lambda: len(values(kafka, REVIEW_QUEUE)) == 12)
        assert len(values(kafka, BLOCK_HISTORY)) == 6

        assert said(kafka, "resume")[0] == 0
        offend(kafka, *numbered(30))
        until(lambda: len(values(kafka, BLOCK_HISTORY)) == 12)
        words = values(kafka, CONTROL_GLOBAL)
        assert [(word["paused"], word["operator"], word["reason"]) for word in words] == [
            (True, "kim", "a feed runs wild"), (False, "kim", ""),
        ]  # fmt: skip
        notes = values(kafka, "ledger", "#pause/safety")
        assert {note["id"] for note in notes if note} == {word["id"] for word in words}
    finally:
        codes = [each.stop() for each in running]
    assert codes == [0, 0], [each.problem for each in running]


def test_a_worker_that_does_not_obey_in_time_is_named_and_the_command_fails(kafka: Broker) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for partition, name in enumerate(("stuck-1", "stuck-2")):
        beat = {"partition": partition, "worker": name, "paused": False, "state": "live"}
        producer.produce("block-status", json.dumps(beat).encode(), b"%d" % partition, partition=partition)
    assert producer.flush(LONG_S) == 0
    code, told = said(kafka, "pause", "--reason", "x", "--timeout", "2")
    assert (code, told["obeyed"], told["waiting"]) == (1, [], {"0": "stuck-1", "1": "stuck-2"})
    said(kafka, "resume", "--timeout", "1")  # the order stands all the same, for the tests that follow too


@pytest.mark.timeout(240)
def test_a_wrong_block_is_released_within_a_second_and_a_bulk_release_asks_first(kafka: Broker, tmp_path: Path) -> None:
    bulk = ["release", "--rule", "burst", "--since", str(time.time_ns() // 1_000_000), "--reason", "a wrong limit"]
    wrong, others = "+821055560001", [f"+8210555700{n:02d}" for n in range(3)]
    client = {"bootstrap.servers": kafka.bootstrap}
    settings = WorkerSettings(client, client, group="orders", start_from=StartFrom("latest"), poll_timeout_ms=20)
    running = Worker(settings, Engine(load_text(RULES), also=(CONTROL,)))
    try:
        running.start()
        offend(kafka, wrong, *others)
        until(lambda: all(values(kafka, BLOCK_EVENTS, number) for number in (wrong, *others)))

        began_s = time.monotonic()
        code, told = said(kafka, "release", wrong, "--reason", "the holder called")
        took_s = time.monotonic() - began_s
        assert (code, told["orders"][0]["changes"][0]["change"]) == (0, "released"), told
        state = values(kafka, BLOCK_EVENTS, wrong)[-1]
        assert (state["state"], state["holds"]) == ("released", [])
        rows = [row for row in values(kafka, BLOCK_HISTORY, wrong) if "order" in row]
        assert [row["change"] for row in rows] == ["released", "ordered"]
        assert rows[0]["order"]["operator"] == "kim"
        offend(kafka, wrong)
        until(lambda: bool(values(kafka, REVIEW_QUEUE, wrong)))
        assert values(kafka, REVIEW_QUEUE, wrong)[-1]["hold"]["diverted"] == "released"

        rules = tmp_path / "rules.yaml"
        rules.write_text(RULES)
        shown = [desk(kafka, *words) for words in (
            ("review", "list", "--by", "time"), ("review", "show", wrong, "--rules", str(rules)),
            ("review", "reject", wrong, "--rule", "burst", "--reason", "an opinion poll"),
            ("review", "list"), ("allow", "add", wrong, "--for", "30d", "--owner", "a firm", "--reason", "its line"),
            ("allow", "list"), ("block", wrong, "--for", "1h", "--reason", "x"),
            ("allow", "remove", wrong, "--reason", "no longer"), ("audit", wrong, "--rules", str(rules)),
        )]  # fmt: skip
        assert [code for code, _ in shown] == [0, 0, 0, 0, 0, 0, 1, 0, 0], shown
        assert f"{wrong}" in shown[0][1]
        assert "[released]" in shown[0][1]
        assert "sent 3 >= 2" in shown[1][1]
        assert wrong not in shown[3][1]
        assert f"allowed  {wrong}" in shown[5][1]
        assert "on the allow list" in shown[6][1]
        for said_so in ("order obeyed: release by kim: the holder called", "review: rejected", "sent 2 >= 2"):
            assert said_so in shown[8][1]

        code, told = said(kafka, "release", wrong, "--reason", "again")
        assert (code, told["orders"][0]["refused"]) == (1, "not_blocked")
        code, told = said(kafka, "block", wrong, "--for", "1h", "--reason", "case 4711")
        assert (code, told["orders"][0]["changes"][0]["change"]) == (0, "opened")
        code, told = said(kafka, *bulk, "--preview")
        assert (code, told["done"], told["count"], sorted(told["numbers"])) == (0, False, 3, sorted(others))
        asked = CliRunner().invoke(command, [*bulk, "--brokers", kafka.bootstrap], input="n\n")
        assert asked.exit_code == 1
        assert "3 numbers blocked by burst" in asked.output
        code, told = said(kafka, *bulk, "--yes")
        assert (code, len(told["orders"])) == (0, 3)
        assert {values(kafka, BLOCK_EVENTS, number)[-1]["state"] for number in others} == {"released"}
    finally:
        code = running.stop()
    assert code == 0, running.problem
    print(f"released, with the command's start, after {took_s:.2f} s")


@pytest.mark.timeout(240)
def test_two_people_decide_about_a_number_and_its_line_is_suspended(kafka: Broker) -> None:
    number, reason = "+821055590001", ("--reason", "three complaints")
    client = {"bootstrap.servers": kafka.bootstrap}
    settings = WorkerSettings(client, client, group="two", start_from=StartFrom("latest"), poll_timeout_ms=20)
    running = Worker(settings, Engine(load_text(RULES), also=(CONTROL,)))
    try:
        running.start()
        steps = [desk(kafka, *words) for words in (
            ("review", "propose", number, "--for", "7d", *reason, "--operator", "lee"),
            ("review", "take", number, *reason, "--operator", "kim"), ("review", "list", "--by", "time"),
            ("review", "take", number, *reason, "--operator", "kim"), ("suspend", number, *reason),
            ("review", "approve", number, *reason, "--operator", "kim"), ("suspend", number, *reason),
        )]  # fmt: skip
        assert [code for code, _ in steps] == [0, 0, 0, 1, 1, 0, 0], steps
        (line,) = [line for line in steps[2][1].splitlines() if number in line]
        assert "6d 23h" in line
        assert "[taken by kim]" in line
        assert "no such block is in force" in steps[4][1]
        assert f"suspended: {number} (suspended operator)" in steps[6][1]
        assert values(kafka, BLOCK_EVENTS, number)[-1]["state"] == "suspended"
        assert "order obeyed: propose by lee: three complaints" in desk(kafka, "audit", number)[1]
        print(released(kafka))
    finally:
        code = running.stop()
    assert code == 0, running.problem


def released(kafka: Broker, times: int = 20) -> str:
    """How long a release takes until a read-committed consumer sees it."""
    number, took_s = "+821055590002", []
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "seen", "isolation.level": "read_committed"}
        | {"fetch.wait.max.ms": 10}
    )
    count = len(consumer.list_topics(BLOCK_EVENTS, 10).topics[BLOCK_EVENTS].partitions)
    place = TopicPartition(BLOCK_EVENTS, partition_of(number.encode(), count))
    place.offset = consumer.get_watermark_offsets(place, 10)[1]
    consumer.assign([place])

    def order(action: str, until_ms: int | None, state: str) -> float:
        now = time.time_ns() // 1_000_000
        began_s = time.monotonic()
        order_id = uuid.uuid4().hex
        until = None if until_ms is None else now + until_ms
        given = GivenOrder(order_id, now, number, action, "kim", "a reason", None, until)
        produce(KafkaSettings(kafka.bootstrap), [given], count)
        while True:
            message = consumer.poll(LONG_S)
            assert message is not None
            assert message.error() is None
            told = json.loads(message.value() or b"{}")
            if (told.get("number"), told.get("state")) == (number, state):
                return time.monotonic() - began_s

    for _ in range(times):
        order("block", 3_600_000, "active")
        took_s.append(order("release", None, "released"))
    consumer.close()
    took_s.sort()
    return f"releases seen after {took_s[times // 2]:.2f} s (half), {took_s[-1]:.2f} s (the slowest of {times})"


@pytest.mark.timeout(240)
def test_a_group_that_never_read_orders_obeys_those_that_come_and_none_of_before(kafka: Broker) -> None:
    before, after = "+821055580001", "+821055580002"
    client, rules = {"bootstrap.servers": kafka.bootstrap}, load_text(RULES)

    def settings(start_from: StartFrom | None) -> WorkerSettings:
        return WorkerSettings(client, client, group="upgraded", start_from=start_from, poll_timeout_ms=20)

    old = Worker(settings(StartFrom("latest")), Engine(rules))
    old.start()
    assert old.stop() == 0, old.problem
    code, told = said(kafka, "block", before, "--for", "1h", "--reason", "nobody obeys it", "--timeout", "0.5")
    assert (code, told["orders"][0]["answered"]) == (1, False)

    new = Worker(settings(None), Engine(rules, also=(CONTROL,)))
    try:
        new.start()
        assert said(kafka, "block", after, "--for", "1h", "--reason", "case 4711")[0] == 0
        assert len(values(kafka, BLOCK_HISTORY, after)) == 2
        assert values(kafka, BLOCK_HISTORY, before) == []
    finally:
        code = new.stop()
    assert code == 0, new.problem
