"""Writes the JSON Schema of each published topic, with an example, to schemas/json: `python -m schemas.export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from schemas import records, topics
from schemas.feeds import FEEDS

_HOLD: dict[str, Any] = {
    "block_id": "9f0c4a7be21d5a63",
    "rule": "pmg-voice",
    "rules_version": "3f2a9c01d4be",
    "from": 1795312800000,
    "until": 1797904800000,
    "directions": ["outgoing", "incoming"],
    "actions": ["block_calls", "block_messages"],
    "reason": "patient or bursting automatic dialler",
    "evidence": [
        {"counter": "gray.short", "value": 31.25, "window": "1m", "limit": 12, "as_of": 1795312800000},
        {"counter": "callees", "value": 22, "window": "1h", "as_of": 1795312800000},
    ],
}
_CHANGE: dict[str, Any] = {
    "event_id": "51be07c9d2f4138a",
    "number": "+821011110001",
    "change": "opened",
}

PUBLISHED: dict[str, tuple[type[msgspec.Struct], dict[str, Any]]] = {
    topics.MESSAGE_RELAY: (
        records.MessageRelay,
        {
            "message_id": "relay7-20261122-000001",
            "at": 1795312800000,
            "sender": "+821011110001",
            "recipient": "010-9990-0001",
            "relay": "relay7",
            "reseller": "r-0412",
            "channel": "lms",
            "origin": "web",
            "verified": "partial",
            "text": "엄마 폰 액정 고장나서 수리 맡겼어 이 번호로 문자 줘",
        },
    ),
    topics.CDR: (
        records.Cdr,
        {
            "call_id": "mvno3-7c1d-000042",
            "event": "complete",
            "at": "2026-11-22T11:01:30+09:00",
            "caller": "+827011110001",
            "callee": "02-999-0001",
            "carrier": "mvno3",
            "origin": "domestic",
            "verified": "full",
            "cause": "16",
            "setup_at": "2026-11-22T11:00:00+09:00",
            "answer_at": "2026-11-22T11:00:12.500+09:00",
            "release_at": "2026-11-22T02:01:30Z",
        },
    ),
    topics.REPORTS: (
        records.Report,
        {
            "report_id": "app-20261122-0000317",
            "at": 1795312920000,
            "number": "070-1111-0001",
            "reporter": "+821099900001",
            "reporter_known": "full",
            "kind": "call",
            "relay": "relay7",
            "reseller": "r-0412",
            "recording_url": "https://reports.invalid/recordings/0000317",
        },
    ),
    topics.TRAPS: (
        records.Trap,
        {
            "at": "2026-11-22T11:01:40+09:00",
            "sender": "+827011110001",
            "trap": "+82299990077",
            "depth": "full",
            "source_ip": "192.0.2.17",
            "recording_url": "https://traps.invalid/recordings/77-20261122-110140",
        },
    ),
    topics.CONTROL: (
        records.Control,
        {
            "id": "desk-20261122-0042",
            "at": 1795316400000,
            "number": "+827011110001",
            "action": "release",
            "operator": "review-desk-3",
            "reason": "the holder has shown that the line is a hospital's",
            "rule": "pmg-voice",
            "until": 1797904800000,
        },
    ),
    topics.BLOCK_EVENTS: (
        records.BlockEvent,
        _CHANGE
        | {
            "state": "active",
            "until": 1797904800000,
            "directions": ["outgoing", "incoming"],
            "actions": ["block_calls", "block_messages"],
            "hold": _HOLD,
            "holds": [_HOLD],
        },
    ),
    topics.BLOCK_HISTORY: (records.BlockHistory, _CHANGE | {"hold": _HOLD}),
    topics.SANCTIONS: (
        records.Sanction,
        {
            "event_id": "51be07c9d2f4138a",
            "subject": "recipient",
            "name": "+821099900001",
            "change": "opened",
            "mode": "enforce",
            "rule": "flooded-recipient",
            "rules_version": "3f2a9c01d4be",
            "recommend": ["warn"],
            "from": 1795312800000,
            "until": 1795399200000,
            "reason": "many people write to one number at once",
            "evidence": [
                {"counter": "got", "value": 41, "window": "10m", "limit": 30, "as_of": 1795312800000},
                {"counter": "senders", "value": 20, "window": "1h", "limit": 20, "as_of": 1795312800000},
            ],
        },
    ),
    topics.BLOCK_STATUS: (
        records.BlockStatus,
        {
            "partition": 3,
            "worker": "grayline-7f3c9a1e",
            "state": "live",
            "paused": False,
            "offsets": {"cdr": 1180231, "message-relay": 4410877, "rekeyed": 12},
            "clocks": {"cdr": 1795312860000, "message-relay": 1795312861250},
            "rules_version": "3f2a9c01d4be",
            "registry_version": "4dc1c134581f",
            "feeds_version": "9b1f6a0c2e57",
            "holds_active": 58,
            "warming": False,
        },
    ),
    topics.BLOCK_ACKS: (
        records.BlockAck,
        {"event_id": "51be07c9d2f4138a", "blocker": "switch-7", "applied_at": 1795312801420},
    ),
    topics.RELAY_ACTIONS: (
        records.RelayAction,
        {
            "event_id": "51be07c9d2f4138a",
            "relay": "relay-3",
            "number": "+827011110001",
            "action": "stop",
            "block_id": "9c1f7a40b2de5508",
            "rule": "bulk-in-another-name",
            "reason": "bulk in the name of a number that is another account's",
            "from": 1795312800000,
            "until": 1797904800000,
        },
    ),
    topics.SHARED_NUMBERS: (
        records.SharedNumber,
        {
            "event_id": "51be07c9d2f4138a",
            "number": "+827011110001",
            "origin": "carrier-a",
            "confidence": 0.95,
            "category": "voice phishing",
            "since": 1795312800000,
            "until": 1797904800000,
        },
    ),
    topics.DEAD_LETTERS: (
        records.DeadLetter,
        {
            "__connect.errors.topic": "cdr",
            "__connect.errors.partition": "3",
            "__connect.errors.offset": "1180231",
            "__connect.errors.exception.class.name": "bad_time",
            "__connect.errors.exception.message": "at: is before 2000-01-01: seconds taken for milliseconds? Multiply "
            "by 1000",
        },
    ),
}


def schema(topic: str) -> dict[str, Any]:
    """The topic's JSON Schema (draft 2020-12), its example inside; for dead letters, of the headers."""
    record, example = PUBLISHED[topic]
    _, definitions = msgspec.json.schema_components([record], ref_template="#/$defs/{name}")
    # A plain object at the top reads better than a reference to one, and every code generator takes it.
    out = definitions.pop(record.__name__)
    if topic in FEEDS and (times := FEEDS[topic].complete):
        time = {"type": ["integer", "string"]}
        out["if"] = {"properties": {"event": {"const": "complete"}}, "required": ["event"]}
        out["then"] = {
            "required": [times[0], times[-1]],
            "properties": {times[0]: time, times[-1]: time},
        }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:grayline:{topic}"}
    out["title"] = f"{topic}, headers" if topic == topics.DEAD_LETTERS else topic
    return head | out | {"examples": [example]} | ({"$defs": definitions} if definitions else {})


def files() -> dict[str, str]:
    """File name -> content, as they stand in schemas/json."""
    return {
        f"{topic}.schema.json": json.dumps(schema(topic), indent=2, ensure_ascii=False) + "\n" for topic in PUBLISHED
    }


def main() -> None:
    folder = Path(__file__).parent / "json"
    folder.mkdir(exist_ok=True)
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
