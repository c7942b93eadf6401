"""Holds in review about which nobody decides: they end without a block, or block where their rule says so."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rules.load import load_text
from rules.registry import Entry, InForce, Registry, empty
from schemas.registry import ALLOWED
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CONTROL, MESSAGE_RELAY, REVIEW_QUEUE
from streams.captures.replay import Replay
from streams.engine.contract import Awaited
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord, RawBatch

T0 = 1_794_798_000_000
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
NUMBER, OTHER, CLOCK = 821011110001, 821011110002, 821011110003
RULES = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: doubtful
    summary: for people to look at
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: review
    unreviewed: {then: block, after: 30m}
  - name: patient
    summary: for people to look at some time
    when: sent >= 3
    then: {block: [messages], directions: [outgoing], for: 1h}
    mode: review
"""


class Desk:
    """An engine, record by record; its changes as words."""

    def __init__(self, rules: str = RULES) -> None:
        self.engine = Engine(load_text(rules), also=(CONTROL,))
        self.engine.partitions = 1
        self.records: list[OutRecord] = []
        self.count = 0
        self.awaited: list[Awaited] = []

    def send(self, at_ms: int, number: int = NUMBER, count: int = 2, **more: Any) -> Desk:
        for i in range(count):
            told = {"message_id": f"m{self.count}", "at": at_ms + i, "sender": f"+{number}", "recipient": "+82109999"}
            self._take(MESSAGE_RELAY, at_ms, told | {"verified": "full"} | more)
        return self

    def tick(self, at_ms: int) -> Desk:
        """A bystander moves the partition's clock."""
        return self.send(at_ms, CLOCK + self.count, 1)

    def order(self, at_ms: int, action: str, **more: Any) -> Desk:
        told = {"id": f"o{self.count}", "at": at_ms, "number": f"+{NUMBER}", "action": action, "operator": "kim"}
        self._take(CONTROL, at_ms, told | {"reason": "a reason"} | more)
        return self

    def wall(self, now_ms: int) -> Desk:
        self.records += self.engine.expire(now_ms).records
        return self

    def _take(self, topic: str, at_ms: int, told: dict[str, Any]) -> None:
        self.count += 1
        one = np.arange(1)
        value = [json.dumps(told).encode()]
        raw = RawBatch(topic, one, np.zeros(1, np.int32), np.array([self.count]), np.array([at_ms]), value)
        outcome = self.engine.step([self.engine.decoders[topic].decode(raw)])
        self.records += outcome.records
        self.awaited += outcome.awaited

    def said(self, topic: str) -> list[str]:
        states = [json.loads(r.value or b"{}") for r in self.records if r.topic == topic]
        return [f"{s['change']} {s['hold']['rule']}" if "hold" in s else s["change"] for s in states]

    def last(self, topic: str) -> dict[str, Any]:
        return json.loads([r.value or b"{}" for r in self.records if r.topic == topic][-1])


def test_silence_blocks_once_the_partitions_clock_has_come_to_the_time_that_the_rule_says() -> None:
    desk = Desk().send(T0)
    assert desk.last(REVIEW_QUEUE)["hold"]["review_by"] == T0 + 1 + 30 * MINUTE
    desk.tick(T0 + 30 * MINUTE)
    assert desk.said(BLOCK_EVENTS) == []
    desk.tick(T0 + 30 * MINUTE + 1)
    assert desk.said(BLOCK_EVENTS) == desk.said(BLOCK_HISTORY) == ["opened doubtful"]
    assert desk.said(REVIEW_QUEUE) == ["opened doubtful", "unreviewed doubtful"]
    hold = desk.last(BLOCK_HISTORY)["hold"]
    assert (hold["from"], hold["until"]) == (T0 + 1 + 30 * MINUTE, T0 + 1 + 7 * DAY)
    assert hold["unreviewed"] is True
    assert hold["evidence"] == json.loads(desk.records[0].value or b"")["hold"]["evidence"]
    assert "review_by" not in hold


def test_by_itself_a_hold_in_review_ends_without_a_block_and_says_that_nobody_decided() -> None:
    desk = Desk(RULES.replace("    unreviewed: {then: block, after: 30m}\n", "")).send(T0)
    desk.tick(T0 + 8 * DAY).wall(T0 + 8 * DAY)
    assert desk.said(REVIEW_QUEUE) == ["opened doubtful", "unreviewed doubtful"]
    assert (desk.last(REVIEW_QUEUE)["state"], desk.last(REVIEW_QUEUE)["holds"]) == ("expired", [])
    assert desk.said(BLOCK_EVENTS) == []


@pytest.mark.parametrize("action", ["reject", "approve"])
def test_a_decision_in_time_stands(action: str) -> None:
    desk = Desk().send(T0).order(T0 + 29 * MINUTE, action).tick(T0 + HOUR)
    assert ("unreviewed doubtful" in desk.said(REVIEW_QUEUE)) is False
    assert len(desk.said(BLOCK_EVENTS)) == (action == "approve")


def test_who_takes_a_hold_has_no_more_time_than_others() -> None:
    desk = Desk().send(T0).order(T0 + MINUTE, "take").tick(T0 + HOUR)
    assert desk.said(REVIEW_QUEUE) == ["opened doubtful", "taken doubtful", "unreviewed doubtful"]
    assert desk.last(REVIEW_QUEUE)["hold"]["taken_by"] == "kim"
    assert desk.said(BLOCK_EVENTS) == ["opened doubtful"]
    assert "taken_by" not in desk.last(BLOCK_EVENTS)["hold"]


def test_whoever_goes_on_does_not_put_the_time_off() -> None:
    desk = Desk(RULES.replace("after: 30m", "after: 1d"))
    for hour in range(0, 25, 10):
        desk.send(T0 + hour * HOUR)
    assert desk.said(REVIEW_QUEUE).count("extended doubtful") == 2
    assert desk.last(REVIEW_QUEUE)["hold"]["review_by"] == T0 + 1 + DAY
    desk.tick(T0 + DAY + 1)
    assert desk.said(BLOCK_EVENTS) == ["opened doubtful"]


def test_evidence_that_could_be_forged_never_blocks_by_silence() -> None:
    desk = Desk().send(T0, verified="none").tick(T0 + HOUR)
    assert desk.said(REVIEW_QUEUE) == ["opened doubtful"]
    assert "review_by" not in desk.last(REVIEW_QUEUE)["hold"]
    accepted = Desk(RULES.replace("mode: review\n    unre", "mode: review\n    spoofable: accepted\n    unre"))
    assert accepted.send(T0, verified="none").tick(T0 + HOUR).said(BLOCK_EVENTS) == ["opened doubtful"]


@pytest.mark.parametrize("how", ["allowed by an order", "allowed by the registry", "released since"])
def test_silence_blocks_nobody_whom_people_have_spared(how: str) -> None:
    desk = Desk().send(T0)
    if how == "allowed by an order":
        desk.order(T0 + MINUTE, "allow", until=T0 + DAY)
    elif how == "allowed by the registry":
        entry = Entry(ALLOWED, 0, NUMBER, 0, T0 + DAY, "o", "r")
        desk.engine.registry = InForce(empty(), Registry.of([entry]))
    else:
        desk.order(T0, "block", until=T0 + DAY).order(T0 + MINUTE, "release", until=T0 + DAY)
    before = len(desk.said(BLOCK_EVENTS))
    desk.tick(T0 + HOUR)
    assert desk.said(REVIEW_QUEUE)[-1] == "unreviewed doubtful"
    assert len(desk.said(BLOCK_EVENTS)) == before


def test_while_new_blocks_are_paused_nothing_falls_due() -> None:
    desk = Desk().send(T0)
    desk.engine.breaker.paused = True
    desk.tick(T0 + HOUR)
    assert desk.said(BLOCK_EVENTS) == []
    desk.engine.breaker.paused = False
    desk.tick(T0 + HOUR + 1)
    assert desk.last(BLOCK_EVENTS)["hold"]["from"] == T0 + 1 + 30 * MINUTE


def test_a_notice_by_wall_time_does_not_come_before_what_the_logs_decide() -> None:
    desk = Desk().send(T0).wall(T0 + 30 * DAY)
    assert desk.said(REVIEW_QUEUE) == ["opened doubtful"]
    desk.tick(T0 + HOUR).wall(T0 + 8 * DAY)
    assert desk.said(REVIEW_QUEUE) == ["opened doubtful", "unreviewed doubtful"]
    assert desk.said(BLOCK_EVENTS) == ["opened doubtful", "expired doubtful"]


def test_what_falls_due_is_known_again_after_a_restart_and_forgotten_with_the_partition() -> None:
    desk, born = Desk().send(T0).send(T0, OTHER), Desk()
    rows = [(b"+%d" % number, desk.engine.ledger.row(number)) for number in (NUMBER, OTHER)]
    assert json.loads(rows[0][1] or b"")["format"] == 3
    born.engine.load_ledger(rows)
    born.engine.ledger.drop([OTHER])
    born.count = 100
    born.tick(T0 + HOUR)
    assert [r.key for r in born.records if r.topic == BLOCK_EVENTS] == [b"+%d" % NUMBER]


def test_stale_times_do_not_pile_up() -> None:
    desk = Desk().send(T0)
    row = [(b"+%d" % NUMBER, desk.engine.ledger.row(NUMBER))]
    for _ in range(5000):
        desk.engine.ledger.load(row)
    assert len(desk.engine.ledger.review_times) < 3000


@pytest.mark.parametrize("how", ["approve", "silence"])
def test_a_block_through_review_is_waited_for_since_the_event_by_which_it_was_proposed(how: str) -> None:
    desk = Desk().send(T0)
    if how == "approve":
        desk.order(T0 + MINUTE, "approve")
    else:
        desk.tick(T0 + HOUR)
    assert ("review-queue", "opened", None, T0 + 1) in desk.awaited
    assert ("control" in {one.topic for one in desk.awaited}) == (how == "approve")


def test_two_that_fall_due_behind_one_record_block_before_either_has_ended() -> None:
    """A record of another partition has moved the largest clock past both ends; the partition's own comes there now."""
    rules = load_text(RULES.replace("for: 7d", "for: 1h"))
    told = []
    for batch in (1, 100):
        out: list[OutRecord] = []
        lines = [
            (0, 0, NUMBER),
            (0, 1, NUMBER),
            (0, 2, OTHER),
            (0, 3, OTHER),
            (1, 3 * HOUR, CLOCK),
            (0, 40 * MINUTE, CLOCK),
        ]
        Replay(Engine(rules, expire_by_clock=True), out.append, batch).run(map(line_of, enumerate(lines)), "lines")
        told.append([(r.topic, r.value) for r in out])
    assert told[0] == told[1]
    assert [json.loads(value or b"")["change"] for topic, value in told[0] if topic == BLOCK_EVENTS] == ["opened"] * 2


def line_of(numbered: tuple[int, tuple[int, int, int]]) -> bytes:
    i, (partition, later_ms, number) = numbered
    told = {"message_id": f"m{i}", "at": T0 + later_ms, "sender": f"+{number}", "recipient": "+82109999"}
    line = {"topic": MESSAGE_RELAY, "partition": partition, "offset": i, "ts": T0 + later_ms, "key": None}
    return json.dumps(line | {"payload": json.dumps(told | {"verified": "full"})}).encode() + b"\n"
