"""The example of a blocker: a copy that survives crashes, ends blocks by its own clock, and acknowledges."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.topics import BLOCK_ACKS, BLOCK_EVENTS
from streams.kafka.embedded import EmbeddedBroker
from tests.integration.test_block_services import LONG_S, ROOT, publish
from tests.integration.test_blocks import FAR_MS, PAST_MS, A, B, C, D, event

EXAMPLE = ROOT / "examples" / "blocker" / "blocker.py"


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partitions=2) as running:
        running.create_topics([BLOCK_EVENTS, BLOCK_ACKS])
        yield running


def command(broker: EmbeddedBroker, state: Path, *more: str) -> list[str]:
    return [sys.executable, str(EXAMPLE), "--brokers", broker.bootstrap, "--state", str(state), *more]


def checked(broker: EmbeddedBroker, state: Path) -> tuple[int, list[str]]:
    done = subprocess.run(command(broker, state, "--check"), capture_output=True, text=True, timeout=LONG_S)
    return done.returncode, done.stdout.splitlines()


class Running:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, number: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(number + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def wait_for(self, number: str, blocked: bool) -> None:
        limit_s = time.monotonic() + LONG_S
        while self.ask(number)["blocked"] != blocked:
            assert time.monotonic() < limit_s
            time.sleep(0.05)


@contextmanager
def running(broker: EmbeddedBroker, state: Path, *more: str) -> Iterator[Running]:
    with subprocess.Popen(
        command(broker, state, *more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if line == "ready\n":
                    break
            yield Running(process)
        finally:
            process.kill()


def acknowledged(broker: EmbeddedBroker, count: int) -> list[tuple[str, Any]]:
    consumer: Any = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "acks"})
    partitions = consumer.list_topics(BLOCK_ACKS, 10).topics[BLOCK_ACKS].partitions
    consumer.assign([TopicPartition(BLOCK_ACKS, p, 0) for p in partitions])
    found: list[tuple[str, Any]] = []
    while len(found) < count:
        (message,) = consumer.consume(1, LONG_S)
        found.append((message.key().decode(), json.loads(message.value())))
    consumer.close()
    return found


def test_it_answers_goes_on_after_a_kill_and_equals_the_topic(broker: EmbeddedBroker, tmp_path: Path) -> None:
    state = tmp_path / "blocked.db"
    publish(broker, (A, event(A)), (C, event(C, until=PAST_MS)))
    with running(broker, state, "--acks", "--name", "switch-7") as one:
        told = one.ask(A)
        assert (told["number"], told["blocked"], told["until"], told["directions"]) == (A, True, FAR_MS, ["outgoing"])
        assert one.ask(C) == {"number": C, "blocked": False}
        ends_soon_ms = time.time_ns() // 1_000_000 + 1_500
        publish(broker, (B, event(B, until=ends_soon_ms)))
        one.wait_for(B, True)
        one.wait_for(B, False)
    acks = acknowledged(broker, 3)
    assert sorted(number for number, _ in acks) == [A, B, C]
    assert all(ack.keys() == {"event_id", "blocker", "applied_at"} and ack["blocker"] == "switch-7" for _, ack in acks)
    publish(broker, (A, event(A, state="released", change="released")), (D, event(D)))
    with running(broker, state) as another:
        assert another.ask(A) == {"number": A, "blocked": False}
        assert another.ask(D)["blocked"]
    publish(broker, (D, None))
    assert checked(broker, state) == (0, ["3 numbers, 0 differences"])


def test_a_copy_that_differs_from_the_topic_is_noticed(broker: EmbeddedBroker, tmp_path: Path) -> None:
    state = tmp_path / "blocked.db"
    publish(broker, (A, event(A)), (B, event(B)))
    assert checked(broker, state)[0] == 0
    with closing(sqlite3.connect(state)) as file, file:
        file.execute("delete from states where number = ?", (A,))
    assert checked(broker, state) == (1, ["2 numbers, 1 differences", A])


def test_what_cannot_be_read_leaves_the_number_as_it_was(broker: EmbeddedBroker, tmp_path: Path) -> None:
    deep = "[" * 100_000
    publish(
        broker, (A, event(A)), (A, "{"), (A, deep), (A, "null"), (A, event(B)), (A, '{"number": 1}'), ("", event(A))
    )
    with running(broker, tmp_path / "blocked.db") as one:
        assert one.ask(A)["blocked"]
        assert one.ask("") == {"number": "", "blocked": False}


def test_a_copy_of_long_ago_begins_anew(broker: EmbeddedBroker, tmp_path: Path) -> None:
    state = tmp_path / "blocked.db"
    publish(broker, (A, event(A)))
    assert checked(broker, state)[0] == 0
    with closing(sqlite3.connect(state)) as file, file:
        file.execute("insert into states values (?, ?)", (B, event(B)))  # its tombstone is gone
        file.execute("update notes set value = '1000' where name = 'seen_at'")
    assert checked(broker, state) == (0, ["1 numbers, 0 differences"])


def test_trouble_ends_in_words_and_code_1(broker: EmbeddedBroker, tmp_path: Path) -> None:
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"no database" * 1_000)
    done = subprocess.run(
        command(broker, junk), capture_output=True, text=True, timeout=LONG_S, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    with EmbeddedBroker(partitions=1) as empty:
        done = subprocess.run(
            command(empty, tmp_path / "new.db"),
            capture_output=True,
            text=True,
            timeout=LONG_S,
            stdin=subprocess.DEVNULL,
        )
        assert (done.returncode, "cannot be read" in done.stderr) == (1, True), done.stderr
