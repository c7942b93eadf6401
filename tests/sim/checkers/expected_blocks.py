"""A read-committed consumer sees exactly what was to be made of what was counted: nothing missing, nothing twice, the
changes of a number by a rule in order.

A fresh engine says so; and the plain reference where nothing held blocks back, no rules changed and every id was kept.
Notices of expiry are left out: they come by wall time. Delivery at least once may repeat a record, never change it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import orjson

from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, DEAD_LETTERS, REVIEW_QUEUE, SHADOW_EVENTS
from tests.reference.reference import Reference
from tests.sim.checkers.expected import Expected
from tests.sim.checkers.inputs import lines, once_per_input
from tests.sim.world import World

CHANGES = (BLOCK_EVENTS, BLOCK_HISTORY, REVIEW_QUEUE, SHADOW_EVENTS)


def check(world: World, expected: list[Expected], once: bool, asks_reference: bool) -> None:
    seen = by_subject((topic, r.key, r.value, r.headers) for topic, r in outputs(world))
    compare(by_subject(record for one in expected for record in one.outputs), seen, once)
    if asks_reference:
        plain = Reference(world.rules_in_force, also=world.also)
        reference = once_per_input(world, "blocks", lambda: plain.run(lines(world)))
        compare(by_subject(reference), seen, once)


def compare(expected: dict[Any, list[Any]], seen: dict[Any, list[Any]], once: bool) -> None:
    for topic, number in sorted(expected.keys() | seen.keys(), key=str):
        wanted, got = expected.get((topic, number), []), seen.get((topic, number), [])
        if not once:
            got = list(dict.fromkeys(got))
        missing, surplus = Counter(wanted) - Counter(got), Counter(got) - Counter(wanted)
        assert not missing, f"{topic}: {sum(missing.values())} records missing, the first {first(missing)}"
        assert not surplus, f"{topic}: {sum(surplus.values())} records too many, the first {first(surplus)}"
        # Letters of several partitions meet in one topic.
        assert topic == DEAD_LETTERS or wanted == got, (
            f"{topic}: the changes of one number by one rule are out of order"
        )


def outputs(world: World) -> Iterable[tuple[str, Any]]:
    for topic in (*CHANGES, DEAD_LETTERS):
        for place in world.broker.places(topic):
            for record in world.broker.logs[place].committed():
                yield topic, record


def by_subject(records: Iterable[Any]) -> dict[tuple[str, bytes | None], list[Any]]:
    """The comparable part of each record, in order."""
    found: dict[tuple[str, bytes | None], list[Any]] = defaultdict(list)
    for record in records:
        topic, key, value, headers = record if isinstance(record, tuple) else (
            record.topic, record.key, record.value, record.headers
        )  # fmt: skip
        if topic == DEAD_LETTERS:
            found[topic, None].append(
                (value, tuple(tuple(h) for h in headers if h[0] != "__connect.errors.exception.message"))
            )
            continue
        if topic not in CHANGES:
            continue
        state = orjson.loads(value) if value is not None else {"change": "expired"}
        if "hold" not in state:  # the answer to an order
            found[topic, (key or b"") + b" " + state["order"]["id"].encode()].append(
                (state["event_id"], state["change"], orjson.dumps(state["order"]))
            )
        elif state["change"] not in ("expired", "unreviewed"):
            # Which other holds are still in force depends on when their expiry was noticed.
            by = (key or b"") + b" " + state["hold"]["rule"].encode()  # rules on several topics meet in any order
            found[topic, by].append((state["event_id"], state["change"], orjson.dumps(state["hold"])))
    return dict(found)


def first(counted: Counter[Any]) -> str:
    return str(next(iter(counted)))[:300]
