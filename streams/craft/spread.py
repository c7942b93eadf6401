"""The distribution of what rules compare with their limits: for each condition, how far each number ever got.

Of a condition like `callees >= most` it is each number's largest value, of one like `mean_call < most` its smallest."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from rules.expression_check import dotted
from rules.expressions import amounts
from rules.model import Rule
from streams.engine.evaluate import Fired
from streams.ingest.merge import Merged

PENDING_MAX = 1 << 20  # values that wait until they are put together
_UP = (ast.Gt, ast.GtE)
_DOWN = (ast.Lt, ast.LtE)


@dataclass(frozen=True)
class Compared:
    """One side of a condition that reads counters, whose other side holds limits and constants alone."""

    rule: str
    text: str
    side: ast.expr = field(compare=False)
    other: ast.expr = field(compare=False)
    is_up: bool  # it fires when the side is large

    def bounds(self, rule: Rule) -> list[tuple[str, float]]:
        """The other side under each of the rule's hours: (name of the hours, "" for always; value)."""
        names = [name for name, limit in rule.limits.items() if name in _names(self.other)]
        hours = dict.fromkeys(each for name in names for each, _, _ in rule.limits[name].during)
        out = []
        for each in ("", *hours):
            values = {
                name: np.array([next((v for h, _, v in limit.during if h == each), limit.always)])
                for name, limit in rule.limits.items()
            }
            out.append((each, float(amounts(self.other, values, 1)[0])))
        return out


def compared(rule: Rule) -> Iterator[Compared]:
    """The comparisons of a rule's `when` with its limits."""
    for node in rule.when.conjuncts():
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], (*_UP, *_DOWN)):
            continue
        for side, other, turned in ((node.left, node.comparators[0], False), (node.comparators[0], node.left, True)):
            reads, limits = _names(side), _names(other)
            if limits and limits <= rule.limits.keys() and any(n.partition(".")[0] in rule.counters for n in reads):
                is_up = isinstance(node.ops[0], _UP) != turned
                yield Compared(rule.name, ast.unparse(side), side, other, is_up)


class Spread:
    """Watches a run, and keeps each number's furthest value for some rules."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self._of = {name: list(compared(rule)) for name, rule in rules.items()}
        self._furthest = {one: Furthest(one.is_up) for all_of in self._of.values() for one in all_of}

    def watch(self, events: Merged, fired: Fired) -> None:
        for part in fired.parts:
            wanted = self._of.get(part.rule.rule.name)
            if not wanted:
                continue
            at = np.flatnonzero(part.looks)
            if not len(at):
                continue
            numbers = part.view.events["number"][at]
            columns = {name: column[at] for name, column in part.columns.items()}
            for one in wanted:
                self._furthest[one].add(numbers, amounts(one.side, columns, len(at)))

    def found(self) -> list[tuple[Compared, np.ndarray]]:
        """Each comparison and the numbers' furthest values, float64[k]."""
        return [(one, furthest.values()) for one, furthest in self._furthest.items()]


class Furthest:
    """The largest value of each number, or the smallest."""

    def __init__(self, is_up: bool) -> None:
        self._sign = 1.0 if is_up else -1.0
        self._numbers, self._values = [np.empty(0, np.int64)], [np.empty(0)]
        self._pending = 0

    def add(self, numbers: np.ndarray, values: np.ndarray) -> None:
        there = ~np.isnan(values)
        self._numbers.append(numbers[there])
        self._values.append(values[there] * self._sign)
        self._pending += len(numbers)
        if self._pending > PENDING_MAX:
            self._together()

    def values(self) -> np.ndarray:
        self._together()
        return self._values[0] * self._sign

    def _together(self) -> None:
        numbers, values = np.concatenate(self._numbers), np.concatenate(self._values)
        distinct, place = np.unique(numbers, return_inverse=True)
        largest = np.full(len(distinct), -np.inf)
        np.maximum.at(largest, place, values)
        self._numbers, self._values, self._pending = [distinct], [largest], 0


def _names(node: ast.expr) -> set[str]:
    found = {name for each in ast.walk(node) if (name := dotted(each)) is not None}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}
