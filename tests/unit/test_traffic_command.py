"""The outlets of generated traffic: files, brokers, and the command around both."""

from __future__ import annotations

import io
from collections import Counter

import orjson
import pytest
from click.testing import CliRunner

from streams.cli.traffic import command
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaSettings
from streams.traffic.generate import TrafficSettings, generate
from streams.traffic.labels import Label, read_labels
from streams.traffic.outlets import OutletError, produce, write_lines

SMALL = TrafficSettings(seed=7, duration_ms=1_800_000, rate=20)


def test_lines_have_consecutive_offsets_in_each_topic_and_partition_and_the_whole_record():
    out = io.BytesIO()
    records = list(write_lines(generate(SMALL), out, 4))
    lines = [orjson.loads(line) for line in out.getvalue().splitlines()]
    assert len(lines) == len(records)
    offsets = Counter()
    for line, record in zip(lines, records, strict=True):
        assert (line["topic"], line["ts"]) == (record.topic, record.timestamp_ms)
        assert (line["key"].encode(), line["payload"].encode()) == (record.key, record.value)
        assert line["partition"] == partition_of(record.key, 4)
        assert line["offset"] == offsets[line["topic"], line["partition"]]
        offsets[line["topic"], line["partition"]] += 1
    assert len(offsets) == 8


def test_a_file_that_follows_another_begins_where_it_is_told_to(tmp_path):
    files = [tmp_path / "mon.jsonl", tmp_path / "tue.jsonl"]
    for file, first in zip(files, ("0", "1000000"), strict=True):
        given = ["--duration", "10m", "--out", str(file), "--first-offset", first]
        assert CliRunner().invoke(command, given).exit_code == 0
    low = [min(orjson.loads(line)["offset"] for line in file.read_bytes().splitlines()) for file in files]
    assert low == [0, 1_000_000]
    same = [[orjson.loads(line)["payload"] for line in file.read_bytes().splitlines()] for file in files]
    assert same[0] == same[1]


def test_the_command_writes_records_labels_and_a_summary(tmp_path):
    out, labels = tmp_path / "t.jsonl", tmp_path / "labels.jsonl"
    result = CliRunner().invoke(
        command, ["--duration", "30m", "--seed", "7", "--out", str(out), "--labels", str(labels), "--json"]
    )
    assert result.exit_code == 0, result.output
    summary = orjson.loads(result.output)
    assert summary["records"] == len(out.read_bytes().splitlines()) == len(list(generate(SMALL)))
    read = read_labels(labels)
    assert Counter(label.kind for label in read if label.wanted) == summary["wanted"]


def test_a_broken_labels_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_bytes(Label("+8210", "courier", True, 0, 0).to_json() + b'\n{"number": 1}\n')
    with pytest.raises(ValueError, match=r"labels\.jsonl:2: not a label"):
        read_labels(path)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "either --out FILE or --brokers"),
        (["--out", "x", "--brokers", "y"], "either --out FILE or --brokers"),
        (["--out", "x", "--kafka-config", "y"], "either --out FILE or --brokers"),
        (["--out", "x", "--speed", "2"], "--speed paces --brokers"),
        (["--out", "x", "--duration", "2 hours"], "is not a duration"),
        (["--out", "x", "--start", "2026-11-16T10:00:00"], "has no zone"),
        (["--out", "x", "--start", "1999-01-01T00:00:00Z"], "before the year 2000"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_would_be_right(arguments, says):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_an_output_that_cannot_be_written_exits_with_1(tmp_path):
    result = CliRunner().invoke(command, ["--duration", "1m", "--out", str(tmp_path / "none" / "x")])
    assert result.exit_code == 1
    assert "No such file" in result.output


def test_a_broker_gets_every_record_with_its_key_partition_and_event_time():
    from confluent_kafka import Consumer, Producer, TopicPartition

    cluster = Producer({"test.mock.num.brokers": 1})  # librdkafka's own broker, on a real socket
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    address = f"{broker.host}:{broker.port}"
    sent = list(produce(generate(SMALL), KafkaSettings(address), ["cdr", "message-relay"], None))
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test", "auto.offset.reset": "earliest"})
    topics = consumer.list_topics(timeout=10).topics
    places = [TopicPartition(t, p, 0) for t in ("cdr", "message-relay") for p in topics[t].partitions]
    consumer.assign(places)
    got = []
    while len(got) < len(sent):
        batch = consumer.consume(1000, timeout=10)
        assert batch, f"{len(got)} of {len(sent)} records arrived"
        got += batch
    consumer.close()
    assert all(m.partition() == partition_of(m.key(), len(topics[m.topic()].partitions)) for m in got)
    assert Counter((m.topic(), m.key(), m.timestamp()[1], m.value()) for m in got) == Counter(tuple(r) for r in sent)


def test_a_broker_that_does_not_answer_is_said_so(monkeypatch):
    monkeypatch.setattr("streams.traffic.outlets.ANSWER_TIMEOUT_S", 0.5)
    with pytest.raises(OutletError, match=r"no Kafka broker answers at 127\.0\.0\.1:1 "):
        list(produce(generate(SMALL), KafkaSettings("127.0.0.1:1"), ["cdr"], None))


def test_the_broker_may_be_named_by_the_environment_or_a_settings_file(tmp_path):
    from confluent_kafka import Consumer, Producer, TopicPartition

    cluster = Producer({"test.mock.num.brokers": 1})
    (broker,) = cluster.list_topics(timeout=10).brokers.values()
    address = f"{broker.host}:{broker.port}"
    config = tmp_path / "kafka.properties"
    config.write_text(f"bootstrap.servers={address}\ncompression.type=none\n")
    ways = [
        (["--kafka-config", str(config)], {}),
        ([], {"GRAYLINE_KAFKA_CONFIG": str(config)}),
        ([], {"GRAYLINE_BROKERS": address}),
        (["--brokers", address], {"GRAYLINE_BROKERS": "127.0.0.1:1"}),
    ]
    short = ["--duration", "1m", "--offenders", "0", "--only", "calls", "--json"]
    records = 0
    for arguments, environment in ways:
        result = CliRunner().invoke(command, [*short, *arguments], env=environment)
        assert result.exit_code == 0, result.output
        records += orjson.loads(result.stdout)["records"]
    consumer = Consumer({"bootstrap.servers": address, "group.id": "test"})
    partitions = consumer.list_topics(timeout=10).topics["cdr"].partitions
    ends = [consumer.get_watermark_offsets(TopicPartition("cdr", p), timeout=10)[1] for p in partitions]
    consumer.close()
    assert sum(ends) == records > 0


def test_a_file_is_written_also_where_the_environment_names_a_broker(tmp_path):
    out = tmp_path / "out.jsonl"
    environment = {"GRAYLINE_BROKERS": "127.0.0.1:1"}
    result = CliRunner().invoke(command, ["--duration", "1m", "--out", str(out)], env=environment)
    assert result.exit_code == 0, result.output
    assert out.stat().st_size > 0


@pytest.mark.parametrize(
    ("said", "says"),
    [("enable.idempotence=false", "cannot be changed"), ("no.such.setting=1", 'No such configuration property: "no.')],
)
def test_kafka_settings_that_cannot_work_exit_with_1(tmp_path, said, says):
    config = tmp_path / "kafka.properties"
    config.write_text(f"bootstrap.servers=127.0.0.1:1\n{said}\n")
    result = CliRunner().invoke(command, ["--duration", "1m", "--kafka-config", str(config)])
    assert result.exit_code == 1
    assert says in result.output


def test_reports_are_written_when_asked_for_with_labels_of_their_own(tmp_path):
    out, labels = tmp_path / "t.jsonl", tmp_path / "reports.jsonl"
    asked = ["--duration", "30m", "--seed", "7", "--reports", "--out", str(out), "--report-labels", str(labels)]
    result = CliRunner().invoke(command, [*asked, "--json"])
    assert result.exit_code == 0, result.output
    summary = orjson.loads(result.output)
    told = [orjson.loads(line) for line in labels.read_bytes().splitlines()]
    assert summary["topics"]["reports"] == len(told) == sum(summary["reports"].values()) > 0
    assert Counter(label["kind"] for label in told) == summary["reports"]
    result = CliRunner().invoke(command, asked)
    assert f"reports: {summary['reports']['true']} true" in result.output.replace(",", "")
    refused = CliRunner().invoke(command, ["--out", str(out), "--report-labels", str(labels)])
    assert (refused.exit_code, "say --reports as well" in refused.output) == (2, True)
