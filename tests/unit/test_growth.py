"""Memory while numbers come and go for ever: flat, and nothing of it shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import orjson
import pytest

from rules.load import load_text
from rules.model import RuleSet
from schemas import topics
from streams.engine.engine import Engine
from streams.ingest.decode import Decoded
from streams.ingest.epoch import OutRecord, RawBatch
from streams.kernels.partition import partition_of
from tests.reference.rule_files import RULE_FILES
from tests.reference.small_traffic import MONDAY_0859_MS

PARTITIONS = 3
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
Record = tuple[int, bytes]  # event time, value


@lru_cache
def rules_of(name: str) -> RuleSet:
    return load_text(RULE_FILES[name], f"{name}.yaml")


def engine_of(name: str) -> Engine:
    engine = Engine(rules_of(name), expire_by_clock=True)
    engine.partitions = PARTITIONS
    return engine


def decoded(engine: Engine, topic: str, records: list[Record]) -> list[Decoded]:
    """An epoch of one topic, each record on its number's partition."""
    order = np.arange(len(records))
    at = np.array([at for at, _ in records])
    raw = RawBatch(topic, order, np.zeros(len(order), np.int32), order, at, [value for _, value in records])
    part = engine.decoders[topic].decode(raw)
    partition_of(part.columns["number"], PARTITIONS, part.columns["partition"])
    return [part]


def churn(topic: str, epochs: int, numbers: int) -> Iterator[list[Record]]:
    """Half an hour an epoch, with `numbers` numbers that were never heard of. Each comes with five events, and once
    more after most counters have forgotten it."""
    n = 0
    for epoch in range(epochs):
        start = MONDAY_0859_MS + epoch * HOUR_MS // 2
        old = [number - 8 * numbers for number in range(epoch * numbers, (epoch + 1) * numbers, 7)]
        new = [number for number in range(epoch * numbers, (epoch + 1) * numbers) for _ in range(5)]
        out = []
        for i, number in enumerate([*[number for number in old if number >= 0], *new]):
            n += 1
            at, me, other = start + i, f"+8210{number:08}", f"+8210{99_000_000 + i}"
            told = {"at": at, "verified": "full" if number % 3 else "none"}
            if topic == topics.CDR:
                told |= {"call_id": f"c{n}", "caller": me, "callee": other, "event": "setup"}
            else:
                told |= {"message_id": f"m{n}", "sender": me, "recipient": other, "text": f"{i}"}
            out.append((at, orjson.dumps(told)))
        yield out


def cut(epochs: list[list[Record]], size: int) -> Iterator[list[Record]]:
    records = [record for epoch in epochs for record in epoch]
    for start in range(0, len(records), size):
        yield records[start : start + size]


BY_TOPIC = pytest.mark.parametrize(("name", "topic"), [("messages", topics.MESSAGE_RELAY), ("calls", topics.CDR)])


@BY_TOPIC
def test_memory_is_flat_while_every_epoch_brings_new_numbers(name: str, topic: str) -> None:
    engine, sizes = engine_of(name), []
    for records in churn(topic, 160, 100):
        engine.step(decoded(engine, topic, records))
        engine.maintain()
        stats = engine.stats()
        sizes.append((stats["tracked_numbers"], stats["state_bytes"]))
    numbers, state_bytes = np.array(sizes).T
    assert numbers[-1] < 160 * 100 / 4
    assert numbers[100:].max() <= 1.01 * numbers[40:100].max()
    assert state_bytes[100:].max() <= 1.05 * state_bytes[40:100].max()


@BY_TOPIC
def test_what_is_given_back_shows_nowhere_wherever_epochs_end(name: str, topic: str) -> None:
    epochs, seen = list(churn(topic, 30, 20)), []
    for size in (10, 700, 1_000_000):
        engine, out = engine_of(name), list[OutRecord]()
        for records in cut(epochs, size):
            out += engine.step(decoded(engine, topic, records)).records
            engine.maintain()
        seen.append(([(r.topic, r.key, r.value) for r in out], [engine.digest(p) for p in range(PARTITIONS)]))
        assert size > 10 or engine.stats()["tracked_numbers"] < 30 * 20
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0]


def test_a_topic_that_has_fallen_silent_for_good_keeps_no_rows_of_the_other_that_rules_read_with_it() -> None:
    engine, sizes = engine_of("both"), []
    (call,) = churn(topics.CDR, 1, 1)
    engine.step(decoded(engine, topics.CDR, call))
    for records in churn(topics.MESSAGE_RELAY, 160, 60):
        engine.step(decoded(engine, topics.MESSAGE_RELAY, records))
        engine.maintain()
        sizes.append(engine.stats()["tracked_numbers"])
    assert max(sizes[100:]) <= 1.01 * max(sizes[40:100]) < 160 * 60 / 2
