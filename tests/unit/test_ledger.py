"""The ledger: openings, extensions, expiries and tombstones, by event time alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.holds.firings import ENFORCE, REVIEW, SHADOW, Firings
from streams.holds.hold import LedgerHold
from streams.holds.ids import block_id, event_id
from streams.holds.ledger import NEVER, TOMBSTONE_AFTER_MS, Ledger
from streams.holds.tally import hold_counts

HOUR, DAY = 3_600_000, 86_400_000
T = 1_794_798_000_000
NUMBER = 821011110001
RULES = ["burst", "more", "small"]


@dataclass(frozen=True)
class Firing:
    at: int
    line: int = 0
    number: int = NUMBER
    rule: int = 0
    lane: int = ENFORCE
    period: int = DAY
    clock_before: int = -NEVER
    partition: int = 0
    review_ms: int = 0


def firings(listed: list[Firing]) -> Firings:
    column = {name: np.array([getattr(f, name) for f in listed], np.int64) for name in Firing.__dataclass_fields__}
    return Firings(event=np.arange(len(listed)), **column)


def told(ledger: Ledger, listed: list[Firing], expire: bool = False) -> list[tuple[str, int, int]]:
    """(change, from, until) of each change."""
    return [(c.change, c.hold.from_ms, c.hold.until_ms) for c in ledger.apply(firings(listed), expire)]


def at(*times: int, **same: int) -> list[Firing]:
    return [Firing(at=t, line=i, **same) for i, t in enumerate(times)]


def test_a_first_firing_opens_for_the_period_and_one_before_it_changes_nothing() -> None:
    assert told(Ledger(RULES), at(T, T - 1, T)) == [("opened", T, T + DAY)]


def test_who_does_it_again_within_six_days_is_held_for_longer() -> None:
    def holds(*times: int, **same: int) -> list[tuple[str, int, int]]:
        return told(Ledger(RULES, {"burst": 30 * DAY}), at(*times, **same))

    first = ("opened", T, T + DAY)
    last = T + DAY + 6 * DAY  # the first moment at which it is not again any more
    assert holds(T, T + DAY) == [first, ("opened", T + DAY, T + 31 * DAY)]
    assert holds(T, last - 1) == [first, ("opened", last - 1, last - 1 + 30 * DAY)]
    assert holds(T, last) == [first, ("opened", last, last + DAY)]
    assert holds(T, T + DAY, rule=1) == [first, ("opened", T + DAY, T + 2 * DAY)], "another rule's period stays"


def test_a_longer_hold_is_extended_by_the_first_period_alone() -> None:
    ledger = Ledger(RULES, {"burst": 30 * DAY})
    end = T + 31 * DAY
    assert told(ledger, at(T, T + DAY, T + 2 * DAY, end - 1))[1:] == [
        ("opened", T + DAY, end),
        ("extended", T + DAY, end - 1 + DAY),
    ]


def test_who_did_it_before_is_known_from_the_rows_of_the_ledger_and_forgotten_after_a_release() -> None:
    before, key = Ledger(RULES), str(NUMBER).encode()
    assert told(before, at(T)) == [("opened", T, T + DAY)]
    (hold,) = before.in_force(NUMBER, ENFORCE)
    hold.content = (
        b'{"rules_version": "v", "directions": ["outgoing"], "actions": ["block_calls"], "reason": "r", "evidence": []}'
    )
    for released in (False, True):
        if released:
            before.end(hold, T + HOUR)
        row = before.row(NUMBER)
        ledger = Ledger(RULES, {"burst": 30 * DAY})
        ledger.load([(b"+" + key, row)])
        (opened,) = told(ledger, at(T + 2 * DAY))
        assert opened == ("opened", T + 2 * DAY, T + 2 * DAY + (DAY if released else 30 * DAY))


def test_an_extension_must_gain_an_hour_and_a_twentieth_of_the_period() -> None:
    ledger = Ledger(RULES)
    gain = DAY // 20
    assert told(ledger, at(T, T + gain - 1, T + gain)) == [("opened", T, T + DAY), ("extended", T, T + gain + DAY)]
    short = {"rule": 1, "period": 2 * HOUR}
    assert told(ledger, at(T, T + HOUR - 1, T + HOUR, **short)) == [
        ("opened", T, T + 2 * HOUR),
        ("extended", T, T + 3 * HOUR),
    ]


def test_a_period_of_less_than_an_hour_is_never_extended_and_opens_again_at_its_end() -> None:
    assert told(Ledger(RULES), at(T, T + HOUR // 2 - 1, T + HOUR // 2, period=HOUR // 2)) == [
        ("opened", T, T + HOUR // 2),
        ("opened", T + HOUR // 2, T + HOUR),
    ]


def test_rules_numbers_and_lanes_have_holds_of_their_own() -> None:
    same = [Firing(T), Firing(T, rule=1), Firing(T, lane=REVIEW), Firing(T, number=2), Firing(T, lane=SHADOW)]
    ledger = Ledger(RULES)
    assert len(told(ledger, same)) == 5
    assert [hold.rule for hold in ledger.in_force(NUMBER, ENFORCE)] == [0, 1]
    assert [hold.rule for hold in ledger.in_force(NUMBER, SHADOW)] == [0]
    assert ledger.in_force(3, ENFORCE) == []


def test_holds_in_force_come_in_the_rules_order() -> None:
    ledger = Ledger(RULES)
    told(ledger, [Firing(T, rule=2), Firing(T, rule=0), Firing(T, rule=1)])
    assert [hold.rule for hold in ledger.in_force(NUMBER, ENFORCE)] == [0, 1, 2]


def test_holds_expire_by_their_end_then_number_and_only_once() -> None:
    ledger = Ledger(RULES)
    told(ledger, [Firing(T + 5, number=1), Firing(T, number=9), Firing(T, number=4), Firing(T + 6, number=2)])
    assert [(c.change, c.hold.number) for c in ledger.expire(T + DAY + 5)] == [
        ("expired", 4),
        ("expired", 9),
        ("expired", 1),
    ]
    assert list(ledger.expire(T + DAY + 5)) == []
    assert len(ledger) == 1


def test_an_extended_hold_expires_at_its_new_end_only() -> None:
    ledger = Ledger(RULES)
    told(ledger, at(T, T + HOUR * 2))
    assert list(ledger.expire(T + DAY)) == []
    assert [c.hold.until_ms for c in ledger.expire(T + DAY + HOUR * 2)] == [T + DAY + HOUR * 2]


def test_an_extension_may_follow_an_expiry_notice() -> None:
    ledger = Ledger(RULES)
    told(ledger, at(T))
    assert [c.change for c in ledger.expire(T + DAY)] == ["expired"]
    assert told(ledger, at(T + 2 * HOUR)) == [("extended", T, T + DAY + 2 * HOUR)]
    assert len(ledger) == 1
    assert [c.change for c in ledger.expire(T + DAY + 2 * HOUR)] == ["expired"]


def test_the_clock_expires_holds_before_a_record_and_never_between_its_firings() -> None:
    late = T - 2 * DAY
    record = [Firing(late, 0, rule=rule, clock_before=T) for rule in (0, 1)]
    changes = told(Ledger(RULES), [*record, Firing(T, 1, number=2, clock_before=T)], expire=True)
    assert changes == [
        ("opened", late, late + DAY),
        ("opened", late, late + DAY),
        ("expired", late, late + DAY),
        ("expired", late, late + DAY),
        ("opened", T, T + DAY),
    ]
    assert len(told(Ledger(RULES), record, expire=True)) == 2


def test_a_number_is_buried_a_week_after_its_last_hold_ended() -> None:
    ledger = Ledger(RULES)
    told(ledger, [Firing(T), Firing(T + HOUR, rule=1), Firing(T, number=7, lane=SHADOW)])
    ended = T + HOUR + DAY
    assert len(list(ledger.expire(ended))) == 3
    assert list(ledger.bury(ended + TOMBSTONE_AFTER_MS - 1)) == []
    assert list(ledger.bury(ended + TOMBSTONE_AFTER_MS)) == [NUMBER]
    assert told(ledger, at(T)) == [("opened", T, T + DAY)]


def test_a_hold_that_opened_again_is_not_buried_with_its_past() -> None:
    ledger = Ledger(RULES)
    told(ledger, at(T))
    list(ledger.expire(T + DAY))
    told(ledger, at(T + 3 * DAY))
    assert list(ledger.bury(T + DAY + TOMBSTONE_AFTER_MS)) == []
    assert len(ledger) == 1


def test_ids_tell_holds_and_changes_apart_and_never_change() -> None:
    assert block_id(NUMBER, "burst", T) == block_id(NUMBER, "burst", T)
    blocks = {block_id(n, r, t) for n in (1, 11) for r in ("a", "1\n") for t in (T, T + 1)}
    assert len(blocks) == 8
    assert len({event_id(b, c, t) for b in blocks for c in ("opened", "extended") for t in (T, T + 1)}) == 32
    # Blockers keep these ids: another way of making them would make every hold a new one.
    assert block_id(NUMBER, "small", 1_794_798_001_000) == "c1943713c92c6ca8bdaf2cfdc74d2eb9"


# ------------------------------------------------------------------------------------------ against a plain reading


class Plain:
    """The ledger as the design says it: one firing at a time, no heap and no compiled loop."""

    def __init__(self) -> None:
        self.holds: dict[tuple[int, int, int], list[int]] = {}  # from, until, active

    def fire(self, f: Firing) -> Iterator[tuple[str, int, int]]:
        key = f.number, f.rule, f.lane
        until = f.at + f.period
        hold = self.holds.get(key)
        if hold is None or f.at >= hold[1]:
            self.holds[key] = [f.at, until, True]
            yield "opened", f.at, until
        elif f.at >= hold[0] and until - hold[1] >= max(HOUR, f.period * 0.05):
            hold[1:] = until, True
            yield "extended", hold[0], until

    def expire(self, clock: int) -> Iterator[tuple[str, int, int]]:
        due = sorted((h[1], *key) for key, h in self.holds.items() if h[2] and h[1] <= clock)
        for until, *key in due:
            hold = self.holds[tuple(key)]  # type: ignore[index]
            hold[2] = False
            yield "unreviewed" if key[2] == REVIEW else "expired", hold[0], until


FIRING = st.builds(
    Firing,
    at=st.integers(0, 60).map(lambda n: T + n * HOUR),
    line=st.sampled_from([0, 0, 1]),  # how many lines later
    number=st.integers(1, 3),
    rule=st.integers(0, 1),
    lane=st.sampled_from([ENFORCE, REVIEW]),
    clock_before=st.integers(0, 6),  # how far the clock goes on, in hours
)


@given(st.lists(FIRING, max_size=40), st.data())
@settings(max_examples=150, deadline=None)
def test_any_firings_cut_into_epochs_anywhere_change_what_a_plain_reading_changes(
    steps: list[Firing], data: st.DataObject
) -> None:
    listed, line, clock = [], 0, T
    for i, step in enumerate(steps):
        if step.line or not i:
            line, clock = line + 1, clock + step.clock_before * HOUR
        period = [HOUR // 2, HOUR, 2 * HOUR, 20 * HOUR][step.rule * 2 + step.number % 2]
        listed.append(replace(step, line=line, clock_before=clock, period=period))
    plain, want, seen = Plain(), [], 0
    for firing in listed:
        if firing.line != seen:
            want += plain.expire(firing.clock_before)
            seen = firing.line
        want += plain.fire(firing)
    ledger, got, done = Ledger(RULES), [], 0
    while done < len(listed):
        size = data.draw(st.integers(1, len(listed) - done))
        while done + size < len(listed) and listed[done + size].line == listed[done + size - 1].line:
            size += 1  # an epoch holds whole records
        got += told(ledger, listed[done : done + size], expire=True)
        done += size
    assert got == want
    assert len(ledger) == sum(hold[2] for hold in plain.holds.values())


def test_a_number_is_counted_once_as_blocked_and_once_for_each_rule_and_mode() -> None:
    def hold(number: int, rule: int, lane: int, active: bool = True) -> LedgerHold:
        return LedgerHold(number, rule, lane, 0, 10, active, b"{}", 0)

    holds = [hold(1, 0, ENFORCE), hold(1, 1, ENFORCE), hold(2, 1, ENFORCE), hold(2, 1, REVIEW), hold(3, 0, SHADOW)]
    counts = hold_counts([*holds, hold(4, 0, ENFORCE, active=False)], ["one", "two"])
    assert counts.blocked == 2
    assert counts.held == {
        ("one", "enforce"): 1, ("two", "enforce"): 2, ("two", "review"): 1, ("one", "shadow"): 1,
    }  # fmt: skip
