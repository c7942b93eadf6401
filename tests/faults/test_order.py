"""The order of what is published, where holds are over before anybody sees them: no end precedes its beginning."""

from __future__ import annotations

import json

from schemas.topics import BLOCK_HISTORY
from tests.faults.check import check
from tests.faults.scene import Scene
from tests.faults.traffic import SECOND, Record, astray_of, five_hours_ago

# A worker that expires a hold between its opening and its publishing shows it within a few epochs.
NUMBERS = 4_000
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
  dialled: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - name: two-messages
    summary: two messages a minute
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 1m}
    mode: enforce
  - name: two-calls
    summary: two calls a minute
    when: dialled >= 2
    then: {block: [calls], directions: [outgoing], for: 1m}
    mode: enforce
"""


def test_holds_that_are_over_when_they_are_counted_end_once_and_after_they_began(scene: Scene) -> None:
    scene.use(RULES)
    start_ms = five_hours_ago()
    scene.feed(record for i in range(NUMBERS) for record in _three(f"+8270{i:08d}", i, start_ms + i * SECOND // 4))
    for part in (1, 2):
        worker = scene.start("--breaker-opens", "0", "--batch-size", "50")
        scene.wait_committed(NUMBERS * part, worker)
        worker.kill()
    worker = scene.start("--breaker-opens", "0", "--batch-size", "50")
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] == NUMBERS


def _three(number: str, i: int, at_ms: int) -> list[Record]:
    """Three records of the number, which opens a hold at the second: messages, or calls."""
    made = []
    for j in range(3):
        told = {"at": at_ms + j, "verified": "full", "origin": "domestic"}
        if i % 2:
            topic, told = "message-relay", told | {"message_id": f"{i}-{j}", "sender": number, "recipient": "+8210"}
        else:
            topic, told = "cdr", told | {"call_id": f"{i}-{j}", "event": "setup", "caller": number, "callee": "+8210"}
        made.append(Record(topic, number, at_ms + j, json.dumps(told).encode(), astray_of(number)))
    return made
