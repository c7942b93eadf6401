"""Evaluates rules over an epoch, in two readings: finds the firings, the lane of each, and the evidence.

A caller id can be forged to get its owner cut off, and a record that nobody vouches for costs nothing. So a rule
enforces on the vouched-for events alone (VOUCHED): it is evaluated at each of them as if there were no others. If a
number has others too, the rule is also evaluated on all events (ALL), at each of them; firings found there alone are
for people to look at. A rule that accepts spoofable evidence has the second reading only.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rules.model import DIRECTIONS, MODES, Counter, Protected, Rule, RuleSet
from rules.registry import InForce, empty, entry_at
from schemas.registry import ALLOWED, SHARED
from streams.counting.counts import Counted, as_vouched
from streams.counting.table import ALL, VOUCHED, View
from streams.engine.compiled_rule import CompiledRule, CompiledRules, Read
from streams.engine.listed import Accounts, Listed, RegisteredSenders
from streams.holds.firings import ENFORCE, REVIEW, Firings
from streams.ingest.epoch import home_of
from streams.ingest.merge import Merged

ALLOW_LISTED = "allow_listed"


@dataclass(slots=True)
class Evaluated:
    """One rule's results over a view, kept until its firings are explained."""

    rule: CompiledRule
    reading: str  # VOUCHED or ALL
    lane: int  # of its firings
    view: View
    looks: np.ndarray  # bool[n]: the events at which it is evaluated; elsewhere its columns say nothing
    fired: np.ndarray  # int64[k]: those at which it fires, ascending
    as_of: np.ndarray
    read: Read
    _columns: dict[str, np.ndarray] | None = None

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The columns that `when` names. Few rules fire in an epoch, and only those are asked for it."""
        if self._columns is None:
            self._columns = self.rule.columns(self.read)
        return self._columns

    @property
    def review_ms(self) -> int:
        """The time that silence in review may last before it blocks; 0, for ever, on evidence that could be forged."""
        rule = self.rule.rule
        return rule.review_ms if self.reading == VOUCHED or rule.spoofable else 0


@dataclass(slots=True)
class Fired:
    """m firings of numbers that may be blocked, in order, each with its explanation: an index into one of `parts`."""

    firings: Firings
    parts: list[Evaluated]
    part: np.ndarray  # int64[m]
    index: np.ndarray  # int64[m]
    allowed: np.ndarray  # int64[m]: the registry's entry that sends it to review instead of enforcing it; -1 for none
    matches: Tally[str]  # by kind of entry: events of numbers that have one, as far as it was asked

    def rule(self, k: int) -> Rule:
        """The rule of the k-th firing."""
        return self.parts[int(self.part[k])].rule.rule

    def diverted(self, k: int) -> str:
        """Returns why the k-th firing is for people, though its rule enforces; "" where it is not."""
        return ALLOW_LISTED if self.allowed[k] >= 0 else ""


Watch = Callable[[Merged, Fired], None]


class Evaluator:
    """Counts epochs and evaluates the rules that `compiled` holds. watch: sees each epoch's events and what became of
    them, and changes nothing."""

    watch: Watch | None = None

    def __init__(self, rules: RuleSet, compiled: list[CompiledRule], counted: Counted) -> None:
        self.version, self._protected = rules.version, rules.protected
        self.registry = InForce(rules.registry or empty(), empty())
        self._compiled = compiled
        self._counted = counted
        self._periods = np.array([rule.period_ms for rule in rules.rules], np.int64)
        self._together = CompiledRules(compiled)
        self._readers = {
            counter: [rule for rule in compiled if counter in rule.counters]
            for counter in dict.fromkeys(c for rule in compiled for c in rule.counters)
        }

    @property
    def registry(self) -> InForce:
        return self._registry

    @registry.setter
    def registry(self, registry: InForce) -> None:
        self._registry, self._accounts = registry, Accounts(registry)

    def firings(self, events: Merged, clock_before: np.ndarray, registered: RegisteredSenders) -> Fired:
        listed = Listed(self.registry, self._accounts, registered)
        parts = self._evaluate(events, listed)
        fired = [part.fired for part in parts]
        part = np.repeat(np.arange(len(fired)), [len(index) for index in fired])
        none = np.empty(0, np.int64)  # there may be no rule
        event = np.concatenate([none, *(part.view.index[index] for part, index in zip(parts, fired, strict=True))])
        index = np.concatenate([none, *fired])
        rule = np.array([part.rule.slot for part in parts], np.int64)[part]
        lane = np.array([part.lane for part in parts], np.int64)[part]
        review_ms = np.array([part.review_ms for part in parts], np.int64)[part]
        order = np.lexsort((rule, event))
        order = order[_may_be_blocked(events["number"][event[order]], self._protected)]
        rule, event, lane = rule[order], event[order], lane[order]
        number, at = events["number"][event], events["at"][event]
        allowed = np.where(lane == ENFORCE, self.registry.find(ALLOWED, number, at), -1)
        if count := int(np.count_nonzero(allowed >= 0)):
            listed.matches[ALLOWED.name] += count
        firings = Firings(
            event, events["line"][event], number, rule, np.where(allowed < 0, lane, REVIEW), at,
            self._periods[rule], clock_before[event], home_of(events["partition"][event]), review_ms[order],
        )  # fmt: skip
        out = Fired(firings, parts, part[order], index[order], allowed, listed.matches)
        if self.watch is not None:
            self.watch(events, out)
        return out

    def content(self, fired: Fired, k: int) -> dict[str, object]:
        """The hold's own fields in block events, as of the k-th firing."""
        part, i = fired.parts[int(fired.part[k])], int(fired.index[k])
        rule = part.rule.rule
        values = {name: float(part.columns[name][i]) for name in part.rule.numeric}
        as_of, partition = int(part.as_of[i]), int(part.view.events["partition"][i])
        evidence = part.rule.evidence(values, as_of)
        for reading, shown in zip(part.rule.readings, evidence, strict=True):
            if self._counted.places.lacks(reading.counter, partition, as_of):
                shown["warming"] = True
        content: dict[str, object] = {
            "rules_version": self.version,
            "directions": [d for d in DIRECTIONS if d in rule.directions],
            "actions": rule.actions,
            "reason": rule.summary,
            "evidence": evidence,
        }
        if rule.announcement is not None:
            content["announcement"] = rule.announcement
        if fired.allowed[k] >= 0:
            content["listed"] = self.registry.entry(int(fired.allowed[k])).shown()
        if SHARED.field in part.rule.listed:
            content["from_others"] = True
        if fired.allowed[k] >= 0 or part.rule.listed or part.rule.reads_credit:
            content["registry_version"] = self.registry.version
        return content

    def unblockable(self, number: int) -> str:
        """The reason why nobody may block a number, of streams.holds.number_order.REFUSALS; "" for none."""
        if number <= 0:
            return "no_number"
        return "protected" if self._protected is not None and self._protected.covers(number) else ""

    def may_be_blocked(self, number: int, at_ms: int) -> bool:
        """False for a number that nobody may block, and one that the registry allows at this time."""
        return entry_at(self.registry, ALLOWED, number, at_ms) < 0 and not self.unblockable(number)

    def _evaluate(self, events: Merged, listed: Listed) -> list[Evaluated]:
        """Counts the epoch in every counter and evaluates every rule in both readings."""
        apart = self._counted.tell_apart(events)
        parts = self._read(as_vouched(events), events["vouched"], VOUCHED, listed)
        if not apart.any():
            return parts
        for part in parts:
            if part.rule.rule.spoofable:
                part.looks = part.looks & ~apart[part.view.index]
                part.fired = part.fired[part.looks[part.fired]]
        others = self._read(events, apart & ~events["first_vouched"], ALL, listed)
        for part, vouched in zip(others, parts, strict=True):
            if len(part.fired) and len(vouched.fired):
                enforced = np.isin(part.view.index[part.fired], vouched.view.index[vouched.fired])
                part.fired = part.fired[~enforced]
            if not part.rule.rule.spoofable and part.rule.rule.mode == "enforce":
                part.lane = REVIEW
        return parts + others

    def _read(self, events: Merged, among: np.ndarray, reading: str, listed: Listed) -> list[Evaluated]:
        """One reading: counts these events (bool[n]) and evaluates every rule at each that can change one of its
        counters, as of the number's newest time on the rule's topics."""
        states, crosses = self._counted.states, self._counted.crosses
        views = {name: state.view(events, among, crosses, reading) for name, state in states.items()}
        hits = {c: hit for name, state in states.items() for c, hit in state.hits(views[name]).items()}
        crossed = dict.fromkeys(rule.topics for rule in self._compiled if not rule.alone)
        newest = {of: np.maximum.reduce([views[topic].as_of for topic in of]) for of in crossed}
        either: dict[frozenset[int], np.ndarray] = {}
        wanted = {rule.slot: either_of([hits[c] for c in rule.counters], either) for rule in self._compiled}
        readings: dict[tuple[str, ...], dict[Counter, tuple[np.ndarray, ...]]] = {}
        for name, state in states.items():
            for counter in state.counters:
                readers = self._readers[counter]
                asked = either_of([wanted[rule.slot] for rule in readers], either)
                others = list(dict.fromkeys(rule.topics for rule in readers if not rule.alone))
                found = state.read(counter, views[name], hits[counter], asked, [newest[of] for of in others])
                for of, outputs in zip(((name,), *others), found, strict=True):
                    readings.setdefault(of, {})[counter] = outputs
        read = Read(views, readings, listed)
        out = []
        fires = self._together.fired(list(wanted.values()), read)
        for rule, looks, fired in zip(self._compiled, wanted.values(), fires, strict=True):
            view = views[rule.topics[0]]
            as_of = newest.get(rule.topics, view.as_of)
            out.append(Evaluated(rule, reading, MODES.index(rule.rule.mode), view, looks, fired, as_of, read))
        return out


def _may_be_blocked(numbers: np.ndarray, protected: Protected | None) -> np.ndarray:
    """bool[n]: E.164 and not protected. Withheld and unparsed identities pool thousands of people."""
    distinct, inverse = np.unique(numbers, return_inverse=True)
    allowed = distinct > 0
    if protected is not None:
        allowed &= ~np.array([protected.covers(number) for number in distinct.tolist()], bool)
    return allowed[inverse]


def either_of(masks: list[np.ndarray], known: dict[frozenset[int], np.ndarray]) -> np.ndarray:
    """bool[n], True where any of them is true. Many of them are one and the same array, and many rules ask for the same
    ones. known: what was made of masks that are still there."""
    distinct = {id(mask): mask for mask in masks}
    if len(distinct) == 1:
        return masks[0]
    of = frozenset(distinct)
    if of not in known:
        first, *others = distinct.values()
        known[of] = first.copy()
        for mask in others:
            known[of] |= mask
    return known[of]
