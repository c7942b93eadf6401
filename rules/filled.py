"""A rule's `when` with the values of its evidence filled in, so that a person can follow it by eye:

gray.short 10.9 + gray.long 197.3 = 208.2 > level 180 (concentrated) and callees 22 >= 8
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

import numpy as np

from rules.model import Limit, Rule

_SUMS = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__"}


def filled(rule: Rule, values: Mapping[str, float], at_ms: int) -> str:
    """values: the readings of the evidence by name. at_ms: when they were compared. A name without a value stays as it
    stands."""
    known = {name: (value, "") for name, value in values.items()}
    known |= {name: in_force(limit, at_ms) for name, limit in rule.limits.items()}
    tree = _Filler(known).visit(ast.parse(rule.when.source.strip(), mode="eval"))
    return ast.unparse(tree)


def in_force(limit: Limit, at_ms: int) -> tuple[float, str]:
    """(value, name of the hours that it holds in, "" for always)."""
    found = limit.always, ""
    for name, hours, value in limit.during:
        if hours.inside(np.array([at_ms], np.int64))[0]:
            found = value, name
    return found


class _Filler(ast.NodeTransformer):
    """Puts each value behind its name, and each sum's total behind the sum that is compared."""

    def __init__(self, known: Mapping[str, tuple[float, str]]) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._filled(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._filled(node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        sides = [node.left, *node.comparators]
        totals = [self._total(side) if isinstance(side, ast.BinOp) else None for side in sides]
        shown = [ast.unparse(self.visit(side)) for side in sides]
        written = [
            ast.Name(text if total is None else f"{text} = {_number(total)}")
            for text, total in zip(shown, totals, strict=True)
        ]
        return ast.Compare(written[0], node.ops, list(written[1:]))

    def _filled(self, node: ast.Name | ast.Attribute) -> ast.expr:
        name = ast.unparse(node)
        if name not in self._known:
            return node
        value, hours = self._known[name]
        return ast.Name(f"{name} {_number(value)}" + (f" ({hours})" if hours else ""))

    def _total(self, node: ast.expr) -> float | None:
        """The value of a sum of names and numbers; None where one is not known."""
        if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
            left, right = self._total(node.left), self._total(node.right)
            if left is None or right is None or (isinstance(node.op, ast.Div) and right == 0):
                return None
            return float(getattr(float(left), _SUMS[type(node.op)])(float(right)))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        value = self._known.get(ast.unparse(node))
        return None if value is None else value[0]


def _number(value: float) -> str:
    return f"{round(value, 3):g}" if abs(value) < 1e6 else f"{value:.0f}"
