"""The worker around the engine, with a stand-in for it: reading, committing, refusing, ending."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.ingest.epoch import Place
from streams.runtime.settings import FETCHES, WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.worker.worker import Worker
from tests.kafka_broker import Broker
from tests.stand_in import StandIn

TOPICS = ("message-relay", "cdr")
OTHERS = ("block-events", "dead-letters", "ledger", "snapshots", "rekeyed", "block-status")
PARTITIONS = 2
LONG_S = 30.0


@dataclass(frozen=True)
class Here:
    """One test's share of the broker: what was there before it began is out of sight."""

    bootstrap: str
    since_ms: int
    group: str

    def settings(self, **changes: Any) -> WorkerSettings:
        client = {"bootstrap.servers": self.bootstrap}
        start_from = StartFrom("timestamp", self.since_ms)
        told = {"group": self.group, "start_from": start_from, "poll_timeout_ms": 20, **changes}
        return WorkerSettings(**{"consumer": client, "producer": client, **told})

    def produce(self, topic: str, *values: bytes) -> None:
        """Spread over the partitions, in turn."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for i, value in enumerate(values):
            producer.produce(topic, value, partition=i % PARTITIONS)
        assert producer.flush(LONG_S) == 0

    def values_of(self, topic: str) -> list[bytes]:
        """All values of a topic, partition by partition."""
        found = []
        with self._consumer() as consumer:
            for partition in range(PARTITIONS):
                asked = TopicPartition(topic, partition, self.since_ms)
                start = consumer.offsets_for_times([asked], timeout=LONG_S)[0]
                _, end = consumer.get_watermark_offsets(start, timeout=LONG_S)
                if 0 <= start.offset < end:
                    consumer.assign([start])
                    at_end = False  # the ends of transactions take offsets too: the count of records is not known
                    while not at_end:
                        for message in consumer.consume(1_000, 0.2):
                            at_end = at_end or message.error() is not None
                            found += [] if message.error() is not None else [message.value()]
        return found

    def uncommitted(self) -> dict[Place, int]:
        """Records of each partition behind which the group has not committed; never committed counts as all."""
        asked = [TopicPartition(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]
        left = {}
        with self._consumer() as consumer:
            for place in consumer.committed(asked, timeout=LONG_S):
                low, high = consumer.get_watermark_offsets(place, timeout=LONG_S)
                left[place.topic, place.partition] = high - (place.offset if place.offset >= 0 else low)
        return left

    def has_committed(self) -> bool:
        asked = [TopicPartition(topic, partition) for topic in TOPICS for partition in range(PARTITIONS)]
        with self._consumer() as consumer:
            return any(place.offset >= 0 for place in consumer.committed(asked, timeout=LONG_S))

    @contextmanager
    def _consumer(self) -> Iterator[Any]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.group, "enable.partition.eof": True})
        yield consumer
        consumer.close()


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    """A broker of this module's own: the input topics' names are fixed."""
    with Broker() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        made = admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in (*TOPICS, *OTHERS)])
        for future in made.values():
            future.result()
        yield broker


@pytest.fixture
def here(kafka: Broker) -> Here:
    return Here(kafka.bootstrap, time.time_ns() // 1_000_000, uuid.uuid4().hex)


def numbered(count: int, prefix: bytes = b"v") -> list[bytes]:
    return [prefix + b"%d" % i for i in range(count)]


@pytest.mark.parametrize("fetch", FETCHES)
def test_every_record_is_counted_once_in_partition_order_and_committed(here: Here, fetch: str) -> None:
    here.produce("message-relay", *numbered(50))
    here.produce("cdr", *numbered(30))
    engine = StandIn(*TOPICS)
    assert Worker(here.settings(stop_after=80, batch_size=7, fetch=fetch), engine).run() == 0
    assert len(engine.seen) == len(set(engine.seen)) == 80
    for topic, each in (("message-relay", 25), ("cdr", 15)):
        for partition in range(PARTITIONS):
            offsets = [o for t, p, o in engine.seen if (t, p) == (topic, partition)]
            assert offsets == list(range(offsets[0], offsets[0] + each))
    assert set(here.uncommitted().values()) == {0}


def test_a_group_goes_on_where_it_committed_whatever_the_start_says(here: Here) -> None:
    here.produce("message-relay", *numbered(10))
    assert Worker(here.settings(stop_after=10), StandIn(*TOPICS)).run() == 0
    here.produce("message-relay", *numbered(4, b"later"))
    for start_from in (None, StartFrom("earliest")):
        engine = StandIn(*TOPICS)
        worker = Worker(here.settings(stop_after=4, start_from=start_from), engine)
        assert worker.run() == 0
        assert sorted(engine.arrivals) == [b"later%d" % i for i in range(4)]
        here.produce("message-relay", *numbered(4, b"later"))


def test_the_first_start_without_a_choice_is_refused_with_the_way_out(here: Here) -> None:
    here.produce("message-relay", b"v")
    worker = Worker(here.settings(start_from=None), StandIn(*TOPICS))
    assert worker.run() == 2
    assert "--from earliest" in str(worker.problem)
    assert not here.has_committed()


def test_latest_skips_what_is_there_and_is_committed_even_when_nothing_comes(here: Here) -> None:
    here.produce("message-relay", *numbered(6))
    worker = Worker(here.settings(start_from=StartFrom("latest")), StandIn(*TOPICS))
    worker.start()
    assert worker.stop() == 0
    assert worker.progress().processed == 0
    assert here.has_committed()
    assert set(here.uncommitted().values()) == {0}


def test_outputs_and_dead_letters_reach_their_topics_in_order(here: Here) -> None:
    here.produce("cdr", b"block 1", b"bad 1", b"block 2", b"v")
    worker = Worker(here.settings(stop_after=4), StandIn(*TOPICS))
    assert worker.run() == 0
    assert sorted(here.values_of("block-events")) == [b"block 1", b"block 2"]
    assert here.values_of("dead-letters") == [b"bad 1"]
    assert worker.metrics.value("dead_letters_total", topic="cdr", reason="not_json") == 1
    assert worker.metrics.value("block_changes_total", rule="stand-in", mode="enforce", change="opened") == 2
    assert worker.metrics.value("records_total", topic="cdr") == 4
    assert [record.value for record in worker.progress().recent_blocks] == [b"block 1", b"block 2"]


@pytest.mark.parametrize("fetch", FETCHES)
def test_the_header_feed_of_each_record_comes_with_it(here: Here, fetch: str) -> None:
    producer = Producer({"bootstrap.servers": here.bootstrap})
    for headers in ([("feed", b"switch-1")], [("x", b"1"), ("feed", b"switch-2")], None, [("x", b"feed")]):
        producer.produce("cdr", b"v", partition=0, headers=headers)
        producer.produce("message-relay", b"v", partition=0)
    assert producer.flush(LONG_S) == 0
    engine = StandIn(*TOPICS)
    assert Worker(here.settings(stop_after=8, fetch=fetch), engine).run() == 0
    of_calls = [feed for (topic, _, _), feed in zip(engine.seen, engine.feeds, strict=True) if topic == "cdr"]
    assert of_calls == [b"switch-1", b"switch-2", None, None]
    assert engine.feeds.count(None) == 6


def test_a_crash_while_counting_commits_nothing_behind_it(here: Here) -> None:
    here.produce("cdr", *[b"v", b"v", b"crash", b"v"])
    worker = Worker(here.settings(commit_interval_ms=60_000), StandIn(*TOPICS))
    assert worker.run() == 1
    assert str(worker.problem) == "asked to crash"
    assert not here.has_committed()


def test_an_output_that_cannot_be_delivered_stops_the_worker_without_a_commit(here: Here) -> None:
    here.produce("cdr", b"block " + bytes(20_000))
    small = {"bootstrap.servers": here.bootstrap, "message.max.bytes": 10_000}
    worker = Worker(here.settings(commit_interval_ms=60_000, stop_after=1, producer=small), StandIn(*TOPICS))
    assert worker.run() == 1
    assert "block-events" in str(worker.problem)
    assert "too large" in str(worker.problem)
    assert not here.has_committed()


def test_each_record_is_counted_by_one_of_two_workers_that_come_and_go(here: Here) -> None:
    engines = [StandIn(*TOPICS), StandIn(*TOPICS)]
    first, second = (Worker(here.settings(commit_interval_ms=50, batch_size=5), engine) for engine in engines)

    def produce_and_wait(name: bytes) -> None:
        before = sum(len(engine.seen) for engine in engines)
        for topic in TOPICS:
            here.produce(topic, *numbered(40, name))
        wait_until(lambda: sum(len(engine.seen) for engine in engines) >= before + 80)

    first.start()
    produce_and_wait(b"alone")
    second.start()
    wait_until(lambda: len(second.progress().partitions) == 1)
    produce_and_wait(b"together")
    assert first.stop() == 0
    wait_until(lambda: second.progress().partitions == (0, 1))
    produce_and_wait(b"other")
    assert second.stop() == 0

    seen = engines[0].seen + engines[1].seen
    assert len(seen) == len(set(seen)) == 240
    assert set(here.uncommitted().values()) == {0}
    together = {partition for _, partition, _ in engines[0].seen[-40:]}
    assert len(together) == 1, "the first worker owned one partition number, of both topics"


def test_a_broker_that_dies_and_returns_loses_and_doubles_nothing(here: Here, kafka: Broker) -> None:
    engine = StandIn(*TOPICS)
    worker = Worker(here.settings(commit_interval_ms=50), engine)
    worker.start()
    here.produce("cdr", *numbered(10, b"block before"))
    wait_until(lambda: len(engine.seen) == 10)
    kafka.kill()
    kafka.start()
    here.produce("cdr", *numbered(10, b"block after"))
    wait_until(lambda: len(set(engine.seen)) == 20)
    assert worker.stop() == 0
    assert set(here.uncommitted().values()) == {0}
    # A broker that is away for longer than a session takes the partitions along: what was counted and not committed is
    # counted again. What readers see comes once.
    expected = [*numbered(10, b"block before"), *numbered(10, b"block after")]
    assert sorted(here.values_of("block-events")) == sorted(expected)


def wait_until(true: Callable[[], bool]) -> None:
    """Another thread brings it about; the bound is only there to fail instead of hanging."""
    give_up = time.monotonic() + LONG_S
    while not true():
        assert time.monotonic() < give_up, "it did not come about"
        time.sleep(0.01)


def test_expiry_goes_by_the_injected_clock_and_only_while_partitions_are_owned(here: Here) -> None:
    ticked = threading.Event()
    engine = StandIn(*TOPICS)

    def clock() -> int:
        if engine.expired_at:
            ticked.set()
        return 1767225600000

    worker = Worker(here.settings(), engine, clock=clock)
    worker.start()
    assert ticked.wait(LONG_S)
    assert worker.stop() == 0
    assert set(engine.expired_at) == {1767225600000}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def get(port: int, path: str, token: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=LONG_S) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()


def test_the_pages_tell_health_readiness_and_metrics(here: Here) -> None:
    port = free_port()
    worker = Worker(here.settings(web_port=port), StandIn(*TOPICS))
    worker.start()
    try:
        assert get(port, "/health") == (200, "ok\n")
        status, body = get(port, "/ready")
        assert status == 200
        told = json.loads(body)
        assert (told["ready"], told["partitions"]) == (True, [0, 1])
        # Whether earlier tests have left records that this worker did not count.
        assert told["warming"] is any(not complete for _, _, complete in worker.engine.begun)
        status, body = get(port, "/metrics")
        assert status == 200
        assert "grayline_epoch_seconds_count" in body
        for path in ("/router/", "/table/", "/graph", "/metrics/../etc/passwd"):
            assert get(port, path)[0] == 404, path
    finally:
        assert worker.stop() == 0


def test_ready_and_metrics_say_why_nothing_is_committed_or_read_until_it_is_again(
    here: Here, kafka: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.worker.health.STUCK_MAX_S", 2.0)
    monkeypatch.setattr("streams.delivery.flow.HEARTBEAT_INTERVAL_S", 0.2)
    port = free_port()
    here.produce("cdr", *numbered(2))
    feed: Any = Producer({"bootstrap.servers": here.bootstrap, "transactional.id": here.group})
    feed.init_transactions(LONG_S)
    worker = Worker(here.settings(web_port=port), StandIn(*TOPICS))
    worker.start()
    try:
        told_until(port, lambda told: told["ready"])
        feed.begin_transaction()
        feed.produce("cdr", b"open", partition=0)
        feed.flush(LONG_S)
        here.produce("cdr", *numbered(4))
        (problem,) = told_until(port, lambda told: told["problems"])["problems"]
        assert problem.startswith("a producer keeps a transaction open in partition 0 of cdr: for ")
        assert 'grayline_stable_offset_stuck_seconds{partition="0",topic="cdr"}' in get(port, "/metrics")[1]
        assert get(port, "/ready")[0] == 503
        feed.commit_transaction(LONG_S)
        told_until(port, lambda told: told["ready"])
        assert "stuck_seconds{" not in get(port, "/metrics")[1]
        for name in ("COMMIT_AGE_MAX_S", "BROKER_SILENT_MAX_S"):
            monkeypatch.setattr(f"streams.worker.health.{name}", 3.0)
        kafka.suspend()
        try:
            problems = told_until(port, lambda told: len(told["problems"]) == 2)["problems"]
        finally:
            kafka.resume()
        assert sorted(re.sub(r"\d+", "n", problem) for problem in problems) == [
            "no broker has answered for n s", "nothing was committed for n s"
        ]  # fmt: skip
        told_until(port, lambda told: told["ready"])
        assert worker.metrics.value("commit_age_seconds") < 3
    finally:
        assert worker.stop() == 0
    assert set(here.uncommitted().values()) <= {0, 1}, "an end mark of a transaction at most"


def told_until(port: int, true: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first body of /ready that is as wanted."""
    until_s = time.monotonic() + LONG_S
    while not true(told := json.loads(get(port, "/ready")[1])):
        assert time.monotonic() < until_s, told
        time.sleep(0.05)  # between two looks at what a broker does
    told_so: dict[str, Any] = told
    return told_so


def test_with_a_token_only_health_is_open(here: Here) -> None:
    port = free_port()
    worker = Worker(here.settings(web_port=port, web_token="secret-1"), StandIn(*TOPICS))
    worker.start()
    try:
        assert get(port, "/health")[0] == 200
        for path in ("/ready", "/metrics"):
            assert get(port, path)[0] == 401
            assert get(port, path, "secret-2")[0] == 401
            assert get(port, path, "secret-1")[0] == 200
    finally:
        assert worker.stop() == 0


def test_a_port_in_use_fails_with_one_line(here: Here) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker = Worker(here.settings(web_port=port), StandIn(*TOPICS))
        assert worker.run() == 1
        assert str(port) in str(worker.problem)


# What has a mistake, and how the worker says so. A record of control-global nested too deep once was the second.
MISTAKES = {
    "expire": ("the timer 'expire' failed", "ValueError"),
    "control": ("the timer 'obey' failed", "RecursionError"),
    "observe": ("the timer 'observe' failed", "ZeroDivisionError"),
    "decode": ("asked to crash", "KeyError"),
    "drain": ("asked to crash", "OverflowError"),
}


class Faulty(StandIn):
    """An engine that fails where it is told to, once partitions are its own."""

    def __init__(self, mistake: str) -> None:
        super().__init__(*TOPICS)
        self.mistake = mistake

    def expire(self, now_ms: int) -> Any:
        if self.mistake == "expire":
            raise ValueError("asked to crash")
        return super().expire(now_ms)

    def stats(self) -> dict[str, float]:
        if self.mistake == "observe" and self.begun:
            raise ZeroDivisionError("asked to crash")
        return super().stats()


class Undecodable:
    def decode(self, raw: Any) -> Any:
        raise KeyError("asked to crash")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_anywhere_beside_the_counting_ends_the_worker_with_code_1_and_its_name(
    here: Here, mistake: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words, kind = MISTAKES[mistake]

    def deep(watch: object) -> None:
        raise RecursionError("maximum recursion depth exceeded")

    async def lost(source: object) -> None:
        raise OverflowError("asked to crash")

    if mistake == "control":
        monkeypatch.setattr("streams.worker.control.ControlWatch.poll", deep)
    if mistake == "drain":
        monkeypatch.setattr("streams.delivery.reading.KafkaSource.drain", lost)
    engine = Faulty(mistake)
    if mistake == "decode":
        engine.decoders = dict.fromkeys(TOPICS, Undecodable())  # type: ignore[arg-type]
    worker = Worker(here.settings(commit_interval_ms=60_000), engine)
    worker.start()
    if mistake == "drain":
        worker.stop()
    here.produce("cdr", b"v")
    wait_until(lambda: "stopped: " in caplog.text)
    assert worker.stop() == 1
    (stopped,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("stopped: ")]
    assert words in stopped
    assert kind in stopped or mistake == "decode"
    assert not here.has_committed() or mistake == "drain"
    assert any(record.exc_info for record in caplog.records), "whoever mends it wants to know where"


def test_a_mistake_in_a_page_is_that_pages_answer_and_the_worker_goes_on(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    worker = Worker(here.settings(web_port=port), StandIn(*TOPICS))
    worker.start()
    try:
        monkeypatch.setattr(worker.metrics, "render", lambda: 1 / 0)
        assert get(port, "/metrics")[0] == 500
        assert get(port, "/ready")[0] == 200
    finally:
        assert worker.stop() == 0
