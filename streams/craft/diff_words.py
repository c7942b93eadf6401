"""The words in which a difference between two versions of rules is told, to people and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from schemas.times import rfc3339
from streams.craft.diff import ENFORCE, Difference, Moved, Shifted

Name = Callable[[str], str]  # how a number is shown
HELD = {"enforce": "blocked", "review": "in review", "shadow": "in shadow"}
COME = {"enforce": "become blocked", "review": "come to review", "shadow": "come to shadow"}
DIVERTED = {"allow_listed": "on the allow list"}


def lines(found: Difference, name: Name, most: int) -> Iterator[str]:
    """name: makes a number fit to be shown. most: numbers that are listed of each kind."""
    yield from rule_lines(found)
    yield ""
    yield f"{'numbers':<16}{'before':>9}{'after':>9}{'new':>9}{'gone':>9}"
    for mode, one in found.modes.items():
        yield f"{HELD[mode]:<16}{one.before:>9,}{one.after:>9,}{len(one.new):>9,}{len(one.lost):>9,}"
    yield from _known_good(found, name)
    for mode, one in found.modes.items():
        yield from _listed(COME[mode], one.new, name, most)
        yield from _listed(f"are {HELD[mode]} no longer", one.lost, name, most)
    yield from _changed(found.changed, name, most)
    yield from _tables(found)


def rule_lines(found: Difference) -> Iterator[str]:
    if not found.rules:
        yield "rules: no difference"
        return
    yield "rules:"
    for change in found.rules:
        yield f"  {change.kind:<9} {change.rule}: {'; '.join(change.details)}"


def moved_text(one: Moved, name: Name) -> str:
    stay = one.stay
    words = [
        f"{name(one.number):<16}", " ".join(one.rules), f"{rfc3339(stay.from_ms)} until {rfc3339(stay.until_ms)}",
        f"({stay.reason})",
    ]  # fmt: skip
    if stay.diverted:
        words.append(f"[{DIVERTED.get(stay.diverted, stay.diverted)}]")
    if one.other:
        words.append(f"[other version: {', '.join(HELD[mode] for mode in one.other)}]")
    if one.known_good:
        words.append(f"[known good: {one.known_good}]")
    return "  ".join(words)


def shift_text(shift: tuple[str, object, object]) -> str:
    what, before, after = shift
    if isinstance(before, int) and isinstance(after, int):
        return f"{what} {rfc3339(before)} -> {rfc3339(after)}"
    return f"{what} {before} -> {after}"


def as_json(found: Difference, name: Name) -> dict[str, Any]:
    return {
        "counts": found.counts(),
        "rules": [change.to_dict() for change in found.rules],
        "modes": {
            mode: {
                "before": one.before, "after": one.after,
                "new": [_moved_json(moved, name) for moved in one.new],
                "lost": [_moved_json(moved, name) for moved in one.lost],
                "by_rule": [
                    {"rule": rule, "before": before, "after": after, "new": new, "lost": lost}
                    for rule, (before, after, new, lost) in one.by_rule.items()
                ],
            }
            for mode, one in found.modes.items()
        },
        "changed": [
            {"number": name(one.number), "known_good": one.known_good or None}
            | {what: {"before": before, "after": after} for what, before, after in one.shifts}
            for one in found.changed
        ],
        "days": [{"day": day} | row for day, row in found.days.items()],
    }  # fmt: skip


def _moved_json(one: Moved, name: Name) -> dict[str, Any]:
    stay = one.stay
    return {
        "number": name(one.number), "rule": stay.rule, "rules": list(one.rules), "from": stay.from_ms,
        "until": stay.until_ms, "directions": list(stay.directions), "actions": list(stay.actions),
        "reason": stay.reason, "diverted": stay.diverted or None, "other_version": list(one.other),
        "known_good": one.known_good or None,
    }  # fmt: skip


def _known_good(found: Difference, name: Name) -> Iterator[str]:
    """The numbers that must not be hit stand on top, all of them."""
    for mode, one in found.modes.items():
        good = [moved for moved in one.new if moved.known_good or moved.stay.diverted == "allow_listed"]
        if good and mode != "shadow":
            yield ""
            yield f"KNOWN-GOOD NUMBERS that {COME[mode]}: {len(good):,}"
            yield from (f"  {moved_text(moved, name)}" for moved in good)


def _listed(title: str, moved: Sequence[Moved], name: Name, most: int) -> Iterator[str]:
    if moved and most:
        yield ""
        yield f"{title}: {len(moved):,}"
        yield from (f"  {moved_text(one, name)}" for one in moved[:most])
        yield from _more(len(moved) - most)


def _changed(changed: Sequence[Shifted], name: Name, most: int) -> Iterator[str]:
    if changed and most:
        yield ""
        yield f"stay blocked, with a change: {len(changed):,}"
        for one in changed[:most]:
            yield f"  {name(one.number):<16}  {'; '.join(map(shift_text, one.shifts))}"
        yield from _more(len(changed) - most)


def _more(count: int) -> Iterator[str]:
    if count > 0:
        yield f"  and {count:,} more"


def _tables(found: Difference) -> Iterator[str]:
    """By rule, where something comes or goes; by day, where there is more than one."""
    rows = [
        (mode, rule, row) for mode, one in found.modes.items() for rule, row in one.by_rule.items() if row[2] or row[3]
    ]
    if rows:
        yield ""
        yield f"{'by rule':<40}{'before':>9}{'after':>9}{'new':>9}{'gone':>9}"
        for mode, rule, row in rows:
            yield f"{f'{rule} ({mode})':<40}" + "".join(f"{count:>9,}" for count in row)
    if len(found.days) > 1:
        yield ""
        yield f"{f'{HELD[ENFORCE]}, by day':<40}{'before':>9}{'after':>9}{'new':>9}{'gone':>9}"
        for day, counts in found.days.items():
            yield f"{day:<40}" + "".join(f"{count:>9,}" for count in counts.values())
