"""Orders about one number: released, blocked, allowed, approved, rejected, each once, answered, and in event time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, CONTROL, DEAD_LETTERS, REVIEW_QUEUE
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord
from tests.reference.orders import ACTIONS

NUMBER, OTHER = "+821011110001", "+821011110002"
T0 = 1_794_798_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
RULES = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: burst
    summary: many messages
    when: rate >= 2
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
  - name: flood
    summary: very many messages
    when: rate >= 3
    then: {block: [calls], directions: [incoming], for: 1d}
    mode: enforce
  - name: doubtful
    summary: for people to look at
    when: rate >= 2
    then: {block: [messages], directions: [outgoing], for: 2d}
    mode: review
"""


class Traffic:
    """Lines of a capture, in order."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def messages(self, at_ms: int, count: int = 2, sender: str = NUMBER, step_ms: int = 1000, **more: Any) -> Traffic:
        for i in range(count):
            told = {
                "message_id": f"m{len(self.lines)}", "at": at_ms + i * step_ms, "sender": sender,
                "recipient": "+821099990001", "verified": "full",
            }  # fmt: skip
            self._add("message-relay", told["at"], told | more)
        return self

    def order(self, at_ms: int, action: str, number: str = NUMBER, **more: Any) -> Traffic:
        told = {"id": f"o{len(self.lines)}", "at": at_ms, "number": number, "action": action}
        self._add(CONTROL, at_ms, told | {"operator": "kim", "reason": "the holder called"} | more)
        return self

    def _add(self, topic: str, at_ms: int, told: dict[str, Any]) -> None:
        line = {"topic": topic, "partition": 0, "offset": len(self.lines), "ts": at_ms, "key": None}
        self.lines.append(json.dumps(line | {"payload": json.dumps(told)}).encode() + b"\n")

    def run(self, batch_lines: int = 10_000) -> Seen:
        out: list[OutRecord] = []
        engine = Engine(load_text(RULES), also=(CONTROL,), expire_by_clock=True)
        Replay(engine, out.append, batch_lines).run(self.lines, "lines")
        return Seen(out)


class Seen:
    def __init__(self, records: list[OutRecord]) -> None:
        self.records = records

    def of(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(r.value or b"null") for r in self.records if r.topic == topic]

    def history(self) -> list[str]:
        return [
            f"{row['change']} {row['hold']['rule']}"
            if "hold" in row
            else " ".join(filter(None, (row["change"], row["order"]["action"], row["why"])))
            for row in self.of(BLOCK_HISTORY)
        ]

    def review(self) -> list[str]:
        return [f"{row['change']} {row['hold']['rule']}" for row in self.of(REVIEW_QUEUE)]

    def last(self, topic: str = BLOCK_EVENTS) -> dict[str, Any]:
        return self.of(topic)[-1]


def blocked() -> Traffic:
    """The number is blocked by `burst`, and in review by `doubtful`."""
    return Traffic().messages(T0)


def test_a_release_ends_all_blocks_of_the_number_and_says_who_and_why() -> None:
    seen = Traffic().messages(T0, 3).order(T0 + MINUTE, "release", until=T0 + DAY).run()
    assert seen.history() == ["opened burst", "opened flood", "released burst", "released flood", "ordered release"]
    state = seen.last()
    assert (state["state"], state["change"], state["holds"]) == ("released", "released", [])
    order = {"id": "o3", "action": "release", "at": T0 + MINUTE, "operator": "kim", "reason": "the holder called"}
    rows = seen.of(BLOCK_HISTORY)[2:]
    assert [row["order"] for row in rows] == [order | {"rule": None, "until": T0 + DAY}] * 3
    assert state["event_id"] == rows[0]["event_id"]
    assert b"kim" not in b"".join(r.value or b"" for r in seen.records if r.topic == BLOCK_EVENTS)


def test_a_release_of_one_rule_leaves_the_others_block() -> None:
    seen = Traffic().messages(T0, 3).order(T0 + MINUTE, "release", rule="burst", until=T0 + DAY).run()
    state = seen.last()
    assert (state["state"], state["change"]) == ("active", "released")
    assert [hold["rule"] for hold in state["holds"]] == ["flood"]
    assert (state["directions"], state["actions"]) == (["incoming"], ["block_calls"])


def test_what_happened_at_the_release_or_before_opens_nothing() -> None:
    at = T0 + 10 * MINUTE
    seen = blocked().order(at, "release", until=at + DAY).messages(at - 2000, 3).run()
    assert seen.history() == ["opened burst", "released burst", "ordered release"]


def test_until_the_end_of_the_cool_down_hits_go_to_review_and_then_block_again() -> None:
    at, until = T0 + 10 * MINUTE, T0 + 3 * DAY
    seen = blocked().order(at, "release", until=until).messages(at + HOUR).messages(until).run()
    assert seen.history() == ["opened burst", "released burst", "ordered release", "opened burst"]
    diverted = next(row for row in seen.of(REVIEW_QUEUE) if row["hold"]["rule"] == "burst")
    assert (diverted["change"], diverted["hold"]["diverted"]) == ("opened", "released")
    assert diverted["hold"]["from"] == at + HOUR + 1000
    assert seen.of(BLOCK_HISTORY)[-1]["hold"]["from"] == until + 1000


def test_two_rulings_say_the_same_in_one_epoch_as_record_by_record() -> None:
    first, second = T0 + 10 * MINUTE, T0 + 20 * MINUTE
    traffic = blocked().order(first, "release", until=first + DAY).order(second, "allow", until=second + 30 * DAY)
    traffic.messages(first + MINUTE, 3).messages(second + MINUTE, 3)
    one, all_ = traffic.run(1), traffic.run()
    assert [r.value for r in one.records] == [r.value for r in all_.records]
    diverted = next(row for row in one.of(REVIEW_QUEUE) if row["hold"]["rule"] == "burst")
    assert (diverted["hold"]["from"], diverted["hold"]["diverted"]) == (second + MINUTE + 1000, "allow_listed")


def test_counters_are_not_reset_by_a_release() -> None:
    at = T0 + 5_000
    seen = blocked().order(at, "release", until=at + 1).messages(at + 1, 1).run()
    assert seen.history()[-1] == "opened flood"  # the third message within a minute


def test_the_operators_block_is_extended_reduced_and_released() -> None:
    traffic = Traffic().order(T0, "block", until=T0 + DAY).order(T0 + 1, "block", until=T0 + 2 * DAY)
    seen = traffic.order(T0 + 2, "block", until=T0 + HOUR).order(T0 + 3, "release").run()
    changes = [row for row in seen.history() if "ordered" not in row]
    assert changes == ["opened operator", "extended operator", "reduced operator", "released operator"]
    hold = seen.of(BLOCK_EVENTS)[0]["hold"]
    assert (hold["directions"], hold["actions"]) == (["outgoing", "incoming"], ["block_calls", "block_messages"])
    assert (hold["reason"], hold["evidence"]) == ("the holder called", [])
    assert [state["until"] for state in seen.of(BLOCK_EVENTS)] == [
        T0 + DAY, T0 + 2 * DAY, T0 + HOUR, T0 + HOUR
    ]  # fmt: skip


def test_an_order_older_than_the_hold_ends_it_no_sooner_than_it_began() -> None:
    seen = Traffic().order(T0, "block", until=T0 + DAY).order(T0 - MINUTE, "block", until=T0 - 1).run()
    steps = ["opened operator", "ordered block", "reduced operator", "ordered block"]
    assert seen.history() == steps, "the end of a file expires nothing"
    hold = seen.last()["hold"]
    assert hold["from"] == hold["until"] == T0


def test_an_allow_ends_blocks_and_sends_what_comes_to_review_until_it_is_taken_back() -> None:
    traffic = blocked().order(T0 + MINUTE, "allow", until=T0 + 30 * DAY).messages(T0 + DAY)
    seen = traffic.order(T0 + DAY + HOUR, "disallow").messages(T0 + DAY + 2 * HOUR).run()
    assert seen.history() == [
        "opened burst", "released burst", "ordered allow", "ordered disallow", "opened burst",
    ]  # fmt: skip
    diverted = next(row for row in seen.of(REVIEW_QUEUE) if row["hold"]["rule"] == "burst")
    assert diverted["hold"]["diverted"] == "allow_listed"


def test_an_approved_hold_blocks_with_its_own_evidence() -> None:
    seen = Traffic().messages(T0, verified="none").order(T0 + MINUTE, "approve", rule="burst").run()
    assert seen.history() == ["opened burst", "ordered approve"]
    row = seen.of(BLOCK_HISTORY)[0]
    assert (row["hold"]["from"], row["hold"]["until"]) == (T0 + MINUTE, T0 + 1000 + 7 * DAY)
    assert row["hold"]["evidence"][0]["value"] == 2
    assert seen.review() == ["opened burst", "approved burst"]
    assert [hold["rule"] for hold in seen.last(REVIEW_QUEUE)["holds"]] == ["doubtful"]


def test_after_a_rejection_the_rule_does_not_ask_again_until_its_end() -> None:
    traffic = Traffic().messages(T0).order(T0 + MINUTE, "reject", rule="doubtful", until=T0 + 5 * DAY)
    seen = traffic.messages(T0 + 3 * DAY).messages(T0 + 5 * DAY).run()
    assert seen.review() == ["opened doubtful", "rejected doubtful", "opened doubtful"]
    assert seen.last(REVIEW_QUEUE)["hold"]["from"] == T0 + 5 * DAY + 1000


@pytest.mark.parametrize(
    ("traffic", "why"),
    [
        (Traffic().order(T0, "release"), "release not_blocked"),
        (blocked().order(T0 + MINUTE, "release", rule="flood"), "release not_blocked"),
        (blocked().order(T0 + MINUTE, "release", until=T0), "release over"),
        (Traffic().order(T0, "block"), "block no_end"),
        (Traffic().order(T0, "block", until=T0), "block over"),
        (Traffic().order(T0, "block", "112", until=T0 + DAY), "block no_number"),
        (Traffic().order(T0, "block", "anonymous", until=T0 + DAY), "block no_number"),
        (Traffic().order(T0, "allow"), "allow no_end"),
        (Traffic().order(T0, "disallow"), "disallow not_allowed"),
        (Traffic().order(T0, "approve"), "approve not_in_review"),
        (Traffic().order(T0, "reject"), "reject not_in_review"),
        (Traffic().order(T0, "register"), "register no_end"),
        (Traffic().order(T0, "register", until=T0), "register over"),
        (Traffic().order(T0, "register", until=T0 + HOUR, since=T0 + HOUR), "register over"),
        (Traffic().order(T0, "register", "ACME", until=T0 + HOUR), "register no_number"),
        (Traffic().order(T0, "unregister"), "unregister not_registered"),
        (Traffic().order(T0, "allow", until=T0 + DAY).order(T0, "block", until=T0 + HOUR), "block allow_listed"),
        (Traffic().order(T0, "block", until=T0 + DAY).order(T0, "block", until=T0 + DAY), "block no_change"),
        (Traffic().order(T0, "block", OTHER, until=T0 + DAY).order(T0 - 2 * HOUR, "release", OTHER), "release late"),
    ],
)  # fmt: skip
def test_a_step_that_cannot_be_taken_is_refused_with_the_reason_and_changes_nothing(traffic: Traffic, why: str) -> None:
    seen = traffic.run()
    assert seen.history()[-1] == f"refused {why}"
    before = Traffic()
    before.lines = traffic.lines[:-1]
    assert [r.value for r in before.run().records] == [r.value for r in seen.records][:-1]


def test_an_order_that_comes_twice_is_obeyed_once() -> None:
    traffic = blocked().order(T0 + MINUTE, "release", until=T0 + DAY, id="twice")
    again = blocked().order(T0 + MINUTE, "release", until=T0 + DAY, id="twice")
    again.order(T0 + 2 * MINUTE, "release", until=T0 + DAY, id="twice")
    assert again.run().history() == traffic.run().history()


def test_an_order_with_a_flaw_is_a_dead_letter() -> None:
    seen = blocked().order(T0 + MINUTE, "release", operator="").run()
    assert seen.history() == ["opened burst"]
    assert DEAD_LETTERS in [r.topic for r in seen.records]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_where_epochs_end_changes_no_output(data: st.DataObject) -> None:
    traffic = Traffic()
    at = T0
    for _ in range(data.draw(st.integers(1, 14))):
        at += data.draw(st.sampled_from([0, 1000, MINUTE, 40 * MINUTE, DAY]))
        number = data.draw(st.sampled_from([NUMBER, OTHER]))
        what = data.draw(st.sampled_from(["messages", *ACTIONS]))
        if what == "messages":
            traffic.messages(at, 3, number, verified=data.draw(st.sampled_from(["full", "none"])))
            continue
        more = {"until": at + data.draw(st.sampled_from([1, HOUR, 2 * DAY]))} if data.draw(st.booleans()) else {}
        if data.draw(st.booleans()):
            more["rule"] = data.draw(st.sampled_from(["burst", "doubtful", "operator"]))
        traffic.order(at, what, number, **more)
    one, few, all_ = ([(r.topic, r.key, r.value) for r in traffic.run(size).records] for size in (1, 3, 10_000))
    assert one == few == all_
