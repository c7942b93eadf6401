"""Starts while the broker is away: before anything, and from each call of a start on."""

from __future__ import annotations

import json
import random
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaException

from streams.kafka import topics
from streams.kafka.clients import Clients
from streams.kafka.settings import KafkaSettings
from streams.runtime.settings import WorkerSettings
from streams.runtime.start_from import StartFrom
from streams.worker.worker import Worker
from tests.faults.scene import LONG_S, WORKER, Scene
from tests.kafka_broker import free_ports
from tests.kafka_proxy import CUT, SILENT, Proxy
from tests.stand_in import StandIn

INPUTS = ("message-relay", "cdr")
AWAY_S = 1.5
ANSWER_S = 0.7  # what a worker gives a broker here: shorter than an outage, so that its questions fail
TIMEOUTS = (
    "kafka.ownership.BROKER_TIMEOUT_S", "kafka.ownership.STABLE_TIMEOUT_S", "kafka.fetcher.BROKER_TIMEOUT_S",
    "kafka.fetcher.NOTES_TIMEOUT_S", "kafka.reader.BROKER_TIMEOUT_S", "kafka.reconnecting.ANSWER_S",
    "kafka.topic_ids.ANSWER_S", "worker.control.BROKER_TIMEOUT_S",
)  # fmt: skip
CALLS = frozenset((
    "list_topics", "committed", "get_watermark_offsets", "offsets_for_times", "subscribe", "assign", "consume",
    "init_transactions",
))  # fmt: skip
STARTS_MAX = 40


class Watched(Clients):
    """The real clients. at: told of each call that may need the broker, just before it is made."""

    def __init__(self, at: Callable[[str], None]) -> None:
        super().__init__()
        self._at = at
        self._consumers = 0

    def consumer(self, config: Mapping[str, object], *, in_columns: bool = False) -> Any:
        self._consumers += 1
        return Told(super().consumer(config, in_columns=in_columns), f"consumer {self._consumers}", self._at)

    def producer(self, config: Mapping[str, object]) -> Any:
        return Told(super().producer(config), "producer", self._at)


class Told:
    def __init__(self, client: Any, name: str, at: Callable[[str], None]) -> None:
        self._client, self._name, self._at = client, name, at

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        if name not in CALLS:
            return function

        def call(*arguments: Any, **options: Any) -> Any:
            if not options.get("cached"):
                self._at(f"{self._name}: {name}")
            if name == "subscribe":
                options["on_assign"] = self._inside(options["on_assign"])
            return function(*arguments, **options)

        return call

    def _inside(self, callback: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        return lambda consumer, partitions: callback(
            Told(consumer, f"{self._name} at an assignment", self._at), partitions
        )


class Outages:
    """Takes the broker away for a moment at each call that it has not done so at yet."""

    def __init__(self, proxy: Proxy, draw: random.Random) -> None:
        self.done: dict[str, str] = {}  # call -> how the broker was lost
        self._proxy, self._draw = proxy, draw
        self._is_armed = False
        self._back: threading.Timer | None = None
        self._lock = threading.Lock()

    def arm(self) -> None:
        self._is_armed = True

    def at(self, call: str) -> None:
        with self._lock:
            if not self._is_armed or (self._back is not None and self._back.is_alive()):
                return
            if call in self.done:
                return
            how = self._draw.choice((CUT, SILENT))
            self.done[call] = how
            self._proxy.take_away(how)
            self._back = threading.Timer(AWAY_S, self._proxy.bring_back)
            self._back.start()

    def disarm(self) -> None:
        """The broker is there again when this returns."""
        self._is_armed = False
        if self._back is not None:
            self._back.join()


def settings_of(scene: Scene) -> WorkerSettings:
    client = {"bootstrap.servers": scene.proxy.bootstrap, "log_level": 0, **WORKER}
    consumer = {name: value for name, value in client.items() if name != "transaction.timeout.ms"}
    producer = {
        name: value for name, value in client.items() if name not in ("session.timeout.ms", "heartbeat.interval.ms")
    }
    return WorkerSettings(
        consumer=consumer, producer=producer, group=scene.group, start_from=StartFrom("earliest"),
        commit_interval_ms=50, snapshot_interval_ms=100, broker_wait_ms=60_000,
    )  # fmt: skip


def test_wherever_a_start_loses_the_broker_it_waits_for_it_or_ends_with_code_1_and_words(
    scene: Scene, seed: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in TIMEOUTS:
        monkeypatch.setattr(f"streams.{name}", ANSWER_S)
    outages = Outages(scene.proxy, random.Random(seed))
    monkeypatch.setattr("streams.worker.worker.Clients", lambda *_: Watched(outages.at))

    def check() -> None:
        outages.at("check")
        topics.check_topics(KafkaSettings(scene.proxy.bootstrap), INPUTS, timeout_s=ANSWER_S)

    def start() -> Worker:
        worker = Worker(settings_of(scene), StandIn(*INPUTS), check=check)
        worker.start()
        return worker

    first = start()  # there is something to restore from now on
    assert first.stop() == 0, first.problem
    for _ in range(STARTS_MAX):
        before = len(outages.done)
        outages.arm()
        worker = start()
        outages.disarm()
        code, problem = worker.stop(), worker.problem
        if code == 0 and before == len(outages.done):
            break
        if problem is not None:
            assert code == 1, problem
            assert isinstance(problem, KafkaException) or hasattr(problem, "exit_code"), repr(problem)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [], f"seed {seed}"
    assert outages.done.keys() == {
        "check", "consumer 1: list_topics", "consumer 1: committed", "producer: init_transactions",
        "consumer 4: list_topics", "consumer 4: get_watermark_offsets", "consumer 4: assign",
        "consumer 4: consume", "consumer 1: subscribe", "consumer 1: consume",
        "consumer 1 at an assignment: committed", "consumer 1 at an assignment: get_watermark_offsets",
        "consumer 1 at an assignment: assign", "consumer 3: get_watermark_offsets", "consumer 2: assign",
        "consumer 2: consume",
    }  # fmt: skip


def test_a_worker_that_is_started_before_its_broker_says_so_and_goes_on_once_it_is_there(scene: Scene) -> None:
    scene.proxy.take_away(CUT)
    try:
        (port,) = free_ports(1)
        worker = scene.start("--web-port", str(port), bootstrap_servers=scene.proxy.bootstrap)
        scene.wait_until(lambda: "waiting for a broker" in worker.log, "it says so", worker)
        status, told = page(port, "ready")
        assert status == 503
        assert "no Kafka broker answered" in json.loads(told)["waiting"]
        assert "grayline_waiting_for_broker 1.0" in page(port, "metrics")[1]
        assert page(port, "health") == (200, "ok\n")
        worker.signal(signal.SIGHUP)
        worker.signal(signal.SIGHUP)
    finally:
        scene.proxy.bring_back()
    scene.wait_until(lambda: page(port, "ready")[0] == 200, "it is ready", worker)
    assert json.loads(page(port, "ready")[1])["waiting"] == ""
    assert "grayline_waiting_for_broker 0.0" in page(port, "metrics")[1]
    scene.wait_until(lambda: "in force from the next commit" in worker.log, "the rules are read again", worker)
    scene.stop(worker)


def test_a_worker_that_no_broker_answers_ends_with_code_1_or_at_once_when_it_is_told_to(scene: Scene) -> None:
    """Silent, so that a thread of it waits for the answer."""
    scene.proxy.take_away(SILENT)
    try:
        patient = scene.start(bootstrap_servers=scene.proxy.bootstrap)
        impatient = scene.start("--wait-for-broker", "2", bootstrap_servers=scene.proxy.bootstrap)
        assert impatient.wait(LONG_S) == 1, impatient.log
        assert "stopped: no broker let this worker start within 2 s" in impatient.log
        assert "Traceback" not in impatient.log
        scene.stop(patient)
        assert "Traceback" not in patient.log
    finally:
        scene.proxy.bring_back()


def page(port: int, name: str) -> tuple[int, str]:
    """Status and body; 0 while the web server is not up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=LONG_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()
    except OSError as problem:
        return 0, str(problem)
