"""Derived events: what leaves in a record of the topic `derived`, and what becomes of one that nobody of ours wrote."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pytest

from rules.load import load_text
from schemas.topics import CDR, DEAD_LETTERS, DERIVED, LEDGER, MESSAGE_RELAY, SANCTIONS
from streams.engine.engine import Engine
from streams.ingest.decode_share import decode_share
from streams.ingest.derived import SUBJECT, pack, unpack
from streams.ingest.epoch import OutRecord, RawBatch
from streams.kafka.partition import partition_of

START_MS = 1_794_787_140_000
PARTITIONS = 4
CALLEE = "+821099990001"
RULES = """
counters:
  callers: {on: cdr.setup, per: callee, distinct: caller, window: 1h}
  sent: {on: message-relay, per: relay, count: events, window: 1h}
rules:
  - name: rung-up
    summary: several people call one number
    when: callers >= 3
    then: {recommend: [warn], for: 1d}
    mode: enforce
  - name: busy
    summary: a relay carries messages
    when: sent >= 2
    then: {recommend: [inspect], for: 1d}
    mode: enforce
"""

HEAD = {"format": 1, "group": "grayline", "subject": "callee", "events": 1, "columns": [["at", "int64"]]}
WRONG = [
    orjson.dumps(HEAD | said) + b"\n12345678"
    for said in (
        {"events": 2}, {"events": -1}, {"format": 2}, {"columns": [["at", "float64"]]}, {"columns": [["at", "uint8"]]}
    )
]  # fmt: skip


def engine(text: str = RULES) -> Engine:
    made = Engine(load_text(text))
    made.partitions, made.group = PARTITIONS, "grayline"
    return made


def calls(count: int) -> list[tuple[int, bytes]]:
    """(partition, record) of calls of so many people to one number."""
    made = []
    for i in range(count):
        caller = f"+82101111{i:04d}"
        record = {"call_id": f"c{i}", "event": "setup", "at": START_MS + i, "caller": caller, "callee": CALLEE}
        made.append((partition_of(caller.encode(), PARTITIONS), json.dumps(record).encode()))
    return made


def batch(topic: str, records: list[tuple[int, bytes | None]]) -> RawBatch:
    n = len(records)
    partition = np.array([p for p, _ in records], np.int32)
    return RawBatch(topic, np.arange(n), partition, np.arange(n), np.full(n, START_MS), [v for _, v in records])


def sent(one: Engine, topic: str, records: list[tuple[int, bytes]]) -> list[OutRecord]:
    outcome = one.step(decode_share(one, batch(topic, list(records))))
    assert [record.topic for record in outcome.records] == [], "nothing is said before the events have arrived"
    return list(pack({name: [of] for name, of in outcome.derived.items()}, PARTITIONS, one.group, one.names.of))


def arrive(one: Engine, records: list[OutRecord]) -> tuple[list[OutRecord], list[OutRecord]]:
    """(outputs, rows of the ledger)"""
    raw = batch(DERIVED, [(record.partition or 0, record.value) for record in records])
    outcome = one.step(decode_share(one, raw))
    return outcome.records, outcome.ledger


def test_the_events_of_one_callee_leave_in_one_record_for_its_partition() -> None:
    (record,) = sent(engine(), CDR, calls(5))
    assert (record.topic, record.partition) == (DERIVED, partition_of(CALLEE.encode(), PARTITIONS))


def test_what_a_rule_about_a_callee_recommends_is_said_once_where_its_events_arrive() -> None:
    one, other = engine(), engine()
    (made,), (row,) = arrive(other, sent(one, CDR, calls(5)))
    told = orjson.loads(made.value or b"")
    assert (made.topic, made.key, told["subject"], told["name"]) == (SANCTIONS, CALLEE.encode(), "callee", CALLEE)
    assert told["evidence"][0]["value"] == 3
    assert (row.topic, row.partition) == (LEDGER, partition_of(CALLEE.encode(), PARTITIONS))


def test_who_takes_the_partition_over_does_not_say_it_again() -> None:
    one, first, second = engine(), engine(), engine()
    home = partition_of(CALLEE.encode(), PARTITIONS)
    _, rows = arrive(first, sent(one, CDR, calls(5)))
    for piece in first.image(home, whole=True):
        second.load(home, piece)
    second.load_ledger([(row.key or b"", row.value) for row in rows])
    assert second.digest(home) == first.digest(home)
    assert arrive(second, sent(one, CDR, calls(7)[5:])) == ([], [])


def message(i: int, relay: str = "릴레이 7") -> tuple[int, bytes]:
    sender = f"+82101111{i:04d}"
    record = {"message_id": f"m{i}", "at": START_MS + i, "sender": sender, "recipient": CALLEE, "relay": relay}
    return partition_of(sender.encode(), PARTITIONS), json.dumps(record).encode()


def test_nobody_is_counted_whose_name_is_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("streams.ingest.names", "streams.counting.others"):
        monkeypatch.setattr(f"{module}.NAMES_MAX", 1)
    one = engine()
    for relays in (("first",), ("second", "first", "third")):
        messages = [message(i, relay) for i, relay in enumerate(relays, len(relays))]
        (events,) = one.step(decode_share(one, batch(MESSAGE_RELAY, list(messages)))).derived.values()
        assert [one.names.of.get(key) for key in events[SUBJECT].tolist()] == ["first"]


def test_a_relay_is_told_by_its_name_by_whoever_has_loaded_its_image() -> None:
    one, first, second = engine(), engine(), engine()
    (record,) = sent(one, MESSAGE_RELAY, [message(0)])
    assert arrive(first, [record])[0] == []
    for piece in first.image(record.partition or 0, whole=True):
        second.load(record.partition or 0, piece)
    # A name that came with the image alone.
    relays = one.step(decode_share(one, batch(MESSAGE_RELAY, [message(1)]))).derived["relay"]
    (again,) = pack({"relay": [relays]}, PARTITIONS, "grayline")
    (made,), _ = arrive(second, [again])
    assert orjson.loads(made.value or b"")["name"] == "릴레이 7"


def test_another_groups_records_are_passed_over() -> None:
    one, other = engine(), engine()
    other.group = "another"
    assert arrive(other, sent(one, CDR, calls(5))) == ([], [])


def test_a_rule_without_others_reads_no_more_topics() -> None:
    plain = RULES.replace("per: callee, distinct: caller", "per: caller, distinct: callee").replace(
        "per: relay", "per: sender"
    )
    plain = plain.replace("recommend: [warn]", "block: [calls]").replace("recommend: [inspect]", "block: [messages]")
    assert DERIVED not in engine(plain).reads
    assert DERIVED in engine().reads


@pytest.mark.parametrize("value", [*WRONG, None, b"", b"{}", b"[]\n"])
def test_a_record_that_nobody_of_ours_wrote_is_a_dead_letter(value: bytes | None) -> None:
    decoded = unpack(batch(DERIVED, [(0, value)]), "grayline")
    assert [letter.topic for letter in decoded.dead_letters] == [DEAD_LETTERS]
    assert decoded.counts["bad_derived"] == 1
    assert decoded.derived == {}


def test_events_of_rules_that_sent_fewer_columns_count_with_what_they_have() -> None:
    narrow = RULES.replace("distinct: caller, window: 1h", "count: events, window: 1h").replace(
        "callers >= 3", "callers >= 2"
    )
    (record,) = sent(engine(narrow), CDR, calls(3))
    assert arrive(engine(), [record])[0][0].topic == SANCTIONS
