"""The `counters:` of a rule file, read into `Counter`s."""

from __future__ import annotations

from rules import catalog
from rules.document import Document, Node
from rules.kinds import ENDED, KINDS, Kind, all_keys, counted_kinds, kind_keys
from rules.model import Counter
from rules.reading import Keys, choice, expression, mapping
from schemas.feeds import FEEDS


def read_counter(doc: Document, name: str, node: Node) -> Counter | None:
    """Reads one counter. Returns None when anything about it is wrong; every mistake is noted."""
    before = len(doc.diagnostics)
    keys = mapping(doc, node, f"counter `{name}`", ("on", "per"), (*all_keys(), "where"))
    if keys is None:
        return None
    kind = _kind(doc, name, node, keys)
    sources = catalog.sources()
    on = choice(doc, keys["on"], "source for `on`", tuple(sources)) if "on" in keys else None
    topic, events = sources[on] if on else ("", frozenset())
    if topic and "per" in keys:
        _check_per(doc, keys["per"], topic)
    if kind is None:
        return None
    if topic:
        events = kind.events(doc, keys["on"], FEEDS[topic], events)
    settings = kind.settings(doc, keys)
    field = kind.field(doc, keys, FEEDS[topic]) if topic else None
    where = expression(doc, keys["where"], "where", catalog.fields(topic)) if "where" in keys and topic else None
    if where is not None and "duration" in where.names and not events <= ENDED:
        doc.error(
            keys["where"], "`duration` is not known before the call ends", f"use {catalog.said_on(ENDED.issuperset)}"
        )
    if len(doc.diagnostics) > before:
        return None
    return Counter(name, topic, events, FEEDS[topic].number, kind.name, field, tuple(sorted(settings.items())), where)


def _kind(doc: Document, name: str, node: Node, keys: Keys) -> Kind | None:
    """Returns the kind that the keys name, or None when the keys do not fit it."""
    named = [key for key in kind_keys() if key in keys]
    if not named and any(key.text not in ("on", "per", *all_keys(), "where") for key, _ in node.pairs):
        return None  # a misspelt key has been noted, and is likely to be the one that is missed here
    if len(named) != 1:
        found = f"says {' and '.join(f'`{key}`' for key in named)}" if named else "does not say what it measures"
        doc.error(keys[named[1]] if named else node, f"counter `{name}` {found}; it needs exactly one", "", kind_keys())
        return None
    kind: str | None = named[0]
    if kind == "count":
        kind = choice(doc, keys["count"], "`count`", counted_kinds())
    if kind is None:
        return None
    wants = KINDS[kind]
    for key, value in keys.items():
        if key not in (*wants.needs, *wants.may, "on", "per", "where"):
            doc.error(value, f"`{key}` has no meaning for `{named[0]}: {keys[named[0]].text or '...'}`")
    for key in wants.needs:
        if key not in keys:
            doc.error(node, f"counter `{name}` has no `{key}`", f"add `{key}:`")
    return wants


def _check_per(doc: Document, node: Node, topic: str) -> None:
    valid = FEEDS[topic].number
    if node.text == valid:
        return
    if node.text in catalog.other_subjects():
        message = f"counters per {node.text} need a topic keyed by {node.text}, which does not exist yet"
        doc.error(node, message, f"records of {topic} are counted per {valid}")
    else:
        doc.error(node, f"`{node.text}` is not a key of {topic}", f"write `per: {valid}`", (valid,))
