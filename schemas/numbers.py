"""Telephone numbers: all spellings of one get the same key. 010-1111-0001, +82 10 1111 0001 and 009 82 10 1111 0001 are
one.

A number is kept as an int64: its digits when it is E.164, else a negative hash of its text. Withheld, alphanumeric and
short identities are such texts; they can be counted, and their negative keys can never be taken for a number and
blocked.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from schemas.codes import ACCESS_CODES, NUMBER_TYPES

E164_DIGITS_MAX = 15
SPELLINGS_CACHED_MAX = 200_000

_TYPE = {name: code for code, name in enumerate(NUMBER_TYPES)}
_OTHER, _INTERNATIONAL = _TYPE["other"], _TYPE["international"]

# Korea's numbering plan: the digits after +82, how many they may be, and the type. It is ours since phonenumbers does
# not know 1551-xxxx and the like, and calls 030 toll free; 030 is unified messaging, so `other`.
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
)
_KOREA_BY_START: dict[tuple[str, int], int] = {
    (prefix, length): _TYPE[name] for prefix, low, high, name in _KOREA for length in range(low, high + 1)
}

# With fewer digits it is a service, not a subscriber, area code or not: 112, 1366, 02-120, 031-119, 061-1330.
_KOREA_SUBSCRIBER_DIGITS_MIN = 8

_KOREA_ACCESS = tuple(sorted((code for code in ACCESS_CODES if code[:1] == "0"), key=len, reverse=True))

_SEPARATORS = frozenset("-().\u2212\u30fc/")  # besides all white space, dashes and invisible format characters
_COMPACT = re.compile(r"\+?[0-9]+")


@dataclass(frozen=True, slots=True)
class Number:
    """key: the digits when E.164, else negative, never 0. text: "+digits" when E.164, else the text as it came.
    type: code in NUMBER_TYPES. access: code in ACCESS_CODES, 0 for what is not E.164."""

    key: int
    text: str
    type: int
    access: int


@lru_cache(maxsize=SPELLINGS_CACHED_MAX)
def normalise(text: str, region: str = "KR") -> Number:
    """The number that `text` spells, seen from the home `region` (ISO 3166 code). Never raises on any text.

    The access code is what was dialled before a country code; "+" counts as one only before a foreign number. A number
    need not be assigned, but its length must be possible. Home and foreign differ by the country calling code, so that
    the members of one code (+1, +7) are home to each other."""
    compact = _compact(text)
    if compact is None:
        return Number(_text_key(text), text, _OTHER, 0)
    international, access = _dialled(compact, region)
    found = (_by_table(international) if region == "KR" else None) or _by_library(international, region)
    if found is None:
        return Number(_text_key(text), text, _OTHER, 0)
    digits, number_type = found
    if access == "+" and number_type != _INTERNATIONAL:
        access = ""
    return Number(int(digits), "+" + digits, number_type, ACCESS_CODES.index(access))


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
    key = int(digits), this type and no access code; a compiled fast path needs nothing else. First digits are 82 and
    one or two more; no two entries cover the same string. Korea only: other home regions always ask phonenumbers."""
    return [("82" + prefix, low + 2, high + 2, _TYPE[name]) for prefix, low, high, name in _KOREA]


def _compact(text: str) -> str | None:
    """The digits of `text` with a leading "+" if it has one; None if anything but digits and separators is in it.

    Everything is checked before phonenumbers sees it, since that finds numbers inside words and cuts extensions off."""
    if text.isascii() and _COMPACT.fullmatch(text):
        return text
    kept = []
    # Full-width and circled digits become plain ones first, or each would be a way to hide a number.
    for c in unicodedata.normalize("NFKC", text):
        if c.isdecimal():
            kept.append(str(unicodedata.decimal(c)))
        elif c == "+":
            kept.append(c)
        elif not (c in _SEPARATORS or c.isspace() or unicodedata.category(c) in ("Pd", "Cf")):
            return None
    compact = "".join(kept)
    return compact if _COMPACT.fullmatch(compact) and not _is_ipv4(text.strip()) else None


def _is_ipv4(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def _dialled(compact: str, region: str) -> tuple[str, str]:
    """("+digits" where a country code is known to stand there, else as it was; access code)."""
    if compact[0] == "+":
        return compact, "+"
    if region != "KR":
        return compact, ""
    for code in _KOREA_ACCESS:
        if compact.startswith(code):
            return "+" + compact[len(code) :], code
    # No Korean number starts with 82, so this is a country code whose "+" was lost.
    if compact.startswith("82"):
        return "+" + compact, ""
    if compact[0] == "0" and _korean_type(compact[1:]) is not None:
        return "+82" + compact[1:], ""
    return compact, ""


def _by_table(compact: str) -> tuple[str, int] | None:
    """(digits, type) of a number that `e164_rules` covers. Only a short cut: `_by_library` gives the same, slower."""
    if not compact.startswith("+82"):
        return None
    number_type = _korean_type(compact[3:])
    return None if number_type is None else (compact[1:], number_type)


def _korean_type(national: str) -> int | None:
    """The type by Korea's plan of the digits behind +82, None where the plan has none for them."""
    found = _KOREA_BY_START.get((national[:2], len(national)))
    if found is None and national[:1] == "2":
        found = _KOREA_BY_START.get(("2", len(national)))
    return found


def _by_library(compact: str, region: str) -> tuple[str, int] | None:
    """(digits, type) as phonenumbers reads it, None if it is not E.164."""
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
    if parsed.country_code == 82:
        national = digits[2:]
        # 00798 and the like are dialled inside Korea only: no E.164 number starts with 0 behind its country code there.
        if len(national) < _KOREA_SUBSCRIBER_DIGITS_MIN or national[0] == "0":
            return None
    if parsed.country_code != library.country_code_for_region(region):
        return digits, _INTERNATIONAL
    if region == "KR":
        number_type = _korean_type(digits[2:])
        return digits, _OTHER if number_type is None else number_type
    return digits, _type_by_library(library.number_type(parsed))


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
