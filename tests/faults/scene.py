"""One fault test's world: fresh topics on a real broker, traffic, workers that come and go, what must come of it."""

from __future__ import annotations

import itertools
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from rules.load import load
from rules.model import RuleSet
from schemas.topics import HISTORY, LEDGER, REKEYED, TOPICS
from streams.holds import ledger_rows
from streams.holds.ledger_keys import manifest_key
from streams.holds.ledger_rows import KeptHold
from streams.holds.pause import Pause
from streams.kafka import topics
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from streams.state.manifest import decode as manifest_of
from tests.faults.traffic import BROKEN, RULES, Record
from tests.faults.zygote import Process, Zygote
from tests.kafka_broker import Broker
from tests.kafka_proxy import Proxy
from tests.reference.reference import Line

PARTITIONS = 4
ANSWER_S = 180.0  # longer than any silence of a broker in these tests
LONG_S = 60.0  # what should come about has not, and the test fails instead of hanging
LOOK_S = 0.02
CLEAN_END_S = 10.0
Place = tuple[str, int]

# A broker that forgets dead members and open transactions within seconds, as the tests have no minutes.
BROKER = {
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "200",
    "log.cleaner.enable": "false",
}
WORKER = {"session.timeout.ms": "3000", "heartbeat.interval.ms": "300", "transaction.timeout.ms": "3000"}


class Scene:
    """`seed` decides the traffic and everything else that is drawn; a failed check names it."""

    partitions = PARTITIONS
    replication = 1

    def __init__(self, broker: Broker, proxy: Proxy, zygote: Zygote, folder: Path, seed: int) -> None:
        self.broker = broker
        self.proxy = proxy
        self.seed = seed
        self.folder = folder
        self.group = f"fault-{uuid.uuid4().hex[:8]}"
        self.was_paused = False
        self.on_look: Callable[[], None] = lambda: None  # at every look of `wait_until`
        self.rules_file = folder / "rules.yaml"
        self.use(RULES)
        self.state = folder / "state"
        self.workers: list[Process] = []
        self._zygote = zygote
        self._feeder: Feeder | None = None
        self._client = client_of(broker)
        self._lock = threading.Lock()
        self.silences = 0
        self.noticed_ms = 0  # every hold that ended by then is known to have ended
        self.feeding_on = threading.Lock()  # held while records are on their way to the broker
        self._asking = self._new_asking()
        self._make_topics()

    def use(self, rules: str) -> None:
        """Workers that start from now on have these rules."""
        self._write_rules(rules)
        self.rules = load([self.rules_file])
        # Rules whose changes depend on more than a log tells: on how topics were interleaved, on when rules changed.
        self.loose = across_topics(self.rules)
        self.enforced = {rule.name for rule in self.rules.rules if rule.mode == "enforce"}
        self.reread = False  # the rules have been others in between

    def reload(self, rules: str) -> None:
        """SIGHUP for every worker, with these rules in the file. Those that are in both files must be the same but for
        their words."""
        self._write_rules(rules)
        for worker in self.workers:
            worker.signal(signal.SIGHUP)
        others = load([self.rules_file])
        self.loose |= across_topics(others) | ({r.name for r in self.rules.rules} ^ {r.name for r in others.rules})
        self.reread = True

    def _write_rules(self, rules: str) -> None:
        """All at once: a worker may be starting, and one that finds half a file rightly refuses to run."""
        new = self.rules_file.with_suffix(".new")
        new.write_text(rules)
        new.replace(self.rules_file)

    def is_told(self, rule: str) -> bool:
        """True if the logs alone show what the rule does. Pauses decide where an enforced opening goes, and come from
        an operator."""
        return rule not in self.loose and not (self.was_paused and rule in self.enforced)

    def pause(self, paused: bool) -> None:
        """An operator's word to all workers, who obey it from some commit on."""
        said = Pause(uuid.uuid4().hex, paused, time.time_ns() // 1_000_000, "soak").record()
        producer = Producer(self._client)
        producer.produce(said.topic, said.value, said.key, partition=0)
        assert producer.flush(LONG_S) == 0
        self.was_paused = True

    # ------------------------------------------------------------------------------------------------------- traffic

    def make_anew(self, *names: str) -> None:
        """Somebody deletes these topics and makes them again."""
        remove_topics(self.broker.bootstrap, names)
        self._create_topics()

    def _make_topics(self) -> None:
        """All topics of the product, empty, whatever was there before."""
        remove_topics(self.broker.bootstrap)
        self._create_topics()

    def _create_topics(self) -> None:
        topics.create(KafkaSettings(self.broker.bootstrap), self.partitions, self.replication, overrides=HISTORY)

    def feed(self, records: Iterable[Record]) -> None:
        """Produce the records, in order, and return when the broker has all of them."""
        with Feeder(self, records, pause_s=0.0):
            pass

    def feeding(self, records: Sequence[Record], per_second: int = 1_000) -> Feeder:
        """The same in the background, never far ahead of what is committed; all of it is out when the `with` block
        ends."""
        self._feeder = Feeder(self, records, pause_s=Feeder.CHUNK / per_second)
        return self._feeder

    def partition_of(self, number: str) -> int:
        return partition_of(number.encode(), self.partitions)

    def place_of(self, record: Record) -> int:
        return (self.partition_of(record.number) + record.astray) % self.partitions

    def is_readable(self, record: Record) -> bool:
        return record.value is not None and record.value not in BROKEN

    # ------------------------------------------------------------------------------------------------------- workers

    def start(
        self, *arguments: str, kill_at: dict[str, str] | None = None, may_choose: bool = True, **config: str
    ) -> Process:
        """A worker of this scene's group. may_choose: it is given --from if the group has not committed every place.
        config: librdkafka settings, dots written as underscores; `bootstrap_servers` for one behind the proxy."""
        index = len(self.workers)
        brokers = config.pop("bootstrap_servers", self.broker.bootstrap)
        properties = self.folder / f"worker-{index}.properties"
        settings = WORKER | {name.replace("_", "."): value for name, value in config.items()}
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        command = [
            "run", "--brokers", brokers, "--rules", str(self.rules_file), "--group", self.group,
            "--kafka-config", str(properties), "--commit-interval", "50", "--snapshot-interval", "0.4", *arguments,
        ]  # fmt: skip
        if may_choose and not self.all_committed():
            command += ["--from", "earliest"]
        worker = self._zygote.start(command, self.folder / f"worker-{index}.log", kill_at or {})
        self.workers.append(worker)
        return worker

    def start_named(
        self, *arguments: str, member: int = 1, kill_at: dict[str, str] | None = None, **config: str
    ) -> Process:
        """A static member of this scene, whose successor takes over at once, with its folder of snapshots."""
        own = ("--name", f"{self.group}-{member}", "--state", str(self.state_of(member)))
        return self.start(*own, *arguments, kill_at=kill_at, **config)

    def state_of(self, member: int) -> Path:
        return self.state if member == 1 else self.folder / f"state-{member}"

    def stop(self, worker: Process) -> None:
        """SIGTERM; the worker must end in order and in time."""
        worker.signal(15)
        assert worker.wait(CLEAN_END_S) == 0, worker.log

    def wait_until(self, true: Callable[[], bool], what: str, *alive: Process, limit_s: float = LONG_S) -> None:
        """Another process brings it about. Fails, with the workers' logs, when one of `alive` ends before that."""
        give_up = time.monotonic() + limit_s
        while not true():
            self.on_look()
            if self._feeder is not None and self._feeder.problem is not None:
                raise self._feeder.problem
            for worker in alive:
                assert worker.exit_code is None, f"{what}: the worker ended\n{worker.log}"
            if time.monotonic() > give_up:
                for worker in alive:
                    worker.signal(signal.SIGUSR1)
                time.sleep(1.0)  # for its threads to be written down
                fed = "" if self._feeder is None else f", {self._feeder.produced} records fed"
                raise AssertionError(f"{what}: not within {limit_s:g} s, seed {self.seed}{fed}\n{self.logs()}")
            time.sleep(LOOK_S)

    def wait_caught_up(self, *alive: Process, limit_s: float = LONG_S) -> None:
        """Every record is behind a committed offset, those that went home through `rekeyed` too, and every hold that
        has ended is noticed."""
        self.wait_until(lambda: self.lag() == 0, "lag returns to zero", *alive, limit_s=limit_s)
        self.wait_until(self._are_home, "strays are counted", *alive, limit_s=limit_s)
        self.noticed_ms = time.time_ns() // 1_000_000
        self.wait_until(self._are_noticed, "holds that have ended are noticed", *alive, limit_s=limit_s)

    def _are_home(self) -> bool:
        places = [(REKEYED, partition) for partition in range(self.partitions)]
        committed = self._committed(places)
        return all(message.offset() < committed[REKEYED, message.partition()] for message in self.read(REKEYED))

    def _are_noticed(self) -> bool:
        return not any(hold.active and hold.until <= self.noticed_ms for _, hold in self.holds())

    def wait_committed(self, records: int, *alive: Process, limit_s: float = LONG_S) -> None:
        """At least so many input records, over all partitions, are behind committed offsets."""

        def are_committed() -> bool:
            return sum(self.committed().values()) >= records

        self.wait_until(are_committed, f"{records} records committed", *alive, limit_s=limit_s)

    def silence(self, how_long_s: float) -> None:
        """The broker keeps its connections and answers nothing. The feeder, whose client might not get over it, waits
        between two records and goes on with a new one."""
        with self.feeding_on:
            self.broker.suspend()
            try:
                time.sleep(how_long_s)  # the fault itself: nothing is waited for
            finally:
                self.broker.resume()
            self.silences += 1
            self.wait_until(self._has_brokers, "the broker names itself")

    def _has_brokers(self) -> bool:
        """A broker that its controller took for dead says that there is none."""
        try:
            return bool(AdminClient(self._client).list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def wait_snapshot(self, *alive: Process) -> None:
        """The newest published snapshot of every partition stands at the committed offsets."""
        self.wait_until(self._is_snapped, "a snapshot of everything", *alive)

    def _is_snapped(self) -> bool:
        committed, key = self.committed(), manifest_key(self.group)
        newest = {m.partition(): manifest_of(m.value()) for m in self.read(LEDGER) if m.key() == key}
        return all(p in newest and newest[p].offsets.get(topic) == at for (topic, p), at in committed.items())

    def logs(self) -> str:
        return "\n".join(f"--- worker {i} (pid {w.pid})\n{w.log[-6000:]}" for i, w in enumerate(self.workers))

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self._asking.close()

    # ------------------------------------------------------------------------------------------- what the broker says

    def inputs(self) -> list[Place]:
        return [(topic, partition) for topic in self.rules.topics for partition in range(self.partitions)]

    def all_committed(self) -> bool:
        """True if the group has committed every place: from then on no worker may need --from."""
        places = [*self.inputs(), *((REKEYED, partition) for partition in range(self.partitions))]
        asked = [TopicPartition(*place) for place in places]
        told = self._ask(lambda consumer: consumer.committed(asked, timeout=5))
        return all(place.offset >= 0 for place in told)

    def committed(self) -> dict[Place, int]:
        """Stable committed offsets of the input topics, 0 where there is none."""
        return self._committed(self.inputs())

    def _committed(self, places: Sequence[Place]) -> dict[Place, int]:
        asked = [TopicPartition(*place) for place in places]
        told = self._ask(lambda consumer: consumer.committed(asked, timeout=5))
        return {(place.topic, place.partition): max(place.offset, 0) for place in told}

    def ends(self) -> dict[Place, int]:
        def end(place: Place) -> int:
            asked = TopicPartition(*place)
            return int(self._ask(lambda consumer: consumer.get_watermark_offsets(asked, timeout=5))[1])

        return {place: end(place) for place in self.inputs()}

    def lag(self) -> int:
        committed = self.committed()
        return sum(end - committed[place] for place, end in self.ends().items())

    def _new_asking(self) -> Any:
        return Consumer(self._client | {"group.id": self.group, "isolation.level": "read_committed"})

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        """An answer from a broker that may just be coming back; any thread may ask."""
        give_up = time.monotonic() + ANSWER_S
        while True:
            with self._lock:
                try:
                    return question(self._asking)
                except KafkaException:
                    if time.monotonic() > give_up:
                        raise
                    # A client that a silent broker has left behind may not find its coordinator for minutes.
                    self._asking.close()
                    self._asking = self._new_asking()
            time.sleep(LOOK_S)

    def read(self, topic: str) -> list[Message]:
        """Every record that a read-committed consumer sees, partition by partition."""
        with reader(self._client) as consumer:
            count = len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
            return _whole(consumer, [(topic, partition) for partition in range(count)])

    def log(self, topic: str, partition: int, end: int) -> list[Message]:
        """The committed records of a partition below `end`."""
        with reader(self._client) as consumer:
            return [message for message in _whole(consumer, [(topic, partition)]) if message.offset() < end]

    def holds(self) -> list[tuple[str, KeptHold]]:
        """(number, hold) as the last rows of the ledger have them."""
        rows = {m.key().decode(): m.value() for m in self.read(LEDGER) if not m.key().startswith(b"#")}
        return [(n, hold) for n, row in rows.items() if row is not None for hold in ledger_rows.decode(int(n), row)[0]]

    def lines(self) -> list[Line]:
        """The logs of all inputs, one after the other, where they lie."""
        with reader(self._client) as consumer:
            found = _whole(consumer, self.inputs())
        return [Line(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.value(), m.key()) for m in found]


@dataclass
class Feeder:
    """Produces records from a thread of its own, each in its number's partition, in order."""

    CHUNK = 50
    AHEAD_MAX = 400  # records fed in the background that are not committed yet

    scene: Scene
    records: Iterable[Record]
    pause_s: float
    produced: int = 0
    problem: BaseException | None = None
    _hurry: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Feeder:
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._hurry.set()
        self._thread.join()
        if self.problem is not None and kind is None:
            raise self.problem

    def _run(self) -> None:
        try:
            self._produce()
        except BaseException as problem:
            self.problem = problem

    def _ahead(self) -> int:
        return self.scene.lag() if self.pause_s else 0

    def _produce(self) -> None:
        failed: list[str] = []
        records, producer, silences = iter(self.records), self._new_producer(), self.scene.silences
        while chunk := list(itertools.islice(records, self.CHUNK)):
            with self.scene.feeding_on:
                if silences != self.scene.silences:
                    producer, silences = self._new_producer(), self.scene.silences
                for record in chunk:
                    producer.produce(
                        record.topic, record.value, record.number.encode(), self.scene.place_of(record),
                        timestamp=record.ts_ms, on_delivery=lambda error, _: error and failed.append(error.str()),
                    )  # fmt: skip
                    self.produced += 1
                if not self._hurry.is_set():
                    assert producer.flush(LONG_S) == 0
            while not self._hurry.wait(self.pause_s) and self._ahead() > self.AHEAD_MAX:
                pass
        assert producer.flush(LONG_S) == 0
        assert not failed, failed[0]

    def _new_producer(self) -> Any:
        # Idempotent, so that the input itself has nothing twice and nothing out of order when the broker dies.
        config = {"enable.idempotence": True, "linger.ms": 1, "message.max.bytes": 2_000_000}
        return Producer(client_of(self.scene.broker) | config)


def across_topics(rules: RuleSet) -> set[str]:
    return {rule.name for rule in rules.rules if len({c.topic for c in rule.counters.values()}) > 1}


def client_of(broker: Broker) -> dict[str, Any]:
    """Settings of every client of the tests: as the worker's own, it keeps the brokers it knows."""
    return {"bootstrap.servers": broker.bootstrap, "log_level": 2, "metadata.recovery.strategy": "none"}


@contextmanager
def reader(client: dict[str, Any]) -> Iterator[Any]:
    settings = {"group.id": "reader", "isolation.level": "read_committed", "enable.partition.eof": True}
    consumer = Consumer(client | settings | {"enable.auto.commit": False, "fetch.wait.max.ms": 10})
    try:
        yield consumer
    finally:
        consumer.close()


def _whole(consumer: Any, places: Sequence[Place]) -> list[Message]:
    """All records of these partitions up to their stable ends, one partition after the other."""
    consumer.assign([TopicPartition(*place, 0) for place in places])
    found: dict[Place, list[Message]] = {place: [] for place in places}
    unread = set(places)
    give_up = time.monotonic() + LONG_S
    while unread:
        assert time.monotonic() < give_up, f"{sorted(unread)} could not be read"
        for message in consumer.consume(1_000, 0.02):
            place, error = (message.topic(), message.partition()), message.error()
            if error is None:
                found[place].append(message)
            elif error.name() == "_PARTITION_EOF":
                unread.discard(place)
    return [message for place in places for message in found[place]]


def remove_topics(bootstrap: str, names: Iterable[str] = tuple(TOPICS)) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
    ours = [name for name in admin.list_topics(timeout=10).topics if name in names]
    if not ours:
        return
    for future in admin.delete_topics(ours).values():
        future.result()
    give_up = time.monotonic() + LONG_S
    while set(admin.list_topics(timeout=10).topics) & set(ours):
        assert time.monotonic() < give_up, "the broker does not remove its topics"
        time.sleep(LOOK_S)
