"""Records that are really written fit the exported JSON Schemas: block events, their history, dead letters."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from rules.load import load_text
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, DEAD_LETTERS, REVIEW_QUEUE, SHADOW_EVENTS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.decode import DEAD_LETTER_WHOLE_BYTES
from streams.ingest.epoch import OutRecord

AT_MS = 1_794_798_000_000
DAY_MS = 86_400_000
RULES = """
counters:
  rate:    {on: message-relay, per: sender, count: events, window: 1m}
  gray:    {on: message-relay, per: sender, gray: {short: 1m, long: 6h}}
  ended:   {on: cdr.release, per: caller, mean: duration, window: 1h}
  callees: {on: cdr.release, per: caller, distinct: callee, window: 1h}
rules:
  - name: burst
    summary: many messages
    limits: {most: 3}
    when: rate >= most and gray.short + gray.long > 1
    then: {block: [messages, calls], directions: [outgoing, incoming], for: 1d}
    mode: enforce
  - name: more
    summary: 더 많은 문자
    when: rate >= 4
    then: {block: [messages], directions: [outgoing], for: 2d}
    mode: enforce
  - name: short-calls
    summary: short calls
    when: callees >= 2 and ended < 20
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: shadow
"""


def message(n: int, at: int, sender: str = "+821011110001", **more: Any) -> dict[str, Any]:
    told = {"message_id": f"m{n}", "at": at, "sender": sender, "recipient": "+821099900001"}
    return told | {"verified": "full"} | more


def call(n: int, at: int) -> dict[str, Any]:
    told = {"call_id": f"c{n}", "event": "complete", "at": at, "caller": "+827011110001", "callee": f"+82109990000{n}"}
    return told | {"verified": "full", "setup_at": at - 9000, "answer_at": at - 7000, "release_at": at}


def day() -> list[tuple[str, object]]:
    """(topic, value) of a day on which a hold opens, a second one opens beside it, one is extended, and both expire."""
    burst = [message(n, AT_MS + n * 1000) for n in range(5)]
    later = [message(n, AT_MS + 3 * 3_600_000 + n) for n in range(10, 14)]
    spoofed = [message(n, AT_MS + n, "+821022220002", verified="none") for n in range(20, 24)]
    calls = [call(n, AT_MS + n * 1000) for n in range(3)]
    # Holds expire before the record that follows one past their end.
    end = [("message-relay", message(n, AT_MS + 4 * DAY_MS, "+821033330003")) for n in (98, 99)]
    bad: list[tuple[str, object]] = [
        ("cdr", "no json"),
        ("cdr", None),
        ("message-relay", {"at": 7}),
        ("message-relay", message(30, 1_794_798_000)),
        ("message-relay", '{"' + "x" * DEAD_LETTER_WHOLE_BYTES),
    ]
    good = [("message-relay", m) for m in burst + spoofed + later] + [("cdr", c) for c in calls]
    return [*good, *bad, *end]


@pytest.fixture(scope="module")
def written() -> dict[str, list[OutRecord]]:
    """The outputs of a replay of that day, by topic."""
    lines = []
    for offset, (topic, value) in enumerate(day()):
        payload = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        line = {"topic": topic, "partition": 0, "offset": offset, "key": None, "payload": payload, "ts": -1}
        lines.append(json.dumps(line).encode() + b"\n")
    out: list[OutRecord] = []
    Replay(Engine(load_text(RULES), expire_by_clock=True), out.append).run(lines, "day")
    by_topic: dict[str, list[OutRecord]] = {}
    for record in out:
        by_topic.setdefault(record.topic, []).append(record)
    return by_topic


def validator(topic: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((files("schemas") / "json" / f"{topic}.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """The schema with every object closed: a field that is written and not described is a gap in the description."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    return inner | {"additionalProperties": False} if isinstance(inner.get("properties"), dict) else inner


@pytest.mark.parametrize(
    ("topic", "like"),
    [
        (BLOCK_EVENTS, BLOCK_EVENTS),
        (BLOCK_HISTORY, BLOCK_HISTORY),
        (SHADOW_EVENTS, BLOCK_EVENTS),
        (REVIEW_QUEUE, BLOCK_EVENTS),
    ],
)
def test_every_value_written_is_as_its_schema_says(topic: str, like: str, written: dict[str, list[OutRecord]]) -> None:
    values = [json.loads(record.value or b"") for record in written[topic]]
    assert [(topic, list(error.path), error.message) for v in values for error in validator(like).iter_errors(v)] == []
    changes = {value["change"] for value in values}
    assert changes >= ({"opened", "extended", "expired"} if topic == BLOCK_HISTORY else {"opened"})


def test_the_headers_of_every_dead_letter_are_as_their_schema_says(written: dict[str, list[OutRecord]]) -> None:
    letters = [{name: value.decode() for name, value in letter.headers} for letter in written[DEAD_LETTERS]]
    assert len(letters) == 5
    assert [error.message for letter in letters for error in validator(DEAD_LETTERS).iter_errors(letter)] == []
    assert ["grayline.value.sha256" in letter for letter in letters] == [False] * 4 + [True]


def test_a_value_that_says_more_or_less_than_its_schema_is_noticed(written: dict[str, list[OutRecord]]) -> None:
    value = json.loads(written[BLOCK_EVENTS][0].value or b"")
    assert list(validator(BLOCK_EVENTS).iter_errors(value | {"surprise": 1}))
    assert list(validator(BLOCK_EVENTS).iter_errors(value | {"hold": value["hold"] | {"surprise": 1}}))
    del value["until"]
    assert list(validator(BLOCK_EVENTS).iter_errors(value))
