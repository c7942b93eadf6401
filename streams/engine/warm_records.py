"""Records for warming a worker up: of any input topic, made from its row of the table of feeds."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from schemas.feeds import InputTopic
from schemas.records import FieldKind

SHARE = 3  # one record in so many is of one number, so that its counters grow out of their small forms
CONTENTS = 50  # different texts
COMPLETE = 10  # one record in so many tells a whole event, where a topic has such


def records(feed: InputTopic, start_ms: int, count: int) -> Iterator[bytes]:
    """`count` records and a dead letter, one a millisecond from `start_ms` on. Every field has a value. Nearly all
    numbers are vouched for where the topic can say so, and some are not."""
    for i in range(count):
        yield orjson.dumps(_record(feed, start_ms, i))
    if count:
        yield b"{}"


def _record(feed: InputTopic, start_ms: int, i: int) -> dict[str, object]:
    record: dict[str, object] = {"at": start_ms + i}
    for name, kind in feed.fields.items():
        if name not in feed.times:
            record[name] = _value(feed, name, kind, start_ms, i)
    record[feed.number] = "+821000000000" if i % SHARE == 0 else f"+82101{i:07d}"
    if len(feed.events) > 1:
        single = [event for event in feed.events if event != "complete"]
        record["event"] = single[i % len(single)]
    if feed.complete and i % COMPLETE == COMPLETE - 1:
        record |= {"event": "complete"} | dict.fromkeys(feed.times, start_ms + i)
    return record


def _value(feed: InputTopic, name: str, kind: FieldKind, start_ms: int, i: int) -> str | int:
    if kind.kind == "time":
        return start_ms + i
    if name == feed.id:
        return f"{start_ms}-{i // 2 if len(feed.events) > 1 else i}"  # two events of each call
    if kind.kind == "number":
        return f"+82102{i:07d}"
    if kind.kind == "choice":
        return kind.choices[0 if name == "verified" else i % len(kind.choices)]
    return f"{name} {i % CONTENTS}"
