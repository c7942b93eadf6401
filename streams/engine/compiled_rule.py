"""Compiled rules: for each, the columns that its `when` reads and their sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType

import numpy as np

from rules.expression_check import dotted
from rules.kinds import KINDS, SAMPLES
from rules.model import Counter, Limit, Rule
from rules.units import duration_text
from schemas.feeds import FEEDS
from schemas.registry import REGISTRY_FIELDS
from streams.engine.listed import Listed
from streams.ingest.fields import field_column
from streams.ingest.merge import Merged


@dataclass(frozen=True, slots=True)
class Reading:
    """One name in a `when` that reads a counter."""

    name: str  # "gray.short"
    counter: Counter
    output: int  # place in the counter's outputs
    period: str  # its window, half-life or greatest age, as in the rule file


class CompiledRule:
    """One rule with its names resolved."""

    def __init__(self, slot: int, rule: Rule) -> None:
        self.slot = slot
        self.rule = rule
        self.topics = tuple(sorted({c.topic for c in rule.counters.values()}))
        self.counters = list(dict.fromkeys(rule.counters.values()))
        self.readings = [reading for name in sorted(rule.when.names) if (reading := _reading(rule, name)) is not None]
        self.limits: list[Limit] = [rule.limits[name] for name in sorted(rule.when.names) if name in rule.limits]
        self.fields = [
            name for name in sorted(rule.when.names) if any(name in FEEDS[topic].columns for topic in self.topics)
        ]
        self.listed = [name for name in sorted(rule.when.names) if name in REGISTRY_FIELDS]
        self.numeric = [reading.name for reading in self.readings] + [limit.name for limit in self.limits]
        self._compared = _compared(rule)

    def columns(
        self,
        events: Merged,
        readings: Mapping[Counter, tuple[np.ndarray, ...]],
        inside: dict[tuple[int, int], np.ndarray],
        listed: Listed,
    ) -> dict[str, np.ndarray]:
        """Returns the columns that `when` names: readings, limits in force, fields of the record and of the registry.
        inside: which events fall into which hours; like `listed`, shared by the rules of one epoch."""
        out = self.values(readings)
        out |= {limit.name: _in_force(limit, events["at"], inside) for limit in self.limits}
        out |= {name: listed.column(name, events) for name in self.listed}
        return out | {name: field_column(name, events.columns, slice(None)) for name in self.fields}

    def values(self, readings: Mapping[Counter, tuple[np.ndarray, ...]]) -> dict[str, np.ndarray]:
        """The counters that `when` reads, by the names by which it does."""
        return {r.name: _taken(r, readings[r.counter]) for r in self.readings}

    def evidence(self, values: Mapping[str, float], as_of_ms: int) -> list[dict[str, object]]:
        """Returns every counter that was read and the value it was compared with, so that a person can recompute the
        decision.

        values: readings and limits in force, by name."""
        out = []
        for reading in self.readings:
            side = self._compared.get(reading.name)
            limit = None if side is None else float(eval(side, {"__builtins__": {}}, dict(values)))
            out.append(
                {
                    "counter": reading.name,
                    "value": round(values[reading.name], 6),
                    "window": reading.period,
                    "limit": None if limit is None else round(limit, 6),
                    "as_of": as_of_ms,
                }
            )
        return out


def _taken(reading: Reading, outputs: tuple[np.ndarray, ...]) -> np.ndarray:
    """float64[n]: one output of a counter, as its file says to take it: none below so many samples, and the default in
    place of none."""
    column, counter = outputs[reading.output], reading.counter
    if counter.outputs[reading.output]:
        return column
    if counter.at_least > 1:
        column = np.where(outputs[counter.outputs.index(SAMPLES)] >= counter.at_least, column, np.nan)
    return column if counter.default is None else np.where(np.isnan(column), counter.default, column)


def _in_force(limit: Limit, at_ms: np.ndarray, inside: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
    """float64[n]: the limit's value at each event's own time."""
    column = np.full(len(at_ms), limit.always)
    for _, hours, value in limit.during:
        # By identity: both live as long as the epoch, and comparing hours costs more than the look-up saves.
        of = (id(hours), id(at_ms))
        if of not in inside:
            inside[of] = hours.inside(at_ms)
        column[inside[of]] = value
    return column


def _reading(rule: Rule, name: str) -> Reading | None:
    base, _, part = name.partition(".")
    counter = rule.counters.get(base)
    if counter is None:
        return None
    period_ms = KINDS[counter.kind].period_ms(counter, part)
    return Reading(name, counter, counter.outputs.index(part), duration_text(period_ms))


def _compared(rule: Rule) -> dict[str, CodeType]:
    """Counter name -> compiled other side of the comparison it is read in, where that side holds only limits and
    numbers. `level` in `gray.short + gray.long > level` belongs to both gray levels."""
    out: dict[str, CodeType] = {}
    for node in ast.walk(ast.parse(rule.when.source, mode="eval")):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or isinstance(node.ops[0], ast.In | ast.NotIn):
            continue  # of several values none is the limit
        sides = [node.left, node.comparators[0]]
        for side, other in (sides, sides[::-1]):
            try:
                names = {ast.unparse(n) for n in ast.walk(other) if isinstance(n, ast.Name)}
                constants = [n.value for n in ast.walk(other) if isinstance(n, ast.Constant)]
            except ValueError:
                continue
            if names <= rule.limits.keys() and all(isinstance(c, int | float) for c in constants):
                code = compile(ast.Expression(other), "<limit>", "eval")
                out |= {name: code for name in _names(side) if name.partition(".")[0] in rule.counters}
    return out


def _names(side: ast.expr) -> Iterator[str]:
    """The names that one side of a comparison reads; `gray.short` is one and not two."""
    if (name := dotted(side)) is not None:
        yield name
    else:
        for part in ast.iter_child_nodes(side):
            if isinstance(part, ast.expr):
                yield from _names(part)
