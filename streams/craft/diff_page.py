"""A difference as a page to look at and to hand on: tables, blocks by hour, and where limits stand in what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

import numpy as np

from rules.model import Rule
from schemas.times import rfc3339
from streams.craft import plots
from streams.craft.diff import ENFORCE, Difference, Moved
from streams.craft.diff_words import COME, DIVERTED, HELD, Name, shift_text
from streams.craft.spread import Compared, Spread, compared
from streams.craft.standing import Decided, first_ms

HOUR_MS = 3_600_000
BARS_MAX = 240
BINS = 60
ROWS_MAX = 1000


def difference_page(
    found: Difference, old: Decided, new: Decided, spread: Spread, before: Mapping[str, Rule], name: Name, zone: tzinfo
) -> str:
    """spread: of the new rules. before: the old rules by name."""
    parts = [
        plots.table("Rules", ("change", "rule", "what"), [(c.kind, c.rule, "; ".join(c.details)) for c in found.rules]),
        plots.table(
            "Numbers", ("", "before", "after", "new", "gone"),
            [(HELD[m], o.before, o.after, len(o.new), len(o.lost)) for m, o in found.modes.items()],
        ),
        by_hour(old, new, zone),
        *(limits(one, values, spread.rules[one.rule], before.get(one.rule)) for one, values in spread.found()),
        *_numbers(found, name),
        *_tables(found),
    ]  # fmt: skip
    return plots.page("Difference between two versions of rules", parts)


def by_hour(old: Decided, new: Decided, zone: tzinfo) -> str:
    """Numbers that become blocked in each hour, under the old rules and under the new ones."""
    counts = [Counter(first_ms(stays) // HOUR_MS for stays in run.by_mode[ENFORCE].values()) for run in (old, new)]
    hours = sorted(counts[0] | counts[1])
    if not hours:
        return "<p>Neither version blocks anybody.</p>"
    step = -(-(hours[-1] - hours[0] + 1) // BARS_MAX)
    starts = range(hours[0], hours[-1] + 1, step)
    labels = [_hour(start, zone) for start in starts]
    values = [[sum(of[hour] for hour in range(start, start + step)) for start in starts] for of in counts]
    each = "hour" if step == 1 else f"{step} hours"
    series = (("before", plots.BEFORE, values[0]), ("after", plots.AFTER, values[1]))
    return plots.bars(f"Numbers that become blocked, by {each}", labels, series)


def limits(one: Compared, values: np.ndarray, rule: Rule, old: Rule | None) -> str:
    """The numbers, by how far each got in one condition, and the limits there."""
    marks = [plots.Mark(at, f"after {hours}".strip(), plots.AFTER) for hours, at in one.bounds(rule)]
    same = None if old is None else next((each for each in compared(old) if each.text == one.text), None)
    if old is not None and same is not None:
        marks += [plots.Mark(at, f"before {hours}".strip()) for hours, at in same.bounds(old)]
    kept = values[values > 0]
    title = f"{one.rule}: each number's {'largest' if one.is_up else 'smallest'} {one.text}"
    if not len(kept):
        return f"<p>{plots.escape(title)}: no number was counted.</p>"
    ends = [*(mark.at for mark in marks if mark.at > 0), float(kept.min()), float(kept.max())]
    low, high = min(ends) * 0.9, max(ends) * 1.1
    edges = np.geomspace(low, high, BINS + 1)
    counts = np.histogram(kept, edges)[0].tolist()
    beyond = f"; {len(values) - len(kept):,} more at 0" if len(kept) < len(values) else ""
    return plots.histogram(title, edges.tolist(), counts, marks, f"{len(kept):,} numbers{beyond}")


def _hour(hour: int, zone: tzinfo) -> str:
    at = datetime.fromtimestamp(0, zone) + timedelta(hours=hour)
    return at.astimezone(zone).strftime("%m-%d %H:00")


def _numbers(found: Difference, name: Name) -> Iterator[str]:
    heads = ("number", "rules", "from", "until", "reason", "", "known good")
    for mode, one in found.modes.items():
        for title, moved in ((COME[mode].capitalize(), one.new), (f"Are {HELD[mode]} no longer", one.lost)):
            if moved:
                yield plots.table(title, heads, list(_rows(moved[:ROWS_MAX], name)), _more(moved))
    if found.changed:
        rows = [
            (name(one.number), "; ".join(map(shift_text, one.shifts)), one.known_good)
            for one in found.changed[:ROWS_MAX]
        ]
        yield plots.table("Stay blocked, with a change", ("number", "change", "known good"), rows, _more(found.changed))


def _rows(moved: Sequence[Moved], name: Name) -> Iterator[tuple[str, ...]]:
    for one in moved:
        stay, notes = one.stay, [f"other version: {HELD[mode]}" for mode in one.other]
        if stay.diverted:
            notes.append(DIVERTED.get(stay.diverted, stay.diverted))
        yield (
            name(one.number), " ".join(one.rules), rfc3339(stay.from_ms), rfc3339(stay.until_ms), stay.reason,
            ", ".join(notes), one.known_good,
        )  # fmt: skip


def _more(listed: Sequence[object]) -> str:
    return f"and {len(listed) - ROWS_MAX:,} more" if len(listed) > ROWS_MAX else ""


def _tables(found: Difference) -> Iterator[str]:
    heads = ("before", "after", "new", "gone")
    rows = [(mode, rule, *row) for mode, one in found.modes.items() for rule, row in one.by_rule.items()]
    yield plots.table("Numbers by rule", ("mode", "rule", *heads), rows)
    yield plots.table(
        "Blocked numbers by day", ("day", *heads), [(day, *row.values()) for day, row in found.days.items()]
    )
