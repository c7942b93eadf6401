"""The file of sharing: which blocks a carrier is confident enough of to share, and how far it trusts others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rules.diagnostics import Diagnostic, RuleErrors
from rules.document import Document, Node, text_of
from rules.reading import entries, items, mapping, number, text

ORIGIN_MAX = 256  # characters, of an origin and of a category
AT_LEAST = 0.8


@dataclass(frozen=True, slots=True)
class Confidence:
    confidence: float
    category: str


@dataclass(frozen=True)
class Sharing:
    """origin: our own name among carriers. share: by rule, how sure we are of its blocks; those of others stay with us.
    at_least: what we are less sure of stays with us. trust: by origin, of others; who is not named is not heard."""

    origin: str
    share: Mapping[str, Confidence]
    trust: Mapping[str, float]
    at_least: float = AT_LEAST


def load_sharing(path: Path) -> Sharing:
    """Raises RuleErrors with all that is wrong."""
    unread: list[Diagnostic] = []
    content = text_of(path, unread, "the file")
    if content is None:
        raise RuleErrors(unread)
    doc = Document(str(path), content)
    sharing = _sharing(doc)
    if sharing is None or doc.diagnostics:
        raise RuleErrors(doc.diagnostics)
    return sharing


def _sharing(doc: Document) -> Sharing | None:
    if doc.root is None or doc.root.empty:
        if not doc.diagnostics:
            doc.whole("is empty", "it needs `origin:`, and `share:` or `trust:`")
        return None
    keys = mapping(doc, doc.root, "a file of sharing", ("origin",), ("share", "trust", "at_least"))
    if keys is None or "origin" not in keys:
        return None
    share: dict[str, Confidence] = {}
    for node in (items(doc, keys["share"], "`share`") or ()) if "share" in keys else ():
        found = mapping(doc, node, "an item of `share`", ("rule", "confidence", "category")) or {}
        if len(found) < 3:
            continue
        rule, category = (_name(doc, found[name], f"`{name}`") for name in ("rule", "category"))
        if rule in share:
            doc.error(found["rule"], f"rule `{rule}` is listed twice")
        share[rule] = Confidence(_part(doc, found["confidence"], "`confidence`"), category)
    trust = {}
    for key, node in (entries(doc, keys["trust"], "`trust`") or ()) if "trust" in keys else ():
        trust[key.text] = _part(doc, node, f"trust in `{key.text[:40]}`")
    origin = _name(doc, keys["origin"], "`origin`")
    if origin in trust:
        doc.error(keys["trust"], f"`{origin}` is our own name: our word that comes back is not heard")
    least = _part(doc, keys["at_least"], "`at_least`") if "at_least" in keys else AT_LEAST
    return Sharing(origin, share, trust, least)


def _name(doc: Document, node: Node, what: str) -> str:
    said = text(doc, node, what) or ""
    if len(said) > ORIGIN_MAX or "/" in said or not said.isprintable():
        doc.error(node, f"{what} has at most {ORIGIN_MAX} printable characters, none of them a /")
    return said


def _part(doc: Document, node: Node, what: str) -> float:
    value = number(doc, node, what)
    if value is not None and not 0 < value <= 1:
        doc.error(node, f"{what} must be above 0, to 1")
    return value or 0.0
