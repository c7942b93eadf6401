"""The choices of a rule file (topics, events, fields), read from the tables of feeds and subjects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rules.expression_check import NUMBER, Choice, Hidden, Kind
from schemas import codes
from schemas.features import FEATURE_CHOICES, FEATURE_NUMBERS
from schemas.feeds import FEEDS, InputTopic, counted
from schemas.registry import ANSWERS, KIND_OF_FIELD, REGISTRY_FIELDS
from schemas.subjects import SUBJECTS

_NUMBER_TYPE = Choice(("", *codes.NUMBER_TYPES))
PERIOD_MS_MIN = 60_000
PERIOD_MS_MAX = 366 * 86_400_000
_SCORES = {kind.field for kind in KIND_OF_FIELD.values() if kind.has_score}


def sources() -> dict[str, tuple[str, frozenset[str]]]:
    """For each value of `on:`, its topic and the events that count."""
    return {on: (feed.name, events) for feed in counted() for on, events in feed.sources.items()}


def said_on(wanted: Callable[[frozenset[str]], bool]) -> str:
    """For hints: "`on: X` or `on: Y`", of all sources with the wanted events."""
    return " or ".join(f"`on: {on}`" for on, (_, events) in sources().items() if wanted(events))


def fields(topic: str) -> dict[str, Kind]:
    """Fields of the triggering record that `when` and `where` can read."""
    return {name: _kind(FEEDS[topic], name, column) for name, column in FEEDS[topic].columns.items()}


def texts(topics: Sequence[str]) -> dict[str, Hidden]:
    """Fields of the records that hold texts, numbers or ids, which no expression can read."""
    out = {}
    for feed in (FEEDS[topic] for topic in topics):
        for name in filter(None, (feed.id, feed.number, feed.peer, *feed.distinct, *feed.content)):
            by = name if name in feed.distinct else "content" if name in feed.content else ""
            hint = f"count its values: `distinct: {by}`" if by else "count events instead"
            what = "a number" if name in (feed.number, feed.peer) else "a text"
            if name not in feed.columns and name != "content":
                out[name] = Hidden(f"`{name}` is {what} of the record: conditions match none", hint)
    return out


def enumerations() -> dict[str, Choice]:
    """All fields that have names for values, of every topic and of the registry."""
    found = {name: kind for feed in counted() for name, kind in fields(feed.name).items() if isinstance(kind, Choice)}
    return found | dict.fromkeys(REGISTRY_FIELDS.keys() - _SCORES, Choice(ANSWERS))


def registry_fields(topics: Iterable[str]) -> dict[str, Kind]:
    """Fields that `when` can read besides: what the registry says of the number, whichever the record's topic, and of
    other fields that records of one of these topics have: texts, so that their values can be counted."""
    found = {field for topic in topics for field in FEEDS[topic].distinct}
    of = {name: KIND_OF_FIELD[name].of if name in KIND_OF_FIELD else "" for name in REGISTRY_FIELDS}
    told = {name for name, field in of.items() if not field or field in found}
    return {name: NUMBER if name in _SCORES else Choice(ANSWERS) for name in REGISTRY_FIELDS if name in told}


def all_fields() -> set[str]:
    """The fields of all topics, and those of the registry."""
    return {name for feed in counted() for name in feed.columns} | set(REGISTRY_FIELDS)


def other_subjects() -> tuple[str, ...]:
    """Fields that a counter cannot be `per`, because no topic is keyed by them."""
    return tuple(name for subject in SUBJECTS.values() if not subject.is_counted for name in subject.fields)


def _kind(feed: InputTopic, name: str, column: str) -> Kind:
    if column in ("number_type", "peer_type"):
        return _NUMBER_TYPE
    if column == "access":
        return Choice(codes.ACCESS_CODES)
    if name in FEATURE_CHOICES:
        return Choice(FEATURE_CHOICES[name])
    return NUMBER if column == "duration" or name in FEATURE_NUMBERS else Choice(feed.choices[name])
