"""The readings of counters, from every event of one number on the counter's topic, all of them kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rules.model import Counter
from schemas.feeds import EVENTS
from tests.reference.conditions import Value, holds

LIVE_MAX = 64  # more calls than this read as so many
FLOOR = 1e-6  # a gray level below it is 0


Identity = tuple[str, int, int]  # id, number, peer


@dataclass
class Event:
    """One event as the counters see it: accepted, its time final. None is what the record does not say."""

    topic: str
    event: str  # a name from schemas.feeds.EVENTS
    number: int
    at_ms: int
    id: Identity
    fields: dict[str, Value]  # as conditions call them
    things: dict[str, object]  # what `distinct` can count
    vouched: bool  # somebody vouches for the number
    closed: bool = False  # a set-up whose release came before
    duration_ms: int | None = None
    newest_ms: int = 0  # the newest time of its number on its topic, this event's included
    amends: bool = False  # a release that has counted without its duration


def counts(counter: Counter, event: Event) -> bool:
    """True if the event can change the counter."""
    if event.amends:
        before = replace(event, amends=False, duration_ms=None, fields=event.fields | {"duration": None})
        return counts(counter, replace(event, amends=False)) and not counts(counter, before)
    assert event.event in EVENTS
    if event.topic != counter.topic or event.event not in counter.events:
        return False
    if counter.kind in ("distinct", "credited") and event.things[counter.field or ""] is None:
        return False
    if counter.field == "duration" and event.duration_ms is None:
        return False
    if counter.kind == "weigh" and not _weight(counter, event):
        return False
    if counter.condition is not None and any(event.fields[name] is None for name in counter.condition.names):
        return False
    return counter.where is None or holds(counter.where.source, counter.where.names, event.fields)


def readings(counter: Counter, counted: list[Event], as_of_ms: int) -> tuple[Value, ...]:
    """One value per output of the counter, None without a sample. `counted`: the number's events that count in it, in
    arrival order."""
    first, *others = _readings(counter, counted, as_of_ms)
    if counter.at_least and (others[-1] or 0) < counter.at_least:
        first = None
    return (counter.default if first is None else first, *others)


def period_ms(counter: Counter, output: str) -> int:
    """The window, habit or greatest age of a counter that has one, or the half-life of a gray level."""
    said = dict(counter.settings)
    one = said.get("window_ms") or said.get("max_age_ms") or said.get("habit_ms")
    return one or (counter["short_ms"] if output == "short" else counter["long_ms"])


def _readings(counter: Counter, counted: list[Event], as_of_ms: int) -> tuple[Value, ...]:
    """The same, whatever the file says of lacking readings."""
    if counter.kind == "gray":
        return tuple(_level(counted, as_of_ms, half) for half in (counter["short_ms"], counter["long_ms"]))
    if counter.kind == "concurrent":
        return (_live(counted, as_of_ms, counter["max_age_ms"]),)
    if counter.kind == "distinct":
        inside = [event for event in counted if as_of_ms - event.at_ms < counter["window_ms"]]
        return (float(len({event.things[counter.field or ""] for event in inside})),)
    if counter.kind == "credited":  # nobody has been judged
        newest: dict[object, int] = {}
        for event in counted:
            who = event.things[counter.field or ""]
            newest[who] = max(newest.get(who, 0), event.at_ms)
        latest = sorted(newest.values(), reverse=True)[:64]
        return (float(sum(as_of_ms - at_ms < counter["window_ms"] for at_ms in latest)),)
    if counter.kind == "peak":
        now = _live(counted, as_of_ms, counter["max_age_ms"])
        return (_peak(counted, as_of_ms, counter["max_age_ms"], counter["window_ms"]), now)
    if counter.kind == "quantile":
        return _quantile(_window(counted, as_of_ms, counter["window_ms"], 12), counter["per_mille"])
    if counter.kind == "ratio":
        recent, both = (len(_window(counted, as_of_ms, counter[f"{span}_ms"], 60)) for span in ("recent", "habit"))
        spans = counter["recent_ms"], counter["habit_ms"] - counter["recent_ms"]
        rate = (recent / spans[0]) / ((both - recent) / spans[1]) if both > recent else None
        return (rate, float(both - recent))
    inside = _window(counted, as_of_ms, counter["window_ms"], counter["window_ms"] // counter["resolution_ms"])
    if counter.kind == "events":
        return (float(len(inside)),)
    if counter.condition is not None:
        asked = counter.condition
        held = sum(holds(asked.source, asked.names, event.fields) for event in inside)
        return (held / len(inside) if inside else None, float(len(inside)))
    if counter.kind == "weigh":
        return (sum(_weight(counter, event) for event in inside) / 1000,)
    total_ms = sum(event.duration_ms or 0 for event in inside)
    if counter.kind == "sum":
        return (total_ms / 1000,)
    return (total_ms / (1000 * len(inside)) if inside else None,)


def _weight(counter: Counter, event: Event) -> int:
    """Thousandths."""
    return dict(counter.settings).get(f"weight_{event.fields[counter.field or '']}", 0)


def _window(events: list[Event], as_of_ms: int, window_ms: int, parts: int) -> list[Event]:
    resolution_ms = window_ms // parts
    now = as_of_ms // resolution_ms
    return [event for event in events if now - parts < event.at_ms // resolution_ms <= now]


def _quantile(inside: list[Event], per_mille: int) -> tuple[Value, ...]:
    """The middle of the size of the amount at the quantile's rank; sizes as streams.kernels.quantile says."""
    if not inside:
        return (None, 0.0)
    amounts = sorted(event.duration_ms or 0 for event in inside)
    amount = amounts[-(-len(amounts) * per_mille // 1000) - 1]
    size = sum(amount >= 500 * 2 ** (k / 4) for k in range(63))
    return (0.5 * 2 ** ((size - 0.5) / 4) if size else 0.25, float(len(amounts)))


def _peak(events: list[Event], as_of_ms: int, max_age_ms: int, window_ms: int) -> float:
    """The most calls that were up after an event in the window, or at its end."""
    most = _live(events, as_of_ms, max_age_ms)
    for event, calls in zip(events, _calls(events, max_age_ms), strict=True):
        if as_of_ms - event.newest_ms < window_ms:
            most = max(most, _younger(calls, event.newest_ms, max_age_ms))
    return most


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
    calls: dict[Identity, int] = {}
    for calls in _calls(events, max_age_ms):  # noqa: B007 - the last ones
        pass
    return _younger(calls, as_of_ms, max_age_ms)


def _calls(events: list[Event], max_age_ms: int) -> Iterator[dict[Identity, int]]:
    """After each event the set-ups without a release, by identity. Of two set-ups of one the first counts until it is
    too old."""
    calls: dict[Identity, int] = {}
    for event in events:
        calls = {id: at_ms for id, at_ms in calls.items() if event.at_ms - at_ms < max_age_ms}
        if event.event == "release":
            calls.pop(event.id, None)
        elif not event.closed:
            calls.setdefault(event.id, event.at_ms)
        yield calls


def _younger(calls: dict[Identity, int], as_of_ms: int, max_age_ms: int) -> float:
    return float(min(LIVE_MAX, sum(as_of_ms - at_ms < max_age_ms for at_ms in calls.values())))
