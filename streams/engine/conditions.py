"""All rules' `when` as programs for one kernel, and the columns of an epoch that they read."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from rules.expression_check import Choice, dotted
from rules.expressions import Expression
from streams.kernels import conditions as kernels

Source = TypeVar("Source")

_STEPS: dict[type[ast.AST], int] = {
    ast.Eq: kernels.EQUAL, ast.NotEq: kernels.UNEQUAL, ast.Lt: kernels.LESS, ast.LtE: kernels.AT_MOST,
    ast.Gt: kernels.MORE, ast.GtE: kernels.AT_LEAST, ast.Add: kernels.ADD, ast.Sub: kernels.SUBTRACT,
    ast.Mult: kernels.MULTIPLY, ast.Div: kernels.DIVIDE, ast.And: kernels.AND, ast.Or: kernels.OR,
}  # fmt: skip


_CONSTANT = (kernels.LIMIT, 0, 0, 0, 0, 0)
COMPARISONS = range(kernels.LESS, kernels.UNEQUAL + 1)


class Program:
    """The conditions of one `when`, all of which must be true. values: the names and constants that it reads."""

    def __init__(self, when: Expression) -> None:
        self.values: list[str | float] = []
        self.conditions: list[list[tuple[int, int]]] = []  # steps of each, with the places of values
        self._steps: list[tuple[int, int]] = []
        self._choices = dict(when.choices)
        for node in when.conjuncts():
            self._conjunct(node)

    def _conjunct(self, node: ast.expr) -> None:
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for i, op in enumerate(node.ops):
                self._link(op, operands[i], operands[i + 1])
                self._end()
        else:
            self._condition(node)
            self._end()

    def _end(self) -> None:
        self.conditions.append(self._steps)
        self._steps = []

    def _condition(self, node: ast.expr) -> None:
        if isinstance(node, ast.BoolOp):
            for i, part in enumerate(node.values):
                self._condition(part)
                if i:
                    self._add(_STEPS[type(node.op)])
        elif isinstance(node, ast.UnaryOp):
            self._condition(node.operand)
            self._add(kernels.NOT)
        else:
            assert isinstance(node, ast.Compare)
            operands = [node.left, *node.comparators]
            for i, op in enumerate(node.ops):
                self._link(op, operands[i], operands[i + 1])
                if i:
                    self._add(kernels.AND)

    def _link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> None:
        kind = self._choices.get(dotted(left) or "") or self._choices.get(dotted(right) or "")
        if not isinstance(op, ast.In | ast.NotIn):
            self._value(left, kind)
            self._value(right, kind)
            self._add(_STEPS[type(op)])
            return
        assert isinstance(right, ast.Tuple | ast.List)
        for i, item in enumerate(right.elts):
            self._value(left, kind)
            self._value(item, kind)
            self._add(kernels.EQUAL)
            if i:
                self._add(kernels.OR)
        if isinstance(op, ast.NotIn):
            self._add(kernels.NOT)

    def _value(self, node: ast.expr, kind: Choice | None = None) -> None:
        if isinstance(node, ast.Constant):
            value: Any = node.value
            self._read(float(value if kind is None else kind.names.index(value)))
        elif (name := dotted(node)) is not None:
            self._read(name)
        elif isinstance(node, ast.UnaryOp):
            self._value(node.operand)
            if isinstance(node.op, ast.USub):
                self._add(kernels.NEGATE)
        else:
            assert isinstance(node, ast.BinOp)
            self._value(node.left)
            self._value(node.right)
            self._add(_STEPS[type(node.op)])

    def _read(self, value: str | float) -> None:
        if value not in self.values:
            self.values.append(value)
        self._add(kernels.VALUE, self.values.index(value))

    def _add(self, step: int, argument: int = 0) -> None:
        self._steps.append((step, argument))


class Values:
    """The columns of one epoch that programs read, by their places."""

    def __init__(self, defaults: list[float]) -> None:
        """defaults: what each value is that is not put: constants."""
        self._defaults = defaults.copy()
        self._rows = [_CONSTANT] * len(defaults)
        self._masks: list[int] = []
        self._in_force: list[float] = []
        self._kept: list[np.ndarray] = []  # a kernel reads them by their addresses

    def put_number(
        self,
        place: int,
        column: np.ndarray,
        samples: np.ndarray | None = None,
        at_least: int = 0,
        default: float | None = None,
    ) -> None:
        """A column of numbers, NaN where there is none: none either below so many samples; default: in place of
        none."""
        column = self._keep(column, np.float64)
        of_samples = (0, 0, 0)
        if samples is not None:
            samples = self._keep(samples, np.float64)
            of_samples = address(samples), samples.strides[0], at_least
        self._rows[place] = (kernels.NUMBER, address(column), column.strides[0], *of_samples)
        self._defaults[place] = np.nan if default is None else default

    def put_codes(self, place: int, column: np.ndarray) -> None:
        """A column of codes, 0 where there is none."""
        column = self._keep(column, np.uint8)
        self._rows[place] = (kernels.CODE, address(column), column.strides[0], 0, 0, 0)

    def put_limit(self, place: int, always: float, during: Iterable[tuple[np.ndarray, float]]) -> None:
        """A limit, and what it is instead in the events of a mask; of several the last holds."""
        first = len(self._masks)
        for mask, value in during:
            self._masks.append(address(self._keep(np.ascontiguousarray(mask), np.bool_)))
            self._in_force.append(value)
        self._rows[place] = (kernels.LIMIT, first, len(self._masks), 0, 0, 0)
        self._defaults[place] = always

    def arrays(self) -> tuple[np.ndarray, ...]:
        """values, defaults, masks, in_force of the kernel."""
        values = np.array(self._rows, np.int64).reshape(-1, 6)
        return values, np.array(self._defaults), np.array(self._masks, np.int64), np.array(self._in_force, np.float64)

    def _keep(self, column: np.ndarray, kind: Any) -> np.ndarray:
        kept: np.ndarray = np.asarray(column, kind)
        self._kept.append(kept)
        return kept


class Programs(Generic[Source]):
    """The programs of all rules, one behind another. sources: of what they read, with the place of each; equal
    ones share one."""

    def __init__(self, whens: Sequence[Expression], source: Callable[[int, str], Source | float]) -> None:
        """source: of a name in the `when` of the r-th rule; a number if it is always that."""
        places: dict[Source | float, int] = {}
        steps: list[tuple[int, int]] = []
        conditions: list[tuple[int, ...]] = []
        ends = []
        for r, when in enumerate(whens):
            program = Program(when)
            keys = [each if isinstance(each, float) else source(r, each) for each in program.values]
            of = [places.setdefault(key, len(places)) for key in keys]
            for condition in program.conditions:
                placed = [(step, of[argument] if step == kernels.VALUE else 0) for step, argument in condition]
                conditions.append((len(steps), len(steps) + len(placed), *_test_of(placed)))
                steps += placed
            ends.append(len(conditions))
        self.sources = {key: place for key, place in places.items() if not isinstance(key, float)}
        self._defaults = [key if isinstance(key, float) else np.nan for key in places]
        self._program, self._conditions = (
            np.array(steps, np.int64).reshape(-1, 2),
            np.array(conditions, np.int64).reshape(-1, 5),
        )
        self._rules = np.zeros((len(ends), 4), np.int64)
        self._rules[:, kernels.STOP], self._rules[1:, kernels.BEGIN] = ends, ends[:-1]
        self._stack = np.zeros(len(steps) + 1)

    def values(self) -> Values:
        """For the columns of an epoch: `sources` says which belongs where."""
        return Values(self._defaults)

    def fired(self, looks: Sequence[np.ndarray], values: Values) -> list[np.ndarray]:
        """int64[k] for each rule: the events at which it fires, ascending, of those at which it looks (bool[n])."""
        rules = self._rules
        rules[:, kernels.EVENTS] = [len(each) for each in looks]
        rules[:, kernels.LOOKS] = [address(each) for each in looks]
        fired, counts = np.empty(int(rules[:, kernels.EVENTS].sum()), np.int64), np.empty(len(rules), np.int64)
        kernels.firings(rules, self._conditions, self._program, *values.arrays(), self._stack, fired, counts)
        ends = np.cumsum(counts).tolist()
        return [fired[end - count : end].copy() for end, count in zip(ends, counts.tolist(), strict=True)]


def _test_of(steps: list[tuple[int, int]]) -> tuple[int, int, int]:
    """The comparison and its two values' places, where steps are no more than that."""
    if [step for step, _ in steps[:2]] == [kernels.VALUE] * 2 and len(steps) == 3 and steps[2][0] in COMPARISONS:
        return steps[2][0], steps[0][1], steps[1][1]
    return kernels.NO_TEST, 0, 0


def address(array: np.ndarray) -> int:
    found: int = array.__array_interface__["data"][0]
    return found
