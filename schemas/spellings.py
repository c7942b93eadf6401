"""Spellings of telephone numbers: finds the digits in a text that is a number and nothing else.

Everything around the digits is checked here, before phonenumbers sees them, since that finds numbers inside words and
cuts extensions off.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata

# Besides all white space, dashes and invisible format characters. Several are typed or drawn for a dash or a dot:
# minus, katakana length mark, box drawing, bullets, and the Hangul letters EU and ARAEA (as NFKC leaves them).
_SEPARATORS = frozenset("-().\u2212\u30fc/\u2500\u2501\u2043\u02d7\u00b7\u2022\u30fb\u1173\u119e")
_COMPACT = re.compile(r"\+?[0-9]+")
# A number that went through a float, as spreadsheets and data frames make of a column with gaps: digits that it ends
# in are no digits of the number.
_FLOAT = re.compile(r"[+-]?[0-9]+\.[0-9]{1,2}")
_URI = re.compile(r"<?(tel|sips?):([^<>]*)>?", re.IGNORECASE)
# Parameters of `tel:` that name another line than the number alone does.
_OTHER_LINE = frozenset({"ext", "isub"})


def digits_of(text: str) -> str | None:
    """The digits of `text` with a leading "+" if it has one; None if it is anything but a number.

    Read are separators, full-width and other decimal digits, percent-encoding, `tel:` URIs and those of `sip:` that say
    `user=phone` (RFC 3966; RFC 3261, 19.1.6). Never raises."""
    if text.isascii() and _COMPACT.fullmatch(text):
        return text
    # Full-width and circled digits become plain ones first, or each would be a way to hide a number.
    plain = unicodedata.normalize("NFKC", _decoded(text)).strip()
    uri = _URI.fullmatch(plain)
    if uri is not None:
        return _of_uri(uri[1].lower(), uri[2])
    return None if _FLOAT.fullmatch(plain) else _without_separators(plain)


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def _of_uri(scheme: str, rest: str) -> str | None:
    if scheme != "tel":
        user, at, host = rest.partition("@")
        if not at or "user=phone" not in host.partition("?")[0].lower().split(";")[1:]:
            return None
        rest = user
    number, *parameters = rest.split(";")
    context = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.lower() in _OTHER_LINE:
            return None
        if name.lower() == "phone-context":
            context = value
    if context.startswith("+") and not number.startswith("+"):
        number = context + number
    return _without_separators(number)


def _without_separators(text: str) -> str | None:
    kept = []
    for c in text:
        if c.isdecimal():
            kept.append(str(unicodedata.decimal(c)))
        elif c == "+":
            kept.append(c)
        elif not (c in _SEPARATORS or c.isspace() or unicodedata.category(c) in ("Pd", "Cf")):
            return None
    compact = "".join(kept)
    return compact if _COMPACT.fullmatch(compact) and not _is_ipv4(text) else None


def _is_ipv4(text: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False
