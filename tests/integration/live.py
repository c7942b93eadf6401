"""A group of real `grayline run` processes on a real broker, whose rules change while they run."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topics import BLOCK_HISTORY, HISTORY, MESSAGE_RELAY, TOPICS
from streams.kafka import topics
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from tests.faults.zygote import Process, Zygote
from tests.kafka_broker import Broker, free_ports

LONG_S = 120.0  # what should come about has not, and the test fails instead of hanging
LOOK_S = 0.05
END_S = 20.0


@dataclass(frozen=True)
class Text:
    """One message of a sender. Its Kafka timestamp is `at_ms`."""

    sender: str
    at_ms: int
    i: int

    @property
    def value(self) -> bytes:
        return json.dumps(
            {"message_id": f"{self.sender}-{self.i}", "at": self.at_ms, "sender": self.sender,
             "recipient": f"+8210{self.i:08d}", "verified": "full", "origin": "domestic"}
        ).encode()  # fmt: skip


class Worker:
    """One process and its web page."""

    def __init__(self, process: Process, port: int, token: str = "") -> None:
        self.process = process
        self.port = port
        self.token = token

    @property
    def log(self) -> str:
        return self.process.log

    def ready(self) -> dict[str, Any]:
        """The body of /ready; nothing while it does not answer."""
        try:
            return dict(json.loads(self._get("ready")))
        except urllib.error.HTTPError as answer:
            return dict(json.loads(answer.read()))
        except OSError:
            return {}

    def metric(self, name: str) -> float | None:
        for line in self.page("metrics").splitlines():
            if line.startswith(f"grayline_{name} "):
                return float(line.split()[-1])
        return None

    def page(self, name: str) -> str:
        return self._get(name).decode()

    def _get(self, page: str) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}"}
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}/{page}", headers=headers)
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return bytes(answer.read())


class Live:
    """One group, its rule file, fresh topics."""

    def __init__(self, broker: Broker, zygote: Zygote, folder: Path, partitions: int) -> None:
        self.broker, self.partitions, self.folder = broker, partitions, folder
        self.group = f"live-{uuid.uuid4().hex[:8]}"
        self.rules_file = folder / "rules.yaml"
        self._zygote = zygote
        self._workers: list[Worker] = []
        self._client = {"bootstrap.servers": broker.bootstrap, "log_level": 2}
        self._admin = AdminClient(self._client)
        self._asking: Any = Consumer(self._client | {"group.id": self.group, "isolation.level": "read_committed"})
        self._fresh_topics()

    def start(self, name: str, *arguments: str, token: str = "") -> Worker:
        """A static member with a state folder of its own. token: of its pages."""
        (port,) = free_ports(1)
        command = [
            "run", "--brokers", self.broker.bootstrap, "--rules", str(self.rules_file), "--group", self.group,
            "--from", "earliest", "--name", f"{self.group}-{name}", "--state", str(self.folder / name),
            "--web-port", str(port), "--commit-interval", "50", "--snapshot-interval", "1", *arguments,
        ]  # fmt: skip
        log = self.folder / f"{name}-{len(self._workers)}.log"
        environ = {"GRAYLINE_WEB_TOKEN": token} if token else {}
        self._workers.append(Worker(self._zygote.start(command, log, environ), port, token))
        return self._workers[-1]

    def stop(self, worker: Worker) -> None:
        worker.process.signal(15)
        assert worker.process.wait(END_S) == 0, worker.log

    def feed(self, messages: Iterable[Text]) -> None:
        producer: Any = Producer(self._client | {"enable.idempotence": True, "linger.ms": 1})
        for m in messages:
            home = self.home(m.sender)
            producer.produce(MESSAGE_RELAY, m.value, m.sender.encode(), home, timestamp=m.at_ms)
        assert producer.flush(LONG_S) == 0

    def produce(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        producer: Any = Producer(self._client)
        producer.produce(topic, value, key, partition)
        assert producer.flush(LONG_S) == 0

    def home(self, number: str) -> int:
        return partition_of(number.encode(), self.partitions)

    def wait(self, true: Callable[[], bool], what: str, *alive: Worker) -> None:
        give_up = time.monotonic() + LONG_S
        while not true():
            for worker in alive:
                assert worker.process.exit_code is None, f"{what}: the worker ended\n{worker.log}"
            assert time.monotonic() < give_up, f"{what}: not within {LONG_S:g} s\n{self.logs()}"
            time.sleep(LOOK_S)  # between two looks at what other processes do

    def wait_ready(self, *workers: Worker) -> None:
        for worker in workers:
            self.wait(lambda worker=worker: bool(worker.ready().get("ready")), "ready", worker)  # type: ignore[misc]

    def wait_caught_up(self, *alive: Worker) -> None:
        self.wait(lambda: self.lag() == 0, "all is committed", *alive)

    def lag(self, topic: str = MESSAGE_RELAY) -> int:
        places = [TopicPartition(topic, p) for p in range(self.partitions)]
        committed = {place.partition: max(0, place.offset) for place in self._asking.committed(places, timeout=10)}
        ends = [self._asking.get_watermark_offsets(place, timeout=10)[1] for place in places]
        return sum(end - committed[p] for p, end in enumerate(ends))

    def read(self, topic: str) -> list[Message]:
        """Every record that a read-committed consumer sees, partition by partition."""
        settings = {"group.id": "reader", "isolation.level": "read_committed", "enable.partition.eof": True}
        consumer: Any = Consumer(self._client | settings | {"enable.auto.commit": False})
        found = []
        for partition in self._admin.list_topics(topic, timeout=LONG_S).topics[topic].partitions:
            consumer.assign([TopicPartition(topic, partition, 0)])
            while (message := consumer.poll(LONG_S)) is not None and message.error() is None:
                found.append(message)
        consumer.close()
        return found

    def history(self) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self.read(BLOCK_HISTORY)]

    def logs(self) -> str:
        return "\n".join(f"--- {worker.log[-5000:]}" for worker in self._workers)

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        self._asking.close()

    def _fresh_topics(self) -> None:
        there = [name for name in self._admin.list_topics(timeout=LONG_S).topics if name in TOPICS]
        for gone in (self._admin.delete_topics(there) if there else {}).values():
            gone.result(LONG_S)
        self.wait(lambda: not set(TOPICS) & set(self._admin.list_topics(timeout=10).topics), "topics are gone")
        topics.create(KafkaSettings(self.broker.bootstrap), self.partitions, 1, overrides=HISTORY)


def senders(partitions: int, each: int, prefix: str = "+82101111") -> list[list[str]]:
    """By partition, so many numbers that belong to it."""
    found: list[list[str]] = [[] for _ in range(partitions)]
    for i in range(10_000):
        number = f"{prefix}{i:04d}"
        mine = found[partition_of(number.encode(), partitions)]
        if len(mine) < each:
            mine.append(number)
    return found
