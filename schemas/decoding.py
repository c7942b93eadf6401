"""The exact decoder of the input topics, which alone decides what is wrong with a record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from schemas.feeds import FEEDS, InputTopic
from schemas.objects import ObjectError, kind_of, read_pairs
from schemas.records import FieldKind
from schemas.times import TimeError, parse_time


class RecordError(Exception):
    """A record that is no valid record of its topic. code: the reason as a word for metrics, one of not_json, empty,
    missing_field, duplicate_field, wrong_type, bad_time, bad_value, too_long. field: None when it is about the record
    as a whole."""

    def __init__(self, code: str, field: str | None, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.code = code
        self.field = field
        self.reason = reason


def decode(topic: str, value: bytes | None, fields: frozenset[str]) -> dict[str, object]:
    """The record's required fields and those of `fields` that it has, times as integer ms; `verified`, if asked for,
    is "none" when absent, and a `complete` record has its times whether asked for or not.

    Other fields are not looked at, whatever they hold: only rules that read them need to. Raises RecordError for the
    first thing wrong, and nothing else, whatever the bytes."""
    feed = FEEDS[topic]
    wanted = _wanted(feed.name, fields)
    record: dict[str, object] = {}
    for error in _errors(feed, wanted, value, record):
        raise error
    if "verified" in wanted:
        record.setdefault("verified", "none")
    return record


def check_all(topic: str, value: bytes | None) -> list[RecordError]:
    """Everything that is wrong in any known field, in the order of the record's definition."""
    return list(_errors(FEEDS[topic], FEEDS[topic].fields, value, {}))


@lru_cache(maxsize=64)
def _wanted(topic: str, fields: frozenset[str]) -> dict[str, FieldKind]:
    return {name: kind for name, kind in FEEDS[topic].fields.items() if kind.required or name in fields}


def _errors(
    feed: InputTopic, wanted: dict[str, FieldKind], value: bytes | None, record: dict[str, object]
) -> Iterator[RecordError]:
    """Fills `record` with the wanted fields that are right, and yields an error for each that is not."""
    try:
        pairs = read_pairs(value)
    except ObjectError as error:
        yield RecordError(error.code, None, str(error))
        return
    found = dict(pairs)
    complete = bool(feed.complete) and found.get("event") == "complete"
    if complete:
        wanted = wanted | {name: feed.fields[name] for name in feed.complete}
    twice = _twice(pairs) if len(found) < len(pairs) else ()
    for name, kind in wanted.items():
        required = kind.required or (complete and name in (feed.complete[0], feed.complete[-1]))
        if name in twice:
            yield RecordError("duplicate_field", name, "is given more than once: give it once")
        elif (item := found.get(name)) is not None:
            try:
                record[name] = _value(name, kind, item)
            except RecordError as error:
                yield error
        elif required:
            of = "`complete` record" if name in feed.complete else f"{feed.name} record"
            yield RecordError("missing_field", name, f"is {'null' if name in found else 'absent'}: every {of} has it")
    if complete:
        yield from _times_out_of_order(feed, record)


def _twice(pairs: list[tuple[str, Any]]) -> set[str]:
    seen: set[str] = set()
    return {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


def _value(name: str, kind: FieldKind, item: object) -> int | str:
    """The field's value as `decode` gives it. Messages never repeat what the record holds."""
    if kind.kind == "time":
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise RecordError(
                "wrong_type", name, f"is {kind_of(item)}: give integer milliseconds or an RFC 3339 string"
            )
        try:
            return parse_time(item)
        except TimeError as error:
            raise RecordError("bad_time", name, str(error)) from None
    if not isinstance(item, str):
        raise RecordError("wrong_type", name, f"is {kind_of(item)}: give a string")
    if kind.choices:
        if item not in kind.choices:
            raise RecordError("bad_value", name, f"is none of {', '.join(kind.choices)}")
        return item
    if not item:
        raise RecordError("bad_value", name, "is an empty string: give its value or leave the field out")
    if len(item) > kind.max_length:
        raise RecordError("too_long", name, f"has {len(item)} characters: at most {kind.max_length} are right")
    # JSON's \ud800 passes as text here but is none: it could not be written out again.
    if not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
        raise RecordError("bad_value", name, "holds half of a surrogate pair: give whole characters")
    return item


def _times_out_of_order(feed: InputTopic, record: dict[str, object]) -> Iterator[RecordError]:
    """The mistakes in the order of a `complete` record's times, among those that are right in themselves."""
    at, setup, answer, release = (record.get(name) for name in feed.times)
    if isinstance(release, int):
        if isinstance(at, int) and at != release:
            yield RecordError("bad_value", "at", "differs from release_at: they are equal in a `complete` record")
        if isinstance(setup, int) and setup > release:
            yield RecordError("bad_value", "setup_at", "is after release_at")
        if isinstance(answer, int) and answer > release:
            yield RecordError("bad_value", "answer_at", "is after release_at")
    if isinstance(setup, int) and isinstance(answer, int) and answer < setup:
        yield RecordError("bad_value", "answer_at", "is before setup_at")
