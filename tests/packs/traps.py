"""Who reaches traps, for tests of their pack: for each rule an offender at its limit, and the innocents nearest to it:
misdialling people, the owners of forged numbers, callers of numbers that became traps."""

from __future__ import annotations

from tests.packs.registry import must_fire, must_not_fire
from tests.packs.traffic import FOREIGN, HOUR, LANDLINE, MINUTE, MOBILE, VOIP, WORKDAY, Line, Traffic, stranger


def reach(traffic: Traffic, start_s: float, weight: int) -> None:
    """Reaches traps that weigh so much together: each another one, which hangs up on answer, and one that notes the
    record only if the weight is odd."""
    for i in range(weight // 2):
        traffic.hit(start_s + 40 * i, i)
    if weight % 2:
        traffic.hit(start_s + 40 * weight, 50, "record")


@must_fire("trapped-and-calling", Line(VOIP), limit=12)
def dialler_who_meets_traps(traffic: Traffic, start_s: float, size: int) -> None:
    reach(traffic, start_s, size)
    for i in range(17):
        traffic.call(start_s + 200 + 45 * i, talk_s=5 if i % 3 else None)


@must_fire("trapped-and-writing", Line(MOBILE), limit=12)
def impostor_who_meets_traps(traffic: Traffic, start_s: float, size: int) -> None:
    reach(traffic, start_s, size)
    for i in range(25):
        traffic.message(start_s + 200 + 60 * i, f"mum, my phone is broken {i}")


@must_fire("trapped-from-abroad", Line(FOREIGN, verified="none", origin="international"), limit=10)
def advertiser_abroad_who_meets_traps(traffic: Traffic, start_s: float, size: int) -> None:
    reach(traffic, start_s, size)


@must_fire("trapped", Line(LANDLINE), limit=16, mode="review")
def somebody_who_meets_many_traps(traffic: Traffic, start_s: float, size: int) -> None:
    reach(traffic, start_s, size)


@must_not_fire("trapped", "trapped-and-calling", line=Line(MOBILE))
def a_person_mistypes_a_number_three_times(traffic: Traffic) -> None:
    for i, depth in enumerate(("record", "limited", "full")):
        traffic.hit(WORKDAY + 11 * HOUR + 30 * i, i, depth)
    traffic.call(WORKDAY + 11.1 * HOUR, talk_s=200)


@must_not_fire("trapped", "trapped-and-calling", line=Line(LANDLINE))
def an_elderly_man_redials_a_wrong_number_all_day(traffic: Traffic) -> None:
    for i in range(40):
        traffic.hit(WORKDAY + 9 * HOUR + 10 * MINUTE * i, 3, "full")
    for i in range(20):
        traffic.call(WORKDAY + 9 * HOUR + 25 * MINUTE * i, callee=stranger(i % 4), talk_s=3)


@must_not_fire("trapped-and-calling", "trapped", line=Line(VOIP))
def the_robot_of_a_lawful_poll_calls_a_number_that_became_a_trap(traffic: Traffic) -> None:
    """Three of its list are traps since their holders left; it calls each once a day."""
    for day in range(3):
        for i in range(3):
            traffic.hit(WORKDAY + (24 * day + 10) * HOUR + 60 * i, i, ("record", "limited", "full")[i])
        for i in range(28):
            traffic.call(WORKDAY + (24 * day + 9) * HOUR + 25 * MINUTE * i, talk_s=45 if i % 2 else None)


@must_not_fire("trapped", "trapped-and-calling", line=Line(VOIP, registered=True))
def a_registered_pollster_dials_digits_by_chance(traffic: Traffic) -> None:
    for i in range(20):
        traffic.hit(WORKDAY + 10 * HOUR + 9 * MINUTE * i, i, "full")
    for i in range(400):
        traffic.call(WORKDAY + 9 * HOUR + 60 * i, talk_s=4 if i % 2 else None)


@must_not_fire("trapped-and-writing", "trapped", line=Line(MOBILE))
def a_courier_writes_to_the_last_holders_of_three_traps(traffic: Traffic) -> None:
    for i in range(3):
        traffic.hit(WORKDAY + 10 * HOUR + MINUTE * i, i, "full")
    for i in range(120):
        traffic.message(WORKDAY + 9 * HOUR + 120 * i, f"your parcel {i} is at the door")


@must_not_fire("trapped-and-calling", "trapped-and-writing", line=Line(MOBILE), review=("trapped",))
def the_owner_of_a_number_that_is_forged_towards_traps(traffic: Traffic) -> None:
    for i in range(20):
        traffic.hit(WORKDAY + 10 * HOUR + 60 * i, i, "full")
    for i in range(9):
        traffic.call(WORKDAY + 9 * HOUR + HOUR * i, talk_s=3)
        traffic.message(WORKDAY + 9.5 * HOUR + HOUR * i, f"see you {i}", stranger(i % 4))


@must_not_fire("trapped-from-abroad", line=Line(FOREIGN, verified="none", origin="international"))
def a_hotel_abroad_calls_three_guests_whose_numbers_are_traps_by_now(traffic: Traffic) -> None:
    for day in range(3):
        for i in range(3):
            traffic.hit(WORKDAY + (24 * day + 10) * HOUR + 60 * i, i, "full")
