"""The `counters:` of a rule file, read into `Counter`s."""

from __future__ import annotations

from rules import catalog
from rules.document import Document, Node
from rules.model import Counter
from rules.reading import Keys, choice, duration, expression, mapping
from rules.units import duration_text

ALL_KEYS = ("on", "per", *catalog.KIND_KEYS, "window", "resolution", "max_age", "where")


def read_counter(doc: Document, name: str, node: Node) -> Counter | None:
    """None when anything about it is wrong, all of which is noted."""
    before = len(doc.diagnostics)
    keys = mapping(doc, node, f"counter `{name}`", ("on", "per"), ALL_KEYS[2:])
    if keys is None:
        return None
    kind = _kind(doc, name, node, keys)
    on = choice(doc, keys["on"], "source for `on`", tuple(catalog.SOURCES)) if "on" in keys else None
    topic, events = catalog.SOURCES[on] if on else ("", frozenset())
    if topic and "per" in keys:
        _check_per(doc, keys["per"], topic)
    if kind is None:
        return None
    events = _events(doc, keys["on"], kind, on, events) if on else events
    lengths = _LENGTHS[kind](doc, keys)
    field = _field(doc, keys, kind, topic)
    where = expression(doc, keys["where"], "where", dict(catalog.FIELDS[topic])) if "where" in keys and topic else None
    if where is not None and "duration" in where.names and not events <= catalog.ENDED:
        doc.error(keys["where"], "`duration` is not known before the call ends", "use `on: cdr.release`")
    if len(doc.diagnostics) > before:
        return None
    return Counter(name, topic, events, catalog.PER[topic], kind, field, where=where, **lengths)


def _kind(doc: Document, name: str, node: Node, keys: Keys) -> str | None:
    """The kind that the keys name, once the keys fit it."""
    said = [key for key in catalog.KIND_KEYS if key in keys]
    if not said and any(key.text not in ALL_KEYS for key, _ in node.pairs):
        return None  # a misspelt key has been noted, and is likely to be the one that is missed here
    if len(said) != 1:
        found = f"says {' and '.join(f'`{key}`' for key in said)}" if said else "does not say what it measures"
        doc.error(
            keys[said[1]] if said else node, f"counter `{name}` {found}; it needs exactly one", "", catalog.KIND_KEYS
        )
        return None
    kind: str | None = said[0]
    if kind == "count":
        kind = choice(doc, keys["count"], "`count`", catalog.COUNTS)
    if kind is None:
        return None
    wants = catalog.COUNTER_KINDS[kind]
    for key, value in keys.items():
        if key not in (*wants.needs, *wants.may, "on", "per", "where"):
            doc.error(value, f"`{key}` has no meaning for `{said[0]}: {keys[said[0]].text or '...'}`")
    for key in wants.needs:
        if key not in keys:
            doc.error(node, f"counter `{name}` has no `{key}`", f"add `{key}:`")
    return kind


def _check_per(doc: Document, node: Node, topic: str) -> None:
    valid = catalog.PER[topic]
    if node.text == valid:
        return
    if node.text in catalog.OTHER_KEYS:
        message = f"counters per {node.text} need a topic keyed by {node.text}, which does not exist yet"
        doc.error(node, message, f"records of {topic} are counted per {valid}")
    else:
        doc.error(node, f"`{node.text}` is not a key of {topic}", f"write `per: {valid}`", (valid,))


def _events(doc: Document, node: Node, kind: str, on: str, events: frozenset[str]) -> frozenset[str]:
    if kind == "concurrent":
        if on != "cdr":
            doc.error(node, "simultaneous calls are counted from set-up to release", "write `on: cdr`")
        return frozenset({"setup", "release"})
    if kind in ("sum", "mean") and not events <= catalog.ENDED:
        doc.error(
            node, "`duration` is known only when a call has ended", "write `on: cdr.release` or `on: cdr.complete`"
        )
    return events


def _field(doc: Document, keys: Keys, kind: str, topic: str) -> str | None:
    if kind == "distinct" and topic and "distinct" in keys:
        return choice(doc, keys["distinct"], "field to count distinct values of", catalog.DISTINCT[topic])
    if kind in ("sum", "mean"):
        return choice(doc, keys[kind], "field to add up", ("duration",))
    return None


def _window(doc: Document, keys: Keys) -> int | None:
    if "window" not in keys:
        return None
    return duration(doc, keys["window"], "window", catalog.WINDOW_MS_MIN, catalog.WINDOW_MS_MAX)


def _bucketed(doc: Document, keys: Keys) -> dict[str, int]:
    """A window and the resolution that divides it."""
    window = _window(doc, keys)
    if window is None:
        return {}
    if "resolution" not in keys:
        if window % catalog.BUCKETS_DEFAULT:
            doc.error(
                keys["window"], "the window cannot be cut into 60 equal parts", "add a `resolution:` that divides it"
            )
        return {"window_ms": window, "resolution_ms": window // catalog.BUCKETS_DEFAULT}
    resolution = duration(doc, keys["resolution"], "resolution", 1, window)
    if resolution is None:
        return {}
    if window % resolution:
        message = f"resolution {duration_text(resolution)} does not divide the window {duration_text(window)}"
        doc.error(keys["resolution"], message)
    elif window // resolution > catalog.BUCKETS_MAX:
        least = duration_text(-(-window // catalog.BUCKETS_MAX))
        message = f"{window // resolution:,} parts of a window are too many; the most is {catalog.BUCKETS_MAX:,}"
        doc.error(keys["resolution"], message, f"use a resolution of {least} or more")
    return {"window_ms": window, "resolution_ms": resolution}


def _distinct(doc: Document, keys: Keys) -> dict[str, int]:
    window = _window(doc, keys)
    if window is not None and window % catalog.SKETCH_BUCKETS:
        doc.error(keys["window"], f"the window cannot be cut into {catalog.SKETCH_BUCKETS} equal parts of whole ms")
    return {"window_ms": window} if window is not None else {}


def _concurrent(doc: Document, keys: Keys) -> dict[str, int]:
    if "max_age" not in keys:
        return {}
    age = duration(doc, keys["max_age"], "max_age", catalog.WINDOW_MS_MIN, catalog.WINDOW_MS_MAX)
    return {"max_age_ms": age} if age is not None else {}


def _gray(doc: Document, keys: Keys) -> dict[str, int]:
    levels = mapping(doc, keys["gray"], "gray", ("short", "long")) if "gray" in keys else None
    if levels is None:
        return {}
    low, high = catalog.HALF_LIFE_MS_MIN, catalog.HALF_LIFE_MS_MAX
    read = {f"{key}_ms": duration(doc, value, f"half-life `{key}`", low, high) for key, value in levels.items()}
    known = {key: ms for key, ms in read.items() if ms is not None}
    if len(known) == 2 and known["short_ms"] >= known["long_ms"]:
        doc.error(levels["short"], "the short half-life must be shorter than the long one")
    return known


# One reader of lengths per kind, so that a new kind of counter is a new row.
_LENGTHS = {
    "events": _bucketed,
    "sum": _bucketed,
    "mean": _bucketed,
    "distinct": _distinct,
    "concurrent": _concurrent,
    "gray": _gray,
}
