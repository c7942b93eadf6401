"""The `counters:` of a rule file, read into `Counter`s."""

from __future__ import annotations

from rules import catalog
from rules.document import Document, Node
from rules.expression_check import closest
from rules.kinds import AT_LEAST, DEFAULT, KINDS, Kind, all_keys, counted_kinds, field_condition, kind_keys
from rules.model import Counter
from rules.reading import Keys, choice, mapping, number
from schemas.feeds import FEEDS

COMMON = ("where", DEFAULT)  # keys that counters of every kind may have
SAMPLES_MAX = 1_000_000


def read_counter(doc: Document, name: str, node: Node) -> Counter | None:
    """Reads one counter. Returns None when anything about it is wrong; every mistake is noted."""
    before = len(doc.diagnostics)
    keys = mapping(doc, node, f"counter `{name}`", ("on", "per"), (*all_keys(), *COMMON))
    if keys is None:
        return None
    kind = _kind(doc, name, node, keys)
    sources = catalog.sources()
    on = choice(doc, keys["on"], "source for `on`", tuple(sources)) if "on" in keys else None
    topic, events = sources[on] if on else ("", frozenset())
    if topic and "per" in keys:
        _check_per(doc, keys["per"], topic)
    per = keys["per"].text if "per" in keys else ""
    if kind is None:
        return None
    if topic:
        events = kind.events(doc, keys["on"], FEEDS[topic], events)
    settings = kind.settings(doc, keys)
    field = kind.field(doc, keys, FEEDS[topic]) if topic else None
    where = field_condition(doc, keys, "where", FEEDS[topic], events) if topic else None
    condition = kind.condition(doc, keys, FEEDS[topic], events) if topic else None
    at_least, default = _at_least(doc, keys), _default(doc, keys, kind)
    if len(doc.diagnostics) > before:
        return None
    return Counter(
        name, topic, events, per, kind.name, field, tuple(sorted(settings.items())), where, condition,
        at_least, default,
    )  # fmt: skip


def _at_least(doc: Document, keys: Keys) -> int:
    """Reads the samples below which there is no reading, 0 where the kind has none."""
    if AT_LEAST not in keys:
        return 0
    least = number(doc, keys[AT_LEAST], AT_LEAST)
    if least is None or (least.is_integer() and 1 <= least <= SAMPLES_MAX):
        return int(least or 0)
    doc.error(keys[AT_LEAST], f"`{AT_LEAST}` must be a whole number from 1 to {SAMPLES_MAX:,}")
    return 0


def _default(doc: Document, keys: Keys, kind: Kind) -> float | None:
    if DEFAULT not in keys:
        return None
    if not kind.can_lack:
        doc.error(keys[DEFAULT], f"a counter of this kind always has a reading, so `{DEFAULT}` would never count")
    return number(doc, keys[DEFAULT], DEFAULT)


def _kind(doc: Document, name: str, node: Node, keys: Keys) -> Kind | None:
    """Returns the kind that the keys name, or None when the keys do not fit it."""
    named = [key for key in kind_keys() if key in keys]
    if not named and any(key.text not in ("on", "per", *all_keys(), *COMMON) for key, _ in node.pairs):
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
        if key not in (*wants.needs, *wants.may, "on", "per", *COMMON):
            doc.error(value, f"`{key}` has no meaning for `{named[0]}: {keys[named[0]].text or '...'}`")
    for key in wants.needs:
        misspelt = any(closest(one.text, (key,)) for one, _ in node.pairs if one.text not in (*all_keys(), *COMMON))
        if key not in keys and not misspelt:
            doc.error(node, f"counter `{name}` has no `{key}`", f"add `{key}:`")
    return wants


def _check_per(doc: Document, node: Node, topic: str) -> None:
    feed = FEEDS[topic]
    valid = (feed.number, *feed.others)
    if node.text in valid:
        return
    if node.text in catalog.other_subjects():
        message = f"counters per {node.text} do not exist yet: its events would have to be sent on to it"
        doc.error(node, message, f"records of {topic} are counted per {' or '.join(valid)}")
    else:
        hint = f"write `per: {feed.number}`"
        doc.error(node, f"`{node.text}` is not a key of {topic}", hint, valid)
