"""The difference that a change of rules makes on recorded traffic: which numbers become blocked, which are no longer,
which change, and by which rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import tzinfo

from rules.model import MODES, RuleSet
from streams.craft.days import day_of
from streams.craft.known_good import KnownGood
from streams.craft.rule_changes import RuleChange, rule_changes
from streams.craft.standing import Decided, Numbers, Stay, first_ms, last_ms, responsible

ENFORCE, SHADOW, REVIEW = MODES

# The counts that an expression of `--fail-if` can name.
COUNTS = {
    "new_blocks": "numbers that become blocked",
    "lost_blocks": "numbers that are blocked no longer",
    "changed_blocks": "numbers that stay blocked, by other rules, for another time or from something else",
    "blocks_before": "numbers that the old rules block",
    "blocks_after": "numbers that the new rules block",
    "known_good_blocks": "known-good numbers that become blocked",
    "new_reviews": "numbers that come to review",
    "lost_reviews": "numbers that are in review no longer",
    "known_good_reviews": "known-good numbers that come to review",
    "new_shadows": "numbers that come to shadow",
    "lost_shadows": "numbers that are in shadow no longer",
    "changed_rules": "rules that are added, removed or changed",
}


@dataclass(frozen=True)
class Moved:
    """One number that becomes held in a mode, or is no longer. stay: the hold responsible. rules: all that hold it.
    other: the modes in which the other version holds it."""

    number: str
    stay: Stay
    rules: tuple[str, ...]
    other: tuple[str, ...]
    known_good: str = ""  # whose number it is; "" for a number nobody vouched for


@dataclass(frozen=True)
class Shifted:
    """One number that both versions block. shifts: (what, before, after), of `from`, `until` (ms), `reason` (rules)
    and `what` (directions and actions)."""

    number: str
    shifts: tuple[tuple[str, object, object], ...]
    known_good: str = ""


@dataclass
class ModeDifference:
    """The difference in one mode. by_rule: rule -> (numbers before, after, that come, that go)."""

    before: int
    after: int
    new: list[Moved]
    lost: list[Moved]
    by_rule: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)


@dataclass
class Difference:
    rules: list[RuleChange]
    modes: dict[str, ModeDifference]
    changed: list[Shifted]  # of those that are blocked
    days: dict[str, dict[str, int]]  # by day: blocked before, after, new, lost; each number on its first day

    def counts(self) -> dict[str, int]:
        """By the names of COUNTS."""
        enforce, review, shadow = (self.modes[mode] for mode in (ENFORCE, REVIEW, SHADOW))
        return {
            "new_blocks": len(enforce.new),
            "lost_blocks": len(enforce.lost),
            "changed_blocks": len(self.changed),
            "blocks_before": enforce.before,
            "blocks_after": enforce.after,
            "known_good_blocks": sum(bool(one.known_good) for one in enforce.new),
            "new_reviews": len(review.new),
            "lost_reviews": len(review.lost),
            "known_good_reviews": sum(bool(one.known_good) for one in review.new),
            "new_shadows": len(shadow.new),
            "lost_shadows": len(shadow.lost),
            "changed_rules": len(self.rules),
        }


def difference(
    old_rules: RuleSet, new_rules: RuleSet, old: Decided, new: Decided, known_good: KnownGood, zone: tzinfo
) -> Difference:
    """zone: of the days."""
    modes = {mode: _mode(mode, old, new, known_good) for mode in MODES}
    before, after = old.by_mode[ENFORCE], new.by_mode[ENFORCE]
    shifted = [
        Shifted(number, shifts, known_good.owner(number, first_ms(after[number])))
        for number in before.keys() & after.keys()
        if (shifts := tuple(_shifts(before[number], after[number])))
    ]
    shifted.sort(key=lambda one: (not one.known_good, first_ms(after[one.number]), one.number))
    return Difference(rule_changes(old_rules, new_rules), modes, shifted, _days(before, after, zone))


def _mode(mode: str, old: Decided, new: Decided, known_good: KnownGood) -> ModeDifference:
    before, after = old.by_mode[mode], new.by_mode[mode]
    came = [_moved(number, after[number], old, known_good) for number in after.keys() - before.keys()]
    went = [_moved(number, before[number], new, known_good) for number in before.keys() - after.keys()]
    for moved in (came, went):
        moved.sort(key=lambda one: (not one.known_good, one.stay.from_ms, one.number))
    return ModeDifference(len(before), len(after), came, went, dict(_by_rule(before, after)))


def _moved(number: str, stays: list[Stay], other: Decided, known_good: KnownGood) -> Moved:
    rules = tuple(dict.fromkeys(stay.rule for stay in stays))
    held = tuple(mode for mode in MODES if number in other.by_mode[mode])
    stay = responsible(stays)
    return Moved(number, stay, rules, held, known_good.owner(number, stay.from_ms))


def _by_rule(before: Numbers, after: Numbers) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """A number that comes or goes counts for each rule that holds it."""
    held = [{number: {stay.rule for stay in stays} for number, stays in numbers.items()} for numbers in (before, after)]
    totals = [Counter(rule for rules in of.values() for rule in rules) for of in held]
    came = Counter(rule for number, rules in held[1].items() if number not in before for rule in rules)
    went = Counter(rule for number, rules in held[0].items() if number not in after for rule in rules)
    for rule in sorted(totals[0] | totals[1], key=lambda rule: (-came[rule] - went[rule], rule)):
        yield rule, (totals[0][rule], totals[1][rule], came[rule], went[rule])


def _shifts(before: list[Stay], after: list[Stay]) -> Iterator[tuple[str, object, object]]:
    if first_ms(before) != first_ms(after):
        yield "from", first_ms(before), first_ms(after)
    if last_ms(before) != last_ms(after):
        yield "until", last_ms(before), last_ms(after)
    for what, of in (("reason", _rules), ("what", _blocked)):
        if of(before) != of(after):
            yield what, of(before), of(after)


def _rules(stays: list[Stay]) -> str:
    return " ".join(sorted({stay.rule for stay in stays}))


def _blocked(stays: list[Stay]) -> str:
    return " ".join(sorted({word for stay in stays for word in (*stay.directions, *stay.actions)}))


def _days(before: Numbers, after: Numbers, zone: tzinfo) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for name, numbers, other in (("before", before, after), ("after", after, before)):
        moved = "lost" if name == "before" else "new"
        for number, stays in numbers.items():
            day = day_of(first_ms(stays), zone)
            row = out.setdefault(day, dict.fromkeys(("before", "after", "new", "lost"), 0))
            row[name] += 1
            row[moved] += number not in other
    return dict(sorted(out.items()))
