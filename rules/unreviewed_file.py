"""Reads `unreviewed` of rule files: what silence brings about a hold in review."""

from __future__ import annotations

from rules.catalog import PERIOD_MS_MAX, PERIOD_MS_MIN
from rules.document import Document, Node
from rules.reading import Keys, choice, duration, mapping
from rules.units import duration_text


def read_unreviewed(doc: Document, node: Node) -> int | None:
    """The time that silence in review may last before it blocks, ms; 0 for `expire`, by which it never does."""
    if node.kind != "mapping":
        return 0 if choice(doc, node, "value of `unreviewed`", ("expire",)) is not None else None
    keys = mapping(doc, node, "unreviewed", ("then", "after"))
    if keys is None:
        return None
    if "then" in keys:
        choice(doc, keys["then"], "`then` of `unreviewed`", ("block",))
    if "after" not in keys:
        return None
    return duration(doc, keys["after"], "`after` of `unreviewed`", PERIOD_MS_MIN, PERIOD_MS_MAX)


def review_of_rule(doc: Document, keys: Keys, mode: str | None, period_ms: int, of_file_ms: int) -> int:
    """The same time of a rule: by its own word, or by its file's if it is in review. keys: the rule's."""
    node = keys.get("unreviewed")
    if node is None:
        review_ms, node = of_file_ms if mode == "review" else 0, keys.get("name")
    else:
        review_ms = read_unreviewed(doc, node) or 0
        if review_ms and mode not in ("review", None):
            doc.error(node, f"silence cannot block by a rule in mode `{mode}`", "it can by one in mode `review` alone")
    if review_ms and node is not None and 0 < period_ms <= review_ms:
        doc.error(
            node,
            f"`unreviewed`: after {duration_text(review_ms)} nothing is in review any more: the rule holds for "
            f"{duration_text(period_ms)}",
            "choose a shorter `after`, or a longer `for`",
        )
    return review_ms
