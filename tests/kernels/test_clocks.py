"""Clocks and event times against plain Python, and by hand: whom one wrong record can harm."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.ingest.feed_clocks import FeedClocks
from streams.kernels.clocks import LATE, OK
from tests.kernels.oracle_clocks import PlaceOracle

START = 1_795_312_800_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
AHEAD = 5 * MINUTE
Event = tuple[int, int, int]  # at, Kafka timestamp, number


def judged(events: list[Event], cuts: int = 0, vouched: list[bool] | None = None) -> list[tuple[int, bool, bool]]:
    """(time, late, future)"""
    says = np.ones(len(events), np.bool_) if vouched is None else np.array(vouched, np.bool_)
    clocks = FeedClocks(HOUR)
    clocks.know(1)
    out = []
    for part, say in ((events[:cuts], says[:cuts]), (events[cuts:], says[cuts:])):
        n = len(part)
        at, timestamp, number = np.array(part, np.int64).reshape(n, 3).T.copy()
        time, clock, horizon, behind, before = (np.empty(n, np.int64) for _ in range(5))
        verdict, future = np.empty(n, np.uint8), np.empty(n, np.bool_)
        clocks.judge(
            (np.zeros(n, np.int32), np.zeros(n, np.int32), say, at, timestamp, number), AHEAD,
            (time, clock, horizon, behind, verdict, future, before, before.copy()),
        )  # fmt: skip
        out += zip(time.tolist(), (verdict == LATE).tolist(), future.tolist(), strict=True)
    assert OK == 0
    return out


def plain(events: list[Event], vouched: list[bool] | None = None) -> list[tuple[int, bool, bool]]:
    place, says = PlaceOracle(HOUR, AHEAD), vouched or [True] * len(events)
    return [place.judge(0, v, *event) for event, v in zip(events, says, strict=True)]


STEP = st.sampled_from([0, 1, 1000, MINUTE, MINUTE + 1, HOUR, HOUR + 1, 2 * HOUR, 2 * HOUR + 1, 9 * HOUR, DAY])
EVENT = st.tuples(
    st.builds(lambda step, sign: START + sign * step, STEP | st.just(30 * DAY), st.sampled_from([-1, 1, 1])),
    st.sampled_from([0, -1, START // 1000, START, START + 40 * DAY, START + 40 * DAY]),
    st.integers(1, 20),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENT, max_size=120), st.integers(0, 120))
def test_times_and_clocks_agree_with_plain_python(events, cut):
    assert judged(events, cut) == plain(events)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 20)), max_size=120), st.integers(0, 120))
def test_long_runs_ahead_and_fresh_events_between_agree_as_well(steps, cut):
    """Steps of 0 lie where the clock was at first, all others two hours ahead and more."""
    events = [(START + 2 * HOUR * (step > 3) + step * MINUTE, 0, number) for step, number in steps]
    assert judged(events, cut) == plain(events)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(EVENT, st.booleans()), max_size=120), st.integers(0, 120))
def test_events_that_nobody_vouches_for_have_a_clock_of_their_own(both, cut):
    events, vouched = [event for event, _ in both], [says for _, says in both]
    got = judged(events, cut, vouched)
    assert got == plain(events, vouched)
    says = np.flatnonzero(vouched)
    if len(says) < 64:  # before anybody looks which clock is furthest behind
        assert [got[i] for i in says] == plain([events[i] for i in says])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 3, 9]), st.integers(1, 40)), max_size=12), st.integers(0, 200))
def test_crowds_that_step_ahead_and_back_agree_as_well(blocks, cut):
    events: list[Event] = []
    for hours, count in blocks:
        start = START + hours * HOUR + len(events) * 20_000
        events += [(start + i * 20_000, 0, 1 + (len(events) + i) % 37) for i in range(count)]
    assert judged(events, cut) == plain(events)


def crowd(start: int, count: int, numbers: int = 30) -> list[Event]:
    """A record a second of so many numbers in turn; producers' times are Kafka's."""
    return [(start + 1000 * i, start + 1000 * i, 100 + i % numbers) for i in range(count)]


def ahead(by: int, number: int = 7) -> Event:
    return START + by, START + by, number


def test_one_record_from_next_month_silences_nobody_wherever_it_comes_and_however_many_numbers_there_are():
    for numbers in (1, 2, 3, 5, 8, 30):
        good = crowd(START, 60, numbers)
        for place in (0, 1, 2, 30):
            for bad in (ahead(30 * DAY), ahead(31 * DAY, number=100), ahead(400 * DAY)):
                got = judged([*good[:place], bad, *good[place:]])
                del got[place]
                assert got == [(at, False, False) for at, _, _ in good], (numbers, place, bad)


def test_a_wrong_host_among_many_numbers_moves_no_clock_and_its_records_count_at_the_clock():
    good = crowd(START, 600)
    mixed, wrong = [], []
    for i, event in enumerate(good):
        mixed.append(event)
        if i > 60 and i % 10 == 0:
            wrong.append(len(mixed))
            mixed.append(ahead(9 * HOUR + i, number=1000 + i))
    got = judged(mixed)
    assert all(got[i] == (mixed[i - 1][0], False, True) for i in wrong)
    assert not any(late for _, late, _ in got)


def test_a_feed_that_was_silent_for_hours_is_believed_once_as_many_numbers_say_so():
    evening, morning = crowd(START, 60), crowd(START + 8 * HOUR, 60)
    got = judged([*evening, *morning])[60:]
    assert [future for _, _, future in got] == [True] * 15 + [False] * 45
    assert [at for at, _, _ in got[15:]] == [at for at, _, _ in morning[15:]]
    assert [at - evening[-1][0] for at, _, _ in got[:15]] == [1000 * i for i in range(15)], "as if there were no night"


def test_records_delivered_again_meanwhile_do_not_make_it_wait():
    evening, morning = crowd(START, 600), crowd(START + 8 * HOUR, 60)
    mixed = [event for pair in zip(morning, evening[:60], strict=True) for event in pair]
    assert [future for _, _, future in judged([*evening, *mixed])[600::2]] == [True] * 15 + [False] * 45


def test_a_kafka_timestamp_of_zero_below_or_in_seconds_says_nothing():
    for unknown in (0, -1, START // 1000):
        got = judged([*crowd(START, 60), (START + 40 * MINUTE, unknown, 5), (START + 9 * HOUR, unknown, 6)])
        assert got[-2:] == [(START + 40 * MINUTE, False, False), (START + 40 * MINUTE, False, True)]


def test_a_feed_of_one_record_in_an_hour_and_a_half_is_believed_in_the_third_hour():
    evening = crowd(START, 60)
    night = [(START + HOUR * 3 // 2 * (i + 1), 0, 500 + i) for i in range(6)]
    got = judged([*evening, *night])[60:]
    assert [future for _, _, future in got] == [True, True, False, True, True, False]
    assert got[2][0] == night[2][0]


def test_what_a_wrong_host_sends_in_one_go_moves_the_clock_and_the_others_set_it_back():
    right = crowd(START, 600)
    kept = [(START + 30 * DAY + i, START + 30 * DAY + i, 2000 + i % 40) for i in range(200)]
    got = judged([*right[:300], *kept, *right[300:]])
    assert [future for _, _, future in got[300:500]] == [True] * 15 + [False] * 185
    assert [late for _, late, _ in got[500:]] == [True] * 15 + [False] * 285
    assert got[515:] == [(at, False, False) for at, _, _ in right[315:]]


def test_a_file_of_the_evening_that_is_delivered_again_in_the_morning_sets_the_clock_back_for_as_long_as_it_takes():
    evening, morning = crowd(START, 300), crowd(START + 8 * HOUR, 300)
    got = judged([*evening, *morning, *evening, *morning])
    assert [late for _, late, _ in got[600:900]] == [True] * 15 + [False] * 285
    assert [future for _, _, future in got[900:]] == [True] * 15 + [False] * 285
    day = crowd(START + 9 * HOUR, 300)
    got = judged([*evening, *morning, *day, *crowd(START + 10 * HOUR + MINUTE, 60), *evening])
    assert all(late for _, late, _ in got[-300:]), "after an hour the step is believed for good"
