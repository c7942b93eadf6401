"""Telephone numbers: all spellings of one get the same key. 010-1111-0001, +82 10 1111 0001 and 009 82 10 1111 0001 are
one.

A number is kept as an int64: its digits when it is E.164, else a negative hash of its text. Withheld, alphanumeric and
short identities are such texts; they can be counted, and their negative keys can never be taken for a number and
blocked. Nor can a guess: digits that can be read in two ways, or in none, are a text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from schemas.codes import ACCESS_CODES, NUMBER_TYPES
from schemas.spellings import digits_of

E164_DIGITS_MAX = 15
SPELLINGS_CACHED_MAX = 200_000

# How a feed writes numbers; docs/records.md says what each means.
ANY, E164, NATIONAL, SMPP = NUMBER_FORMATS = ("any", "e164", "national", "smpp")
# SMPP's types of number (SMPP 3.4, 5.2.5) that say how the digits are written; the others are no telephone numbers.
_SMPP_TYPES = {0: SMPP, 1: E164, 2: NATIONAL}
_SMPP_TYPED = re.compile(r"\s*([0-7]):(?:[0-9]{1,2}:)?(.*)", re.DOTALL)

_TYPE = {name: code for code, name in enumerate(NUMBER_TYPES)}
_OTHER, _INTERNATIONAL = _TYPE["other"], _TYPE["international"]

# Korea's numbering plan: the digits after +82, how many they may be, and the type. It is ours since phonenumbers does
# not know 1551-xxxx and the like, and calls 030 toll free; 030 is unified messaging and 012 machines, so `other`.
_KOREA: tuple[tuple[str, int, int, str], ...] = (
    *((prefix, 9, 10, "mobile") for prefix in ("10", "11", "16", "17", "18", "19")),
    *((prefix, 8, 8, "representative") for prefix in ("15", "16", "18")),
    ("2", 8, 9, "landline"),
    *((f"3{second}", 9, 10, "landline") for second in (1, 2, 3)),
    *((f"4{second}", 9, 10, "landline") for second in (1, 2, 3, 4)),
    *((f"5{second}", 9, 10, "landline") for second in (1, 2, 3, 4, 5)),
    *((f"6{second}", 9, 10, "landline") for second in (1, 2, 3, 4)),
    ("70", 10, 10, "voip"),
    ("50", 10, 11, "safe"),
    ("80", 9, 10, "toll_free"),
    ("60", 9, 10, "premium"),
    ("30", 9, 11, "other"),
    ("12", 10, 10, "other"),
)
_KOREA_BY_START: dict[tuple[str, int], int] = {
    (prefix, length): _TYPE[name] for prefix, low, high, name in _KOREA for length in range(low, high + 1)
}
_KOREA_ACCESS = tuple(sorted((code for code in ACCESS_CODES if code[:1] == "0"), key=len, reverse=True))
# A domestic carrier may be chosen before a number: 082 10 1111 0001.
_KOREA_CARRIER = re.compile(r"08(?:[1-46-8]|5[0-9]{2})")

# How sure a reading of digits is: the country has numbers of this length, or such numbers; or it is in Korea's plan.
POSSIBLE, VALID, PLANNED = range(3)


@dataclass(frozen=True, slots=True)
class Number:
    """key: the digits when E.164, else negative, never 0. text: "+digits" when E.164, else the text as it came.
    type: code in NUMBER_TYPES. access: code in ACCESS_CODES, 0 for what is not E.164."""

    key: int
    text: str
    type: int
    access: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read digits."""

    digits: str
    type: int
    access: str
    sure: int


@lru_cache(maxsize=SPELLINGS_CACHED_MAX)
def normalise(text: str, region: str = "KR", number_format: str = ANY) -> Number:
    """The number that `text` spells, seen from the home `region` (ISO 3166 code), as `number_format` says that the feed
    writes it. Never raises on any text.

    The access code is what was dialled before a country code; "+" counts as one only before a foreign number. A foreign
    number need not be assigned, but its length must be possible; a Korean one must be in the plan. Home and foreign
    differ by the country calling code, so that the members of one code (+1, +7) are home to each other."""
    address = text
    if number_format == SMPP and (typed := _SMPP_TYPED.fullmatch(text)):
        address, number_format = typed[2], _SMPP_TYPES.get(int(typed[1]), "")
    compact = digits_of(address) if number_format else None
    reading = None if compact is None else _read(compact, region, number_format)
    if reading is None:
        return Number(_text_key(text), text, _OTHER, 0)
    access = "" if reading.access == "+" and reading.type != _INTERNATIONAL else reading.access
    return Number(int(reading.digits), "+" + reading.digits, reading.type, ACCESS_CODES.index(access))


def published(key: int) -> str:
    """E.164 with "+". Raises ValueError for the key of a text that is no number: such keys are never published."""
    if key <= 0:
        raise ValueError("only an E.164 number can be published, and this key is the hash of another text")
    return f"+{key}"


def masked(text_or_key: str | int) -> str:
    """The form that logs may show: "+8210****0001", or the start of the hash if it is no number. At least four digits
    of a number stay hidden."""
    key = normalise(text_or_key).key if isinstance(text_or_key, str) else text_or_key
    if key <= 0:
        return f"other#{-key:016x}"[:14]
    digits = str(key)
    if len(digits) < 8:
        return "+****"
    return f"+{digits[: min(4, len(digits) - 8)]}****{digits[-4:]}"


def e164_rules() -> list[tuple[str, int, int, int]]:
    """The strings "+" + digits that are canonical as they stand: (first digits, fewest digits, most digits, type code).

    For every digit string that starts so and has so many digits in all (country code included), `normalise` gives
    key = int(digits), this type and no access code in every format; a compiled fast path needs nothing else. First
    digits are 82 and one or two more; no two entries cover the same string. Korea only: other home regions always ask
    phonenumbers."""
    return [("82" + prefix, low + 2, high + 2, _TYPE[name]) for prefix, low, high, name in _KOREA]


# -- readings --------------------------------------------------------------------------------------------------


def _read(compact: str, region: str, number_format: str) -> _Reading | None:
    """compact: "+digits" or digits."""
    if compact[0] == "+":
        return _international(compact[1:], region)
    if number_format == E164:
        return _international(compact.removeprefix("00"), region)
    if number_format == SMPP:
        return _smpp(compact, region)
    if region != "KR":
        return _national_by_library(compact, region, trunk_needed=number_format == ANY)
    if compact.startswith("00"):
        return _dialled(compact, number_format)
    # No Korean number starts with 82, so this is a country code whose "+" was lost.
    if compact.startswith("82"):
        return _international(compact, region)
    # Without its 0 a number could be one from abroad whose "+" was lost: 3225123456 is Brussels as well as Incheon. Of
    # the country code 1 there is none so short.
    if number_format == ANY and compact[0] not in "01":
        return None
    return _korean(compact)


def _dialled(compact: str, number_format: str) -> _Reading | None:
    """Digits that begin with 00: behind a Korean access code (006 1 ... is America), or, unless the feed dials
    nationally, behind the international prefix of most other countries (0061 ... is Australia). The surer one counts,
    and none if both are as sure."""
    code = next((code for code in _KOREA_ACCESS if compact.startswith(code)), "")
    behind_code = _international(compact[len(code) :], "KR", code) if code else None
    if number_format == NATIONAL:
        return behind_code
    behind_prefix = _international(compact[2:], "KR")
    if behind_code is None or behind_prefix is None:
        return behind_code or behind_prefix
    if behind_code.sure == behind_prefix.sure:
        return behind_code if behind_code.digits == behind_prefix.digits else None
    return behind_code if behind_code.sure > behind_prefix.sure else behind_prefix


def _smpp(compact: str, region: str) -> _Reading | None:
    """An address without its type of number: international digits, or national ones, if they cannot be both."""
    if compact.startswith("00"):
        return _international(compact[2:], region)
    if region == "KR":
        at_home = _korean(compact)
    else:
        at_home = _national_by_library(compact, region, trunk_needed=False)
    if compact[0] == "0":
        return at_home
    abroad = _international(compact, region)
    if at_home is None:
        return abroad
    if abroad is None or abroad.digits == at_home.digits or abroad.sure == POSSIBLE:
        return at_home
    return None


def _international(digits: str, region: str, access: str = "+") -> _Reading | None:
    """digits: those behind the "+"."""
    if digits.startswith("82") and (number_type := _korean_type(digits[2:])) is not None:
        return _Reading(digits, number_type if region == "KR" else _INTERNATIONAL, access, PLANNED)
    return _by_library("+" + digits, region, access)


def _korean(national: str) -> _Reading | None:
    """A number as it is dialled in Korea, with its 0 or without."""
    carrier = _KOREA_CARRIER.match(national)
    for start in (1 if national[0] == "0" else 0, carrier.end() if carrier else 0):
        number_type = _korean_type(national[start:])
        if number_type is not None:
            return _Reading("82" + national[start:], number_type, "", PLANNED)
    return None


def _korean_type(national: str) -> int | None:
    """The type by Korea's plan of the digits behind +82, None where the plan has none for them."""
    found = _KOREA_BY_START.get((national[:2], len(national)))
    if found is None and national[:1] == "2":
        found = _KOREA_BY_START.get(("2", len(national)))
    return found


def _national_by_library(digits: str, region: str, trunk_needed: bool) -> _Reading | None:
    """Digits as they are dialled in `region`, a country whose plan only phonenumbers knows: they must be valid.

    trunk_needed: without the trunk prefix 0, where the country has one, they must not be valid behind a "+" as well."""
    from phonenumbers import PhoneMetadata

    reading = _by_library(digits, region, "")
    if reading is None or reading.type == _INTERNATIONAL:  # the latter is behind the country's international prefix
        return reading
    metadata = PhoneMetadata.metadata_for_region(region)
    if trunk_needed and metadata and metadata.national_prefix == "0" and digits[0] != "0":
        abroad = _international(digits, region)
        if abroad is not None and abroad.sure >= VALID and abroad.digits != reading.digits:
            return None
    return reading if reading.sure >= VALID else None


def _by_library(compact: str, region: str, access: str) -> _Reading | None:
    """compact as phonenumbers reads it, None if it is not E.164."""
    # Imported here since it takes a tenth of a second, and most of the command line never needs it.
    import phonenumbers as library

    try:
        parsed = library.parse(compact, region)
        canonical = library.format_number(parsed, library.PhoneNumberFormat.E164)
        # Of several leading zeros one goes at a time, but what is published must read back as itself.
        for _ in range(4):
            parsed, before = library.parse(canonical, region), canonical
            canonical = library.format_number(parsed, library.PhoneNumberFormat.E164)
            if canonical == before:
                break
        else:
            return None
    except library.NumberParseException:
        return None
    if library.is_possible_number_with_reason(parsed) != library.ValidationResult.IS_POSSIBLE:
        return None
    digits = canonical[1:]
    if len(digits) > E164_DIGITS_MAX:
        return None
    at_home = parsed.country_code == library.country_code_for_region(region)
    if parsed.country_code == 82:
        number_type = _korean_type(digits[2:])
        if number_type is None:
            return None
        return _Reading(digits, number_type if at_home else _INTERNATIONAL, access, PLANNED)
    sure = VALID if library.is_valid_number(parsed) else POSSIBLE
    return _Reading(digits, _type_by_library(library.number_type(parsed)) if at_home else _INTERNATIONAL, access, sure)


def _type_by_library(number_type: int) -> int:
    """Our type for a home region whose plan we have not written down. FIXED_LINE_OR_MOBILE (all of +1) is `other`:
    the number does not tell."""
    from phonenumbers import PhoneNumberType as Library

    names = {
        Library.MOBILE: "mobile",
        Library.FIXED_LINE: "landline",
        Library.VOIP: "voip",
        Library.PERSONAL_NUMBER: "safe",
        Library.UAN: "representative",
        Library.TOLL_FREE: "toll_free",
        Library.PREMIUM_RATE: "premium",
    }
    return _TYPE[names.get(number_type, "other")]


def _text_key(text: str) -> int:
    """Negative blake2b-63 of the trimmed, case-folded UTF-8 of the NFKC form."""
    folded = unicodedata.normalize("NFKC", text).strip().casefold().encode("utf-8", "surrogatepass")
    value = int.from_bytes(blake2b(folded, digest_size=8).digest(), "big") & (2**63 - 1)
    return -(value or 1)
