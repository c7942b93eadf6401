"""A rule's `when` with its values filled in, so that a person can follow it by eye:

gray.short 10.9 + gray.long 197.3 = 208.2 > level 180 (concentrated) and callees 22 >= 8

Taken apart at each `and`, it says which conditions hold, and by how much the others fail.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rules.expression_check import dotted
from rules.model import Limit, Rule

Value = float | str | None  # None: there is no reading, or the record has no such field
Known = Mapping[str, tuple[Value, str]]  # by name: (value, hours that it holds in)

_SUMS = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__"}
_ORDERS = {
    ast.Lt: "__lt__",
    ast.LtE: "__le__",
    ast.Gt: "__gt__",
    ast.GtE: "__ge__",
    ast.Eq: "__eq__",
    ast.NotEq: "__ne__",
}


@dataclass(frozen=True)
class Condition:
    """One condition of a `when`. text: with its values. holds: None where a value is not there, or not known. fails: by
    how much it fails, in words; "" where it holds. parts: the alternatives of an `or`."""

    text: str
    holds: bool | None
    fails: str = ""
    parts: tuple[Condition, ...] = ()

    def to_dict(self) -> dict[str, object]:
        out: dict[str, object] = {"text": self.text, "holds": self.holds}
        if self.fails:
            out["fails"] = self.fails
        return out | ({"alternatives": [part.to_dict() for part in self.parts]} if self.parts else {})


def filled(rule: Rule, values: Mapping[str, Value], at_ms: int) -> str:
    """values: the readings of the evidence by name, and fields where they are known. at_ms: when they were compared. A
    name without a value stays as it stands."""
    return _text(rule.when.tree(), _known(rule, values, at_ms))


def taken_apart(rule: Rule, values: Mapping[str, Value], at_ms: int) -> list[Condition]:
    """The conditions that must all hold, in the order of the `when`."""
    known = _known(rule, values, at_ms)
    return [_part(node, known) for node in rule.when.conjuncts()]


def in_force(limit: Limit, at_ms: int) -> tuple[float, str]:
    """(value, name of the hours that it holds in, "" for always)."""
    found = limit.always, ""
    for name, hours, value in limit.during:
        if hours.inside(np.array([at_ms], np.int64))[0]:
            found = value, name
    return found


def limit_text(limit: Limit, at_ms: int) -> str:
    """The value in force and why: `level 12 in concentrated, 30 outside`."""
    value, inside = in_force(limit, at_ms)
    others = [f"{shown(number)} in {name}" for name, _, number in limit.during if name != inside]
    if inside:
        others.append(f"{shown(limit.always)} outside")
        return f"{limit.name} {shown(value)} in {inside}; {', '.join(others)}"
    return f"{limit.name} {shown(value)}" + (f" now; {', '.join(others)}" if others else "")


def shown(value: Value) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if value is None or math.isnan(value):
        return "(none)"
    return f"{round(value, 3):g}" if abs(value) < 1e6 else f"{value:.0f}"


def _known(rule: Rule, values: Mapping[str, Value], at_ms: int) -> Known:
    known: dict[str, tuple[Value, str]] = {name: (value, "") for name, value in values.items()}
    return known | {name: in_force(limit, at_ms) for name, limit in rule.limits.items()}


def _text(node: ast.expr, known: Known) -> str:
    return ast.unparse(_Filler(known).visit(ast.parse(ast.unparse(node), mode="eval").body))


# ----------------------------------------------------------------------------------------------------------- parts


def _part(node: ast.expr, known: Known) -> Condition:
    text = _text(node, known)
    if isinstance(node, ast.BoolOp):
        parts = tuple(_part(value, known) for value in node.values)
        return Condition(text, _joined(isinstance(node.op, ast.And), [part.holds for part in parts]), "", parts)
    if isinstance(node, ast.UnaryOp):
        inner = _part(node.operand, known)
        return Condition(text, None if inner.holds is None else not inner.holds, "", inner.parts)
    assert isinstance(node, ast.Compare)
    operands = [node.left, *node.comparators]
    links = [_link(op, operands[i], operands[i + 1], known) for i, op in enumerate(node.ops)]
    return Condition(text, _joined(True, [holds for holds, _ in links]), "; ".join(why for _, why in links if why))


def _joined(is_and: bool, holds: list[bool | None]) -> bool | None:
    """None in any of them is None: what is not there makes a rule false, `or` and `not` included."""
    if None in holds:
        return None
    return all(holds) if is_and else any(holds)


def _link(op: ast.cmpop, left: ast.expr, right: ast.expr, known: Known) -> tuple[bool | None, str]:
    """(whether it holds, by how much it fails)."""
    a = _value(left, known)
    if isinstance(op, ast.In | ast.NotIn):
        assert isinstance(right, ast.Tuple | ast.List)
        among = [_value(item, known) for item in right.elts]
        return (None, _absent(left, known)) if a is None else _verdict((a in among) == isinstance(op, ast.In), "")
    b = _value(right, known)
    if a is None or b is None:
        return None, _absent(left if a is None else right, known)
    holds = bool(getattr(a, _ORDERS[type(op)])(b))
    if isinstance(a, str) or isinstance(b, str) or isinstance(op, ast.Eq | ast.NotEq):
        return _verdict(holds, "")
    low = isinstance(op, ast.Gt | ast.GtE)
    gap = shown(abs(b - a))
    return _verdict(holds, "equal" if a == b else f"{gap} too low" if low else f"{gap} too high")


def _verdict(holds: bool, why: str) -> tuple[bool, str]:
    return holds, "" if holds else why


def _absent(node: ast.expr, known: Known) -> str:
    """A field of the record has no value that is known beforehand; a counter or field that is known may have none."""
    names = {name for each in ast.walk(node) if (name := dotted(each)) is not None and name not in known}
    parts = {name for name in names if "." in name}
    unknown = sorted(name for name in names if not any(part.startswith(f"{name}.") for part in parts))
    return f"depends on the record's {', '.join(unknown)}" if unknown else f"no value of {ast.unparse(node)}"


def _value(node: ast.expr, known: Known) -> Value:
    """The value of a sum of names and constants; None where one is not known, or for a division by zero."""
    if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
        left, right = _value(node.left, known), _value(node.right, known)
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            return None
        if isinstance(node.op, ast.Div) and right == 0:
            return None
        return float(getattr(left, _SUMS[type(node.op)])(right))
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, known)
        return -inner if isinstance(inner, int | float) and isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else float(node.value)  # type: ignore[arg-type]
    value = known.get(dotted(node) or "", (None, ""))[0]
    if value is None or isinstance(value, str):
        return value
    return None if math.isnan(value) else float(value)


# ------------------------------------------------------------------------------------------------------------ text


class _Filler(ast.NodeTransformer):
    """Puts each value behind its name, and each sum's total behind the sum that is compared."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._filled(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        return self._filled(node)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        sides = [node.left, *node.comparators]
        totals = [_value(side, self._known) if isinstance(side, ast.BinOp) else None for side in sides]
        texts = [ast.unparse(self.visit(side)) for side in sides]
        written = [
            ast.Name(text if total is None else f"{text} = {shown(total)}")
            for text, total in zip(texts, totals, strict=True)
        ]
        return ast.Compare(written[0], node.ops, list(written[1:]))

    def _filled(self, node: ast.Name | ast.Attribute) -> ast.expr:
        name = ast.unparse(node)
        if name not in self._known:
            return node
        value, hours = self._known[name]
        return ast.Name(f"{name} {shown(value)}" + (f" ({hours})" if hours else ""))
