"""`grayline records produce`: what of a file goes into Kafka, where, and under which key, header and timestamp."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition

from schemas.topics import CDR, MESSAGE_RELAY
from streams.cli import command
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.partition import partition_of

AT_MS = 1_795_395_600_000
PARTITIONS = 3
CALL = {"call_id": "c1", "event": "setup", "at": AT_MS, "caller": "010-1111-0001", "callee": "010-9999-0001"}


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partitions=PARTITIONS) as running:
        running.create_topics([CDR, MESSAGE_RELAY])
        yield running


def produce(broker: EmbeddedBroker, *arguments: str, stdin: bytes | None = None) -> Result:
    command_line = ["records", "produce", "--brokers", broker.bootstrap, "--topic", CDR, *arguments]
    return CliRunner().invoke(command, command_line, input=stdin)


def read(broker: EmbeddedBroker) -> list[Any]:
    consumer: Any = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.partition.eof": True}
    )
    found = []
    for partition in range(PARTITIONS):
        consumer.assign([TopicPartition(CDR, partition, 0)])
        while (message := consumer.poll(30)) is not None and message.error() is None:
            found.append(message)
    consumer.close()
    return found


def lines(*records: object) -> bytes:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records).encode()


def test_each_record_lies_in_its_numbers_partition_under_its_e164_key(broker: EmbeddedBroker, tmp_path: Path) -> None:
    spellings = ["010-1111-0001", "+82 10 1111 0001", "02-999-0001", "+8613912345678", "anonymous", "1588-0001"]
    records = [CALL | {"call_id": f"c{n}", "caller": caller} for n, caller in enumerate(spellings)]
    (tmp_path / "calls.jsonl").write_bytes(lines(*records))
    before_ms = time.time() * 1000
    got = produce(broker, "--feed", "switch7", str(tmp_path / "calls.jsonl"))
    assert got.exit_code == 0, got.output
    assert got.stdout == "6 records: 6 delivered to cdr as feed switch7, 0 refused, 0 not delivered\n"
    messages = read(broker)
    keys = {json.loads(m.value())["caller"]: m.key().decode() for m in messages}
    assert keys == {
        "010-1111-0001": "+821011110001", "+82 10 1111 0001": "+821011110001", "02-999-0001": "+8229990001",
        "+8613912345678": "+8613912345678", "anonymous": "anonymous", "1588-0001": "+8215880001",
    }  # fmt: skip
    for m in messages:
        assert m.partition() == partition_of(m.key(), PARTITIONS)
        assert m.headers() == [("feed", b"switch7")]
        assert m.timestamp()[1] >= before_ms - 1
        assert json.loads(m.value()) in records


def test_timestamps_are_those_of_the_events_when_asked(broker: EmbeddedBroker) -> None:
    got = produce(broker, "--timestamps", "event", "-", stdin=lines(CALL))
    assert got.exit_code == 0
    (message,) = read(broker)
    assert message.timestamp()[1] == AT_MS
    assert message.headers() is None


def test_a_record_that_a_worker_could_not_read_is_refused_with_its_place(broker: EmbeddedBroker) -> None:
    text = lines(CALL, CALL | {"at": 5}, "{broken", CALL | {"event": "x"}, CALL | {"call_id": "c5"})
    got = produce(broker, "--json", "-", stdin=text)
    assert got.exit_code == 1
    told = json.loads(got.stdout)
    assert (told["records"], told["delivered"], told["undelivered"]) == (5, 2, {})
    assert told["refused"] == {"bad_time": 1, "bad_value": 1, "not_json": 1}
    assert "standard input:2: at: is before 2000-01-01" in got.stderr
    assert len(read(broker)) == 2


def test_lines_of_kcat_go_where_their_topic_says_or_are_refused(broker: EmbeddedBroker) -> None:
    kcat = [{"topic": topic, "partition": 0, "offset": n, "key": "x", "payload": json.dumps(CALL)}
            for n, topic in enumerate((CDR, MESSAGE_RELAY))]  # fmt: skip
    got = produce(broker, "-", stdin=lines(*kcat))
    assert got.exit_code == 1
    assert "is of topic message-relay: say --topic message-relay" in got.stderr
    assert [message.key() for message in read(broker)] == [b"+821011110001"]


def test_a_file_of_nothing_right_is_given_up_and_nothing_is_sent(broker: EmbeddedBroker) -> None:
    got = produce(broker, "--errors", "2", "-", stdin=lines(*({"a": n} for n in range(5_000))))
    assert got.exit_code == 1
    assert "none of the first 1,000 records is one of cdr; nothing was sent" in got.stderr
    assert got.stderr.count("standard input:") <= 3
    assert read(broker) == []


@pytest.mark.parametrize("rubbish", [b"", b"\x00\x01" * 90, b"a,b,c\n1,2,3\n", b"\x1f\x8bx", b"\xff\xfe{\x00", b"\n\n"])
def test_rubbish_ends_in_words_and_code_1(broker: EmbeddedBroker, rubbish: bytes) -> None:
    got = produce(broker, "-", stdin=rubbish)
    assert got.exit_code == 1
    assert "Error: standard input: " in got.stderr


def test_a_broker_or_topic_that_is_not_there_is_told(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_bytes(lines(CALL))
    file = str(tmp_path / "calls.jsonl")
    away = CliRunner().invoke(command, ["records", "produce", "--topic", CDR, "--brokers", "127.0.0.1:1", file])
    assert away.exit_code == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in away.stderr
    got = CliRunner().invoke(command, ["records", "produce", "--topic", "reports", "--brokers", broker.bootstrap, file])
    assert got.exit_code == 1
    assert "topic reports is missing" in got.stderr
    assert CliRunner().invoke(command, ["records", "produce", "--topic", "block-events", file]).exit_code == 2
