"""Scores of runs: what each kind of number met with, under all rules or others of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import Any

import numpy as np

from bench.packs.kinds import CONTACTS, GOALS, LEAST, SECONDS, UNKNOWN_INNOCENT, UNKNOWN_OFFENDER, Facts
from bench.packs.made import Hold, Number
from bench.packs.run import Ran

SHOWN_CONTACTS = 10  # offenders with fewer contacts showed nothing: they are left out, and counted
GANG_FROM = 2  # a gang's numbers before this one, by first contact, may act before anybody can know
Names = Mapping[str, str]  # rule -> the name under which it was run, which differs for variants of a rule


@dataclass
class KindScore:
    """All numbers of one kind in some runs. contacts, seconds: from the first contact to the block, of those blocked;
    the contact that led to it counts. later, prevented: contacts of gangs from their third number on."""

    kind: str
    innocent: bool
    facts: Facts
    numbers: int = 0
    blocked: int = 0
    review_only: int = 0
    left_out: int = 0
    contacts: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    later: int = 0
    prevented: int = 0
    by: Counter[str] = field(default_factory=Counter)  # numbers blocked, by every rule that did
    asked_by: Counter[str] = field(default_factory=Counter)  # numbers in review, by every rule that did

    @property
    def met(self) -> float:
        """What its goal asks for: a share of numbers, or of a gang's later contacts."""
        if self.facts.goal == "gang":
            return self.prevented / max(self.later, 1)
        good = self.blocked + self.review_only * (self.facts.goal == "unvouched")
        return good / max(self.numbers, 1)

    def to_dict(self) -> dict[str, Any]:
        return {
            "innocent": self.innocent, "goal": self.facts.goal, "per_100k": self.facts.per_100k,
            "source": self.facts.source, "numbers": self.numbers, "left_out": self.left_out,
            "blocked": self.blocked, "blocked_bounds": wilson(self.blocked, self.numbers),
            "review_only": self.review_only, "median_contacts": quantile(self.contacts, 0.5),
            "p90_contacts": quantile(self.contacts, 0.9), "median_s": quantile(self.seconds, 0.5),
            "p90_s": quantile(self.seconds, 0.9), "later_contacts": self.later, "prevented": self.prevented,
            "blocked_by": dict(self.by.most_common()), "review_by": dict(self.asked_by.most_common()),
        }  # fmt: skip


Tally = dict[str, KindScore]


class Seen:
    """All numbers of some runs. Those that no rule hit, under any of its names, are counted once."""

    def __init__(self, runs: Iterable[Ran], kinds: Mapping[str, Facts]) -> None:
        self._quiet: dict[str, tuple[bool, Facts, int, int]] = {}  # innocent, facts, numbers, left out
        self._hit: list[Number] = []
        self._gangs: list[list[Number]] = []
        for ran in runs:
            gangs: defaultdict[str, list[Number]] = defaultdict(list)
            for number in ran.numbers:
                facts = kinds.get(number.kind, UNKNOWN_INNOCENT if number.innocent else UNKNOWN_OFFENDER)
                innocent, _, count, out = self._quiet.get(number.kind, (number.innocent, facts, 0, 0))
                if number.blocked or number.reviewed:
                    self._hit.append(number)
                elif _shows(number, facts):
                    count += 1
                else:
                    out += 1
                self._quiet[number.kind] = (innocent, facts, count, out)
                if number.gang and facts.goal == "gang":
                    gangs[number.gang].append(number)
            self._gangs += [sorted(gang, key=lambda member: member.first_ms) for gang in gangs.values()]

    def tally(self, names: Names) -> Tally:
        """The score of each kind under these rules."""
        scores = {
            kind: KindScore(kind, innocent, facts, numbers=count, left_out=out)
            for kind, (innocent, facts, count, out) in self._quiet.items()
        }
        rules = {name: rule for rule, name in names.items()}
        for number in self._hit:
            _add(scores[number.kind], number, rules)
        for gang in self._gangs:
            score = scores[gang[0].kind]
            for number in gang[GANG_FROM:]:
                blocked_ms = _first(number.blocked, rules)
                score.later += len(number.contacts)
                if blocked_ms is not None:
                    score.prevented += len(number.contacts) - _until(number, blocked_ms)
        return scores


def tally(runs: Iterable[Ran], kinds: Mapping[str, Facts], names: Names) -> Tally:
    return Seen(runs, kinds).tally(names)


def _shows(number: Number, facts: Facts) -> bool:
    return number.innocent or facts.goal == "gang" or len(number.contacts) >= SHOWN_CONTACTS


def _first(holds: Mapping[str, Hold], rules: Mapping[str, str]) -> int | None:
    return min((hold.from_ms for name, hold in holds.items() if name in rules), default=None)


def _until(number: Number, at_ms: int) -> int:
    return int(np.searchsorted(number.contacts, at_ms, "right"))


def _add(score: KindScore, number: Number, rules: Mapping[str, str]) -> None:
    """rules: the name under which a rule was run -> the rule."""
    blocked_ms = _first(number.blocked, rules)
    if blocked_ms is None and not _shows(number, score.facts):
        score.left_out += 1
        return
    score.numbers += 1
    score.by.update(rules[name] for name in number.blocked if name in rules)
    score.asked_by.update(rules[name] for name in number.reviewed if name in rules)
    if blocked_ms is not None:
        score.blocked += 1
        score.contacts.append(_until(number, blocked_ms))
        score.seconds.append(max(0, blocked_ms - number.first_ms) / 1000)
    elif _first(number.reviewed, rules) is not None:
        score.review_only += 1


# -- totals


@dataclass
class Weighted:
    """Innocents hit per 100,000 active numbers, weighted by how common their kinds are, with bounds (95 %)."""

    blocked: float
    blocked_bounds: tuple[float, float]
    reviewed: float
    reviewed_bounds: tuple[float, float]
    unweighted: tuple[str, ...]  # kinds that were hit, and of which nobody said how common they are


def weighted(scores: Tally, bounds: bool = True) -> Weighted:
    """Without `bounds`, those are (0, 0)."""
    innocent = [score for score in scores.values() if score.innocent and score.numbers]
    weights = np.array([score.facts.per_100k for score in innocent])
    n = np.array([score.numbers for score in innocent])

    def total(hit: np.ndarray) -> tuple[float, tuple[float, float]]:
        return float((hit / n) @ weights), weighted_bounds(hit, weights / n, float(weights.sum())) if bounds else (
            0.0,
            0.0,
        )

    blocked, blocked_bounds = total(np.array([score.blocked for score in innocent]))
    reviewed, reviewed_bounds = total(np.array([score.review_only for score in innocent]))
    hit = tuple(s.kind for s in innocent if (s.blocked or s.review_only) and not s.facts.per_100k)
    return Weighted(blocked, blocked_bounds, reviewed, reviewed_bounds, hit)


@dataclass
class GoalScore:
    """All kinds of one goal together; every kind counts alike, whatever its numbers. in_time: the share of the numbers
    blocked that were so within the goal's contacts or seconds; None without such a goal."""

    goal: str
    share: float
    least: float
    worst: str  # the kind that is furthest from it
    median_contacts: float | None
    contacts_at_most: int | None
    in_time: float | None

    @property
    def is_met(self) -> bool:
        return self.share >= self.least and (self.in_time is None or self.in_time >= 0.5)


def goals(scores: Tally) -> list[GoalScore]:
    out = []
    for goal in GOALS:
        mine = [s for s in scores.values() if not s.innocent and s.facts.goal == goal and s.numbers]
        if mine:
            worst = min(mine, key=lambda s: s.met)
            median = quantile([c for s in mine for c in s.contacts], 0.5)
            share = sum(s.met for s in mine) / len(mine)
            out.append(
                GoalScore(goal, share, LEAST[goal], worst.kind, median, CONTACTS.get(goal), _in_time(goal, mine))
            )
    return out


def _in_time(goal: str, kinds: Sequence[KindScore]) -> float | None:
    if goal not in CONTACTS:
        return None
    soon = [
        contacts <= CONTACTS[goal] or seconds <= SECONDS.get(goal, -1)
        for kind in kinds
        for contacts, seconds in zip(kind.contacts, kind.seconds, strict=True)
    ]
    return sum(soon) / max(len(soon), 1)


def recall(scores: Tally) -> float:
    """The mean over the kinds of offender of what their goals ask for."""
    mine = [s.met for s in scores.values() if not s.innocent and s.numbers]
    return sum(mine) / max(len(mine), 1)


def wilson(hit: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Bounds (95 %) of a share of which `hit` of `n` were seen."""
    if n == 0:
        return 0.0, 1.0
    p, d = hit / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return max(0.0, middle - half), min(1.0, middle + half)


def weighted_bounds(counts: np.ndarray, weights: np.ndarray, most: float, z: float = 1.96) -> tuple[float, float]:
    """Bounds (95 %) of a weighted sum of counts, by the gamma method of Fay and Feuer (1997): a kind of which none was
    hit weighs in by what one hit would have been. most: what the sum cannot exceed."""
    total, variance, largest = float(counts @ weights), float(counts @ weights**2), float(weights.max(initial=0.0))
    low = variance / (2 * total) * _chi_square(2 * total**2 / variance, -z) if total else 0.0
    total, variance = total + largest, variance + largest**2
    high = variance / (2 * total) * _chi_square(2 * total**2 / variance, z) if total else 0.0
    return low, min(high, most)


def _chi_square(freedom: float, z: float) -> float:
    """The quantile of chi-square at the normal deviate z (Wilson and Hilferty)."""
    ninth = 2 / (9 * freedom)
    return freedom * max(0.0, 1 - ninth + z * sqrt(ninth)) ** 3


def quantile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return float(ordered[max(0, ceil(len(ordered) * share - 1e-9) - 1)]) if ordered else None
