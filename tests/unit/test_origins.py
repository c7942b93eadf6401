"""Dual blocking: relays are told which sender to stop at their side, and when they need not any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.load import check_texts, load_text
from schemas import records
from schemas.json_reading import JsonReader
from schemas.topics import BLOCK_EVENTS, CONTROL, RELAY_ACTIONS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.holds.origins import RELAYS_MAX
from streams.ingest.epoch import OutRecord
from tests.unit.test_number_orders import DAY, HOUR, MINUTE, NUMBER, T0, Traffic

RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: bulk
    summary: many messages
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 3h, origin: stop}
    mode: enforce
  - name: more
    summary: very many messages
    when: sent >= 3
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
"""
Told = tuple[str, str, int]  # (relay, action, until in ms after T0)


def run(traffic: Traffic, rules: str = RULES, batch_lines: int = 10_000) -> list[OutRecord]:
    out: list[OutRecord] = []
    Replay(Engine(load_text(rules), also=(CONTROL,), expire_by_clock=True), out.append, batch_lines).run(
        traffic.lines, "lines"
    )
    return out


def told(traffic: Traffic, rules: str = RULES) -> list[Told]:
    out = run(traffic, rules)
    assert [r.value for r in out] == [r.value for r in run(traffic, rules, 1)] == [
        r.value for r in run(traffic, rules, 3)
    ], "where epochs end changes nothing"  # fmt: skip
    found = []
    for record in out:
        if record.topic == RELAY_ACTIONS:
            said: dict[str, Any] = json.loads(record.value or b"")
            JsonReader(records.RelayAction).read(record.value)
            assert record.key == said["relay"].encode()
            assert (said["number"], said["rule"]) == (NUMBER, "bulk")
            found.append((said["relay"], said["action"], said["until"] - T0))
    return found


def test_the_relay_that_a_block_came_through_is_told_to_stop_the_sender_and_the_block_stands_at_reception() -> None:
    traffic = Traffic().messages(T0, 2, relay="relay-3")
    assert told(traffic) == [("relay-3", "stop", 1000 + 3 * HOUR)]
    topics = [record.topic for record in run(traffic)]
    assert topics == [BLOCK_EVENTS, "block-history", RELAY_ACTIONS]


def test_an_extension_moves_the_end_and_adds_the_relay_that_it_came_through() -> None:
    traffic = Traffic().messages(T0, 2, relay="a").messages(T0 + 2 * HOUR, 2, relay="b")
    ends = 1000 + 3 * HOUR, 2 * HOUR + 1000 + 3 * HOUR
    assert told(traffic) == [("a", "stop", ends[0]), ("a", "stop", ends[1]), ("b", "stop", ends[1])]


def test_a_release_lifts_it_and_so_does_the_end() -> None:
    end = 1000 + 3 * HOUR
    released = Traffic().messages(T0, 2, relay="a").order(T0 + MINUTE, "release", until=T0 + DAY)
    assert told(released) == [("a", "stop", end), ("a", "lift", end)]
    over = Traffic().messages(T0, 2, relay="a").messages(T0 + 5 * HOUR, 1).messages(T0 + 6 * HOUR, 1)
    assert told(over) == [("a", "stop", end), ("a", "lift", end)]


def test_a_block_after_the_end_knows_its_own_relays_alone() -> None:
    traffic = Traffic().messages(T0, 2, relay="a").messages(T0 + 5 * HOUR, 2, relay="b")
    assert [(relay, action) for relay, action, _ in told(traffic)] == [("a", "stop"), ("a", "lift"), ("b", "stop")]


def test_who_is_in_review_is_stopped_nowhere_until_somebody_approves() -> None:
    traffic = Traffic().messages(T0, 2, relay="a", verified="none")
    assert told(traffic) == []
    traffic.order(T0 + MINUTE, "approve", rule="bulk")
    assert [(relay, action) for relay, action, _ in told(traffic)] == [("a", "stop")]


@pytest.mark.parametrize("more", [{}, {"relay": "x" * 300}, {"relay": 7}, {"relay": "\ud800"}, {"relay": None}])
def test_a_record_that_names_no_relay_tells_nobody(more: dict[str, Any]) -> None:
    assert told(Traffic().messages(T0, 2, **more)) == []


def test_a_rule_that_does_not_ask_tells_nobody() -> None:
    assert told(Traffic().messages(T0, 3, relay="a"), RULES.replace(", origin: stop", "")) == []


def test_the_relays_of_a_hold_are_bounded() -> None:
    traffic = Traffic()
    for i in range(RELAYS_MAX + 3):
        traffic.messages(T0 + i * 2 * HOUR, 2, relay=f"r{i}")
    relays = {relay for relay, _, _ in told(traffic)}
    assert relays == {f"r{i}" for i in range(RELAYS_MAX)}


def test_an_origin_can_be_told_to_stop_and_nothing_else() -> None:
    (found,) = check_texts([("r.yaml", RULES.replace("origin: stop", "origin: ask"))])[1]
    assert found.message == "`ask` is not a valid value of `origin`"
