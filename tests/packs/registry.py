"""The crafted traffic of each shipped rule: the traffic that must fire it, and the traffic that must not.

An offence is written for a `size`, the figure that the rule compares with its limit: at the limit the rule fires, one
below it does not. An innocent acts as the nearest legitimate behaviour does, and is held against every rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.packs.traffic import Line, Traffic

Offend = Callable[[Traffic, float, int], None]  # (traffic, start in s, size)
Behave = Callable[[Traffic], None]


@dataclass(frozen=True)
class Offence:
    """limit, at night: the limits, written here once more on purpose: tuning a pack means a look at its tests."""

    rule: str
    line: Line
    mode: str
    limit: int
    at_night: int
    act: Offend

    def traffic(self, start_s: float, size: int, line: Line | None = None) -> Traffic:
        traffic = Traffic(line or self.line)
        self.act(traffic, start_s, size)
        return traffic


@dataclass(frozen=True)
class Innocent:
    """spares: the rules for which this is the nearest legitimate behaviour. review: those that may ask people."""

    name: str
    line: Line
    spares: frozenset[str]
    review: frozenset[str]
    act: Behave

    def traffic(self, line: Line | None = None) -> Traffic:
        traffic = Traffic(line or self.line)
        self.act(traffic)
        return traffic


OFFENCES: dict[str, Offence] = {}
INNOCENTS: dict[str, Innocent] = {}


def must_fire(
    rule: str, line: Line, *, limit: int, at_night: int | None = None, mode: str = "enforce"
) -> Callable[[Offend], Offend]:
    def register(act: Offend) -> Offend:
        assert rule not in OFFENCES, f"two offences for {rule}"
        OFFENCES[rule] = Offence(rule, line, mode, limit, limit if at_night is None else at_night, act)
        return act

    return register


def must_not_fire(*spares: str, line: Line, review: tuple[str, ...] = ()) -> Callable[[Behave], Behave]:
    def register(act: Behave) -> Behave:
        name = act.__name__.replace("_", " ")
        assert name not in INNOCENTS, f"two innocents called {name}"
        INNOCENTS[name] = Innocent(name, line, frozenset(spares), frozenset(review), act)
        return act

    return register
