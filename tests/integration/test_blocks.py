"""The reference consumer reads what Java's console producer and kcat wrote to a real broker."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import streams.operators.blocks
from schemas.topics import BLOCK_EVENTS, TopicSpec
from streams.cli.blocks import command, csv_row, rfc3339
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.kafka.topics import create
from streams.operators.blocks import BadValue, BlockReader, BlockTable
from tests.kafka_broker import Broker

A, B, C, D = (f"+8210000000{digit:02}" for digit in range(4))
FAR_MS = 4_102_444_800_000  # 2100-01-01
PAST_MS = 1_577_836_800_000  # 2020-01-01
ROOT = Path(__file__).parents[2]

_names = count()


def event(number: str, *, state: str = "active", change: str = "opened", until: int = FAR_MS, **more: Any) -> str:
    hold = {
        "block_id": "b1",
        "rule": "pmg-voice",
        "rules_version": "v1",
        "from": PAST_MS,
        "until": until,
        "directions": ["outgoing"],
        "actions": ["calls"],
        "reason": "patient dialler",
        "evidence": [{"counter": "gray.short", "value": 31.5}],
        "announcement": None,
    }
    value = {"event_id": "e1", "number": number, "state": state, "change": change, "until": until}
    value |= {"directions": ["outgoing"], "actions": ["calls"], "hold": hold, "holds": [hold], "added_later": 1}
    return json.dumps(value | more)


@pytest.fixture
def topic(kafka: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
    """A compacted topic of this test's own, which the command reads in place of block-events."""
    name = f"block-events-{next(_names)}"
    make(kafka, name)
    monkeypatch.setattr(BlockReader.__init__, "__kwdefaults__", BlockReader.__init__.__kwdefaults__ | {"topic": name})
    return name


def make(kafka: Broker, name: str) -> None:
    create(KafkaSettings(kafka.bootstrap), 3, 1, specs=[TopicSpec(name, True, {"cleanup.policy": "compact"}, "states")])


def run(kafka: Broker, *arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(command, ["--brokers", kafka.bootstrap, *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_who_is_blocked_now_as_javas_console_producer_wrote_it(kafka: Broker, topic: str) -> None:
    lines = [
        f"{A}|{event(A)}",
        f"{B}|{event(B)}",
        f"{C}|{event(C)}",
        f"{D}|{event(D, until=PAST_MS)}",
        f"{B}|{event(B, state='released', change='released')}",
        f"{C}|NULL",
        f"{A}|{event(A, change='extended', until=FAR_MS + 1000)}",
    ]
    kafka.console_producer(topic, lines, key_separator="|", null_marker="NULL")
    out, err = run(kafka, "--format", "json")
    assert [json.loads(line) for line in out.splitlines()] == [
        json.loads(event(A, change="extended", until=FAR_MS + 1000))
    ]
    assert err == ""
    assert f"{A}\t" in "\n".join(kafka.console_consumer(topic, messages=len(lines)))


def test_bad_values_are_reported_by_place_and_what_was_known_stays(kafka: Broker, topic: str, kcat: str) -> None:
    bad = [f"{A}|{{not json", f"{A}|{event(B)}", f"{A}|{event(A, state='asleep')}", f"|{event(A)}", f"{A}|[1]"]
    records = "\n".join([f"{A}|{event(A)}", *bad, f"{B}|{event(B)}"])
    produce = [kcat, "-P", "-b", kafka.bootstrap, "-t", topic, "-K", "|", "-p", "1"]
    subprocess.run(produce, input=records.encode(), check=True, timeout=30)
    out, err = run(kafka, "--format", "json")
    assert [json.loads(line)["number"] for line in out.splitlines()] == [A, B]
    places = [line.partition(": skipped")[0] for line in err.splitlines()[:-1]]
    assert places == [f"{topic}, partition 1, offset {offset}" for offset in range(1, 6)]
    assert "5 records were skipped" in err
    assert A not in err
    assert "asleep" not in err


def test_only_the_numbers_asked_for(kafka: Broker, topic: str) -> None:
    kafka.console_producer(topic, [f"{number}|{event(number)}" for number in (A, B, C)], key_separator="|")
    out, _ = run(kafka, "--number", B, "--number", C)
    assert [line.split()[0] for line in out.splitlines()] == [B, C]
    assert "until 2100-01-01T00:00:00.000Z  outgoing  calls  pmg-voice  (patient dialler)" in out
    assert run(kafka, "--number", D)[0] == ""


def test_a_number_may_be_asked_for_in_any_spelling(kafka: Broker, topic: str) -> None:
    kafka.console_producer(topic, [f"{number}|{event(number)}" for number in (A, B, C)], key_separator="|")
    domestic, dialled = f"0{B[3:5]}-{B[5:9]}-{B[9:]}", f"001 82 {C[3:]}"
    out, _ = run(kafka, "--number", domestic, "--number", dialled)
    assert [line.split()[0] for line in out.splitlines()] == [B, C]
    assert run(kafka, "--home-region", "US", "--number", "201-555-0123")[0] == ""


def test_what_is_no_number_is_wrong_use() -> None:
    result = CliRunner().invoke(command, ["--brokers", "127.0.0.1:1", "--number", "1588"])
    assert result.exit_code == 2
    assert "no telephone number that could be blocked" in result.output


def test_csv_is_whole_and_runs_no_formula(kafka: Broker, topic: str, kcat: str) -> None:
    formula, hold = '=HYPERLINK("http://x")', json.loads(event(A))["hold"]
    evil = event(formula, hold=hold | {"reason": "+cmd|' /C calc'!A0"}, holds=[hold | {"rule": "-2+3"}])
    produce = [kcat, "-P", "-b", kafka.bootstrap, "-t", topic, "-K", "\t"]
    subprocess.run(produce, input=f"{formula}\t{evil}\n{A}\t{event(A)}\n".encode(), check=True, timeout=30)
    rows = list(csv.DictReader(io.StringIO(run(kafka, "--format", "csv")[0])))
    assert [row["number"] for row in rows] == [A, "'" + formula]
    assert rows[1]["reason"] == "'+cmd|' /C calc'!A0"
    assert rows[1]["rules"] == "'-2+3"
    assert rows[0]["until"] == "2100-01-01T00:00:00.000Z"


def test_following_prints_changes_and_ends_with_code_0_on_ctrl_c(kafka: Broker, kcat: str) -> None:
    make(kafka, "block-events")
    produce = [kcat, "-P", "-b", kafka.bootstrap, "-t", "block-events", "-K", "|", "-Z"]
    subprocess.run(produce, input=f"{A}|{event(A)}\n".encode(), check=True, timeout=30)
    program = "from streams.cli.blocks import command; command()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--brokers", kafka.bootstrap, "--follow", "--format", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as follower:  # fmt: skip
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert json.loads(follower.stdout.readline())["number"] == A
        ends_soon_ms = time.time_ns() // 1_000_000 + 2_000
        lines = f"{B}|{event(B, until=ends_soon_ms)}\n{A}|\n"
        subprocess.run(produce, input=lines.encode(), check=True, timeout=30)
        seen = [json.loads(follower.stdout.readline()) for _ in range(3)]
        follower.send_signal(signal.SIGINT)
        assert follower.wait(30) == 0, follower.stderr.read()
        assert follower.stderr.read() == ""
    said = {(each["number"], each["change"]) for each in seen}
    assert said == {(A, "removed"), (B, "opened"), (B, "lapsed")}


def test_open_and_aborted_transactions_are_not_seen(kafka: Broker, topic: str) -> None:
    from confluent_kafka import Producer

    producer = Producer(KafkaSettings(kafka.bootstrap).producer(transactional_id=topic))
    producer.init_transactions(30)
    for number, end in ((A, producer.commit_transaction), (B, producer.abort_transaction)):
        producer.begin_transaction()
        producer.produce(topic, event(number), key=number)
        producer.flush(30)
        end(30)
    assert [line.split()[0] for line in run(kafka)[0].splitlines()] == [A]


def test_a_missing_topic_ends_with_code_1_and_the_command_that_makes_it(kafka: Broker) -> None:
    settings = KafkaSettings(kafka.bootstrap)
    reader = BlockReader(settings, now_ms=lambda: 0, complain=print, topic="block-events-nowhere")
    with pytest.raises(KafkaProblem, match="grayline topics create"), reader:
        pass


def test_a_broker_that_falls_silent_is_a_problem_in_words(kafka: Broker, topic: str) -> None:
    reader = BlockReader(
        KafkaSettings(kafka.bootstrap), now_ms=lambda: 0, complain=print, topic=topic, timeout_s=2.0
    )  # fmt: skip
    with reader:
        kafka.suspend()
        try:
            with pytest.raises(KafkaProblem, match=r"sent nothing of block-events-\d+ for 2 s"):
                reader.snapshot()
        finally:
            kafka.resume()


def test_whoever_follows_is_told_when_no_broker_answers_and_when_one_does_again(
    kafka: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.kafka.reconnecting.SILENT_S", 0.5)
    monkeypatch.setattr("streams.kafka.reconnecting.ANSWER_S", 1.0)
    said: list[str] = []
    with BlockReader(KafkaSettings(kafka.bootstrap), now_ms=lambda: 0, complain=said.append, topic=topic) as reader:
        reader.snapshot()
        changes = reader.changes()
        kafka.suspend()
        try:
            while not said:
                next(changes)
        finally:
            kafka.resume()
        while len(said) < 2:
            next(changes)
    assert said == [
        f"no broker at {kafka.bootstrap} answers: until one does, changes are not shown",
        f"a broker at {kafka.bootstrap} answers again",
    ]


@pytest.fixture
def table() -> Callable[..., BlockTable]:
    def make(*events: tuple[str, str | None]) -> BlockTable:
        made = BlockTable()
        for number, value in events:
            made.apply(number.encode(), None if value is None else value.encode())
        return made

    return make


def test_a_block_ends_at_its_until_by_the_readers_clock(table: Callable[..., BlockTable]) -> None:
    blocks = table((A, event(A, until=5_000)))
    assert [change.number for change in blocks.blocked(4_999)] == [A]
    assert blocks.blocked(5_000) == []
    assert blocks.lapsed(4_999) == []
    assert [(change.number, change.kind) for change in blocks.lapsed(5_000)] == [(A, "lapsed")]
    assert blocks.lapsed(6_000) == [], "a lapse is told once"


def test_an_extension_moves_the_lapse_and_a_release_or_a_tombstone_cancels_it(
    table: Callable[..., BlockTable],
) -> None:
    blocks = table(
        (A, event(A, until=5_000)), (A, event(A, until=9_000)),
        (B, event(B, until=5_000)), (B, event(B, state="released", until=5_000)),
        (C, event(C, until=5_000)), (C, None),
    )  # fmt: skip
    assert blocks.lapsed(8_999) == []
    assert [change.number for change in blocks.lapsed(9_000)] == [A]


def test_an_extension_after_a_lapse_blocks_again(table: Callable[..., BlockTable]) -> None:
    blocks = table((A, event(A, until=5_000)))
    blocks.lapsed(5_000)
    blocks.apply(A.encode(), event(A, until=9_000).encode())
    assert [change.number for change in blocks.blocked(6_000)] == [A]
    assert [change.number for change in blocks.lapsed(9_000)] == [A]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, event(A)), (b"", event(A)), (b"\xff", event(A)), (A.encode(), ""), (A.encode(), "null"),
        (A.encode(), event(A, until="tomorrow")), (A.encode(), event(A, until=1.5)), (A.encode(), event(B)),
    ],
)  # fmt: skip
def test_a_value_that_is_no_block_event_is_refused_without_showing_it(key: bytes | None, value: str) -> None:
    with pytest.raises(BadValue) as refusal:
        BlockTable().apply(key, value.encode())
    assert A not in str(refusal.value)
    assert "tomorrow" not in str(refusal.value)


def test_a_tombstone_of_an_unknown_number_is_no_error() -> None:
    assert BlockTable().apply(A.encode(), None).kind == "removed"


def test_csv_cells_that_begin_a_formula_are_made_text() -> None:
    assert csv_row(["=1", "+1", "+1+1", "-1", "@x", "\tx", "plain", "a,b"]) == "'=1,+1,'+1+1,'-1,'@x,\\tx,plain,\"a,b\""


def test_times_are_utc_and_a_time_beyond_the_calendar_stays_a_number() -> None:
    assert rfc3339(PAST_MS + 1) == "2020-01-01T00:00:00.001Z"
    assert rfc3339(2**62) == f"{2**62} ms"


def test_the_topic_is_the_one_that_the_schemas_name() -> None:
    assert streams.operators.blocks.TOPIC == BLOCK_EVENTS
