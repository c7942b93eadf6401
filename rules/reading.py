"""Readers of single values. Each returns the value, or None after noting what is wrong. A mistake is noted once and its
caller goes on, so that one run finds every mistake."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from rules.document import Document, Node
from rules.expression_check import ExpressionErrors, Known, closest
from rules.expressions import Expression, parse
from rules.units import duration_ms, duration_text

Keys = dict[str, Node]


def mapping(doc: Document, node: Node, what: str, needs: Sequence[str], may: Sequence[str] = ()) -> Keys | None:
    """Returns the values of a mapping by key. Notes unknown, repeated and missing keys, and leaves out the first
    two."""
    pairs = entries(doc, node, what)
    if pairs is None:
        return None
    known = (*needs, *may)
    out: Keys = {}
    for key, value in pairs:
        if key.text not in known:
            doc.error(key, f"unknown key `{key.text}` in {what}", closest(key.text, known), known)
        else:
            out[key.text] = value
    for name in needs:
        guessed = any(key.text not in known and closest(key.text, (name,)) for key, _ in pairs)
        if name not in out and not guessed:
            doc.error(node, f"{what} has no `{name}`", f"add `{name}:`")
    return out


def entries(doc: Document, node: Node, what: str) -> list[tuple[Node, Node]] | None:
    """Returns key and value of every entry of a mapping with free names. Notes repeated keys and leaves them out."""
    if node.kind != "mapping":
        doc.error(node, f"{what} must be a mapping of `key: value`, not {_said(node)}")
        return None
    seen: dict[str, int] = {}
    out = []
    for key, value in node.pairs:
        if key.text in seen:
            doc.error(key, f"`{key.text}` is given twice", f"it is already on line {seen[key.text]}")
        else:
            out.append((key, value))
            seen[key.text] = key.line + 1
    return out


def items(doc: Document, node: Node, what: str) -> list[Node] | None:
    if node.kind != "sequence":
        doc.error(node, f"{what} must be a list, not {_said(node)}", "put each item on a line that starts with `- `")
        return None
    if not node.items:
        doc.error(node, f"{what} is empty")
    return node.items


def text(doc: Document, node: Node, what: str) -> str | None:
    if node.kind != "scalar" or node.empty or not node.text.strip():
        doc.error(node, f"{what} must be a text, not {_said(node)}")
        return None
    return node.text


def choice(doc: Document, node: Node, what: str, choices: Sequence[str]) -> str | None:
    value = text(doc, node, what)
    if value is None or value in choices:
        return value
    doc.error(node, f"`{value}` is not a valid {what}", closest(value, tuple(choices)), tuple(choices))
    return None


def choice_list(doc: Document, node: Node, what: str, choices: Sequence[str]) -> tuple[str, ...] | None:
    """Reads a list of choices, each at most once. Returns them in the order of `choices`."""
    listed = items(doc, node, what)
    if not listed:
        return None
    read = [choice(doc, item, what, choices) for item in listed]
    for i, item in enumerate(listed):
        if read[i] is not None and read[i] in read[:i]:
            doc.error(item, f"`{read[i]}` is listed twice")
    return tuple(c for c in choices if c in read) if None not in read else None


def number(doc: Document, node: Node, what: str) -> float | None:
    if node.kind == "scalar" and node.quoted and re.fullmatch(r"-?[\d.]+", node.text):
        doc.error(node, f"{what} must be a number, not a text", f"write {node.text} without quotes")
        return None
    if node.kind != "scalar" or not re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", node.text, re.I | re.ASCII):
        doc.error(node, f"{what} must be a number, not {_said(node)}")
        return None
    value = float(node.text)
    if not math.isfinite(value) or abs(value) >= 1e300:
        doc.error(node, f"{what} is too large")
        return None
    return value


def duration(doc: Document, node: Node, what: str, low_ms: int, high_ms: int) -> int | None:
    value = text(doc, node, what)
    if value is None:
        return None
    try:
        ms = duration_ms(value)
    except ValueError as e:
        doc.error(node, f"{what}: {e}")
        return None
    if not low_ms <= ms <= high_ms:
        least, most = duration_text(low_ms), duration_text(high_ms)
        doc.error(node, f"{what} is `{value}`; it must be from {least} to {most}")
        return None
    return ms


def name(doc: Document, node: Node, what: str, pattern: str, letters: str) -> str | None:
    if node.kind == "scalar" and len(node.text) <= 64 and re.fullmatch(pattern, node.text, re.ASCII):
        return node.text
    doc.error(node, f"`{node.text}` is not a name for {what}", f"use {letters}, at most 64")
    return None


def expression(doc: Document, node: Node, what: str, names: Known) -> Expression | None:
    source = text(doc, node, what)
    if source is None:
        return None
    try:
        return parse(source, {**doc.lists, **names})
    except ExpressionErrors as errors:
        for e in errors.errors:
            doc.error_within(node, e.offset, e.length, f"{what}: {e.message}", e.hint, e.choices)
        return None


def _said(node: Node) -> str:
    if node.kind != "scalar":
        return {"mapping": "a mapping", "sequence": "a list"}[node.kind]
    return "nothing" if node.empty or not node.text else f"`{node.text[:40]}`"
