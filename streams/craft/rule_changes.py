"""The differences between two versions of rules, rule by rule, in words. Comments, order and `rules_version` are no
differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rules.filled import shown
from rules.model import Counter, Limit, Rule, RuleSet
from rules.units import duration_text

ADDED, REMOVED, PROMOTED, DEMOTED, CHANGED = "added", "removed", "promoted", "demoted", "changed"
_RANKS = ("shadow", "review", "enforce")  # a promotion goes up
# The parts of a rule that a few words say whole.
_PLAIN: dict[str, Callable[[Rule], str]] = {
    "for": lambda rule: duration_text(rule.period_ms),
    "again": lambda rule: duration_text(rule.again_ms) if rule.again_ms else "",
    "block": lambda rule: " ".join(rule.actions),
    "directions": lambda rule: " ".join(rule.directions),
    "recommend": lambda rule: " ".join(rule.recommend),
    "announcement": lambda rule: rule.announcement or "",
    "spoofable": lambda rule: "accepted" if rule.spoofable else "",
    "unreviewed": lambda rule: f"block after {duration_text(rule.review_ms)}" if rule.review_ms else "",
    "summary": lambda rule: rule.summary,
}


@dataclass(frozen=True)
class RuleChange:
    """kind: ADDED, REMOVED, PROMOTED and DEMOTED (its mode, and perhaps more) or CHANGED. details: what, in words."""

    rule: str
    kind: str
    details: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        return {"rule": self.rule, "kind": self.kind, "details": list(self.details)}


def rule_changes(old: RuleSet, new: RuleSet) -> list[RuleChange]:
    before, after = ({rule.name: rule for rule in rules.rules} for rules in (old, new))
    out = [RuleChange(name, ADDED, (f"mode {rule.mode}",)) for name, rule in after.items() if name not in before]
    out += [RuleChange(name, REMOVED, (f"mode {rule.mode}",)) for name, rule in before.items() if name not in after]
    for name, rule in after.items():
        if name in before and (details := tuple(_details(before[name], rule))):
            out.append(RuleChange(name, _kind(before[name].mode, rule.mode), details))
    return out


def _kind(before: str, after: str) -> str:
    if before == after:
        return CHANGED
    return PROMOTED if _RANKS.index(before) < _RANKS.index(after) else DEMOTED


def _details(old: Rule, new: Rule) -> Iterator[str]:
    if old.mode != new.mode:
        yield f"mode {old.mode} -> {new.mode}"
    for name in sorted(old.limits.keys() | new.limits.keys()):
        was, now = (_limit(rule.limits[name]) if name in rule.limits else "none" for rule in (old, new))
        if was != now:
            yield f"limit {name} {was} -> {now}"
        elif name in old.limits and [h for _, h, _ in old.limits[name].during] != [
            h for _, h, _ in new.limits[name].during
        ]:
            yield f"hours of limit {name}"
    if old.when.source != new.when.source:
        yield f"when {old.when.source} -> {new.when.source}"
    for name in sorted(old.counters.keys() | new.counters.keys()):
        if _counter(old.counters.get(name)) != _counter(new.counters.get(name)):
            yield f"counter {name}"
    for what, of in _PLAIN.items():
        was, now = of(old), of(new)
        if was != now:
            yield f"{what} {was or 'none'} -> {now or 'none'}"


def _limit(limit: Limit) -> str:
    return "/".join([shown(limit.always), *(f"{shown(value)} in {name}" for name, _, value in limit.during)])


def _counter(counter: Counter | None) -> object:
    """All that it counts and how it is read; two counters are equal although they are read in different ways."""
    return None if counter is None else (counter, counter.at_least, counter.default)
