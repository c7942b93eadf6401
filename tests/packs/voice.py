"""Callers for tests of the voice pack: for each rule an offender at its limit and the innocents nearest to it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.packs.registry import must_fire, must_not_fire
from tests.packs.traffic import (
    FOREIGN,
    HOLIDAY,
    HOUR,
    LANDLINE,
    MINUTE,
    MOBILE,
    REPRESENTATIVE,
    VOIP,
    WORKDAY,
    Line,
    Traffic,
    events_until,
    stranger,
)

PMG_GAP_S = 120.0
# Seconds of one call after the other.
UNHEARD = None, None, None, 4, 4  # three in five are not answered, the others hang up
SIDE_BY_SIDE_S = 1.5  # between two calls: some are up at once


def pmg_calls(level: float) -> int:
    """Calls, one every PMG_GAP_S, that lift the voice pack's gray levels above `level`."""
    return events_until(level, PMG_GAP_S, MINUTE, 6 * HOUR)


def dial(traffic: Traffic, start_s: float, size: int, gap_s: float, talks: Sequence[float | None] = UNHEARD) -> None:
    for i in range(size):
        traffic.call(start_s + gap_s * i, ring_s=2, talk_s=talks[i % len(talks)])


def dial_again(
    traffic: Traffic, start_s: float, before: int, size: int, talks: Sequence[float | None] = UNHEARD
) -> None:
    """`size` calls, and `before` half an hour earlier, without which feeds of `complete` records say too little."""
    dial(traffic, start_s - 1800, before, SIDE_BY_SIDE_S, talks)
    dial(traffic, start_s, size, SIDE_BY_SIDE_S, talks)


@must_fire("call-rate", Line(VOIP), limit=15)
def dialler_on_a_line_that_anybody_gets(traffic: Traffic, start_s: float, size: int) -> None:
    dial_again(traffic, start_s, 14, size)


@must_fire("machine-rate", Line(LANDLINE), limit=75)
def dialling_machine(traffic: Traffic, start_s: float, size: int) -> None:
    dial_again(traffic, start_s, 60, size)


@must_fire("simultaneous-calls-mobile", Line(MOBILE), limit=7)
def sim_box(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(8):
        traffic.call(start_s + 60 * i, talk_s=30)
    for i in range(size):
        traffic.call(start_s + 600 + 10 * i, talk_s=300)


@must_fire("simultaneous-calls", Line(LANDLINE), limit=48, mode="review")
def exchange_full_of_calls(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(20):
        traffic.call(start_s - 600 + 2 * i, talk_s=20)
    for i in range(size):
        traffic.call(start_s + i, talk_s=600)


@must_fire("simultaneous-short-calls", Line(FOREIGN), limit=10)
def machine_with_many_lines(traffic: Traffic, start_s: float, size: int) -> None:
    for wave in range(5):
        for i in range(size):
            traffic.call(start_s + 100 * wave + i, talk_s=50)


@must_fire("calls-of-one-length", Line(LANDLINE), limit=60, mode="review")
def recording_played_to_one_after_the_other(traffic: Traffic, start_s: float, size: int) -> None:
    dial(traffic, start_s, size, 40, (50,))


@must_fire("pmg-voice", Line(VOIP), limit=pmg_calls(24))
def steady_dialler(traffic: Traffic, start_s: float, size: int) -> None:
    dial(traffic, start_s, size, PMG_GAP_S, (None, 4))


@must_fire("patient-dialler", Line(MOBILE), limit=28)
def patient_dialler(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(60):
        traffic.call(start_s + 80 * i, stranger(i % size), ring_s=15, talk_s=20 if i % 2 else None)


@must_fire("one-ring-calls", Line(VOIP), limit=20)
def one_ring_and_away(traffic: Traffic, start_s: float, size: int) -> None:
    dial_again(traffic, start_s, 15, size, (None,))


@must_fire("unanswered-calls", Line(FOREIGN), limit=25, mode="review")
def one_ring_from_a_verified_number_abroad(traffic: Traffic, start_s: float, size: int) -> None:
    dial_again(traffic, start_s, 20, size, (None,))


@must_fire("padded-calls", Line(LANDLINE), limit=48)
def dialler_with_accomplices(traffic: Traffic, start_s: float, size: int) -> None:
    dial(traffic, start_s, size, 60, (None, None, 4, 4, 400))


@must_fire(
    "foreign-origin-domestic-number", Line(MOBILE, verified="none", origin="international"), limit=20, mode="review"
)
def forged_caller_id(traffic: Traffic, start_s: float, size: int) -> None:
    dial(traffic, start_s, size, MINUTE, (90,))


@must_fire("one-ring-from-abroad", Line(FOREIGN, verified="none", origin="international"), limit=20)
def one_ring_for_a_dear_call_back(traffic: Traffic, start_s: float, size: int) -> None:
    dial_again(traffic, start_s, 15, size, (None,))


@must_fire("international-dialler", Line(FOREIGN, verified="none", origin="international"), limit=40)
def dialler_from_abroad(traffic: Traffic, start_s: float, size: int) -> None:
    dial(traffic, start_s, size, 35, (None, 15))


@must_fire("night-dialling", Line(LANDLINE), limit=180, at_night=28, mode="review")
def dialler_who_keeps_no_hours(traffic: Traffic, start_s: float, size: int) -> None:
    dial(traffic, start_s, size, 18, (None, None, None, 26, 26))


@must_fire("registered-caller-departs", Line(LANDLINE, registered=True), limit=100, mode="review")
def hijacked_line_of_a_company(traffic: Traffic, start_s: float, size: int) -> None:
    """Three calls an hour for a day and a half, then `size` in an hour."""
    for i in range(108):
        traffic.call(start_s - (36 - i / 3) * HOUR, talk_s=60)
    dial(traffic, start_s, size, 30, (60,))


@must_not_fire(
    "call-rate", "pmg-voice", "patient-dialler", "one-ring-calls",
    "night-dialling", "night-dialling", "calls-of-one-length", "padded-calls", line=Line(MOBILE),
)  # fmt: skip
def a_courier_calls_250_people_a_day(traffic: Traffic) -> None:
    rng = random.Random(3)
    at_s = WORKDAY + 9 * HOUR
    for _ in range(250):
        ring_s, talk_s = rng.uniform(3, 18), rng.uniform(12, 55) if rng.random() < 0.8 else None
        traffic.call(at_s, ring_s=ring_s, talk_s=talk_s)
        # Stretches on foot between parcels of one block alternate with drives: 11 hours for all.
        at_s += ring_s + (talk_s or 0) + rng.choice((10, 30, 60, 150, 330))


@must_not_fire("patient-dialler", line=Line(MOBILE))
def a_courier_announces_33_parcels_an_hour_in_a_few_words(traffic: Traffic) -> None:
    for i in range(100):
        traffic.call(WORKDAY + 10 * HOUR + 110 * i, ring_s=9, talk_s=12.5 if i % 4 else None)


def call_centre(traffic: Traffic, lines: int, begin_s: float, end_s: float, hang_up: float, seed: int) -> None:
    """Agents who all start within ten seconds and call one customer after the other. Of the calls a quarter is not
    answered and the share `hang_up` ends within seconds, so when the centre opens only such calls have ended."""
    rng = random.Random(seed)
    for _ in range(lines):
        at_s = begin_s + rng.uniform(0, 10)
        while at_s < end_s:
            ring_s, luck = rng.uniform(5, 25), rng.random()
            talk_s = None if luck < 0.25 else rng.uniform(3, 20) if luck < 0.25 + hang_up else rng.gammavariate(2, 110)
            traffic.call(at_s, ring_s=ring_s, talk_s=talk_s)
            at_s += ring_s + (talk_s or 0) + rng.uniform(30, 120)


@must_not_fire(
    "call-rate", "machine-rate", "simultaneous-calls", "simultaneous-short-calls", "pmg-voice", "patient-dialler",
    "one-ring-calls", line=Line(VOIP),
)  # fmt: skip
def a_call_centre_with_30_lines_works_from_nine_to_six(traffic: Traffic) -> None:
    call_centre(traffic, 30, WORKDAY + 9 * HOUR, WORKDAY + 18 * HOUR, hang_up=0.1, seed=5)


@must_not_fire(
    "call-rate", "pmg-voice", "patient-dialler", "simultaneous-short-calls",
    line=Line(LANDLINE), review=("simultaneous-calls",),
)  # fmt: skip
def a_call_centre_with_100_lines_opens_four_mornings(traffic: Traffic) -> None:
    for day in range(4):
        begin_s = WORKDAY + day * 24 * HOUR + 9 * HOUR
        call_centre(traffic, 100, begin_s, begin_s + 15 * MINUTE, hang_up=0.1, seed=day)


@must_not_fire(
    "simultaneous-short-calls", line=Line(VOIP), review=("simultaneous-calls", "calls-of-one-length")
)  # fmt: skip
def a_call_centre_with_200_lines_on_which_nobody_hangs_up_opens(traffic: Traffic) -> None:
    call_centre(traffic, 200, WORKDAY + 9 * HOUR, WORKDAY + 9.2 * HOUR, hang_up=0, seed=3)


@must_not_fire("simultaneous-calls", line=Line(REPRESENTATIVE))
def a_bank_talks_on_90_lines_of_its_representative_number(traffic: Traffic) -> None:
    call_centre(traffic, 90, WORKDAY + 9 * HOUR, WORKDAY + 10 * HOUR, hang_up=0.1, seed=9)


@must_not_fire(
    "call-rate", "pmg-voice", "patient-dialler", "simultaneous-short-calls",
    line=Line(REPRESENTATIVE),
)  # fmt: skip
def a_bank_reads_out_codes_from_its_representative_number(traffic: Traffic) -> None:
    for i in range(2400):
        traffic.call(WORKDAY + 10 * HOUR + 1.5 * i, ring_s=10, talk_s=7 if i % 5 < 3 else None)


@must_not_fire("one-ring-calls", line=Line(REPRESENTATIVE))
def an_institution_reaches_nobody_since_its_exchange_fails(traffic: Traffic) -> None:
    for i in range(300):
        traffic.call(WORKDAY + 10 * HOUR + 5 * i, ring_s=1)


@must_not_fire("simultaneous-calls", "simultaneous-short-calls", "call-rate", line=Line(LANDLINE))
def a_branch_passes_60_calls_at_once_on_to_its_head_office(traffic: Traffic) -> None:
    for i in range(900):
        traffic.call(WORKDAY + 10 * HOUR + i, "02-345-0000", ring_s=2, talk_s=60)


@must_not_fire("simultaneous-calls-mobile", line=Line(MOBILE))
def somebody_hosts_a_conference_of_five_while_a_sixth_call_waits_at_night(traffic: Traffic) -> None:
    for i in range(6):
        traffic.call(WORKDAY + 20 * HOUR + 20 * i, talk_s=3000)


@must_not_fire("simultaneous-calls-mobile", line=Line(MOBILE))
def the_release_of_every_fiftieth_call_of_a_courier_is_lost(traffic: Traffic) -> None:
    for i in range(250):
        traffic.call(WORKDAY + 9 * HOUR + 158 * i, ring_s=8, talk_s=30, released=i % 50 != 49)


@must_not_fire("call-rate", "pmg-voice", "patient-dialler", line=Line(MOBILE))
def a_family_is_on_the_phone_all_holiday(traffic: Traffic) -> None:
    for i in range(400):
        traffic.call(HOLIDAY + 9 * HOUR + 100 * i, stranger(i % 9), ring_s=6, talk_s=8 if i % 3 else 40)


@must_not_fire("call-rate", "one-ring-calls", "pmg-voice", line=Line(MOBILE))
def somebody_dials_a_busy_ticket_line_again_and_again(traffic: Traffic) -> None:
    for i in range(300):
        traffic.call(WORKDAY + 10 * HOUR + 8 * i, "1544-7777", ring_s=1, talk_s=5 if i % 4 == 0 else None)


@must_not_fire("call-rate", line=Line(LANDLINE))
def an_alarm_panel_rings_its_eight_keepers_in_turn(traffic: Traffic) -> None:
    for i in range(200):
        traffic.call(WORKDAY + 11 * HOUR + 2 * i, stranger(i % 8), talk_s=1)


@must_not_fire("one-ring-calls", line=Line(MOBILE))
def somebody_tries_a_dozen_friends_who_are_all_asleep(traffic: Traffic) -> None:
    for i in range(100):
        traffic.call(WORKDAY + 10 * HOUR + 12 * i, stranger(i % 12), ring_s=8)


@must_not_fire("patient-dialler", line=Line(LANDLINE))
def a_janitor_tells_45_households_that_the_lift_is_out(traffic: Traffic) -> None:
    for i in range(45):
        traffic.call(WORKDAY + 10 * HOUR + 75 * i, ring_s=6, talk_s=8)


@must_not_fire("one-ring-calls", "unanswered-calls", "patient-dialler", line=Line(LANDLINE))
def a_school_calls_40_parents_of_whom_few_answer(traffic: Traffic) -> None:
    for i in range(40):
        traffic.call(WORKDAY + 14 * HOUR + 75 * i, ring_s=25, talk_s=60 if i % 4 == 0 else None)


@must_not_fire("foreign-origin-domestic-number", line=Line(MOBILE, origin="international"))
def a_traveller_calls_home_and_about_all_day(traffic: Traffic) -> None:
    for i in range(120):
        traffic.call(WORKDAY + 8 * HOUR + 300 * i, stranger(i % 40), ring_s=8, talk_s=100)


@must_not_fire("foreign-origin-domestic-number", line=Line(MOBILE, origin="international"))
def a_tour_guide_abroad_calls_each_of_15_guests_three_times(traffic: Traffic) -> None:
    for i in range(45):
        traffic.call(HOLIDAY + 8 * HOUR + 40 * i, stranger(i % 15), ring_s=8, talk_s=20)


@must_not_fire("foreign-origin-domestic-number", line=Line(FOREIGN, origin="international"))
def a_desk_abroad_calls_its_customers_from_its_own_number(traffic: Traffic) -> None:
    for i in range(200):
        traffic.call(WORKDAY + 9 * HOUR + 100 * i, ring_s=10, talk_s=90)


@must_not_fire("one-ring-from-abroad", line=Line(FOREIGN, verified="none", origin="international"))
def relatives_abroad_ring_once_to_be_called_back(traffic: Traffic) -> None:
    for i in range(80):
        traffic.call(WORKDAY + 10 * HOUR + 7 * i, stranger(i % 9), ring_s=2)


@must_not_fire(
    "one-ring-from-abroad", line=Line(FOREIGN, origin="international"), review=("unanswered-calls",)
)  # fmt: skip
def a_verified_desk_abroad_reaches_nobody_since_its_exchange_fails(traffic: Traffic) -> None:
    for i in range(300):
        traffic.call(WORKDAY + 10 * HOUR + 5 * i, ring_s=1)


@must_not_fire(
    "international-dialler",
    line=Line(FOREIGN, verified="none", origin="international"),
    review=("calls-of-one-length",),
)
def an_unverified_hotel_abroad_calls_its_guests_all_day(traffic: Traffic) -> None:
    for i in range(70 * 8):
        traffic.call(WORKDAY + 9 * HOUR + 51 * i, ring_s=12, talk_s=60 if i % 3 else None)


@must_not_fire(
    "international-dialler", "one-ring-from-abroad", line=Line(FOREIGN, verified="none", origin="international"),
    review=("calls-of-one-length",),
)  # fmt: skip
def an_unverified_machine_abroad_reads_codes_to_those_who_wait_for_them(traffic: Traffic) -> None:
    for i in range(900):
        traffic.call(WORKDAY + 10 * HOUR + 4 * i, ring_s=6, talk_s=None if i % 8 == 0 else 9)


@must_not_fire(line=Line(MOBILE))
def a_janitor_s_new_telephone_calls_55_households(traffic: Traffic) -> None:
    for i in range(55):
        traffic.call(WORKDAY + 10 * HOUR + 60 * i, ring_s=8, talk_s=30 if i % 5 else None)


@must_not_fire("patient-dialler", line=Line(MOBILE), review=("calls-of-one-length",))
def a_dispatcher_on_the_telephone_every_day_is_busy_for_an_hour(traffic: Traffic) -> None:
    for i in range(40 * 7):
        traffic.call(WORKDAY + 8 * HOUR + 90 * i, stranger(i % 200), ring_s=6, talk_s=35 if i % 5 else None)
    for i in range(85):
        traffic.call(WORKDAY + 15 * HOUR + 42 * i, stranger(i % 200), ring_s=6, talk_s=33 if i % 5 else None)


@must_not_fire("night-dialling", "patient-dialler", line=Line(MOBILE))
def a_chauffeur_of_the_night_calls_25_guests_an_hour(traffic: Traffic) -> None:
    for i in range(25 * 7):
        traffic.call(WORKDAY + 21 * HOUR + 144 * i, ring_s=8, talk_s=25 if i % 5 else None)


@must_not_fire("night-dialling", line=Line(VOIP))
def a_hot_line_for_lost_cards_calls_back_at_night(traffic: Traffic) -> None:
    for i in range(45 * 8):
        traffic.call(WORKDAY + 22 * HOUR + 80 * i, ring_s=9, talk_s=180 if i % 4 else None)


@must_not_fire("registered-caller-departs", "simultaneous-short-calls", line=Line(LANDLINE, registered=True))
def a_registered_company_is_busy_in_the_evening(traffic: Traffic) -> None:
    for i in range(440):
        traffic.call(WORKDAY + (9 + i / 40) * HOUR, talk_s=90)
    for i in range(110):
        traffic.call(WORKDAY + 20 * HOUR + 30 * i, talk_s=90)
