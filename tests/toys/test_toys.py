"""A topic and a kind of counter that nobody has thought of are registered from here, and nothing else is changed: rule
files speak of them, records are decoded and counted, numbers blocked, images kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rules.load import check_texts, load_text, render
from schemas import topics
from schemas.feeds import FEEDS
from schemas.numbers import published
from streams.captures.pseudonyms import Pseudonyms
from streams.cli import command
from streams.counting.table import ALL
from streams.engine.engine import Engine, Outcome
from streams.engine.warm import warm
from streams.engine.warm_records import records
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import OutRecord, RawBatch
from streams.kernels.partition import partition_of
from tests.toys.pings import PINGS

RULES = (Path(__file__).parent / "rules.yaml").read_text(encoding="utf-8")
AT_MS = 1_795_312_800_000
PARTITIONS = 3
PINGER, WRITER, HONEST, FORGED = 821011110001, 821011110002, 821011110003, 821011110004


def ping(n: int, number: int, at_s: int, **more: Any) -> dict[str, Any]:
    told = {"ping_id": f"p{n}", "at": AT_MS + 1000 * at_s, "number": published(number), "probe": f"+82109999{n:04d}"}
    return told | {"origin": "domestic", "verified": "full", "strength": "strong"} | more


def message(n: int, sender: int, at_s: int) -> dict[str, Any]:
    told = {"message_id": f"m{n}", "at": AT_MS + 1000 * at_s, "sender": published(sender)}
    return told | {"recipient": f"+82108888{n:04d}", "origin": "domestic", "verified": "full"}


def traffic() -> list[tuple[str, dict[str, Any]]]:
    """In order: who pings without a pause, who pings and writes, who pauses, and whom somebody pretends to be."""
    out: list[tuple[int, str, dict[str, Any]]] = []
    for i in range(5):
        out.append((10 * i, PINGS, ping(i, PINGER, 10 * i)))
        out.append((31 * i, PINGS, ping(100 + i, HONEST, 31 * i)))
        out.append((10 * i, PINGS, ping(200 + i, FORGED, 10 * i, verified="none")))
        out.append((40 * i, PINGS, ping(300 + i, WRITER, 40 * i, site="s1", strength="weak")))
        out.append((40 * i, "message-relay", message(i, WRITER, 40 * i)))
    return [(topic, record) for _, topic, record in sorted(out, key=lambda told: told[0])]


def home(number: str) -> int:
    out = np.empty(1, np.int32)
    partition_of(np.array([int(number)]), PARTITIONS, out)
    return int(out[0])


def epoch(engine: Engine, lines: Sequence[tuple[int, tuple[str, dict[str, Any]]]], stray: bool = False) -> Outcome:
    decoded = []
    for topic in engine.topics:
        mine = [(i, record) for i, (of, record) in lines if of == topic]
        if mine:
            order = np.array([i for i, _ in mine])
            number = FEEDS[topic].number
            at = np.array([(home(record[number]) + stray) % PARTITIONS for _, record in mine], np.int32)
            times = np.array([record["at"] for _, record in mine])
            values = [json.dumps(record).encode() for _, record in mine]
            decoded += decode_share(engine, RawBatch(topic, order, at, order, times, values))
    return engine.step(decoded)


def engine_of(rules: str = RULES) -> Engine:
    engine = Engine(load_text(rules))
    engine.partitions = PARTITIONS
    return engine


def blocked(records: Iterable[OutRecord], topic: str = topics.BLOCK_EVENTS) -> set[tuple[int, str]]:
    """(number, rule)"""
    told = [json.loads(record.value or b"") for record in records if record.topic == topic]
    return {(int(event["number"]), event["hold"]["rule"]) for event in told}


EXPECTED = {(PINGER, "pinger"), (WRITER, "pings-and-writes")}


def test_a_rule_on_both_is_read_and_mistakes_about_them_are_told_with_the_choices_there_are() -> None:
    ruleset, diagnostics = check_texts([("rules.yaml", RULES)])
    assert ruleset is not None
    assert diagnostics == []
    assert ruleset.topics == ("message-relay", PINGS)
    wrong = RULES.replace("of: site", "of: sight").replace('"strong"', '"loud"').replace("streak: 30s", "streak: 30 s")
    ruleset, diagnostics = check_texts([("rules.yaml", wrong)])
    said = "\n".join(map(render, diagnostics))
    assert ruleset is None
    assert "`sight` is not a valid field to look for" in said
    assert "probe, site" in said
    assert "weak, strong" in said
    assert "the pause" in said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{on: pings, per: sender, streak: 30s}", "`sender` is not a key of pings"),
        ("{on: pings, per: number}", "does not say what it measures"),
        ("{on: pings, per: number, streak: 30s, window: 1m}", "`window` has no meaning for `streak: 30s`"),
        ("{on: cdr.setup, per: caller, streak: 30s, of: site}", "`site` is not a valid field to look for"),
        ("{on: pings, per: number, sum: duration, window: 1h}", "`duration` is known only when a call has ended"),
        ("{on: pings, per: number, count: concurrent, max_age: 1h}", "simultaneous calls are counted from set-up"),
    ],
)
def test_what_does_not_fit_the_topic_or_the_kind_is_an_error_in_words(wrong: str, said: str) -> None:
    text = f"counters:\n  odd: {wrong}\n" + RULES.partition("counters:\n")[2]
    ruleset, diagnostics = check_texts([("rules.yaml", text)])
    assert ruleset is None
    assert said in "\n".join(map(render, diagnostics))


def test_limits_beyond_what_the_kind_is_exact_to_are_warned_of() -> None:
    _, diagnostics = check_texts([("rules.yaml", RULES.replace("most: 4", "most: 4000"))])
    assert "`streak` is exact up to 1000 and beyond that not to be believed" in render(diagnostics[0])


@pytest.mark.parametrize("size", [1, 7, 100])
def test_numbers_are_blocked_by_what_the_records_show_wherever_epochs_end(size: int) -> None:
    engine, lines, out = engine_of(), list(enumerate(traffic())), []
    for start in range(0, len(lines), size):
        out += epoch(engine, lines[start : start + size]).records
        engine.maintain()
    assert blocked(out) == EXPECTED
    assert blocked(out, topics.REVIEW_QUEUE) == {(FORGED, "pinger")}  # nobody vouches for it
    (event,) = [
        json.loads(r.value or b"") for r in out if r.topic == topics.BLOCK_EVENTS and b"pinger" in (r.value or b"")
    ]
    assert {told["counter"]: (told["value"], told["window"]) for told in event["hold"]["evidence"]} == {
        "streak": (4, "30s"), "probes": (4, "1h"),
    }  # fmt: skip


def test_strays_of_the_topic_come_home_and_count() -> None:
    engine = engine_of()
    away = epoch(engine, list(enumerate(traffic())), stray=True)
    assert blocked(away.records) == set()
    strays = [record for record in away.records if record.topic == topics.REKEYED]
    assert len(strays) == len(traffic())
    order = np.arange(len(strays))
    at = np.array([record.partition for record in strays], np.int32)
    times = np.full(len(strays), AT_MS)
    headers = [list(record.headers) for record in strays]
    raw = RawBatch(topics.REKEYED, order, at, order, times, [r.value for r in strays], headers=headers)
    assert blocked(engine.step(decode_share(engine, raw)).records) == EXPECTED


def test_an_image_taken_half_way_and_loaded_elsewhere_goes_on_as_if_nothing_had_been() -> None:
    lines = list(enumerate(traffic()))
    whole, restored = engine_of(), engine_of()
    before = epoch(whole, lines[:11])
    for partition in range(PARTITIONS):
        for piece in whole.image(partition, whole=True):
            restored.load(partition, piece)
        restored.load_ledger([(r.key or b"", r.value) for r in before.ledger])
        assert restored.digest(partition) == whole.digest(partition)
        for told, same in zip(whole.readings(partition, ALL), restored.readings(partition, ALL), strict=True):
            assert told[0] == same[0]
            for name, column in told[3].items():
                np.testing.assert_array_equal(column, same[3][name])
    assert epoch(restored, lines[11:]).records == epoch(whole, lines[11:]).records


def test_a_counter_of_the_kind_keeps_what_it_has_when_other_rules_come_and_goes_when_it_changes() -> None:
    lines = list(enumerate(traffic()))
    for changed, expected in ((RULES.replace("most: 4", "most: 5"), {(PINGER, "pinger")}),
                              (RULES.replace("streak: 30s", "streak: 29s"), set())):  # fmt: skip
        engine = engine_of()
        epoch(engine, [line for line in lines if line[1][1]["at"] < AT_MS + 30_000])
        engine = engine.with_rules(load_text(changed))
        later = epoch(engine, [line for line in lines if line[1][1]["at"] >= AT_MS + 30_000])
        assert blocked(later.records) & {(PINGER, "pinger")} == expected


def test_a_worker_can_warm_up_for_both() -> None:
    warm(load_text(RULES))


def test_replay_rules_check_and_records_check_know_the_topic(tmp_path: Path) -> None:
    rules, capture, bad = tmp_path / "rules.yaml", tmp_path / "day.jsonl", tmp_path / "bad.jsonl"
    rules.write_text(RULES, encoding="utf-8")
    lines = [
        {"topic": topic, "partition": 0, "offset": i, "ts": record["at"], "key": None, "payload": json.dumps(record)}
        for i, (topic, record) in enumerate([*traffic(), (PINGS, {"ping_id": "p", "at": 1})])
    ]
    capture.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    run = CliRunner().invoke
    done = run(command, ["rules", "check", str(rules)])
    assert done.exit_code == 0, done.output
    done = run(command, ["replay", "--rules", str(rules), "--dead-letters", str(bad), str(capture)])
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(int(event["number"]), event["hold"]["rule"]) for event in events} == EXPECTED
    assert "bad_time" in bad.read_text(encoding="utf-8")
    done = run(command, ["records", "check", "--json", str(capture)])
    told = json.loads(done.stdout)
    assert PINGS in json.dumps(told)


def test_a_recording_of_the_topic_has_pseudonyms_for_numbers_and_ids_and_keeps_choices() -> None:
    record = ping(1, PINGER, 0, site="s1")
    told = json.loads(Pseudonyms(b"k" * 32).value(PINGS, json.dumps(record).encode()) or b"")
    assert told.keys() == record.keys()
    assert {name for name in record if told[name] != record[name]} == {"ping_id", "number", "probe", "site"}


def test_warm_up_records_of_the_topic_are_records_of_it() -> None:
    engine = engine_of()
    values = list(records(FEEDS[PINGS], AT_MS, 30))
    order = np.arange(len(values))
    raw = RawBatch(PINGS, order, np.zeros(len(values), np.int32), order, np.full(len(values), AT_MS), values)
    (decoded,) = decode_share(engine, raw)
    assert len(decoded.dead_letters) == 1
