"""Two carriers share numbers on a real broker: published, weighed, withdrawn; nobody's own word comes back to him."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from rules.load import load_text
from rules.registry_file import load_registry
from schemas.topics import BLOCK_EVENTS, MESSAGE_RELAY, SHARED_NUMBERS
from streams.captures.replay import Replay
from streams.cli import command
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord
from tests.conftest import broker_with_topics
from tests.kafka_broker import Broker

OURS, DOUBTFUL, THEIRS = "+821011110001", "+821011110002", "+821011110003"
DAY_MS = 86_400_000
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - name: with-others
    summary: others are sure, and it sends
    when: sent >= 2 and shared_score >= 0.7
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
"""


def sharing(origin: str, **trust: float) -> str:
    return json.dumps(
        {
            "origin": origin,
            "share": [
                {"rule": "sure", "confidence": 0.9, "category": "phishing"},
                {"rule": "unsure", "confidence": 0.5, "category": "bulk"},
                {"rule": "with-others", "confidence": 1, "category": "bulk"},
            ],
            "trust": {name.replace("_", "-"): value for name, value in trust.items()},
        }
    )


@pytest.fixture
def broker() -> Iterator[Broker]:
    with broker_with_topics(2) as running:
        yield running


def block(broker: Broker, number: str, rule: str, *, state: str = "active", **more: Any) -> None:
    now = round(time.time() * 1000)
    hold = {"block_id": f"b{number}", "rule": rule, "from": now - 1000, "until": now + 7 * DAY_MS} | more
    value = {"event_id": f"e{number}", "number": number, "state": state, "change": "opened", "until": hold["until"],
             "hold": hold, "holds": [hold] if state == "active" else []}  # fmt: skip
    producer = Producer({"bootstrap.servers": broker.bootstrap, "partitioner": "murmur2_random"})
    producer.produce(BLOCK_EVENTS, json.dumps(value), number)
    assert producer.flush(30) == 0


def share(broker: Broker, *words: str) -> Any:
    done = CliRunner().invoke(command, ["share", *words, "--brokers", broker.bootstrap, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_what_one_is_confident_of_is_evidence_for_the_other_until_it_is_withdrawn(
    broker: Broker, tmp_path: Path
) -> None:
    a, b, heard = tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "heard.csv"
    a.write_text(sharing("carrier-a", carrier_b=0.5))
    b.write_text(sharing("carrier-b", carrier_a=0.8))
    block(broker, OURS, "sure")
    block(broker, DOUBTFUL, "unsure")
    assert share(broker, "publish", str(a)) == {"published": 1, "withdrawn": 0, "forgotten": 0}
    assert share(broker, "publish", str(a)) == {"published": 0, "withdrawn": 0, "forgotten": 0}, "it stands there"
    (entry,) = share(broker, "list", str(b))["entries"]
    assert (entry["number"], entry["origin"], entry["here"]) == (OURS, "carrier-a", "trusted 0.8")

    assert share(broker, "import", str(b), "--out", str(heard))["numbers"] == 1
    registry = load_registry([heard])
    (told,) = [registry.entry(i) for i in range(len(registry))]
    assert (told.number, told.owner, told.score) == (OURS, "carrier-a", 0.72)
    assert blocked_by(heard) == [OURS]
    assert share(broker, "import", str(a), "--out", str(heard))["numbers"] == 0, "our own word is none of others'"

    # What B blocks since A said so is not B's word: it would come back to A as a second voice.
    block(broker, THEIRS, "with-others", from_others=True)
    assert share(broker, "publish", str(b))["published"] == 1  # `sure`, of the one block-events that they have here
    assert {e["number"] for e in share(broker, "list", str(a))["entries"]} == {OURS}

    block(broker, OURS, "sure", state="released")
    assert share(broker, "publish", str(a)) == {"published": 0, "withdrawn": 1, "forgotten": 0}
    assert share(broker, "publish", str(b)) == {"published": 0, "withdrawn": 1, "forgotten": 0}
    assert share(broker, "import", str(b), "--out", str(heard))["numbers"] == 0
    assert blocked_by(heard) == []


def test_a_record_of_nobody_is_passed_over_and_a_broker_that_is_away_leaves_the_file(
    broker: Broker, tmp_path: Path
) -> None:
    a, heard = tmp_path / "a.yaml", tmp_path / "heard.csv"
    a.write_text(sharing("carrier-a", carrier_b=1))
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    forged = {"event_id": "e", "number": OURS, "origin": "carrier-b", "confidence": 1, "category": "x"}
    forged |= {"since": 1_795_312_800_000, "until": 4_000_000_000_000}
    producer.produce(SHARED_NUMBERS, json.dumps(forged), f"{OURS}/carrier-c")  # in another's name
    producer.produce(SHARED_NUMBERS, b"{", f"{OURS}/carrier-b")
    producer.produce(SHARED_NUMBERS, json.dumps(forged | {"number": "112"}), "112/carrier-b")
    assert producer.flush(30) == 0
    assert share(broker, "import", str(a), "--out", str(heard))["numbers"] == 0
    before = heard.read_bytes()
    away = ["share", "import", str(a), "--out", str(heard), "--brokers", "127.0.0.1:1"]
    assert CliRunner().invoke(command, away).exit_code == 1
    assert heard.read_bytes() == before


def blocked_by(registry: Path) -> list[str]:
    """The numbers that a worker with this registry blocks, of three that send twice."""
    lines, now = [], round(time.time() * 1000)
    for offset, number in enumerate([OURS, OURS, DOUBTFUL, DOUBTFUL, THEIRS, THEIRS]):
        told = {
            "message_id": f"m{offset}",
            "at": now,
            "sender": number,
            "recipient": "+821099990001",
            "verified": "full",
        }
        line = {"topic": MESSAGE_RELAY, "partition": 0, "offset": offset, "ts": now, "key": None}
        lines.append(json.dumps(line | {"payload": json.dumps(told)}).encode() + b"\n")
    out: list[OutRecord] = []
    Replay(Engine(replace(load_text(RULES), registry=load_registry([registry]))), out.append).run(lines, "lines")
    states = [json.loads(record.value or b"") for record in out if record.topic == BLOCK_EVENTS]
    assert all(state["hold"]["from_others"] for state in states)
    return [state["number"] for state in states]
