"""The guard behind a change of rules: where changed rules would block too much, their openings wait for people.

It begins when rules are changed, in each partition for itself, and is over after an hour of the partition's clock.
Until then the changed rules together may open so many enforced holds there:

    limit = max(numbers, share x enforced holds in force when the first of them asks)

The opening beyond it, and all by these rules from then on, go to review: what has gone wrong does not get better by
waiting, so the hour ends this no more. Whoever has looked and means it reads the same rules once more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from rules.model import Rule, RuleSet
from schemas.json_reading import Int64

HELD = "reload"  # why a hold is in review
MINUTES = 60


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """numbers: openings that always pass; share: of the holds in force; 0 and 0: no guard."""

    numbers: int = 0
    share: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.numbers or self.share)


class Guarded(msgspec.Struct):
    """A partition behind a change of rules, as it is kept in its ledger."""

    version: str  # of the rules that came
    rules: list[str]  # that are new or changed, and enforce
    until: Int64  # minute of the place's clock from which on the guard is over, unless it holds
    limit: Int64
    opened: Int64 = 0
    holds: bool = False  # back whatever these rules would open


class RulesGuard:
    """The guards of all partitions of a worker. active: how many enforced holds a partition has in force."""

    def __init__(self, limits: GuardLimits) -> None:
        self.limits = limits
        self.active: Callable[[int], int] = lambda partition: 0
        self._changed: tuple[str, frozenset[str]] | None = None  # version and rules of the last change
        self._guarded: dict[int, Guarded] = {}

    @property
    def is_idle(self) -> bool:
        return self._changed is None and not self._guarded

    def begin(self, before: RuleSet, now: RuleSet) -> set[int]:
        """Takes note of a change of rules. The same rules once more end what they began. Returns the partitions that
        are guarded no more."""
        is_guarded = bool(self.limits) and before.version != now.version
        self._changed = (now.version, changed(before, now)) if is_guarded else None
        over, self._guarded = set(self._guarded), {}
        return over

    def ask(self, partition: int, minute: int, rule: str) -> bool:
        """True if an opening by the rule is held back."""
        guarded = self._of(partition, minute, rule)
        if guarded is None:
            return False
        guarded.holds = guarded.holds or guarded.opened >= guarded.limit
        return guarded.holds

    def opened(self, partition: int, rule: str) -> None:
        """Counts an opening that nothing held back."""
        guarded = self._guarded.get(partition)
        if guarded is not None and rule in guarded.rules:
            guarded.opened += 1

    def row(self, partition: int) -> Guarded | None:
        return self._guarded.get(partition)

    def load(self, partition: int, row: Guarded | None) -> None:
        if row is not None:
            self._guarded[partition] = row

    def drop(self, partition: int) -> None:
        self._guarded.pop(partition, None)

    def _of(self, partition: int, minute: int, rule: str) -> Guarded | None:
        guarded = self._guarded.get(partition)
        if self._changed is not None and (guarded is None or guarded.version != self._changed[0]):
            version, rules = self._changed
            if rule not in rules:
                return None
            limit = max(self.limits.numbers, int(self.limits.share * self.active(partition)))
            guarded = self._guarded[partition] = Guarded(version, sorted(rules), minute + MINUTES, limit)
        if guarded is None or rule not in guarded.rules or (minute >= guarded.until and not guarded.holds):
            return None
        return guarded


def changed(before: RuleSet, now: RuleSet) -> frozenset[str]:
    """The names of the rules that enforce and are new, or say something else than they did."""
    known = {_said(rule) for rule in before.rules}
    return frozenset(rule.name for rule in now.rules if rule.mode == "enforce" and _said(rule) not in known)


def _said(rule: Rule) -> str:
    """All that a rule says that can block somebody, wherever it stands; the counters in full, whatever their names."""
    plain = replace(rule, file="", line=0, summary="", counters={})
    counters = sorted((name, repr(counter)) for name, counter in rule.counters.items())
    return f"{plain!r} {counters!r}"
