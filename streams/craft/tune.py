"""Sweeps a rule's limits over labelled traffic: for each value, the offenders it catches, the innocents it hits, and
the contacts that offenders had before.

The traffic is counted once. Counters do not hang on limits, so at each event that the rule looks at its `when` is asked
again under every value (decision 0066)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from statistics import median

import numpy as np

from rules.model import Limit, Rule, RuleSet
from rules.registry import entry_at
from schemas.registry import ALLOWED
from streams.captures.replay import ReplaySummary
from streams.craft.days import day_of
from streams.craft.recorded import Recorded
from streams.engine.engine import Engine
from streams.engine.evaluate import Evaluated, Fired
from streams.holds.firings import ENFORCE
from streams.ingest.merge import Merged
from streams.traffic.labels import Label

CONTACTS = frozenset({"message", "setup"})  # events by which somebody is reached
FACTORS = (0.5, 0.65, 0.8, 0.9, 1.0, 1.15, 1.35, 1.6, 2.0, 3.0)


@dataclass(frozen=True)
class Setting:
    """One limit of the rule at one value. value: outside all hours; inside them it is changed in proportion."""

    limit: str
    value: float
    is_own: bool  # the value that the file has

    def factor(self, limit: Limit) -> float:
        return self.value / limit.always if limit.always else 1.0


@dataclass(frozen=True)
class Hit:
    """The first time that a number would be blocked. contacts: until then, that one included."""

    at_ms: int
    contacts: int


@dataclass
class Tried:
    """One setting's outcome. caught, innocents: by kind of number. seconds: from the first record to the block."""

    setting: Setting
    caught: dict[str, int] = field(default_factory=dict)
    innocents: dict[str, int] = field(default_factory=dict)
    unknown: int = 0  # blocked, and no label names them
    reviews: int = 0  # numbers that would only come to review
    contacts: list[int] = field(default_factory=list)  # of those caught
    seconds: list[float] = field(default_factory=list)
    days: dict[str, tuple[int, int]] = field(default_factory=dict)  # caught, innocents

    @property
    def caught_count(self) -> int:
        return sum(self.caught.values())

    @property
    def innocent_count(self) -> int:
        return sum(self.innocents.values())

    def is_beaten_by(self, other: Tried) -> bool:
        """True if another setting is better in one thing and worse in none of caught, innocents and contacts."""
        mine, theirs = self.merits(), other.merits()
        return all(b >= a for a, b in zip(mine, theirs, strict=True)) and mine != theirs

    def merits(self) -> tuple[float, ...]:
        return self.caught_count, -self.innocent_count, -median(self.contacts) if self.contacts else -float("inf")


@dataclass
class Sweep:
    """All settings of one rule. wanted: offenders that there are to catch, by kind."""

    rule: Rule
    outcomes: list[Tried]
    wanted: dict[str, int]
    innocents: int
    summary: ReplaySummary

    def own(self, limit: str) -> Tried:
        return next(one for one in self.outcomes if one.setting.is_own and one.setting.limit == limit)

    def better(self, limit: str) -> list[Tried]:
        """The settings of a limit that beat the file's own."""
        mine = self.own(limit)
        return [one for one in self.outcomes if one.setting.limit == limit and mine.is_beaten_by(one)]


def settings_of(rule: Rule, asked: Mapping[str, Sequence[float]]) -> list[Setting]:
    """asked: values by limit; without any, every limit is swept around its own value."""
    out = []
    for name in asked or [name for name in rule.limits if name in rule.when.names]:
        own = rule.limits[name].always
        around = [_rounded(own * factor, own) for factor in FACTORS]
        for value in sorted({own, *(asked.get(name) or around)}):
            out.append(Setting(name, value, value == own))
    return out


def sweep(
    recorded: Recorded,
    rules: RuleSet,
    rule: Rule,
    labels: Sequence[Label],
    settings: Sequence[Setting],
    zone: tzinfo,
    advance: Callable[[int], None] = lambda count: None,
) -> Sweep:
    """Raises CaptureError, OSError."""
    alone = replace(rules, rules=(replace(rule, mode="enforce"),))
    trial = recorded.trial(alone, lambda change: None)
    watch = _Sweeper(trial.engine, rule, labels, settings)
    trial.engine.watch(watch.watch)
    recorded.run(trial, advance)
    by_number = {int(label.number): label for label in labels}
    outcomes = [
        _outcome(setting, blocked, reviewed, by_number, zone)
        for setting, blocked, reviewed in zip(settings, watch.blocked, watch.reviewed, strict=True)
    ]
    wanted: dict[str, int] = {}
    for label in labels:
        if label.wanted:
            wanted[label.kind] = wanted.get(label.kind, 0) + 1
    return Sweep(rule, outcomes, wanted, sum(label.innocent and label.events > 0 for label in labels), trial.summary)


class _Sweeper:
    """Watches a run of one rule; keeps for each setting the first hit of each number."""

    def __init__(self, engine: Engine, rule: Rule, labels: Sequence[Label], settings: Sequence[Setting]) -> None:
        self._engine, self._rule, self._settings = engine, rule, settings
        self._numbers = np.unique(np.array([int(label.number) for label in labels], np.int64))
        self._contacts = np.zeros(len(self._numbers) + 1, np.int64)  # the last one is of all that have no label
        self.blocked: list[dict[int, Hit]] = [{} for _ in settings]
        self.reviewed: list[dict[int, Hit]] = [{} for _ in settings]

    def watch(self, events: Merged, fired: Fired) -> None:
        reached = events.of_events(CONTACTS)
        place = self._places(events["number"])
        for part in fired.parts:
            self._part(part, events, reached, place)
        self._contacts += np.bincount(place[reached], minlength=len(self._contacts))

    def _part(self, part: Evaluated, events: Merged, reached: np.ndarray, place: np.ndarray) -> None:
        at = np.flatnonzero(part.looks & (part.view.events["number"] > 0))
        if not len(at):
            return
        columns = {name: column[at] for name, column in part.columns.items()}
        numbers = part.view.events["number"][at]
        for k, setting in enumerate(self._settings):
            factor = setting.factor(self._rule.limits[setting.limit])
            changed = columns | {setting.limit: columns[setting.limit] * factor}
            if not self._rule.limits[setting.limit].always:
                changed[setting.limit] = np.full(len(at), setting.value)
            fires = np.flatnonzero(self._rule.when.evaluate(changed, len(at)))
            if not len(fires):
                continue
            distinct, first = np.unique(numbers[fires], return_index=True)
            for number, row in zip(distinct.tolist(), at[fires[first]].tolist(), strict=True):
                self._hit(k, part.lane, number, int(part.view.index[row]), events, reached, place)

    def _hit(
        self, k: int, lane: int, number: int, row: int, events: Merged, reached: np.ndarray, place: np.ndarray
    ) -> None:
        known = self.blocked[k] if lane == ENFORCE else self.reviewed[k]
        if number in known or number in self.blocked[k] or self._engine.unblockable(number):
            return
        at_ms = int(events["at"][row])
        if lane == ENFORCE and entry_at(self._engine.registry, ALLOWED, number, at_ms) >= 0:
            known = self.reviewed[k]
            if number in known:
                return
        mine = place[row]
        before = np.count_nonzero(reached[: row + 1] & (place[: row + 1] == mine)) + int(self._contacts[mine])
        known[number] = Hit(at_ms, int(before))

    def _places(self, numbers: np.ndarray) -> np.ndarray:
        """int64[n]: each number's place among the labelled ones; the last place for all others."""
        none = len(self._numbers)
        if not none:
            return np.zeros(len(numbers), np.int64)
        at = np.minimum(np.searchsorted(self._numbers, numbers), none - 1)
        return np.where(self._numbers[at] == numbers, at, none)


def _outcome(
    setting: Setting, blocked: Mapping[int, Hit], reviewed: Mapping[int, Hit], labels: Mapping[int, Label], zone: tzinfo
) -> Tried:
    out = Tried(setting, reviews=len(reviewed.keys() - blocked.keys()))
    for number, hit in blocked.items():
        label = labels.get(number)
        if label is None:
            out.unknown += 1
            continue
        kinds = out.innocents if label.innocent else out.caught
        kinds[label.kind] = kinds.get(label.kind, 0) + 1
        if not label.innocent:
            out.contacts.append(hit.contacts)
            out.seconds.append((hit.at_ms - label.first_at) / 1000)
        day = day_of(hit.at_ms, zone)
        caught, innocents = out.days.get(day, (0, 0))
        out.days[day] = caught + (not label.innocent), innocents + label.innocent
    out.days = dict(sorted(out.days.items()))
    return out


def _rounded(value: float, own: float) -> float:
    """A whole number where the file has one; else three digits."""
    return float(max(1, round(value))) if own == int(own) and own >= 1 else float(f"{value:.3g}")


def values_of(text: str) -> Iterator[float]:
    """`5,10,15` or `5:50:5`, the end included. Raises ValueError."""
    if ":" in text:
        low, high, step = (float(part) for part in text.split(":"))
        if not step > 0 or not low <= high or (high - low) / step > 1000:
            raise ValueError("write FROM:TO:STEP, at most 1,000 values")
        for i in range(int((high - low) / step + 1e-9) + 1):
            yield float(f"{low + i * step:.12g}")
        return
    for part in text.split(","):
        value = float(part)
        if not abs(value) < 1e300:
            raise ValueError("not a number")
        yield value
