"""The bound on holds beside enforcement: which one makes way, and what is not opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from rules.model import MODES
from schemas import topics
from streams.engine.engine import Engine
from streams.holds import quota
from streams.holds.firings import ENFORCE, REVIEW, SHADOW
from streams.holds.ledger import Ledger
from streams.ingest.epoch import OutRecord
from tests.reference.rule_files import RULE_FILES
from tests.reference.small_traffic import MONDAY_0859_MS
from tests.unit.test_growth import PARTITIONS, Record, cut, decoded
from tests.unit.test_ledger import DAY, HOUR, RULES, Firing, T, firings

BESIDE = [REVIEW, SHADOW]
Told = tuple[str, int, int, int]  # change, number, from, until


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "HOLDS_MAX", 3)


def told(ledger: Ledger, listed: list[Firing], expire: bool = False) -> list[Told]:
    changes = ledger.apply(firings(listed), expire)
    return [(c.change, c.hold.number, c.hold.from_ms, c.hold.until_ms) for c in changes]


def opened(*numbers: int, at: int = T, **same: Any) -> list[Firing]:
    return [Firing(at=at + n, line=n, number=number, **same) for n, number in enumerate(numbers)]


@pytest.mark.parametrize("lane", BESIDE)
def test_the_hold_that_ends_first_makes_way_once_the_new_one_ends_later_by_what_an_extension_gains(lane: int) -> None:
    ledger, gain = Ledger(RULES), DAY // 20
    told(ledger, opened(1, 2, 3, lane=lane))
    assert told(ledger, opened(4, at=T + gain - 1, lane=lane)) == []
    assert told(ledger, opened(4, at=T + gain, lane=lane)) == [
        ("expired", 1, T, T + DAY),
        ("opened", 4, T + gain, T + gain + DAY),
    ]
    assert len(ledger) == 3
    mode = MODES[lane]
    assert ledger.at_bound() == {("burst", mode, "not_opened"): 1, ("burst", mode, "given_up"): 1}
    assert ledger.at_bound() == {}


def test_a_number_that_goes_on_firing_keeps_its_hold() -> None:
    ledger = Ledger(RULES)
    told(ledger, opened(1, 2, 3, lane=REVIEW))
    told(ledger, opened(1, at=T + 2 * HOUR, lane=REVIEW))
    assert told(ledger, opened(4, at=T + 3 * HOUR, lane=REVIEW))[0] == ("expired", 2, T + 1, T + 1 + DAY)


def test_an_enforced_hold_never_makes_way_and_has_no_bound() -> None:
    ledger = Ledger(RULES)
    assert len(told(ledger, opened(*range(1, 21)))) == 20
    assert len(told(ledger, opened(*range(1, 4), lane=REVIEW))) == 3
    assert [c[:2] for c in told(ledger, opened(9, at=T + DAY, lane=REVIEW))] == [("expired", 1), ("opened", 9)]
    assert len(ledger) == 23


def test_rules_lanes_and_partitions_have_a_bound_each() -> None:
    for same in ({"rule": 1}, {"lane": SHADOW}, {"partition": 1}):
        ledger = Ledger(RULES)
        told(ledger, opened(1, 2, 3, lane=REVIEW))
        assert len(told(ledger, opened(4, 5, 6, **{"lane": REVIEW} | same))) == 3
        assert told(ledger, opened(7, 8, **{"lane": REVIEW} | same)) == []


def test_a_hold_that_has_ended_makes_way_without_a_word() -> None:
    ledger = Ledger(RULES)
    told(ledger, opened(1, 2, 3, lane=REVIEW))
    assert len(list(ledger.expire(T + DAY))) == 1
    assert told(ledger, opened(4, at=T + DAY, lane=REVIEW)) == [("opened", 4, T + DAY, T + 2 * DAY)]
    assert ledger.touched() == [1, 2, 3, 4]
    assert ledger.row(1) is None
    assert ledger.at_bound() == {}


def test_rows_that_knew_no_bound_shrink_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(RULES)
    with monkeypatch.context() as many:
        many.setattr(quota, "HOLDS_MAX", 100)
        told(ledger, opened(*range(1, 11), lane=REVIEW))
    assert told(ledger, opened(11, at=T + 100, lane=REVIEW)) == []
    changes = told(ledger, opened(11, at=T + 2 * HOUR, lane=REVIEW))
    assert [c[:2] for c in changes] == [*(("expired", n) for n in range(1, 9)), ("opened", 11)]
    assert len(ledger) == 3


def test_what_waits_for_its_time_does_not_grow_with_extensions_nor_with_partitions_that_come_and_go() -> None:
    ledger = Ledger(RULES)
    numbers = [821011110000 + n for n in range(40)]
    for hours in range(0, 2000, 2):
        told(ledger, [Firing(T + hours * HOUR, n, number=number) for n, number in enumerate(numbers)])
        list(ledger.expire(T + hours * HOUR - 365 * DAY))
    assert ledger.waiting <= 2 * (1024 + 2 * 40)
    for hold in ledger._holds.values():
        hold.content = b'{"rules_version":"","directions":[],"actions":[],"reason":"","evidence":[]}'
    rows = [(b"+%d" % number, ledger.row(number)) for number in numbers]
    for _ in range(100):
        ledger.drop(numbers)
        ledger.load(rows)
    assert ledger.waiting <= 2 * (1024 + 2 * 40)
    ends = [(c.hold.until_ms, c.hold.number) for c in ledger.expire(T + 1000 * DAY)]
    assert ends == sorted(ends)
    assert [number for _, number in ends] == numbers
    assert list(ledger.bury(T + 2000 * DAY)) == numbers


# ------------------------------------------------------------------------------------------ against a plain reading


class Plain:
    """The ledger and its bound as the documents say it, one firing at a time."""

    def __init__(self) -> None:
        self.holds: dict[tuple[int, int, int], list[int]] = {}  # from, until, active, partition
        self.at_bound: Counter[tuple[str, str, str]] = Counter()

    def fire(self, f: Firing) -> Iterator[Told]:
        key, until, gain = (f.number, f.rule, f.lane), f.at + f.period, max(HOUR, f.period * 0.05)
        hold = self.holds.get(key)
        if hold is None and f.lane != ENFORCE:
            beside = {k: h for k, h in self.holds.items() if k[1:] == key[1:] and h[3] == f.partition}
            if len(beside) >= 3:
                first = min(beside, key=lambda k: (beside[k][1], k))
                if until - beside[first][1] < gain:
                    self.at_bound[RULES[f.rule], MODES[f.lane], "not_opened"] += 1
                    return
                from_ms, until_ms, active, _ = self.holds.pop(first)
                if active:
                    self.at_bound[RULES[f.rule], MODES[f.lane], "given_up"] += 1
                    yield "expired", first[0], from_ms, until_ms
        if hold is None or f.at >= hold[1]:
            self.holds[key] = [f.at, until, True, hold[3] if hold else f.partition]
            yield "opened", f.number, f.at, until
        elif f.at >= hold[0] and until - hold[1] >= gain:
            hold[1:3] = until, True
            yield "extended", f.number, hold[0], until

    def expire(self, clock: int) -> Iterator[Told]:
        for until, *key in sorted((h[1], *key) for key, h in self.holds.items() if h[2] and h[1] <= clock):
            hold = self.holds[tuple(key)]  # type: ignore[index]
            hold[2] = False
            yield "unreviewed" if key[2] == REVIEW else "expired", key[0], hold[0], until


FIRING = st.builds(
    Firing,
    at=st.integers(-3, 1),  # behind the clock, in hours
    line=st.integers(0, 2),  # how far the clock goes on, in hours
    number=st.integers(1, 7),
    rule=st.sampled_from([0, 0, 0, 1]),
    lane=st.sampled_from([REVIEW, REVIEW, REVIEW, SHADOW, ENFORCE]),
)
PERIODS = [40 * HOUR, HOUR // 2]


def in_order(steps: list[Firing]) -> list[Firing]:
    """Each a record of its own, on its number's partition."""
    clock, out = T, []
    for line, step in enumerate(steps):
        clock += step.line * HOUR
        same = {"at": clock + step.at * HOUR, "period": PERIODS[step.rule], "partition": int(step.number > 6)}
        out.append(replace(step, line=line, clock_before=clock, **same))
    return out


@given(st.lists(FIRING, min_size=20, max_size=60), st.data())
@settings(max_examples=300, deadline=None)
def test_any_firings_cut_into_epochs_anywhere_change_what_a_plain_reading_changes(
    steps: list[Firing], data: st.DataObject
) -> None:
    listed, plain, want = in_order(steps), Plain(), list[Told]()
    for firing in listed:
        want += plain.expire(firing.clock_before)
        want += plain.fire(firing)
    ledger, got, counts, done = Ledger(RULES), list[Told](), Counter[tuple[str, str, str]](), 0
    while done < len(listed):
        size = data.draw(st.integers(1, len(listed) - done))
        got += told(ledger, listed[done : done + size], expire=True)
        counts += ledger.at_bound()
        done += size
    assert got == want
    assert counts == plain.at_bound


@given(st.lists(FIRING, max_size=60), st.lists(st.integers(0, 90), max_size=60))
@settings(max_examples=200, deadline=None)
def test_when_ends_are_noticed_and_forgotten_changes_no_opening(steps: list[Firing], noticed: list[int]) -> None:
    silent, live = Ledger(RULES), Ledger(RULES)
    for firing, now in zip(in_order(steps), [*noticed, *[0] * 60], strict=False):
        list(live.expire(T + now * HOUR))
        list(live.bury(firing.at - HOUR))
        one, other = (told(ledger, [firing]) for ledger in (silent, live))
        notices = ("expired", "unreviewed")
        assert [c for c in one if c[0] not in notices] == [c for c in other if c[0] not in notices]


# ---------------------------------------------------------------------------------------------------- in the engine


def forged(numbers: range, at: int, verified: str = "none") -> list[Record]:
    """Each sends what makes several rules fire."""
    out = []
    for number in numbers:
        for i in range(6):
            told = {"message_id": f"{number}-{i}", "at": at + i, "sender": f"+8210{number:08}", "recipient": f"+821{i}"}
            out.append((at + i, orjson.dumps(told | {"verified": verified, "origin": "international", "text": f"{i}"})))
        at += 1000
    return out


def engine_of() -> Engine:
    engine = Engine(load_text(RULE_FILES["messages"], "messages.yaml"), expire_by_clock=True)
    engine.partitions = PARTITIONS
    return engine


def run(engine: Engine, epochs: list[list[Record]], size: int) -> tuple[list[OutRecord], dict[bytes, bytes | None]]:
    out, rows = list[OutRecord](), dict[bytes, bytes | None]()
    for records in cut(epochs, size):
        outcome = engine.step(decoded(engine, topics.MESSAGE_RELAY, records))
        out += outcome.records
        rows.update((row.key or b"", row.value) for row in outcome.ledger)
    return out, rows


FLOOD = [forged(range(n * 30, (n + 1) * 30), MONDAY_0859_MS + n * 50 * 60_000) for n in range(60)]


TOGETHER = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1m}
rules:
"""


def test_a_record_makes_one_event_although_a_hold_makes_way_in_the_middle_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quota, "HOLDS_MAX", 1)
    rules = [("before", "enforce"), ("beside", "review"), ("behind", "enforce")]
    then = "then: {block: [calls], directions: [outgoing], for: 2h}"
    text = [f"  - {{name: {name}, summary: s, when: sent >= 1, {then}, mode: {mode}}}\n" for name, mode in rules]
    engine = Engine(load_text(TOGETHER + "".join(text), "together.yaml"))
    told = {"recipient": "+82109", "verified": "full"}
    records = [
        (at, orjson.dumps(told | {"message_id": f"{number}", "at": at, "sender": f"+8210{number:08}"}))
        for number, at in ((1, MONDAY_0859_MS), (6, MONDAY_0859_MS + HOUR))  # of one partition
    ]
    out = engine.step(decoded(engine, topics.MESSAGE_RELAY, records)).records
    seen = [(r.topic, (r.key or b"")[-1:], orjson.loads(r.value or b"")) for r in out]
    second = seen[[key for _, key, _ in seen].index(b"6") - 1 :]
    assert [(topic, key, value["change"]) for topic, key, value in second] == [
        (topics.REVIEW_QUEUE, b"1", "expired"),
        (topics.BLOCK_EVENTS, b"6", "opened"),
        (topics.BLOCK_HISTORY, b"6", "opened"),
        (topics.BLOCK_HISTORY, b"6", "opened"),
        (topics.REVIEW_QUEUE, b"6", "opened"),
    ]
    assert [hold["rule"] for hold in second[1][2]["holds"]] == ["before", "behind"]


def test_however_many_numbers_are_forged_holds_are_few_and_every_reader_sees_them_begin_and_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quota, "HOLDS_MAX", 6)
    engine, sizes = engine_of(), []
    active: dict[tuple[str, bytes | None], set[str]] = {}
    given_up = 0
    for epoch in FLOOD:
        outcome = engine.step(decoded(engine, topics.MESSAGE_RELAY, epoch))
        given_up += sum(n for (_, _, what), n in outcome.at_bound.items() if what == "given_up")
        for record in outcome.records:
            if record.topic == topics.BLOCK_HISTORY:
                continue
            state = orjson.loads(record.value or b"")
            in_force = active.setdefault((record.topic, record.key), set())
            block = state["hold"]["block_id"]
            assert (block in in_force) == (state["change"] != "opened")
            if state["hold"].get("given_up"):
                assert state["change"] == "expired"
                assert record.topic in (topics.REVIEW_QUEUE, topics.SHADOW_EVENTS)
                given_up -= 1
            in_force.clear()
            in_force.update(hold["block_id"] for hold in state.get("holds", ()))
        sizes.append(len(engine.ledger))
    assert given_up == 0
    assert max(sizes[10:]) <= 2 * 6 * PARTITIONS * len(engine.rules.rules)
    assert sum(map(len, active.values())) >= sizes[-1] > 6


def test_a_flood_gives_the_same_bytes_wherever_epochs_end_and_behind_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "HOLDS_MAX", 6)
    seen = []
    for size in (1, 7, 10_000):
        engine = engine_of()
        out, rows = run(engine, FLOOD[:12], size)
        seen.append(([(r.topic, r.key, r.value) for r in out], rows, [engine.digest(p) for p in range(PARTITIONS)]))
    assert seen[0] == seen[1] == seen[2]
    fresh = engine_of()
    for p in range(PARTITIONS):
        for piece in engine.image(p, whole=True):
            fresh.load(p, piece)
    fresh.load_ledger(rows.items())
    again = [run(e, FLOOD[12:], 500) for e in (engine, fresh)]
    assert again[0] == again[1]
    assert again[0][0]
    assert any(orjson.loads(r.value or b"").get("hold", {}).get("given_up") for r in again[0][0])


@pytest.mark.parametrize("opens", [0, 1])
def test_what_is_held_back_for_review_is_bounded_too_and_epochs_do_not_matter(
    opens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """opens: 0 while paused, 1 with a breaker that lets one through."""
    monkeypatch.setattr(quota, "HOLDS_MAX", 3)
    start, seen = MONDAY_0859_MS, []
    epochs = [forged(range(n * 15, (n + 2) * 15), start + n * 50 * 60_000, "full") for n in range(12)]
    for size in (1, 13, 10_000):
        engine = engine_of()
        engine.breaker.opens, engine.breaker.paused = opens, not opens
        out, _ = run(engine, epochs, size)
        seen.append([(r.topic, r.key, r.value) for r in out])
    assert seen[0] == seen[1] == seen[2]
    reviews = [orjson.loads(r.value or b"") for r in out if r.topic == topics.REVIEW_QUEUE]
    assert any("diverted" in r["hold"] for r in reviews)
    assert any("given_up" in r["hold"] for r in reviews)
    beside = Counter((h.rule, h.partition) for h in engine.ledger._holds.values() if h.lane == REVIEW)
    assert max(beside.values()) == 3
