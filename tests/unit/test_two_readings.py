"""Forged records change no block, whatever they say; and what the second reading of a number costs."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from rules.model import RuleSet
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, MESSAGE_RELAY
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord
from tests.reference.reference import ACTOR, Line
from tests.reference.rule_files import RULE_FILES, SMALL_FILES
from tests.reference.small_traffic import HOUR, MONDAY_0859_MS, kcat_line, traffic
from tests.unit.test_engine_state import assert_go_on_alike, engine_of, loaded, run

CHOICE = st.integers(0, 1000)


@lru_cache
def rules_of(name: str) -> RuleSet:
    return load_text(RULE_FILES[name].replace("    spoofable: accepted\n", ""), f"{name}.yaml")


def fields_of(line: Line) -> dict[str, Any] | None:
    """Of a record that can be read as far as this test needs."""
    try:
        fields = orjson.loads(line.value or b"")
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "at" in fields and len(fields) > 3 else None


def in_order(lines: list[Line]) -> list[Line]:
    offsets: Counter[tuple[str, int]] = Counter()
    out = []
    for line in lines:
        offsets[line.topic, line.partition] += 1
        out.append(Line(line.topic, line.partition, offsets[line.topic, line.partition], line.ts_ms, line.value))
    return out


def vouched(line: Line) -> Line:
    fields = fields_of(line)
    value = line.value if fields is None else orjson.dumps(fields | {"verified": "full", "origin": "domestic"})
    return Line(line.topic, line.partition, line.offset, line.ts_ms, value)


def forged(lines: list[Line], before: int, like: int, who: int, verified: str) -> Line | None:
    """A record that repeats an earlier one, so that no clock moves, under the id and number of any record."""
    earlier = [line for line in lines[:before] if fields_of(line)]
    if not earlier:
        return None
    line = earlier[like % len(earlier)]
    id_name, number_name, _ = ACTOR[line.topic]
    owners = [fields for other in lines if other.topic == line.topic and (fields := fields_of(other))]
    owner = owners[who % len(owners)]
    fields = fields_of(line) or {}
    fields |= {id_name: owner[id_name], number_name: owner[number_name], "verified": verified}
    return Line(line.topic, line.partition, 0, line.ts_ms, orjson.dumps(fields))


def blocks(rules: RuleSet, lines: list[Line], batch_lines: int) -> list[OutRecord]:
    out: list[OutRecord] = []
    # Holds that are over expire before the next line, so both logs need one.
    lines = [*lines, *(Line(topic, 0, 0, MONDAY_0859_MS, b"unreadable") for topic in ACTOR)]
    Replay(Engine(rules, expire_by_clock=True), out.append, batch_lines).run(map(kcat_line, in_order(lines)), "lines")
    return [record for record in out if record.topic in (BLOCK_EVENTS, BLOCK_HISTORY)]


@pytest.mark.parametrize("name", RULE_FILES)
@given(
    lines=traffic(),
    forgeries=st.lists(st.tuples(CHOICE, CHOICE, CHOICE, st.sampled_from(["none", "partial"])), max_size=40),
    batch_lines=st.integers(1, 50),
)
@settings(max_examples=30, deadline=None)
def test_forged_records_change_no_block(name: str, lines: list[Line], forgeries: list[Any], batch_lines: int) -> None:
    """Taken out of the log they leave the same block events: ids, numbers and calls of others included."""
    lines = [vouched(line) for line in lines]
    mixed = [(place, line) for place, line in enumerate(lines)]
    for before, like, who, verified in forgeries:
        place = before % (len(lines) + 1)
        if (line := forged(lines, place, like, who, verified)) is not None:
            mixed.append((place - 1, line))
    mixed.sort(key=lambda at: at[0])
    assert blocks(rules_of(name), [line for _, line in mixed], batch_lines) == blocks(rules_of(name), lines, 10)


# ------------------------------------------------------------------------------------------------ what it costs

SENT = load_text(SMALL_FILES["many"], "many.yaml")


def message(n: int, at_ms: int, number: int = 0, verified: str = "full") -> Line:
    told = {"message_id": f"m{n}", "at": MONDAY_0859_MS + at_ms, "sender": f"+8210{number:08d}"}
    told |= {"recipient": "+821099900001", "verified": verified}
    return Line(MESSAGE_RELAY, 0, n, MONDAY_0859_MS + at_ms, orjson.dumps(told))


def rows(engine: Engine) -> float:
    return engine.stats()["tracked_numbers"]


def test_only_a_number_with_both_kinds_of_records_has_two_rows() -> None:
    engine = engine_of(SENT)
    run(engine, [message(n, n, n % 50) for n in range(100)])
    assert rows(engine) == 50
    run(engine, [message(100 + n, 100 + n, 50 + n, "none") for n in range(10)])
    assert rows(engine) == 60, "a number that nobody ever vouches for has one as well"
    run(engine, [message(200, 200, 0, "none"), message(201, 201, 50)])
    assert rows(engine) == 62


def test_both_rows_are_given_back() -> None:
    engine = engine_of(SENT)
    run(engine, [message(2 * n + k, n, n, ("full", "none")[k]) for n in range(50) for k in (0, 1)])
    assert rows(engine) == 100
    # Of as many numbers as have sent before, and for more than an hour: only then is a step believed for good.
    later = [message(1000 + n, 3 * HOUR + n * 10_000, 90 + n // 2 % 80, ("full", "none")[n % 2]) for n in range(640)]
    run(engine, later, batch=1)
    assert rows(engine) == 160


def test_a_second_row_that_was_given_back_does_not_come_back_with_an_older_image() -> None:
    one, before = engine_of(SENT), [message(0, 0), message(1, 1, 0, "none")]
    run(one, before)
    images = {p: one.image(p, whole=True) for p in range(3)}
    later = [message(9, 3 * HOUR, 5, "none"), *(message(10 + n, 3 * HOUR + n, n % 30 + 1) for n in range(600))]
    ledger = run(one, later, batch=1)[1]
    assert rows(one) == 31
    ledger += run(one, [message(700 + n, 3 * HOUR + 700 + n) for n in range(2)])[1]
    for partition, pieces in images.items():
        pieces += one.image(partition, whole=False)
    other = loaded(SENT, images, ledger)
    assert_go_on_alike(one, other, [message(800, 3 * HOUR + 800, 0, "none"), message(801, 3 * HOUR + 801)])
