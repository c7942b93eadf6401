"""Explains what the rules made of one number in recorded traffic: which looked, what they read, what was missing, and
what was decided."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

import numpy as np

from rules.expression_check import Kind
from rules.expressions import NUMBER, Expression, parse
from rules.filled import Value
from rules.model import MODES, Rule, RuleSet
from streams.craft.days import by_day
from streams.craft.told import Sight, Told, told_of
from streams.craft.trial import HoldChange
from streams.engine.compiled_rule import CompiledRule
from streams.engine.engine import Engine
from streams.engine.evaluate import ALLOW_LISTED, Evaluated, Fired
from streams.holds.firings import ENFORCE
from streams.holds.rulings import NOTHING
from streams.holds.steps import UNREVIEWED
from streams.ingest.merge import Merged

FOREVER_MS = 1 << 62


@dataclass
class Look:
    """All evaluations of one rule in one reading. nearest: the latest of those at which most of its conditions held."""

    rule: Rule
    reading: str
    count: int = 0
    fired: int = 0
    lane: int = ENFORCE  # of its firings
    allowed: int = 0  # firings that the allow list sent to review
    first_fired: Sight | None = None
    nearest: Sight | None = None
    last: Sight | None = None
    held: int = -1  # conditions that held at the nearest
    ruled: bool = False  # it fired, and an operator's order stands against it
    looks_by_day: Counter[str] = field(default_factory=Counter)
    fired_by_day: Counter[str] = field(default_factory=Counter)

    def days(self) -> dict[str, tuple[int, int]]:
        """By day: how often it looked, and how often it fired."""
        return {day: (count, self.fired_by_day[day]) for day, count in sorted(self.looks_by_day.items())}


@dataclass(frozen=True)
class Decision:
    """One change of one hold, or the answer to an order."""

    at_ms: int
    lane: str  # of rules.model.MODES
    change: str
    hold: Mapping[str, Any] | None
    order: Mapping[str, Any] | None = None
    why: str = ""  # an order was refused


@dataclass
class Explained:
    """All that is known of a number up to a time."""

    number: int
    events: int = 0
    first_ms: int = 0
    last_ms: int = 0
    looks: list[Look] = field(default_factory=list)  # fired first, then by how near they came
    silent: list[Rule] = field(default_factory=list)  # rules that none of its events could change
    decisions: list[Decision] = field(default_factory=list)
    unblockable: str = ""  # of streams.holds.number_order.REFUSALS


class Explainer:
    """Watches a run, and keeps what concerns one number. at_ms: nothing after this time is told. zone: of the days."""

    def __init__(self, rules: RuleSet, number: int, at_ms: int | None = None, zone: tzinfo = UTC) -> None:
        self._number, self._until_ms = number, FOREVER_MS if at_ms is None else at_ms
        self._rules, self._zone = rules, zone
        self._looks: dict[tuple[str, str], Look] = {}
        self._conditions: dict[str, list[Expression]] = {}
        self._periods = {rule.name: (rule.period_ms, rule.again_ms or rule.period_ms) for rule in rules.rules}
        self._out = Explained(number)

    def watch(self, events: Merged, fired: Fired) -> None:
        mine = (events["number"] == self._number) & (events["at"] <= self._until_ms)
        if not mine.any():
            return
        at = events["at"][mine]
        self._out.first_ms = min(int(at.min()), self._out.first_ms or FOREVER_MS)
        self._out.last_ms = max(int(at.max()), self._out.last_ms)
        self._out.events += len(at)
        rows: dict[int, np.ndarray] = {}
        for part in fired.parts:
            of = id(part.view)
            if of not in rows:
                rows[of] = np.flatnonzero(mine[part.view.index])
            found = rows[of][part.looks[rows[of]]]
            if len(found):
                self._look(part, found)
        for k in np.flatnonzero(fired.allowed >= 0).tolist():
            if fired.firings.number[k] == self._number and fired.firings.at[k] <= self._until_ms:
                part = fired.parts[int(fired.part[k])]
                self._looks[part.rule.rule.name, part.reading].allowed += 1

    def take(self, change: HoldChange) -> None:
        """Takes a change that the run made."""
        if int(change.number) != self._number:
            return
        if change.order is not None:
            at_ms = int(change.order["at"])
        elif change.change == "opened":
            at_ms = change.from_ms
        elif change.change == "extended":
            at_ms = self._extended_at(change)
        elif change.change == UNREVIEWED:
            at_ms = int(change.hold.get("review_by") or change.until_ms)
        else:
            at_ms = change.until_ms
        self._decided(Decision(at_ms, change.mode, change.change, change.hold, change.order))

    def _extended_at(self, change: HoldChange) -> int:
        """The event's time: one of the rule's periods before the end, the one nearest to what the evidence is as of."""
        evidence = change.hold.get("evidence") or [{}]
        as_of = int(evidence[0].get("as_of", change.until_ms))
        times = [change.until_ms - period for period in self._periods.get(change.rule, (0, 0))]
        return min(times, key=lambda at_ms: abs(at_ms - as_of))

    def answer(self, row: Mapping[str, Any]) -> None:
        """Takes the answer to an order."""
        if row["number"] is not None and int(row["number"]) == self._number:
            order = row["order"]
            self._decided(Decision(int(order["at"]), "enforce", row["change"], None, order, row["why"] or ""))

    def _decided(self, decision: Decision) -> None:
        if decision.at_ms <= self._until_ms:
            self._out.decisions.append(decision)

    def explained(self, engine: Engine) -> Explained:
        """engine: the one that was watched, at the end of the run."""
        out, rulings = self._out, engine.ledger.rulings
        out.unblockable = engine.unblockable(self._number)
        out.looks = sorted(
            self._looks.values(), key=lambda look: (not look.fired, -look.held / len(self._conditions_of(look.rule)))
        )
        looked = {look.rule.name for look in out.looks}
        decided = {decision.hold["rule"] for decision in out.decisions if decision.hold is not None}
        for look in out.looks:
            against = rulings.against(self._number, look.rule.name, look.last.at_ms)[0] if look.last else ""
            look.ruled = bool(look.fired) and look.rule.name not in decided and against == NOTHING
        out.silent = [rule for rule in self._rules.rules if rule.name not in looked]
        return out

    def _look(self, part: Evaluated, found: np.ndarray) -> None:
        rule = part.rule.rule
        look = self._looks.setdefault((rule.name, part.reading), Look(rule, part.reading, lane=part.lane))
        look.count += len(found)
        fires = np.intersect1d(found, part.fired)
        look.fired += len(fires)
        look.looks_by_day += by_day(part.view.events["at"][found], self._zone)
        look.fired_by_day += by_day(part.view.events["at"][fires], self._zone)
        if look.first_fired is None and len(fires):
            look.first_fired = sight_of(part, int(fires[0]))
        look.last = sight_of(part, int(found[-1]))
        held = np.zeros(len(found), np.int64)
        columns = {name: column[found] for name, column in part.columns.items()}
        for condition in self._conditions_of(rule):
            held += condition.evaluate(columns, len(found))
        if (most := int(held.max())) >= look.held:
            look.held = most
            look.nearest = sight_of(part, int(found[np.flatnonzero(held == most)[-1]]))

    def _conditions_of(self, rule: Rule) -> list[Expression]:
        if rule.name not in self._conditions:
            names: dict[str, Kind] = dict.fromkeys(rule.when.names, NUMBER)
            names |= dict(rule.when.choices)
            self._conditions[rule.name] = [parse(ast.unparse(node), names) for node in rule.when.conjuncts()]
        return self._conditions[rule.name]


def sight_of(part: Evaluated, row: int) -> Sight:
    """The values of a rule at one row of its view."""
    return Sight(int(part.view.events["at"][row]), int(part.as_of[row]), _values(part.rule, part.columns, row))


def _values(rule: CompiledRule, columns: Mapping[str, np.ndarray], row: int) -> dict[str, Value]:
    choices = dict(rule.rule.when.choices)
    out: dict[str, Value] = {}
    for name, column in columns.items():
        if name in rule.rule.limits:
            continue  # in force by the hours, which a reader wants to see
        if name in choices:
            code = int(column[row])
            out[name] = choices[name].names[code] if code else None
        else:
            out[name] = float(column[row])
    return out


def told(look: Look, at_last: bool, unblockable: str) -> Told:
    """at_last: as of its last evaluation; else of its first firing, or where it came nearest."""
    sight = look.last if at_last else look.first_fired or look.nearest
    assert sight is not None
    becomes = unblockable or ("ruled" if look.ruled else ALLOW_LISTED if look.allowed else MODES[look.lane])
    first = None if look.first_fired is None else look.first_fired.at_ms
    return told_of(
        look.rule,
        look.reading,
        sight,
        becomes,
        count=look.count,
        fired=look.fired,
        first_fired_ms=first,
        days=look.days(),
    )
