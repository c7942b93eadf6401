"""The check of expressions: the kinds of their values, their bounds, and every mistake, found in one walk."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Bounds: no sensible rule comes near them, and they keep a hostile file from exhausting the parser.
SOURCE_LENGTH_MAX = 2_000
DEPTH_MAX = 40
NODES_MAX = 500


@dataclass(frozen=True)
class Numeric:
    """A column of numbers; NaN is "no reading"."""


@dataclass(frozen=True)
class Choice:
    """A uint8 column of indices into `names`; index 0 is "absent" and cannot be written in an expression."""

    names: tuple[str, ...]

    @property
    def choices(self) -> tuple[str, ...]:
        return self.names[1:]


@dataclass(frozen=True)
class Hidden:
    """A name that is known and cannot be read. Without a message, what is wrong with it has been said elsewhere."""

    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class ValueList:
    """A list of values with a name, which stands on the right of `in`."""

    kind: Choice
    values: tuple[str, ...]


Kind = Numeric | Choice
Known = Mapping[str, Kind | Hidden | ValueList]
NUMBER = Numeric()


@dataclass(frozen=True)
class ExpressionError:
    """One thing wrong, at `offset` characters into the source."""

    offset: int
    length: int
    message: str
    hint: str = ""
    choices: tuple[str, ...] = ()


class ExpressionErrors(ValueError):
    """Everything wrong with one expression, in the order of the source."""

    def __init__(self, errors: list[ExpressionError]) -> None:
        super().__init__("; ".join(e.message for e in errors))
        self.errors = sorted(errors, key=lambda e: e.offset)


def syntax(source: str) -> ast.expr:
    """The syntax tree of a source whose size is within bounds. Line breaks count as spaces, as in a folded YAML
    scalar."""
    if len(source) > SOURCE_LENGTH_MAX:
        raise ExpressionErrors([ExpressionError(0, 1, f"longer than {SOURCE_LENGTH_MAX} characters")])
    if "#" in source:
        hint = "write comments in the YAML, outside the expression"
        raise ExpressionErrors([ExpressionError(source.index("#"), 1, "`#` has no meaning here", hint)])
    flat = _flat(source)
    lead = len(flat) - len(flat.lstrip())
    if not flat.strip():
        raise ExpressionErrors([ExpressionError(0, 1, "the expression is empty", "write a condition: `rate >= 5`")])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(flat[lead:], mode="eval").body
    except SyntaxError as e:
        offset = min(max(lead + (e.offset or len(source)) - 1, 0), len(source) - 1)
        raise ExpressionErrors([_bracket(str(e.msg), offset) or _slip(source, offset)]) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionErrors([ExpressionError(0, 1, "cannot be parsed: nested too deeply")]) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += lead
            node.end_col_offset = (node.end_col_offset or node.col_offset) + lead
    if (depth := _depth(tree)) > DEPTH_MAX:
        raise ExpressionErrors([ExpressionError(lead, 1, f"nested {depth} deep; the most is {DEPTH_MAX}")])
    if (nodes := sum(isinstance(n, ast.expr) for n in ast.walk(tree))) > NODES_MAX:
        raise ExpressionErrors([ExpressionError(lead, 1, f"{nodes} parts; the most is {NODES_MAX}")])
    return tree


def _flat(source: str) -> str:
    return source.replace("\n", " ").replace("\r", " ").replace("\t", " ")


SLIPS = (
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("<>", "write `!=`"),
    ("=<", "write `<=`"),
    ("=>", "write `>=`"),
    ("!", "write `not`, or `!=` between two values"),
    ("=", "write `==` to compare"),
)


def _bracket(problem: str, offset: int) -> ExpressionError | None:
    """A syntax error at a bracket or quote, at which the parser itself points."""
    if "was never closed" in problem:
        return ExpressionError(offset, 1, f"`{problem[1]}` is never closed", "add the bracket that closes it")
    if problem.startswith("unmatched"):
        return ExpressionError(
            offset, 1, f"`{problem.split()[1][1]}` closes nothing", "remove it, or add what it closes"
        )
    if problem.startswith("closing parenthesis"):
        return ExpressionError(offset, 1, "this bracket does not close the one before it", "close that one first")
    if "unterminated string" in problem:
        return ExpressionError(offset, 1, "this quote is never closed", 'close it: `origin == "web"`')
    return None


def _slip(source: str, offset: int) -> ExpressionError:
    """A syntax error, explained by a likely slip of the pen if there is one near the point where the parser stopped."""
    stripped = source
    for legal in ("==", "!=", ">=", "<="):
        stripped = stripped.replace(legal, "\0\0")
    for slip, hint in SLIPS:
        text = source if len(slip) == 2 else stripped
        if slip in text:
            return ExpressionError(text.index(slip), len(slip), f"`{slip}` is not an operator here", hint)
    for word in ("AND", "OR", "NOT", "IN"):
        at = f" {source} ".find(f" {word} ")
        if at >= 0:
            return ExpressionError(at, len(word), f"`{word}` is not an operator here", f"write `{word.lower()}`")
    return ExpressionError(offset, 1, "is not a complete expression: the parser stopped here")


def _depth(tree: ast.AST) -> int:
    deepest, todo = 0, [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        todo.extend((child, depth + 1) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    return deepest


# -------------------------------------------------------------------------------------------------------- checking

COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn)
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
TEXT = "text"  # the kind of a quoted constant until it is compared with an enumeration


class Checker:
    """Walks the tree once and notes every error. An operand that is wrong in itself causes no further errors."""

    def __init__(self, source: str, names: Known) -> None:
        self.source = _flat(source)
        self.names = names
        self.has_hidden = False  # names that are wrong elsewhere
        self.errors: list[ExpressionError] = []
        self.used: set[str] = set()

    def condition(self, node: ast.expr) -> None:
        """Checks a node that must be true or false."""
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self.condition(part)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.condition(node.operand)
        elif isinstance(node, ast.Compare):
            self.comparison(node)
        elif isinstance(kind := self.value(node), Numeric):
            self.error(node, f"{self.text(node)} is a number, not a condition", f"compare it: `{self.raw(node)} > 0`")
        elif kind == TEXT:
            self.error(node, f"{self.text(node)} is a text, not a condition", "compare a field with it")
        elif isinstance(kind, Choice):
            hint = f'compare it: `{self.raw(node)} == "{kind.choices[0]}"`'
            self.error(node, f"{self.text(node)} is a field, not a condition", hint)

    def comparison(self, node: ast.Compare) -> None:
        errors = len(self.errors)
        read = set(self.used)
        self.used = set()
        left, left_kind = node.left, self.value(node.left)
        for op, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                self.membership(left, left_kind, right)
                right_kind = None
            else:
                right_kind = self.value(right)
                self.pair(op, left, left_kind, right, right_kind)
            left, left_kind = right, right_kind
        if not self.used and len(self.errors) == errors:
            self.error(node, f"{self.text(node)} compares constants only, so it is always the same")
        self.used |= read

    def pair(self, op: ast.cmpop, left: ast.expr, a: Any, right: ast.expr, b: Any) -> None:
        if not isinstance(op, COMPARISONS):
            self.error(left, "`is` compares nothing here", "write `==` or `!=`", end=right)
            return
        if a is None or b is None:
            return
        if isinstance(a, Numeric) and isinstance(b, Numeric):
            return
        if isinstance(a, Numeric) or isinstance(b, Numeric):
            number, other = (left, right) if isinstance(a, Numeric) else (right, left)
            what = "a text" if TEXT in (a, b) else "a field of names"
            message = f"{self.text(number)} is a number and {self.text(other)} is {what}: they cannot be compared"
            self.error(left, message, end=right)
        elif a == TEXT and b == TEXT:
            self.error(left, "both sides are texts", "compare a field with a text", end=right)
        elif not isinstance(op, ast.Eq | ast.NotEq):
            self.error(left, "names have no order", "use `==`, `!=`, `in` or `not in`", end=right)
        elif a == TEXT or b == TEXT:
            text, kind = (left, b) if a == TEXT else (right, a)
            self.choice(text, kind)
        elif a != b:
            self.error(left, f"{self.text(left)} and {self.text(right)} have different values", end=right)

    def membership(self, left: ast.expr, kind: Any, right: ast.expr) -> None:
        listed = self.names.get(dotted(right) or "")
        if isinstance(listed, ValueList):
            if kind is not None and kind != listed.kind:
                message = f"{self.text(left)} has none of the values of {self.text(right)}"
                self.error(
                    left, message, f"its values are of a field with: {', '.join(listed.kind.choices)}", end=right
                )
            return
        if not isinstance(right, ast.Tuple | ast.List):
            self.value(right)
            self.error(right, "`in` needs a list on its right", 'like `origin in ("international", "roaming")`')
            return
        if not right.elts:
            self.error(right, "the list is empty")
        for item in right.elts:
            constant = isinstance(item, ast.Constant) or (
                isinstance(item, ast.UnaryOp) and isinstance(item.operand, ast.Constant)
            )
            if not constant:
                self.error(item, "a list holds only constants")
                continue
            b = self.value(item)
            if kind is None or b is None:
                continue
            if isinstance(kind, Choice) and b == TEXT:
                self.choice(item, kind)
            elif kind == TEXT:
                self.error(left, "the left of `in` must be a counter or a field")
                return
            elif type(kind) is not type(b):
                what, of = ("names", "a number") if isinstance(kind, Choice) else ("numbers", "a text")
                self.error(item, f"{self.text(left)} has {what}, and {self.text(item)} is {of}")

    def choice(self, node: ast.expr, kind: Choice) -> None:
        value = node.value if isinstance(node, ast.Constant) else None
        if value not in kind.choices:
            hint = closest(str(value), kind.choices)
            self.error(node, f"{self.text(node)} is not a value of this field", hint, kind.choices)

    def value(self, node: ast.expr) -> Kind | str | None:
        """Returns the kind of an operand, TEXT for a quoted constant, or None when it is wrong; the error is then
        noted."""
        if isinstance(node, ast.Constant):
            return self.constant(node)
        if (name := dotted(node)) is not None:
            return self.name(node, name)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC):
            return self.arithmetic(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            kind = self.value(node.operand)
            if kind is not None and not isinstance(kind, Numeric):
                self.error(node, f"only numbers have a sign, and {self.text(node.operand)} is none")
                return None
            return kind
        if isinstance(node, ast.BoolOp | ast.Compare) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            self.condition(node)
            self.error(node, "a condition cannot be compared or calculated with", "join conditions with `and` and `or`")
        elif isinstance(node, ast.Tuple | ast.List):
            self.error(node, "a list can stand only on the right of `in` or `not in`")
        else:
            hint = "use and, or, not, comparisons, + - * /, in, numbers, quoted names, counters, limits and fields"
            self.error(node, f"{self.text(node)} is not allowed in an expression", hint)
        return None

    def constant(self, node: ast.Constant) -> Kind | str | None:
        if isinstance(node.value, str):
            return TEXT
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            self.error(node, f"{self.text(node)} is neither a number nor a quoted name")
            return None
        if not abs(node.value) < 1e300:
            self.error(node, "the number is too large")
            return None
        return NUMBER

    def name(self, node: ast.expr, name: str) -> Kind | None:
        base = name.split(".")[0]
        kind = self.names.get(name) or self.names.get(base)
        if isinstance(kind, Hidden):
            self.used.add(name)
            self.has_hidden = True
            if kind.message:
                self.error(node, kind.message, kind.hint)
            return None
        if isinstance(kind, ValueList):
            self.error(node, f"`{name}` is a list of values", f"ask `in` for it: `{self._asked(kind)} in {name}`")
            return None
        if kind is not None and name in self.names:
            self.used.add(name)
            return kind
        parts = tuple(n for n in self.names if n.startswith(f"{name}."))
        if parts:
            self.error(node, f"`{name}` has two levels", f"write `{' + '.join(parts)}`, or one of them", parts)
        elif base != name and (base in self.names or any(n.startswith(f"{base}.") for n in self.names)):
            levels = tuple(n for n in self.names if n.startswith(f"{base}."))
            self.error(node, f"`{base}` has no part `{name.split('.')[1]}`", closest(name, levels), levels or (base,))
        else:
            choices = tuple(sorted(n for n, kind in self.names.items() if not isinstance(kind, Hidden)))
            likely = tuple(n for n, kind in self.names.items() if not isinstance(kind, Hidden) or not kind.message)
            self.error(node, f"unknown name `{name}`", closest(name, likely), choices)
        return None

    def _asked(self, listed: ValueList) -> str:
        """A field that can have the values of a list."""
        return next((name for name, kind in self.names.items() if kind == listed.kind), "field")

    def arithmetic(self, node: ast.BinOp) -> Kind | None:
        sides = [(side, self.value(side)) for side in (node.left, node.right)]
        for side, kind in sides:
            if kind is not None and not isinstance(kind, Numeric):
                self.error(side, f"only numbers can be calculated with, and {self.text(side)} is none")
        if isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant) and node.right.value == 0:
            self.error(node, "a division by zero never fires")
            return None
        return NUMBER if all(isinstance(kind, Numeric) for _, kind in sides) else None

    def error(
        self, node: ast.expr, message: str, hint: str = "", choices: tuple[str, ...] = (), end: ast.expr | None = None
    ) -> None:
        start, stop = self.span(node)
        if end is not None:
            stop = self.span(end)[1]
        self.errors.append(ExpressionError(start, max(stop - start, 1), message, hint, choices))

    def span(self, node: ast.expr) -> tuple[int, int]:
        """The (offset, length) of a node in characters; Python's own columns count bytes of UTF-8."""
        raw = self.source.encode()
        start, stop = node.col_offset, node.end_col_offset or node.col_offset
        return len(raw[:start].decode(errors="ignore")), len(raw[:stop].decode(errors="ignore"))

    def raw(self, node: ast.expr) -> str:
        start, stop = self.span(node)
        return self.source[start:stop]

    def text(self, node: ast.expr) -> str:
        raw = self.raw(node)
        return f"`{raw if len(raw) <= 40 else raw[:37] + '...'}`"


def dotted(node: ast.AST) -> str | None:
    """The name that a node reads: `gray.short`, or `rate` for a plain name. None for any other node."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def closest(word: str, choices: tuple[str, ...]) -> str:
    """ "did you mean `x`?", or nothing when no choice is near."""
    import difflib

    near = difflib.get_close_matches(word.lower(), [c for c in choices if c], n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else ""
