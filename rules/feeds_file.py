"""The file of feeds, feeds.yaml: what is known of each feed. Reading is strict and finds every mistake, each with its
place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rules.diagnostics import Diagnostic, RuleErrors
from rules.document import Document, Node, text_of
from rules.expression_check import closest
from rules.hours import zone
from rules.reading import choice, choice_list, duration, entries, mapping, text
from rules.units import duration_text
from schemas.feed_settings import (
    FORMATS,
    INPUTS,
    KINDS_OF_ENVELOPE,
    LATENESS_MAX_MS,
    LEGS,
    OFFSET_MAX_MS,
    SILENT_MAX_MS,
    VOUCHES,
    FeedBook,
    FeedSettings,
)
from schemas.records import ID_MAX
from schemas.regions import RegionProblem, parse_region

FEEDS_MAX = 10_000


def load_feeds(path: Path) -> FeedBook:
    """The settings in this file. Raises RuleErrors with all that is wrong."""
    book, diagnostics = check_feeds(path)
    if book is None:
        raise RuleErrors(diagnostics)
    return book


def check_feeds(path: Path) -> tuple[FeedBook | None, list[Diagnostic]]:
    """Like `load_feeds`, but returns None and the mistakes when anything is wrong."""
    unread: list[Diagnostic] = []
    source = text_of(path, unread, "the feeds")
    if source is None:
        return None, unread
    doc = Document(str(path), source)
    book = _book(doc)
    return (None, doc.diagnostics) if doc.diagnostics else (book, [])


def _book(doc: Document) -> FeedBook | None:
    if doc.root is None or doc.root.empty:
        if not doc.diagnostics:
            doc.whole("is empty", "it needs `feeds:`")
        return None
    keys = mapping(doc, doc.root, "a file of feeds", ("feeds",)) or {}
    listed = entries(doc, keys["feeds"], "feeds") if "feeds" in keys else None
    feeds: dict[str, FeedSettings] = {}
    for name, node in listed or ():
        if not 0 < len(name.text) <= ID_MAX:
            doc.error(name, f"the name of a feed has 1 to {ID_MAX} characters")
        elif len(feeds) >= FEEDS_MAX:
            doc.error(name, f"more than {FEEDS_MAX:,} feeds")
            break
        else:
            feeds[name.text] = _feed(doc, name.text, node)
    return FeedBook(feeds, _version(feeds))


def _feed(doc: Document, name: str, node: Node) -> FeedSettings:
    """The settings of one feed; those that are wrong are noted and left out."""
    if node.empty:
        return FeedSettings()
    keys = mapping(doc, node, f"feed `{name}`", (), tuple(KEYS)) or {}
    read: dict[str, Any] = {}
    for key, value in keys.items():
        read |= KEYS[key][0](doc, value)
    return FeedSettings(**{setting: value for setting, value in read.items() if value is not None})


def _version(feeds: dict[str, FeedSettings]) -> str:
    plain = {name: asdict(settings) for name, settings in sorted(feeds.items())}
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:12]


def _vouches(doc: Document, node: Node) -> dict[str, Any]:
    return {"vouches": choice(doc, node, "vouches", VOUCHES)}


def _clock(doc: Document, node: Node) -> dict[str, Any]:
    keys = mapping(doc, node, "clock", (), ("offset", "zone")) or {}
    read: dict[str, Any] = {}
    if "offset" in keys:
        read["offset_ms"] = _offset(doc, keys["offset"])
    if "zone" in keys:
        read["zone"] = _zone(doc, keys["zone"])
    return read


def _offset(doc: Document, node: Node) -> int | None:
    """A duration with or without a sign."""
    sign = -1 if node.text.startswith("-") else 1
    if node.kind != "scalar" or node.text[:1] not in ("-", "+"):
        return duration(doc, node, "offset", 0, OFFSET_MAX_MS)
    bare = Node("scalar", node.line, node.column, node.end_line, node.end_column, node.text[1:], node.quoted)
    ms = duration(doc, bare, "offset", 0, OFFSET_MAX_MS)
    return None if ms is None else sign * ms


def _zone(doc: Document, node: Node) -> str | None:
    name = text(doc, node, "zone")
    try:
        if name is not None:
            zone(name)
    except ValueError as problem:
        import zoneinfo

        doc.error(node, str(problem), closest(name or "", tuple(zoneinfo.available_timezones())) or "write Asia/Seoul")
        return None
    return name


def _lateness(doc: Document, node: Node) -> dict[str, Any]:
    return {"lateness_ms": duration(doc, node, "lateness", 1_000, LATENESS_MAX_MS)}


def _numbers(doc: Document, node: Node) -> dict[str, Any]:
    return {"number_format": choice(doc, node, "numbers", FORMATS)}


def _region(doc: Document, node: Node) -> dict[str, Any]:
    code = text(doc, node, "home_region")
    try:
        return {} if code is None else {"region": parse_region(code)}
    except RegionProblem as problem:
        doc.error(node, f"home_region: {problem}")
        return {}


def _silent(doc: Document, node: Node) -> dict[str, Any]:
    return {"silent_after_ms": duration(doc, node, "silent_after", 1_000, SILENT_MAX_MS)}


def _leg(doc: Document, node: Node) -> dict[str, Any]:
    return {"leg": choice(doc, node, "leg", LEGS[1:])}


def _envelope(doc: Document, node: Node) -> dict[str, Any]:
    return {"envelope": choice(doc, node, "envelope", KINDS_OF_ENVELOPE)}


def _topics(doc: Document, node: Node) -> dict[str, Any]:
    return {"topics": choice_list(doc, node, "topics", INPUTS)}


# The keys of a feed: how each is read, and what it means to somebody who writes the file.
KEYS: dict[str, tuple[Callable[[Document, Node], dict[str, Any]], str]] = {
    "vouches": (
        _vouches,
        "the strongest `verified` that its records may claim: full, partial or none; else none",
    ),
    "clock": (_clock, "`offset`, added to all its times, such as `-90s`; `zone`, of its times without one"),
    "lateness": (_lateness, f"how late its events may be, from 1s to {duration_text(LATENESS_MAX_MS)}; else 1h"),
    "numbers": (_numbers, "how it writes numbers: any, e164, national or smpp; else any"),
    "home_region": (_region, "the country of its numbers without a country code; else the worker's"),
    "silent_after": (_silent, "how long it may have no records before it counts as silent; else the worker's"),
    "leg": (_leg, "the end of a call that it tells: originating, terminating or transit"),
    "envelope": (_envelope, "what wraps its records: connect, debezium, cloudevents or schema_registry"),
    "topics": (_topics, "the input topics that it delivers; else all"),
}
