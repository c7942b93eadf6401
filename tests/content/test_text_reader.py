"""What a text says, by the exact reading."""

from __future__ import annotations

import pytest

from rules.lexicon_file import check_lexicon_texts, load_lexicon
from schemas import codes
from schemas.numbers import normalise
from streams.content.amounts import amounts_in
from streams.content.folding import fold, symbols_of
from streams.content.implied_numbers import numbers_in
from streams.content.likeness import are_near, fingerprint
from streams.content.links import Links
from streams.content.text_reader import Content, TextReader

READER = TextReader(load_lexicon())
MUM = "엄마 나 폰 액정이 나갔어 ㅠㅠ 이 번호로 답장 줘 010-1234-5678"
PAYMENT = "[국제발신] 해외 승인 959,000원 (1234) 고객센터 02-830-1234"


def imposture(text: str, sender: str = "") -> str:
    return codes.IMPOSTURES[READER.read(text).imposture(normalise(sender).key if sender else 0)]


def numbers(text: str) -> list[str]:
    return [each.number.text for each in READER.read(text).numbers]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MUM, "relative"),
        ("아빠 나 핸드폰 고장나서 수리 맡겼어 카톡 추가해줘", "relative"),
        ("mum my phone is broken, this is my new number, text me", "relative"),
        (PAYMENT, "payment"),
        ("Overseas payment of 959,000 won approved. Not you? Call 070-7893-0001", "payment"),
        ("엄마 나 늦어", "none"),
        ("엄마 나 폰 액정 깨졌어 오늘 늦어 ㅠ", "none"),
        ("엄마 쿠폰 수리수리 번호 010-1234-5678", "none"),
        ("[Web발신] 한빛은행 체크카드 승인 12,300원 일시불 14:22", "none"),
        ("[택배] 오늘 14시 도착 예정 문의 02-830-1234", "none"),
        ("저희 결혼합니다 마음 전하실 곳 국민 110-025-123456", "none"),
        ("", "none"),
    ],
)
def test_a_combination_of_words_makes_an_imposture_and_a_word_alone_none(text: str, says: str) -> None:
    assert imposture(text) == says


def test_a_sender_who_names_his_own_number_implies_no_other() -> None:
    assert imposture(PAYMENT) == "payment"
    assert imposture(PAYMENT, "02-830-1234") == "none"


@pytest.mark.parametrize(
    "text",
    ["엄 마", "엄.마", "엄\u200b마", "ㅇㅓㅁㅁㅏ", "어ㅁ마", "엄ㅁㅏ", "엄ㅁr", "엄口ㅏ",
     "\u110b\u1165\u11b7\u1106\u1161", "엄마ㅋㅋ", "ＭＯＭ", "m o m", "мом"],
)  # fmt: skip
def test_a_word_is_seen_in_every_dress(text: str) -> None:
    assert READER.read(text).words == ("mum",)


@pytest.mark.parametrize("text", ["moment", "수고 장난", "쿠폰", "엄청 마음", "독수리", "어마어마"])
def test_letters_that_happen_to_make_a_word_are_none(text: str) -> None:
    assert READER.read(text).words == ()


def test_texts_with_the_same_words_have_the_same_pattern() -> None:
    one, other = READER.read("엄마 폰 고장"), READER.read("mom, the phone ... broken phone")
    assert one.pattern == other.pattern != 0
    assert READER.read("아빠 폰 고장").pattern != one.pattern
    assert READER.read("안녕").pattern == 0


def test_plain_digits_go_before_numerals_and_an_account_has_no_number_in_its_tail() -> None:
    assert numbers("이 번호 010-1234-5678이야") == ["+821012345678"]
    assert numbers("계좌 110-025-123456") == []
    assert numbers("1500-1800 2026-11-30 14:22 송장 123456789012") == []


def test_two_numbers_are_told_apart_and_the_toll_free_one_is_not_implied() -> None:
    content = READER.read("무료거부 080-123-4567 문의 02-830-1234/010-1234-5678")
    assert [each.number.text for each in content.numbers] == ["+82801234567", "+8228301234", "+821012345678"]
    implied = content.implied(0)
    assert implied is not None
    assert implied.number.text == "+8228301234"
    assert content.implied(8228301234) != implied


@pytest.mark.parametrize(
    ("text", "won"),
    [
        ("959,000원", 959_000), ("959000 원", 959_000), ("95만9천원", 959_000), ("95만 9,000원", 959_000),
        ("₩959,000", 959_000),
        ("구십오만 구천원", 959_000), ("９５９，０００원", 959_000), ("3백만원", 3_000_000), ("1억원", 100_000_000),
        ("959,000 won", 959_000),
    ],
)  # fmt: skip
def test_amounts_are_read_in_every_spelling(text: str, won: int) -> None:
    assert [amount.won for amount in amounts_in(fold(text))] == [won]


@pytest.mark.parametrize("text", ["2 원장님", "3번 원룸", "010-1234-5678", "천원 같은 마음은 아니지만 원"])
def test_other_words_with_won_are_no_amount(text: str) -> None:
    assert [amount.won for amount in amounts_in(fold(text)) if amount.won != 1000] == []


@pytest.mark.parametrize(
    ("text", "risk", "domain"),
    [
        ("https://www.coupang.com/a", "allowed", "coupang.com"), ("efine.go.kr", "allowed", "efine.go.kr"),
        ("http://coupang.com.parcels.top/x", "look_alike", "parcels.top"),
        ("http://c0upang.net", "look_alike", "c0upang.net"),
        ("http://coupng.com", "look_alike", "coupng.com"),
        ("http://kbstar-login.top", "look_alike", "kbstar-login.top"),
        ("http://cоupang.com", "look_alike", "xn--cupang-wqf.com"), ("bit.ly/3x", "shortener", "bit.ly"),
        ("http://1.2.3.4:8080/a", "ip", ""), ("http://xn--9d0b72y.com/", "punycode", "xn--9d0b72y.com"),
        ("hxxp://shop.example.co.kr/a", "other", "example.co.kr"), ("확인bit[.]ly/a에서", "shortener", "bit.ly"),
    ],
)  # fmt: skip
def test_a_link_shows_its_risk_by_its_name(text: str, risk: str, domain: str) -> None:
    (link,) = Links(load_lexicon()).find(text)
    assert (codes.URL_RISKS[link.risk], link.domain) == (risk, domain)


@pytest.mark.parametrize("text", ["오늘 3.5만", "mail@example.com", "버전 1.2.3.4 입니다", "a.b"])
def test_what_only_looks_like_a_link_is_none(text: str) -> None:
    assert Links(load_lexicon()).find(text) == []


def test_a_denied_domain_goes_before_all_others() -> None:
    own = "words: {mum: [a]}\nbrands:\n  shop: {words: [b], domains: [shop.example]}\ndenied: [bad.shop.example]"
    lexicon, _ = check_lexicon_texts([("own.yaml", own)])
    assert lexicon is not None
    risks = {
        link.host: codes.URL_RISKS[link.risk]
        for link in Links(lexicon).find("http://bad.shop.example http://shop.example")
    }
    assert risks == {"bad.shop.example": "denied", "shop.example": "allowed"}


@pytest.mark.parametrize(
    ("text", "asks", "id"),
    [
        ("카톡 아이디 fam1234 로 톡줘", "id", "fam1234"), ("카톡 추가해줘", "add", ""),
        ("kakao ID: fam_12", "id", "fam_12"),
        ("카톡 확인해줘", "none", ""), ("친구 추가", "none", ""),
    ],
)  # fmt: skip
def test_a_request_to_be_added_is_told_from_a_messenger_that_is_only_named(text: str, asks: str, id: str) -> None:
    content = READER.read(text)
    assert (codes.MESSENGER_ASKS[content.messenger], content.messenger_id) == (asks, id)


def test_near_texts_have_near_fingerprints() -> None:
    def of(text: str) -> int:
        return fingerprint(fold(text))

    assert of(PAYMENT) == of(PAYMENT.replace("959,000", "1,200,000").replace("1234", "9876"))
    assert are_near(of(MUM), of(MUM + " 급해"))
    assert not are_near(of(MUM), of(PAYMENT))
    assert not are_near(of(""), of(""))


def test_reading_never_raises_whatever_the_text() -> None:
    for text in (
        "\ud800",
        "+" * 500,
        "0" * 5000,
        "일" * 3000,
        "원" * 100,
        "http://" * 50,
        "http://[::1",
        "\x00",
        "xn--",
        "http://xn--a.xn--b",
    ):
        assert isinstance(READER.read(text), Content)


def test_every_syllable_falls_apart_into_its_letters() -> None:
    import unicodedata

    for code in range(0xAC00, 0xD7A4, 7):
        apart = "".join(fold(unicodedata.normalize("NFD", chr(code))))
        assert symbols_of(chr(code)) == tuple(s for letter in apart for s in symbols_of(letter))


def test_numbers_of_another_home_are_read_by_its_plan() -> None:
    (number,) = numbers_in("call 07911 123456", "GB")
    assert number.number.text == "+447911123456"
