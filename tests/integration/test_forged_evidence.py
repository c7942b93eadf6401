"""Records that nobody vouches for, under the shipped rules: they block nobody's line, and shield nobody either."""

from __future__ import annotations

import json
from typing import Any

from rules.load import load, load_text, packs
from schemas.topics import BLOCK_EVENTS, CDR, MESSAGE_RELAY, REVIEW_QUEUE
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.holds.breaker import Breaker
from streams.ingest.epoch import OutRecord

# A Monday, 14:00 in Seoul: the tighter limits are in force.
T_MS = 1_794_805_200_000
SECOND_MS, MINUTE_MS, HOUR_MS = 1_000, 60_000, 3_600_000
COURIER, OFFENDER, CODES = "+821034567890", "+821045678901", "+12025550123"
Record = tuple[str, int, dict[str, Any]]


def text(n: int, at: int, sender: str, verified: str = "full", **more: str) -> Record:
    told = {"message_id": f"m{n}", "at": at, "sender": sender, "recipient": f"+8210{n % 100_000_000:08d}"}
    return MESSAGE_RELAY, at, told | {"verified": verified, "text": "one text for all"} | more


def call(n: int, at: int, caller: str, verified: str = "full") -> Record:
    """A complete call to somebody new: of four seconds, or, two of five of those below 200,000, unanswered."""
    answered = n % 5 > 1 or n >= 200_000
    times = {"setup_at": at - 6000, "release_at": at} | ({"answer_at": at - 4000} if answered else {})
    told = {"call_id": f"c{n}", "event": "complete", "at": at, "caller": caller, "callee": f"+8210{n:08d}"}
    return CDR, at, told | times | {"verified": verified}


def found(feed: list[Record], breaker: Breaker | None = None, rules: str = "") -> dict[str, dict[str, set[str]]]:
    """By topic: number -> the rules that held it."""
    lines = [
        json.dumps({"topic": topic, "partition": 0, "offset": n, "ts": at, "payload": json.dumps(value)}).encode()
        for n, (topic, at, value) in enumerate(feed)
    ]
    out: list[OutRecord] = []
    loaded = load_text(rules, "scene.yaml") if rules else load([packs()])
    Replay(Engine(loaded, breaker=breaker), out.append).run(lines, "scene")
    by_topic: dict[str, dict[str, set[str]]] = {BLOCK_EVENTS: {}, REVIEW_QUEUE: {}}
    for record in out:
        if record.topic in by_topic:
            said = json.loads(record.value or b"")
            by_topic[record.topic].setdefault(said["number"], set()).update(hold["rule"] for hold in said["holds"])
    return by_topic


def test_a_flood_of_forged_calls_does_not_block_their_owner_who_calls_two_days_later() -> None:
    forged = [call(n, T_MS - 49 * HOUR_MS + n * 20, COURIER, "none") for n in range(150_000)]
    own = [call(200_000 + n, T_MS + n * MINUTE_MS, COURIER) for n in range(40)]
    got = found([*forged, *own])
    assert got[BLOCK_EVENTS] == {}
    assert COURIER in got[REVIEW_QUEUE]


def test_a_flood_of_forged_texts_does_not_block_their_owner_who_texts_eight_hours_later() -> None:
    forged = [text(n, T_MS - 9 * HOUR_MS + n * 20, COURIER, "none") for n in range(150_000)]
    own = [text(200_000 + n, T_MS + n * 10 * SECOND_MS, COURIER) for n in range(40)]
    got = found([*forged, *own])
    assert got[BLOCK_EVENTS] == {}
    assert COURIER in got[REVIEW_QUEUE]


def test_one_unverified_text_does_not_block_a_foreign_sender_of_verified_codes() -> None:
    codes = [text(n, T_MS + n * SECOND_MS, CODES, origin="international") for n in range(300)]
    stray = text(1000, T_MS + 300 * SECOND_MS, CODES, "none", origin="international")
    assert found([*codes, stray])[BLOCK_EVENTS] == {}
    unverified = [text(n, T_MS + n * SECOND_MS, CODES, "none", origin="international") for n in range(300)]
    assert found(unverified)[BLOCK_EVENTS] == {CODES: {"international-bulk", "international-repeated"}}


def test_an_offender_gains_nothing_by_an_unverified_call_of_its_own() -> None:
    calls = [call(n, T_MS + n * 1500, OFFENDER) for n in range(400)]
    without = found(calls)[BLOCK_EVENTS]
    assert without[OFFENDER]
    for place in (0, 1, 200):
        own = call(1000, calls[place][1], OFFENDER, "none")
        assert found([*calls[:place], own, *calls[place:]])[BLOCK_EVENTS] == without


def test_a_flood_of_forged_foreign_numbers_does_not_send_verified_offenders_to_review() -> None:
    """Twice five of the forged ones' holds are all that the feed's breaker lets through in a minute."""
    forged = [
        text(1000 * k + n, T_MS + 20 * (121 * k + n), f"+1202555{k:04d}", "none", origin="international")
        for k in range(8)
        for n in range(121)
    ]
    offender = [text(10_000 + n, T_MS + 20_000 + 100 * n, OFFENDER) for n in range(400)]
    got = found([*forged, *offender], Breaker(5))
    held_back = [number for number in got[REVIEW_QUEUE] if number != OFFENDER]
    assert held_back, "the flood itself is held back"
    assert "recipient-spread" in got[BLOCK_EVENTS][OFFENDER]
    assert got[BLOCK_EVENTS][OFFENDER] == found(offender)[BLOCK_EVENTS][OFFENDER]


RELEASES = """
counters:
  live: {on: cdr, per: caller, count: concurrent, max_age: 1h}
rules:
  - name: lines
    summary: many calls at once
    when: live >= 3
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: enforce
"""


def test_an_unverified_release_does_not_close_a_verified_call() -> None:
    def event(kind: str, n: int, at: int, verified: str = "full") -> Record:
        told = {"call_id": f"c{n}", "event": kind, "at": at, "caller": OFFENDER, "callee": f"+8210{n:08d}"}
        return CDR, at, told | {"verified": verified}

    feed = []
    for n in range(3):
        feed += [event("setup", n, T_MS + n * 1000), event("release", n, T_MS + n * 1000 + 500, "none")]
    assert found(feed, rules=RELEASES) == {BLOCK_EVENTS: {OFFENDER: {"lines"}}, REVIEW_QUEUE: {}}
