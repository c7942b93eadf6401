"""Fault 27 of docs/reliability.md: operators release, block, allow, pause and reload while workers die and partitions
move. Each word takes effect once, or is refused."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter, defaultdict
from typing import Any

import orjson
import pytest
from confluent_kafka import TopicPartition

from schemas.topics import BLOCK_HISTORY, CONTROL, LEDGER
from streams.holds.ledger_keys import pause_key, rules_key
from streams.kafka.settings import KafkaSettings
from streams.operators.ordering import GivenOrder, produce
from tests import invariants
from tests.background import Background
from tests.faults.kills import COMMIT, SNAPSHOT
from tests.faults.scene import LONG_S, Scene
from tests.faults.test_groups import partitions_of
from tests.faults.traffic import DAY, RULES, five_hours_ago, traffic
from tests.reference.orders import ACTIONS
from tests.reference.reference import Line, Reference

NUMBERS = [f"+8210777700{n:02d}" for n in range(12)]  # of whom nothing is heard but orders
KILLS = [COMMIT[1], COMMIT[4], COMMIT[8], COMMIT[9], SNAPSHOT[3]]


class Desk(Background):
    """Operators who go on giving orders."""

    pause_s = 0.2

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.given: list[GivenOrder] = []
        self._scene, self._random = scene, random.Random(scene.seed)
        self._settings = KafkaSettings(scene.broker.bootstrap)

    def do(self) -> None:
        orders = [self._order() for _ in range(4)]
        produce(self._settings, orders, self._scene.partitions)
        if self._random.random() < 0.3:  # somebody sees no answer and sends the same again
            produce(self._settings, orders[:1], self._scene.partitions)
        self.given += orders

    def _order(self) -> GivenOrder:
        draw, now = self._random, time.time_ns() // 1_000_000
        action = draw.choice(("block", "block", "propose", *ACTIONS))
        until = now + draw.choice((1, 2, 3)) * DAY if action in ("block", "propose", "allow", "release") else None
        return GivenOrder(uuid.uuid4().hex, now, draw.choice(NUMBERS), action, "kim", "a reason", None, until)


@pytest.mark.timeout(600)
def test_each_operators_word_takes_effect_once_while_workers_die_and_partitions_move(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 1_500)
    changed = RULES.replace("five messages a minute", "five messages within a minute")
    with scene.feeding(records, per_second=150), Desk(scene) as desk:
        other = scene.start_named(member=2)
        for i, kill_at in enumerate(KILLS):
            worker = scene.start_named(kill_at=kill_at)
            assert worker.wait(LONG_S) == -9, f"{kill_at} was not reached in order\n{worker.log}"
            scene.pause(i % 2 == 0)
            scene.reload(changed if i % 2 == 0 else RULES)
        worker = scene.start_named()
        scene.wait_until(lambda: bool(partitions_of(worker)), "it takes part", worker)
        scene.stop(other)
        given = len(desk.given)
        scene.wait_until(lambda: len(desk.given) > given + 20, "orders go on", worker)
    scene.pause(False)
    scene.wait_until(lambda: lag_of_orders(scene) == 0, "every order is read", worker)
    scene.wait_caught_up(worker)
    scene.wait_until(lambda: notes(scene, pause_key(scene.group))[-1:] == [False], "the last word is obeyed", worker)
    scene.stop(worker)
    check(scene, desk.given, changed)


def check(scene: Scene, given: list[GivenOrder], changed: str) -> None:
    seen = {topic: [(m.key(), m.value()) for m in scene.read(topic)] for topic in invariants.TOPICS}
    invariants.check(seen)
    rows = [orjson.loads(value) for _, value in seen[BLOCK_HISTORY] if value is not None]
    answers = Counter(row["order"]["id"] for row in rows if "hold" not in row)
    assert answers == Counter(order.id for order in given), "each order is answered once, also one that came twice"

    reference = Reference(scene.rules, also=(CONTROL,))
    reference.run(Line(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.value()) for m in scene.read(CONTROL))
    told = [orjson.loads(p.value or b"") for p in reference.out if p.topic == BLOCK_HISTORY]
    assert by_number(rows) == by_number(told)
    assert {row["change"] for row in told} >= {"ordered", "refused", "opened", "released", "suspended"}
    versions = {m.value() for m in scene.read(LEDGER) if m.key() == rules_key(scene.group)}
    assert len(versions) == 2, "both rule files were in force"


def by_number(rows: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    """What the history says of each number of the desk, in order. Ends are noticed by wall time; rules change names."""
    found = defaultdict(list)
    for row in rows:
        if row["number"] in NUMBERS and row["change"] != "expired":
            hold = row.get("hold") or {}
            found[row["number"]].append(
                (row["event_id"], row["change"], row["order"], row.get("why"), hold.get("block_id"), hold.get("until"))
            )
    return found


def lag_of_orders(scene: Scene) -> int:
    places = [(CONTROL, partition) for partition in range(scene.partitions)]
    committed = scene._committed(places)
    ends = {p: scene._ask(lambda c, p=p: c.get_watermark_offsets(TopicPartition(*p), timeout=5))[1] for p in places}
    return sum(end - committed[place] for place, end in ends.items())


def notes(scene: Scene, key: bytes) -> list[bool]:
    """Whether new blocks are paused, by each partition's last note; sorted, so that the last is True if one is."""
    last = {m.partition(): orjson.loads(m.value()) for m in scene.read(LEDGER) if m.key() == key and m.value()}
    assert len(last) <= scene.partitions
    return sorted(note["paused"] for note in last.values()) if len(last) == scene.partitions else []
