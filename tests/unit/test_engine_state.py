"""State of one partition: taken as an image, loaded elsewhere, dropped, kept under other rules."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load, load_text, packs
from rules.model import RuleSet
from schemas import topics
from streams.counting.chunk import FORMAT, fields_of
from streams.counting.image import ImageError
from streams.engine.engine import Engine
from streams.ingest.admission import Intake
from streams.ingest.decode import Decoded
from streams.ingest.epoch import NO_ORIGIN, OutRecord, RawBatch, partition_of_strays
from streams.kernels.partition import partition_of
from streams.traffic.generate import TrafficSettings, generate
from tests.reference.reference import Line
from tests.reference.rule_files import RULE_FILES
from tests.reference.small_traffic import MONDAY_0859_MS, traffic

PARTITIONS = 3
MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@lru_cache
def rules_of(name: str) -> RuleSet:
    return load([packs()]) if name == "packs" else load_text(RULE_FILES[name], f"{name}.yaml")


def engine_of(rules: RuleSet | str) -> Engine:
    engine = Engine(rules_of(rules) if isinstance(rules, str) else rules)
    engine.partitions = PARTITIONS
    return engine


def homes(numbers: np.ndarray) -> np.ndarray:
    out = np.empty(len(numbers), np.int32)
    partition_of(np.ascontiguousarray(numbers), PARTITIONS, out)
    return out


def decoded(engine: Engine, lines: list[Line], only: Iterable[int] = range(PARTITIONS)) -> list[Decoded]:
    """An epoch, each record on its number's partition: what the traffic put on its partition 1 came by `rekeyed`,
    from three."""
    out = []
    for topic in engine.topics:
        for by_way in (0, 1):
            mine = [(i, line) for i, line in enumerate(lines) if (line.topic, line.partition == 1) == (topic, by_way)]
            if not mine:
                continue
            n = len(mine)
            order = np.array([i for i, _ in mine], np.int64)
            timestamps = np.array([line.ts_ms for _, line in mine], np.int64)
            raw = RawBatch(topic, order, np.zeros(n, np.int32), order, timestamps, [line.value for _, line in mine])
            part = engine.decoders[topic].decode(raw)
            home = homes(part.columns["number"])
            origin = part.columns["timestamp"] % 3 if by_way else np.full_like(home, NO_ORIGIN)
            part.columns["partition"] = partition_of_strays(home, origin).astype(np.int32)
            keep = np.isin(home, list(only))
            part.columns = {name: column[keep] for name, column in part.columns.items()}
            out.append(part)
    return out


def run(
    engine: Engine, lines: list[Line], batch: int = 7, only: Iterable[int] = range(PARTITIONS)
) -> tuple[list[OutRecord], list[OutRecord]]:
    """(records, ledger rows) in order; where epochs end is given by `batch`."""
    records, ledger = [], []
    for start in range(0, len(lines), batch):
        outcome = engine.step(decoded(engine, lines[start : start + batch], only))
        records += outcome.records
        ledger += outcome.ledger
        engine.maintain()
    return records, ledger


def loaded(rules: RuleSet | str, images: dict[int, list[bytes]], ledger: list[OutRecord]) -> Engine:
    engine = engine_of(rules)
    for partition, pieces in images.items():
        for piece in pieces:
            engine.load(partition, piece)
    engine.load_ledger([(row.key, row.value) for row in ledger])
    return engine


def digests(engine: Engine) -> list[str]:
    return [engine.digest(partition) for partition in range(PARTITIONS)]


def assert_go_on_alike(one: Engine, other: Engine, lines: list[Line]) -> None:
    assert digests(one) == digests(other)
    assert run(one, lines) == run(other, lines)
    assert digests(one) == digests(other)


def generated(seed: int, minutes: int, rate: float) -> list[Line]:
    made = generate(TrafficSettings(seed=seed, duration_ms=minutes * MINUTE_MS, rate=rate, offenders_per_kind=1))
    return [Line(r.topic, i % 7 == 0, i, r.timestamp_ms, r.value) for i, r in enumerate(made)]


def cut(lines: list[Line], places: list[int]) -> list[list[Line]]:
    edges = [0, *sorted(place % (len(lines) + 1) for place in places), len(lines)]
    return [lines[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic(60), places=st.lists(st.integers(0, 60), min_size=2, max_size=4), wholes=st.integers(0, 15))
@settings(max_examples=8, deadline=None)
def test_an_engine_loaded_from_an_image_and_its_deltas_goes_on_like_the_one_they_are_of(name, lines, places, wholes):
    one, images, ledger = engine_of(name), {p: [] for p in range(PARTITIONS)}, []
    *parts, rest = cut(lines, places)
    for n, part in enumerate(parts):
        ledger += run(one, part)[1]
        for partition, pieces in images.items():
            pieces += one.image(partition, whole=bool(wholes >> n & 1))
    assert_go_on_alike(one, loaded(name, images, ledger), rest)


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic(60), places=st.lists(st.integers(0, 60), min_size=2, max_size=2))
@settings(max_examples=6, deadline=None)
def test_records_counted_silently_behind_an_image_make_the_state_that_they_made_live(name, lines, places):
    one = engine_of(name)
    first, second, rest = cut(lines, places)
    _, ledger = run(one, first)
    images = {p: one.image(p, whole=True) for p in range(PARTITIONS)}
    ledger += run(one, second)[1]
    other = loaded(name, images, ledger)
    for start in range(0, len(second), 4):
        other.count(decoded(other, second[start : start + 4]))
    assert_go_on_alike(one, other, rest)


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic(60), place=st.integers(0, 60), dropped=st.integers(0, PARTITIONS - 1))
@settings(max_examples=6, deadline=None)
def test_a_dropped_partition_leaves_the_others_alone_and_is_as_if_it_had_never_been(name, lines, place, dropped):
    one, never = engine_of(name), engine_of(name)
    others = [p for p in range(PARTITIONS) if p != dropped]
    first, rest = cut(lines, [place])
    run(one, first)
    run(never, first, only=others)
    before = digests(one)
    one.drop(dropped)
    assert [one.digest(p) for p in others] == [before[p] for p in others]
    assert digests(one) == digests(never)
    assert run(one, rest)[1] == run(never, rest)[1]
    assert digests(one) == digests(never)


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic(60))
@settings(max_examples=6, deadline=None)
def test_two_engines_with_some_partitions_each_are_one_with_all(name, lines):
    whole, left, right = engine_of(name), engine_of(name), engine_of(name)
    _, rows = run(whole, lines)
    _, rows_left = run(left, lines, only=[0, 2])
    _, rows_right = run(right, lines, only=[1])
    assert digests(whole) == [left.digest(0), right.digest(1), left.digest(2)]
    assert {r.key: r.value for r in rows} == {r.key: r.value for r in rows_left + rows_right}


def test_generated_traffic_under_the_shipped_rules_goes_on_alike_after_images_deltas_and_silent_counting():
    lines = generated(seed=5, minutes=12, rate=8)
    parts = cut(lines, [len(lines) * k // 6 for k in range(1, 6)])
    one, images, ledger = engine_of("packs"), {p: [] for p in range(PARTITIONS)}, []
    for part in parts[:4]:
        ledger += run(one, part, batch=200)[1]
        for partition, pieces in images.items():
            pieces += one.image(partition, whole=False)
    ledger += run(one, parts[4], batch=200)[1]
    assert len(ledger) > 3
    other = loaded("packs", images, ledger)
    assert digests(one) != digests(other)
    other.count(decoded(other, parts[4]))
    assert digests(one) == digests(other)
    assert run(one, parts[5], batch=200) == run(other, parts[5], batch=200)
    assert digests(one) == digests(other)
    assert one.stats()["tracked_numbers"] == other.stats()["tracked_numbers"] > 100


# ------------------------------------------------------------------------------------------------------- pieces


def message(n: int, sender: str = "+821011110001", **more: object) -> Line:
    told = {"message_id": f"m{n}", "at": MONDAY_0859_MS + n * 1000, "sender": sender, "recipient": "+821099900001"}
    return Line(topics.MESSAGE_RELAY, 0, n, -1, orjson.dumps(told | {"verified": "full"} | more))


def many(n: int, start: int = 0) -> list[Line]:
    return [message(k, f"+8210{k:08}") for k in range(start, start + n)]


def test_a_delta_holds_the_touched_numbers_alone_and_an_idle_partition_none():
    engine = engine_of("messages")
    lines = many(300)
    run(engine, lines, batch=300)
    for p in range(PARTITIONS):
        engine.image(p, whole=True)
    run(engine, lines[:1] + many(1, 300), batch=10)  # the first is a duplicate
    (touched,) = homes(np.array([821000000300])).tolist()
    for p in range(PARTITIONS):
        pieces = engine.image(p, whole=False)
        assert sum(engine.load(p, piece) for piece in pieces) == (p == touched)
        assert engine.image(p, whole=False) == []


def test_a_row_that_was_touched_and_reclaimed_is_not_in_the_delta():
    engine = engine_of("messages")
    _, ledger = run(engine, many(30), batch=30)
    images = {p: engine.image(p, whole=True) for p in range(PARTITIONS)}
    ledger += run(engine, [message(n, f"+8210{n % 30:08}") for n in range(30, 60)], batch=30)[1]
    # Of more numbers than there were, and for more than an hour: only then is a step believed for good.
    there_ms = MONDAY_0859_MS + 90 * 24 * HOUR_MS
    later = [message(n, f"+8210{100 + n % 60:08}", at=there_ms + n * 25_000) for n in range(61, 461)]
    ledger += run(engine, later, batch=30)[1]
    engine.maintain()  # the rest of the round
    assert engine.stats()["tracked_numbers"] == 60
    deltas = {p: engine.image(p, whole=False) for p in range(PARTITIONS)}
    assert sum(engine_of("messages").load(p, piece) for p in deltas for piece in deltas[p]) == 60
    other = loaded("messages", {p: images[p] + deltas[p] for p in images}, ledger)
    assert other.stats()["tracked_numbers"] == 90  # reclaimed rows come back, and nobody can tell
    assert_go_on_alike(engine, other, [message(80), message(81, "+821000000003"), *later[:3]])


def test_pieces_stay_below_half_a_megabyte_and_busy_rows_are_in_one_piece_with_their_slots():
    engine = engine_of("packs")
    lines = generated(seed=2, minutes=3, rate=5) + many(12_000)
    run(engine, lines, batch=5000)
    pieces = engine.image(0, whole=True)
    assert max(map(len, pieces)) <= 512 * 1024
    assert [fields_of(piece)["kind"] for piece in pieces[:2]] == ["start", "place"]
    assert len([piece for piece in pieces if fields_of(piece)["kind"] == "rows"]) > 2


def damaged(piece: bytes, how: str) -> bytes:
    if how == "cut short":
        return piece[:-1]
    if how == "another format":
        return piece.replace(b'"format":%d' % FORMAT, b'"format":9', 1)
    if how == "nothing":
        return b""
    place = {"header": 40, "middle": len(piece) // 2, "end": len(piece) - 1}[how]
    return piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1 :]


@pytest.mark.parametrize("how", ["cut short", "another format", "nothing", "header", "middle", "end"])
def test_a_damaged_piece_is_refused_and_changes_nothing(how):
    engine = engine_of("messages")
    run(engine, many(20))
    piece = engine.image(0, whole=True)[-1]
    other = engine_of("messages")
    before = other.digest(0)
    with pytest.raises(ImageError, match="format 9" if how == "another format" else "damaged|not a piece"):
        other.load(0, damaged(piece, how))
    assert other.digest(0) == before


def test_an_image_of_another_partition_or_partition_count_is_refused():
    engine = engine_of("messages")
    run(engine, many(20))
    piece = engine.image(1, whole=True)[-1]
    with pytest.raises(ImageError, match="partition 1 of 3, where partition 0 of 3"):
        engine_of("messages").load(0, piece)
    other = engine_of("messages")
    other.partitions = 4
    with pytest.raises(ImageError, match="of 3, where partition 1 of 4"):
        other.load(1, piece)


def test_without_a_partition_count_nothing_can_be_said_of_a_partition():
    with pytest.raises(ValueError, match="`partitions` is 0"):
        Engine(rules_of("messages")).image(0, whole=True)


def test_ids_that_the_journal_could_not_note_are_saved_whole(monkeypatch):
    monkeypatch.setattr("streams.ingest.memory._JOURNAL_MIN", 4)
    one = engine_of("messages")
    images, ledger = {p: [] for p in range(PARTITIONS)}, []
    lines = many(2500)
    for part in cut(lines, [400, 402, 2400]):
        ledger += run(one, part, batch=100)[1]
        for p, pieces in images.items():
            pieces += one.image(p, whole=False)
    kinds = [(fields["kind"], fields.get("whole")) for fields in map(fields_of, images[0])]
    assert [whole for kind, whole in kinds if kind == "place"] == [True, False, True, False]
    other = loaded("messages", images, ledger)
    assert digests(one) == digests(other)
    assert run(one, lines) == run(other, lines) == ([], [])


# ------------------------------------------------------------------------------------------- rules and warming

SENT = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
  recipients: {on: message-relay, per: sender, distinct: recipient, window: 10m}
rules:
  - name: many
    summary: messages
    when: sent >= 3 and recipients >= 1
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
"""
GRAY = "  gray: {on: message-relay, per: sender, gray: {short: 1m, long: 2m}}\n"
WITH_GRAY = SENT.replace("  recipients:", GRAY + "  again:").replace("recipients >=", "gray.long > 0.5 and again >=")


def evidence(records: list[OutRecord]) -> dict[str, dict[str, object]]:
    (event, *_) = [r for r in records if r.topic == topics.BLOCK_EVENTS]
    return {entry["counter"]: entry for entry in orjson.loads(event.value or b"")["hold"]["evidence"]}


def test_what_a_full_memory_forgets_for_a_duplicate_is_in_the_delta(monkeypatch):
    """The duplicate itself is not noted, and moves no clock."""
    monkeypatch.setattr("streams.counting.counts.Intake", partial(Intake, remembered_max=11))
    engine = engine_of("messages")
    lines = [message(n) for n in range(9)]
    _, ledger = run(engine, lines)
    images = {p: engine.image(p, whole=True) for p in range(PARTITIONS)}
    ledger += run(engine, lines[:1])[1]
    for p in range(PARTITIONS):
        images[p] += engine.image(p, whole=False)
    assert digests(loaded("messages", images, ledger)) == digests(engine)


def test_counters_that_stay_keep_what_they_counted_under_other_rules_and_new_ones_warm():
    engine = engine_of(load_text(SENT, "a.yaml"))
    run(engine, [message(0), message(1)])
    engine = engine.with_rules(load_text(WITH_GRAY, "b.yaml"))
    assert engine.warming() == 1
    told = evidence(run(engine, [message(2)])[0])
    assert (told["sent"]["value"], told["again"]["value"], round(told["gray.long"]["value"])) == (3, 1, 1)
    assert [name for name, entry in told.items() if "warming" in entry] == ["gray.long"]
    assert list(told["gray.long"])[-1] == "warming"
    # Eight long half-lives behind the first thing that it counted, as of the clock when the rules changed.
    run(engine, [message(16 * 60)])
    assert engine.warming() == 1
    run(engine, [message(16 * 60 + 1)])
    assert engine.warming() == 0


@pytest.mark.parametrize("name", RULE_FILES)
@given(lines=traffic(40), place=st.integers(0, 40))
@settings(max_examples=5, deadline=None)
def test_the_same_rules_again_change_nothing(name, lines, place):
    one, other = engine_of(name), engine_of(name)
    first, rest = cut(lines, [place])
    assert run(one, first) == run(other, first)
    other = other.with_rules(rules_of(name))
    assert other.warming() == 0
    assert_go_on_alike(one, other, rest)


def test_rows_of_a_topic_that_no_rule_counts_any_more_are_no_state():
    """Whoever restores the partition under the new rules has none of them."""
    about_calls = SENT.replace("message-relay", "cdr.setup").replace("sender", "caller")
    calls = load_text(about_calls.replace("distinct: recipient", "distinct: callee"), "calls.yaml")
    one, other = (
        Engine(rules, also={topics.MESSAGE_RELAY, topics.CDR}) for rules in (load_text(SENT, "a.yaml"), calls)
    )
    for engine in (one, other):
        engine.partitions = PARTITIONS
        run(engine, many(5))
    assert digests(one) != digests(other)
    assert digests(one.with_rules(calls)) == digests(other)


@given(lines=traffic(60), places=st.lists(st.integers(0, 60), min_size=2, max_size=2))
@settings(max_examples=6, deadline=None)
def test_an_image_behind_a_change_of_rules_is_whole_and_loads_alike(lines, places):
    one = engine_of("messages")
    first, second, rest = cut(lines, places)
    _, ledger = run(one, first)
    images = {p: one.image(p, whole=True) for p in range(PARTITIONS)}
    one = one.with_rules(rules_of("both"))
    assert one.image_must_be_whole(0)
    ledger += run(one, second)[1]
    for p, pieces in images.items():
        pieces += one.image(p, whole=False)
    other = loaded("both", images, ledger)
    assert other.warming() == one.warming()
    assert_go_on_alike(one, other, rest)


def test_a_counter_that_the_image_lacks_warms_from_the_image_on():
    one = engine_of(load_text(SENT, "a.yaml"))
    run(one, [message(0), message(1)])
    images = {p: one.image(p, whole=True) for p in range(PARTITIONS)}
    other = loaded(load_text(WITH_GRAY, "b.yaml"), images, [])
    assert other.warming() == 1
    assert all(other.image_must_be_whole(int(p)) for p in homes(np.array([821011110001])))
    told = evidence(run(other, [message(2)])[0])
    assert [name for name, entry in told.items() if "warming" in entry] == ["gray.long"]
    assert told["sent"]["value"] == 3


def test_a_place_without_its_logs_beginning_warms_until_its_clock_is_the_reach_behind_the_first_event():
    rules = load_text(SENT, "a.yaml")
    (home,) = homes(np.array([821011110001])).tolist()
    whole, part = engine_of(rules), engine_of(rules)
    whole.begin(home, topics.MESSAGE_RELAY, complete=True)
    part.begin(home, topics.MESSAGE_RELAY, complete=False)
    assert (whole.warming(), part.warming()) == (0, 2)
    lines = [message(n) for n in range(3)]
    assert not any("warming" in entry for entry in evidence(run(whole, lines)[0]).values())
    told = evidence(run(part, lines)[0])
    assert all(entry["warming"] is True for entry in told.values())
    # An image carries it along.
    other = loaded(rules, {home: part.image(home, whole=True)}, [])
    for engine in (part, other):
        assert engine.warming() == 2
        run(engine, [message(n) for n in (59,)])
        assert engine.warming() == 2
        run(engine, [message(n) for n in (60,)])
        assert engine.warming() == 1
        run(engine, [message(n) for n in (599,)])
        assert engine.warming() == 1
        run(engine, [message(n) for n in (600,)])
        assert engine.warming() == 0


def test_readings_tell_each_number_with_its_counters_by_name():
    engine = engine_of(load_text(SENT, "a.yaml"))
    run(engine, [message(0), message(1), message(2, "+821000000001")])
    told = {}
    for p in range(PARTITIONS):
        for topic, numbers, newest, readings in engine.readings(p):
            assert topic == topics.MESSAGE_RELAY
            for i, number in enumerate(numbers.tolist()):
                told[number] = (int(newest[i]) - MONDAY_0859_MS, {name: float(c[i]) for name, c in readings.items()})
    assert told == {
        821011110001: (1000, {"sent": 2.0, "recipients": 1.0}),
        821000000001: (2000, {"sent": 1.0, "recipients": 1.0}),
    }
