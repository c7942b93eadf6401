"""Records in the wrong partition are taken out and sent home, once: against the same in plain Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import check_texts
from rules.model import RuleSet
from schemas.numbers import normalise, published
from schemas.topics import CDR, DEAD_LETTERS, MESSAGE_RELAY, REKEYED
from streams.engine.engine import Engine
from streams.ingest.decode import DEAD_LETTER_WHOLE_BYTES, Decoded, Decoder
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import (
    NO_ORIGIN,
    ORIGINS_MAX,
    Headers,
    OutRecord,
    RawBatch,
    home_of,
    origin_of,
    partition_of_strays,
)
from streams.ingest.strays import sort_out, unwrap
from streams.kafka.partition import partition_of

AT_MS = 1_795_312_800_000
DECODERS = {topic: Decoder(topic, frozenset()) for topic in (CDR, MESSAGE_RELAY)}

IDENTITIES = [f"+82101111{i:04}" for i in range(12)] + [
    "010-2222-0001",
    "anonymous",
    "114",
    "sip:a@b",
    "발신번호표시제한",
]


def call(caller: str, i: int, event: str = "setup") -> dict[str, Any]:
    return {"call_id": f"c{i}", "event": event, "at": AT_MS + i, "caller": caller, "callee": "+82109999000"}


def complete(caller: str, i: int) -> dict[str, Any]:
    times = {"setup_at": AT_MS, "answer_at": AT_MS + 1, "release_at": AT_MS + 10_000, "at": AT_MS + 10_000}
    return call(caller, i, "complete") | times


def home(number: str, partitions: int) -> int | None:
    """Plain Python's answer; None for what is no number, which is at home everywhere."""
    key = normalise(number).key
    return partition_of(published(key).encode(), partitions) if key > 0 else None


def batch(records: list[tuple[int, Mapping[str, Any] | bytes]], topic: str = CDR) -> RawBatch:
    """records: (partition, record or value). Places in the epoch have gaps, as those of one topic of several have."""
    n = len(records)
    values = [json.dumps(each).encode() if isinstance(each, dict) else bytes(each) for _, each in records]  # type: ignore[arg-type]
    partition = np.array([partition for partition, _ in records], np.int32)
    return RawBatch(
        topic, np.arange(n) * 3 + 1, partition, np.arange(n) + 100, np.full(n, AT_MS) + np.arange(n), values
    )


def sorted_out(raw: RawBatch, partitions: int) -> Decoded:
    return sort_out(raw, DECODERS[raw.topic].decode(raw), partitions)


def fetched(strays: list[OutRecord], shift: int = 0, offset: int = 5000) -> RawBatch:
    """The records that the home partitions' owner fetches from `rekeyed`. shift: as if each had gone so many partitions
    too far."""
    n = len(strays)
    partition = np.array([(each.partition or 0) + shift for each in strays], np.int32)
    raw = RawBatch(REKEYED, np.arange(n), partition, np.arange(n) + offset, np.full(n, 7), [s.value for s in strays])
    raw.headers = [list(each.headers) for each in strays]
    return raw


events = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(IDENTITIES), st.sampled_from(["setup", "complete", "bad"]))
)


@settings(max_examples=200, deadline=None)
@given(events, st.integers(1, 7))
def test_whatever_lies_in_the_wrong_partition_leaves_and_everything_else_stays(
    drawn: list[tuple[int, str, str]], partitions: int
) -> None:
    drawn = [(partition % partitions, identity, kind) for partition, identity, kind in drawn]
    make = {"setup": call, "complete": complete, "bad": lambda identity, i: b"{}"}
    raw = batch([(partition, make[kind](identity, i)) for i, (partition, identity, kind) in enumerate(drawn)])
    got = sorted_out(raw, partitions)
    read = [(i, *each) for i, each in enumerate(drawn) if each[2] != "bad"]
    gone = [(i, p, identity) for i, p, identity, _ in read if home(identity, partitions) not in (p, None)]
    stayed = [i for i, p, identity, kind in read if home(identity, partitions) in (p, None)
              for _ in range(4 if kind == "complete" else 1)]  # fmt: skip
    assert got.columns["line"].tolist() == raw.order[stayed].tolist()
    assert {len(column) for column in got.columns.values()} == {len(stayed)}
    assert [(r.key, r.value, r.partition) for r in got.rekeyed] == [
        (published(normalise(identity).key).encode(), raw.values[i], home(identity, partitions))
        for i, _, identity in gone
    ]
    assert got.counts["rekeyed"] == len(gone)
    assert len(got.dead_letters) == sum(kind == "bad" for _, _, kind in drawn)
    assert all(identity not in str(got.counts) for identity in IDENTITIES)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 0), st.integers(0, 6))), st.integers(1, 7))
def test_a_withheld_caller_is_counted_where_it_arrives_under_a_key_of_that_partition(
    drawn: list[tuple[int, int]], partitions: int
) -> None:
    keys = np.array([key for key, _ in drawn], np.int64)
    arrived = np.array([p % partitions for _, p in drawn], np.int32)
    n = len(drawn)
    raw = RawBatch(CDR, np.arange(n), arrived, np.arange(n), np.zeros(n, np.int64), [b""] * n)
    decoded = Decoded(CDR, {"line": np.arange(n), "number": keys.copy(), "partition": arrived}, n - 1)
    got = sort_out(raw, decoded, partitions)
    kept = got.columns["number"].tolist()
    assert [abs(key) % partitions for key in kept] == arrived.tolist()
    assert all(key < 0 for key in kept if key), "never a key that could be taken for a number"
    assert all(kept[i] or not keys[i] for i in range(n)), "0 would be no identity at all"
    assert got.rekeyed == []
    again = sort_out(raw, got, partitions).columns["number"].tolist()
    assert again == kept


def test_one_identity_has_one_key_in_a_partition_and_others_in_others() -> None:
    raw = batch([(p, call("anonymous", i)) for i, p in enumerate([0, 1, 0, 1])])
    first, second, third, fourth = sorted_out(raw, 4).columns["number"].tolist()
    assert (first, second) == (third, fourth)
    assert first != second


def test_nothing_is_checked_while_the_partition_count_is_unknown() -> None:
    raw = batch([(p, call("+821011110001", p)) for p in range(4)])
    got = sorted_out(raw, 0)
    assert len(got) == 4
    assert got.rekeyed == []


def test_a_complete_record_is_one_stray_though_it_is_four_events() -> None:
    number, away = "+821011110001", (home("+821011110001", 4) or 0) + 1
    got = sorted_out(batch([(away % 4, complete(number, 0))]), 4)
    assert len(got) == 0
    (stray,) = got.rekeyed
    assert got.counts["rekeyed"] == 1
    assert dict(stray.headers) == {
        "grayline.origin.topic": b"cdr",
        "grayline.origin.partition": b"%d" % (away % 4),
        "grayline.origin.offset": b"100",
        "grayline.origin.timestamp": b"%d" % AT_MS,
    }


def test_a_stray_keeps_its_feed() -> None:
    number = "+821011110001"
    away = ((home(number, 4) or 0) + 1) % 4
    raw = batch([(away, call(number, 0) | {"carrier": "KT"}), (away, call(number, 1)), (away, call(number, 2))])
    raw.feeds = [b"switch-1", None, b"switch-2"]
    strays = sorted_out(raw, 4).rekeyed
    assert [dict(stray.headers).get("feed") for stray in strays] == [b"switch-1", None, b"switch-2"]
    raw.feeds = None
    strays += sorted_out(raw, 4).rekeyed
    (back,), _ = unwrap(fetched(strays), DECODERS, 4)
    codes = DECODERS[CDR].decode(back).columns["feed"].tolist()
    assert [DECODERS[CDR].feeds.name(code, CDR) for code in codes] == ["switch-1", CDR, "switch-2", "KT", CDR, CDR]


def test_a_stray_comes_home_as_a_record_of_its_own_topic_with_its_first_timestamp() -> None:
    number = "+821011110001"
    away = ((home(number, 4) or 0) + 1) % 4
    calls = sorted_out(batch([(away, complete(number, 0)), (away, call(number, 1))]), 4).rekeyed
    message = {"message_id": "m1", "at": AT_MS, "sender": "010-1111-0001", "recipient": "+821099990000"}
    messages = sorted_out(batch([(away, message)], MESSAGE_RELAY), 4).rekeyed
    raw = fetched([calls[0], *messages, calls[1]])
    batches, wrong = unwrap(raw, DECODERS, 4)
    assert (len(wrong), wrong.dead_letters) == (0, [])
    assert [each.topic for each in batches] == [CDR, MESSAGE_RELAY]
    back, sms = (sort_out(each, DECODERS[each.topic].decode(each), 4) for each in batches)
    assert back.columns["line"].tolist() == [0, 0, 0, 0, 2]
    assert sms.columns["line"].tolist() == [1]
    assert set(back.columns["partition"].tolist()) == {partition_of_strays(home(number, 4) or 0, away)}
    assert back.columns["timestamp"].tolist() == [AT_MS] * 4 + [AT_MS + 1]
    assert batches[0].offset.tolist() == [100, 101]
    direct = DECODERS[CDR].decode(batch([(home(number, 4) or 0, complete(number, 0))]))
    for name, column in direct.columns.items():
        if name not in ("line", "partition"):
            assert back.columns[name][:4].tolist() == column.tolist(), name


def test_a_stray_that_went_astray_again_is_a_dead_letter_that_names_its_first_place() -> None:
    number = "+821011110001"
    away = ((home(number, 4) or 0) + 1) % 4
    strays = sorted_out(batch([(away, call(number, 0))]), 4).rekeyed
    (raw,), _ = unwrap(fetched(strays, shift=4), DECODERS, 4)
    got = sorted_out(raw, 4)
    assert (len(got), got.rekeyed, got.counts["strayed_twice"]) == (0, [], 1)
    (letter,) = got.dead_letters
    told = dict(letter.headers)
    assert letter.topic == DEAD_LETTERS
    assert letter.value == strays[0].value
    assert told["__connect.errors.topic"] == b"cdr"
    assert told["__connect.errors.partition"] == b"%d" % away
    assert told["__connect.errors.offset"] == b"100"
    assert b"re-keyed once only" in told["__connect.errors.exception.message"]
    assert b"0001" not in told["__connect.errors.exception.message"]


def test_a_stray_too_large_to_be_sent_is_a_dead_letter() -> None:
    number = "+821011110001"
    away = ((home(number, 4) or 0) + 1) % 4
    small = json.dumps(call(number, 0) | {"unknown": ""}).encode()
    room = DEAD_LETTER_WHOLE_BYTES - len(small)
    records = [(away, call(number, 0) | {"unknown": "x" * size}) for size in (room, room + 1)]
    got = sorted_out(batch(records), 4)  # type: ignore[arg-type]
    assert [len(each.value or b"") for each in got.rekeyed] == [DEAD_LETTER_WHOLE_BYTES]
    assert got.counts["stray_too_large"] == 1
    assert dict(got.dead_letters[0].headers)["__connect.errors.offset"] == b"101"


RIGHT: Headers = [
    ("grayline.origin.topic", b"cdr"),
    ("grayline.origin.partition", b"1"),
    ("grayline.origin.offset", b"9"),
    ("grayline.origin.timestamp", b"-1"),
]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        RIGHT[1:],
        RIGHT[:3],
        [*RIGHT, RIGHT[0]],
        [("grayline.origin.topic", b"block-events"), *RIGHT[1:]],
        [("grayline.origin.topic", None), *RIGHT[1:]],
        [("grayline.origin.topic", b"cdr\xff"), *RIGHT[1:]],
        *([RIGHT[0], ("grayline.origin.partition", bad), *RIGHT[2:]] for bad in (b"4", b"-1", b"", b"x", b"1.0", None)),
        *(
            [*RIGHT[:2], ("grayline.origin.offset", bad), RIGHT[3]]
            for bad in (b"-1", b"9223372036854775808", b"9" * 99)
        ),
        *([*RIGHT[:3], ("grayline.origin.timestamp", bad)] for bad in (b"-2", b"--1", b"-", b"\xd9\xa1", b"1" * 20)),
    ],
    ids=str,
)
def test_damaged_headers_make_a_dead_letter_and_harm_no_neighbour(headers: Headers) -> None:
    value = json.dumps(call("+821011110001", 0)).encode()
    raw = fetched([OutRecord(REKEYED, b"k", value, partition=2)] * 3)
    raw.headers = [list(RIGHT), headers, list(RIGHT)]
    (batch_,), wrong = unwrap(raw, DECODERS, 4)
    assert batch_.order.tolist() == [0, 2]
    assert batch_.origin is not None
    assert batch_.origin.tolist() == [1, 1]
    (letter,) = wrong.dead_letters
    assert wrong.dead_lines == [1]
    assert wrong.counts["bad_headers"] == 1
    told = dict(letter.headers)
    assert (told["__connect.errors.topic"], told["__connect.errors.offset"]) == (b"rekeyed", b"5001")


def test_strays_of_a_topic_that_no_rule_reads_are_left_out() -> None:
    raw = fetched([OutRecord(REKEYED, b"k", b"{}", list(RIGHT), 0)])  # type: ignore[arg-type]
    batches, wrong = unwrap(raw, {MESSAGE_RELAY}, 4)
    assert batches == []
    assert wrong.dead_letters == []


RULES = """
counters:
  calls: {on: cdr.setup, per: caller, count: events, window: 1h}
rules:
  - {name: many, summary: many calls, limits: {most: {always: 3}}, when: calls > most,
     then: {block: [calls], directions: [outgoing], for: 1d}, spoofable: accepted, mode: enforce}
"""


def engine() -> Engine:
    ruleset, diagnostics = check_texts([("strays.yaml", RULES)])
    assert isinstance(ruleset, RuleSet), diagnostics
    made = Engine(ruleset)
    made.partitions = 4
    return made


def lagging(lag_ms: int) -> list[RawBatch]:
    """One number's calls, as they lie in `rekeyed`: four from a partition that is `lag_ms` behind between four from
    another one, in turn."""
    number = "+821011110001"
    here = home(number, 4) or 0
    records = [(here + 1 + i % 2 & 3, call(number, i) | {"at": AT_MS + i - (lag_ms if i % 2 else 0)}) for i in range(8)]
    gone = sorted_out(batch(records), 4).rekeyed
    return [fetched(gone[i : i + 2], offset=5000 + i) for i in range(0, 8, 2)]


@pytest.mark.parametrize("lag_ms", [0, 2 * 3_600_000, 20 * 86_400_000])
def test_strays_of_a_partition_that_lags_are_not_late_by_the_clock_of_anothers(lag_ms: int) -> None:
    counting = engine()
    verdicts: Counter[str] = Counter()
    for raw in lagging(lag_ms):
        verdicts.update(counting.step(decode_share(counting, raw)).feeds[CDR])
        counting.maintain()
    assert verdicts["accepted"] == 8
    clocks = sorted(counting.clocks().values())
    assert [clocks[-1] - clock for clock in clocks] == [lag_ms - 1 if lag_ms else 1, 0]


def test_each_origins_clock_and_memory_come_back_from_an_image() -> None:
    here = home("+821011110001", 4) or 0
    first, *rest = lagging(2 * 3_600_000)
    going, resumed = engine(), engine()
    going.step(decode_share(going, first))
    for piece in going.image(here, whole=True):
        resumed.load(here, piece)
    for raw in [first, *rest[:2]]:
        again = [each.step(decode_share(each, raw)).feeds[CDR] for each in (going, resumed)]
        assert again[0] == again[1]
        assert again[0]["duplicate" if raw is first else "accepted"] == 2
    for piece in going.image(here, whole=False):
        resumed.load(here, piece)
    assert resumed.digest(here) == going.digest(here)
    assert resumed.clocks() == going.clocks()


def test_a_partition_given_up_forgets_the_strays_of_every_origin() -> None:
    here = home("+821011110001", 4) or 0
    dropped = engine()
    for raw in lagging(1_000):
        dropped.step(decode_share(dropped, raw))
    dropped.drop(here)
    assert dropped.clocks() == {}
    assert dropped.digest(here) == engine().digest(here)


def test_an_epoch_sends_strays_home_before_its_other_outputs_and_counts_them_there() -> None:
    number = "+821011110001"
    here = home(number, 4) or 0
    first, second = engine(), engine()
    scattered = batch(
        [(p, call(number, i)) for i, p in enumerate([here, here + 1 & 3, here + 2 & 3, here + 3 & 3, here])]
    )
    outcome = first.step(decode_share(first, scattered))
    assert [record.topic for record in outcome.records] == [REKEYED] * 3
    assert outcome.feeds[CDR]["rekeyed"] == 3
    assert outcome.feeds[CDR]["accepted"] == 2
    raw = fetched([*outcome.records, OutRecord(REKEYED, None, b"?", partition=here)])
    home_again = first.step(decode_share(first, raw))
    assert home_again.feeds[CDR]["accepted"] == 3
    assert home_again.feeds[REKEYED]["bad_headers"] == 1
    # The number's last event came home late, and at that one the rule fired.
    topics = [record.topic for record in home_again.records]
    assert topics == [DEAD_LETTERS, "block-events", "block-history"]
    together = second.step(decode_share(second, batch([(here, call(number, i)) for i in (0, 4, 1, 2, 3)])))
    assert [(r.key, r.value) for r in together.records] == [(r.key, r.value) for r in home_again.records[1:]]


def test_the_partition_of_strays_tells_their_home_and_their_origin_and_fits_an_int32() -> None:
    homes, origins = np.meshgrid([0, 1, 7, ORIGINS_MAX - 1], [NO_ORIGIN, 0, 1, 300, ORIGINS_MAX - 1])
    counted_as = partition_of_strays(homes, origins)
    assert (home_of(counted_as) == homes).all()
    assert (origin_of(counted_as) == origins).all()
    assert (counted_as[origins == NO_ORIGIN] == homes[origins == NO_ORIGIN]).all()
    assert len(np.unique(counted_as)) == counted_as.size
    assert counted_as.max() <= np.iinfo(np.int32).max
    last = int(counted_as[-1, -1])
    assert (home_of(last), origin_of(last)) == (ORIGINS_MAX - 1, ORIGINS_MAX - 1)
