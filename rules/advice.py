"""Warnings about rules that are valid but probably not what their author meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import lru_cache

from rules.catalog import said_on
from rules.diagnostics import WARNING
from rules.document import Document, Node
from rules.expression_check import dotted
from rules.expressions import Expression
from rules.kinds import KINDS
from rules.limits_file import LEVELS
from rules.model import Limit, Rule
from rules.units import duration_text
from schemas import topics
from schemas.feeds import FEEDS as TOPICS

FEEDS = ("events", "complete")
# Where holds that block nobody are seen; those that do have a topic that keeps the last state for good.
SEEN_IN = {"shadow": topics.SHADOW_EVENTS, "review": topics.REVIEW_QUEUE}


def advise(doc: Document, rules: Sequence[Rule], feed: str = "events") -> None:
    """Notes every warning about a file without errors; `rules` are all rules of the file, in file order.

    feed: "events" if the cdr feed sends each event as it happens, "complete" if it sends `complete` records only."""
    assert doc.root is not None
    sections = {key.text: value for key, value in doc.root.pairs}
    for rule, node in zip(rules, sections["rules"].items if rules else (), strict=True):
        keys = {key.text: value for key, value in node.pairs}
        _unused_limits(doc, rule, keys)
        _looser_limits(doc, rule, keys)
        _beyond_exact(doc, rule, keys)
        _other_than_absent(doc, rule.when, keys["when"])
        _accepts_everything(doc, rule, keys)
        _nobody_vouches(doc, rule, keys)
        _outlives(doc, rule, keys)
        if feed == "complete":
            _complete_only(doc, rule, keys)
    _counters_where(doc, rules, sections.get("counters"))
    _unused(doc, sections.get("counters"), "counter", {name for rule in rules for name in rule.counters})
    during = {name for rule in rules for limit in rule.limits.values() for name, _, _ in limit.during}
    for _, value in sections["limits"].pairs if "limits" in sections else ():
        during |= {hours.text for hours, _ in value.pairs}
    _unused(doc, sections.get("limits"), "limit", {name for rule in rules for name in rule.limits})
    _unused(doc, sections.get("lists"), "list", set(_lists_read(rules)))
    _unused(doc, sections.get("hours"), "hours", during)


def _unused(doc: Document, section: Node | None, what: str, used: set[str]) -> None:
    for key, _ in section.pairs if section is not None else ():
        if key.text not in used:
            _warn(doc, key, f"{what} `{key.text}` is read by no rule of this file", "remove it, or use it in a rule")


def _lists_read(rules: Sequence[Rule]) -> Iterator[str]:
    for rule in rules:
        conditions = [rule.when, *(one for c in rule.counters.values() for one in (c.where, c.condition))]
        for condition in conditions:
            yield from condition.lists if condition is not None else ()


def _unused_limits(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    for key, _ in keys["limits"].pairs if "limits" in keys else ():
        if key.text not in rule.when.names:
            _warn(doc, key, f"limit `{key.text}` is not in the `when` of rule `{rule.name}`", "remove it, or use it")


def _looser_limits(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    """Warns of a limit that catches less inside its hours than outside. A limit compared both ways has no direction and
    gets no warning."""
    ceilings = {True: set(), False: set()}  # type: dict[bool, set[str]]
    for left, op, right, negated in _comparisons(rule):
        rising = isinstance(op, ast.Gt | ast.GtE) != negated
        ceilings[rising].add(dotted(right) or "")
        ceilings[not rising].add(dotted(left) or "")
    for limit in rule.limits.values():
        if (limit.name in ceilings[True]) == (limit.name in ceilings[False]):
            continue
        values = _limit_nodes(keys, limit)
        for hours, _, value in limit.during if values else ():
            looser = value > limit.always if limit.name in ceilings[True] else value < limit.always
            if looser:
                message = f"limit `{limit.name}` is looser inside `{hours}` ({value:g}) than always ({limit.always:g})"
                _warn(doc, values[hours], message, "inside the hours the named limit replaces `always`")


def _beyond_exact(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    for left, _, right, _ in _comparisons(rule):
        for side, other in ((left, right), (right, left)):
            counter = rule.counters.get(dotted(side) or "")
            most = KINDS[counter.kind].exact_max if counter is not None else None
            if counter is None or most is None:
                continue
            hint = f"`{counter.name}` is exact up to {most} and beyond that {KINDS[counter.kind].beyond}"
            limit = rule.limits.get(dotted(other) or "")
            if limit is not None and (values := _limit_nodes(keys, limit)):
                for hours_name, value in (("always", limit.always), *((h, v) for h, _, v in limit.during)):
                    if value > most:
                        _warn(doc, values[hours_name], f"limit `{limit.name}` is above {most}", hint)
            elif isinstance(other, ast.Constant) and isinstance(other.value, int | float) and other.value > most:
                _warn(doc, keys["when"], f"`{counter.name}` is compared with {other.value:g}, above {most}", hint)


def _counters_where(doc: Document, rules: Sequence[Rule], section: Node | None) -> None:
    read = {name: counter for rule in rules for name, counter in rule.counters.items()}
    for key, node in section.pairs if section is not None else ():
        counter = read.get(key.text)
        if counter is not None and counter.where is not None:
            where_node = next(value for name, value in node.pairs if name.text == "where")
            _other_than_absent(doc, counter.where, where_node)


def _other_than_absent(doc: Document, condition: Expression, node: Node) -> None:
    """Warns of `access_code != ...`. Most numbers are written without an access code, and a comparison with an absent
    value is false: "any code but this" leaves out the very numbers that have none."""
    for compare, negated in _compares(condition):
        sides = [dotted(side) for side in (compare.left, *compare.comparators)]
        excludes = ast.Eq | ast.In if negated else ast.NotEq | ast.NotIn
        if "access_code" in sides and any(isinstance(op, excludes) for op in compare.ops):
            message = "never true for a number written without an access code, as plain domestic ones are"
            hint = "count what has the code (`where: access_code == ...`) and ask `when` for 0 of it"
            _warn(doc, node, f"`{ast.unparse(compare)}`{' under `not`' * negated} is {message}", hint)


def _accepts_everything(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    """Warns of `spoofable: accepted` without a `where` on who vouches: one unverified record among a number's verified
    ones would be enough."""
    vouched = [counter for counter in rule.counters.values() if TOPICS[counter.topic].vouching]
    wheres = [counter.where for counter in vouched if counter.where is not None]
    if rule.spoofable and vouched and not any({"verified", "origin"} & where.names for where in wheres):
        message = f"rule `{rule.name}` enforces on all that it counts, and none of its counters says what that is"
        hint = 'count what it is after: `where: verified != "full"`'
        _warn(doc, keys["spoofable"], message, hint)


def _nobody_vouches(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    """The reading that enforces has no record of a topic where nobody vouches for the number."""
    unvouched = [name for name, counter in rule.counters.items() if not TOPICS[counter.topic].vouching]
    if unvouched and rule.block and rule.mode == "enforce" and not rule.spoofable:
        topic = rule.counters[unvouched[0]].topic
        message = f"what fires by `{unvouched[0]}` goes to review: in {topic} nobody vouches for the number"
        _warn(doc, keys["mode"], message, "say `mode: review`, or `spoofable: accepted` if this may cut a line off")


def _outlives(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    """Warns of what lasts longer than the records by which it would be recomputed or looked up are kept."""
    for counter in rule.counters.values():
        kept_ms = _kept_ms(counter.topic)
        if kept_ms is not None and counter.reach_ms > kept_ms:
            reach, kept = duration_text(counter.reach_ms), duration_text(kept_ms)
            message = f"`{counter.name}` looks back {reach}, and {counter.topic} is kept for {kept}"
            hint = "a worker that counts anew begins with less: keep the topic longer, or look back less far"
            _warn(doc, keys["when"], message, hint)
    kept_ms = _kept_ms(SEEN_IN[rule.mode]) if rule.mode in SEEN_IN else None
    if kept_ms is not None and rule.period_ms > kept_ms:
        topic, kept = SEEN_IN[rule.mode], duration_text(kept_ms)
        message = f"these holds last {duration_text(rule.period_ms)}, and {topic} is kept for {kept}"
        _warn(doc, keys["then"], message, "who looks later does not see them: keep the topic longer, or say less")


def _kept_ms(topic: str) -> int | None:
    """The time for which `topics create` has the topic kept; None where the last state of each number is."""
    kept = topics.TOPICS[topic].config.get("retention.ms")
    return None if kept is None or int(kept) < 0 else int(kept)


def _complete_only(doc: Document, rule: Rule, keys: dict[str, Node]) -> None:
    """Warns of counters that need live calls. A feed of `complete` records says nothing of a call before its end."""
    whole = said_on(frozenset({"complete"}).__eq__)
    for counter in rule.counters.values():
        if KINDS[counter.kind].needs_live_calls:
            message = f"`{counter.name}` sees no live call on a feed of `complete` records"
            _warn(doc, keys["when"], message, f"each call arrives with its release; count calls {whole} instead")
        elif counter.events & {"setup", "answer"}:
            message = f"`{counter.name}` sees a call only when it ends on a feed of `complete` records"
            _warn(doc, keys["when"], message, f"say {whole}, and expect blocks to come a call later")


def _limit_nodes(keys: dict[str, Node], limit: Limit) -> dict[str, Node]:
    """The node of each value of a rule's own limit, by the name of its hours or `always`; none of other limits."""
    listed = keys["limits"].pairs if "limits" in keys else ()
    node = next((value for key, value in listed if key.text == limit.name), None)
    if node is None:
        return {}
    return {key.text: value for key, value in node.pairs if key.text not in LEVELS} or {"always": node}


def _comparisons(rule: Rule) -> Iterator[tuple[ast.expr, ast.cmpop, ast.expr, bool]]:
    """Every ordered comparison as (left, operator, right, is it under an odd number of `not`s)."""
    for node, negated in _compares(rule.when):
        for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
            if isinstance(op, ast.Gt | ast.GtE | ast.Lt | ast.LtE):
                yield left, op, right, negated


def _compares(condition: Expression) -> Sequence[tuple[ast.Compare, bool]]:
    """Every comparison, each with True if it stands under an odd number of `not`s."""
    return _compares_in(condition.source)


@lru_cache(maxsize=1_000)
def _compares_in(source: str) -> Sequence[tuple[ast.Compare, bool]]:
    found = []
    todo: list[tuple[ast.AST, bool]] = [(ast.parse(source, mode="eval"), False)]
    while todo:
        node, negated = todo.pop()
        if isinstance(node, ast.Compare):
            found.append((node, negated))
        negated ^= isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        todo.extend((child, negated) for child in ast.iter_child_nodes(node))
    return found


def _warn(doc: Document, node: Node, message: str, hint: str) -> None:
    doc.error(node, message, hint, severity=WARNING)
