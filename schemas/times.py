"""Times: integer milliseconds since 1970-01-01T00:00Z, in and out; RFC 3339 with a zone is understood on input."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

YEAR_2000_MS = 946_684_800_000
YEAR_10000_MS = 253_402_300_800_000

_EPOCH = datetime(1970, 1, 1)
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_EXAMPLE = "2026-11-22T09:00:00+09:00"


class TimeError(ValueError):
    """A value that is no time, or a time that nobody can mean. The message says what would be right."""


def parse_time(value: int | str, zone: tzinfo | None = None) -> int:
    """Milliseconds since the epoch, UTC, from such an integer or an RFC 3339 string with a zone. zone: of a string that
    has none, in which a space may stand for the T.

    Fractions may be of any length and are cut to milliseconds. Raises TimeError for anything else, for leap seconds,
    outside the years 2000 to 9999, and for a local time that its zone has twice or never."""
    if isinstance(value, str):
        ms = _from_rfc3339(value, zone)
    elif isinstance(value, int) and not isinstance(value, bool):
        ms = value
    else:
        raise TimeError(
            f"is a {type(value).__name__}, not a time: give integer milliseconds since 1970 or RFC 3339 like {_EXAMPLE}"
        )
    if ms >= YEAR_10000_MS:
        raise TimeError("is after the year 9999: microseconds or nanoseconds taken for milliseconds?")
    if ms < YEAR_2000_MS:
        if isinstance(value, int):
            raise TimeError("is before 2000-01-01: seconds taken for milliseconds? Multiply by 1000")
        raise TimeError("is before 2000-01-01")
    return ms


def rfc3339(ms: int) -> str:
    """Like 2026-11-22T00:00:00.000Z. Raises TimeError outside the years 1 to 9999."""
    try:
        return (_EPOCH + timedelta(milliseconds=ms)).replace(tzinfo=UTC).isoformat(timespec="milliseconds")[:23] + "Z"
    except OverflowError:
        raise TimeError("is outside the years 1 to 9999: give milliseconds since 1970") from None


def _from_rfc3339(text: str, local: tzinfo | None) -> int:
    match = _RFC3339.fullmatch(text if local is None else text.replace(" ", "T", 1))
    if match is None:
        raise TimeError(f"is not RFC 3339: write it like {_EXAMPLE}, or as integer milliseconds since 1970")
    *calendar, fraction, zone = match.groups()
    if zone is None and local is None:
        raise TimeError(f"has no zone: end it in Z or an offset, like {_EXAMPLE}")
    if calendar[5] == "60":
        raise TimeError("is a leap second, which milliseconds since 1970 cannot express: write :59")
    try:
        moment = datetime(*map(int, calendar))  # type: ignore[arg-type]
    except ValueError as error:
        raise TimeError(f"does not exist in the calendar: {error}") from None
    # Whole numbers all the way: a float would round the last millisecond up or down.
    offset_s = _local_offset_s(moment, local) if zone is None and local is not None else _offset_s(zone or "Z")
    seconds = (moment - _EPOCH) // timedelta(seconds=1) - offset_s
    return seconds * 1000 + int(((fraction or "") + "000")[:3])


def _local_offset_s(moment: datetime, zone: tzinfo) -> int:
    """Seconds by which the zone's clocks are ahead of UTC when they show this moment."""
    earlier, later = (moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if earlier is None or later is None:
        raise TimeError("has no place in its zone: end it in Z or an offset")
    if earlier > later:
        raise TimeError("comes twice in its zone, as clocks are set back: end it in Z or an offset")
    if earlier < later:
        raise TimeError("does not exist in its zone, as clocks are set forward: end it in Z or an offset")
    return earlier // timedelta(seconds=1)


def _offset_s(zone: str) -> int:
    if zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise TimeError("has an offset beyond 23:59")
    return (hours * 60 + minutes) * (-60 if zone[0] == "-" else 60)
