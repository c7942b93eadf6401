"""Numbers that no rule blocks: those that ship (`protected.yaml`) and those of the operator's own files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rules.diagnostics import Diagnostic, RuleErrors
from rules.document import Document, Node, text_of
from rules.model import Protected
from rules.reading import items, mapping, text

SERVICE_DIGITS_MAX = 6


def load_protected(paths: Sequence[Path] = (), region: str = "KR") -> Protected:
    """The shipped list and those of `paths` together. `region` is where their numbers without a country code belong;
    those of the shipped list are Korean. Raises RuleErrors with everything that is wrong."""
    protected, diagnostics = check_protected(paths, region)
    if protected is None:
        raise RuleErrors(diagnostics)
    return protected


def check_protected(paths: Sequence[Path], region: str) -> tuple[Protected | None, list[Diagnostic]]:
    """Like `load_protected`, but returns None and every diagnostic when anything is wrong."""
    from importlib import resources  # costs a check of rule files a tenth of its time, and it reads none

    shipped = resources.files("rules").joinpath("protected.yaml").read_text("utf-8")
    unread: list[Diagnostic] = []
    told = ((path, text_of(Path(path), unread, "the protected numbers")) for path in paths)
    own = [Document(str(path), content) for path, content in told if content is not None]
    documents = [(Document("protected.yaml", shipped), "KR"), *((doc, region) for doc in own)]
    read = [_read(doc, home) for doc, home in documents]
    if diagnostics := unread + [d for doc, _ in documents for d in doc.diagnostics]:
        return None, diagnostics
    prefixes = {p for _, ps in read for p in ps}
    return Protected(frozenset().union(*(n for n, _ in read)), tuple(sorted(prefixes))), []


def _read(doc: Document, region: str) -> tuple[set[int], set[str]]:
    if doc.root is None or doc.root.empty:
        if not doc.diagnostics:
            doc.whole("is empty", "it needs `numbers:` or `prefixes:`")
        return set(), set()
    keys = mapping(doc, doc.root, "a file of protected numbers", (), ("numbers", "prefixes")) or {}
    listed = {key: [] if _is_bare(node) else items(doc, node, key) or [] for key, node in keys.items()}
    numbers = {key for item in listed.get("numbers", ()) if (key := _number(doc, item, region)) is not None}
    return numbers, {p for item in listed.get("prefixes", ()) if (p := _prefix(doc, item)) is not None}


def _is_bare(node: Node) -> bool:
    """True for a section without entries: somebody has taken the last one out, or not put the first one in yet."""
    return node.empty or (node.kind == "sequence" and not node.items)


def _number(doc: Document, node: Node, region: str) -> int | None:
    from schemas.numbers import normalise

    value = text(doc, node, "a protected number")
    if value is None:
        return None
    key = normalise(value, region).key
    # A service's short number is never blocked anyway. A longer one that is misread would leave its holder unprotected.
    if key <= 0 and sum(map(str.isdecimal, value)) > SERVICE_DIGITS_MAX:
        doc.error(
            node, f"this is no telephone number that {region} or another country has", 'write it as "+82 2 123 4567"'
        )
        return None
    return key


def _prefix(doc: Document, node: Node) -> str | None:
    value = text(doc, node, "a protected prefix")
    digits = re.sub(r"[ -]", "", value or "")
    if value is not None and not re.fullmatch(r"\+[1-9]\d{2,14}", digits, re.ASCII):
        doc.error(node, "a prefix must be international, with at least three digits", 'write it as "+82 1588"')
        return None
    return digits[1:] or None
