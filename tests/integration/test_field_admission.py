"""Cases from the field, rebuilt with made-up numbers: ids that repeat, clocks that are wrong, records that overtake.

A Call-ID for all calls of a caller (case 1), message ids of two centres (3), a clock ahead by a month (4), answer times
of calls that nobody answered (16), events stamped by two clocks (27), late files and carriers (30); and their like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest

from rules.load import load_text
from schemas.feed_settings import FeedBook, FeedSettings
from schemas.topics import BLOCK_EVENTS, CDR, MESSAGE_RELAY, SHADOW_EVENTS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord
from streams.ingest.feed_codes import Feeds

START_MS = 1_795_395_600_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ONE, OTHER = "+821011110001", "+821022220002"
RATES = """
counters:
  rate: {on: cdr.setup, per: caller, count: events, window: 1m}
  sent: {on: message-relay, per: sender, count: events, window: 10m}
rules:
  - {name: rate-25, summary: set-ups, when: rate >= 25, then: {block: [calls], directions: [outgoing], for: 7d},
     mode: enforce}
  - {name: sent-25, summary: messages, when: sent >= 25, then: {block: [messages], directions: [outgoing], for: 7d},
     mode: enforce}
"""
LIVE = """
counters:
  live: {on: cdr, per: caller, count: concurrent, max_age: 30m}
  mean: {on: cdr.release, per: caller, mean: duration, window: 10m}
  ended: {on: cdr.release, per: caller, count: events, window: 10m}
rules:
  - {name: six-live, summary: s, when: live >= 6, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 1d}}
  - {name: ten-short, summary: s, when: ended >= 10 and mean < 5, mode: shadow,
     then: {block: [calls], directions: [outgoing], for: 1d}}
"""
Record = tuple[str, dict[str, Any], int]  # topic, fields, Kafka timestamp


def call(id: str, event: str, at_ms: int, caller: str = ONE, callee: str = "+821099900001", **more: Any) -> Record:
    fields = {"call_id": id, "event": event, "at": at_ms, "caller": caller, "callee": callee, "verified": "full"} | more
    return CDR, fields, at_ms + 300


def message(id: str, at_ms: int, sender: str, recipient: str, **more: Any) -> Record:
    fields = {"message_id": id, "at": at_ms, "sender": sender, "recipient": recipient, "origin": "domestic"}
    return MESSAGE_RELAY, fields | {"verified": "full"} | more, at_ms + 500


def lines(records: Iterable[Record], partitions: int) -> Iterator[bytes]:
    for offset, (topic, fields, ts) in enumerate(records):
        where = {"topic": topic, "partition": offset % partitions, "offset": offset, "ts": ts, "key": None}
        yield orjson.dumps(where | {"payload": orjson.dumps(fields).decode()})


def replayed(
    rules: str, records: list[Record], partitions: int = 1, feeds: Feeds | None = None
) -> tuple[list[tuple[str, str, str, int]], Any]:
    """(topic, number, rule, from) of every hold opened; and how the events of the feeds fared."""
    out: list[OutRecord] = []
    replay = Replay(Engine(load_text(rules), expire_by_clock=True, feeds=feeds), out.append, 7)
    replay.run(lines(records, partitions), "lines")
    told = [(r.topic, orjson.loads(r.value or b"")) for r in out if r.topic in (BLOCK_EVENTS, SHADOW_EVENTS)]
    opened = [
        (topic, state["number"], state["hold"]["rule"], state["hold"]["from"])
        for topic, state in told
        if state["change"] == "opened"
    ]
    return opened, replay.summary.feeds


def setups(count: int, id: str = "", caller: str = ONE, start_ms: int = START_MS) -> list[Record]:
    """One a second, each to somebody else; of one call id if there is one."""
    return [
        call(id or f"{caller}{i}", "setup", start_ms + i * SECOND, caller, f"+8210999{i:05d}") for i in range(count)
    ]


@pytest.mark.parametrize("partitions", [1, 2])
def test_one_call_id_for_thirty_calls_switches_no_counting_off(partitions: int) -> None:
    records = setups(30 * partitions, "5d41402abc4b@198.51.100.7:5060")
    opened, feeds = replayed(RATES, records, partitions)
    assert opened == [(BLOCK_EVENTS, ONE, "rate-25", START_MS + 24 * SECOND)]
    assert feeds[CDR]["reused_ids"] == (30 - 1) * partitions
    assert feeds[CDR]["duplicate"] == 0


@pytest.mark.parametrize("partitions", [1, 2])
def test_messages_of_two_relays_with_equal_ids_all_count(partitions: int) -> None:
    records = [
        message(
            str(100_000 + i), START_MS + i * 10 * SECOND + k * 100, sender, f"+8210999{i:05d}", relay=f"relay{k + 1}"
        )
        for i in range(30)
        for k, sender in enumerate((OTHER, ONE))
    ]
    opened, feeds = replayed(RATES, records, partitions)
    assert [(number, at) for _, number, _, at in opened] == [
        (OTHER, START_MS + 240 * SECOND), (ONE, START_MS + 240 * SECOND + 100)
    ]  # fmt: skip
    assert (feeds[MESSAGE_RELAY]["accepted"], feeds[MESSAGE_RELAY]["duplicate"]) == (60, 0)


def test_two_callers_with_equal_call_ids_both_count() -> None:
    pairs = zip(setups(30, "", ONE), setups(30, "", OTHER), strict=True)
    records = [(topic, fields | {"call_id": f"{i}"}, ts) for i, pair in enumerate(pairs) for topic, fields, ts in pair]
    opened, _ = replayed(RATES, records)
    assert [number for _, number, _, _ in opened] == [ONE, OTHER]


def test_one_record_from_next_month_silences_nobody_where_kafkas_time_is_wrong_too() -> None:
    bad = call("x", "setup", START_MS + 30 * DAY, OTHER)
    right = setups(30)
    for at in (0, 1, 12, 30):
        opened, feeds = replayed(RATES, [*right[:at], bad, *right[at:]])
        assert opened == [(BLOCK_EVENTS, ONE, "rate-25", START_MS + 24 * SECOND)]
        assert feeds[CDR]["late"] == 0
        assert feeds[CDR]["future"] == (at > 0)


def test_answers_of_a_clock_that_is_ahead_make_no_durations() -> None:
    records = []
    for i in range(12):
        start = START_MS + i * 40 * SECOND
        records.append(call(f"c{i}", "setup", start))
        records.append(call(f"c{i}", "answer", start + 45 * SECOND))
        records.append(call(f"c{i}", "release", start + 35 * SECOND))
    assert replayed(LIVE, records)[0] == []


def test_a_release_that_overtakes_its_answer_gets_its_duration_afterwards() -> None:
    records = []
    for i in range(12):
        start = START_MS + i * 40 * SECOND
        records.append(call(f"c{i}", "setup", start))
        records.append(call(f"c{i}", "release", start + 7 * SECOND))
        records.append(call(f"c{i}", "answer", start + 5 * SECOND))
    assert replayed(LIVE, records)[0] == [
        (SHADOW_EVENTS, ONE, "ten-short", START_MS + 9 * 40 * SECOND + 7 * SECOND)
    ]  # fmt: skip


def test_a_release_by_a_rogue_feed_of_somebody_elses_call_closes_nothing_and_steals_no_answer() -> None:
    def calls(rogue: bool) -> list[Record]:
        made = []
        for i in range(6):
            made += [
                call(f"c{i}", "setup", START_MS + i * SECOND),
                call(f"c{i}", "answer", START_MS + i * SECOND + 500),
            ]
            if rogue:
                made += [call(f"c{i}", "release", START_MS + i * SECOND + 600, caller=OTHER)]
                made += [call(f"c{i}", "release", START_MS + i * SECOND + 700, callee="+821099900002")]
        made += [call(f"c{i}", "release", START_MS + (10 + i) * SECOND) for i in range(6)]
        return made

    assert replayed(LIVE, calls(rogue=True))[0] == replayed(LIVE, calls(rogue=False))[0]
    assert replayed(LIVE, calls(rogue=True))[0] == [(BLOCK_EVENTS, ONE, "six-live", START_MS + 5 * SECOND)]


def test_a_call_id_set_up_again_after_its_release_counts_again() -> None:
    records = []
    for i in range(30):
        records += [call("same", "setup", START_MS + i * SECOND), call("same", "release", START_MS + i * SECOND + 400)]
    opened, feeds = replayed(RATES, [each for record in records for each in (record, record)])
    assert opened == [(BLOCK_EVENTS, ONE, "rate-25", START_MS + 24 * SECOND)]
    assert (feeds[CDR]["accepted"], feeds[CDR]["duplicate"], feeds[CDR]["reused_ids"]) == (60, 60, 0)


def by_feed(records: list[Record], feed: str, *, behind_ms: int = 0) -> list[Record]:
    """As a feed delivers them, so much later."""
    return [(topic, fields | {"carrier": feed}, ts + behind_ms) for topic, fields, ts in records]


def interleaved(*feeds: list[Record]) -> list[Record]:
    return [record for records in zip(*feeds, strict=True) for record in records]


def test_a_carrier_that_delivers_files_by_the_hour_is_on_time_beside_one_that_is_live() -> None:
    hourly = by_feed(setups(30, caller=ONE), "B", behind_ms=65 * MINUTE)
    live = by_feed(setups(30, caller=OTHER, start_ms=START_MS + 65 * MINUTE), "A")
    opened, feeds = replayed(RATES, interleaved(live, hourly))
    assert [number for _, number, _, _ in opened] == [OTHER, ONE]
    assert feeds[CDR]["late"] == 0


def test_a_feed_that_is_an_hour_or_a_month_off_harms_nobody_beside_it() -> None:
    def others(feed: str, off_ms: int) -> list[Record]:
        numbers = [f"+82103333{i:04d}" for i in range(20)]
        return by_feed(
            [setups(1, f"{feed}{i}", numbers[i % 20], START_MS + off_ms + i * SECOND)[0] for i in range(900)], feed
        )

    mine = by_feed(setups(900, caller=ONE), "A")
    right, _ = replayed(RATES, mine)
    assert [number for _, number, _, _ in right] == [ONE]
    for off_ms in (HOUR + MINUTE, -HOUR - MINUTE, 30 * DAY, -30 * DAY):
        mixed, feeds = replayed(RATES, interleaved(others("C", off_ms), mine))
        assert [block for block in mixed if block[1] == ONE] == right
        assert (feeds[CDR]["late"], feeds[CDR]["future"]) == (0, 0)


def test_a_lateness_of_its_own_makes_an_unordered_file_of_a_feed_on_time() -> None:
    newest = by_feed(setups(60, caller=OTHER, start_ms=START_MS + 80 * MINUTE), "B")
    older = by_feed(setups(30, caller=ONE), "B", behind_ms=80 * MINUTE)
    settings = FeedSettings(vouches="full", lateness_ms=90 * MINUTE)
    with_numbers = by_feed([setups(1, "", f"+8210444400{i:02d}", START_MS + 80 * MINUTE)[0] for i in range(5)], "B")
    records = [*with_numbers, *newest, *older]
    assert [number for _, number, _, _ in replayed(RATES, records)[0]] == [OTHER]
    opened, feeds = replayed(RATES, records, feeds=Feeds(FeedBook({"B": settings}, "1")))
    assert [number for _, number, _, _ in opened] == [OTHER, ONE]
    assert feeds[CDR]["late"] == 0


def test_a_call_that_the_carriers_at_both_ends_tell_under_ids_of_their_own_counts_once() -> None:
    book = {name: FeedSettings(vouches="full", leg=leg) for name, leg in (("O", "originating"), ("T", "terminating"))}

    def calls(count: int, feed: str, later_ms: int) -> list[Record]:
        made = []
        for i in range(count):
            start, callee = START_MS + i * 20 * SECOND + later_ms, f"+8210999{i:05d}"
            made.append(call(f"{feed}{i}", "setup", start, callee=callee, carrier=feed))
            made.append(call(f"{feed}{i}", "answer", start + SECOND, callee=callee, carrier=feed))
            made.append(call(f"{feed}{i}", "release", start + 4 * SECOND, callee=callee, carrier=feed))
        return made

    for later_ms in (40, -40, 1_500):
        records = interleaved(calls(9, "O", 0), calls(9, "T", later_ms))
        assert replayed(LIVE, records)[0] != []  # twice as many calls as there were
        opened, feeds = replayed(LIVE, records, feeds=Feeds(FeedBook(book, "1")))
        assert opened == []
        assert (feeds[CDR]["accepted"], feeds[CDR]["duplicate"]) == (27, 27)
    opened, _ = replayed(LIVE, interleaved(calls(10, "O", 0), calls(10, "T", 40)), feeds=Feeds(FeedBook(book, "1")))
    assert [rule for _, _, rule, _ in opened] == ["ten-short"]


def test_a_wrong_record_of_the_number_itself_silences_it_no_more_than_others() -> None:
    right = setups(30)
    for at in (1, 12, 30):
        bad = [call(f"x{i}", "setup", START_MS + 30 * DAY + i, ONE, f"+8210888{i:05d}") for i in range(2)]
        others = setups(30, caller=OTHER)
        mixed = [record for pair in zip(others, right, strict=True) for record in pair]
        opened, feeds = replayed(RATES, [*mixed[: 2 * at], *bad, *mixed[2 * at :]])
        assert {number for _, number, _, _ in opened} == {ONE, OTHER}
        assert (feeds[CDR]["late"], feeds[CDR]["future"]) == (0, 2)


def test_answer_times_of_calls_that_nobody_answered_cost_the_answer_and_not_the_call() -> None:
    complete = {"setup_at": START_MS, "release_at": START_MS + 20 * SECOND}
    told: tuple[Any, ...] = (
        0, "", "0001-01-01T00:00:00Z", "0000-00-00 00:00:00", "1970-01-01T00:00:00Z", START_MS - 700,
    )  # fmt: skip
    records = [
        call(f"c{i}", "complete", START_MS + 20 * SECOND, answer_at=answer_at, **complete)
        for i, answer_at in enumerate(told)
    ]
    _, feeds = replayed(LIVE, [*records, call("c9", "complete", START_MS + 20 * SECOND, callee="", **complete)])
    assert feeds[CDR]["accepted"] == 3 * 7, "set-up, release and complete"
    assert not feeds[CDR].keys() & {"bad_time", "bad_value"}


def test_files_of_one_feed_newest_first_are_late_and_in_order_are_not() -> None:
    older, newer = setups(30), setups(5, "new", start_ms=START_MS + 2 * HOUR)
    crowd = [setups(1, "", f"+8210444400{i:02d}", START_MS + 2 * HOUR)[0] for i in range(5)]
    assert replayed(RATES, [*older, *crowd, *newer])[0] != []
    opened, feeds = replayed(RATES, [*crowd, *newer, *older])
    assert opened == []
    assert feeds[CDR]["late"] == 30


def test_a_number_called_again_and_again_is_so_many_calls_though_releases_are_lost_and_two_carriers_tell_them() -> None:
    book = {name: FeedSettings(vouches="full", leg=leg) for name, leg in (("O", "originating"), ("T", "terminating"))}

    def calls(feed: str, later_ms: int) -> list[Record]:
        return [call(f"{feed}{i}", "setup", START_MS + i * 6 * SECOND + later_ms, carrier=feed) for i in range(30)]

    rules = RATES.replace("window: 1m", "window: 10m")
    for later_ms in (40, 1_500):
        records = interleaved(calls("O", 0), calls("T", later_ms))
        opened, feeds = replayed(rules, records, feeds=Feeds(FeedBook(book, "1")))
        assert opened == [(BLOCK_EVENTS, ONE, "rate-25", START_MS + 24 * 6 * SECOND)]
        assert (feeds[CDR]["accepted"], feeds[CDR]["duplicate"]) == (30, 30)
