"""How long blockers take: the history joined with what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import BlockAck
from streams.operators.deadlines import BlockerWaits, Join, VisibleChange, share

T = 1_794_798_000_000
MINUTE = 60_000
LIMIT = 10 * MINUTE
A, B = "+821011110001", "+821011110002"


def joined(
    changes: list[tuple[str, str, int]],
    acks: list[tuple[str, str, int, int]],
    *expected: str,
    now: int = T + 60 * MINUTE,
) -> dict[str, BlockerWaits]:
    """changes: (event, number, visible). acks: (blocker, event, applied, taken), ms since T."""
    join = Join(expected)
    for event_id, number, visible in changes:
        join.change(VisibleChange(event_id, number, T + visible))
        join.event(event_id)
    for blocker, event_id, applied, taken in acks:
        join.ack(BlockAck(event_id=event_id, blocker=blocker, applied_at=T + applied), T + taken)
    return {found.blocker: found for found in join.result(now, LIMIT).blockers}


def test_a_change_is_applied_when_the_blocker_says_so() -> None:
    found = joined([("e1", A, 0), ("e2", B, 100)], [("s", "e1", 40, 50), ("s", "e2", 100 + LIMIT + 1, 100 + LIMIT + 5)])
    assert found["s"].shown() == {
        "blocker": "s", "count": 2, "p50": 40, "p99": LIMIT + 1, "late": 1, "missing": 0, "waiting": 0, "clock_off": 0,
        "again": 0, "unknown": 0,
    }  # fmt: skip
    assert not found["s"].keeps


def test_a_change_without_a_word_is_missing_once_its_time_is_over() -> None:
    changes = [("e1", A, 0), ("e2", B, 5), ("e3", B, LIMIT)]
    found = joined(changes, [("s", "e1", 1, 1)], now=T + LIMIT + 6)["s"]
    assert (found.waits.took_ms, found.missing, found.waiting) == ([1], 1, 1)
    assert not found.keeps
    assert joined(changes, [("s", "e1", 1, 1)], now=T + LIMIT + 5)["s"].keeps


def test_who_has_applied_a_later_change_of_a_number_has_applied_those_before_it() -> None:
    found = joined([("e1", A, 0), ("e2", A, 100), ("e3", A, 200)], [("s", "e2", 150, 150)], "s")["s"]
    assert sorted(found.waits.took_ms) == [50, 150]
    assert found.missing == 1


def test_a_word_that_comes_twice_counts_once_and_the_first_counts() -> None:
    found = joined([("e1", A, 0)], [("s", "e1", 90, 95), ("s", "e1", 10, 20), ("s", "e1", 99, 99)])["s"]
    assert (found.waits.took_ms, found.again) == ([10], 2)


def test_words_of_unknown_events_are_counted_and_change_nothing() -> None:
    found = joined([("e1", A, 0)], [("s", "e1", 1, 1), ("s", "made-up", 5, 5)])["s"]
    assert (found.waits.took_ms, found.unknown, found.keeps) == ([1], 1, True)


@pytest.mark.parametrize(("applied", "taken", "took"), [(-1, 30, 30), (31, 30, 30), (10**9, 30, 30), (30, 30, 30)])
def test_a_clock_that_cannot_be_right_gives_way_to_the_brokers(applied: int, taken: int, took: int) -> None:
    found = joined([("e1", A, 0)], [("s", "e1", applied, taken)])["s"]
    assert (found.waits.took_ms, found.clock_off) == ([took], int(applied != took))


def test_an_expected_blocker_that_says_nothing_misses_everything_and_another_counts_from_its_first_word_on() -> None:
    found = joined([("e1", A, 0), ("e2", B, 100)], [("new", "e2", 110, 110)], "silent")
    assert (found["silent"].missing, found["silent"].waits.took_ms) == (2, [])
    assert (found["new"].missing, found["new"].waits.took_ms) == (0, [10])


def test_a_row_of_the_history_that_shares_another_rows_event_is_not_waited_for() -> None:
    join = Join(["s"])
    for event_id in ("first", "second"):  # two holds, one input record: the block event bears the first's id
        join.change(VisibleChange(event_id, A, T))
    join.event("first")
    join.ack(BlockAck(event_id="first", blocker="s", applied_at=T + 5), T + 5)
    (found,) = join.result(T + 60 * MINUTE, LIMIT).blockers
    assert (found.waits.took_ms, found.missing) == ([5], 0)


def test_the_way_to_the_visible_block_begins_at_the_event_by_which_a_rule_opened() -> None:
    join = Join()
    join.change(VisibleChange("e1", A, T, T - 700))
    join.change(VisibleChange("e1", A, T + 50, T - 700))  # delivered twice
    join.change(VisibleChange("e2", B, T, T - LIMIT - 1))
    join.change(VisibleChange("e3", B, T))
    found = join.result(T, LIMIT)
    assert found.decided.shown() == {"count": 2, "p50": 700, "p99": LIMIT + 1, "late": 1}
    assert not found.are_kept


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.99]))
def test_a_share_is_the_smallest_length_that_so_many_do_not_exceed(took: list[int], part: float) -> None:
    found = share(sorted(took), part)
    assert found in took
    assert sum(one <= found for one in took) >= part * len(took)
    assert sum(one < found for one in took) < part * len(took)
