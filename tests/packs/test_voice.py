"""The voice pack beyond one limit a rule: the hours' edges, second limits, opening call centres, lost releases."""

from __future__ import annotations

import random

import pytest

from tests.packs.traffic import (
    FOREIGN,
    HOUR,
    LANDLINE,
    MOBILE,
    NIGHT,
    NOTHING,
    ON_HOLIDAY,
    SATURDAY,
    VOIP,
    WORKDAY,
    WORKING_HOURS,
    Line,
    Traffic,
    hits,
    hits_of,
)
from tests.packs.voice import (
    call_centre,
    dial,
    dialler_on_a_line_that_anybody_gets,
    one_ring_for_a_dear_call_back,
)


@pytest.mark.parametrize("start_s", [WORKING_HOURS, ON_HOLIDAY, SATURDAY + 10 * HOUR, NIGHT])
def test_a_machine_offends_as_soon_on_every_day(start_s: float):
    found = hits_of([dialled(start_s, size, place=size) for size in (14, 15)])
    assert ["call-rate" in one.blocked for one in found] == [False, True]


@pytest.mark.parametrize(
    ("talks", "offends"),
    [
        ((None, None, 4, 4, 20), True),
        ((None, 4, 4, 4, 20), False),  # four in five are answered
        ((None, None, 20, 20, 20), False),  # nobody hangs up
        ((None, None, 4, 4, 90), False),  # some stay
    ],
)
def test_a_machine_is_known_by_who_does_not_answer_who_hangs_up_and_who_stays(
    talks: tuple[float | None, ...], offends: bool
):
    traffic = Traffic(Line(MOBILE))
    dial(traffic, WORKING_HOURS, 60, 20, talks)
    assert ("call-rate" in hits(traffic).blocked) == offends


@pytest.mark.parametrize("registered", [False, True])
def test_a_registered_caller_is_not_enforced_upon(registered: bool):
    traffic = Traffic(Line(LANDLINE, registered=registered))
    dial(traffic, WORKING_HOURS, 100, 25)
    assert bool(hits(traffic).blocked) == (not registered)


@pytest.mark.parametrize("lines", [10, 30, 60, 100, 200])
def test_a_call_centre_that_opens_is_not_judged_by_the_calls_that_ended_first(lines: int):
    def opens(seed: int) -> Traffic:
        traffic = Traffic(Line(VOIP).nth(seed))
        call_centre(traffic, lines, WORKDAY + 9 * HOUR, WORKDAY + 9.2 * HOUR, hang_up=0.02 + 0.03 * seed, seed=seed)
        return traffic

    for found in hits_of([opens(seed) for seed in range(4)]):
        assert not found.blocked
        assert found.review <= {"simultaneous-calls"}


@pytest.mark.parametrize("lines", [10, 12, 16, 20, 30, 60, 100, 200])
def test_an_opening_is_not_judged_by_its_first_calls_even_when_a_third_of_those_who_answer_hang_up(lines: int):
    def opens(seed: int) -> Traffic:
        traffic = Traffic(Line(VOIP).nth(seed))
        call_centre(traffic, lines, WORKDAY + 9 * HOUR, WORKDAY + 9.3 * HOUR, hang_up=0.25, seed=seed)
        return traffic

    assert not [found.blocked for found in hits_of([opens(seed) for seed in range(8)]) if found.blocked]


NINE_IN_THE_EVENING, EIGHT = WORKDAY + 21 * HOUR, WORKDAY + 8 * HOUR


@pytest.mark.parametrize(
    ("start_s", "night"),
    [
        (NINE_IN_THE_EVENING - 1800, False),
        (NINE_IN_THE_EVENING, True),
        (SATURDAY + 3 * HOUR, True),
        (EIGHT - 1800, True),
        (EIGHT, False),
    ],
)
def test_28_calls_an_hour_are_for_people_to_look_at_from_nine_in_the_evening_to_eight(start_s: float, night: bool):
    def dials(size: int) -> Traffic:
        traffic = Traffic(Line(LANDLINE).nth(size))
        dial(traffic, start_s, size, 55, (None, None, None, 20, 20))
        return traffic

    found = hits_of([dials(27), dials(28)])
    assert ["night-dialling" in one.review for one in found] == [False, night]


@pytest.mark.parametrize("verified", ["full", "partial", "none"])
def test_one_ring_calls_from_abroad_are_stopped_unless_somebody_vouches_and_people_decide_on_calling_back(
    verified: str,
):
    traffic = Traffic(Line(FOREIGN, verified=verified, origin="international"))
    one_ring_for_a_dear_call_back(traffic, WORKING_HOURS, 80)
    found = hits(traffic)
    assert found.blocked == (set() if verified == "full" else {"one-ring-from-abroad"})
    assert "unanswered-calls" in found.review


def test_calls_that_nobody_answers_are_seen_although_they_have_no_duration():
    traffic = Traffic(Line(FOREIGN))
    for i in range(1200):
        traffic.call(WORKING_HOURS + 3 * i, ring_s=2)
    assert hits(traffic).review == {"unanswered-calls"}


def test_couriers_whose_feed_loses_every_twelfth_release_hold_no_calls_at_once():
    def courier(seed: int) -> Traffic:
        rng = random.Random(seed)
        traffic, at_s = Traffic(Line(MOBILE).nth(seed)), WORKDAY + 9 * HOUR
        for i in range(250):
            ring_s, talk_s = rng.uniform(3, 18), rng.uniform(12, 55)
            traffic.call(at_s, ring_s=ring_s, talk_s=talk_s, released=(i + seed) % 12 != 0)
            at_s += ring_s + talk_s + rng.choice((10, 30, 60, 150, 330))
        return traffic

    assert hits_of([courier(seed) for seed in range(10)]) == [NOTHING] * 10


def test_two_lines_under_one_limit_are_not_added_up():
    for found in hits_of([dialled(WORKING_HOURS, 14, place) for place in range(2)]):
        assert "call-rate" not in found.blocked | found.review


def dialled(start_s: float, calls: int, place: int) -> Traffic:
    traffic = Traffic(Line(VOIP).nth(place))
    dialler_on_a_line_that_anybody_gets(traffic, start_s, calls)
    return traffic
