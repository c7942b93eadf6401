"""Expressions against a plain scalar oracle, and every way of being wrong."""

from __future__ import annotations

import ast
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.expressions import NUMBER, Choice, ExpressionErrors, parse

ORIGIN = Choice(("", "domestic", "international", "web"))
NAMES = {"a": NUMBER, "b": NUMBER, "gray.short": NUMBER, "gray.long": NUMBER, "origin": ORIGIN, "other": ORIGIN}
NUMBERS = ("a", "b", "gray.short", "gray.long")

OPERATORS = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}  # fmt: skip


class Missing(Exception):
    """A value that is not there was read."""


def oracle(source: str, row: dict[str, float | str | None]) -> bool:
    try:
        return bool(value(ast.parse(source, mode="eval").body, row))
    except Missing:
        return False


def value(node, row):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Tuple | ast.List):
        return [value(e, row) for e in node.elts]
    if isinstance(node, ast.Name | ast.Attribute):
        return present(row[ast.unparse(node)])
    if isinstance(node, ast.BoolOp):
        parts = [value(v, row) for v in node.values]
        return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.UnaryOp):
        inner = value(node.operand, row)
        return (not inner) if isinstance(node.op, ast.Not) else -inner
    if isinstance(node, ast.BinOp):
        left, right = value(node.left, row), value(node.right, row)
        if isinstance(node.op, ast.Div):
            if right == 0:
                raise Missing
            return present(left / right)
        return present(OPERATORS[type(node.op)](left, right))
    values = [value(v, row) for v in (node.left, *node.comparators)]
    links = [OPERATORS[type(op)](values[i], values[i + 1]) for i, op in enumerate(node.ops)]
    return all(links)


def present(x):
    if x is None or (isinstance(x, float) and math.isnan(x)):
        raise Missing
    return x


number = st.recursive(
    st.one_of(st.sampled_from(NUMBERS), st.sampled_from(["0", "1", "2.5", "7"])),
    lambda inner: st.one_of(
        st.builds(lambda x, o, y: f"({x} {o} {y})", inner, st.sampled_from("+-*/"), inner),
        inner.map(lambda x: f"(-{x})"),
    ),
    max_leaves=4,
)
order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
comparison = st.one_of(
    st.builds(lambda n, x, o, y: f"{n} + {x} {o} {y}", st.sampled_from(NUMBERS), number, order, number),
    st.builds(lambda n, o, x, p, y: f"{n} {o} {x} {p} {y}", st.sampled_from(NUMBERS), order, number, order, number),
    st.builds(lambda o, c: f"origin {o} '{c}'", st.sampled_from(["==", "!="]), st.sampled_from(ORIGIN.choices)),
    st.sampled_from(["origin in ('web', 'domestic')", "other not in ['web']", "origin == other", "a in (1, 2.5)"]),
)
condition = st.recursive(
    comparison,
    lambda inner: st.one_of(
        st.builds(lambda x, o, y: f"({x} {o} {y})", inner, st.sampled_from(["and", "or"]), inner),
        inner.map(lambda x: f"(not {x})"),
    ),
    max_leaves=4,
)
cell = st.sampled_from([0.0, 1.0, 2.5, -3.0, 7.0, float("nan")])
choice = st.sampled_from([None, *ORIGIN.choices])
rows = st.lists(
    st.fixed_dictionaries({**dict.fromkeys(NUMBERS, cell), "origin": choice, "other": choice}), min_size=1, max_size=20
)


@settings(max_examples=300, deadline=None)
@given(source=condition, rows=rows)
def test_arrays_give_what_the_plain_oracle_gives_row_by_row(source, rows):
    if "/ 0)" in source:
        with pytest.raises(ExpressionErrors, match="division by zero"):
            parse(source, NAMES)
        return
    expression = parse(source, NAMES)
    columns = {name: np.array([row[name] for row in rows]) for name in NUMBERS}
    for name in ("origin", "other"):
        columns[name] = np.array([ORIGIN.names.index(row[name] or "") for row in rows], np.uint8)
    got = expression.evaluate(columns, len(rows))
    assert got.dtype == bool
    assert got.tolist() == [oracle(source, row) for row in rows], source


@pytest.mark.parametrize("source", ["not a > 1", "a > 1 or b > 0", "not (a > 1 and b > 5)", "b / (b - b) < 1 or b > 0"])
def test_a_missing_value_anywhere_does_not_fire(source):
    columns = {"a": np.array([np.nan]), "b": np.array([2.0])}
    assert not parse(source, NAMES).evaluate(columns, 1).any()


@pytest.mark.parametrize(
    ("source", "offset", "message"),
    [
        ("a", 0, "is a number, not a condition"),
        ("1 < 2", 0, "constants only"),
        ("a > 1 and 1 < 2", 10, "constants only"),
        ("a > 'x'", 0, "cannot be compared"),
        ("origin == 'webb'", 10, "is not a value"),
        ("origin < 'web'", 0, "no order"),
        ("c > 1", 0, "unknown name `c`"),
        ("gray > 1", 0, "has two levels"),
        ("a.b > 1", 0, "has no part"),
        ("a > 1 && b > 2", 6, "not an operator"),
        ("a = 1", 2, "not an operator"),
        ("__import__('os') == a", 0, "not allowed"),
        ("a ** 2 > 1", 0, "not allowed"),
        ("[a for a in (1,)] > 1", 0, "not allowed"),
        ("a > 1 if b else a", 0, "not allowed"),
        ("(lambda: a)() > 1", 0, "not allowed"),
        ("a[0] > 1", 0, "not allowed"),
        ("a is b", 0, "`is`"),
        ("a > True", 4, "neither a number"),
        ("'한글' == origin and c > 1", 0, "is not a value"),
        ("a >", 2, "stopped"),
        ("a in 3", 5, "needs a list"),
        ("a / 0 > 1", 0, "division by zero"),
        ("a > 1 # b", 6, "no meaning"),
        ("a > 1e999", 4, "too large"),
        ("", 0, "empty"),
        ("-" * 1900 + "a > 1", 0, ""),
        ("(" * 300 + "a > 1" + ")" * 300, None, ""),
        ("not " * 60 + "a > 1", 0, "nested"),
        ("a > 1" + " " * 3000, 0, "longer than"),
    ],
)
def test_what_is_not_allowed_is_refused_where_it_stands(source, offset, message):
    with pytest.raises(ExpressionErrors) as caught:
        parse(source, NAMES)
    first = caught.value.errors[0]
    assert message in first.message
    assert offset is None or first.offset == offset


def test_all_errors_come_at_once_with_offsets_in_characters():
    with pytest.raises(ExpressionErrors) as caught:
        parse("origin == '한글' and c > 1 and a > 'x'", NAMES)
    assert [e.offset for e in caught.value.errors] == [10, 19, 29]


def test_expressions_that_differ_in_spelling_only_are_equal():
    one, two = parse("(a>1)  and\n b < 2", NAMES), parse("a > 1 and b<2", NAMES)
    assert one == two
    assert hash(one) == hash(two)
    assert one != parse("a > 2 and b < 2", NAMES)
    assert one.names == {"a", "b"}
