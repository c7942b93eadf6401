from __future__ import annotations

import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import numbers
from schemas.codes import ACCESS_CODES, NUMBER_TYPES
from schemas.numbers import NUMBER_FORMATS, e164_rules, masked, normalise, published

# text, E.164 or None where it is none, type, access code
SPELLINGS = [
    ("010-1111-0001", "+821011110001", "mobile", ""),
    ("+82 10 1111 0001", "+821011110001", "mobile", ""),
    ("+821011110001", "+821011110001", "mobile", ""),
    ("821011110001", "+821011110001", "mobile", ""),
    ("82-010-1111-0001", "+821011110001", "mobile", ""),
    ("+82 (0)10 1111 0001", "+821011110001", "mobile", ""),
    ("(+82) 10.1111.0001", "+821011110001", "mobile", ""),
    ("  01011110001\t", "+821011110001", "mobile", ""),
    ("010\u20131111\u20110001", "+821011110001", "mobile", ""),
    ("０１０－１１１１－０００１", "+821011110001", "mobile", ""),
    ("＋８２１０１１１１０００１", "+821011110001", "mobile", ""),
    ("٠١٠١١١١٠٠٠١", "+821011110001", "mobile", ""),
    ("\u202a010\u200b11110001\u202c", "+821011110001", "mobile", ""),
    ("009 82 10 1111 0001", "+821011110001", "mobile", "009"),
    ("00700-82-10-1111-0001", "+821011110001", "mobile", "00700"),
    ("００６８２１０１１１１０００１", "+821011110001", "mobile", "006"),
    ("1011110001", "+821011110001", "mobile", ""),
    ("011-123-4567", "+82111234567", "mobile", ""),
    ("016-1234-5678", "+821612345678", "mobile", ""),
    ("019-123-4567", "+82191234567", "mobile", ""),
    ("02-123-4567", "+8221234567", "landline", ""),
    ("02-1234-5678", "+82212345678", "landline", ""),
    ("031-123-4567", "+82311234567", "landline", ""),
    ("044-1234-5678", "+824412345678", "landline", ""),
    ("064-123-4567", "+82641234567", "landline", ""),
    ("070-7893-0001", "+827078930001", "voip", ""),
    ("050-1234-5678", "+825012345678", "safe", ""),
    ("0507-1234-5678", "+8250712345678", "safe", ""),
    ("0505-123-4567", "+825051234567", "safe", ""),
    ("1588-1234", "+8215881234", "representative", ""),
    ("1551-1234", "+8215511234", "representative", ""),
    ("1661-1234", "+8216611234", "representative", ""),
    ("1899-1234", "+8218991234", "representative", ""),
    ("+82 1522-1234", "+8215221234", "representative", ""),
    ("8215511234", "+8215511234", "representative", ""),
    ("080-123-4567", "+82801234567", "toll_free", ""),
    ("060-700-1234", "+82607001234", "premium", ""),
    ("060-1234-5678", "+826012345678", "premium", ""),
    ("030-1234-5678", "+823012345678", "other", ""),
    ("0303-1234-5678", "+8230312345678", "other", ""),
    ("030-123-4567", "+82301234567", "other", ""),
    ("012-1234-5678", "+821212345678", "other", ""),
    ("082-10-1111-0001", "+821011110001", "mobile", ""),
    ("010ㅡ1111ㅡ0001", "+821011110001", "mobile", ""),
    ("010─1111·0001", "+821011110001", "mobile", ""),
    ("%2B821011110001", "+821011110001", "mobile", ""),
    ("010%201111%200001", "+821011110001", "mobile", ""),
    ("tel:+82-10-1111-0001", "+821011110001", "mobile", ""),
    ("TEL:010-1111-0001", "+821011110001", "mobile", ""),
    ("<tel:+821011110001;verstat=TN-Validation-Passed>", "+821011110001", "mobile", ""),
    ("tel:010-1111-0001;phone-context=+82", "+821011110001", "mobile", ""),
    ("tel:010-1111-0001;phone-context=ims.carrier.example", "+821011110001", "mobile", ""),
    ("tel:+12025550123;cpc=ordinary", "+12025550123", "international", "+"),
    ("sip:+821011110001@ims.mnc008.mcc450.3gppnetwork.org;user=phone", "+821011110001", "mobile", ""),
    ("sips:01011110001@carrier.example:5061;transport=tcp;user=phone?x=y", "+821011110001", "mobile", ""),
    ("<sip:%2B821011110001;npdi@carrier.example;user=phone>", "+821011110001", "mobile", ""),
    ("0061 412 345 678", "+61412345678", "international", "+"),
    ("0086 139 1234 5678", "+8613912345678", "international", "+"),
    ("0082 10 1111 0001", "+821011110001", "mobile", ""),
    ("tel:010-1111-0001;ext=3", None, "other", ""),
    ("tel:", None, "other", ""),
    ("tel:;phone-context=+82", None, "other", ""),
    ("sip:+821011110001@carrier.example", None, "other", ""),
    ("sip:user=phone;user=phone", None, "other", ""),
    ("sip:+821011110001:secret@carrier.example;user=phone", None, "other", ""),
    ("sip:kim@carrier.example;user=phone", None, "other", ""),
    ("%", None, "other", ""),
    ("%FF%FE", None, "other", ""),
    ("8613912345678", None, "other", ""),
    ("+828613912345678", None, "other", ""),
    ("12025550123", None, "other", ""),
    ("3225123456", None, "other", ""),
    ("821012345678.0", None, "other", ""),
    ("1012345678.00", None, "other", ""),
    ("+821012345678.5", None, "other", ""),
    ("010-1111-0001/0002", None, "other", ""),
    ("+12025550123", "+12025550123", "international", "+"),
    ("+1 (202) 555-0123", "+12025550123", "international", "+"),
    ("001 1 202 555 0123", "+12025550123", "international", "001"),
    ("002-44-20-7946-0958", "+442079460958", "international", "002"),
    ("00777 81 3 1234 5678", "+81312345678", "international", "00777"),
    ("00391 81 3 1234 5678", "+81312345678", "international", "00391"),
    ("+44 (0)20 7946 0958", "+442079460958", "international", "+"),
    ("+39 06 12345678", "+390612345678", "international", "+"),
    ("+979 123 456 789", "+979123456789", "international", "+"),
    ("114", None, "other", ""),
    ("112", None, "other", ""),
    ("+82112", None, "other", ""),
    ("02-119", None, "other", ""),
    ("031-119", None, "other", ""),
    ("+8231120", None, "other", ""),
    ("1366", None, "other", ""),
    ("1588", None, "other", ""),
    ("12345", None, "other", ""),
    ("123456", None, "other", ""),
    ("123-4567", None, "other", ""),
    ("BANK", None, "other", ""),
    ("BANK1588-1234", None, "other", ""),
    ("call 010-1111-0001", None, "other", ""),
    ("010-1111-0001 ext 3", None, "other", ""),
    ("010-1111-0001;ext=3", None, "other", ""),
    ("010-1111-0001x3", None, "other", ""),
    ("010-1111-0001,3", None, "other", ""),
    ("*23#01011110001", None, "other", ""),
    ("sip:01011110001@carrier.example", None, "other", ""),
    ("01011110001@carrier.example", None, "other", ""),
    ("1-800-FLOWERS", None, "other", ""),
    ("192.168.100.200", None, "other", ""),
    ("anonymous", None, "other", ""),
    ("엄마", None, "other", ""),
    ("", None, "other", ""),
    (" ", None, "other", ""),
    ("+", None, "other", ""),
    ("++821011110001", None, "other", ""),
    ("82+1011110001", None, "other", ""),
    ("+0821011110001", None, "other", ""),
    ("+999 123 456 789", None, "other", ""),
    ("+1800", None, "other", ""),
    ("00112", None, "other", ""),
    ("001 010 1111 0001", None, "other", ""),
    ("00798 123 456 789", None, "other", ""),
    ("+8200798123456", None, "other", ""),
    ("0" * 5000, None, "other", ""),
    ("1234567890123456", None, "other", ""),
    ("\ud800", None, "other", ""),
]


@pytest.mark.parametrize(("text", "e164", "number_type", "access"), SPELLINGS, ids=lambda v: ascii(v)[:40])
def test_a_spelling_gives_its_number_type_and_access_code(
    text: str, e164: str | None, number_type: str, access: str
) -> None:
    number = normalise(text)
    assert number.text == (e164 or text)
    assert NUMBER_TYPES[number.type] == number_type
    assert ACCESS_CODES[number.access] == access
    if e164 is None:
        assert -(2**63) < number.key < 0
    else:
        assert number.key == int(e164[1:])


@pytest.mark.parametrize("code", [code for code in ACCESS_CODES if code.startswith("0")])
def test_every_access_code_is_kept_and_taken_off(code: str) -> None:
    number = normalise(f"{code} 82 10 1111 0001")
    assert (number.key, ACCESS_CODES[number.access]) == (821011110001, code)


def test_no_access_code_starts_another_so_that_their_order_does_not_matter() -> None:
    codes = [code for code in ACCESS_CODES if code.startswith("0")]
    assert [(a, b) for a in codes for b in codes if a != b and b.startswith(a)] == []


def test_texts_that_differ_in_case_and_margins_only_share_a_key_and_others_do_not() -> None:
    assert normalise("BANK").key == normalise(" bank\n").key == normalise("ＢＡＮＫ").key
    assert len({normalise(text).key for text in ("BANK", "BANK1", "anonymous", "114", "112", "")}) == 6


def test_the_key_of_a_text_never_changes_between_releases() -> None:
    # Written down once: stored state holds these keys.
    assert normalise("anonymous").key == -0x1F6EC4D2833FFBA3
    assert normalise("114").key == -0x7C270298F93927FC


def test_home_is_another_country_when_the_region_says_so() -> None:
    assert NUMBER_TYPES[normalise("+821011110001", "US").type] == "international"
    assert normalise("202-555-0123", "US") == numbers.Number(12025550123, "+12025550123", 0, 0)
    assert NUMBER_TYPES[normalise("07400 123456", "GB").type] == "mobile"
    assert ACCESS_CODES[normalise("+44 7400 123456", "GB").access] == ""
    assert normalise("011 82 10 1111 0001", "US").key == 821011110001


# text, format, region, E.164 or None, access code: what a feed's format settles.
FORMATS = [
    ("8613912345678", "e164", "KR", "+8613912345678", "+"),
    ("008613912345678", "e164", "KR", "+8613912345678", "+"),
    ("821011110001", "e164", "KR", "+821011110001", ""),
    ("00821011110001", "e164", "KR", "+821011110001", ""),
    ("006591234567", "e164", "KR", "+6591234567", "+"),
    ("3225123456", "e164", "KR", "+3225123456", "+"),
    ("01011110001", "e164", "KR", None, ""),
    ("1011110001", "e164", "KR", None, ""),
    ("8613912345678", "national", "KR", None, ""),
    ("3225123456", "national", "KR", "+823225123456", ""),
    ("01011110001", "national", "KR", "+821011110001", ""),
    ("+8613912345678", "national", "KR", "+8613912345678", "+"),
    ("00861391234567", "national", "KR", "+61391234567", "008"),
    ("00700 82 10 1111 0001", "national", "KR", "+821011110001", "00700"),
    ("0044 20 7946 0958", "national", "KR", None, ""),
    ("8613912345678", "smpp", "KR", "+8613912345678", "+"),
    ("1:8613912345678", "smpp", "KR", "+8613912345678", "+"),
    ("1:1:01011110001", "smpp", "KR", None, ""),
    ("2:1011110001", "smpp", "KR", "+821011110001", ""),
    ("2:8:01011110001", "smpp", "KR", "+821011110001", ""),
    ("0:01011110001", "smpp", "KR", "+821011110001", ""),
    ("5:0:BANK", "smpp", "KR", None, ""),
    ("5:01011110001", "smpp", "KR", None, ""),
    ("3:01011110001", "smpp", "KR", None, ""),
    ("01011110001", "smpp", "KR", "+821011110001", ""),
    ("1011110001", "smpp", "KR", "+821011110001", ""),
    ("008613912345678", "smpp", "KR", "+8613912345678", "+"),
    ("3225123456", "smpp", "KR", None, ""),
    ("15881234", "smpp", "KR", "+8215881234", ""),
    ("821011110001", "smpp", "KR", "+821011110001", ""),
    ("1:8613912345678", "any", "KR", None, ""),
    ("00 44 20 7946 0958", "any", "DE", "+442079460958", ""),
    ("030 901820", "any", "DE", "+4930901820", ""),
    ("8613912345678", "any", "DE", None, ""),
    ("8613912345678", "e164", "DE", "+8613912345678", "+"),
    ("8613912345678", "smpp", "DE", None, ""),
    ("2025550123", "any", "US", "+12025550123", ""),
    ("8613912345678", "any", "US", None, ""),
]


@pytest.mark.parametrize(("text", "number_format", "region", "e164", "access"), FORMATS)
def test_a_format_says_which_reading_of_digits_is_right(
    text: str, number_format: str, region: str, e164: str | None, access: str
) -> None:
    number = normalise(text, region, number_format)
    assert number.text == (e164 or text)
    assert (number.key > 0) == (e164 is not None)
    assert ACCESS_CODES[number.access] == access


RULES = e164_rules()


@st.composite
def covered(draw: st.DrawFn) -> tuple[str, int]:
    prefix, low, high, number_type = draw(st.sampled_from(RULES))
    rest = draw(st.integers(low, high)) - len(prefix)
    return prefix + draw(st.text("0123456789", min_size=rest, max_size=rest)), number_type


@settings(max_examples=500, deadline=None)
@given(covered())
def test_what_a_rule_of_the_fast_path_covers_is_canonical_as_it_stands(case: tuple[str, int]) -> None:
    digits, number_type = case
    expected = numbers.Number(int(digits), "+" + digits, number_type, 0)
    assert normalise("+" + digits) == expected
    assert all(normalise("+" + digits, "KR", each) == expected for each in NUMBER_FORMATS)
    # The plan's reading of the domestic spelling must agree with the library's, too.
    spellings = ["+" + digits, "0" + digits[2:]] if len(digits) > 10 else ["+" + digits]
    for spelling in spellings:
        assert normalise(spelling) == normalise(spelling, "KR", "national") == expected
        parsed = phonenumbers.parse(spelling, "KR")
        assert phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164) == "+" + digits


def test_no_two_rules_of_the_fast_path_cover_the_same_string() -> None:
    for i, (prefix, low, high, _) in enumerate(RULES):
        for other, other_low, other_high, _ in RULES[:i]:
            if prefix.startswith(other) or other.startswith(prefix):
                assert high < other_low or other_high < low, (prefix, other)


def test_the_rules_of_the_fast_path_cover_every_type_at_home() -> None:
    assert {NUMBER_TYPES[rule[3]] for rule in RULES} == set(NUMBER_TYPES) - {"international"}
    assert all(prefix.startswith("82") and len(prefix) <= 5 and low <= high <= 15 for prefix, low, high, _ in RULES)


dialled = st.text("0123456789+- ()", max_size=20) | st.text(max_size=30)


@settings(max_examples=500, deadline=None)
@given(
    dialled | st.from_regex(r"(\+|tel:|00|[0-7]:)?[1-9][0-9]{6,14}", fullmatch=True),
    st.sampled_from(["KR", "US", "GB", "IT", "DE"]),
    st.sampled_from(NUMBER_FORMATS),
)
def test_any_text_gives_a_key_and_what_is_published_reads_back_as_itself(
    text: str, region: str, number_format: str
) -> None:
    number = normalise(text, region, number_format)
    assert number.key != 0
    assert -(2**63) < number.key < 10**15
    if number.key > 0:
        assert published(number.key) == number.text
        assert normalise(number.text, region, number_format).key == number.key
    else:
        assert number == numbers.Number(number.key, text, 0, 0)


def test_only_numbers_are_published() -> None:
    assert published(821011110001) == "+821011110001"
    for key in (0, normalise("anonymous").key):
        with pytest.raises(ValueError, match=r"only an E\.164 number can be published"):
            published(key)


def test_a_masked_number_hides_at_least_four_digits_and_a_masked_text_all_of_it() -> None:
    assert masked("010-1111-0001") == masked(821011110001) == "+8210****0001"
    assert masked("1588-1234") == "+82****1234"
    assert masked(12345678) == "+****5678"
    assert masked(1234567) == "+****"
    assert masked("kim@carrier.example").startswith("other#")
    assert "kim" not in masked("kim@carrier.example")


def test_reading_records_does_not_load_the_number_library() -> None:
    script = "import sys, schemas.records, schemas.numbers; sys.exit('phonenumbers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
