"""Too many new blocks at once go to review: when, for which scope, until when, whatever the batches and restarts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CDR, LEDGER, MESSAGE_RELAY, REVIEW_QUEUE, TRAPS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.holds.breaker import MINUTE_MS, WAITING_MAX, Breaker, BreakerRowError, Trip
from streams.ingest.epoch import OutRecord, partition_of_strays

T_MS = 1_794_798_000_000
M = T_MS // MINUTE_MS
PLACE = (CDR, 0)
RULES = """
counters:
  sent:   {on: message-relay, per: sender, count: events, window: 1m}
  called: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - name: texts
    summary: texts
    when: sent >= 1
    then: {block: [messages], directions: [outgoing], for: 2h}
    mode: enforce
    spoofable: accepted
  - name: calls
    summary: calls
    when: called >= 1
    then: {block: [calls], directions: [outgoing], for: 2h}
    mode: enforce
    spoofable: accepted
"""


def asked(
    breaker: Breaker,
    minute: int,
    count: int,
    rule: str = "calls",
    first: int = 0,
    place: Any = PLACE,
    spoofable: bool = False,
) -> str:
    """The answers for so many different numbers: `.` may open, else the scope's first letter."""
    answers = (breaker.ask(place, minute, rule, 821000000000 + n, spoofable) for n in range(first, first + count))
    return "".join(answer.partition(":")[2][:1] or "." for answer in answers)


# ------------------------------------------------------------------------------------------------------- the limits


def test_a_rule_is_let_through_up_to_its_limit_and_the_rest_of_the_minute_goes_to_review() -> None:
    assert asked(Breaker(3), M, 5) == "...rr"


def test_a_scope_holds_back_the_whole_next_minute_and_closes_behind_one_in_which_few_ask() -> None:
    breaker = Breaker(3)
    assert asked(breaker, M, 4) == "...r"
    assert asked(breaker, M + 1, 3, first=10) == "rrr"
    assert asked(breaker, M + 2, 3, first=20) == "..."


def test_a_flood_that_goes_on_is_held_back_as_long_as_it_lasts() -> None:
    breaker = Breaker(3)
    asked(breaker, M, 4)
    for minute in range(M + 1, M + 90):
        assert asked(breaker, minute, 10, first=100) == "r" * 10
    assert asked(breaker, M + 90, 1) == "r"
    assert asked(breaker, M + 91, 1) == "."


def test_one_number_that_fires_without_end_asks_once_a_minute() -> None:
    breaker = Breaker(3)
    asked(breaker, M, 4)
    assert {breaker.ask(PLACE, M + 1, "calls", 821000000003) for _ in range(50)} == {"breaker:rule"}
    assert asked(breaker, M + 2, 1, first=3) == "."


def test_after_a_silent_minute_nothing_is_held_back() -> None:
    breaker = Breaker(3)
    asked(breaker, M, 4)
    assert asked(breaker, M + 2, 3, first=10) == "..."


def test_ten_times_the_mean_of_the_hour_before_is_let_through() -> None:
    breaker = Breaker(2, 10.0)
    for minute in range(60):
        assert asked(breaker, M + minute, 2, first=10 * minute) == ".."
    assert asked(breaker, M + 60, 21, first=1000) == "." * 20 + "r"
    assert asked(Breaker(2, 0.0), M + 60, 3) == "..r", "without that hour only the fixed number counts"


def test_what_was_held_back_does_not_raise_the_mean() -> None:
    breaker = Breaker(2, 10.0)
    for minute in range(60):
        asked(breaker, M + minute, 50, first=100)
    assert asked(breaker, M + 62, 50, first=500).count(".") == 2


def test_a_rule_that_runs_wild_leaves_the_others_alone() -> None:
    breaker = Breaker(3)
    assert asked(breaker, M, 50, rule="wild") == "..." + "r" * 47
    assert asked(breaker, M, 3, rule="calm") == "..."


def test_a_feed_in_which_every_rule_fires_is_held_back_for_all_of_them() -> None:
    breaker = Breaker(3)
    answers = [asked(breaker, M, 3, rule=f"rule-{n}") for n in range(3)]
    assert answers == ["...", "...", "fff"]
    assert asked(breaker, M, 1, place=(MESSAGE_RELAY, 0)) == ".", "the other feed goes on"


def test_all_feeds_of_a_partition_have_a_limit_together() -> None:
    breaker = Breaker(3)
    for rule in ("a", "b"):
        assert asked(breaker, M, 3, rule=rule) == "..."
    assert asked(breaker, M, 3, rule="c", place=(MESSAGE_RELAY, 0)) == "..."
    assert asked(breaker, M, 1, rule="d", place=(MESSAGE_RELAY, 0)) == "t"
    strays = MESSAGE_RELAY, partition_of_strays(0, 0)
    assert asked(breaker, M, 1, rule="d", place=strays) == "t", "strays belong to it too"
    assert asked(breaker, M, 1, rule="d", place=(MESSAGE_RELAY, 1)) == ".", "partitions count for themselves"


def test_openings_on_spoofable_evidence_are_counted_apart_from_all_others() -> None:
    breaker = Breaker(3)
    for n in range(2):
        answers = asked(breaker, M, WAITING_MAX, rule=f"abroad-{n}", spoofable=True)
        assert answers == "..." + "r" * (WAITING_MAX - 3)
    assert asked(breaker, M, 3, rule="abroad-2", spoofable=True) == "sss", "although no more can be remembered"
    assert breaker.ask((MESSAGE_RELAY, 0), M, "abroad-0", 1, True) == "", "the total has room for three more"
    assert asked(breaker, M, 4) == "...r", "nothing of it is held against vouched-for evidence"
    assert breaker.trips() == [
        Trip("rule", "abroad-0", 0, 3),
        Trip("rule", "abroad-1", 0, 3),
        Trip("spoofable-feed", CDR, 0, 6),
        Trip("rule", "calls", 0, 3),
    ]
    assert breaker.open({PLACE: M * MINUTE_MS})[("spoofable-feed", CDR)] == 1
    assert breaker.ask(PLACE, M, "abroad-3", 2, True) == "breaker:spoofable-feed"


def test_more_than_can_be_remembered_still_holds_back() -> None:
    breaker = Breaker(WAITING_MAX + 500)
    asked(breaker, M, WAITING_MAX + 501)
    assert set(asked(breaker, M + 1, WAITING_MAX + 100, first=10_000)) == {"r"}
    assert asked(breaker, M + 2, 1, first=20_000) == "r"


def test_who_waits_beyond_what_can_be_remembered_changes_nothing_by_asking_again() -> None:
    """A breaker that is asked more or less often, depending on where epochs end."""
    found = []
    for times in (1, 20):
        breaker = Breaker(10)
        for n in range(WAITING_MAX + 50):  # ten numbers a rule, none beyond a rule's limit, but far beyond the feed's
            for _ in range(times):
                if not breaker.ask(PLACE, M, f"rule-{n // 10}", n):
                    break
        found.append((breaker.row(0), [str(trip) for trip in breaker.trips()], asked(breaker, M + 1, 1, first=9_000)))
    assert found[0] == found[1]


def test_each_trip_is_told_once_and_shown_while_it_lasts() -> None:
    breaker = Breaker(3)
    for minute in range(3):
        asked(breaker, M + minute, 10, first=10 * minute)
    assert breaker.trips() == [Trip("rule", "calls", 0, 3)]
    assert breaker.trips() == []
    assert breaker.open({PLACE: (M + 3) * MINUTE_MS}) == {("rule", "calls"): 1}
    assert breaker.open({PLACE: (M + 4) * MINUTE_MS}) == {}, "the clock closes it, were nobody to ask any more"
    assert "rule calls of partition 0 asked for more than 3" in str(Trip("rule", "calls", 0, 3))


def test_without_a_limit_nothing_is_held_back_unless_paused() -> None:
    breaker = Breaker()
    assert breaker.is_idle
    breaker.paused = True
    assert not breaker.is_idle
    assert breaker.ask(PLACE, M, "calls", 1) == "paused"
    assert breaker.changed_rows() == []


# ------------------------------------------------------------------------------------------------- across restarts

QUESTIONS = st.lists(
    st.tuples(
        st.sampled_from([PLACE, (MESSAGE_RELAY, 0), (CDR, partition_of_strays(0, 0))]),
        st.integers(0, 2),  # minutes on
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 9),
        st.booleans(),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(questions=QUESTIONS, cut=st.integers(0, 60))
def test_a_restored_partition_gives_the_same_answers(questions: list[Any], cut: int) -> None:
    one, other, minutes = Breaker(2, 1.5), Breaker(2, 1.5), Counter[Any]()
    for i, (place, on, rule, number, spoofable) in enumerate(questions):
        if i == cut:
            other.load(0, one.row(0))
        minutes[place] += on
        answer = one.ask(place, M + minutes[place], rule, number, spoofable)
        if i >= cut:
            assert other.ask(place, M + minutes[place], rule, number, spoofable) == answer
    if cut < len(questions):
        assert one.row(0) == other.row(0)


def test_only_partitions_that_changed_are_written_and_a_dropped_one_is_forgotten() -> None:
    breaker = Breaker(3)
    asked(breaker, M, 1, place=(CDR, 2))
    asked(breaker, M, 1, place=(CDR, partition_of_strays(1, 0)))
    assert [partition for partition, _ in breaker.changed_rows()] == [1, 2]
    assert breaker.changed_rows() == []
    breaker.drop(1)
    assert breaker.row(1) is None
    assert breaker.row(2) is not None


@pytest.mark.parametrize(
    ("row", "says"),
    [(b"{", "cannot be read"), (b'{"format":9,"feeds":[]}', "has format 9, and this version reads formats up")],
)
def test_a_row_that_cannot_be_read_is_refused_and_the_partition_begins_anew(row: bytes, says: str) -> None:
    breaker = Breaker(3)
    asked(breaker, M, 4)
    with pytest.raises(BreakerRowError, match=says):
        breaker.load(0, row)
    assert breaker.row(0) is None


def test_a_row_that_counts_all_openings_together_is_read() -> None:
    breaker, other = Breaker(3), Breaker(3)
    asked(breaker, M, 4)
    row = breaker.row(0)
    assert row is not None
    old = row.replace(b'"format":2', b'"format":1').replace(b',"spoofable":false', b"")
    assert old != row
    other.load(0, old)
    assert other.row(0) == row


# ------------------------------------------------------------------------------------------------------ the engine


def line(topic: str, n: int, at: int, number: int, partition: int = 0) -> bytes:
    who = f"+82100000{number:04d}"
    if topic == CDR:
        value = {"call_id": f"c{n}", "event": "setup", "at": at, "caller": who, "callee": "+821099990000"}
    else:
        value = {"message_id": f"m{n}", "at": at, "sender": who, "recipient": "+821099990000"}
    told = {"topic": topic, "partition": partition, "offset": n, "ts": at, "payload": json.dumps(value)}
    return json.dumps(told).encode()


def replayed(lines: list[bytes], batch: int, breaker: Breaker) -> list[OutRecord]:
    out: list[OutRecord] = []
    Replay(Engine(load_text(RULES), breaker=breaker), out.append, batch).run(lines, "day")
    return out


TRAFFIC = st.lists(
    st.tuples(
        st.sampled_from([CDR, MESSAGE_RELAY]), st.sampled_from([0, 0, 1, 20_000, 61_000, -100_000, 7_000_000]),
        st.integers(0, 12), st.sampled_from([0, 0, 1]),
    ),
    min_size=10, max_size=80,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(traffic=TRAFFIC, batch=st.integers(2, 50), paused=st.booleans())
def test_where_epochs_end_changes_neither_blocks_nor_reviews(traffic: list[Any], batch: int, paused: bool) -> None:
    """Nor what the breaker remembers, also where one number comes by several feeds."""
    at, lines = T_MS, []
    for n, (topic, on, number, partition) in enumerate(traffic):
        at = max(T_MS, at + on)
        lines.append(line(topic, n, at, number, partition))
    by_batch = []
    for size in (1, batch, 1000):
        breaker = Breaker(2, 1.0)
        breaker.paused = paused
        by_batch.append((replayed(lines, size, breaker), breaker.row(0), breaker.row(1)))
    assert by_batch[0] == by_batch[1] == by_batch[2]


def test_a_held_back_firing_opens_a_review_that_says_why_and_blocks_once_the_breaker_has_closed() -> None:
    flood = [line(CDR, n, T_MS + n, n) for n in range(5)]
    later = [line(CDR, 10, T_MS + 3 * MINUTE_MS, 4)]
    out = replayed(flood + later, 1000, Breaker(3))
    blocks = [json.loads(r.value or b"") for r in out if r.topic == BLOCK_EVENTS]
    reviews = [json.loads(r.value or b"") for r in out if r.topic == REVIEW_QUEUE]
    assert [b["number"][-1] for b in blocks] == ["0", "1", "2", "4"]
    assert [(r["number"][-1], r["hold"]["diverted"]) for r in reviews] == [("3", "breaker:rule"), ("4", "breaker:rule")]
    assert all("diverted" not in b["hold"] for b in blocks)


def test_extensions_and_expiries_go_on_while_paused() -> None:
    breaker = Breaker()
    engine = Engine(load_text(RULES), breaker=breaker)
    out: list[OutRecord] = []
    replay = Replay(engine, out.append)
    replay.run([line(CDR, 0, T_MS, 0)], "before")
    breaker.paused = True
    hour = 3_600_000
    replay.run([line(CDR, 1, T_MS + hour, 0), line(CDR, 2, T_MS + hour, 1)], "while")
    out += engine.expire(T_MS + 4 * hour).records
    changes = [(r.topic, json.loads(r.value or b"")["change"]) for r in out if r.topic != BLOCK_HISTORY]
    assert changes == [
        (BLOCK_EVENTS, "opened"), (BLOCK_EVENTS, "extended"), (REVIEW_QUEUE, "opened"),
        (BLOCK_EVENTS, "expired"), (REVIEW_QUEUE, "unreviewed"),
    ]  # fmt: skip


def test_other_rules_keep_the_breakers_state() -> None:
    engine = Engine(load_text(RULES), breaker=Breaker(3))
    engine.partitions = 1
    asked(engine.breaker, M, 4)
    assert asked(engine.with_rules(load_text(RULES)).breaker, M, 1, first=9) == "r"


def test_a_review_that_was_diverted_keeps_saying_why_in_the_ledger() -> None:
    breaker = Breaker()
    breaker.paused = True
    engine = Engine(load_text(RULES), breaker=breaker)
    out: list[OutRecord] = []
    engine.partitions = 1
    replay = Replay(engine, out.append)
    replay.run([line(CDR, 0, T_MS, 0)], "day")
    row = engine.ledger.row(821000000000)
    assert row is not None
    other = Engine(load_text(RULES))
    other.partitions = 1
    other.load_ledger([(b"+821000000000", row)])
    (hold,) = [json.loads(r.value or b"")["hold"] for r in other.expire(T_MS + 7_200_000).records]
    assert hold["diverted"] == "paused"
    assert LEDGER not in {r.topic for r in out}


def test_records_that_are_only_read_do_not_shift_the_feeds_that_ask() -> None:
    trap = {"at": T_MS, "sender": "+821000000001", "trap": "+82260000001", "depth": "record"}
    told = {"topic": TRAPS, "partition": 0, "offset": 0, "ts": T_MS, "payload": json.dumps(trap)}
    breaker = Breaker(1)
    engine = Engine(load_text(RULES), also=(TRAPS,), breaker=breaker)
    Replay(engine, lambda record: None).run([json.dumps(told).encode(), line(MESSAGE_RELAY, 1, T_MS, 1)], "day")
    row = json.loads(breaker.row(0) or b"")
    assert [feed["topic"] for feed in row["feeds"]] == [MESSAGE_RELAY]


def test_a_clock_that_was_ahead_and_goes_back_leaves_no_minute_that_never_ends() -> None:
    breaker = Breaker(2)
    month = 30 * 24 * 60
    assert asked(breaker, M + month, 4) == "..rr"
    assert asked(breaker, M, 2, first=100) == ".."
    assert asked(breaker, M + 1, 2, first=200) == ".."
