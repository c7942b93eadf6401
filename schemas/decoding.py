"""The exact decoder of the input topics, which alone decides what is wrong with a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from functools import lru_cache
from typing import Any

from schemas.envelopes import envelope_seen
from schemas.feeds import FEEDS, InputTopic
from schemas.objects import ObjectError, kind_of, read_pairs
from schemas.records import FieldKind
from schemas.times import TimeError, parse_time

# The effect of a flaw: the record is a dead letter, the field is absent, or its text is kept as it stands, however odd.
DEAD, ABSENT, KEPT = "dead", "absent", "kept"
ENVELOPED = "enveloped"

ZoneOf = Callable[[Mapping[str, Any]], tzinfo | None]


class RecordError(Exception):
    """A flaw of a record. code: the reason as a word for metrics, one of not_json, enveloped, empty, missing_field,
    duplicate_field, wrong_type, bad_time, bad_value, too_long. field: None when it is about the record as a whole.
    effect: DEAD, ABSENT or KEPT."""

    def __init__(self, code: str, field: str | None, reason: str, effect: str = DEAD) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.code = code
        self.field = field
        self.reason = reason
        self.effect = effect


def read(
    topic: str, value: bytes | None, fields: frozenset[str], zone_of: ZoneOf | None = None
) -> tuple[dict[str, object], list[RecordError]]:
    """(the record's required fields and those of `fields` that it has, the flaws of these). Times are integer ms;
    `verified`, if asked for, is "none" when absent, and a `complete` record has its times whether asked for or not.
    zone_of: the zone of times without one, by the record's fields as they stand; None for none.

    A flawed field is left out, and a flaw in who vouches for the number leaves nobody who does. Other fields are not
    looked at, whatever they hold: only rules that read them need to. Raises RecordError, and nothing else, whatever
    the bytes, for the first flaw that makes the record a dead letter."""
    row = FEEDS[topic]
    wanted = _wanted(row.name, fields)
    record: dict[str, object] = {}
    flaws: list[RecordError] = []
    for error in _errors(row, wanted, value, record, zone_of):
        if error.effect == DEAD:
            raise error
        flaws.append(error)
        if error.effect == ABSENT and error.field is not None:
            record.pop(error.field, None)
    if flaws and any(flaw.field in row.vouching for flaw in flaws):
        record.pop("verified", None)
    if "verified" in wanted:
        record.setdefault("verified", "none")
    return record, flaws


def decode(topic: str, value: bytes | None, fields: frozenset[str]) -> dict[str, object]:
    """The record as `read` gives it, without its flaws."""
    return read(topic, value, fields)[0]


def check_all(topic: str, value: bytes | None, zone_of: ZoneOf | None = None) -> list[RecordError]:
    """Everything that is wrong in any known field, in the order of the record's definition."""
    return list(_errors(FEEDS[topic], FEEDS[topic].fields, value, {}, zone_of))


@lru_cache(maxsize=64)
def _wanted(topic: str, fields: frozenset[str]) -> dict[str, FieldKind]:
    return {name: kind for name, kind in FEEDS[topic].fields.items() if kind.required or name in fields}


def _errors(
    feed: InputTopic,
    wanted: dict[str, FieldKind],
    value: bytes | None,
    record: dict[str, object],
    zone_of: ZoneOf | None,
) -> Iterator[RecordError]:
    """Fills `record` with the wanted fields that are right, and yields an error for each that is not."""
    try:
        pairs = read_pairs(value)
    except ObjectError as error:
        seen = envelope_seen(value)
        yield RecordError(ENVELOPED, None, seen) if seen else RecordError(error.code, None, str(error))
        return
    found = dict(pairs)
    if found.keys().isdisjoint(feed.essential) and (seen := envelope_seen(value)):
        yield RecordError(ENVELOPED, None, seen)
        return
    zone = zone_of(found) if zone_of is not None else None
    complete = bool(feed.complete) and found.get("event") == "complete"
    if complete:
        wanted = wanted | {name: feed.fields[name] for name in feed.complete}
    twice = _twice(pairs) if len(found) < len(pairs) else ()
    for name, kind in wanted.items():
        required = kind.required or (complete and name in (feed.complete[0], feed.complete[-1]))
        effect = DEAD if name in feed.essential else ABSENT
        if name in twice:
            yield RecordError("duplicate_field", name, "is given more than once: give it once", effect)
        elif (item := found.get(name)) is not None:
            try:
                record[name] = _value(name, kind, item, zone)
            except RecordError as error:
                error.effect = effect
                yield _unanswered(feed, error, item)
                continue
            if isinstance(item, str) and (odd := _oddity(name, kind, item)) is not None:
                odd.effect = KEPT if name in feed.identities else effect
                yield odd
        elif required:
            of = "`complete` record" if name in feed.complete else f"{feed.name} record"
            absent = "null" if name in found else "absent"
            yield RecordError("missing_field", name, f"is {absent}: every {of} has it", effect)
    if complete:
        yield from _times_out_of_order(feed, record)


def _twice(pairs: list[tuple[str, Any]]) -> set[str]:
    seen: set[str] = set()
    return {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


def _unanswered(feed: InputTopic, error: RecordError, item: object) -> RecordError:
    """The error, or another where an optional time of a `complete` record stands for "never"."""
    never = item in (0, -1, "") or str(item)[:4] in ("0000", "0001", "1900", "1970")
    if error.field in feed.complete[1:-1] and error.code == "bad_time" and never:
        return RecordError(error.code, error.field, "says never: leave it out of what never happened", error.effect)
    return error


def _value(name: str, kind: FieldKind, item: object, zone: tzinfo | None) -> int | str:
    """The field's value as `decode` gives it. Messages never repeat what the record holds."""
    if kind.kind == "time":
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise RecordError(
                "wrong_type", name, f"is {kind_of(item)}: give integer milliseconds or an RFC 3339 string"
            )
        try:
            return parse_time(item, zone)
        except TimeError as error:
            raise RecordError("bad_time", name, str(error)) from None
    if not isinstance(item, str):
        raise RecordError("wrong_type", name, f"is {kind_of(item)}: give a string")
    if kind.choices:
        if item not in kind.choices:
            raise RecordError("bad_value", name, f"is none of {', '.join(kind.choices)}")
        return item
    if not item:
        remedy = "give its value" if kind.required else "give its value or leave the field out"
        raise RecordError("bad_value", name, f"is an empty string: {remedy}")
    return item


def _oddity(name: str, kind: FieldKind, item: str) -> RecordError | None:
    """The flaw of a text that can be read nevertheless: whoever chooses an id or a number, and a caller does, cannot
    take the record out of all counts by one."""
    if kind.max_length and len(item) > kind.max_length:
        return RecordError("too_long", name, f"has {len(item)} characters: at most {kind.max_length} are right")
    # JSON's \ud800 passes as text here but is none: it could not be written out again.
    if not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
        return RecordError("bad_value", name, "holds half of a surrogate pair: give whole characters")
    return None


def _times_out_of_order(feed: InputTopic, record: dict[str, object]) -> Iterator[RecordError]:
    """The mistakes in the order of a `complete` record's times, among those that are right in themselves."""
    at, setup, answer, release = (record.get(name) for name in feed.times)
    if isinstance(release, int):
        if isinstance(at, int) and at != release:
            yield RecordError("bad_value", "at", "differs from release_at: they are equal in a `complete` record")
        if isinstance(setup, int) and setup > release:
            yield RecordError("bad_value", "setup_at", "is after release_at")
        if isinstance(answer, int) and answer > release:
            yield RecordError("bad_value", "answer_at", "is after release_at", ABSENT)
    if isinstance(setup, int) and isinstance(answer, int) and answer < setup:
        yield RecordError("bad_value", "answer_at", "is before setup_at", ABSENT)
