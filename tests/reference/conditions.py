"""Conditions and limits, one event at a time: Python's own `eval`, and the wall clock of `zoneinfo`."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import CodeType
from zoneinfo import ZoneInfo

from rules.hours import Hours, Interval, public_holidays
from rules.model import Limit, Rule

Value = float | str | None


def holds(source: str, names: frozenset[str], values: Mapping[str, Value]) -> bool:
    """True if the condition is true. A value that is missing, NaN or divided by zero anywhere in it makes it false,
    whatever `not` and `or` stand around it."""
    if any(values[name] is None for name in names):
        return False
    whole, operands = _compiled(source)
    scope = _scope(values)
    for operand in operands:
        try:
            value = eval(operand, {"__builtins__": {}}, scope)
        except ZeroDivisionError:
            return False
        if isinstance(value, float) and math.isnan(value):
            return False
    return bool(eval(whole, {"__builtins__": {}}, scope))


def limit_at(limit: Limit, at_ms: int) -> float:
    value = limit.always
    for _, hours, during in limit.during:
        if inside(hours, at_ms):
            value = during
    return float(value)


def inside(hours: Hours, at_ms: int) -> bool:
    return any(_inside(interval, at_ms) for interval in hours.intervals)


def compared_with(rule: Rule, name: str, limits: Mapping[str, Value]) -> float | None:
    """The value of the side that a counter is compared with, where only limits and numbers stand there."""
    side = _other_side(rule.when.source, name, frozenset(rule.limits))
    return None if side is None else float(eval(side, {"__builtins__": {}}, dict(limits)))


@lru_cache(maxsize=1000)
def _other_side(source: str, name: str, limits: frozenset[str]) -> CodeType | None:
    found = None
    for node in ast.walk(ast.parse(source, mode="eval")):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or isinstance(node.ops[0], ast.In | ast.NotIn):
            continue
        left, right = node.left, node.comparators[0]
        for side, other in ((left, right), (right, left)):
            words = {n.id for n in ast.walk(other) if isinstance(n, ast.Name)}
            texts = [n for n in ast.walk(other) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
            if name in _names(side) and words <= limits and not texts:
                found = compile(ast.unparse(other), "limit", "eval")
    return found


@lru_cache(maxsize=1000)
def _compiled(source: str) -> tuple[CodeType, list[CodeType]]:
    """The condition, and each of the operands that it compares."""
    tree = ast.parse(source, mode="eval")
    comparisons = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    operands = [operand for node in comparisons for operand in (node.left, *node.comparators)]
    return compile(tree, "when", "eval"), [compile(ast.unparse(o), "operand", "eval") for o in operands]


def _scope(values: Mapping[str, Value]) -> dict[str, object]:
    """`gray.short` becomes an attribute of `gray`."""
    scope: dict[str, object] = {}
    for name, value in values.items():
        base, dot, part = name.partition(".")
        if dot:
            whole = scope.get(base, values.get(base))
            scope[base] = whole if isinstance(whole, _Parted) else _Parted(whole if isinstance(whole, float) else 0.0)
            setattr(scope[base], part, value)
        else:
            scope.setdefault(name, value)
    return scope


class _Parted(float):
    """A number with parts: `short`, and `short.samples`."""


def _names(side: ast.expr) -> set[str]:
    if isinstance(side, ast.Name | ast.Attribute):
        return {ast.unparse(side)}
    return set().union(*(_names(part) for part in ast.iter_child_nodes(side) if isinstance(part, ast.expr)))


def _inside(interval: Interval, at_ms: int) -> bool:
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(interval.location))
    minute = local.hour * 60 + local.minute
    month_days = (local.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    from_end = local.day - month_days.day - 1
    return (
        (not interval.times or any(start <= minute < end for start, end in interval.times))
        and (not interval.weekdays or any(a <= local.isoweekday() % 7 <= b for a, b in interval.weekdays))
        and (not interval.months or any(a <= local.month <= b for a, b in interval.months))
        and (not interval.years or any(a <= local.year <= b for a, b in interval.years))
        and (
            not interval.days_of_month
            or any(
                (a <= local.day if a > 0 else a <= from_end) and (local.day <= b if b > 0 else from_end <= b)
                for a, b in interval.days_of_month
            )
        )
        and not (interval.holidays and local.date() in public_holidays(interval.holidays, local.year))
    )
