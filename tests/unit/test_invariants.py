"""The invariants hold of what an engine makes, and each of them notices when it is broken."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from rules.load import load_text
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, LEDGER, MESSAGE_RELAY, REVIEW_QUEUE, SHADOW_EVENTS
from streams.engine.engine import Engine
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import RawBatch
from tests.invariants import TOPICS, check

T = 1_794_798_000_000
MINUTE, DAY = 60_000, 86_400_000
RULES = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - {name: any, summary: any message, when: rate >= 1, mode: enforce, spoofable: accepted,
     then: {block: [messages], directions: [outgoing], for: 90m}}
  - {name: day, summary: any message, when: rate >= 1, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: shadow, summary: any message, when: rate >= 1, mode: shadow,
     then: {block: [messages], directions: [outgoing], for: 1h}}
"""
Records = dict[str, list[tuple[bytes | None, bytes | None]]]


def made() -> Records:
    """One number opens, extends, is reopened before its end is noticed, expires and is buried; another's goes to
    review."""
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    seen: defaultdict[str, list[tuple[bytes | None, bytes | None]]] = defaultdict(list)
    traffic = (
        (0, 1, False), (1, 1, False), (61 * MINUTE, 1, False), (200 * MINUTE, 1, True), (201 * MINUTE, 2, False),
        (201 * MINUTE + 1, 2, False), (2 * DAY, 1, False), (10 * DAY, 3, True),
    )  # fmt: skip
    for offset, (at_ms, sender, expires) in enumerate(traffic):
        record = {"message_id": f"m{offset}", "at": T + at_ms, "sender": f"+82101111000{sender}", "recipient": "114"}
        trust = {} if sender == 2 else {"verified": "full"}
        raw = RawBatch(
            MESSAGE_RELAY, np.array([0]), np.array([0], np.int32), np.array([offset]), np.array([T + at_ms]),
            [json.dumps(record | trust).encode()],
        )  # fmt: skip
        outcomes = [engine.step(decode_share(engine, raw))]
        if expires:
            outcomes.append(engine.expire(T + at_ms + 3 * DAY))
        for outcome in outcomes:
            for out in (*outcome.records, *outcome.ledger):
                seen[out.topic].append((out.key, out.value))
    return {topic: seen[topic] for topic in TOPICS}


@cache
def changes(topic: str) -> list[str]:
    return ["gone" if value is None else json.loads(value)["change"] for _, value in made()[topic]]


def test_they_hold_of_what_an_engine_makes_and_its_holds_have_had_every_change() -> None:
    check(made())
    check(made(), once=False)
    assert {"opened", "extended", "expired"} == set(changes(BLOCK_HISTORY))
    assert "gone" in changes(BLOCK_EVENTS)
    assert changes(REVIEW_QUEUE)
    assert changes(SHADOW_EVENTS)
    assert len(changes(BLOCK_EVENTS)) - changes(BLOCK_EVENTS).count("gone") < len(changes(BLOCK_HISTORY))


def swap_expired(seen: Records) -> None:
    """The expiry timer's mistake when an outcome waited for its caller."""
    for topic in (BLOCK_HISTORY, BLOCK_EVENTS):
        at = next(i for i, change in enumerate(changes(topic)) if change == "expired")
        seen[topic][at - 1], seen[topic][at] = seen[topic][at], seen[topic][at - 1]


def drop(topic: str, change: str) -> Callable[[Records], None]:
    def mutant(seen: Records) -> None:
        del seen[topic][changes(topic).index(change)]

    return mutant


def repeat(topic: str) -> Callable[[Records], None]:
    return lambda seen: seen[topic].append(seen[topic][0])


def stale_row(seen: Records) -> None:
    seen[LEDGER].append(next((key, value) for key, value in seen[LEDGER] if key == b"+821011110001"))


def lost_row(seen: Records) -> None:
    last = next(i for i in reversed(range(len(seen[LEDGER]))) if seen[LEDGER][i][0] == b"+821011110003")
    del seen[LEDGER][last]


def other_end(seen: Records) -> None:
    key, value = seen[BLOCK_HISTORY][0]
    row = json.loads(value or b"")
    row["hold"]["until"] += 1
    seen[BLOCK_HISTORY][0] = (key, json.dumps(row).encode())


BROKEN: dict[str, tuple[Callable[[Records], None], str]] = {
    "an end before its beginning": (swap_expired, "cannot follow|where the next in"),
    "a change told twice": (repeat(BLOCK_HISTORY), "come twice"),
    "a state told twice": (repeat(BLOCK_EVENTS), "come twice"),
    "a review told twice": (repeat(REVIEW_QUEUE), "come twice"),
    "an opening missing from the history": (drop(BLOCK_HISTORY, "opened"), "where the next in"),
    "an extension missing from the history": (drop(BLOCK_HISTORY, "extended"), "where the next in|adds up"),
    "an end missing from block-events": (drop(BLOCK_EVENTS, "expired"), "where the next in|adds up"),
    "a review missing": (drop(REVIEW_QUEUE, "unreviewed"), "ledger says"),
    "a stale row in the ledger": (stale_row, "ledger says"),
    "a row missing from the ledger": (lost_row, "ledger says"),
    "another end in the history": (other_end, "tell differently"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_noticed(name: str) -> None:
    seen = made()
    mutate, said = BROKEN[name]
    mutate(seen)
    with pytest.raises(AssertionError, match=said):
        check(seen)


def test_a_hold_has_an_order_even_where_block_events_tells_the_same_wrong_one() -> None:
    seen = made()
    for topic in (BLOCK_HISTORY, BLOCK_EVENTS):
        keep = changes(topic).index("expired")
        seen[topic] = [seen[topic][keep]]
    with pytest.raises(AssertionError, match=r"'expired' by .* cannot follow nothing"):
        check(seen)
