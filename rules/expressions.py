"""The `when` and `where` of rules: parsed by Python's own parser, checked against an allow list, compiled once to array
operations. Python never evaluates any of it: a node that is not in the list is an error.

A condition is false for a row in which any value it reads is absent (NaN, or code 0 of an enumeration), or in which its
arithmetic gives NaN or divides by zero. `not` and `or` around it change nothing about that: a missing reading must
never block anybody.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rules.expression_check import (
    NUMBER,
    Checker,
    Choice,
    ExpressionError,
    ExpressionErrors,
    Hidden,
    Kind,
    Known,
    Numeric,
    ValueList,
    dotted,
    syntax,
)

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "NUMBER",
    "Choice",
    "Expression",
    "ExpressionError",
    "ExpressionErrors",
    "Hidden",
    "Kind",
    "Numeric",
    "ValueList",
    "parse",
]

# Takes the columns and the mask of rows whose readings are all there (which it may clear further).
Compiled = Callable[[Mapping[str, Any], Any], Any]


@dataclass(frozen=True)
class Expression:
    """A compiled condition. Two that differ only in spacing, brackets or quotes are equal."""

    source: str  # normalised: as `ast.unparse` writes it
    names: frozenset[str] = field(compare=False)
    choices: tuple[tuple[str, Choice], ...] = field(compare=False, repr=False)
    run: Compiled = field(compare=False, repr=False)
    lists: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )  # as its file names them

    def tree(self) -> ast.expr:
        return ast.parse(self.source, mode="eval").body

    def conjuncts(self) -> list[ast.expr]:
        """The conditions that are joined by `and`, at any depth."""
        return _conjuncts(self.tree())

    def evaluate(self, columns: Mapping[str, np.ndarray], n: int) -> np.ndarray:
        """bool[n]. `columns` holds one array of length n for each of `names`: numbers, or uint8 codes."""
        return self.judge(columns, n)[1]

    def judge(self, columns: Mapping[str, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
        """Two bool[n]: the rows in which nothing that it reads is absent, and those of them in which it is true."""
        import numpy as np

        enumerations = {name for name, _ in self.choices}
        present = np.ones(n, bool)
        values: dict[str, Any] = {}
        for name in self.names:
            column = columns[name]
            if name in enumerations:
                present &= column != 0
            else:
                column = np.asarray(column, np.float64)
                present &= ~np.isnan(column)
            values[name] = column
        with np.errstate(all="ignore"):
            result = self.run(values, present)
        return present, np.asarray(result & present)


def parse(source: str, known: Known) -> Expression:
    """Compiles `source`, a condition over the `known` names (dotted ones like `gray.short` included).

    Raises ExpressionErrors with everything that is wrong with it; with nothing where it reads a name that is wrong
    elsewhere."""
    tree = syntax(source)
    checker = Checker(source, known)
    checker.condition(tree)
    if not checker.errors and not checker.used:
        checker.error(tree, "reads no counter and no field, so it is the same for every event")
    if checker.errors or checker.has_hidden:
        raise ExpressionErrors(checker.errors)
    names: dict[str, Kind] = {n: kind for n, kind in known.items() if isinstance(kind, Numeric | Choice)}
    words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    lists = {name: kind.values for name, kind in known.items() if isinstance(kind, ValueList) and name in words}
    tree = written_out(tree, lists)
    used = frozenset(checker.used)
    choices = tuple((name, kind) for name in sorted(used) if isinstance(kind := names[name], Choice))
    return Expression(ast.unparse(tree), used, choices, _Compiler(names).condition(tree), lists)


def amounts(node: ast.expr, columns: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """float64[n]: a side of a comparison, which is a sum of names and constants; NaN where it has no value."""
    import numpy as np

    names = {name for each in ast.walk(node) if (name := dotted(each)) is not None and name in columns}
    read = {name: np.asarray(columns[name], np.float64) for name in names}
    with np.errstate(all="ignore"):
        found = _Compiler({}).value(node)(read, np.ones(n, bool))
    return np.broadcast_to(np.asarray(found, np.float64), n)


def written_out(tree: ast.expr, lists: Mapping[str, tuple[str, ...]]) -> ast.expr:
    """The same condition with its lists of values written out; expressions elsewhere know none."""
    if lists:
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                node.comparators = [_values(side, lists) for side in node.comparators]
    return tree


def renamed(source: str, names: Mapping[str, str]) -> str:
    """The source of the same condition over other names."""
    tree = ast.parse(source, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)


def _values(node: ast.expr, lists: Mapping[str, tuple[str, ...]]) -> ast.expr:
    if not isinstance(node, ast.Name) or node.id not in lists:
        return node
    items: list[ast.expr] = [ast.copy_location(ast.Constant(value), node) for value in lists[node.id]]
    return ast.copy_location(ast.Tuple(items, ast.Load()), node)


def _conjuncts(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        return [part for value in node.values for part in _conjuncts(value)]
    return [node]


class _Compiler:
    """Turns a checked tree into closures over arrays."""

    def __init__(self, names: Mapping[str, Kind]) -> None:
        self.names = names

    def condition(self, node: ast.expr) -> Compiled:
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(part) for part in node.values]
            return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
        if isinstance(node, ast.UnaryOp):
            inner = self.condition(node.operand)
            return lambda columns, present: ~inner(columns, present)
        assert isinstance(node, ast.Compare)
        operands = [node.left, *node.comparators]
        links = [self.link(op, operands[i], operands[i + 1]) for i, op in enumerate(node.ops)]
        return _all(links)

    def link(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> Compiled:
        kind = self.enumeration(left) or self.enumeration(right)
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.Tuple | ast.List)
            return _member(self.value(left, kind), [self.value(e, kind) for e in right.elts], isinstance(op, ast.NotIn))
        return _compare(type(op), self.value(left, kind), self.value(right, kind))

    def enumeration(self, node: ast.expr) -> Choice | None:
        kind = self.names.get(dotted(node) or "")
        return kind if isinstance(kind, Choice) else None

    def value(self, node: ast.expr, kind: Choice | None = None) -> Compiled:
        if isinstance(node, ast.Constant):
            value: Any = node.value
            constant = kind.names.index(value) if kind is not None else float(value)
            return lambda columns, present: constant
        if (name := dotted(node)) is not None:
            return lambda columns, present: columns[name]
        if isinstance(node, ast.UnaryOp):
            inner = self.value(node.operand)
            if isinstance(node.op, ast.UAdd):
                return inner
            return lambda columns, present: -inner(columns, present)
        assert isinstance(node, ast.BinOp)
        return _arithmetic(type(node.op), self.value(node.left), self.value(node.right))


def _all(parts: list[Compiled]) -> Compiled:
    def run(columns: Mapping[str, Any], present: Any) -> Any:
        result = parts[0](columns, present)
        for part in parts[1:]:  # every part runs: a missing value in any of them clears the row
            result = result & part(columns, present)
        return result

    return run


def _any(parts: list[Compiled]) -> Compiled:
    def run(columns: Mapping[str, Any], present: Any) -> Any:
        result = parts[0](columns, present)
        for part in parts[1:]:
            result = result | part(columns, present)
        return result

    return run


def _compare(op: type[ast.cmpop], left: Compiled, right: Compiled) -> Compiled:
    compare = {
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
    }[op]

    def run(columns: Mapping[str, Any], present: Any) -> Any:
        return compare(left(columns, present), right(columns, present))

    return run


def _member(left: Compiled, items: list[Compiled], negated: bool) -> Compiled:
    def run(columns: Mapping[str, Any], present: Any) -> Any:
        value = left(columns, present)
        result = value == items[0](columns, present)
        for item in items[1:]:
            result = result | (value == item(columns, present))
        return ~result if negated else result

    return run


def _arithmetic(op: type[ast.operator], left: Compiled, right: Compiled) -> Compiled:
    apply = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: _divide}[op]

    def run(columns: Mapping[str, Any], present: Any) -> Any:
        result = apply(left(columns, present), right(columns, present))
        # The columns' own missing values are known beforehand; only arithmetic brings forth new ones.
        present &= result == result
        return result

    return run


def _divide(left: Any, right: Any) -> Any:
    import numpy as np

    a, b = np.asarray(left), np.asarray(right)
    return np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b))
