"""Variants of rules, each with one limit moved, to be run beside the rules themselves in one pass.

A rule's holds depend on no other rule, so a rule file in which every rule also stands with each of its limits moved
says in one run what each move would do. A limit is a named one (`always` and all its hours together), a number in a
`when`, or one in the `where`, `share` or `at_least` of a counter that it reads."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from rules.load import check_texts, rule_files
from rules.model import RuleSet
from rules.protected import load_protected

FACTORS = {"down": 0.8, "up": 1.2}


class _Loader(yaml.SafeLoader):
    """Numbers are numbers, and every other word is itself: `on` is no boolean in rule files."""


_NUMBERS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag in _NUMBERS]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Variant:
    """rule: the one that is varied. limit: which of its limits, in words. name: what the varied rule is called."""

    rule: str
    limit: str
    factor: float
    name: str


def rules_of(paths: Sequence[Path], with_variants: bool) -> tuple[RuleSet, list[Variant]]:
    """The rules of these files, and variants of them after them. Raises ValueError with what is wrong."""
    texts = [(str(file), file.read_text("utf-8")) for file in _files(paths)]
    variants: list[Variant] = []
    rules = _checked(texts)
    if with_variants:
        version = rules.version
        for i, (name, text) in enumerate(texts):
            document = yaml.load(text, Loader=_Loader)  # a SafeLoader
            variants += _vary(document)
            texts[i] = name, yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**6)
        rules = replace(_checked(texts), version=version)
    return replace(rules, protected=load_protected()), variants


def without_conditions(paths: Sequence[Path]) -> tuple[RuleSet, list[Variant]]:
    """The rules of these files, each without one of the conditions that its `when` joins by `and`: one variant for each
    condition, which its `limit` names. Raises ValueError as `rules_of` does."""
    texts, variants = [], []
    for file in _files(paths):
        document = yaml.load(file.read_text("utf-8"), Loader=_Loader)  # a SafeLoader
        less = [(rule, *each) for rule in document["rules"] for each in _fewer(str(rule["when"]))]
        # Without its only counter a rule would be none.
        less = [each for each in less if any(re.search(rf"\b{name}\b", each[2]) for name in document["counters"])]
        document["rules"] = []
        for i, (rule, condition, when) in enumerate(less):
            variant = Variant(rule["name"], condition, 0.0, f"{rule['name']}-without-{i}")
            variants.append(variant)
            read = {
                name: copy.deepcopy(limit)
                for name, limit in rule.get("limits", {}).items()
                if re.search(rf"\b{name}\b", when)
            }
            varied = copy.deepcopy(rule) | {"name": variant.name, "when": when, "limits": read}
            document["rules"].append(varied if read else {k: v for k, v in varied.items() if k != "limits"})
        texts.append((str(file), yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10**6)))
    return replace(_checked(texts), protected=load_protected()), variants


def _fewer(when: str) -> Iterator[tuple[str, str]]:
    """(a condition, all the others) for each that is joined by `and`."""
    joined = ast.parse(" ".join(when.split()), mode="eval").body
    conditions = joined.values if isinstance(joined, ast.BoolOp) and isinstance(joined.op, ast.And) else [joined]
    words = [f"({ast.unparse(c)})" if isinstance(c, ast.BoolOp) else ast.unparse(c) for c in conditions]
    for i, condition in enumerate(words):
        if len(words) > 1:
            yield condition, " and ".join(words[:i] + words[i + 1 :])


def _files(paths: Sequence[Path]) -> list[Path]:
    return [file for path in paths for file in rule_files(path, [])]


def _checked(texts: Sequence[tuple[str, str]]) -> RuleSet:
    rules, diagnostics = check_texts(texts)
    if rules is None:
        raise ValueError("\n".join(f"{d.position}: {d.message}" for d in diagnostics if d.severity == "error"))
    return rules


def _vary(document: dict[str, Any]) -> list[Variant]:
    """Adds the variants of its rules to a rule file."""
    out: list[Variant] = []
    counters = document.get("counters", {})
    for rule in list(document["rules"]):
        moves = [*_limits(rule), *_numbers(rule), *_wheres(rule, counters)]
        for i, (limit, factor, varied) in enumerate(moves):
            varied["name"] = f"{rule['name']}-v{i}"
            document["rules"].append(varied)
            out.append(Variant(rule["name"], limit, factor, varied["name"]))
    return out


Move = tuple[str, float, dict[str, Any]]


def _limits(rule: dict[str, Any]) -> Iterator[Move]:
    for name, limit in rule.get("limits", {}).items():
        for factor in FACTORS.values():
            varied = copy.deepcopy(rule)
            varied["limits"][name] = (
                {hours: _moved(value, factor) for hours, value in limit.items()}
                if isinstance(limit, dict)
                else _moved(limit, factor)
            )
            yield f"`{name}`", factor, varied


def _numbers(rule: dict[str, Any]) -> Iterator[Move]:
    when = " ".join(str(rule["when"]).split())
    for begin, end, words in _literals(when):
        for factor in FACTORS.values():
            yield words, factor, copy.deepcopy(rule) | {"when": _replaced(when, begin, end, factor)}


def _wheres(rule: dict[str, Any], counters: dict[str, Any]) -> Iterator[Move]:
    """Numbers in the conditions of counters, and the samples that they want: each becomes a counter of its own."""
    when = " ".join(str(rule["when"]).split())
    for name in [name for name in counters if re.search(rf"\b{re.escape(name)}\b", when)]:
        for key, place, words, move in _settings(counters[name]):
            for which, factor in FACTORS.items():
                other = f"{name}_{key}{place}{which}"
                counters.setdefault(other, copy.deepcopy(counters[name]) | {key: move(factor)})
                varied = copy.deepcopy(rule) | {"when": re.sub(rf"\b{re.escape(name)}\b", other, when)}
                yield f"{words} of counter `{name}`", factor, varied


def _settings(counter: dict[str, Any]) -> Iterator[tuple[str, int, str, Callable[[float], Any]]]:
    """(key, its place there, words, the moved value by factor) of each number in a counter that is a limit."""
    for key in ("where", "share"):
        condition = counter.get(key)
        if isinstance(condition, str):
            for place, (begin, end, words) in enumerate(_literals(condition)):
                yield key, place, words, partial(_replaced, condition, begin, end)
    if "at_least" in counter:
        yield "at_least", 0, f"at_least {counter['at_least']}", partial(_moved, counter["at_least"])


def _replaced(expression: str, begin: int, end: int, factor: float) -> str:
    return f"{expression[:begin]}{_moved(ast.literal_eval(expression[begin:end]), factor)}{expression[end:]}"


def _literals(expression: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, words) of each number that can be moved; 0 cannot."""
    tree = ast.parse(expression, mode="eval")
    around = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or type(node.value) not in (int, float) or not node.value:
            continue
        if isinstance(around[id(node)], ast.UnaryOp):
            continue
        whole: ast.AST = node
        while not isinstance(whole, ast.Compare):
            whole = around[id(whole)]
        assert node.end_col_offset is not None
        yield node.col_offset, node.end_col_offset, f"{float(str(node.value)):g} in `{ast.unparse(whole)}`"


def _moved(value: Any, factor: float) -> Any:
    """The value times the factor. A count stays one, and moves by 1 at least."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    moved = value * factor
    if isinstance(value, int):
        rounded = round(moved)
        return rounded if rounded != value else value + (1 if factor > 1 else -1)
    return round(moved, 6)
