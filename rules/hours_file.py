"""The `hours:` of a rule file, read into `Hours`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rules.diagnostics import WARNING
from rules.document import Document, Node
from rules.expression_check import closest
from rules.hours import Hours, Interval, Range, public_holidays, zone
from rules.reading import choice, items, mapping, text

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
          "november", "december")  # fmt: skip
DAYS = ("weekdays", "days_of_month", "months", "years")
FIELDS = ("times", "weekdays", "days_of_month", "months", "years", "location", "holidays")


def read_hours(doc: Document, name: str, node: Node) -> Hours | None:
    """Reads one mapping, or a list of mappings of which any may match."""
    if node.kind != "sequence":
        interval = _interval(doc, node)
        return Hours(name, (interval,)) if interval else None
    listed = items(doc, node, f"hours `{name}`")
    if not listed:
        return None
    intervals = []
    for index, item in enumerate(listed):
        keys = {key.text for key, _ in item.pairs}
        if index and keys and keys <= {"location", "holidays"}:
            word = min(keys)
            key = item.pairs[0][0]
            message = f"`{word}` stands alone as a list item of its own, so it would match at all times of that place"
            doc.error(key, message, f"indent `{word}` under the item before it, without `- `")
            continue
        intervals.append(_interval(doc, item))
    _warn_of_halves(doc, name, listed)
    return Hours(name, tuple(i for i in intervals if i is not None)) if None not in intervals else None


def _warn_of_halves(doc: Document, name: str, listed: Sequence[Node]) -> None:
    """Warns of a time of day in one item and its days in another: whoever writes that mostly wants both at once."""
    keys = [{key.text for key, _ in item.pairs} for item in listed]
    if not any("times" in each and not each.intersection(DAYS) for each in keys):
        return
    for item, has in zip(listed, keys, strict=True):
        if "times" not in has and (days := [day for day in DAYS if day in has]):
            message = f"these `{days[0]}` are in hours `{name}` all day long: a list names alternatives"
            hint = f"to have both at once, put `{days[0]}` into the item with `times`"
            doc.at(item.line, item.column, message, hint, severity=WARNING)
            return


def _interval(doc: Document, node: Node) -> Interval | None:
    before = len(doc.diagnostics)
    keys = mapping(doc, node, "hours", (), FIELDS)
    if keys is None:
        return None
    if not keys and len(doc.diagnostics) == before:
        doc.error(node, "these hours say nothing, so they would be all the time", choices=FIELDS)
    if keys.keys() == {"location"}:
        doc.error(node, "hours with a `location` only would be all the time", "add `times`, `weekdays` or `holidays`")
    members: dict[str, Callable[[str], int]] = {"weekdays": _weekday, "months": _month, "years": _year}
    out = Interval(
        times=_times(doc, keys["times"]) if "times" in keys else (),
        days_of_month=_ranges(doc, keys, "days_of_month", _day_of_month),
        location=_location(doc, keys["location"]) if "location" in keys else "UTC",
        holidays=_country(doc, keys["holidays"]) if "holidays" in keys else "",
        **{field: _ranges(doc, keys, field, member) for field, member in members.items()},
    )
    if len(doc.diagnostics) > before:
        return None
    if out.holidays and "location" not in keys:
        what = "times" if out.times else "days"
        message = f"these {what} are in UTC, and the holidays those of {out.holidays}"
        here = keys["times" if out.times else "holidays"]
        doc.at(
            here.line, here.column, message,
            "say where the clock hangs: `location: Asia/Seoul`, or `location: UTC`", severity=WARNING,
        )  # fmt: skip
    return out


def _times(doc: Document, node: Node) -> tuple[Range, ...]:
    out = []
    for item in items(doc, node, "times") or ():
        keys = mapping(doc, item, "times", ("start_time", "end_time"))
        if keys is None or len(keys) < 2:
            continue
        start, end = (_minute(doc, keys[key]) for key in ("start_time", "end_time"))
        if start is None or end is None:
            continue
        if start >= end:
            hint = "for hours over midnight write two: one until 24:00, one from 00:00"
            doc.error(keys["end_time"], "end_time must be later than start_time", hint)
            continue
        out.append((start, end))
    return tuple(out)


def _minute(doc: Document, node: Node) -> int | None:
    if node.kind == "scalar" and re.fullmatch(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", node.text, re.ASCII):
        return int(node.text[:2]) * 60 + int(node.text[3:])
    doc.error(node, f"`{node.text}` is not a time of day", 'write it as "09:00", from "00:00" to "24:00"')
    return None


def _ranges(doc: Document, keys: dict[str, Node], field: str, member: Callable[[str], int]) -> tuple[Range, ...]:
    """Items like `monday:friday`, `1:5`, `-1`; a single value is a range of one."""
    out = []
    for item in (items(doc, keys[field], field) or ()) if field in keys else ():
        value = text(doc, item, field)
        if value is None:
            continue
        try:
            begin, _, end = value.partition(":")
            span = member(begin.strip()), member(end.strip() if end else begin.strip())
            # With days counted from the end, 28 is the shortest month: what can never match is an error.
            order = [28 + v + 1 if v < 0 else v for v in span]
            if order[0] > order[1] or (span[0] < 0 < span[1]):
                raise ValueError(f"`{value}` ends before it begins; write two ranges")
            out.append(span)
        except ValueError as e:
            doc.error(item, f"{field}: {e}")
    return tuple(out)


def _weekday(word: str) -> int:
    if word.lower() not in WEEKDAYS:
        raise ValueError(f"`{word}` is not a weekday; write one of {', '.join(WEEKDAYS)}, or a range `monday:friday`")
    return WEEKDAYS.index(word.lower())


def _month(word: str) -> int:
    if word.lower() in MONTHS:
        return MONTHS.index(word.lower()) + 1
    if word.isascii() and word.isdigit() and 1 <= int(word) <= 12:
        return int(word)
    raise ValueError(f"`{word}` is not a month; write a name like `january` or a number from 1 to 12")


def _year(word: str) -> int:
    if not re.fullmatch(r"\d{4}", word, re.ASCII):
        raise ValueError(f"`{word}` is not a year of four digits")
    return int(word)


def _day_of_month(word: str) -> int:
    if not re.fullmatch(r"-?\d{1,2}", word, re.ASCII) or not 1 <= abs(int(word)) <= 31:
        raise ValueError(f"`{word}` is not a day of the month; write 1 to 31, or -1 for the last day to -31")
    return int(word)


def _location(doc: Document, node: Node) -> str:
    value = text(doc, node, "location")
    try:
        zone(value or "UTC")
    except ValueError as e:
        import zoneinfo

        hint = closest(value or "", tuple(zoneinfo.available_timezones()))
        doc.error(node, f"location: {e}", hint or "write an IANA name like Asia/Seoul")
    return value or "UTC"


def _country(doc: Document, node: Node) -> str:
    """Reads a country code. Korea is known without the library: its import alone would double the time of a check."""
    value = choice(doc, node, "country", ("KR",)) if node.text in ("", "KR") else text(doc, node, "holidays")
    if value is not None and value != "KR":
        try:
            public_holidays(value, 2026)
        except ValueError as e:
            doc.error(node, f"holidays: {e}", "write a country code like KR")
    return value or ""
