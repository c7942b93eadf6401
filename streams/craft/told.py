"""One rule's look at one number, in words and values: the same from recorded traffic and from a live worker."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rules.filled import Condition, Value, filled, limit_text, shown, taken_apart
from rules.model import Rule
from schemas.times import rfc3339
from streams.engine.compiled_rule import CompiledRule
from streams.holds.number_order import REFUSALS

BECOMES = {
    "enforce": "blocks",
    "review": "goes to review",
    "shadow": "goes to shadow-events, and blocks nobody",
    "allow_listed": "goes to review: the number is on the allow list",
    "ruled": "changed nothing: an operator's order stands against it",
}
READ = {"vouched": "vouched-for events alone", "all": "all events, those included that nobody vouches for"}


@dataclass(frozen=True)
class Sight:
    """A rule's values at one event. at_ms: the event's own time, by which limits are in force. as_of_ms: the time at
    which counters were read."""

    at_ms: int
    as_of_ms: int
    values: Mapping[str, Value]


@dataclass(frozen=True)
class CounterValue:
    """One counter as a rule read it. warming: it may lack events from before its partition began."""

    name: str
    value: Value
    window: str
    warming: bool = False


@dataclass(frozen=True)
class Told:
    """One rule's look in words and values, whether from a run or from a live worker."""

    rule: Rule
    reading: str
    count: int | None
    fired: int
    first_fired_ms: int | None
    sight: Sight
    counters: tuple[CounterValue, ...]
    limits: tuple[str, ...]
    expression: str
    conditions: tuple[Condition, ...]
    days: Mapping[str, tuple[int, int]]  # looks and firings of each
    becomes: str  # what its firings become: enforce, review, shadow, or why nothing

    def to_dict(self) -> dict[str, Any]:
        return {
            "rule": self.rule.name, "mode": self.rule.mode, "reading": self.reading, "looks": self.count,
            "fired": self.fired, "first_fired": self.first_fired_ms, "at": self.sight.at_ms,
            "counters": [
                {"counter": one.name, "value": _plain(one.value), "window": one.window, "as_of": self.sight.as_of_ms}
                | ({"warming": True} if one.warming else {})
                for one in self.counters
            ],
            "limits": list(self.limits), "expression": self.expression,
            "days": [{"day": day, "looks": looks, "fired": fired} for day, (looks, fired) in self.days.items()],
            "conditions": [part.to_dict() for part in self.conditions], "becomes": self.becomes,
        }  # fmt: skip


def told_of(
    rule: Rule,
    reading: str,
    sight: Sight,
    becomes: str,
    *,
    count: int | None,
    fired: int,
    first_fired_ms: int | None,
    warming: frozenset[str] = frozenset(),
    days: Mapping[str, tuple[int, int]] | None = None,
) -> Told:
    """warming: the counters, by name in `when`, that may lack events."""
    counters = tuple(
        CounterValue(one.name, sight.values.get(one.name), one.period, one.name in warming)
        for one in CompiledRule(0, rule).readings
    )
    limits = tuple(limit_text(rule.limits[name], sight.at_ms) for name in sorted(rule.when.names & rule.limits.keys()))
    return Told(
        rule, reading, count, fired, first_fired_ms, sight, counters, limits, filled(rule, sight.values, sight.at_ms),
        tuple(taken_apart(rule, sight.values, sight.at_ms)), days or {}, becomes,
    )  # fmt: skip


def _plain(value: Value) -> Value:
    return None if isinstance(value, float) and math.isnan(value) else value


def told_lines(one: Told) -> Iterator[str]:
    place = f", {one.rule.file}:{one.rule.line}" if one.rule.file else ""
    yield f"{one.rule.name} ({one.rule.mode}{place}) on {READ[one.reading]}"
    if one.fired:
        first = "" if one.first_fired_ms is None else f", first at {rfc3339(one.first_fired_ms)}"
        yield f"  fired {_times(one.fired)} in {_looks(one.count)}{first}; {BECOMES.get(one.becomes) or _never(one)}"
    elif one.count is not None:
        yield f"  did not fire in {_looks(one.count)}"
    elif all(part.holds for part in one.conditions):
        yield f"  fires: {BECOMES[one.becomes]}"
    yield f"  at {rfc3339(one.sight.at_ms)}: {one.expression}"
    read = (f"{c.name} {shown(c.value)} in {c.window}{' (warming)' if c.warming else ''}" for c in one.counters)
    yield f"    counters: {', '.join(read)}"
    if one.limits:
        yield f"    limits: {'; '.join(one.limits)}"
    if len(one.days) > 1:
        yield f"    by day, fired of looks: {', '.join(f'{d} {f:,}/{n:,}' for d, (n, f) in one.days.items())}"
    missing = [line for part in one.conditions for line in _missing(part)]
    if missing:
        yield "    missing:"
        yield from (f"      {line}" for line in missing)


def _missing(part: Condition, indent: str = "") -> Iterator[str]:
    if part.holds:
        return
    yield indent + part.text + (f": {part.fails}" if part.fails else "")
    for alternative in part.parts:
        yield from _missing(alternative, indent + "  ")


def _never(one: Told) -> str:
    return f"blocks nobody: {REFUSALS.get(one.becomes, one.becomes)}"


def _looks(count: int | None) -> str:
    return "1 look" if count == 1 else f"{count or 0:,} looks"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
