"""Tables of a score, in Markdown: for people in a terminal and for docs/packs.md alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.packs.compare import Change
from bench.packs.kinds import GOALS
from bench.packs.score import KindScore, Tally, goals, quantile, weighted, wilson

ROWS_OF_SENSITIVITY = 40


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; columns after the first are aligned to the right."""
    cells = [list(head), *map(list, rows)]
    wide = [max(len(row[i]) for row in cells) for i in range(len(head))]
    line = "|".join(["-" * (wide[0] + 2), *("-" * (w + 1) + ":" for w in wide[1:])])
    out = []
    for row in cells:
        padded = [row[0].ljust(wide[0]), *(cell.rjust(w) for cell, w in zip(row[1:], wide[1:], strict=True))]
        out.append(f"| {' | '.join(padded)} |")
    return [out[0], f"|{line}|", *out[1:]]


def innocents(scores: Mapping[str, Tally]) -> list[str]:
    """By kind of innocent, most common first: numbers, blocked and for review in each setting ("weekday events")."""
    merged = _merged(scores, innocent=True)
    head = ["innocent", "per 100,000", "number-days", "blocked", "at most", *scores, "review", "blocked or asked by"]
    rows = []
    for kind in sorted(merged, key=lambda k: (-merged[k].facts.per_100k, k)):
        score = merged[kind]
        each = [_pair(tally.get(kind)) for tally in scores.values()]
        rows.append([
            f"`{kind}`", f"{score.facts.per_100k:,g}", f"{score.numbers:,}", f"{score.blocked:,}",
            _percent(wilson(score.blocked, score.numbers)[1]), *each, _percent(score.review_only / score.numbers),
            _by(score),
        ])  # fmt: skip
    return table(head, rows)


def offenders(scores: Mapping[str, Tally]) -> list[str]:
    """By kind of offender, goal by goal: share blocked in each setting, contacts and seconds before the block."""
    merged = _merged(scores, innocent=False)
    head = ["offender", "goal", "numbers", "blocked", "at least", "review only", *scores, "prevented",
            "contacts", "p90", "seconds", "blocked or asked by"]  # fmt: skip
    rows = []
    for kind in sorted(merged, key=lambda k: (list(GOALS).index(merged[k].facts.goal), k)):
        score = merged[kind]
        prevented = _percent(score.prevented / score.later) if score.later else ""
        rows.append([
            f"`{kind}`", score.facts.goal, f"{score.numbers:,}", _percent(score.blocked / score.numbers),
            _percent(wilson(score.blocked, score.numbers)[0]), _percent(score.review_only / score.numbers),
            *(_share(tally.get(kind)) for tally in scores.values()), prevented,
            _figure(quantile(score.contacts, 0.5)), _figure(quantile(score.contacts, 0.9)),
            _figure(quantile(score.seconds, 0.5)), _by(score),
        ])  # fmt: skip
    return table(head, rows)


def totals(scores: Mapping[str, Tally]) -> list[str]:
    """Innocents hit per 100,000 active numbers, setting by setting, with 95 % bounds, and ordinary subscribers."""
    rows = []
    for name, tally in scores.items():
        found = weighted(tally)
        ordinary = tally.get("subscriber")
        told = f"{ordinary.blocked} of {ordinary.numbers:,}" if ordinary else ""
        rows.append([
            name, told, f"{found.blocked:.2f}", _bounds(found.blocked_bounds), f"{found.reviewed:.1f}",
            _bounds(found.reviewed_bounds),
        ])  # fmt: skip
    head = ["per 100,000 active numbers", "subscribers blocked", "blocked", "95 %", "for review", "95 %"]
    return table(head, rows)


def goal_table(scores: Mapping[str, Tally]) -> list[str]:
    merged = {**_merged(scores, innocent=False)}
    rows = []
    for goal in goals(merged):
        contacts = "" if goal.contacts_at_most is None else f"{_figure(goal.median_contacts)} / {goal.contacts_at_most}"
        rows.append([
            GOALS[goal.goal], _percent(goal.share), "" if goal.in_time is None else _percent(goal.in_time), contacts,
            "met" if goal.is_met else "missed", f"`{goal.worst}`",
        ])  # fmt: skip
    return table(["goal", "reached", "in time", "median / goal", "", "furthest from it"], rows)


def leave_one_out(changes: Sequence[Change]) -> list[str]:
    """What each rule adds and costs: the opposite of leaving it out."""
    rows = [
        [f"`{c.rule}`", _signed(-100 * c.recall, 1), f"`{c.kind}` {-100 * c.kind_change:+.0f}" if c.kind_change else "",
         _signed(-c.blocked, 2), _signed(-c.reviewed, 1)]
        for c in sorted(changes, key=lambda c: c.recall)
    ]  # fmt: skip
    head = ["rule adds", "recall, points", "most of all for", "innocents blocked", "for review"]
    return table(head, rows)


def sensitivity(changes: Sequence[Change]) -> list[str]:
    """The moves that matter most, cliffs first."""
    told = sorted(changes, key=lambda c: (not c.is_cliff, -abs(c.kind_change) - abs(c.blocked) - abs(c.reviewed) / 20))
    rows = [
        [
            f"`{c.rule}`: {c.limit} x {c.factor:g}",
            _signed(100 * c.recall, 1),
            f"`{c.kind}` {100 * c.kind_change:+.0f}" if c.kind_change else "",
            _signed(c.blocked, 2),
            _signed(c.reviewed, 1),
            "cliff" if c.is_cliff else "",
        ]
        for c in told[:ROWS_OF_SENSITIVITY]
        if c.is_cliff or c.kind_change or c.blocked or c.reviewed
    ]
    return table(["moved", "recall, points", "most of all", "innocents blocked", "for review", ""], rows)


def _merged(scores: Mapping[str, Tally], innocent: bool) -> Tally:
    """All settings together."""
    out: Tally = {}
    for tally in scores.values():
        for kind, score in tally.items():
            if score.innocent != innocent or not score.numbers:
                continue
            whole = out.setdefault(kind, KindScore(kind, innocent, score.facts))
            for name in ("numbers", "blocked", "review_only", "left_out", "later", "prevented"):
                setattr(whole, name, getattr(whole, name) + getattr(score, name))
            whole.contacts += score.contacts
            whole.seconds += score.seconds
            whole.by += score.by
            whole.asked_by += score.asked_by
    return out


def _by(score: KindScore) -> str:
    blocked = [f"{rule} {count}" for rule, count in score.by.most_common(3)]
    asked = [f"{rule} {count}?" for rule, count in score.asked_by.most_common(2)]
    return ", ".join(blocked + asked)


def _pair(score: KindScore | None) -> str:
    return "" if score is None or not score.numbers else f"{score.blocked} + {score.review_only}?"


def _share(score: KindScore | None) -> str:
    return "" if score is None or not score.numbers else _percent(score.met)


def _percent(share: float) -> str:
    """Whole per cents where that says enough."""
    return f"{100 * share:.0f} %" if share < 1e-6 or share >= 0.095 else f"{100 * share:.2g} %"


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}" if round(value, digits) else "0"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _bounds(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.2f} - {bounds[1]:.2f}"
