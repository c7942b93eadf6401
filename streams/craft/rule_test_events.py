"""The `events` of rule tests, read into records: one, or many at a pace, with jitter from a seed.

A record's fields stand under its topic's name. `call` stands for a whole call: set-up, answer and release. A list of
values is taken in turn, `{n}` in a text is the place of the repetition, and ids and peers need not be said."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from datetime import tzinfo

from rules.document import Document, Node
from rules.reading import Keys, choice, duration, items, mapping, number
from schemas.feeds import FEEDS, InputTopic, counted
from schemas.times import TimeError, parse_time
from streams.craft.rule_tests import SentRecord

CALL = "call"
EVENTS_MAX = 100_000  # records of one test
DAY_MS = 86_400_000
PACE = ("repeat", "every", "jitter", "seed", "arrives")
CALL_KEYS = ("ring", "talk", "released")
RING_MS = 2_000
VOUCHED = {"verified": "full", "origin": "domestic"}  # what records say that do not say it

_PLACE = re.compile(r"\{n(?::0([1-9]))?\}")


def instant(doc: Document, node: Node, local: tzinfo | None) -> int | None:
    """A moment in ms: RFC 3339, or a local time of the file's `location`."""
    value = node.text
    try:
        return parse_time(int(value) if value.isascii() and value.isdigit() else value, local)
    except TimeError as problem:
        hint = "" if local is not None else "or say once for the file whose clocks are meant: `location: Asia/Seoul`"
        doc.error(node, f"`{value}` {problem}", hint)
        return None


class EventReader:
    """Reads the events of one test."""

    def __init__(self, doc: Document, local: tzinfo | None) -> None:
        self.doc, self.local = doc, local
        self.calls = next(feed for feed in counted() if feed.complete)

    def records(self, node: Node) -> list[SentRecord]:
        out: list[SentRecord] = []
        for place, item in enumerate(items(self.doc, node, "`events`") or ()):
            for record in self._item(item, place):
                out.append(record)
                if len(out) > EVENTS_MAX:
                    self.doc.error(item, f"more than {EVENTS_MAX:,} records in one test", "make it shorter")
                    return out
        return out

    def _item(self, node: Node, place: int) -> Iterator[SentRecord]:
        doc, before = self.doc, len(self.doc.diagnostics)
        kinds = (CALL, *(feed.name for feed in counted()))
        keys = mapping(doc, node, "an event", ("at",), (*kinds, *PACE))
        if keys is None:
            return
        named = [kind for kind in kinds if kind in keys]
        if len(named) != 1:
            what = "says two things that happen" if named else "does not say what happens"
            doc.error(node, f"this event {what}", "", kinds)
            return
        at_ms = instant(doc, keys["at"], self.local) if "at" in keys else None
        arrives_ms = instant(doc, keys["arrives"], self.local) if "arrives" in keys else None
        times = _times(doc, node, keys)
        feed = self.calls if named[0] == CALL else FEEDS[named[0]]
        fields = self._fields(keys[named[0]], feed, whole=named[0] == CALL)
        if len(doc.diagnostics) > before or at_ms is None or fields is None:
            return
        for n, later_ms in enumerate(times):
            values = {key: _nth(value, n) for key, value in fields.items()}
            base = {feed.id: f"{place}-{n}"} if feed.id else {}
            base |= {key: VOUCHED[key] for key in feed.vouching}
            if feed.peer is not None:
                base[feed.peer] = f"010-{3000 + n // 10_000:04d}-{n % 10_000:04d}"
            made = self._call if named[0] == CALL else self._record
            for value in made(feed, base, values, at_ms + later_ms, n):
                when = int(value["at"]) if arrives_ms is None else arrives_ms + later_ms
                yield SentRecord(when, feed.name, value, node.line + 1)

    def _fields(self, node: Node, feed: InputTopic, whole: bool) -> Keys | None:
        """The fields that are told, by name."""
        doc, before = self.doc, len(self.doc.diagnostics)
        others = {"at", *(("event", *feed.complete) if whole else ())}
        may = tuple(name for name in feed.fields if name not in (*others, feed.number))
        keys = mapping(doc, node, f"a {CALL if whole else feed.name}", (feed.number,), (*may, *CALL_KEYS * whole))
        for name, value in (keys or {}).items():
            for one in value.items if value.kind == "sequence" else [value]:
                if one.kind != "scalar":
                    doc.error(one, f"`{name}` must be a value, or a list of values that are taken in turn")
                elif not one.empty:
                    self._check(name, one, feed)
            if value.kind == "sequence" and not value.items:
                doc.error(value, f"the list of `{name}` is empty")
        if keys is not None and not whole and len(feed.events) > 1 and "event" not in keys:
            doc.error(node, f"a {feed.name} needs its `event`", "or say `call:` for a whole call", feed.events)
        return None if len(doc.diagnostics) > before else keys

    def _check(self, name: str, node: Node, feed: InputTopic) -> None:
        doc = self.doc
        if name in ("ring", "talk") and node.text != "none":
            duration(doc, node, name, 0, DAY_MS)
        elif name == "released":
            choice(doc, node, name, ("true", "false"))
        elif name in feed.fields and feed.fields[name].choices:
            choice(doc, node, name, feed.fields[name].choices)
        elif name in feed.fields and feed.fields[name].kind == "time":
            instant(doc, node, self.local)

    def _record(
        self, feed: InputTopic, base: dict[str, str], values: dict[str, Node], at_ms: int, n: int
    ) -> Iterator[dict[str, int | str]]:
        yield {**base, "at": at_ms, **self._told(feed, base, values, n)}

    def _call(
        self, feed: InputTopic, base: dict[str, str], values: dict[str, Node], at_ms: int, n: int
    ) -> Iterator[dict[str, int | str]]:
        """The records of a call in the order of their times. `talk`: none, where nobody answers."""
        told = {**base, **self._told(feed, base, values, n)}
        setup, answer, release, *_ = feed.events
        ring_ms = self._length(values.get("ring"))
        talk_ms = self._length(values["talk"]) if "talk" in values else None
        yield {**told, "event": setup, "at": at_ms}
        at_ms += RING_MS if ring_ms is None else ring_ms
        if talk_ms is not None:
            yield {**told, "event": answer, "at": at_ms}
        if "released" not in values or values["released"].text == "true":
            yield {**told, "event": release, "at": at_ms + (talk_ms or 0)}

    def _told(
        self, feed: InputTopic, base: dict[str, str], values: dict[str, Node], n: int
    ) -> dict[str, int | str]:  # fmt: skip
        """The fields as the test says them. One that is empty (`~`) is left out of the record."""
        out: dict[str, int | str] = {}
        for name, node in values.items():
            if name in CALL_KEYS:
                continue
            if node.empty:
                base.pop(name, None)
            elif feed.fields[name].kind == "time":
                out[name] = instant(self.doc, node, self.local) or 0
            else:
                out[name] = _PLACE.sub(lambda found: f"{n:0{found[1] or 1}d}", node.text)
        return out

    def _length(self, node: Node | None) -> int | None:
        if node is None or node.empty or node.text == "none":
            return None
        return duration(self.doc, node, "length", 0, DAY_MS)


def _nth(node: Node, n: int) -> Node:
    return node.items[n % len(node.items)] if node.kind == "sequence" else node


def _times(doc: Document, node: Node, keys: Keys) -> list[int]:
    """The time in ms from `at` to each repetition."""
    count = number(doc, keys["repeat"], "repeat") if "repeat" in keys else 1.0
    if count is None:
        return []
    if not (count.is_integer() and 1 <= count <= EVENTS_MAX):
        doc.error(keys["repeat"], f"`repeat` must be a whole number from 1 to {EVENTS_MAX:,}")
        return []
    if count > 1 and "every" not in keys:
        doc.error(node, "this event is repeated and does not say how fast", "add `every: 10s`")
    every = duration(doc, keys["every"], "every", 0, 31 * DAY_MS) if "every" in keys else 0
    jitter = duration(doc, keys["jitter"], "jitter", 0, DAY_MS) if "jitter" in keys else 0
    if "jitter" in keys and "seed" not in keys:
        doc.error(keys["jitter"], "jitter needs a seed, so that every run is the same", "add `seed: 1`")
    seed = number(doc, keys["seed"], "seed") if "seed" in keys else 0
    chance = random.Random(int(seed or 0))
    return [n * (every or 0) + int(chance.random() * (jitter or 0)) for n in range(int(count))]
