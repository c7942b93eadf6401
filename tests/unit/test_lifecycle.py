"""The lifecycle of blocks as a state machine: rules, operators, wall time and restarts in any order.

One engine never restarts; its twin is born again from its image and its ledger rows whenever the machine says so. They
must tell the same, and what they tell must add up (tests.invariants)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rules.load import load_text
from schemas.topics import CONTROL, LEDGER, MESSAGE_RELAY
from streams.engine.contract import Outcome
from streams.engine.engine import Engine
from streams.holds.firings import ENFORCE, REVIEW
from streams.holds.hold import Change
from streams.holds.output import FrozenChange
from streams.holds.steps import ACTIVE, RULE, STEPS, TIME, WAITING
from streams.ingest.epoch import RawBatch
from tests import invariants
from tests.reference.orders import ACTIONS

T0 = 1_794_798_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NUMBERS = ("+821011110001", "+821011110002")
BYSTANDER, BYSTANDER_TOO = "+821011110003", "+821011110004"
RULES = load_text(
    """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - name: burst
    summary: messages
    when: sent >= 2
    then: {block: [messages], directions: [outgoing], for: 2d}
    mode: enforce
  - name: doubtful
    summary: for people to look at
    when: sent >= 2
    then: {block: [messages], directions: [incoming], for: 5h}
    mode: review
  - name: impatient
    summary: for people to look at soon
    when: sent >= 2
    then: {block: [calls], directions: [outgoing], for: 4h}
    mode: review
    unreviewed: {then: block, after: 1h}
"""
)
TELLS = {REVIEW: ("taken", "approved", "rejected", "unreviewed"), ENFORCE: ("released", "suspended")}  # of which lane


def allowed_steps() -> set[tuple[str, int, str]]:
    """(who takes it, lane, change), by the table of steps."""
    found = set()
    for step in STEPS:
        for change in step.changes:
            lane = next((lane for lane, changes in TELLS.items() if change in changes), None)
            if lane is None:
                is_waiting = step.after in WAITING or (step.before in WAITING and step.after != ACTIVE)
                lane = REVIEW if is_waiting else ENFORCE
            found.add((step.by, lane, change))
    return found


ALLOWED = allowed_steps()


class Lifecycle(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.steady, self.twin = self._engine(), self._engine()
        self._watch(self.steady)
        self.now_ms, self.count = T0, 0
        self.seen: dict[str, list[tuple[bytes | None, bytes | None]]] = {topic: [] for topic in invariants.TOPICS}

    def _engine(self) -> Engine:
        engine = Engine(RULES, also=(CONTROL,))
        engine.partitions = 1
        engine.begin(0, MESSAGE_RELAY, complete=True)
        engine.begin(0, CONTROL, complete=True)
        return engine

    def _watch(self, engine: Engine) -> None:
        """Looks at every change whether the table of steps has it."""
        freeze = engine._output.freeze

        def watched(change: Change) -> FrozenChange:
            by = change.order.action if change.order else RULE if change.firing >= 0 else TIME
            assert (by, change.hold.lane, change.change) in ALLOWED
            return freeze(change)

        engine._output.freeze = watched  # type: ignore[method-assign]

    @rule(number=st.sampled_from(NUMBERS), count=st.integers(1, 3), verified=st.sampled_from(["full", "full", "none"]))
    def send(self, number: str, count: int, verified: str) -> None:
        for _ in range(count):
            self.send_one(number, verified)

    def send_one(self, number: str, verified: str) -> None:
        self.now_ms += 1000
        self.count += 1
        told = {"message_id": f"m{self.count}", "at": self.now_ms, "sender": number, "recipient": "+821099990001"}
        self._take(MESSAGE_RELAY, [told | {"verified": verified}])

    @rule(
        number=st.sampled_from(NUMBERS),
        action=st.sampled_from(ACTIONS),
        lasts=st.sampled_from([None, 1, HOUR, 3 * DAY]),
        of=st.sampled_from([None, None, "burst", "operator"]),
        ago=st.sampled_from([0, 0, MINUTE]),
    )
    def order(self, number: str, action: str, lasts: int | None, of: str | None, ago: int) -> None:
        self.now_ms += 1000
        self.count += 1
        at = self.now_ms - ago
        told: dict[str, Any] = {"id": f"o{self.count}", "at": at, "number": number, "action": action, "operator": "kim"}
        told |= {"reason": "a reason"} | ({} if lasts is None else {"until": at + lasts})
        self._take(CONTROL, [told | ({} if of is None else {"rule": of})])

    @rule(passes=st.sampled_from([2 * HOUR, 6 * HOUR, 3 * DAY, 9 * DAY]))
    def wait(self, passes: int) -> None:
        """Ends are noticed, and numbers forgotten. A bystander's messages move the clocks along."""
        self.now_ms += passes
        self.send_one(BYSTANDER, "full")
        self.send_one(BYSTANDER_TOO, "none")
        self._told(self.steady.expire(self.now_ms), self.twin.expire(self.now_ms))

    @rule()
    def restart(self) -> None:
        born = self._engine()
        for piece in self.twin.image(0, whole=True):
            born.load(0, piece)
        born.load_ledger([(key or b"", value) for key, value in self.seen[LEDGER]])
        assert born.digest(0) == self.twin.digest(0)
        self.twin = born

    @invariant()
    def what_was_told_adds_up(self) -> None:
        invariants.check(self.seen)

    def _take(self, topic: str, records: list[dict[str, Any]]) -> None:
        values = [json.dumps(record).encode() for record in records]
        n = len(values)
        offsets = np.arange(self.count - n, self.count)
        timestamps = np.full(n, self.now_ms)
        raw = RawBatch(topic, np.arange(n), np.zeros(n, np.int32), offsets, timestamps, values)
        self._told(*(engine.step([engine.decoders[topic].decode(raw)]) for engine in (self.steady, self.twin)))

    def _told(self, steady: Outcome, twin: Outcome) -> None:
        assert (steady.records, steady.ledger) == (twin.records, twin.ledger)
        for record in (*steady.records, *steady.ledger):
            self.seen[record.topic].append((record.key, record.value))
        assert self.steady.digest(0) == self.twin.digest(0)


Lifecycle.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestLifecycle = Lifecycle.TestCase
