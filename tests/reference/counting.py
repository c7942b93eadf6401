"""The readings of counters, from every event of one number on the counter's topic, all of them kept."""

from __future__ import annotations

from dataclasses import dataclass

from rules.model import Counter
from schemas.feeds import EVENTS
from tests.reference.conditions import Value, holds

LIVE_MAX = 64  # more calls than this read as so many
FLOOR = 1e-6  # a gray level below it is 0


@dataclass
class Event:
    """One event as the counters see it: accepted, its time final. None is what the record does not say."""

    topic: str
    event: str  # a name from schemas.feeds.EVENTS
    number: int
    at_ms: int
    id: str
    fields: dict[str, Value]  # as conditions call them
    things: dict[str, object]  # what `distinct` can count
    vouched: bool  # somebody vouches for the number
    closed: bool = False  # a set-up whose release came before
    duration_ms: int | None = None


def counts(counter: Counter, event: Event) -> bool:
    """True if the event can change the counter."""
    assert event.event in EVENTS
    if event.topic != counter.topic or event.event not in counter.events:
        return False
    if counter.kind == "distinct" and event.things[counter.field or ""] is None:
        return False
    if counter.field == "duration" and event.duration_ms is None:
        return False
    return counter.where is None or holds(counter.where.source, counter.where.names, event.fields)


def readings(counter: Counter, counted: list[Event], as_of_ms: int) -> tuple[Value, ...]:
    """One value per output of the counter, None without a sample. `counted`: the number's events that count in it, in
    arrival order."""
    if counter.kind == "gray":
        return tuple(_level(counted, as_of_ms, half) for half in (counter["short_ms"], counter["long_ms"]))
    if counter.kind == "concurrent":
        return (_live(counted, as_of_ms, counter["max_age_ms"]),)
    if counter.kind == "distinct":
        inside = [event for event in counted if as_of_ms - event.at_ms < counter["window_ms"]]
        return (float(len({event.things[counter.field or ""] for event in inside})),)
    now = as_of_ms // counter["resolution_ms"]
    oldest = now - counter["window_ms"] // counter["resolution_ms"]
    inside = [event for event in counted if oldest < event.at_ms // counter["resolution_ms"] <= now]
    if counter.kind == "events":
        return (float(len(inside)),)
    total_ms = sum(event.duration_ms or 0 for event in inside)
    if counter.kind == "sum":
        return (total_ms / 1000,)
    return (total_ms / (1000 * len(inside)) if inside else None,)


def _level(events: list[Event], as_of_ms: int, half_life_ms: int) -> float:
    """level <- level * 2^(-dt / half-life) + 1, a level below FLOOR being 0; late events add what is left of them."""
    level, newest_ms = 0.0, 0
    for event in events:
        if event.at_ms >= newest_ms:
            level = _floored(level * 2.0 ** (-(event.at_ms - newest_ms) / half_life_ms)) + 1
            newest_ms = event.at_ms
        else:
            level += 2.0 ** (-(newest_ms - event.at_ms) / half_life_ms)
    return _floored(level * 2.0 ** (-(as_of_ms - newest_ms) / half_life_ms))


def _floored(level: float) -> float:
    return level if level >= FLOOR else 0.0


def _live(events: list[Event], as_of_ms: int, max_age_ms: int) -> float:
    """Set-ups without a release. Of two set-ups with one id the first counts until it is too old."""
    calls: dict[str, int] = {}
    for event in events:
        calls = {id: at_ms for id, at_ms in calls.items() if event.at_ms - at_ms < max_age_ms}
        if event.event == "release":
            calls.pop(event.id, None)
        elif not event.closed:
            calls.setdefault(event.id, event.at_ms)
    return float(min(LIVE_MAX, sum(as_of_ms - at_ms < max_age_ms for at_ms in calls.values())))
