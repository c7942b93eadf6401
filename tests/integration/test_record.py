"""`grayline record` against a real broker: what it takes, where it ends, and what a signal leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.numbers import normalise
from schemas.topics import MESSAGE_RELAY, TopicSpec
from streams.captures.files import read_capture
from streams.captures.lines import LineReader
from streams.captures.recorder import CaptureSpan, Recorder
from streams.cli import command
from streams.kafka.clients import Clients
from streams.kafka.reconnecting import LastingConsumer
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.kafka.topics import create
from tests.kafka_broker import Broker

AT_MS = 1_794_798_000_000
PARTITIONS = 3
_names = count()


@pytest.fixture
def topic(kafka: Broker) -> str:
    name = f"recorded-{next(_names)}"
    make(kafka, name)
    return name


def make(kafka: Broker, name: str) -> None:
    kept = {"cleanup.policy": "delete", "retention.ms": "-1"}
    create(KafkaSettings(kafka.bootstrap), PARTITIONS, 1, specs=[TopicSpec(name, True, kept, "recorded")])


def produce(kafka: Broker, topic: str, numbers: range, **more: Any) -> None:
    """Record n: at n seconds, in partition n % PARTITIONS."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for n in numbers:
        told = {"value": b"v%d" % n, "key": b"k%d" % n, "timestamp": AT_MS + n * 1000} | more
        producer.produce(topic, partition=n % PARTITIONS, **told)
    assert producer.flush(30) == 0


def record(kafka: Broker, topic: str, folder: Path, *arguments: str, code: int = 0) -> Result:
    got = CliRunner().invoke(
        command, ["record", "--brokers", kafka.bootstrap, "--topics", topic, "--out", str(folder), *arguments]
    )
    assert got.exit_code == code, got.output
    return got


def values(folder: Path) -> dict[int, list[bytes | None]]:
    """By partition, from all files of a folder in the order of their names."""
    out: dict[int, list[bytes | None]] = {partition: [] for partition in range(PARTITIONS)}
    for path in sorted(folder.iterdir()):
        assert path.suffix != ".partial"
        for rows in read_capture(path, LineReader(), 1000):
            for partition, value in zip(rows.partition.tolist(), rows.values, strict=True):
                out[partition].append(value)
    return out


def expected(numbers: range) -> dict[int, list[bytes]]:
    return {p: [b"v%d" % n for n in numbers if n % PARTITIONS == p] for p in range(PARTITIONS)}


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_everything_there_is_recorded_once_and_in_order(kafka: Broker, topic: str, tmp_path: Path, form: str) -> None:
    produce(kafka, topic, range(1000), headers=[("feed", b"skt"), ("odd", b"\xff")])
    got = record(kafka, topic, tmp_path / "c", "--until", "end", "--format", form, "--json")
    assert values(tmp_path / "c") == expected(range(1000))
    told = json.loads(got.stdout)
    assert (told["records"], told["topics"]) == (1000, {topic: 1000})
    (file,) = told["files"]
    assert Path(file["path"]).stat().st_size == file["bytes"]


def test_times_cut_where_the_records_times_say(kafka: Broker, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, range(60))
    start, until = "2026-11-16T12:00:10+09:00", "2026-11-16T12:00:40+09:00"
    record(kafka, topic, tmp_path / "c", "--from", start, "--until", until)
    assert values(tmp_path / "c") == expected(range(10, 40))


def test_a_span_without_records_ends_and_leaves_no_file(kafka: Broker, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, range(2))  # one partition stays empty
    got = record(kafka, topic, tmp_path / "c", "--from", "2026-11-16T13:00:00+09:00", "--until", "end")
    assert "0 records (nothing came)" in got.stdout
    assert list((tmp_path / "c").iterdir()) == []
    record(kafka, topic, tmp_path / "d", "--until", "end")
    assert values(tmp_path / "d") == expected(range(2))


def test_only_committed_records_are_taken_and_marks_of_transactions_do_not_hold_up_the_end(
    kafka: Broker, topic: str, tmp_path: Path
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    for n, end in enumerate([producer.commit_transaction, producer.abort_transaction, producer.commit_transaction]):
        producer.begin_transaction()
        producer.produce(topic, b"v%d" % (n * PARTITIONS), partition=0)
        producer.flush(30)
        end(30)
    record(kafka, topic, tmp_path / "c", "--until", "end")
    assert values(tmp_path / "c")[0] == [b"v0", b"v6"]


def test_an_open_transaction_is_waited_for_and_named_when_it_stays_open(
    kafka: Broker, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    produce(kafka, topic, range(1))
    producer.produce(topic, b"open", partition=0)
    producer.flush(30)
    produce(kafka, topic, range(1, 31))
    monkeypatch.setattr("streams.captures.recorder.SILENCE_MAX_S", 1.0)
    got = record(kafka, topic, tmp_path / "c", "--until", "end", code=1)
    assert "a producer keeps a transaction open" in got.stderr
    assert f"partition 0 of {topic} from offset 1 to 12" in got.stderr
    assert values(tmp_path / "c") == {0: [b"v0"]} | {p: expected(range(31))[p] for p in (1, 2)}
    monkeypatch.setattr("streams.captures.recorder.SILENCE_MAX_S", 60.0)
    threading.Timer(1.0, producer.commit_transaction, (30,)).start()
    record(kafka, topic, tmp_path / "d", "--until", "end")
    assert values(tmp_path / "d")[0] == [b"v0", b"open", *expected(range(1, 31))[0]]


def test_a_number_of_records_ends_it(kafka: Broker, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, range(100))
    assert "17 records" in record(kafka, topic, tmp_path / "c", "--records", "17").stdout
    assert sum(map(len, values(tmp_path / "c").values())) == 17


def test_a_recording_joins_no_group_and_commits_nothing(kafka: Broker, topic: str, tmp_path: Path) -> None:
    produce(kafka, topic, range(10))
    record(kafka, topic, tmp_path / "c", "--until", "end")
    groups = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_consumer_groups().result().valid
    assert [group.group_id for group in groups if group.group_id.startswith("grayline-record")] == []


def test_numbers_are_pseudonymised_on_the_way(kafka: Broker, tmp_path: Path) -> None:
    make(kafka, MESSAGE_RELAY)
    message = {"message_id": "m1", "at": AT_MS, "sender": "010-1234-5678", "recipient": "+821099990001", "text": "kim"}
    produce(kafka, MESSAGE_RELAY, range(3), key=b"+821012345678", value=json.dumps(message))
    produce(kafka, MESSAGE_RELAY, range(1), value=b"kim")
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    got = record(kafka, MESSAGE_RELAY, tmp_path / "c", "--pseudonymise-key-file", str(key), "--until", "end",
                 "--compression", "none")  # fmt: skip
    (path,) = (tmp_path / "c").iterdir()
    lines = path.read_text()
    assert "12345678" not in lines
    assert "1234-5678" not in lines
    assert "kim" not in lines
    assert "1 records could not be read and were withheld" in got.stderr
    made = [json.loads(line) for line in lines.splitlines()]
    senders = {json.loads(each["payload"])["sender"] for each in made if each["payload"].startswith("{")}
    assert {each["key"] for each in made if each["payload"].startswith("{")} == {
        normalise(sender).text for sender in senders
    }
    assert len(senders) == 1


def test_what_cannot_be_pseudonymised_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    arguments = ["record", "--out", str(tmp_path / "c"), "--pseudonymise-key-file", str(key), "--topics"]
    got = CliRunner().invoke(command, [*arguments, "block-events,cdr"])
    assert got.exit_code == 2
    assert "not block-events" in got.output
    got = CliRunner().invoke(command, ["record", "--out", str(tmp_path / "c"), "--pseudonymise"], env={})
    assert got.exit_code == 1
    assert "GRAYLINE_PSEUDONYM_KEY: no key there" in got.output
    assert not (tmp_path / "c").exists()


@pytest.fixture
def start(kafka: Broker) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a recording of a topic in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(topic: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
        code = "from streams.cli import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "record", "--brokers", kafka.bootstrap, "--topics", topic, "--out",
             str(folder), "--json", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def until(reached: Callable[[], bool], process: subprocess.Popen[str], limit_s: float = 60) -> None:
    """Waits for something to happen while a process lives."""
    give_up = monotonic() + limit_s
    while not reached():
        assert monotonic() < give_up, "it did not happen in time"
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the process ended with {process.returncode}: {process.communicate()[1]}")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_a_recording_in_order_with_every_record_that_came(
    kafka: Broker,
    topic: str,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    form: str,
    number: signal.Signals,
) -> None:
    folder = tmp_path / "c"
    process = start(topic, folder, "--format", form)
    produce(kafka, topic, range(300))
    until(lambda: folder.exists() and any(folder.glob("*.partial")), process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    got = values(folder)
    assert json.loads(out)["records"] == sum(map(len, got.values())) > 0
    whole = expected(range(300))
    assert all(got[p] == whole[p][: len(got[p])] for p in got)


def test_a_killed_recording_leaves_only_a_partial_file(
    kafka: Broker, topic: str, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "c"
    process = start(topic, folder)
    produce(kafka, topic, range(30))
    until(lambda: folder.exists() and any(folder.glob("*.partial")), process)
    process.kill()
    process.wait(30)
    assert [path.suffix for path in folder.iterdir()] == [".partial"]
    record(kafka, topic, folder, "--until", "end", "--json")
    assert len(list(folder.iterdir())) == 2


def test_a_missing_topic_and_a_silent_broker_are_problems_in_words(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = record(kafka, "nowhere-to-be-found", tmp_path / "c", code=1)
    assert "there is no topic nowhere-to-be-found" in got.output
    monkeypatch.setattr("streams.captures.recorder.ANSWER_TIMEOUT_S", 0.5)
    got = CliRunner().invoke(command, ["record", "--brokers", "127.0.0.1:1", "--out", str(tmp_path / "c")])
    assert got.exit_code == 1
    assert "cannot read message-relay, cdr at 127.0.0.1:1" in got.output


def test_a_broker_that_falls_silent_before_the_end_is_a_problem(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.captures.recorder.SILENCE_MAX_S", 1.0)
    produce(kafka, topic, range(3))
    span = CaptureSpan((topic,), until="end")
    try:
        with (
            Recorder(KafkaSettings(kafka.bootstrap), span, clients=Interfering(lambda _: kafka.suspend())) as recorder,
            pytest.raises(KafkaProblem, match="sent nothing for 1 s, with 3 partitions not read"),
        ):
            list(recorder.batches())
    finally:
        kafka.resume()


class Interfering(Clients):
    """A real consumer. before_reading: called when it has found where to start, before anything is fetched."""

    def __init__(self, before_reading: Callable[[list[TopicPartition]], None]) -> None:
        self._before_reading = before_reading

    def consumer(self, config: Mapping[str, object]) -> Any:
        before_reading = self._before_reading

        class Interfered(Consumer):
            def assign(self, places: list[TopicPartition]) -> None:
                before_reading(places)
                super().assign(places)

        return LastingConsumer(lambda: Interfered(dict(config)))


def test_records_deleted_under_the_reader_are_a_problem_and_never_skipped_silently(kafka: Broker, topic: str) -> None:
    produce(kafka, topic, range(9))
    span = CaptureSpan((topic,), until="end")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})

    def delete(places: list[TopicPartition]) -> None:
        gone = [TopicPartition(place.topic, place.partition, place.offset + 2) for place in places]
        for future in admin.delete_records(gone).values():
            future.result()

    with (
        Recorder(KafkaSettings(kafka.bootstrap), span, clients=Interfering(delete)) as recorder,
        pytest.raises(KafkaProblem, match="deleted before they could be read"),
    ):
        list(recorder.batches())


def test_a_time_still_ahead_ends_a_recording_when_it_has_come(kafka: Broker, topic: str) -> None:
    now = [AT_MS]
    produce(kafka, topic, range(6))
    # Record 3 is at the time itself: its partition ends there, the others where they are when the time has come.
    span = CaptureSpan((topic,), until=AT_MS + 3_000)
    taken = []
    with Recorder(KafkaSettings(kafka.bootstrap), span, now_ms=lambda: now[0]) as recorder:
        for batch in recorder.batches():
            taken += [each.value for each in batch]
            if len(taken) == 3:
                now[0] = AT_MS + 3_000
    assert sorted(value for value in taken if value) == [b"v0", b"v1", b"v2"]
