"""Senders for tests of the message pack: for each rule an offender at its limit and the innocents nearest to it."""

from __future__ import annotations

import random

from tests.packs.registry import must_fire, must_not_fire
from tests.packs.traffic import (
    FOREIGN,
    HOLIDAY,
    HOUR,
    LANDLINE,
    MINUTE,
    MOBILE,
    REPRESENTATIVE,
    SATURDAY,
    VOIP,
    WORKDAY,
    Line,
    Traffic,
    events_until,
    stranger,
)

PMG_GAP_S = 10.0


def pmg_messages(level: float) -> int:
    """Messages, one every PMG_GAP_S, that lift the message pack's gray levels above `level`."""
    return events_until(level, PMG_GAP_S, MINUTE, 6 * HOUR)


@must_fire("recipient-spread", Line(MOBILE), limit=330)
def sender_to_hundreds(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 10 * i, f"text {i}")


@must_fire("repeated-content", Line(MOBILE), limit=200, mode="review")
def sender_of_three_texts(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 15 * i, f"text {i % 3}")


@must_fire("pmg-messages", Line(MOBILE), limit=pmg_messages(340))
def steady_sender(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + PMG_GAP_S * i, f"text {i % 8}")


@must_fire("hand-written-bulk", Line(MOBILE), limit=70, mode="review")
def false_relative(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 30 * i, f"mum, my phone is broken {i}")


@must_fire("varied-bulk", Line(VOIP), limit=80, mode="review")
def false_payment_notices_from_no_relay(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 8 * i, f"payment of {i} won approved")


@must_fire("voip-bulk", Line(VOIP), limit=180, mode="review")
def member_of_a_series(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 8 * i, f"payment of {i} won approved", reseller="rs-1")


@must_fire("international-bulk", Line(FOREIGN, verified="none", origin="international"), limit=24)
def advertiser_abroad(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + i, f"win {i % 8}")


@must_fire("international-repeated", Line(FOREIGN, verified="none", origin="international"), limit=110)
def patient_advertiser_abroad(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 29 * i, f"win {i % 8}")


@must_fire(
    "international-varied", Line(FOREIGN, verified="none", origin="international"), limit=25, mode="review"
)  # fmt: skip
def false_payment_notices(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 12 * i, f"overseas payment of {i} won approved")


@must_fire(
    "foreign-origin-domestic-sender", Line(LANDLINE, verified="none", origin="international"), limit=20, mode="review"
)
def forged_sender(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 15 * i, f"payment of {i} won approved")


@must_fire("unverified-bulk", Line(LANDLINE, verified="none"), limit=220, mode="review")
def domestic_bulk(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 30 * i)


@must_fire("web-sent-mobile", Line(MOBILE, verified="partial", origin="web"), limit=450, mode="review")
def web_service_under_a_borrowed_number(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 16 * i, f"mum, my phone is broken {i}")


@must_fire("night-bulk", Line(VOIP), limit=240, at_night=60, mode="review")
def sender_who_keeps_no_hours(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + 14 * i, f"text {i}")


@must_fire("many-resellers", Line(LANDLINE), limit=4, mode="review")
def sender_through_one_reseller_after_the_other(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(48):
        traffic.message(start_s + 30 * i, f"text {i}", reseller=f"rs-{i * size // 48}")


@must_fire("registered-sender-departs", Line(LANDLINE, registered=True), limit=200, mode="review")
def hijacked_account_of_a_shop(traffic: Traffic, start_s: float, size: int) -> None:
    """Six messages an hour for a day and a half, then `size` in an hour."""
    for i in range(216):
        traffic.message(start_s - (38 - i / 6) * HOUR, f"order {i} is there")
    for i in range(size):
        traffic.message(start_s + 15 * i, "win")


@must_not_fire("registered-sender-departs", "varied-bulk", line=Line(LANDLINE, registered=True))
def a_registered_shop_tells_all_customers_of_its_sale(traffic: Traffic) -> None:
    for i in range(300):
        traffic.message(WORKDAY + (8 + 0.12 * i) * HOUR, f"order {i} is there")
    for i in range(140):
        traffic.message(WORKDAY + 45 * HOUR + 5 * i, "all at half price")


@must_not_fire("recipient-spread", "pmg-messages", "hand-written-bulk", line=Line(MOBILE))
def a_family_chats_in_a_group_of_12(traffic: Traffic) -> None:
    for i in range(600):
        traffic.message(WORKDAY + 12 * HOUR + 1.2 * i, f"so what {i}", stranger(i % 12))


@must_not_fire("recipient-spread", "hand-written-bulk", "repeated-content", "pmg-messages", line=Line(MOBILE))
def a_teenager_writes_900_messages_to_20_friends(traffic: Traffic) -> None:
    rng = random.Random(7)
    for i in range(900):
        text = rng.choice(("ok", "lol", "yes")) if i % 2 else f"and then {i}"
        traffic.message(SATURDAY + 9 * HOUR + 50 * i, text, stranger(rng.randrange(20)))


@must_not_fire("recipient-spread", "pmg-messages", line=Line(MOBILE), review=("repeated-content",))
def a_couple_invites_200_guests_by_hand_within_an_hour(traffic: Traffic) -> None:
    for i in range(200):
        traffic.message(WORKDAY + 12 * HOUR + 18 * i, "we marry on Saturday")


@must_not_fire("recipient-spread", "pmg-messages", line=Line(MOBILE), review=("repeated-content", "night-bulk"))
def a_couple_invites_300_guests_at_once(traffic: Traffic) -> None:
    for i in range(300):
        traffic.message(WORKDAY + 12 * HOUR + 0.2 * i, "we marry on Saturday")


@must_not_fire("recipient-spread", "pmg-messages", line=Line(MOBILE), review=("repeated-content",))
def a_couple_invites_200_guests_as_fast_as_the_telephone_sends(traffic: Traffic) -> None:
    for i in range(200):
        traffic.message(WORKDAY + 12 * HOUR + i, "we marry on Saturday")


@must_not_fire(
    "recipient-spread", "pmg-messages", line=Line(MOBILE),
    review=("repeated-content", "hand-written-bulk"),
)  # fmt: skip
def a_couple_invites_200_guests_by_name_in_groups_and_answers_them_all_day(traffic: Traffic) -> None:
    for i in range(200):
        traffic.message(HOLIDAY + 10 * HOUR + 90 * (i // 20) + i % 20, f"we marry on Saturday, table {i // 20}")
    for i in range(90):
        traffic.message(HOLIDAY + 10.5 * HOUR + 300 * i, f"thank you {i}", stranger(2 * i))


@must_not_fire("repeated-content", line=Line(MOBILE))
def a_club_tells_its_40_members_at_once(traffic: Traffic) -> None:
    for day_s in (WORKDAY + 11 * HOUR, WORKDAY + 20 * HOUR):
        for i in range(40):
            traffic.message(day_s + i, "training is at seven", stranger(i))


@must_not_fire(
    "recipient-spread", "pmg-messages", line=Line(MOBILE),
    review=("repeated-content", "hand-written-bulk"),
)  # fmt: skip
def a_courier_texts_every_recipient_50_an_hour(traffic: Traffic) -> None:
    rng = random.Random(8)
    for i in range(50 * 10):
        text = rng.choice(("at your door", "with the guard", "in the box", "at your neighbour's", "tomorrow"))
        traffic.message(WORKDAY + 9 * HOUR + 72 * i + rng.uniform(0, 60), text)


@must_not_fire("hand-written-bulk", "repeated-content", line=Line(MOBILE))
def a_courier_texts_35_people_an_hour(traffic: Traffic) -> None:
    for i in range(35 * 10):
        traffic.message(WORKDAY + 9 * HOUR + 103 * i, f"your parcel {i} is at the door")


@must_not_fire("unverified-bulk", "repeated-content", "recipient-spread", "pmg-messages", line=Line(LANDLINE))
def a_hospital_sends_its_reminders_in_the_morning(traffic: Traffic) -> None:
    for i in range(400):
        traffic.message(WORKDAY + 8.5 * HOUR + 3 * i, f"your appointment is at {9 + i % 3}")


@must_not_fire(
    "unverified-bulk", "repeated-content", "recipient-spread", "pmg-messages", "voip-bulk",
    line=Line(REPRESENTATIVE),
)  # fmt: skip
def a_bank_sends_one_time_passwords_all_day(traffic: Traffic) -> None:
    for i in range(9000):
        traffic.message(WORKDAY + 9.6 * i, f"your code is {i * 7919 % 1_000_000:06d}")


@must_not_fire("unverified-bulk", line=Line(REPRESENTATIVE, verified="none"))
def a_bank_whose_feed_says_nothing_of_verification_sends_one_notice(traffic: Traffic) -> None:
    for i in range(2000):
        traffic.message(WORKDAY + 9 * HOUR + 2 * i, "our branches close at four today")


@must_not_fire("international-bulk", line=Line(FOREIGN, origin="international"))
def a_verified_sender_abroad_sends_codes_for_signing_in(traffic: Traffic) -> None:
    for i in range(6000):
        traffic.message(WORKDAY + 8 * HOUR + 6 * i, f"{i * 7919 % 1_000_000:06d} is your code")


@must_not_fire(
    "international-bulk", "international-varied", line=Line(FOREIGN, verified="none", origin="international")
)
def relatives_abroad_write_home_unverified(traffic: Traffic) -> None:
    for i in range(500):
        traffic.message(WORKDAY + 9 * HOUR + 15 * i, f"and here it rains {i}", stranger(i % 10))


@must_not_fire("recipient-spread", line=Line(MOBILE, origin="roaming"))
def a_traveller_writes_to_19_friends_as_fast_as_the_telephone_sends(traffic: Traffic) -> None:
    for i in range(19 * 20):
        traffic.message(WORKDAY + 9 * HOUR + i, f"look {i}", stranger(i % 19))


@must_not_fire("voip-bulk", "repeated-content", line=Line(VOIP))
def a_shop_tells_30_customers_that_their_orders_are_there(traffic: Traffic) -> None:
    for hour in (10, 13, 16):
        for i in range(30):
            traffic.message(WORKDAY + hour * HOUR + 10 * i, f"your order {i} is there", stranger(100 * hour + i))


@must_not_fire("unverified-bulk", line=Line(LANDLINE, verified="none"))
def a_village_office_without_verification_tells_70_households(traffic: Traffic) -> None:
    for i in range(70):
        traffic.message(WORKDAY + 9 * HOUR + 2 * i, "the water is off until noon")


@must_not_fire("repeated-content", "pmg-messages", line=Line(MOBILE))
def an_alarm_on_a_mobile_line_tells_its_three_owners_all_day(traffic: Traffic) -> None:
    for i in range(2400):
        traffic.message(WORKDAY + 9 * HOUR + 12 * i, "water in the cellar", stranger(i % 3))


@must_not_fire("unverified-bulk", "voip-bulk", line=Line(LANDLINE, verified="none"))
def an_alarm_panel_without_verification_tells_its_five_keepers(traffic: Traffic) -> None:
    for i in range(600):
        traffic.message(WORKDAY + 9 * HOUR + 3 * i, "smoke on the second floor", stranger(i % 5))


@must_not_fire("web-sent-mobile", line=Line(LANDLINE, verified="none"), review=("unverified-bulk",))
def a_clinic_without_verification_tells_200_patients_their_hours(traffic: Traffic) -> None:
    for i in range(200):
        traffic.message(WORKDAY + 9 * HOUR + 4 * i, f"your hour is {8 + i % 10}:{i % 60:02d}")


@must_not_fire("repeated-content", "voip-bulk", line=Line(VOIP))
def a_shop_tells_75_customers_an_hour_each_their_own_order(traffic: Traffic) -> None:
    for i in range(600):
        traffic.message(WORKDAY + 9 * HOUR + 48 * i, f"order {i} is there")


@must_not_fire("voip-bulk", line=Line(VOIP))
def a_help_desk_writes_to_and_fro_with_20_customers(traffic: Traffic) -> None:
    for i in range(600):
        traffic.message(WORKDAY + 9 * HOUR + 5 * i, f"and then {i}", stranger(i % 20))


@must_not_fire("pmg-messages", "recipient-spread", line=Line(MOBILE), review=("hand-written-bulk",))
def a_restaurant_answers_170_guests_an_hour_in_its_own_words(traffic: Traffic) -> None:
    for i in range(170 * 6):
        traffic.message(WORKDAY + 11 * HOUR + 21.2 * i, f"table {i} is yours")


@must_not_fire(
    "international-bulk", line=Line(MOBILE, verified="none", origin="international"),
    review=("hand-written-bulk", "foreign-origin-domestic-sender", "unverified-bulk"),
)  # fmt: skip
def the_owner_of_a_number_that_is_forged_abroad(traffic: Traffic) -> None:
    for i in range(100):
        traffic.message(WORKDAY + 9 * HOUR + 12 * i, f"payment of {i} won approved")


@must_not_fire(
    "international-repeated", "international-bulk", line=Line(FOREIGN, verified="none", origin="international")
)
def a_tour_operator_abroad_tells_80_guests_where_to_meet_in_groups(traffic: Traffic) -> None:
    for i in range(80):
        traffic.message(WORKDAY + 9 * HOUR + 900 * (i // 20) + i % 20, "meet at the gate", stranger(i))


@must_not_fire(
    "international-repeated", "international-bulk", line=Line(FOREIGN, verified="none", origin="international"),
    review=("international-varied",),
)  # fmt: skip
def an_unverified_service_abroad_sends_100_codes_an_hour(traffic: Traffic) -> None:
    for i in range(800):
        traffic.message(WORKDAY + 9 * HOUR + 36 * i, f"{i * 7919 % 1_000_000:06d} is your code")


@must_not_fire("foreign-origin-domestic-sender", line=Line(MOBILE, origin="international"))
def a_tour_guide_abroad_writes_to_each_of_15_guests_four_times(traffic: Traffic) -> None:
    for i in range(60):
        traffic.message(WORKDAY + 9 * HOUR + 9 * i, f"stop {i // 15}", stranger(i % 15))


@must_not_fire("foreign-origin-domestic-sender", line=Line(FOREIGN, origin="international"))
def a_shop_abroad_writes_to_its_customers_under_its_own_number(traffic: Traffic) -> None:
    for i in range(200):
        traffic.message(WORKDAY + 9 * HOUR + 20 * i, f"order {i} is on its way")


@must_not_fire("web-sent-mobile", line=Line(MOBILE, origin="web"), review=("repeated-content",))
def an_academy_tells_80_parents_from_its_teacher_s_verified_number(traffic: Traffic) -> None:
    for i in range(80):
        traffic.message(WORKDAY + 14 * HOUR + 3 * i, "no lessons tomorrow")


@must_not_fire("web-sent-mobile", line=Line(MOBILE, verified="none", origin="web"))
def a_club_s_web_page_tells_19_members_at_once(traffic: Traffic) -> None:
    for day_s in (WORKDAY + 11 * HOUR, WORKDAY + 15 * HOUR):
        for i in range(38):
            traffic.message(day_s + i, "training is at seven", stranger(i % 19))


@must_not_fire("night-bulk", line=Line(MOBILE), review=("hand-written-bulk",))
def a_courier_of_the_night_announces_55_parcels_an_hour(traffic: Traffic) -> None:
    for i in range(55 * 6):
        traffic.message(WORKDAY + 1 * HOUR + 65.5 * i, f"your parcel {i} is at the door")


@must_not_fire("many-resellers", line=Line(LANDLINE))
def a_hospital_sends_through_three_resellers_while_one_fails(traffic: Traffic) -> None:
    for i in range(120):
        traffic.message(WORKDAY + 9 * HOUR + 20 * i, f"your appointment is at {i}", reseller=f"rs-{i % 3}")


@must_not_fire("many-resellers", line=Line(REPRESENTATIVE))
def a_bank_spreads_its_notices_over_six_resellers(traffic: Traffic) -> None:
    for i in range(600):
        traffic.message(WORKDAY + 9 * HOUR + 8 * i, f"your code is {i * 7919 % 1_000_000:06d}", reseller=f"rs-{i % 6}")
