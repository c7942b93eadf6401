"""A real worker among records that nobody should write goes on, and neither its log nor a command shows them raw."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
from click.testing import CliRunner

from schemas.topics import BLOCK_EVENTS, BLOCK_STATUS, CONTROL_GLOBAL, MESSAGE_RELAY
from streams.cli import command
from tests.integration.live import Live, Text, senders
from tests.planted import PLANTED, assert_harmless

PARTITIONS = 2
SECOND, HOUR = 1_000, 3_600_000
BEFORE = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - {name: ten, summary: more than ten messages an hour, when: sent > 10, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 2d}}
"""
ESCAPED = '"' + "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in PLANTED) + '"'
AFTER = BEFORE.replace("more than ten messages an hour", ESCAPED)
WRONG = AFTER.replace("mode: enforce", f"mode: {ESCAPED}")
DEEP = b"[" * 1_100 + b"]" * 1_100


def said(live: Live, *arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--brokers", live.broker.bootstrap])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert_harmless(result.stdout_bytes.decode())
    assert_harmless(result.stderr_bytes.decode())
    return result.output


@pytest.mark.timeout(300)
def test_a_worker_goes_on_and_shows_nothing_raw(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - HOUR
    number, other = senders(PARTITIONS, 2)[0]
    pause = {"id": PLANTED, "paused": True, "at": 1, "operator": PLANTED, "reason": PLANTED}
    worker = live.start("worker")
    live.wait_ready(worker)

    live.produce(CONTROL_GLOBAL, b"pause", json.dumps(pause, ensure_ascii=False).encode(), 0)
    live.wait(lambda: worker.ready().get("paused") is True, "it obeys", worker)
    live.produce(CONTROL_GLOBAL, b"pause", b'{"id":"x","paused":false,"at":1,"unknown":%b}' % DEEP, 0)
    live.wait(lambda: "cannot be read: nested more than 64 deep: ignored" in worker.log, "it refuses", worker)
    assert worker.ready()["paused"] is True, "what cannot be read ends no pause"
    live.stop(worker)
    first, worker = worker, live.start("worker")
    live.wait_ready(worker)
    said(live, "resume", "--operator", PLANTED, "--reason", PLANTED)
    live.produce(BLOCK_STATUS, b"0", DEEP, 0)
    assert "1 records of block-status are no heartbeats" in said(live, "resume", "--operator", PLANTED)

    live.rules_file.write_text(WRONG)
    worker.process.signal(signal.SIGHUP)
    live.wait(lambda: "the files were not read again" in worker.log, "it refuses the rules", worker)
    live.rules_file.write_text(AFTER)
    worker.process.signal(signal.SIGHUP)
    live.wait(lambda: "in force from the next commit on" in worker.log, "it takes the rules", worker)

    home = live.home(number)
    for value in (DEEP, PLANTED.encode(), Text(other, start_ms, 1).value[:-1] + b',"unknown":%b}' % DEEP):
        live.produce(MESSAGE_RELAY, PLANTED.encode(), value, home)
    live.feed(Text(number, start_ms + i * SECOND, i) for i in range(20))
    live.wait_caught_up(worker)
    assert worker.metric('dead_letters_total{feed="message-relay",reason="not_json",topic="message-relay"}') == 3, (
        "each once"
    )

    (blocked,) = live.read(BLOCK_EVENTS)
    assert json.loads(blocked.value())["hold"]["reason"] == PLANTED
    for n, odd in enumerate((b'{"unknown":%b}' % DEEP, b'{"state":%b}' % json.dumps(PLANTED).encode())):
        live.produce(BLOCK_EVENTS, b"+82101111%04d" % n, blocked.value()[:-1] + b"," + odd[1:], 0)
    shown = [said(live, "blocks", "--format", form) for form in ("plain", "csv", "json")]
    (event,) = (line for line in shown[2].splitlines() if line.startswith("{"))
    assert json.loads(event)["hold"]["reason"] == PLANTED
    assert all("skipped: its value is no block event: nested more than 64 deep" in each for each in shown)
    live.stop(worker)
    for log in (first.log, worker.log):
        assert_harmless(log)
        assert "Traceback" not in log
    assert re.search(r"new blocks are paused: id=\[red\]:skull:\\x1b\[31m", first.log)
