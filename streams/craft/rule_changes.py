"""The differences between two versions of rules, rule by rule, in words. Comments, order and `rules_version` are no
differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from rules.filled import shown
from rules.model import Counter, Limit, Rule, RuleSet
from rules.units import duration_text

ADDED, REMOVED, PROMOTED, DEMOTED, CHANGED = "added", "removed", "promoted", "demoted", "changed"
_RANKS = ("shadow", "review", "enforce")  # a promotion goes up
# Parts of a rule that are told in other ways, or are its place.
_TOLD_APART = ("name", "file", "line", "mode", "when", "counters", "limits")
# The words by which a rule file has a part, where they are others.
_WORDS = {"period_ms": "for", "again_ms": "for, again", "review_ms": "unreviewed: block after"}


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
    if old.lexicon != new.lexicon:
        out.append(RuleChange("lexicon", CHANGED, ("the words by which texts are read",)))
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
    for part in fields(Rule):
        was, now = getattr(old, part.name), getattr(new, part.name)
        if part.name not in _TOLD_APART and was != now:
            what = _WORDS.get(part.name, part.name.replace("_", " "))
            yield f"{what} {_said(part.name, was)} -> {_said(part.name, now)}"


def _said(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return duration_text(value) if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (" ".join(map(str, value)) if isinstance(value, tuple) else str(value or "")) or "none"


def _limit(limit: Limit) -> str:
    return "/".join([shown(limit.always), *(f"{shown(value)} in {name}" for name, _, value in limit.during)])


def _counter(counter: Counter | None) -> object:
    """All that it counts and how it is read; two counters are equal although they are read in different ways."""
    return None if counter is None else [getattr(counter, part.name) for part in fields(Counter) if part.name != "name"]
