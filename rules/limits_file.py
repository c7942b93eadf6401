"""The `limits:` of a rule or file: numbers, durations and rates, by hours, with a warning below if wanted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from rules.document import Document, Node
from rules.expression_check import dotted
from rules.expressions import Expression
from rules.hours import Hours
from rules.kinds import EVENTS, KINDS, SECONDS
from rules.model import Counter, Limit
from rules.reading import mapping, number
from rules.units import UNITS_MS, duration_ms, duration_text

LEVELS = ("warning", "critical")
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(\d{0,9}(?:ms|[wdhms]))", re.ASCII)
_DURATION = re.compile(r"[\dwdhms]*[wdhms]", re.ASCII)


@dataclass(frozen=True)
class Levels:
    """A limit as a file says it. unit: "" of mere numbers, "seconds", or "events" a ms, which become a number once it
    is known which counter it is compared with."""

    critical: Limit
    warning: Limit | None = None
    unit: str = ""

    def both(self) -> tuple[Limit, ...]:
        return (self.critical,) if self.warning is None else (self.critical, self.warning)


@dataclass(frozen=True)
class _Given:
    unit: str
    critical: float
    warning: float | None


def read_limit(doc: Document, name: str, node: Node, hours: Mapping[str, Hours | None]) -> Levels | None:
    """Reads a limit: an amount, or `always` and an amount for each of some hours. An amount may have a `warning` and a
    `critical` value."""
    what, before = f"limit `{name}`", len(doc.diagnostics)
    if node.kind != "mapping" or _has_levels(node):
        amounts = {"always": _amount(doc, node, what)}
    else:
        keys = mapping(doc, node, what, ("always",), tuple(hours))
        amounts = {key: _amount(doc, value, what) for key, value in (keys or {}).items()}
    if len(doc.diagnostics) > before or amounts.get("always") is None:
        return None
    known = [amount for amount in amounts.values() if amount is not None]
    if len({amount.unit for amount in known}) > 1:
        doc.error(node, f"{what} is measured in two ways", "give all its values in one unit")
        return None
    if len({amount.warning is None for amount in known}) > 1:
        doc.error(node, f"{what} has a warning at some times only", "say `warning` and `critical` each time")
        return None
    critical = _limit(name, {key: one.critical for key, one in amounts.items() if one is not None}, hours)
    below = {key: one.warning for key, one in amounts.items() if one is not None and one.warning is not None}
    return Levels(critical, _limit(name, below, hours) if below else None, known[0].unit)


def _has_levels(node: Node) -> bool:
    return any(key.text in LEVELS for key, _ in node.pairs)


def _limit(name: str, values: Mapping[str, float], hours: Mapping[str, Hours | None]) -> Limit:
    during = [(key, found, value) for key, value in values.items() if (found := hours.get(key)) is not None]
    return Limit(name, values["always"], tuple(during))


def _amount(doc: Document, node: Node, what: str) -> _Given | None:
    if node.kind != "mapping":
        found = quantity(doc, node, what)
        return None if found is None else _Given(found[1], found[0], None)
    keys = mapping(doc, node, what, LEVELS)
    if keys is None or len(keys) < 2:
        return None
    warning, critical = (quantity(doc, keys[level], what) for level in LEVELS)
    if warning is None or critical is None:
        return None
    if warning[1] != critical[1]:
        doc.error(keys["critical"], f"{what} is measured in two ways", "give all its values in one unit")
        return None
    if warning[0] == critical[0]:
        doc.error(keys["warning"], f"the warning of {what} is its critical value", "let it be reached earlier")
        return None
    return _Given(critical[1], critical[0], warning[0])


def quantity(doc: Document, node: Node, what: str) -> tuple[float, str] | None:
    """(value, unit) of a number, a duration in seconds (`90s`), or a rate in events a ms (`30/m`, `5/10m`)."""
    if node.kind == "scalar" and not node.quoted and (rate := _RATE.fullmatch(node.text)):
        each = rate[2] if rate[2][0].isdigit() else f"1{rate[2]}"
        return float(rate[1]) / duration_ms(each), EVENTS
    if node.kind == "scalar" and not node.quoted and "/" in node.text:
        units = ", ".join(UNITS_MS)
        doc.error(node, f"{what}: `{node.text[:40]}` is no rate", f"write `30/m`, `5/10m`; units are {units}")
        return None
    if node.kind == "scalar" and node.text[:1].isdigit() and _DURATION.fullmatch(node.text):
        try:
            return duration_ms(node.text) / 1000, SECONDS
        except ValueError as e:
            doc.error(node, f"{what}: {e}")
            return None
    value = number(doc, node, what)
    return None if value is None else (value, "")


def measured(
    doc: Document, node: Node, when: Expression, limits: Mapping[str, Levels], counters: Mapping[str, Counter]
) -> dict[str, Levels]:
    """The limits of a `when` as numbers of what they are compared with; notes those that fit nothing. node: of the
    `when`."""
    out = dict(limits)
    for name, levels in limits.items():
        if not levels.unit:
            continue
        found = {_unit_of(other, counters) for other in _compared(when, name)}
        said = "a rate" if levels.unit == EVENTS else "a duration"
        if not found or {unit for unit, _ in found} != {levels.unit}:
            hint = (
                "compare it, as it is, with a counter of `count: events`" if levels.unit == EVENTS
                else "compare it, as it is, with `duration`, or with a sum, mean or quantile of it"
            )  # fmt: skip
            doc.error(node, f"when: limit `{name}` is {said}, and is compared with something else", hint)
        elif levels.unit == EVENTS and len(found) > 1:
            windows = " and ".join(sorted(duration_text(window_ms) for _, window_ms in found))
            doc.error(node, f"when: limit `{name}` is a rate, and is compared over {windows}", "use a limit for each")
        elif levels.unit == EVENTS:
            ((_, window_ms),) = found
            warning = None if levels.warning is None else _times(levels.warning, window_ms)
            out[name] = replace(levels, critical=_times(levels.critical, window_ms), warning=warning)
    return out


def _times(limit: Limit, window_ms: int) -> Limit:
    during = tuple((name, hours, round(value * window_ms, 6)) for name, hours, value in limit.during)
    return Limit(limit.name, round(limit.always * window_ms, 6), during)


def _compared(when: Expression, name: str) -> Iterable[str | None]:
    """The names that a limit is compared with by itself; None for all else that it is read in."""
    reads = 0
    tree = ast.parse(when.source, mode="eval")
    for node in ast.walk(tree):
        reads += isinstance(node, ast.Name) and node.id == name
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, right in pairwise(sides):
                for one, other in ((left, right), (right, left)):
                    if isinstance(one, ast.Name) and one.id == name:
                        reads -= 1
                        yield dotted(other)
    if reads > 0:
        yield None


def _unit_of(name: str | None, counters: Mapping[str, Counter]) -> tuple[str, int]:
    """(unit, window in ms where it matters) of a name that a limit is compared with."""
    if name == "duration":
        return SECONDS, 0
    counter = counters.get(name or "")
    if counter is None:
        return "", 0
    unit = KINDS[counter.kind].unit
    return unit, counter["window_ms"] if unit == EVENTS else 0
