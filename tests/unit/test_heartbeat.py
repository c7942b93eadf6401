"""A heartbeat of each partition says how far it is, and how much is in force there."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from rules.load import load_text
from schemas import export
from schemas.topics import BLOCK_STATUS, CDR, MESSAGE_RELAY, REKEYED
from streams.delivery.heartbeat import heartbeats
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord, RawBatch
from streams.kafka.partition import partition_of

T = 1_794_798_000_000
DAY = 86_400_000
RULES = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: burst
    summary: many messages
    when: rate >= 3
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: enforce
  - name: some
    summary: some messages
    when: rate >= 2
    then: {block: [messages], directions: [outgoing], for: 1d}
    mode: shadow
"""
PARTITIONS = 4
SENDERS = [f"+8210111{n:05d}" for n in range(24)]
HOMES = [partition_of(sender.encode(), PARTITIONS) for sender in SENDERS]
POSITION = {(topic, p): 100 * p + n for n, topic in enumerate((CDR, MESSAGE_RELAY, REKEYED)) for p in (1, 2, 3)}


@pytest.fixture
def worker() -> Engine:
    """Three messages of each sender, two of the last: every sender in its partition at times of its own."""
    engine = Engine(load_text(RULES))
    engine.partitions = PARTITIONS
    sent = [(i, T + 1000 * home + k) for i, home in enumerate(HOMES) for k in range(3)][:-1]
    values: list[bytes | None] = [
        json.dumps(
            {"message_id": f"m{n}", "at": at, "sender": SENDERS[i], "recipient": "+821099900001", "verified": "full"}
        ).encode()
        for n, (i, at) in enumerate(sent)
    ]
    partition = np.array([HOMES[i] for i, _ in sent], np.int32)
    at_ms = np.array([at for _, at in sent], np.int64)
    order = np.arange(len(sent))
    raw = RawBatch(MESSAGE_RELAY, order, partition, order, at_ms, values)
    engine.step([engine.decoders[MESSAGE_RELAY].decode(raw)])
    return engine


def told(records: list[OutRecord]) -> dict[int, dict[str, Any]]:
    return {record.partition or 0: json.loads(record.value or b"") for record in records}


def test_each_owned_partition_has_one_with_its_own_offsets_clocks_and_holds(worker: Engine) -> None:
    records = heartbeats("w-1", worker, POSITION, frozenset({1, 2, 3}), frozenset({3}))
    assert [(r.topic, r.key, r.partition) for r in records] == [(BLOCK_STATUS, b"%d" % p, p) for p in (1, 2, 3)]
    # The last sender's two messages are too few for the enforced rule.
    for p, value in told(records).items():
        assert value == {
            "partition": p,
            "worker": "w-1",
            "state": "restoring" if p == 3 else "live",
            "paused": False,
            "offsets": {"cdr": 100 * p, "message-relay": 100 * p + 1, "rekeyed": 100 * p + 2},
            "clocks": {"message-relay": T + 1000 * p + 2},
            "rules_version": worker.rules.version,
            "registry_version": "",
            "feeds_version": "",
            "holds_active": HOMES[:-1].count(p),
            "warming": worker.warming() > 0,
        }


def test_holds_that_ended_are_not_counted_and_a_partition_without_records_has_no_clock(worker: Engine) -> None:
    idle = Engine(worker.rules)
    idle.partitions = PARTITIONS
    value = told(heartbeats("w-1", idle, {}, frozenset({0}), frozenset()))[0]
    assert (value["clocks"], value["offsets"], value["holds_active"]) == ({}, {}, 0)
    worker.expire(T + DAY + 60_000)
    ended = told(heartbeats("w-1", worker, POSITION, frozenset({1, 2}), frozenset()))
    assert [value["holds_active"] for value in ended.values()] == [0, 0]


def test_every_heartbeat_is_as_its_schema_says_and_says_no_more(worker: Engine) -> None:
    schema = export.schema(BLOCK_STATUS) | {"additionalProperties": False}
    for value in told(heartbeats("w-1", worker, POSITION, frozenset({1, 2, 3}), frozenset())).values():
        jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value | {"state": "dead"}, schema, cls=jsonschema.Draft202012Validator)
