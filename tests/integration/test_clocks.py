"""Feeds on other clocks, and feeds that deliver twice: from fetched values to blocks, metrics and state."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from rules.load import load_text
from schemas.topics import BLOCK_HISTORY, CDR, MESSAGE_RELAY, REKEYED
from streams.engine.engine import Engine
from streams.ingest.decode import Decoded
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import OutRecord, RawBatch
from streams.kafka.partition import partition_of
from streams.runtime.metrics import Metrics

PARTITIONS = 2
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
START_MS = 1_795_312_800_000
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
  gray: {on: message-relay, per: sender, gray: {short: 1m, long: 6h}}
  live: {on: cdr, per: caller, count: concurrent, max_age: 4h}
  talked: {on: cdr.release, per: caller, sum: duration, window: 1h}
rules:
  - {name: many, summary: many messages, when: sent > 50 or gray.long > 40, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: lines, summary: many calls at once, when: live >= 5, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 1d}}
  - {name: talker, summary: an hour of talk in an hour, when: talked > 3600, mode: shadow,
     then: {block: [calls], directions: [outgoing], for: 1d}}
"""


@dataclass(frozen=True)
class Sent:
    """A record as a producer wrote it."""

    topic: str
    number: str
    at_ms: int
    id: str
    ts_ms: int  # Kafka's timestamp
    event: str = "setup"
    partition: int | None = None  # its number's unless given

    @property
    def value(self) -> bytes:
        known = {"at": self.at_ms, "verified": "full", "origin": "domestic"}
        if self.topic == CDR:
            about = {"call_id": self.id, "event": self.event, "caller": self.number, "callee": "+821099990000"}
        else:
            about = {"message_id": self.id, "sender": self.number, "recipient": "+821099990000"}
        return json.dumps(about | known).encode()

    @property
    def home(self) -> int:
        return partition_of(self.number.encode(), PARTITIONS) if self.partition is None else self.partition


class Worker:
    """The engine with what stands before and behind it: shares are decoded, outcomes told to the metrics."""

    def __init__(self) -> None:
        self.engine = Engine(load_text(RULES))
        self.engine.partitions = PARTITIONS
        self.metrics = Metrics()
        self.records: list[OutRecord] = []
        self._fed = 0

    def feed(self, sent: Sequence[Sent], epoch: int = 97) -> list[OutRecord]:
        """Its outputs on all topics."""
        before = len(self.records)
        for start in range(0, len(sent), epoch):
            part = sent[start : start + epoch]
            shares = [self._share(part, topic) for topic in (MESSAGE_RELAY, CDR)]
            decoded = [each for raw in shares if len(raw.values) for each in decode_share(self.engine, raw)]
            strays = [record for record in self._step(decoded) if record.topic == REKEYED]
            if strays:
                self._step(decode_share(self.engine, self._rekeyed(strays)))
        self._fed += len(sent)
        return self.records[before:]

    def _step(self, decoded: list[Decoded]) -> list[OutRecord]:
        outcome = self.engine.step(decoded)
        self.metrics.outcome(outcome)
        self.records += outcome.records
        self.engine.maintain()
        return outcome.records

    def _rekeyed(self, strays: list[OutRecord]) -> RawBatch:
        n = len(strays)
        return RawBatch(
            REKEYED, np.arange(n), np.array([each.partition for each in strays], np.int32), np.arange(n),
            np.zeros(n, np.int64), [each.value for each in strays], headers=[list(each.headers) for each in strays],
        )  # fmt: skip

    def _share(self, sent: Sequence[Sent], topic: str) -> RawBatch:
        mine = [(i, each) for i, each in enumerate(sent) if each.topic == topic]
        order = np.array([i for i, _ in mine], np.int64)
        return RawBatch(
            topic, order, np.array([each.home for _, each in mine], np.int32), self._fed + order,
            np.array([each.ts_ms for _, each in mine], np.int64), [each.value for _, each in mine],
        )  # fmt: skip

    def digests(self) -> list[str]:
        return [self.engine.digest(partition) for partition in range(PARTITIONS)]

    def counted(self, feed: str) -> dict[str, int]:
        """The outcomes of a feed's events."""
        verdicts = ("accepted", "late", "future", "duplicate")
        told = {verdict: int(self.metrics.value("events_total", topic=feed, outcome=verdict)) for verdict in verdicts}
        return {verdict: count for verdict, count in told.items() if count}

    def blocks(self) -> list[tuple[str, str, int]]:
        """(number, rule, from) of every hold opened."""
        rows = [json.loads(record.value or b"") for record in self.records if record.topic == BLOCK_HISTORY]
        return sorted((r["number"], r["hold"]["rule"], r["hold"]["from"]) for r in rows if r["change"] == "opened")


def home_numbers(partition: int, count: int) -> list[str]:
    numbers = (f"+8210111100{i:02d}" for i in range(100))
    return [number for number in numbers if partition_of(number.encode(), PARTITIONS) == partition][:count]


def an_hour(start_ms: int = START_MS, tag: str = "") -> list[Sent]:
    """Both topics, both partitions, a record every two seconds; one number floods, one holds many lines."""
    numbers = home_numbers(0, 4) + home_numbers(1, 4)
    made = []
    for i in range(1_800):
        at = start_ms + i * 2 * SECOND
        number = numbers[0] if i % 9 == 0 else numbers[i % 8]
        made.append(Sent(MESSAGE_RELAY, number, at, f"m{tag}{i}", at))
        if i % 6 == 0:
            talker, call = numbers[(i // 6) % 8], f"c{tag}{i}"
            made.append(Sent(CDR, talker, at, call, at))
            if i % 12 == 0:
                made.append(Sent(CDR, talker, at + SECOND, call, at + SECOND, "answer"))
                made.append(Sent(CDR, talker, at + 90 * SECOND, call, at + 90 * SECOND, "release"))
    return sorted(made, key=lambda each: each.ts_ms)


def shifted(sent: Sequence[Sent], *, at_ms: int = 0, ts_ms: int = 0) -> list[Sent]:
    return [replace(each, at_ms=each.at_ms + at_ms, ts_ms=each.ts_ms + ts_ms) for each in sent]


def after(*batches: Sequence[Sent]) -> Worker:
    worker = Worker()
    for sent in batches:
        worker.feed(sent)
    return worker


def test_an_hour_has_blocks_of_both_topics_to_be_doubled() -> None:
    worker = after(an_hour())
    assert {rule for _, rule, _ in worker.blocks()} == {"many", "lines"}
    assert worker.counted(MESSAGE_RELAY) == {"accepted": 1_800}


@pytest.mark.parametrize("epoch", [1_000, 7])
def test_an_hour_of_retries_by_another_producer_moves_no_counter_and_blocks_nobody(epoch: int) -> None:
    hour = an_hour()
    worker = after(hour)
    before, blocks = worker.digests(), worker.blocks()
    again = worker.feed(shifted(hour, ts_ms=HOUR), epoch)
    assert again == []
    assert worker.digests() == before
    assert worker.blocks() == blocks
    # The very first records lie an hour behind the clock and more: late, or recognised.
    for feed, total in ((MESSAGE_RELAY, 1_800), (CDR, sum(each.topic == CDR for each in hour))):
        told = worker.counted(feed)
        assert told["accepted"] == total
        assert told.get("duplicate", 0) + told.get("late", 0) == total


@pytest.mark.parametrize("later_ms", [10 * MINUTE, HOUR, DAY])
def test_retries_among_the_records_of_a_later_hour_change_nothing_of_it(later_ms: int) -> None:
    hour, later = an_hour(), an_hour(START_MS + later_ms, "later")
    mixed = sorted(
        [*later, *shifted(hour, ts_ms=later_ms)], key=lambda each: (each.ts_ms, each.id.startswith("mlater"))
    )
    plain, doubled = after(hour, later), after(hour, mixed)
    assert doubled.digests() == plain.digests()
    assert doubled.blocks() == plain.blocks()
    told = doubled.counted(MESSAGE_RELAY)
    assert told["accepted"] == 3_600
    assert told.get("duplicate", 0) + told.get("late", 0) == 1_800
    assert ("late" in told) == (later_ms == DAY)


def test_a_feed_whose_clock_is_an_hour_ahead_counts_at_kafkas_time_and_ages_nobodys_windows() -> None:
    hour = an_hour()
    ahead = shifted(hour, at_ms=HOUR)
    worker, right = after(ahead), after(hour)
    assert worker.counted(MESSAGE_RELAY) == {"accepted": 1_800, "future": 1_800}
    assert worker.blocks() == right.blocks()
    assert worker.digests() == right.digests()


def test_a_feed_an_hour_ahead_in_another_partition_leaves_this_one_alone() -> None:
    hour = an_hour()
    here = [each for each in hour if each.home == 0]
    # Its Kafka timestamps are its producer's, and wrong as well: nothing tells that it is ahead.
    there = shifted([each for each in hour if each.home == 1], at_ms=HOUR, ts_ms=HOUR)
    worker, alone = after(sorted([*here, *there], key=lambda each: each.at_ms)), after(here)
    together = Worker()
    together.feed([each for pair in zip(here, there, strict=False) for each in pair])
    together.feed(here[len(there) :])
    assert worker.digests()[0] == alone.digests()[0] == together.digests()[0]
    assert worker.counted(MESSAGE_RELAY) == {"accepted": 1_800}


@pytest.mark.parametrize(
    ("behind_ms", "verdict"), [(59 * MINUTE, "accepted"), (HOUR, "accepted"), (HOUR + 1, "late"), (DAY, "late")]
)
def test_a_feed_behind_in_the_same_partition_counts_up_to_an_hour_and_changes_nothing_beyond(
    behind_ms: int, verdict: str
) -> None:
    """Both feeds send within the same second, so the one that is behind is exactly so much behind the clock."""
    *good, behind = home_numbers(0, 4)
    clock = [Sent(MESSAGE_RELAY, number, START_MS, f"clock{number}", START_MS) for number in good]
    slow = [Sent(MESSAGE_RELAY, behind, START_MS - behind_ms, f"slow{i}", START_MS) for i in range(60)]
    worker = after(clock)
    before = worker.digests()
    out = worker.feed(slow)
    assert worker.counted(MESSAGE_RELAY) == ({"accepted": 63} if verdict == "accepted" else {"accepted": 3, "late": 60})
    assert (worker.digests() == before) == (verdict == "late")
    assert bool(out) == (verdict == "accepted")
    assert [(number, rule) for number, rule, _ in worker.blocks()] == [(behind, "many")] * (verdict == "accepted")


@pytest.mark.parametrize("bad_ms", [6 * MINUTE, HOUR, 20 * 365 * DAY])
def test_one_bad_clock_in_a_good_feed_harms_no_other_number(bad_ms: int) -> None:
    hour = an_hour()
    victim = home_numbers(0, 6)[5]
    bad = [Sent(MESSAGE_RELAY, victim, at + bad_ms, f"bad{at}", at) for at in range(START_MS, START_MS + HOUR, MINUTE)]
    mixed = sorted([*hour, *bad], key=lambda each: each.ts_ms)
    worker, right = after(mixed), after(hour)
    assert [block for block in worker.blocks() if block[0] != victim] == right.blocks()
    assert worker.counted(MESSAGE_RELAY) == {"accepted": 1_860, "future": 60}
    assert worker.digests()[1] == right.digests()[1]
    assert readings(worker, victim) == readings(right, victim)


def test_a_clock_set_back_by_some_minutes_counts_as_if_it_had_come_in_order() -> None:
    number, other = home_numbers(0, 2)
    times = [START_MS + i * SECOND for i in range(600)]
    forward = [Sent(MESSAGE_RELAY, number, at, f"m{at}", START_MS + HOUR) for at in times]
    backward = list(reversed(forward))
    end = [Sent(MESSAGE_RELAY, other, times[-1], "end", START_MS + HOUR)]
    worker, right = after(backward, end), after(forward, end)
    assert worker.counted(MESSAGE_RELAY) == right.counted(MESSAGE_RELAY) == {"accepted": 601}
    assert readings(worker, other) == pytest.approx(readings(right, other))
    assert worker.engine.clocks() == right.engine.clocks()
    # Both are blocked; backwards, the fifty-first message that arrives is an earlier one.
    assert [(who, rule) for who, rule, _ in worker.blocks()] == [(who, rule) for who, rule, _ in right.blocks()]


def readings(worker: Worker, but: str) -> dict[tuple[str, int, str], float]:
    """Every counter of every number of partition 0 but one."""
    return {
        (topic, int(number), name): float(column[i])
        for topic, numbers, _, columns in worker.engine.readings(0)
        for i, number in enumerate(numbers)
        if f"+{number}" != but
        for name, column in columns.items()
    }


STRAYING: dict[str, Callable[[Sent], Sent]] = {
    "where it should be": lambda sent: sent,
    "in the other partition": lambda sent: replace(sent, partition=1 - sent.home),
}


@pytest.mark.parametrize("where", STRAYING)
def test_late_and_future_are_told_of_the_feed_whose_records_they_are(where: str) -> None:
    number = home_numbers(0, 1)[0]
    good = [Sent(MESSAGE_RELAY, number, START_MS, "m", START_MS), Sent(CDR, number, START_MS, "c", START_MS)]
    late = replace(good[1], at_ms=START_MS - 2 * HOUR, id="late")
    future = replace(good[0], at_ms=START_MS + 2 * HOUR, id="future")
    worker = after([STRAYING[where](each) for each in (*good, late, future)])
    for feed in (CDR, MESSAGE_RELAY):
        assert worker.metrics.value("rekeyed_total", topic=feed) == (2 if "other" in where else 0)
    assert worker.counted(CDR) == {"accepted": 1, "late": 1}
    assert worker.counted(MESSAGE_RELAY) == {"accepted": 2, "future": 1}
