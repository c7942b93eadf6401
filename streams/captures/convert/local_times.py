"""Reads times as other systems write them: a pattern with a zone, or a count of seconds, milliseconds or
microseconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from schemas.times import TimeError, parse_time

COUNTS_MS = {"s": 1000.0, "ms": 1.0, "us": 0.001}  # milliseconds of one
RFC3339 = "rfc3339"
RECORD = "record"  # as in records: milliseconds or RFC 3339
AMBIGUOUS = ("refuse", "earlier", "later")
MINUTES_CACHED = TEXTS_CACHED = 4096  # neighbours in a file tell of the same minutes, and of the same seconds

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Directives of strftime, each with the text that it stands for.
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d{2})", "m": r"(?P<m>\d{1,2})", "b": r"(?P<b>[A-Za-z]{3})",
    "d": r"(?P<d>\d{1,2})", "H": r"(?P<H>\d{1,2})", "I": r"(?P<I>\d{1,2})", "p": r"(?P<p>[AaPp]\.?[Mm]\.?)",
    "M": r"(?P<M>\d{2})", "S": r"(?P<S>\d{2})(?:[.,](?P<f>\d+))?",
    "z": r"(?P<z>[Zz]|UTC|GMT|[+-]\d{2}:?\d{2})", "a": r"[A-Za-z]{3}", "%": "%",
}  # fmt: skip
_WHOLE = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "D": "%m/%d/%y", "R": "%H:%M"}
_RFC3339_LOCAL = "%Y-%m-%dT%H:%M:%S"
_COUNT = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]+)?")
_EPOCH = datetime(1970, 1, 1)


class FormatError(ValueError):
    """A pattern of times that cannot be read; the message says why."""


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name, of UTC, or of an offset such as +09:00. Raises FormatError."""
    if offset := re.fullmatch(r"([+-])(\d{2}):?(\d{2})", name):
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes >= 24 * 60:
            raise FormatError(f"`{name}` is beyond 23:59")
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise FormatError(f"`{name}` is no zone; write a name such as Asia/Seoul, UTC, or an offset +09:00") from None


def time_reader(format_: str, zone: tzinfo | None, ambiguous: str = "refuse") -> Callable[[str], int]:
    """A function from text to milliseconds since the epoch, which raises TimeError. format_: `s`, `ms`, `us`,
    `rfc3339`, `record`, or a pattern of strftime's directives. zone: of texts without one. ambiguous: what to do with a
    local time that comes twice as clocks are set back. Raises FormatError."""
    if format_ in COUNTS_MS:
        return _counts(COUNTS_MS[format_])
    if format_ == RECORD:
        ms, text_ms = _counts(1.0), time_reader(RFC3339, zone, ambiguous)
        return lambda text: ms(text) if text.isdecimal() else text_ms(text)
    if format_ == RFC3339:
        return _rfc3339(time_reader(_RFC3339_LOCAL, zone, ambiguous) if zone else None)
    pattern, names = _compiled(format_)
    if "z" not in names and zone is None:
        raise FormatError(f"`{format_}` has no zone in it (%z)")
    return _pattern(format_, pattern, zone or UTC, ambiguous)


def _counts(unit_ms: float) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _COUNT.fullmatch(text):
            raise TimeError("is no count of seconds or milliseconds: name another `format`")
        if "." not in text:
            return parse_time(int(text) * int(unit_ms) if unit_ms >= 1 else int(text) // 1000)
        whole, fraction = text.split(".")
        if unit_ms == 1000.0:
            return parse_time(int(whole) * 1000 + int((fraction + "000")[:3]))
        return parse_time(int(whole) * int(unit_ms) if unit_ms >= 1 else int(whole) // 1000)

    return read


def _rfc3339(local: Callable[[str], int] | None) -> Callable[[str], int]:
    def read(text: str) -> int:
        text = text.replace(" ", "T", 1)
        if local is not None and not re.search(r"([Zz]|[+-]\d{2}:\d{2})$", text):
            return local(text)
        return parse_time(text)

    return read


def _compiled(format_: str) -> tuple[re.Pattern[str], set[str]]:
    whole = re.sub(r"%([TFDR])", lambda found: _WHOLE[found[1]], format_).replace("%S.%f", "%S").replace("%S,%f", "%S")
    out, names = [], set()
    for part in re.split(r"(%.)", whole):
        if not part.startswith("%"):
            out.append(re.sub(r"\s+", r"\\s+", re.escape(part).replace(r"\ ", " ")))
            continue
        directive = part[1:]
        if directive not in _DIRECTIVES:
            raise FormatError(f"`{part}` is no directive here; there are {', '.join('%' + d for d in _DIRECTIVES)}")
        if directive in names:
            raise FormatError(f"`{part}` stands there twice")
        names.add(directive)
        out.append(_DIRECTIVES[directive])
    lacking = [text for text, any_of in (("%Y", "Yy"), ("%m", "mb"), ("%d", "d"), ("%H", "HI"), ("%M", "M"))
               if not names & set(any_of)]  # fmt: skip
    if lacking:
        raise FormatError(f"`{format_}` is no format of times: {', '.join(lacking)} is missing")
    if "I" in names and "p" not in names:
        raise FormatError("`%I` needs `%p`: the half of the day")
    return re.compile("".join(out), re.ASCII), names


def _pattern(format_: str, pattern: re.Pattern[str], zone: tzinfo, ambiguous: str) -> Callable[[str], int]:
    @lru_cache(MINUTES_CACHED)
    def minute_ms(*calendar: int) -> int:
        return _minute_ms(calendar, zone, ambiguous)

    def read(text: str) -> int:
        match = pattern.fullmatch(text)
        if match is None:
            raise TimeError(f"is not like {format_}: name another `format`")
        found = match.groupdict()
        if found.get("S") == "60":
            raise TimeError("is a leap second, which milliseconds since 1970 cannot express")
        within_ms = int(found.get("S") or 0) * 1000 + int(((found.get("f") or "") + "000")[:3])
        if within_ms >= 60_000:
            raise TimeError("does not exist in the calendar: a minute has 60 seconds")
        calendar = _calendar(found)
        if offset := found.get("z"):
            at = _local(calendar)
            return parse_time((at - _EPOCH) // timedelta(milliseconds=1) - _offset_ms(offset) + within_ms)
        return parse_time(minute_ms(*calendar) + within_ms)

    return lru_cache(TEXTS_CACHED)(read)


def _calendar(found: dict[str, str | None]) -> tuple[int, int, int, int, int]:
    year = int(found["Y"] or 0) if found.get("Y") else 2000 + int(found["y"] or 0)
    if name := found.get("b"):
        if name.lower() not in _MONTHS:
            raise TimeError("names no month")
        month = _MONTHS.index(name.lower()) + 1
    else:
        month = int(found["m"] or 0)
    if half := found.get("p"):
        hour = int(found["I"] or 0) if found.get("I") else int(found["H"] or 0)
        if not 1 <= hour <= 12:
            raise TimeError("does not exist in the calendar: half a day has 12 hours")
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    else:
        hour = int(found["H"] or 0)
    return year, month, int(found["d"] or 0), hour, int(found["M"] or 0)


def _local(calendar: tuple[int, ...]) -> datetime:
    try:
        return datetime(*calendar)  # type: ignore[arg-type]
    except ValueError as error:
        raise TimeError(f"does not exist in the calendar: {error}") from None


def _minute_ms(calendar: tuple[int, ...], zone: tzinfo, ambiguous: str) -> int:
    """The start of a local minute. Clocks are set at whole minutes, so all of a minute is ambiguous or none of it."""
    local = _local(calendar)
    try:
        first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        assert first is not None
        assert second is not None
        if first != second:
            back = (local.replace(tzinfo=zone).astimezone(UTC)).astimezone(zone).replace(tzinfo=None)
            if back != local:
                raise TimeError(f"does not exist in {zone}: clocks are set forward over it")
            if ambiguous == "refuse":
                raise TimeError(
                    f"comes twice in {zone}, where clocks are set back: say `ambiguous: earlier` or `later` in the map"
                )
        offset = second if ambiguous == "later" else first
        return (local - _EPOCH - offset) // timedelta(milliseconds=1)
    except OverflowError:
        raise TimeError("is outside of the calendar") from None


def _offset_ms(text: str) -> int:
    if text[0] not in "+-":
        return 0
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise TimeError("has an offset beyond 23:59")
    return (hours * 60 + minutes) * (-60_000 if text[0] == "-" else 60_000)
