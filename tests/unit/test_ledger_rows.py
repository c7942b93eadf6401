"""Holds survive restarts and changes of the rule files, as rows of the ledger topic."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.load import load_text
from rules.model import MODES
from schemas import topics
from streams.engine.contract import Outcome
from streams.engine.engine import Engine
from streams.holds.firings import ENFORCE, REVIEW, SHADOW, Firings
from streams.holds.ledger import TOMBSTONE_AFTER_MS, Change, Ledger
from streams.holds.ledger_rows import LedgerRowError
from streams.ingest.epoch import OutRecord, RawBatch
from streams.kafka.partition import partition_of

HOUR, DAY = 3_600_000, 86_400_000
T = 1_794_798_000_000
NUMBER = 821011110001
KEY = b"+821011110001"
RULES = ["burst", "more", "small"]


# ------------------------------------------------------------------------------------------------- the ledger alone


@dataclass(frozen=True)
class Firing:
    at: int
    number: int = NUMBER
    rule: str = "burst"
    lane: int = ENFORCE
    period: int = DAY


@dataclass
class Life:
    """A ledger, the last row of every number that it wrote, and all that it told."""

    rules: list[str] = field(default_factory=lambda: list(RULES))
    rows: dict[int, bytes | None] = field(default_factory=dict)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    changes: int = 0

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.rules)

    def fire(self, *listed: Firing) -> None:
        """One epoch, each firing a record of its own. Contents differ, so that rows tell changes apart."""
        columns = {
            "line": list(range(len(listed))),
            "number": [f.number for f in listed],
            "rule": [self.rules.index(f.rule) for f in listed],
            "lane": [f.lane for f in listed],
            "at": [f.at for f in listed],
            "period": [f.period for f in listed],
            "clock_before": [0] * len(listed),
            "review_ms": [0] * len(listed),
            "partition": [0] * len(listed),
        }
        arrays = {name: np.array(column, np.int64) for name, column in columns.items()}
        firings = Firings(event=np.arange(len(listed)), **arrays)
        for change in self.ledger.apply(firings, expire_by_clock=False):
            self.changes += 1
            change.hold.content = orjson.dumps(content(self.changes))
            self._tell(change)
        self._write()

    def pass_to(self, now_ms: int) -> None:
        """Wall time goes on: holds expire, numbers are forgotten."""
        for change in self.ledger.expire(now_ms):
            self._tell(change)
        self.told += [("buried", number) for number in self.ledger.bury(now_ms)]
        self._write()

    def born_again(self, rules: list[str] | None = None) -> Life:
        """The life of a worker that knows nothing but the rows."""
        other = Life(rules or self.rules, dict(self.rows), list(self.told), self.changes)
        other.ledger.load(in_log_order(self.rows))
        return other

    def _tell(self, change: Change) -> None:
        hold = change.hold
        in_force = [self._shown(h) for h in self.ledger.in_force(hold.number, hold.lane)]
        self.told.append((change.change, hold.number, hold.lane, self._shown(hold), in_force))

    def _shown(self, hold: Any) -> tuple[Any, ...]:
        return self.ledger.rules[hold.rule], hold.from_ms, hold.until_ms, hold.active, hold.content

    def _write(self) -> None:
        self.rows.update((number, self.ledger.row(number)) for number in self.ledger.touched())


def content(n: int) -> dict[str, object]:
    evidence = {"counter": "rate", "value": n + 0.25, "window": "1m", "limit": None, "as_of": T + n}
    return {
        "rules_version": f"v{n}",
        "directions": ["outgoing"],
        "actions": ["block_calls"],
        "reason": "더 많은 문자",
        "evidence": [evidence],
    }


def in_log_order(rows: dict[int, bytes | None]) -> Iterator[tuple[bytes, bytes | None]]:
    return ((b"+%d" % number, value) for number, value in rows.items())


STEP = st.one_of(
    st.lists(
        st.builds(
            Firing,
            at=st.integers(-30, 90).map(lambda n: n * HOUR),  # from now on, or back
            number=st.integers(1, 4),
            rule=st.sampled_from(RULES),
            lane=st.sampled_from([ENFORCE, SHADOW, REVIEW]),
            period=st.sampled_from([HOUR // 2, HOUR, 20 * HOUR, 3 * DAY]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([HOUR, DAY, 4 * DAY, TOMBSTONE_AFTER_MS]),
)


def live(life: Life, steps: Iterable[list[Firing] | int], now: int) -> int:
    for step in steps:
        if isinstance(step, int):
            now += step
            life.pass_to(now)
        else:
            life.fire(*[replace(f, at=now + f.at) for f in step])
    return now


@given(st.lists(STEP, max_size=14), st.lists(STEP, max_size=14), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_a_worker_that_knows_only_the_last_rows_goes_on_as_if_it_had_never_stopped(
    before: list[Any], behind: list[Any], random: Any
) -> None:
    steady = Life()
    now = live(steady, before, T)
    shuffled = list(steady.rows.items())
    random.shuffle(shuffled)  # compaction and partitions leave no order between numbers
    fresh = replace(steady, rows=dict(shuffled)).born_again()
    assert len(fresh.ledger) == len(steady.ledger)
    for life in (steady, fresh):
        live(life, behind, now)
    assert fresh.told == steady.told
    assert {n: row for n, row in fresh.rows.items() if row} == {n: row for n, row in steady.rows.items() if row}
    # In the end everything is over and forgotten, in the same order.
    for life in (steady, fresh):
        life.pass_to(now + 365 * DAY)
        assert len(life.ledger) == 0
        assert set(life.rows.values()) <= {None}
    assert fresh.told == steady.told


@given(st.lists(STEP, max_size=14), st.lists(STEP, max_size=10), st.permutations([*RULES, "newer"]))
@settings(max_examples=100, deadline=None)
def test_a_reload_and_a_restart_under_other_rules_go_on_alike(
    before: list[Any], behind: list[Any], names: list[str]
) -> None:
    old = Life()
    now = live(old, before, T)
    kept = names[:3]  # one of the rules may be gone
    reloaded, restarted = replace(old, rules=kept, told=[]), replace(old, told=[]).born_again(kept)
    reloaded.ledger = old.ledger.under(kept)
    steps = [s if isinstance(s, int) else [f for f in s if f.rule in kept] for s in behind]
    for life in (reloaded, restarted):
        life.pass_to(live(life, steps, now) + 365 * DAY)
    assert restarted.told == reloaded.told
    assert {n for n, row in restarted.rows.items() if row} == set()


def test_a_row_is_written_for_changes_only() -> None:
    life = Life()
    life.fire(Firing(T))
    written = life.rows.pop(NUMBER)
    assert written is not None
    life.fire(*[Firing(T + n) for n in range(1, 100)], Firing(T - 1))
    life.pass_to(T + DAY - 1)
    assert life.rows == {}
    life.fire(Firing(T + 2 * HOUR))
    assert json.loads(life.rows[NUMBER] or b"") == {
        "format": 1,
        "holds": [
            {
                "rule": "burst",
                "mode": "enforce",
                "from": T,
                "until": T + DAY + 2 * HOUR,
                "active": True,
                "content": content(2),
            }
        ],
    }


def test_a_row_has_all_lanes_and_goes_when_the_last_of_them_is_forgotten() -> None:
    life = Life()
    life.fire(Firing(T, lane=SHADOW, period=4 * DAY), Firing(T, rule="more"), Firing(T))
    modes = [(hold["rule"], hold["mode"]) for hold in json.loads(life.rows[NUMBER] or b"")["holds"]]
    assert modes == [("burst", "enforce"), ("more", "enforce"), ("burst", "shadow")]
    life.pass_to(T + DAY)
    assert [hold["active"] for hold in json.loads(life.rows[NUMBER] or b"")["holds"]] == [False, False, True]
    life.pass_to(T + DAY + TOMBSTONE_AFTER_MS)
    assert [hold["mode"] for hold in json.loads(life.rows[NUMBER] or b"")["holds"]] == ["shadow"]
    life.pass_to(T + 4 * DAY + TOMBSTONE_AFTER_MS)
    assert life.rows == {NUMBER: None}


def test_a_tombstone_and_a_later_row_replace_what_was_known() -> None:
    life = Life()
    life.fire(Firing(T), Firing(T, number=7))
    first = life.rows[NUMBER]
    life.fire(Firing(T, rule="more"))
    ledger = Ledger(RULES)
    assert ledger.load([(KEY, life.rows[NUMBER]), (b"#snapshot", b"{}"), (b"+7", life.rows[7]), (KEY, first)]) == 2
    assert (ledger.row(NUMBER), ledger.row(7)) == (first, life.rows[7])
    assert ledger.load([(KEY, None)]) == 0
    assert (ledger.row(NUMBER), len(ledger)) == (None, 1)
    assert ledger.touched() == []
    assert [change.hold.number for change in ledger.expire(T + 365 * DAY)] == [7]


def test_a_rule_that_is_gone_keeps_its_holds_until_they_end_and_never_extends_them() -> None:
    life = Life()
    life.fire(Firing(T, rule="small"), Firing(T, rule="burst"), Firing(T, rule="more"))
    later = life.born_again(["more", "newer"])
    later.told.clear()
    later.fire(Firing(T + HOUR, rule="newer"))
    assert [shown[0] for shown in later.told[-1][-1]] == ["more", "newer", "burst", "small"]
    later.pass_to(T + DAY)
    assert [(told[0], told[3][0]) for told in later.told[1:]] == [
        ("expired", "more"),
        ("expired", "burst"),
        ("expired", "small"),
    ]
    assert [hold.rule for hold in later.ledger.in_force(NUMBER, ENFORCE)] == [1]


def test_a_rule_of_a_new_name_opens_its_own_hold_beside_the_old_one() -> None:
    life = Life()
    life.fire(Firing(T))
    later = life.born_again(["outburst"])
    later.fire(Firing(T + HOUR, rule="outburst"))
    change, *_, in_force = later.told[-1]
    assert (change, [(shown[0], shown[1]) for shown in in_force]) == (
        "opened",
        [("outburst", T + HOUR), ("burst", T)],
    )


def test_a_rule_that_changed_its_mode_keeps_its_enforced_hold_until_it_ends() -> None:
    life = Life()
    life.fire(Firing(T))
    later = life.born_again()
    later.fire(Firing(T + HOUR, lane=SHADOW))
    assert later.told[-1][0] == "opened"
    assert [hold.until_ms for hold in later.ledger.in_force(NUMBER, ENFORCE)] == [T + DAY]
    later.pass_to(T + DAY)
    assert later.told[-1][:3] == ("expired", NUMBER, ENFORCE)


def test_numbers_of_other_partitions_stay_when_one_is_dropped() -> None:
    life = Life()
    numbers = [821011110000 + n for n in range(40)]
    life.fire(*[Firing(T, number=number, lane=number % 3) for number in numbers])
    homes = {number: partition_of(b"+%d" % number, 4) for number in numbers}
    ledger = life.ledger
    for p in range(4):
        assert ledger.numbers_of(p, 4) == [number for number in numbers if homes[number] == p]
    enforced = Counter(home for number, home in homes.items() if number % 3 == ENFORCE)
    assert ledger.enforced_by_partition(4) == [enforced[p] for p in range(4)]
    ledger.drop(ledger.numbers_of(2, 4))
    assert ledger.numbers_of(2, 4) == []
    left = [number for number in numbers if homes[number] != 2]
    assert [ledger.row(number) for number in numbers if homes[number] == 2] == [None] * (40 - len(left))
    assert sorted(change.hold.number for change in ledger.expire(T + DAY)) == left


def test_the_order_of_rules_that_are_gone_does_not_depend_on_which_row_came_first() -> None:
    life = Life()
    life.fire(Firing(T, rule="small"), Firing(T, rule="more", number=7))
    life.fire(Firing(T, rule="more"), Firing(T, rule="small", number=7))
    for rows in (life.rows, dict(reversed(life.rows.items()))):
        life.rows = rows
        later = life.born_again(["burst"])
        later.told.clear()
        later.pass_to(T + DAY)
        assert [(told[1], told[3][0]) for told in later.told] == [
            (7, "more"), (7, "small"), (NUMBER, "more"), (NUMBER, "small")
        ]  # fmt: skip


def test_numbers_are_forgotten_in_the_order_in_which_their_last_holds_ended() -> None:
    life = Life()
    life.fire(
        Firing(T + 2, number=1), Firing(T + 1, number=9), Firing(T, number=8), Firing(T + 3, number=8, rule="more")
    )
    life.pass_to(T + 60 * DAY)
    assert life.told[-3:] == [("buried", 9), ("buried", 1), ("buried", 8)]


def test_a_change_that_no_row_tells_yet_goes_with_the_number_and_stays_through_a_reload() -> None:
    ledger = Ledger(RULES)
    columns = [
        np.array(c, np.int64)
        for c in ([0, 1], [0, 1], [7, 8], [0, 0], [ENFORCE] * 2, [T] * 2, [DAY] * 2, *[[0, 0]] * 3)
    ]
    assert len(list(ledger.apply(Firings(*columns), expire_by_clock=False))) == 2
    ledger.drop([7])
    assert ledger.under(["burst"]).touched() == [8]
    assert ledger.touched() == [8]


def row(**more: Any) -> bytes:
    hold = {"rule": "burst", "mode": "enforce", "from": T, "until": T + DAY, "active": True, "content": content(1)}
    return json.dumps({"format": 1, "holds": [hold | more]}).encode()


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (b"", "Input data was truncated"),
        (row()[:-2], "truncated"),
        (b"{}", "missing required field `format`"),
        (b'{"format":5,"holds":"of another kind"}', "its format is 5, and this version reads up to 4"),
        (b'{"format":1,"holds":[]}', "no holds: a number without holds has a tombstone"),
        (row(until="soon"), "Expected `int`, got `str` - at `$.holds[0].until`"),
        (row(until=1 << 63), "$.holds[0].until"),
        (row(until=T - 1), "a hold ends before it begins"),
        (row(mode="enforced"), "$.holds[0].mode"),
        (row(rule="\ud800"), "unexpected end of hex escape"),
        (row(content={}), "missing required field `rules_version`"),
        (row(content=content(1) | {"evidence": "none"}), "Expected `array`, got `str` - at `$.evidence`"),
        (json.dumps({"format": 1, "holds": json.loads(row())["holds"] * 2}).encode(), "of the same rule and mode"),
    ],
)
def test_a_damaged_row_is_named_by_its_masked_number_and_changes_nothing(value: bytes, wrong: str) -> None:
    life = Life()
    life.fire(Firing(T), Firing(T, number=7))
    with pytest.raises(LedgerRowError) as error:
        life.ledger.load([(b"+7", None), (KEY, value)])
    assert wrong in str(error.value)
    assert str(error.value).startswith("ledger: the row of +8210****0001 cannot be read: ")
    assert [life.ledger.row(number) for number in (NUMBER, 7)] == [life.rows[NUMBER], life.rows[7]]


@pytest.mark.parametrize("key", [b"", b"821011110001", b"+0821011110001", b"+8210x", b"\xff", b"+1234567890123456"])
def test_a_key_that_is_no_number_is_refused_without_repeating_it(key: bytes) -> None:
    with pytest.raises(LedgerRowError) as error:
        Ledger(RULES).load([(key, row())])
    assert str(error.value) == (
        f"ledger: a key of {len(key)} bytes is no number: keys are E.164 with +, or notes that start with #"
    )


# --------------------------------------------------------------------------------------------------- the whole engine

RULE_FILE = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: burst
    summary: many messages
    when: rate >= 3
    then: {block: [messages], directions: [outgoing], for: 2d}
    mode: enforce
  - name: more
    summary: even more messages
    when: rate >= 4
    then: {block: [messages, calls], directions: [outgoing, incoming], for: 4d}
    mode: MODE
"""


def engine(mode: str = "enforce", file: str = RULE_FILE, partitions: int = 4) -> Engine:
    made = Engine(load_text(file.replace("MODE", mode)))
    made.partitions = partitions
    return made


def step(worker: Engine, start: int, times: list[int], sender: str = KEY.decode()) -> Outcome:
    """One epoch of messages at these times; `start` keeps ids and offsets apart."""
    n = len(times)
    values: list[bytes | None] = [
        json.dumps(
            {
                "message_id": f"m{start + i}",
                "at": at,
                "sender": sender,
                "recipient": "+821099900001",
                "verified": "full",
            }
        ).encode()
        for i, at in enumerate(times)
    ]
    numbers = np.arange(start, start + n)
    raw = RawBatch(
        topics.MESSAGE_RELAY, np.arange(n), np.zeros(n, np.int32), numbers, np.array(times, np.int64), values
    )
    return worker.step([worker.decoders[topics.MESSAGE_RELAY].decode(raw)])


def states(records: list[OutRecord]) -> list[tuple[str, list[str]]]:
    """(change, rules of all holds in force) of each block event."""
    values = [json.loads(r.value or b"{}") for r in records if r.topic == topics.BLOCK_EVENTS]
    return [(value["change"], [hold["rule"] for hold in value["holds"]]) for value in values]


def log_of(*outcomes: Outcome) -> list[tuple[bytes, bytes | None]]:
    rows = [record for outcome in outcomes for record in outcome.ledger]
    assert {record.topic for record in rows} <= {topics.LEDGER}
    assert None not in {record.key for record in rows}
    return [(record.key or b"", record.value) for record in rows]


def test_an_epoch_writes_one_row_for_each_number_whose_holds_changed() -> None:
    worker = engine()
    first = step(worker, 0, [T + n for n in range(5)])
    assert states(first.records) == [("opened", ["burst"]), ("opened", ["burst", "more"])]
    assert [key for key, _ in log_of(first)] == [KEY]
    assert step(worker, 10, [T + n for n in range(5, 50)]).ledger == []
    both = step(worker, 100, [T + 3 * HOUR + n for n in range(5)], "+821022220002")
    assert [key for key, _ in log_of(both)] == [b"+821022220002"]
    ended = worker.expire(T + 2 * DAY + 2)
    assert [key for key, _ in log_of(ended)] == [KEY]
    assert worker.expire(T + 2 * DAY + 2).ledger == []
    assert sorted(log_of(worker.expire(T + 60 * DAY))) == [(KEY, None), (b"+821022220002", None)]


def test_a_worker_that_reads_no_partitions_writes_no_rows() -> None:
    worker = engine(partitions=0)
    assert step(worker, 0, [T + n for n in range(5)]).ledger == []
    assert worker.expire(T + 10 * DAY).ledger == []


def test_a_firing_inside_a_loaded_hold_opens_nothing_and_the_state_names_all_holds() -> None:
    before = engine()
    log = log_of(step(before, 0, [T + n for n in range(3)]))
    fresh = engine()
    fresh.load_ledger(log)
    assert states(step(fresh, 10, [T + 10 + n for n in range(3)]).records) == []
    more = step(fresh, 20, [T + 20])
    assert states(more.records) == [("opened", ["burst", "more"])]
    assert json.loads(more.records[0].value or b"")["until"] == T + 20 + 4 * DAY


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_same_bytes_come_out_when_the_worker_is_another_after_any_epoch(cut: int) -> None:
    """Counters are kept here and holds are not: a snapshot brings the counters back, the ledger the holds."""
    epochs = [[T], [T + 1, T + 2], [T + 3], [T + 3 * HOUR + n for n in range(4)], [T + 5 * HOUR], [T + 5 * HOUR + 1]]
    ways: list[list[OutRecord]] = []
    for broken in (False, True):
        worker, out, log = engine("review"), [], []
        for n, times in enumerate(epochs):
            outcome = step(worker, n * 10, times)
            out += outcome.records
            log += log_of(outcome)
            if broken and n + 1 == cut:
                worker.ledger.drop(worker.ledger.numbers_of(partition_of(KEY, 4), 4))
                worker.load_ledger(log)
        for now in (T + 3 * DAY, T + 9 * DAY, T + 20 * DAY):
            outcome = worker.expire(now)
            out += outcome.records
            log += log_of(outcome)
        ways.append(out)
        assert log[-1] == (KEY, None)
    assert ways[1] == ways[0]
    assert ways[0][-1] == OutRecord(topics.BLOCK_EVENTS, KEY, None)


def test_a_hold_of_a_rule_that_is_gone_is_shown_expires_and_is_counted() -> None:
    log = log_of(step(engine(), 0, [T + n for n in range(4)]))
    only = RULE_FILE[: RULE_FILE.index("  - name: more")].replace("burst", "newer")
    fresh = engine(file=only)
    fresh.load_ledger(log)
    assert states(step(fresh, 10, [T + HOUR + n for n in range(3)]).records) == [("opened", ["newer", "burst", "more"])]
    ended = fresh.expire(T + 4 * DAY + HOUR)
    assert states(ended.records) == [
        ("expired", ["newer", "more"]),
        ("expired", ["more"]),
        ("expired", []),
    ]
    assert ended.changes == {("burst", "enforce", "expired"): 1, ("newer", "enforce", "expired"): 1} | {
        ("more", "enforce", "expired"): 1
    }


def test_a_mode_that_changes_leaves_the_enforced_hold_in_force() -> None:
    log = log_of(step(engine("enforce"), 0, [T + n for n in range(4)]))
    fresh = engine("shadow")
    fresh.load_ledger(log)
    outcome = step(fresh, 10, [T + 3 * HOUR + n for n in range(4)])
    assert states(outcome.records) == [("extended", ["burst", "more"])]
    shadow = [r for r in outcome.records if r.topic == topics.SHADOW_EVENTS]
    assert [json.loads(r.value or b"")["change"] for r in shadow] == ["opened"]
    modes = [(hold["rule"], hold["mode"]) for hold in json.loads(outcome.ledger[0].value or b"")["holds"]]
    assert modes == [("burst", "enforce"), ("more", "enforce"), ("more", "shadow")]
    assert set(MODES) > {mode for _, mode in modes}
