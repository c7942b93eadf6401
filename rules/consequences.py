"""Warnings of conditions that can never be true, that always are, and of rules that add nothing to others."""

from __future__ import annotations

import ast
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rules.diagnostics import WARNING
from rules.document import Document, Node
from rules.expression_check import syntax
from rules.expressions import Expression, written_out
from rules.kinds import KINDS, SAMPLES
from rules.logic import Alternative, Between, Beyond, Clause, Logic, Term, contradiction
from rules.model import Counter, Limit, Rule

SHOWN_MAX = 60  # characters of a condition in a message


@dataclass(frozen=True, slots=True)
class _Judged:
    """A rule with its condition as alternatives."""

    rule: Rule
    doc: Document
    node: Node
    tree: ast.expr
    logic: Logic
    alternatives: list[Alternative]


class Judge:
    """Warns of rules one by one, and of pairs of them, over all files. Equal counters under other names are one."""

    def __init__(self) -> None:
        self._keys: dict[Hashable, str] = {}
        self._judged: list[_Judged] = []

    def rule(self, doc: Document, rule: Rule, node: Node) -> None:
        """Warns of a rule that never fires, or always does. node: its `when`."""
        tree = written_out(syntax(node.text), rule.when.lists)
        logic = Logic(self._readings(rule))
        try:
            found = [one for one in logic.alternatives(tree) if logic.is_possible(one)]
            always = not any(map(logic.is_possible, logic.alternatives(tree, negated=True)))
        except Beyond:
            return
        if not found:
            _never(doc, node, f"rule `{rule.name}` never fires", logic, tree)
            return
        if always:
            message = f"rule `{rule.name}` fires at every event: its `when` is always true"
            doc.error(node, message, "counters are never below 0", severity=WARNING)
        self._judged.append(_Judged(rule, doc, node, tree, logic, found))

    def where(self, doc: Document, counter: Counter, node: Node) -> None:
        """Warns of a counter that counts nothing. node: its `where`."""
        assert counter.where is not None
        logic = Logic(_fields(counter.where))
        tree = written_out(syntax(node.text), counter.where.lists)
        try:
            possible = any(map(logic.is_possible, logic.alternatives(tree)))
        except Beyond:
            return
        if not possible:
            _never(doc, node, f"counter `{counter.name}` counts nothing", logic, tree)

    def pairs(self) -> None:
        """Warns of each rule that adds nothing to another: it fires only where that one does, which blocks as much."""
        for place, one in enumerate(self._judged):
            for other_place, other in enumerate(self._judged):
                # Of two that say the same, the later adds nothing.
                if one is other or not _follows(one, other) or (place < other_place and _follows(other, one)):
                    continue
                message = f"rule `{one.rule.name}` adds nothing to `{other.rule.name}`, which fires whenever it does"
                hint = f"remove it, or change one of the two: the other is at {other.rule.file}:{other.rule.line}"
                one.doc.error(one.node, message, hint, severity=WARNING)
                break

    def _readings(self, rule: Rule) -> dict[str, Term]:
        out = _fields(rule.when)
        for name, counter in rule.counters.items():
            kind = KINDS[counter.kind]
            lacks = counter.default is None
            least = counter.at_least if lacks and name in rule.when.names else 0
            for output in counter.outputs:
                bounds, is_whole = kind.bounds(output)
                if output == SAMPLES and least:
                    bounds = bounds.both(Between(float(least)))
                if counter.default is not None and output != SAMPLES:
                    bounds = _with(bounds, float(counter.default))
                    is_whole = is_whole and counter.default.is_integer()
                key = self._key((counter, counter.at_least, counter.default), output)
                out[f"{name}.{output}" if output else name] = Term(key, bounds, is_whole)
        for name, limit in rule.limits.items():
            out[name] = self._limit(limit)
        return {name: reading for name, reading in out.items() if name in rule.when.names}

    def _limit(self, limit: Limit) -> Term:
        values = [float(value) for value in (limit.always, *(value for _, _, value in limit.during))]
        if len(set(values)) == 1:
            return Term("", value=values[0])
        key = self._key((limit.always, tuple((hours, value) for _, hours, value in limit.during)), "limit")
        return Term(key, Between(min(values), max(values)))

    def _key(self, of: Hashable, output: str) -> str:
        return f"{self._keys.setdefault(of, str(len(self._keys)))}.{output}"


def _follows(one: _Judged, other: _Judged) -> bool:
    """True if `other` surely fires wherever `one` does, and does as much."""
    if not _covers(other.rule, one.rule) or not other.logic.keys() <= one.logic.keys():
        return False
    try:
        return one.logic.follows(one.alternatives, other.tree, other.logic)
    except Beyond:
        return False


def _covers(one: Rule, other: Rule) -> bool:
    """True if what `one` does is all that `other` would do."""
    return (
        one.mode == other.mode
        and set(other.block) <= set(one.block)
        and set(other.directions) <= set(one.directions)
        and other.period_ms <= one.period_ms
        and (one.spoofable or not other.spoofable)
        and {c.topic for c in one.counters.values()} == {c.topic for c in other.counters.values()}
    )


def _fields(condition: Expression) -> dict[str, Term]:
    choices = dict(condition.choices)
    fields = {name: Term(f"field {name}", names=kind.choices) for name, kind in choices.items()}
    return {"duration": Term("field duration", Between(0.0)), **fields}


def _with(bounds: Between, value: float) -> Between:
    return Between(min(bounds.low, value), max(bounds.high, value))


def _never(doc: Document, node: Node, what: str, logic: Logic, tree: ast.expr) -> None:
    parts = [*contradiction(logic, logic.alternatives(tree))]
    shown = [_said(part, node.text) for part in parts]
    if len(parts) == 2 and parts[0].node is not parts[1].node:
        message, hint = (
            f"{what}: `{shown[0]}` and `{shown[1]}` exclude each other",
            "change one of them, or join them by `or`",
        )
    elif parts:
        message, hint = f"{what}: `{shown[-1]}` is never true", _possible(parts[-1], logic)
    else:
        message, hint = f"{what}: its conditions exclude each other", ""
    start, length = _span(parts[-1].node, node.text) if parts and parts[-1].node is not None else (0, len(node.text))
    doc.error_within(node, start, length, message, hint, (), severity=WARNING)


def _possible(part: Clause, logic: Logic) -> str:
    """Says which values the only reading of a part has."""
    if len(part.sum) != 1 or part.values is not None:
        return ""
    bounds = logic.bounds_of(part.sum[0][0])
    if math.isinf(bounds.high):
        return f"it is never below {bounds.low:g}" if math.isfinite(bounds.low) else ""
    return f"it is from {bounds.low:g} to {bounds.high:g}"


def _said(part: Clause, source: str) -> str:
    start, length = _span(part.node, source)
    text = " ".join(source[start : start + length].split())
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def _span(node: ast.expr | None, source: str) -> tuple[int, int]:
    """(offset, length) in characters; Python's own columns count bytes of UTF-8."""
    if node is None:
        return 0, len(source)
    raw = source.encode()
    start = len(raw[: node.col_offset].decode(errors="ignore"))
    return start, len(raw[: node.end_col_offset].decode(errors="ignore")) - start


def judge(files: Sequence[tuple[Document, Sequence[Rule]]]) -> None:
    """Notes the warnings about all files, which have no errors."""
    judge = Judge()
    for doc, rules in files:
        for rule, when, wheres in _nodes(doc, rules):
            judge.rule(doc, rule, when)
            for counter, node in wheres:
                judge.where(doc, counter, node)
    judge.pairs()


def _nodes(
    doc: Document, rules: Sequence[Rule]
) -> Iterator[tuple[Rule, Node, list[tuple[Counter, Node]]]]:  # fmt: skip
    """Each rule with its `when`, and with the `where` of those of its counters that no rule before it reads."""
    assert doc.root is not None
    sections: Mapping[str, Node] = {key.text: value for key, value in doc.root.pairs}
    counters = {key.text: value for key, value in sections["counters"].pairs} if "counters" in sections else {}
    seen: set[str] = set()
    for rule, node in zip(rules, sections["rules"].items, strict=True):
        when = next(value for key, value in node.pairs if key.text == "when")
        wheres = [
            (counter, next(value for key, value in counters[name].pairs if key.text == "where"))
            for name, counter in rule.counters.items()
            if counter.where is not None and name in counters and name not in seen
        ]
        seen |= rule.counters.keys()
        yield rule, when, wheres
