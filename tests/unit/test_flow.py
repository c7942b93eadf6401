"""Outputs leave in the order in which the engine returned them, whichever caller asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from rules.load import load_text
from rules.registry import Entry, Registry
from schemas.feed_settings import FeedBook, FeedSettings
from schemas.registry import ALLOWED
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, LEDGER, MESSAGE_RELAY, REVIEW_QUEUE
from streams.delivery.flow import Flow
from streams.delivery.orders import Orders
from streams.delivery.outbox import Outbox
from streams.delivery.partitions import Partitions
from streams.engine.engine import Engine
from streams.holds.ledger_keys import pause_key, registry_key
from streams.holds.pause import Pause
from streams.ingest.epoch import Epoch, RawBatch
from streams.kafka.ownership import Start
from streams.runtime.metrics import Metrics
from streams.state.restore import Restored
from streams.state.snapshots import Snapshots
from streams.worker.agent_pipeline import Lineup

T = 1_794_798_000_000
HOUR = 3_600_000
PLACE = MESSAGE_RELAY, 0
RULES = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: every-message
    summary: any message
    when: rate >= 1
    then: {block: [messages], directions: [outgoing], for: 1m}
    mode: enforce
"""


class DecodesAtOnce:
    """The channel of a decoding agent, and an expiry timer that is due as soon as the last part has been stepped."""

    def __init__(self, lineup: Lineup, expire: Any) -> None:
        self._lineup, self._expire = lineup, expire

    async def send(self, value: Any) -> None:
        self._lineup.gather(self._lineup.part(value, self._lineup.decoded(value.raw)))
        self._expire()


class NothingToRestore:
    """The Restore of a partition without records and snapshots."""

    def __init__(self, **_: Any) -> None:
        self.result = Restored(None, False, None, None, None, ())

    async def pieces(self) -> AsyncIterator[None]:
        return
        yield


def epoch(offset: int, at_ms: int) -> Epoch:
    record = {"message_id": f"m{offset}", "at": at_ms, "sender": "+821011110001", "recipient": "+821099900001"}
    value = json.dumps(record | {"verified": "full"}).encode()
    one = np.array([0])
    raw = RawBatch(
        MESSAGE_RELAY, one, one.astype(np.int32), np.array([offset]), np.array([at_ms]), [value]
    )  # fmt: skip
    return Epoch([raw], 1)


@pytest.mark.parametrize("holds", ["opened after its end", "extended after its end"])
def test_a_hold_that_is_over_when_it_is_counted_opens_before_it_expires(holds: str) -> None:
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    times = [T] if holds == "opened after its end" else [T, T + HOUR]
    records = asyncio.run(counted(engine, times, now_ms=T + 24 * HOUR))
    for topic in (BLOCK_HISTORY, BLOCK_EVENTS):
        changes = [json.loads(r.value)["change"] for r in records if r.topic == topic and r.value]
        assert changes == ["opened", "expired"] * len(times), topic
    states = [json.loads(r.value)["holds"][0]["active"] for r in records if r.topic == LEDGER and r.value]
    assert states == [True, False] * len(times)


async def counted(engine: Engine, times: list[int], now_ms: int) -> list[Any]:
    """The outputs after a message at each of these times, with an expiry timer that never waits its turn."""
    flow, outbox, lineup, _ = await assigned(engine)
    lineup.connect({MESSAGE_RELAY: DecodesAtOnce(lineup, partial(flow.expire, now_ms))})
    for offset, at_ms in enumerate(times):
        await flow.process(epoch(offset, at_ms))
    return outbox.take()


def test_a_pause_that_comes_between_two_assignments_is_told_to_the_partitions_that_come_back() -> None:
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    assert asyncio.run(paused_between(engine)) == [pause_key("g")]


async def paused_between(engine: Engine) -> list[bytes | None]:
    """Keys of the ledger's rows that are to leave once partition 0 has come back."""
    flow, outbox, _, orders = await assigned(engine)
    flow.partitions.revoked(is_exact=True)
    orders.adopt_pause(Pause("p1", True, T))
    await flow.commit()
    await flow.assigned(Start({PLACE: 0}, frozenset(), {PLACE: ""}, []))
    await flow.commit()
    return [record.key for record in outbox.take() if record.topic == LEDGER]


@pytest.mark.parametrize("switched", [False, True])
def test_what_was_decoded_ahead_of_a_switch_counts_under_the_settings_after_it(switched: bool) -> None:
    """The feed vouches for nothing any more: of records that wait, decoded, the number goes to review."""
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    outputs = asyncio.run(decoded_before(engine, switched))
    assert outputs == [REVIEW_QUEUE if switched else BLOCK_EVENTS]


async def decoded_before(engine: Engine, switched: bool) -> list[str]:
    """Where a message leads to that was decoded before settings of its feed were in force, if they are."""
    flow, outbox, lineup, orders = await assigned(engine)
    lineup.connect({MESSAGE_RELAY: DecodesAtOnce(lineup, lambda: None)})
    waiting = epoch(0, T)
    lineup.decode_ahead(waiting)
    (raw,) = waiting.batches
    assert raw.ahead is not None
    raw.values = []  # only what was decoded can be counted
    if switched:
        raw.values = epoch(0, T).batches[0].values
        orders.adopt_rules(load_text(RULES), FeedBook({MESSAGE_RELAY: FeedSettings("none")}, "new"))
        await flow.commit()
    await flow.process(waiting)
    return [record.topic for record in outbox.take() if record.topic in (BLOCK_EVENTS, REVIEW_QUEUE)]


def test_what_was_decoded_ahead_waits_for_nobody_who_decodes() -> None:
    """The fetching thread may be at the next epoch."""
    engine = Engine(load_text(RULES))
    lineup = Lineup(lambda: engine, lambda _: None)
    waiting = epoch(0, T)
    lineup.decode_ahead(waiting)
    found: list[Any] = []
    taking = threading.Thread(target=lambda: found.extend(lineup.decoded(waiting.batches[0])), daemon=True)
    with lineup._decoding:
        taking.start()
        taking.join(10)
        assert [part.topic for part in found] == [MESSAGE_RELAY]


def registry(*numbers: int) -> Registry:
    return Registry.of([Entry(ALLOWED, 0, number, 0, T + 24 * HOUR, "o", "r") for number in numbers])


def test_entries_take_effect_between_two_commits_and_the_ledger_names_their_version() -> None:
    """What was counted before is committed as it was decided; the row leaves with what is decided by the entries."""
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    before, after = asyncio.run(allowed_between(engine))
    assert [r.topic for r in before if r.topic in (BLOCK_EVENTS, REVIEW_QUEUE)] == [BLOCK_EVENTS]
    assert registry_key("g") not in [r.key for r in before]
    assert [r.topic for r in after if r.topic in (BLOCK_EVENTS, REVIEW_QUEUE)] == [REVIEW_QUEUE]
    (row,) = [r for r in after if r.key == registry_key("g")]
    assert (row.topic, row.partition, row.value) == (LEDGER, 0, engine.registry.version.encode())
    assert len(engine.registry.version) == 12


async def allowed_between(engine: Engine) -> tuple[list[Any], list[Any]]:
    """The records of two commits; an entry is told while the first is not yet begun."""
    flow, outbox, lineup, orders = await assigned(engine)
    lineup.connect({MESSAGE_RELAY: DecodesAtOnce(lineup, lambda: None)})
    orders.adopt_registry(registry(821011110001))
    await flow.process(epoch(0, T))
    before = outbox.take()
    await flow.commit()
    await flow.process(epoch(1, T + HOUR))
    return before, outbox.take()


def test_a_worker_that_begins_by_entries_tells_them_to_each_partition_that_goes_live() -> None:
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    outbox = Outbox(engine, Metrics())
    orders = Orders(outbox, "g")
    orders.adopt_registry(registry(821011110001), at_once=True)
    version = engine.registry.version
    for known, told in ((None, True), ("another", True), (version, False)):
        orders.tell(0, engine.rules.version, None, known)
        assert [r.key for r in outbox.take()] == [registry_key("g")] * told
    orders.adopt_registry(registry())
    orders.switch_registry({0})
    assert [(r.key, r.value) for r in outbox.take()] == [(registry_key("g"), None)], "no entry is left"


def test_other_rules_keep_the_entries_that_were_told_and_bring_those_of_their_files() -> None:
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    outbox = Outbox(engine, Metrics())
    orders = Orders(outbox, "g")
    orders.adopt_registry(registry(821011110001), at_once=True)
    told = engine.registry.version
    orders.adopt_rules(replace(load_text(RULES), registry=registry(821011110002)))
    orders.switch_rules({0})
    now = outbox.engine.registry
    assert [(r.key, r.value) for r in outbox.take()][1:] == [(registry_key("g"), now.version.encode())]
    assert now.version not in ("", told)
    numbers, at = np.array([821011110001, 821011110002, 821011110003]), np.full(3, T)
    assert (now.find(ALLOWED, numbers, at) >= 0).tolist() == [True, True, False]
    assert [now.entry(i).key for i in now.find(ALLOWED, numbers[:2], at[:2]).tolist()] == numbers[:2].tolist()


class Commits:
    """A delivery and its thread; notes what was committed, and when."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.done: list[tuple[float, list[Any]]] = []
        self._records: list[Any] = []
        self.is_taken_away = False  # by a rebalance

    async def deliver(self, work: Callable[[], Any]) -> Any:
        return work()

    def produce(self, records: list[Any]) -> None:
        self._records += records

    def commit(self, offsets: Any) -> bool:
        self.done.append((self._now(), self._records))
        self._records = []
        return not self.is_taken_away


def test_a_block_does_not_wait_for_the_interval_and_commits_keep_a_distance() -> None:
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    assert asyncio.run(hurried(engine)) == [0.06, 0.12, 0.33]


async def hurried(engine: Engine) -> list[float]:
    """When commits were made of what was counted at times that this test says, in seconds."""
    now_s = 0.0

    def now() -> float:
        return now_s

    commits: Any = Commits(now)
    flow, _, lineup, _ = await assigned(engine, commits, now)
    lineup.connect({MESSAGE_RELAY: DecodesAtOnce(lineup, lambda: None)})
    flow._heartbeat_at = 100.0
    # (now, the time of a message if there is one): the third changes no hold, so nobody waits for it.
    steps = [(0.06, T), (0.07, T + HOUR), (0.1, None), (0.12, None), (0.2, T + HOUR + 1), (0.31, None), (0.33, None)]
    for offset, (at_s, at_ms) in enumerate(steps):
        now_s = at_s
        if at_ms is not None:
            await flow.process(epoch(offset, at_ms))
        await flow.commit_if_due()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return [at_s for at_s, _ in commits.done]


@pytest.mark.parametrize("is_taken_away", [False, True])
def test_the_wait_for_a_block_ends_with_the_commit_that_shows_it(is_taken_away: bool) -> None:
    engine = Engine(load_text(RULES))
    engine.partitions = 1
    commits: Any = Commits(lambda: 0.0)
    metrics = asyncio.run(opened(engine, commits, is_taken_away))
    asked = {"topic": MESSAGE_RELAY, "change": "opened", "since": "record"}
    assert metrics.value("block_visible_seconds_count", **asked) == (0 if is_taken_away else 1)
    assert metrics.value("block_visible_seconds_sum", **asked) == (0 if is_taken_away else 5)


async def opened(engine: Engine, commits: Commits, is_taken_away: bool) -> Metrics:
    flow, outbox, lineup, _ = await assigned(engine, commits)
    lineup.connect({MESSAGE_RELAY: DecodesAtOnce(lineup, lambda: None)})
    await flow.process(epoch(0, T))
    assert flow._metrics.value("block_visible_seconds_count") == 0
    commits.is_taken_away = is_taken_away
    await flow.commit()
    assert outbox.take_awaited() == []
    return flow._metrics


async def assigned(
    engine: Engine, commits: Any = None, now: Callable[[], float] = lambda: 0.0
) -> tuple[Flow, Outbox, Lineup, Orders]:
    """A flow that has partition 0 and nothing to commit."""
    metrics = Metrics()
    outbox = Outbox(engine, metrics)
    orders = Orders(outbox, "g")
    lineup = Lineup(lambda: outbox.engine, outbox.step)
    snapshots = Snapshots(
        lambda: outbox.engine, None, group="g", interval_ms=1, monotonic=lambda: 0.0, wall_ms=lambda: T,
        new_id=lambda: "s", topic_ids={},
    )  # fmt: skip
    restore: Any = NothingToRestore
    partitions = Partitions(
        outbox, orders, snapshots, restore, note=str, resume=lambda places: None, ready=lambda: None,
        monotonic=lambda: 0.0,
    )  # fmt: skip
    flow = Flow(
        outbox, orders, partitions, lineup.count, commits, snapshots, metrics, commits,
        worker="w", group="g", commit_interval_ms=200, check=lambda: None, monotonic=now, wall_ms=lambda: T + 5000,
    )  # fmt: skip
    await flow.assigned(Start({PLACE: 0}, frozenset({PLACE}), {PLACE: ""}, []))
    await partitions.restore_some()
    outbox.take()  # what tells that the partition has begun
    return flow, outbox, lineup, orders
