"""Conditions as alternatives of bounds: can one ever be true, and does one follow from another?

A condition becomes alternatives of parts that hold together; a part bounds a sum of readings, or the values of a field.
The answers err to one side: what is called impossible is impossible; what is not may be impossible all the same."""

from __future__ import annotations

import ast
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from rules.expression_check import dotted

ALTERNATIVES_MAX = 200
ROUNDS = 3  # in which bounds of sums narrow those of their readings

TOLERANCE = 1e-9  # relative: bounds so near to each other are one, for arithmetic rounds

Sum = tuple[tuple[Hashable, float], ...]  # (key of a reading, factor), by key; the first factor is 1

_NEGATED = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
_MIRRORED = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}


class Beyond(Exception):
    """The condition has too many alternatives to be judged."""


class Between(NamedTuple):
    """From `low` to `high`; `_open`: without the end itself."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def both(self, other: Between) -> Between:
        """The values within both."""
        low, low_open, high, high_open = self.low, self.low_open, self.high, self.high_open
        if other.low > low or (other.low == low and other.low_open):
            low, low_open = other.low, other.low_open
        if other.high < high or (other.high == high and other.high_open):
            high, high_open = other.high, other.high_open
        return Between(low, high, low_open, high_open)

    def whole(self) -> Between:
        """The whole numbers within; a bound that is nearly whole is taken for it."""
        low, high = self.low, self.high
        if math.isfinite(low):
            near = round(low)
            low = near + self.low_open if abs(low - near) < TOLERANCE else math.ceil(low)
        if math.isfinite(high):
            near = round(high)
            high = near - self.high_open if abs(high - near) < TOLERANCE else math.floor(high)
        return Between(low, high)

    @property
    def is_empty(self) -> bool:
        gap = self.low - self.high
        if gap == 0:
            return self.low_open or self.high_open
        return gap > TOLERANCE * max(abs(self.low), abs(self.high), 1) if math.isfinite(gap) else gap > 0

    def times(self, factor: float) -> Between:
        if factor < 0:
            return Between(self.high * factor, self.low * factor, self.high_open, self.low_open)
        return Between(self.low * factor, self.high * factor, self.low_open, self.high_open)

    def plus(self, other: Between) -> Between:
        return Between(
            self.low + other.low, self.high + other.high,
            self.low_open or other.low_open, self.high_open or other.high_open,
        )  # fmt: skip


ANY = Between()


@dataclass(frozen=True, slots=True)
class Term:
    """A name of a condition. key: equal for names that read the same. bounds: of its values, which are whole numbers
    where it says so. value: of a limit that is always the same. names: of a field, its values."""

    key: Hashable
    bounds: Between = ANY
    is_whole: bool = False
    value: float | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """A bound on a sum, or the values that a field may have. node: where it stands."""

    sum: Sum
    bounds: Between
    values: frozenset[str] | None = None
    node: ast.expr | None = None


Alternative = tuple[Clause, ...]


class Logic:
    """Judges conditions over some readings."""

    def __init__(self, readings: Mapping[str, Term]) -> None:
        self._by_name = dict(readings)
        self._by_key: dict[Hashable, Term] = {reading.key: reading for reading in readings.values()}

    def bounds_of(self, key: Hashable) -> Between:
        return self._by_key[key].bounds

    def keys(self) -> set[Hashable]:
        return {reading.key for reading in self._by_name.values() if reading.value is None}

    def alternatives(self, node: ast.expr, negated: bool = False) -> list[Alternative]:
        """The alternatives of a condition, each of parts that hold together. Raises Beyond."""
        if isinstance(node, ast.UnaryOp):
            return self.alternatives(node.operand, not negated)
        if isinstance(node, ast.BoolOp):
            inner = [self.alternatives(value, negated) for value in node.values]
            together = isinstance(node.op, ast.And) != negated
            return joined(inner) if together else [one for alternatives in inner for one in alternatives]
        assert isinstance(node, ast.Compare)
        sides = [node.left, *node.comparators]
        links = [self._link(sides[i], op, sides[i + 1], negated, node) for i, op in enumerate(node.ops)]
        return [one for link in links for one in link] if negated else joined(links)

    def is_possible(self, alternative: Sequence[Clause]) -> bool:
        """False if the parts surely exclude each other."""
        values: dict[Hashable, frozenset[str]] = {}
        sums: dict[Sum, Between] = {}
        for part in alternative:
            if part.values is not None:
                key = part.sum[0][0]
                values[key] = values.get(key, part.values) & part.values
                if not values[key]:
                    return False
            else:
                sums[part.sum] = sums.get(part.sum, ANY).both(part.bounds)
        return self._is_within(sums)

    def _is_within(self, sums: dict[Sum, Between]) -> bool:
        """False if the bounds of the sums leave one of their readings no value."""
        known = self._by_key
        ranges = {key: known[key].bounds for sum_ in sums for key, _ in sum_}
        for sum_, bounds in sums.items():
            if all(known[key].is_whole and factor.is_integer() for key, factor in sum_):
                sums[sum_] = bounds.whole()
            if sums[sum_].is_empty:
                return False
        for _ in range(ROUNDS):
            before = dict(ranges)
            for sum_, bounds in sums.items():
                for key, factor in sum_:
                    found = bounds
                    for other, weight in sum_:
                        if other != key:
                            found = found.plus(ranges[other].times(-weight))
                    found = found.times(1 / factor)
                    ranges[key] = ranges[key].both(found.whole() if known[key].is_whole else found)
                    if ranges[key].is_empty:
                        return False
            if ranges == before:
                break
        return True

    def follows(self, what: Sequence[Alternative], of: ast.expr, under: Logic) -> bool:
        """True if `of`, a condition over the names of `under`, surely holds wherever one of the alternatives does."""
        against = under.alternatives(of, negated=True)
        both = Logic({})
        both._by_key = self._by_key | under._by_key
        return all(not both.is_possible((*one, *other)) for one in what for other in against)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _link(
        self, left: ast.expr, op: ast.cmpop, right: ast.expr, negated: bool, node: ast.expr
    ) -> list[Alternative]:  # fmt: skip
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(right, ast.Tuple | ast.List)
            links = [self._link(left, ast.Eq(), item, False, node) for item in right.elts]
            inside = [one for link in links for one in link]
            if isinstance(op, ast.In) != negated:
                return self._merged(inside)
            return joined([self._link(left, ast.Eq(), item, True, node) for item in right.elts])
        kind = _NEGATED[type(op)] if negated else type(op)
        for side, other in ((left, right), (right, left)):
            reading = self._by_name.get(dotted(side) or "")
            if reading is not None and reading.names:
                return self._names(reading, kind, other, node)
        terms, constant = self._terms(left)
        minus, more = self._terms(right)
        for key, factor in minus.items():
            terms[key] = terms.get(key, 0.0) - factor
        return self._bound({key: f for key, f in terms.items() if f}, kind, more - constant, node)

    def _merged(self, alternatives: list[Alternative]) -> list[Alternative]:
        """One part for a field that may have several values, instead of an alternative each."""
        parts = [part for alternative in alternatives for part in alternative]
        if len(parts) == len(alternatives) and all(part.values is not None for part in parts):
            either = frozenset().union(*(part.values or () for part in parts))
            return [(replace(parts[0], values=either),)]
        return alternatives

    def _names(self, reading: Term, kind: type[ast.cmpop], other: ast.expr, node: ast.expr) -> list[Alternative]:
        every = frozenset(reading.names)
        if not isinstance(other, ast.Constant):  # two fields: a sum that nothing is known of
            return [()]
        one = frozenset({str(other.value)})
        values = one if kind is ast.Eq else every - one
        return [(Clause(((reading.key, 1.0),), ANY, values, node),)]

    def _bound(
        self, terms: dict[Hashable, float], kind: type[ast.cmpop], value: float, node: ast.expr
    ) -> list[Alternative]:
        """The alternatives of `terms kind value`."""
        if not terms:
            true = {ast.Lt: value > 0, ast.LtE: value >= 0, ast.Gt: value < 0, ast.GtE: value <= 0,
                    ast.Eq: value == 0, ast.NotEq: value != 0}[kind]  # fmt: skip
            return [()] if true else []
        first = min(terms, key=str)
        factor = terms[first]
        if factor < 0:
            kind = _MIRRORED.get(kind, kind)
        value /= factor
        sum_ = tuple(sorted(((key, f / factor) for key, f in terms.items()), key=lambda term: str(term[0])))
        bounds = {
            ast.Lt: [Between(-math.inf, value, False, True)],
            ast.LtE: [Between(-math.inf, value)],
            ast.Gt: [Between(value, math.inf, True)],
            ast.GtE: [Between(value)],
            ast.Eq: [Between(value, value)],
            ast.NotEq: [Between(-math.inf, value, False, True), Between(value, math.inf, True)],
        }[kind]
        return [(Clause(sum_, one, None, node),) for one in bounds]

    def _terms(self, node: ast.expr) -> tuple[dict[Hashable, float], float]:
        """An operand as readings by factor, and a constant; what is no such sum is a reading of its own."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return {}, float(node.value)
        reading = self._by_name.get(dotted(node) or "")
        if reading is not None:
            return ({}, reading.value) if reading.value is not None else ({reading.key: 1.0}, 0.0)
        if isinstance(node, ast.UnaryOp):
            terms, constant = self._terms(node.operand)
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return {key: f * sign for key, f in terms.items()}, constant * sign
        if isinstance(node, ast.BinOp) and (found := self._calculated(node)) is not None:
            return found
        key = self._opaque(node)
        return {key: 1.0}, 0.0

    def _calculated(self, node: ast.BinOp) -> tuple[dict[Hashable, float], float] | None:
        (left, a), (right, b) = self._terms(node.left), self._terms(node.right)
        if isinstance(node.op, ast.Add | ast.Sub):
            sign = 1.0 if isinstance(node.op, ast.Add) else -1.0
            out = dict(left)
            for key, factor in right.items():
                out[key] = out.get(key, 0.0) + sign * factor
            return out, a + sign * b
        if isinstance(node.op, ast.Mult) and (not left or not right):
            factor, (terms, constant) = (a, (right, b)) if not left else (b, (left, a))
            return {key: f * factor for key, f in terms.items()}, constant * factor
        if isinstance(node.op, ast.Div) and not right and b:
            return {key: f / b for key, f in left.items()}, a / b
        return None

    def _opaque(self, node: ast.expr) -> Hashable:
        """The key of a product or quotient of readings."""
        names = sorted({name for part in ast.walk(node) if (name := dotted(part)) in self._by_name})
        key = (ast.unparse(node), tuple(self._by_name[name].key for name in names))
        self._by_key.setdefault(key, Term(key))
        return key


def joined(inner: Sequence[list[Alternative]]) -> list[Alternative]:
    """The alternatives of conditions that hold together. Raises Beyond."""
    if math.prod(len(alternatives) for alternatives in inner) > ALTERNATIVES_MAX:
        raise Beyond
    return [tuple(part for one in chosen for part in one) for chosen in product(*inner)]


def contradiction(logic: Logic, alternatives: Sequence[Alternative]) -> Iterator[Clause]:
    """The one or two parts that exclude each other by themselves, if there are such, of an only alternative."""
    if len(alternatives) != 1:
        return
    parts = alternatives[0]
    for i, part in enumerate(parts):
        if not logic.is_possible([part]):
            yield part
            return
        for other in parts[:i]:
            if not logic.is_possible([other, part]):
                yield from (other, part)
                return
