"""The message pack beyond one limit a rule: 300 guests at any pace, who is verified, which numbers a rule is about."""

from __future__ import annotations

import pytest

from tests.packs.messages import false_payment_notices
from tests.packs.traffic import (
    FOREIGN,
    HOUR,
    LANDLINE,
    MOBILE,
    NIGHT,
    ON_HOLIDAY,
    REPRESENTATIVE,
    SATURDAY,
    VOIP,
    WORKDAY,
    WORKING_HOURS,
    Line,
    Traffic,
    hits,
    hits_of,
)


@pytest.mark.parametrize("start_s", [WORKING_HOURS, NIGHT, ON_HOLIDAY, SATURDAY + 11 * HOUR])
def test_300_invitations_are_never_blocked_at_any_pace(start_s: float):
    def invitations(place: int, gap_s: float) -> Traffic:
        traffic = Traffic(Line(MOBILE).nth(place))
        for i in range(300):
            traffic.message(start_s + gap_s * i, "we marry on Saturday")
        return traffic

    gaps_s = (0.01, 0.2, 1, 2.4, 5, 9, 18, 60)
    for gap_s, found in zip(gaps_s, hits_of([invitations(i, gap) for i, gap in enumerate(gaps_s)]), strict=True):
        assert not found.blocked, f"one every {gap_s} s"


def test_a_telephone_that_writes_another_text_to_everybody_is_stopped_after_330_an_hour():
    traffic = Traffic(Line(MOBILE))
    for i in range(331):
        traffic.message(WORKING_HOURS + i, f"payment of {i} won approved")
    assert hits(traffic).blocked == {"recipient-spread"}


@pytest.mark.parametrize("verified", ["full", "partial", "none"])
def test_bulk_from_abroad_is_blocked_where_it_repeats_itself_unless_somebody_vouches_for_it(verified: str):
    line = Line(FOREIGN, verified=verified, origin="international")
    alike, different = Traffic(line.nth(1)), Traffic(line.nth(2))
    for i in range(200):
        alike.message(WORKING_HOURS + 2 * i, f"win {i % 3}")
    false_payment_notices(different, WORKING_HOURS, 200)
    found = hits_of([alike, different])
    blocked = {"international-bulk", "international-repeated"}
    assert [one.blocked for one in found] == ([set(), set()] if verified == "full" else [blocked, set()])
    assert [one.review for one in found] == [set(), set() if verified == "full" else {"international-varied"}]


@pytest.mark.parametrize("number", [MOBILE, VOIP, LANDLINE, REPRESENTATIVE])
def test_a_domestic_number_is_never_blocked_for_what_is_sent_from_abroad_in_its_name(number: str):
    for verified in ("full", "none"):
        forged = Traffic(Line(number, verified=verified, origin="international"))
        false_payment_notices(forged, WORKING_HOURS, 500)
        assert not hits(forged).blocked


def test_only_mobile_senders_and_unverified_ones_from_abroad_are_blocked_for_messages():
    """Institutions send from landline, representative and VoIP numbers: there bulk goes to people at most."""
    blocked = {}
    for number in (MOBILE, VOIP, LANDLINE, REPRESENTATIVE, FOREIGN):
        traffic = Traffic(Line(number))
        for i in range(600):
            traffic.message(WORKDAY + 10 * HOUR + 2 * i, "one text for all")
        blocked[number] = bool(hits(traffic).blocked)
    assert blocked == {MOBILE: True, VOIP: False, LANDLINE: False, REPRESENTATIVE: False, FOREIGN: False}


@pytest.mark.parametrize(("hour", "night"), [(7.99, True), (8, False), (19, False), (21, True), (23.5, True)])
def test_60_messages_an_hour_are_for_people_to_look_at_from_nine_in_the_evening_to_eight(hour: float, night: bool):
    def sends(size: int) -> Traffic:
        traffic = Traffic(Line(VOIP).nth(size))
        for i in range(size):  # the last one lies at this hour
            traffic.message(WORKDAY + 24 * HOUR + hour * HOUR - 50 * (size - 1 - i), f"offer {i}")
        return traffic

    found = hits_of([sends(59), sends(60)])
    assert ["night-bulk" in one.review for one in found] == [False, night]
