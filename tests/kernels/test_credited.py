"""Credited reporters against the oracle: whatever the order, whatever is judged, and cut into any batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.credit import FINGERPRINT, NO_CREDIT, Credit
from rules.registry import Entry, Registry
from schemas.registry import REPORT_REJECTED, REPORT_UPHELD
from streams.counting.kinds.credited import Credited
from tests.kernels.drawn import AT, NUMBERS, START, assert_neighbours_are_untouched, busy, events_of, rows_of, traffic
from tests.kernels.oracle_credited import CreditedOracle, Judgement, weight

WINDOW = 200
KEYS = st.one_of(st.integers(-3, 3), st.integers(1, 150))
JUDGEMENTS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 400), st.integers(1, 600), st.booleans()), max_size=12
)


def counter() -> Credited:
    return Credited({"window_ms": WINDOW}, AT)  # type: ignore[arg-type]


def judged(drawn: list[tuple[int, int, int, bool]]) -> tuple[list[Judgement], Credit]:
    """For the oracle, and as registries have it: some of files, some told."""
    told = [(who, START + since, START + since + lasts, rejected) for who, since, lasts, rejected in drawn]
    entries = [
        Entry(REPORT_REJECTED if rejected else REPORT_UPHELD, 0, who, since, until, "desk", f"order {i}")
        for i, (who, since, until, rejected) in enumerate(told)
    ]
    return told, Credit((Registry.of(entries[::2]), Registry.of(entries[1::2])))


@settings(max_examples=200, deadline=None)
@given(traffic(KEYS, (80, 600)), JUDGEMENTS, st.data())
def test_readings_are_those_of_the_oracle_however_events_are_cut_into_batches(steps, drawn, data: Any):
    told, credit = judged(drawn)
    state, rows, oracle = counter(), rows_of(4), CreditedOracle(WINDOW)
    state.go_by(credit)
    out: list[float] = []
    while len(out) < len(steps):
        size = data.draw(st.integers(1, len(steps) - len(out)))
        out += state.process(rows, events_of(steps[len(out) : len(out) + size]))[0].tolist()
    for (row, at, as_of, hit, read, value), got in zip(steps, out, strict=True):
        if hit:
            oracle.add(row, START + at, value)
        if read:
            assert got == oracle.read(row, START + as_of, told)
    assert_neighbours_are_untouched(rows)


@settings(max_examples=100, deadline=None)
@given(traffic(KEYS, (80, 600)), st.randoms())
def test_what_a_row_holds_does_not_depend_on_the_order_in_which_its_reporters_came(steps, random):
    hits = [step for step in steps if step[3]] or [(0, 0, 0, True, True, 1)]
    last = max(step[2] for step in hits)
    mixed = hits[:]
    random.shuffle(mixed)
    found = []
    for order in (hits, mixed):
        state, rows = counter(), rows_of(4)
        state.go_by(FINGERPRINT)
        state.process(rows, events_of([(*step[:2], last, True, False, step[5]) for step in order]))
        ask = [(row, last, last, False, True, 0) for row in range(NUMBERS)]
        found.append(state.process(rows, events_of(ask))[0].tolist())
    assert found[0] == found[1]


def test_beyond_sixty_four_reporters_the_newest_count():
    state, rows, oracle = counter(), rows_of(4), CreditedOracle(WINDOW)
    steps = busy(2, 600, 7, 180)
    got = state.process(rows, events_of(steps))[0]
    want = []
    for row, at, as_of, _, _, value in steps:
        oracle.add(row, START + at, value)
        want.append(oracle.read(row, START + as_of, []))
    assert got.tolist() == want
    assert max(want) == 64


def test_rows_with_different_reporters_have_different_fingerprints_and_equal_readings():
    sums = []
    for key in (5, 6):
        state, rows = counter(), rows_of(4)
        plain = state.process(rows, events_of([(0, 0, 0, True, True, key)]))[0][0]
        state.go_by(FINGERPRINT)
        sums.append((plain, state.process(rows, events_of([(0, 0, 0, False, True, 0)]))[0][0]))
    assert sums[0][0] == sums[1][0] == 1.0
    assert sums[0][1] != sums[1][1]


@given(traffic(KEYS, (200,)), st.integers(0, 2000))
@settings(max_examples=60, deadline=None)
def test_an_idle_row_reads_nothing_and_gives_its_slot_back(steps, ahead):
    state, rows = counter(), rows_of(4)
    state.process(rows, events_of(steps))
    horizon = START + max(step[1] for step in steps) + ahead - 300
    rows_asked = np.arange(NUMBERS)
    idle = state.idle(rows, rows_asked, horizon)
    (reads,) = state.process(rows, events_of([(r, horizon - START, horizon - START, False, True, 0) for r in range(4)]))
    assert (reads[idle] == 0).all()
    state.forget(rows, rows_asked)
    assert state.pool.used == 0
    assert not state.pool.cells.any()


@pytest.mark.parametrize(
    ("upheld", "rejected", "weighs"),
    [(0, 0, 1.0), (5, 0, 1.0), (0, 1, 0.333), (0, 2, 0.2), (1, 1, 0.5), (4, 1, 0.714), (0, 9, 0.052)],
)
def test_a_rejected_report_costs_as_much_as_two_that_are_upheld_win(upheld: int, rejected: int, weighs: float):
    drawn = [(1, 0, 10, False)] * upheld + [(1, 0, 10, True)] * rejected
    told, credit = judged(drawn)
    assert credit.weight(1, START + 5) == weighs == weight(told, 1, START + 5) / 1000
    assert credit.weight(1, START + 10) == credit.weight(2, START + 5) == NO_CREDIT.weight(1, START + 5) == 1.0
