"""Dead letters on a real broker: counted, shown, and redriven once each whatever interrupts the redrive."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

import streams.operators.redriving as redriving
from schemas.topics import TRAPS, TopicSpec
from streams.cli.dead_letters import command
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.kafka.topics import create
from streams.operators.dead_letters import DeadLetters, Wanted
from streams.operators.redriving import redrive
from tests.kafka_broker import Broker

AT_MS = 1_795_395_600_000
_names = count()


@pytest.fixture
def letters(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
    """A topic of this test's own, which the commands read in place of dead-letters."""
    name = f"dead-letters-{next(_names)}"
    old = {"retention.ms": "-1"}  # for the records' times are
    specs = [TopicSpec(name, True, old, "letters"), TopicSpec(TRAPS, True, old, "hits")]
    create(KafkaSettings(kafka.bootstrap), 2, 1, specs=specs)
    monkeypatch.setattr(DeadLetters.__init__, "__defaults__", (name,))
    return name


def hit(**more: Any) -> bytes:
    return json.dumps({"at": AT_MS, "sender": "+821011110001", "trap": "02-999-0001", "depth": "full"} | more).encode()


def write(
    kafka: Broker, topic: str, values: Iterable[bytes], *, feed: str = "relay7", reason: str = "bad_time",
    key: bytes | None = b"+821011110001", **headers: str,
) -> None:  # fmt: skip
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for offset, value in enumerate(values):
        told = {
            "__connect.errors.topic": TRAPS, "__connect.errors.partition": "1",
            "__connect.errors.offset": str(1000 + offset),
            "__connect.errors.exception.class.name": reason, "__connect.errors.exception.message": f"at: is {reason}",
            "feed": feed, "trace": "abc",
        }  # fmt: skip
        every = [(name, text.encode()) for name, text in (told | headers).items()]
        producer.produce(topic, value, key, partition=0, timestamp=AT_MS + offset * 1000, headers=every)
    assert producer.flush(30) == 0


def run(kafka: Broker, *arguments: str, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(command, [*arguments, "--brokers", kafka.bootstrap])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def hits(kafka: Broker, since: list[int]) -> list[Any]:
    """The committed records of `traps` from these offsets on, by partition."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "hits", "isolation.level": "read_committed",
         "enable.partition.eof": True}
    )  # fmt: skip
    found = []
    for partition, start in enumerate(since):
        consumer.assign([TopicPartition(TRAPS, partition, start)])
        while (message := consumer.poll(10)) is not None and message.error() is None:
            found.append(message)
        assert message is not None, "the broker sent nothing"
        assert message.error().code() == KafkaError._PARTITION_EOF
    consumer.close()
    return found


def ends(kafka: Broker) -> list[int]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "ends"})
    found = [consumer.get_watermark_offsets(TopicPartition(TRAPS, partition), timeout=10)[1] for partition in (0, 1)]
    consumer.close()
    return found


def test_letters_are_counted_by_feed_and_reason_with_the_first_and_the_last(kafka: Broker, letters: str) -> None:
    write(kafka, letters, [hit(), hit()])
    write(kafka, letters, [b"rubbish"], feed="a\x1bfeed", reason="not_json")
    out, _ = run(kafka, "list")
    lines = [line.split() for line in out.splitlines()]
    assert [line[:6] for line in lines[1:]] == [
        ["a\\x1bfeed", TRAPS, "not_json", "1", "0", "0"],
        ["relay7", TRAPS, "bad_time", "2", "0", "0"],
    ]
    told = json.loads(run(kafka, "list", "--json", "--reason", "bad_time")[0])
    assert told["letters"] == 2
    (of,) = told["by"]
    assert (of["first"], of["last"], of["first_place"]) == (
        "2026-11-23T01:00:00.000Z",
        "2026-11-23T01:00:01.000Z",
        "0:0",
    )
    each, _ = run(kafka, "list", "--each", "--limit", "1")
    assert [line.split()[0] for line in each.splitlines()] == ["PLACE", "0:0"]
    assert "+8210" not in out + each


def test_a_letter_is_shown_by_shape_and_as_it_is_only_when_asked(kafka: Broker, letters: str) -> None:
    write(kafka, letters, [hit(text="call 010-2222-3333")])
    out, _ = run(kafka, "show", "0:0")
    assert "bad_time" in out
    assert "1:1000" in out
    assert "+8210****0001" in out
    assert "0001110001" not in out.replace("1011110001", "")
    assert "2222" not in out
    assert "+821011110001" not in out
    raw = json.loads(run(kafka, "show", "0:0", "--raw", "--json")[0])
    assert json.loads(raw["value"])["text"] == "call 010-2222-3333"
    assert raw["key"] == "+821011110001"
    assert raw["headers"] == {"feed": "relay7", "trace": "abc"}
    for missing in ("0:7", "9:0"):
        assert "there is no dead letter" in run(kafka, "show", missing, code=1)[1]
    assert "is no place" in run(kafka, "show", "seven", code=2)[1]


def test_a_redriven_record_has_its_key_headers_and_partition_and_what_fails_again_shows(
    kafka: Broker, letters: str
) -> None:
    since = ends(kafka)
    write(kafka, letters, [hit(), b"rubbish", hit(depth="limited")])
    write(kafka, letters, [b"{"], **{"grayline.value.bytes": "999999"})
    write(kafka, letters, [hit()], **{"__connect.errors.topic": "rekeyed"})
    assert "would redrive: 2 (2 traps)" in run(kafka, "redrive", "--dry-run", code=1)[0]
    out, err = run(kafka, "redrive", code=1)
    assert "redriven: 2 (2 traps)" in out
    assert "1 still cannot be read" in err
    assert "1 are larger than a dead letter keeps" in err
    assert "1 came from no input topic" in err
    assert "2 of them are more than an hour old" in err
    got = hits(kafka, since)
    assert [message.value() for message in got] == [hit(), hit(depth="limited")]
    assert {(message.partition(), message.key()) for message in got} == {(1, b"+821011110001")}
    assert got[1].headers() == [("feed", b"relay7"), ("trace", b"abc"), ("grayline.redriven", b"0:2")]

    again = got[1]
    write(kafka, letters, [hit()], **{"__connect.errors.offset": str(again.offset()), "grayline.redriven": "0:2"})
    (of, rekeyed) = sorted(
        json.loads(run(kafka, "list", "--json")[0])["by"], key=lambda of: str(of["topic"]), reverse=True
    )
    assert (of["count"], of["redriven"], of["failed_again"]) == (5, 2, 1)
    assert rekeyed["topic"] == "rekeyed"
    told = json.loads(run(kafka, "redrive", "--json", "--place", "0:0", "--place", "0:2")[0])
    assert told == {"redriven": {}, "left": {"done": 2}, "older_than_an_hour": 0, "dry_run": False}
    run(kafka, "redrive", "--anyway", "--place", "0:1")
    assert len(hits(kafka, since)) == 3


@pytest.mark.parametrize("breaks", ["before the commit", "after the commit"])
def test_a_redrive_that_breaks_off_is_begun_again_and_doubles_nothing(
    kafka: Broker, letters: str, breaks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = ends(kafka)
    write(kafka, letters, [hit(depth=f"{number}") for number in range(7)])
    settings = KafkaSettings(kafka.bootstrap)
    monkeypatch.setattr(redriving, "LETTERS_MAX", 2)
    deliver, calls = redriving._Producer.deliver, count()

    class Broken:
        """A producer whose second commit breaks off."""

        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def commit_transaction(self, timeout_s: float) -> None:
            if breaks == "after the commit":
                self.real.commit_transaction(timeout_s)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def breaking(self: Any, *given: Any) -> None:
        if next(calls) == 1:
            self._producer = Broken(self._producer)
        deliver(self, *given)

    monkeypatch.setattr(redriving._Producer, "deliver", breaking)
    with pytest.raises(KafkaProblem, match="letter 0:2 and those behind it were not redriven"):
        redrive(settings, Wanted(), anyway=True)
    monkeypatch.setattr(redriving._Producer, "deliver", deliver)
    result = redrive(settings, Wanted(), anyway=True)
    assert result.redriven[TRAPS] == (3 if breaks == "after the commit" else 5)
    assert Counter(message.value() for message in hits(kafka, since)) == Counter(
        hit(depth=f"{number}") for number in range(7)
    )


def test_what_a_file_of_feeds_makes_readable_is_redriven_with_it(kafka: Broker, letters: str, tmp_path: Path) -> None:
    since = ends(kafka)
    wrapped = json.dumps({"schema": None, "payload": json.loads(hit())}).encode()
    write(kafka, letters, [wrapped])
    assert "1 still cannot be read" in run(kafka, "redrive", code=1)[1]
    (tmp_path / "feeds.yaml").write_text("feeds:\n  relay7: {envelope: connect}\n")
    assert "redriven: 1" in run(kafka, "redrive", "--feeds", str(tmp_path / "feeds.yaml"))[0]
    assert [message.value() for message in hits(kafka, since)] == [wrapped]


def test_of_two_redrives_at_once_the_later_fences_the_earlier(kafka: Broker, letters: str) -> None:
    write(kafka, letters, [hit()])
    since = ends(kafka)
    settings = KafkaSettings(kafka.bootstrap)
    earlier = redriving._Producer(settings)
    with DeadLetters(settings) as source:
        batch = list(source.letters(Wanted()))
    assert redrive(settings, Wanted()).redriven[TRAPS] == 1
    with pytest.raises(KafkaProblem, match="were not redriven"):
        earlier.deliver(batch, letters)
    assert len(hits(kafka, since)) == 1


def test_a_note_that_cannot_be_read_stops_a_redrive(kafka: Broker, letters: str) -> None:
    write(kafka, letters, [hit()])
    write(kafka, letters, [b'[["newer"]]'], **{"grayline.receipt": "redriven"})
    assert "1 receipts of earlier redrives cannot be read" in run(kafka, "redrive", code=1)[1]
    assert json.loads(run(kafka, "list", "--json")[0])["letters"] == 1
