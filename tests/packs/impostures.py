"""Senders for tests of the imposture pack: those who write what they should not, and who writes nearly the same."""

from __future__ import annotations

from tests.packs.registry import must_fire, must_not_fire
from tests.packs.traffic import (
    FOREIGN,
    HOUR,
    LANDLINE,
    MINUTE,
    MOBILE,
    REPRESENTATIVE,
    VOIP,
    WORKING_HOURS,
    Line,
    Traffic,
)

MUM = "엄마 나 폰 액정이 나갔어 ㅠㅠ 이 번호로 답장 줘 010-7777-{:04d}"
PAYMENT = "[Web발신] 해외 승인 {:,}원 (4821) 본인 아닐시 문의 {}"
DESK = "02-2345-1000"
ALL_MOBILE = ("trusted-relative", "trusted-relative-slow")
ALL_PAYMENTS = ("fake-payment", "fake-payment-abroad", "fake-payment-many-desks")


@must_fire("trusted-relative", Line(MOBILE), limit=5)
def child_of_many(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + MINUTE * i, MUM.format(i))


@must_fire("trusted-relative-slow", Line(MOBILE), limit=5, mode="review")
def patient_child_of_many(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + MINUTE * i, "아빠 나 핸드폰 고장나서 수리 맡겼어 카톡 추가해줘")


@must_fire("fake-payment-abroad", Line(FOREIGN, verified="none", origin="international"), limit=4)
def false_notices_from_abroad(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + MINUTE * i, f"[국제발신] {PAYMENT.format(959_000 + i, DESK)}")


@must_fire("fake-payment", Line(VOIP), limit=8)
def false_notices_from_a_series(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + MINUTE * i, PAYMENT.format(480_000 + 1000 * i, DESK), reseller="rs-1")


@must_fire("fake-payment-many-desks", Line(VOIP), limit=3, mode="review")
def false_notices_with_another_desk_each(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + MINUTE * i, PAYMENT.format(959_000, f"070-7893-{i:04d}"))


@must_fire("look-alike-links", Line(MOBILE), limit=5, mode="review")
def links_to_a_false_shop(traffic: Traffic, start_s: float, size: int) -> None:
    for i in range(size):
        traffic.message(start_s + MINUTE * i, f"[쿠팡] 주소지 불일치 확인 http://c0upang.top/{i}")


@must_not_fire(*ALL_MOBILE, line=Line(MOBILE))
def daughter_with_a_broken_phone(traffic: Traffic) -> None:
    """She writes from a friend's telephone, again and again, to both parents and both of her husband's."""
    for i in range(24):
        traffic.message(WORKING_HOURS + 10 * MINUTE * i, MUM.format(1234), recipient=f"010-4000-000{i % 4}")


@must_not_fire(*ALL_MOBILE, line=Line(MOBILE).nth(7001))
def man_whose_number_has_changed(traffic: Traffic) -> None:
    for i in range(120):
        traffic.message(WORKING_HOURS + MINUTE * i, "번호 바뀌었어 추가해줘 010-4444-1234")
    traffic.message(WORKING_HOURS + 3 * HOUR, "엄마 나 번호 바뀌었어 추가해줘 010-4444-1234")
    traffic.message(WORKING_HOURS + 4 * HOUR, "아빠 나 번호 바뀌었어 추가해줘 010-4444-1234")


@must_not_fire(*ALL_PAYMENTS, line=Line(REPRESENTATIVE))
def card_company_that_tells_of_payments_abroad(traffic: Traffic) -> None:
    for i in range(300):
        text = f"[Web발신] 한빛카드 해외승인 {12_000 + 70 * i:,}원 14:22 SHOP{i} 문의 {traffic.line.number}"
        traffic.message(WORKING_HOURS + 20 * i, text, reseller="rs-1")


@must_not_fire(*ALL_PAYMENTS, line=Line(LANDLINE))
def shop_that_names_its_own_number(traffic: Traffic) -> None:
    for i in range(40):
        text = f"[새솔서점] 결제 완료 {18_000 + 500 * i:,}원 구매 문의 {traffic.line.number}"
        traffic.message(WORKING_HOURS + 8 * MINUTE * i, text, reseller="rs-1")


@must_not_fire("fake-payment", line=Line(LANDLINE, registered=True).nth(7002))
def registered_shop_with_a_centre_of_its_own(traffic: Traffic) -> None:
    for i in range(40):
        text = f"[해외직구몰] 해외 구매 결제 완료 {58_000 + 500 * i:,}원 고객센터 1588-7002"
        traffic.message(WORKING_HOURS + 8 * MINUTE * i, text, reseller="rs-1")


@must_not_fire("look-alike-links", "fake-payment", line=Line(MOBILE).nth(7003))
def courier_with_links_to_his_own_firm(traffic: Traffic) -> None:
    for i in range(60):
        traffic.message(
            WORKING_HOURS + 6 * MINUTE * i, f"택배 도착 예정 송장 {4_000_000 + i} https://www.cjlogistics.com/t/{i}"
        )


@must_not_fire(*ALL_MOBILE, *ALL_PAYMENTS, line=Line(MOBILE).nth(7004))
def couple_that_invites_with_the_number_of_an_account(traffic: Traffic) -> None:
    text = "저희 결혼합니다 13시 예식장 문의 02-345-1234 마음 전하실 곳 국민 110-025-123456 엄마 아빠도 오세요"
    for i in range(90):
        traffic.message(WORKING_HOURS + 2 * MINUTE * i, text)


@must_not_fire(*ALL_PAYMENTS, line=Line(FOREIGN, origin="international").nth(7005))
def service_abroad_that_sends_codes(traffic: Traffic) -> None:
    for i in range(60):
        traffic.message(
            WORKING_HOURS + MINUTE * i, f"[국제발신] 인증번호 [{100_000 + 37 * i}] 타인에게 알려주지 마세요"
        )
