"""Passwords over TLS and the least rights, on a real broker that grants nothing by itself: with the rights that
docker/acls.sh gives, everything works, and what is not given is refused in words that name it."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from schemas.feeds import FEEDS
from schemas.topics import (
    BLOCK_ACKS,
    BLOCK_EVENTS,
    CDR,
    CONTROL_GLOBAL,
    DEAD_LETTERS,
    DERIVED,
    LEDGER,
    MESSAGE_RELAY,
    REKEYED,
    SANCTIONS,
    SHARED_NUMBERS,
    TOPICS,
)
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from tests.conftest import missing
from tests.faults.zygote import Process, Zygote
from tests.kafka_broker import Broker, KafkaUnavailable, kafka_jars, moved

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LONG_S = 120.0
LOOK_S = 0.05
PARTITIONS = 2
OFFENDER = "+821011112222"
STRAY = "+821033334444"
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
  calls: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - {name: many-messages, summary: s, when: sent > 20, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d, origin: stop}}
  - {name: some-messages, summary: s, when: sent > 10, mode: review,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: few-messages, summary: s, when: sent > 5, mode: shadow,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: many-calls, summary: s, when: calls > 20, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 1d}}
"""
# As docs/security.md gives rights to roles: role -> (principal's name, what acls.sh is told besides).
ROLES = {
    "maker": ("setup", ()),
    "worker": ("grayline", ("grayline",)),
    "carrier": ("carrier-a", (MESSAGE_RELAY,)),
    "blocker": ("blocker-a", ("blocker-a",)),
    "relay": ("relay-3", ("relay-3",)),
    "sharer": ("sharer", ("sharer",)),
    "operator": ("operator", ()),
    "desk": ("desk", ("desk",)),
    "judge": ("judge", ()),
    "redriver": ("redriver", ()),
}


@dataclass
class Place:
    """The broker, and every way to it that a test takes. words: the password of each user."""

    broker: Broker
    zygote: Zygote
    folder: Path
    words: dict[str, str]
    admin: AdminClient
    logs: list[Path] = field(default_factory=list)

    def client(self, user: str, **changes: str) -> dict[str, str]:
        """librdkafka's settings for this user."""
        return {
            "bootstrap.servers": self.broker.secured, "security.protocol": "sasl_ssl",
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": user, "sasl.password": self.words[user],
            "ssl.ca.location": str(self.broker.ca_file),
        } | {name.replace("_", "."): value for name, value in changes.items()} | QUIET  # fmt: skip

    def grayline(self, user: str, *arguments: str, **changes: str) -> Process:
        """A `grayline` process of this user: the password from the environment, the rest from a file."""
        told = self.client(user, **changes)
        del told["log_level"]
        environment = {"GRAYLINE_KAFKA_SASL_PASSWORD": told.pop("sasl.password")}
        file = self.folder / f"{len(self.logs)}.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        log = self.folder / f"{len(self.logs)}.log"
        log.touch()
        self.logs.append(log)
        return self.zygote.start([*arguments, "--kafka-config", str(file)], log, environment)

    def done(self, user: str, *arguments: str, **changes: str) -> tuple[int, str]:
        """(exit code, all that it said) of a command that ends by itself."""
        process = self.grayline(user, *arguments, **changes)
        return process.wait(LONG_S), process.log

    def worker(self, *arguments: str, **changes: str) -> Process:
        return self.grayline(
            "grayline", "run", "--rules", str(self.folder / "rules.yaml"), "--name", "grayline-1",
            "--from", "earliest", "--snapshot-interval", "0.3", "--commit-interval", "50", *arguments, **changes,
        )  # fmt: skip

    def send(self, *messages: bytes) -> None:
        """As the carrier."""
        producer = Producer(self.client("carrier-a", partitioner="murmur2_random"))
        for each in messages:
            producer.produce(MESSAGE_RELAY, each, key=json.loads(each)["sender"].encode())
        assert producer.flush(LONG_S) == 0

    def wait_until(self, true: Callable[[], bool], what: str, worker: Process) -> None:
        """Another process brings it about. Fails with the worker's log when that ends before."""
        give_up = time.monotonic() + LONG_S
        while not true():
            assert worker.exit_code is None, f"{what}: the worker ended\n{worker.log}"
            assert time.monotonic() < give_up, f"{what}: not within {LONG_S:g} s\n{worker.log}"
            time.sleep(LOOK_S)

    def count_of(self, topic: str) -> int:
        """The distance from the first to the last offset of all partitions."""
        reader = Consumer({"bootstrap.servers": self.broker.bootstrap, "group.id": "counts", "log_level": 0})
        try:
            partitions = reader.list_topics(topic, timeout=LONG_S).topics[topic].partitions
            return sum(
                high - low
                for p in partitions
                for low, high in [reader.get_watermark_offsets(_place(topic, p), timeout=LONG_S)]
            )
        finally:
            reader.close()

    @contextmanager
    def without(self, kind: ResourceType, name: str, operation: AclOperation, user: str = "grayline") -> Iterator[None]:
        """One right fewer for a while."""
        pattern = ResourcePatternType.PREFIXED if kind == TRANSACTIONAL_ID else ResourcePatternType.LITERAL
        about = (kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
        gone = AclBindingFilter(*about)
        (removed,) = self.admin.delete_acls([gone]).values()
        assert removed.result(), f"acls.sh gives no {operation.name} on {kind.name} {name}"
        self._wait_for(gone, False)
        try:
            yield
        finally:
            (made,) = self.admin.create_acls([AclBinding(*about)]).values()
            made.result()
            self._wait_for(gone, True)

    def _wait_for(self, which: AclBindingFilter, there: bool) -> None:
        """The broker applies what its controller has stored a moment later."""
        while bool(self.admin.describe_acls(which).result()) != there:
            time.sleep(LOOK_S)


QUIET = {"log_level": "0"}  # what clients are refused is expected here
TRANSACTIONAL_ID = ResourceType.TRANSACTIONAL_ID


def _place(topic: str, partition: int) -> Any:
    from confluent_kafka import TopicPartition

    return TopicPartition(topic, partition)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("security")
    (folder / "rules.yaml").write_text(RULES)
    words = {name: f"word-{secrets.token_hex(12)}" for name in ("admin", "stranger", *(n for n, _ in ROLES.values()))}
    zygote = Zygote(folder / "rules.yaml")
    try:
        broker = Broker(users=words, settings={"group.min.session.timeout.ms": "1000"})
    except KafkaUnavailable as why:
        zygote.close()
        missing(str(why))
    try:
        with broker:
            grant(broker, folder, words["admin"])
            zygote.wait_ready()
            admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
            place = Place(broker, zygote, folder, words, admin)
            code, said = place.done("setup", "topics", "create", "--partitions", str(PARTITIONS))
            assert code == 0, said
            yield place
    finally:
        zygote.close()


def grant(broker: Broker, folder: Path, word: str) -> None:
    """The commands of docker/acls.sh, by an administrator over TLS."""
    tool = folder / "kafka-acls.sh"
    jars, command = kafka_jars(broker.version), moved("AclCommand", broker.version)
    java = f'exec java -Xmx128m -XX:TieredStopAtLevel=1 -cp "{jars}/*" {command} "$@"'
    tool.write_text(f"#!/bin/sh\n{java}\n")
    tool.chmod(0o755)
    config = folder / "admin.properties"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    config.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={broker.ca_file}\n"
        f'sasl.jaas.config={module} required username="admin" password="{word}";\n'
    )
    told = {"BOOTSTRAP": broker.secured, "ADMIN_CONFIG": str(config), "KAFKA_ACLS": str(tool)}
    for role, (name, more) in ROLES.items():
        command = ["sh", str(ROOT / "docker" / "acls.sh"), role, f"User:{name}", *more]
        done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------------------- with the rights it needs


def message(i: int, sender: str) -> bytes:
    at = time.time_ns() // 1_000_000
    told = {"message_id": f"{sender}-{i}", "at": at, "sender": sender, "recipient": f"+8210{i:08d}", "verified": "full"}
    told["relay"] = "relay-3"
    return json.dumps(told).encode()


def test_everything_works_with_the_rights_that_the_script_gives(place: Place) -> None:
    """Carrier, worker and blocker, each with its own rights only; every topic is written, a second start restores."""
    producer = Producer(place.client("carrier-a", partitioner="murmur2_random"))
    for i in range(30):
        producer.produce(MESSAGE_RELAY, message(i, OFFENDER), key=OFFENDER.encode())
    producer.produce(MESSAGE_RELAY, b"{not json", key=OFFENDER.encode())
    elsewhere = 1 - partition_of(STRAY.encode(), PARTITIONS)
    producer.produce(MESSAGE_RELAY, message(0, STRAY), key=STRAY.encode(), partition=elsewhere)
    assert producer.flush(LONG_S) == 0

    sharing = Producer(place.client("sharer"))
    sharing.produce(SHARED_NUMBERS, b"{}", OFFENDER)
    assert sharing.flush(LONG_S) == 0

    acknowledging = Producer(place.client("blocker-a"))
    acknowledging.produce(BLOCK_ACKS, b'{"event_id":"e","blocker":"a","applied_at":1795312801420}', OFFENDER)
    assert acknowledging.flush(LONG_S) == 0

    state = str(place.folder / "state")
    worker = place.worker("--state", state)
    written = set(TOPICS) - (FEEDS.keys() - {MESSAGE_RELAY}) - {CONTROL_GLOBAL, DERIVED, SANCTIONS}  # no record here
    place.wait_until(lambda: all(map(place.count_of, written)), "every topic is written", worker)
    place.wait_until(lambda: OFFENDER in place.done("blocker-a", "blocks")[1], "the blocker sees the block", worker)
    worker.signal(signal.SIGTERM)
    assert worker.wait(LONG_S) == 0, worker.log

    again = place.worker()  # without the folder: snapshots come back from the topic
    place.wait_until(lambda: again.log.count("live: partition=") == PARTITIONS, "it is restored", again)
    again.signal(signal.SIGTERM)
    assert again.wait(LONG_S) == 0, again.log
    assert "snapshot=none" not in again.log
    assert place.count_of(DEAD_LETTERS) <= 2  # one letter and its transaction's end: not decided twice
    assert "1 (1 message-relay)" in place.done("redriver", "dead-letters", "redrive", "--anyway")[1]
    for log in (worker.log, again.log):
        assert_no_secrets(place, log)
        assert OFFENDER not in log
        assert STRAY not in log


def test_the_page_on_security_names_the_rights_that_the_script_gives(place: Place) -> None:
    """Each row of its table: role, resource, names, operations."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (topic|group|transactional id)(s?) \| (.*?) \| (.*?) \|$", text, re.M)
    said = {
        (role, kind.replace(" ", "_"), name, operation)
        for role, kind, _, names, operations in rows
        for name in re.findall(r"`([^`]+)`", names)
        for operation in re.findall(r"\w+", operations)
    }
    role_of = {f"User:{name}": role for role, (name, _) in ROLES.items()}
    every = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
    )
    given = {
        (
            role_of[acl.principal],
            acl.restype.name.lower(),
            acl.name + ("*" if acl.resource_pattern_type == ResourcePatternType.PREFIXED else ""),
            acl.operation.name.title().replace("_", "").replace("configs", "Configs"),
        )
        for acl in place.admin.describe_acls(every).result()
    }
    assert said == given


# --------------------------------------------------------------------------------------------- with one right missing

# What is taken away, how the worker then ends, and what it says.
MISSING = {
    "group": (ResourceType.GROUP, "grayline", AclOperation.READ, 2, ("Read on the group",)),
    "name": (TRANSACTIONAL_ID, "grayline", AclOperation.WRITE, 1, ("refuses transactional id 'grayline-grayline-1'",)),
    "input": (ResourceType.TOPIC, CDR, AclOperation.READ, 2, ("not on the broker", CDR)),
    "control": (ResourceType.TOPIC, CONTROL_GLOBAL, AclOperation.READ, 2, ("not on the broker", CONTROL_GLOBAL)),
    "output": (ResourceType.TOPIC, BLOCK_EVENTS, AclOperation.WRITE, 2, ("not on the broker", BLOCK_EVENTS)),
    "ledger": (ResourceType.TOPIC, LEDGER, AclOperation.WRITE, 1, (LEDGER, "Topic authorization failed")),
    "restore": (ResourceType.TOPIC, LEDGER, AclOperation.READ, 1, (LEDGER, "Topic authorization failed")),
    "strays": (ResourceType.TOPIC, REKEYED, AclOperation.READ, 1, (REKEYED, "Topic authorization failed")),
}


@pytest.mark.parametrize("what", MISSING)
def test_a_worker_without_one_of_its_rights_says_which(place: Place, what: str) -> None:
    kind, name, operation, code, words = MISSING[what]
    place.send(message(1, f"+82104444000{sorted(MISSING).index(what)}"))  # something to count, and to commit
    with place.without(kind, name, operation):
        worker = place.worker()
        try:
            assert worker.wait(LONG_S) == code, worker.log
        finally:
            worker.kill()
    for word in words:
        assert word in worker.log
    assert_no_secrets(place, worker.log)


def test_a_worker_that_may_not_see_settings_of_topics_says_so_and_works(place: Place) -> None:
    with place.without(ResourceType.TOPIC, DEAD_LETTERS, AclOperation.DESCRIBE_CONFIGS):
        worker = place.worker()
        place.wait_until(lambda: worker.log.count("live: partition=") == PARTITIONS, "it works", worker)
        worker.signal(signal.SIGTERM)
        assert worker.wait(LONG_S) == 0
    assert "which takes the right to DescribeConfigs" in worker.log


# What is wrong with the settings, and what the worker says.
WRONG = (
    ({"sasl_password": "word-of-nobody"}, "invalid credentials"),
    ({"sasl_mechanism": "PLAIN"}, "SCRAM-SHA-512"),
    ({"ssl_ca_location": "another.pem"}, "certificate verify failed"),
    ({"security_protocol": "plaintext"}, "no Kafka broker answered"),
)


def test_a_worker_that_cannot_sign_in_says_why(place: Place) -> None:
    """All at once, since each asks for ten seconds. A worker cannot tell it from a broker in trouble: no refusal."""
    another = place.folder / "another.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=another")
    subprocess.run([*made, "-keyout", f"{another}.key", "-out", str(another)], check=True, capture_output=True)
    wrong = [({n: str(place.folder / v) if v == another.name else v for n, v in c.items()}, w) for c, w in WRONG]
    workers = [(place.worker("--wait-for-broker", "5", **changes), words) for changes, words in wrong]
    for worker, words in workers:
        assert worker.wait(LONG_S) == 1, worker.log
        assert words in worker.log
        assert_no_secrets(place, worker.log)
        assert "word-of-nobody" not in worker.log


# --------------------------------------------------------------------------------------------------- what nobody may


def may_write(place: Place, user: str, topic: str) -> bool:
    errors: list[KafkaError | None] = []
    producer = Producer(place.client(user) | {"message.timeout.ms": "20000"})
    # Beyond the last partition: what is let through is lost on the way, and no test finds it in a topic.
    producer.produce(topic, b"x", partition=0, on_delivery=lambda error, _: errors.append(error))
    producer.flush(LONG_S)
    (error,) = errors
    if error is None:
        return True
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error
    return False


def may_read(place: Place, user: str, topic: str, group: str) -> bool:
    """True if a member of this group can read the topic's first record, or its end."""
    config = place.client(user, group_id=group, auto_offset_reset="earliest")
    reader = Consumer(config | {"enable.partition.eof": "true", "enable.auto.commit": "false"})
    try:
        reader.subscribe([topic])
        while True:
            found = reader.poll(LONG_S)
            assert found is not None, f"{user} hears nothing of {topic}"
            error = found.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return True
            if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
                return False
    finally:
        reader.close()


def test_a_carrier_writes_its_topic_and_nothing_else(place: Place) -> None:
    assert may_write(place, "carrier-a", MESSAGE_RELAY)
    assert not may_write(place, "carrier-a", CDR)
    assert not may_write(place, "carrier-a", BLOCK_EVENTS)
    assert not may_read(place, "carrier-a", MESSAGE_RELAY, "carrier-a")


def test_a_blocker_reads_the_blocks_and_nothing_else(place: Place) -> None:
    assert may_read(place, "blocker-a", BLOCK_EVENTS, "blocker-a")
    assert may_read(place, "blocker-a", "block-status", "blocker-a")
    assert not may_read(place, "blocker-a", BLOCK_EVENTS, "grayline")
    for topic in (MESSAGE_RELAY, LEDGER, "review-queue", DEAD_LETTERS):
        assert not may_read(place, "blocker-a", topic, "blocker-a")
    for topic in (BLOCK_EVENTS, LEDGER, MESSAGE_RELAY):
        assert not may_write(place, "blocker-a", topic)


def test_a_worker_makes_no_topics_and_writes_no_inputs(place: Place) -> None:
    assert not may_write(place, "grayline", MESSAGE_RELAY)
    worker = AdminClient(place.client("grayline"))
    (made,) = worker.create_topics([NewTopic("more", 1, 1)]).values()
    with pytest.raises(KafkaException, match="AUTHORIZATION_FAILED"):
        made.result()


def test_who_has_no_rights_sees_no_topic(place: Place) -> None:
    code, said = place.done("stranger", "topics", "show")
    assert code == 1
    assert said.count("missing") >= len(TOPICS)


def test_an_operator_pauses_and_enters_numbers_into_the_registry_and_a_blocker_does_not(place: Place) -> None:
    entry = ("allowed", "+821055500101")
    said_of_it = ("--owner", "relay7", "--reason", "its gateway", "--until", "2099-01-01T00:00:00Z")
    assert place.done("operator", "registry", "add", *entry, *said_of_it)[0] == 0
    code, said = place.done("operator", "registry", "list")
    assert (code, "relay7: its gateway" in said) == (0, True), said
    assert place.done("operator", "registry", "remove", *entry)[0] == 0
    for words in (("pause", "--reason", "x", "--timeout", "1"), ("paused",), ("resume", "--timeout", "1")):
        code, said = place.done("operator", *words)
        assert (code, "live partitions" in said) == (0, True), said
    code, said = place.done("blocker-a", "registry", "add", *entry, *said_of_it)
    assert code == 1, said
    code, said = place.done("blocker-a", "registry", "list")
    assert (code, "lacks the right Read" in said) == (1, True), said


# ------------------------------------------------------------------------------------------------------------ secrets


def assert_no_secrets(place: Place, text: str) -> None:
    for user, word in place.words.items():
        assert word not in text, f"the password of {user}"


def test_a_judge_judges_reporters_and_the_desk_alone_does_not(place: Place) -> None:
    number = "+821055500199"
    code, said = place.done("judge", "reporters", "judge", number, "wrong", "--order", "1")
    assert (code, "0 reporters" in said) == (0, True), said
    code, said = place.done("desk", "reporters", "judge", number, "wrong", "--order", "1")
    assert code == 1
    assert "reports" in said or CONTROL_GLOBAL in said


def test_librdkafkas_own_debugging_shows_no_password(place: Place) -> None:
    code, said = place.done("setup", "topics", "show", debug="all")
    assert code == 0, said
    assert "SASL" in said
    assert_no_secrets(place, said)
    code, said = place.done("setup", "topics", "show", debug="all", sasl_password="word-of-nobody")
    assert code == 1
    assert "word-of-nobody" not in said


def test_settings_show_no_secret() -> None:
    word = secrets.token_hex(12)
    names = ("sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "sasl.oauthbearer.config")
    settings = KafkaSettings("broker:9092", dict.fromkeys(names, word))
    assert word not in repr(settings)
    assert word not in f"{settings}"


def test_no_command_takes_a_secret_as_an_option() -> None:
    """Whoever may list processes sees arguments: secrets come from the environment or a file."""
    from streams.cli import command

    def options(group: click.Command, context: click.Context) -> Iterator[str]:
        for parameter in group.params:
            yield from parameter.opts
        if isinstance(group, click.Group):
            for name in group.list_commands(context):
                child = group.get_command(context, name)
                assert child is not None
                yield from options(child, context)

    every = set(options(command, command.make_context("grayline", [], resilient_parsing=True)))
    assert "--kafka-config" in every
    assert [name for name in every if re.search("password|secret|token|key$|credential", name)] == []
