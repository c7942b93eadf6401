"""Kafka settings: what passes through, what is refused and why, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from streams.kafka.settings import CONSUMER_ONLY, PRODUCER_ONLY, WHY_NOT, KafkaProblem, KafkaSettings, is_secret

FILE = """\
# how we reach the cluster
! the other kind of comment

security.protocol = sasl_ssl
sasl.password=with=signs and spaces
fetch.wait.max.ms=7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kafka.properties"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_a_files_settings_pass_through_unchanged(file: Path) -> None:
    consumer = KafkaSettings.load("kafka:9092", file, {}).consumer("grayline")
    assert consumer["security.protocol"] == "sasl_ssl"
    assert consumer["sasl.password"] == "with=signs and spaces"
    assert consumer["bootstrap.servers"] == "kafka:9092"
    assert consumer["group.id"] == "grayline"


def test_the_file_goes_over_our_defaults_the_environment_over_the_file(file: Path) -> None:
    assert KafkaSettings.load(None, None, {}).consumer("g")["fetch.wait.max.ms"] == 100
    assert KafkaSettings.load(None, file, {}).consumer("g")["fetch.wait.max.ms"] == "7"
    environ = {"GRAYLINE_KAFKA_FETCH_WAIT_MAX_MS": "8"}
    assert KafkaSettings.load(None, file, environ).consumer("g")["fetch.wait.max.ms"] == "8"


@pytest.mark.parametrize(
    ("brokers", "environ", "expected"),
    [
        (None, {}, "127.0.0.1:9092"),
        (None, {"GRAYLINE_KAFKA_BOOTSTRAP_SERVERS": "c:3"}, "c:3"),
        (None, {"GRAYLINE_KAFKA_BOOTSTRAP_SERVERS": "c:3", "GRAYLINE_BROKERS": "b:2"}, "b:2"),
        ("a:1", {"GRAYLINE_KAFKA_BOOTSTRAP_SERVERS": "c:3", "GRAYLINE_BROKERS": "b:2"}, "a:1"),
    ],
)
def test_the_command_lines_brokers_win(brokers: str | None, environ: dict[str, str], expected: str) -> None:
    assert KafkaSettings.load(brokers, None, environ).common()["bootstrap.servers"] == expected


def test_the_environment_names_the_file_and_other_variables_are_not_settings(file: Path) -> None:
    environ = {"GRAYLINE_KAFKA_CONFIG": str(file), "GRAYLINE_KAFKA_HOME": "/jars", "KAFKA_SASL_USERNAME": "nobody"}
    assert dict(KafkaSettings.load(None, None, environ).extra).keys() == {
        "security.protocol",
        "sasl.password",
        "fetch.wait.max.ms",
    }


def test_an_underscore_of_librdkafkas_own_is_kept() -> None:
    assert KafkaSettings.load(None, None, {"GRAYLINE_KAFKA_LOG_LEVEL": "3"}).common()["log_level"] == "3"


@pytest.mark.parametrize("name", sorted(WHY_NOT))
def test_what_would_break_a_guarantee_is_refused_with_the_reason_and_the_place(name: str, tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text(f"client.id=us\n{name}=something-else\n")
    with pytest.raises(KafkaProblem) as refusal:
        KafkaSettings.load(None, path, {})
    assert str(refusal.value).startswith(f"{path}:2: `{name}` cannot be changed: {WHY_NOT[name]}")


@pytest.mark.parametrize("name", ["auto.offset.reset", "group.id", "transactional.id", "enable.partition.eof"])
def test_what_is_decided_elsewhere_is_refused(name: str) -> None:
    variable = "GRAYLINE_KAFKA_" + name.upper().replace(".", "_")
    with pytest.raises(KafkaProblem, match=f"{variable}: `{name}` cannot be set here"):
        KafkaSettings.load(None, None, {variable: "latest"})


def test_repeating_our_own_choice_is_no_error() -> None:
    settings = KafkaSettings("k:1", {"enable.idempotence": "True", "acks": "all", "partitioner": "murmur2_random"})
    assert settings.producer()["enable.idempotence"] is True


@pytest.mark.parametrize("line", ["sasl.password hunter2", "=hunter2", "sasl password=hunter2"])
def test_a_malformed_line_is_named_but_never_shown(line: str, tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text(f"\n{line}\n")
    with pytest.raises(KafkaProblem) as refusal:
        KafkaSettings.load(None, path, {})
    assert f"{path}:2" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_setting_given_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "kafka.properties"
    path.write_text("client.id=a\nclient.id=b\n")
    with pytest.raises(KafkaProblem, match=r":2: `client\.id` is set twice"):
        KafkaSettings.load(None, path, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KafkaProblem, match=r"none\.properties: cannot read"):
        KafkaSettings.load(None, tmp_path / "none.properties", {})


@pytest.mark.parametrize(
    "name",
    ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret", "sasl.oauthbearer.config",
     "ssl.keystore.password", "sasl.jaas.config"],
)  # fmt: skip
def test_secrets_are_masked(name: str) -> None:
    settings = KafkaSettings("k:1", {name: "hunter2", "client.id": "us"})
    assert is_secret(name)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in f"{settings}"
    assert "client.id=us" in repr(settings)


def test_settings_of_the_other_kind_of_client_stay_out() -> None:
    settings = KafkaSettings("k:1", {"session.timeout.ms": "7000", "linger.ms": "3", "socket.keepalive.enable": "true"})
    assert "linger.ms" not in settings.consumer("g")
    assert "session.timeout.ms" not in settings.producer()
    assert not {"linger.ms", "session.timeout.ms"} & settings.common().keys()
    assert settings.common()["socket.keepalive.enable"] == "true"


@pytest.mark.parametrize("name", sorted(CONSUMER_ONLY | PRODUCER_ONLY))
def test_each_setting_held_back_is_one_that_librdkafka_knows(name: str) -> None:
    with pytest.raises(KafkaException) as refusal:
        Consumer({"group.id": "g", name: "@no such value@"})
    assert "No such configuration property" not in str(refusal.value)


def test_librdkafka_accepts_every_configuration_we_make() -> None:
    settings = KafkaSettings("127.0.0.1:1", {"log_level": "0"})
    Consumer(settings.consumer("grayline", offset_reset="earliest")).close()
    Producer(settings.producer())
    Producer(settings.producer(transactional_id="grayline-0"))
    AdminClient(settings.common())


def test_guarantees_are_in_every_configuration() -> None:
    consumer, producer = KafkaSettings().consumer("g"), KafkaSettings().producer(transactional_id="t")
    assert consumer["enable.auto.commit"] is False
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["partition.assignment.strategy"] == "range"
    assert consumer["auto.offset.reset"] == "error"
    assert producer["partitioner"] == "murmur2_random"
    assert producer["transaction.timeout.ms"] == 10_000
