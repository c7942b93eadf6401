"""Commands that speak to a broker which is away from the start, or falls silent in the middle."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.captures import recorder
from streams.captures.recorder import CaptureSpan, Recorder
from streams.holds.pause import Pause
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.operators import pausing
from tests.faults.scene import Scene
from tests.kafka_broker import free_ports
from tests.kafka_proxy import SILENT

ROOT = Path(__file__).parents[2]
UNKNOWN = "nowhere.invalid:9092"  # a name that nobody has, by RFC 2606
LIMIT_S = 120.0  # docs/operations.md promises half a minute, on a machine that has nothing else to do
COMMANDS = (
    ("topics", "show"), ("topics", "create"), ("blocks",), ("blocks", "--follow"), ("resume", "--json"),
    ("pause", "--reason", "x"), ("paused",), ("release", "+821055500101", "--reason", "x"), ("audit", "+821055500101"),
    ("record", "--until", "end", "--out", "capture"), ("record", "--from", "latest", "--out", "capture"),
    ("traffic", "--duration", "1m", "--start", "2026-11-29T00:00:00Z"), ("run", "--wait-for-broker", "3"),
    ("records", "produce", "--topic", "cdr", "-"), ("export", "--out", "blocked"), ("serve", "--web-port", "0"),
)  # fmt: skip


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a listener that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening.getsockname()[1]


def test_every_command_says_that_the_broker_is_away_and_ends_with_code_1(silent: int, tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRAYLINE_")}
    started = []
    named = [(f"127.0.0.1:{port}", command) for port in (nobody, silent) for command in COMMANDS]
    named += [(UNKNOWN, ("topics", "show")), (UNKNOWN, ("run", "--wait-for-broker", "3", "--from", "earliest"))]
    for address, command in named:
        brokers = ("--brokers", address)
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append((address, command, subprocess.Popen(
                [sys.executable, "-c", "from streams.cli import main; main()", *command, *brokers],
                cwd=folder, env=clean | {"PYTHONPATH": str(ROOT)}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )))  # fmt: skip
    for address, command, process in started:
        said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 1, (command, said)
        assert address in said, (command, said)
        assert address != UNKNOWN or "Failed to resolve" in said, (command, said)
        assert "Traceback" not in said, (command, said)
        assert "KafkaError{" not in said, (command, said)
        assert "rdkafka" not in said, (command, said)
        assert "%3|" not in said, (command, said)


def test_a_pause_whose_heartbeats_cannot_be_heard_is_not_called_obeyed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = KafkaSettings(scene.proxy.bootstrap)
    said = Pause("id-1", True, time.time_ns() // 1_000_000, "kim", "")
    told = pausing.say_and_wait(kafka, said, 20.0)
    assert told.silent == list(range(scene.partitions)), "no worker runs, and the broker says so"
    produce = pausing.produce

    def produce_and_fall_silent(*arguments: object) -> None:
        produce(*arguments)  # type: ignore[arg-type]
        scene.proxy.take_away(SILENT)

    monkeypatch.setattr(pausing, "BROKER_TIMEOUT_S", 2.0)
    monkeypatch.setattr(pausing, "produce", produce_and_fall_silent)
    try:
        with pytest.raises(KafkaProblem, match="whether workers obey is not known"):
            pausing.say_and_wait(kafka, said, 3.0)
    finally:
        scene.proxy.bring_back()


def test_a_recording_whose_end_the_broker_does_not_tell_ends_in_words(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "ANSWER_TIMEOUT_S", 1.0)
    soon_ms = time.time_ns() // 1_000_000
    try:
        with Recorder(KafkaSettings(scene.proxy.bootstrap), CaptureSpan(("cdr",), "latest", soon_ms)) as recording:
            scene.proxy.take_away(SILENT)
            with pytest.raises(KafkaProblem, match=r"127.* does not say where partition"):
                list(recording.batches())
    finally:
        scene.proxy.bring_back()
