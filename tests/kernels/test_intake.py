"""Clocks, lateness, duplicates and call memory against the oracle, however the log is cut into batches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codes
from streams.ingest.admission import DUPLICATE, LATE, NEVER, OK, Intake
from streams.kernels import intake as kernels
from tests.kernels.oracle_intake import PartitionOracle

LATENESS, AHEAD, ANSWERS = 100, 20, 150
EVENT = st.tuples(
    st.integers(0, 2),  # source
    st.integers(1000, 1600),  # at
    st.sampled_from([0, 1000, 1200, 1500, 1600]),  # Kafka timestamp
    st.integers(0, 4),
    st.integers(0, 6),  # id
    st.sampled_from([-1, -1, 7]),
    st.booleans(),  # somebody vouches for it
)
FIELDS = ("time", "verdict", "future", "closed", "duration")
VOUCHED = ("first_vouched", "closed_vouched", "duration_vouched")
TYPES = (np.int32, np.int64, np.int64, np.uint8, np.int64, np.int64, np.bool_)


def _intake(**options) -> Intake:
    return Intake(LATENESS, AHEAD, ANSWERS, track_answers=True, **options)


def _accept(intake: Intake, events: list[tuple]) -> list[tuple]:
    columns = zip(*events, strict=True) if events else [()] * 7
    accepted = intake.accept(*(np.array(c, t) for c, t in zip(columns, TYPES, strict=True)))
    fields = [getattr(accepted, name).tolist() for name in (*FIELDS, *VOUCHED, "clock_max_before")]
    # Of an event that nobody vouches for the vouched reading knows nothing.
    return [
        row if event[-1] or row[1] == LATE or row[1] == DUPLICATE else (*row[:6], None, None, row[-1])
        for event, row in zip(events, zip(*fields, strict=True), strict=True)
    ]


def _cut(events: list[tuple], cuts: list[int]) -> list[list[tuple]]:
    edges = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    return [events[a:b] for a, b in pairwise(edges)]


def test_the_kernel_and_the_records_use_the_same_codes():
    assert (kernels.SETUP, kernels.ANSWER, kernels.RELEASE) == (codes.SETUP, codes.ANSWER, codes.RELEASE)


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENT, max_size=80), st.lists(st.integers(0, 80), max_size=5))
def test_any_cut_into_batches_and_any_interleaving_agree_with_each_partition_alone(events, cuts):
    intake, oracles, largest = _intake(), [PartitionOracle(LATENESS, AHEAD, ANSWERS) for _ in range(3)], NEVER
    expected = []
    for source, *rest in events:
        expected.append((*oracles[source].accept(*rest), largest))
        largest = max([largest, *(o.clock for o in oracles if o.clock is not None)])
    assert [row for batch in _cut(events, cuts) for row in _accept(intake, batch)] == expected
    assert intake.clocks() == {s: o.clock for s, o in enumerate(oracles) if o.clock is not None}


def test_rebuilt_and_grown_memories_answer_like_ones_that_forget_nothing():
    random = np.random.default_rng(20261122)
    n, oracle, intake = 60_000, PartitionOracle(LATENESS, AHEAD, ANSWERS), _intake()
    at = 1000 + np.arange(n) // 40 - random.integers(0, 130, n)  # a tenth or so late; 4000 ids live
    ids = np.maximum(0, np.arange(n) // 2 - random.integers(0, 4000, n))
    kinds, vouched = random.integers(0, 4, n), random.integers(0, 3, n) > 0
    events = [(0, int(a), 0, int(e), int(i), -1, bool(v)) for a, e, i, v in zip(at, kinds, ids, vouched, strict=True)]
    got = [row[:-1] for batch in _cut(events, random.integers(0, n, 30).tolist()) for row in _accept(intake, batch)]
    assert got == [oracle.accept(*event[1:]) for event in events]
    assert {OK, LATE, DUPLICATE} == {row[1] for row in got}
    assert intake.nbytes() > 2 * 1024 * 16  # grown from its first size ...
    assert intake.remembered() < len(oracle.all.first) // 2  # ... and swept of what expired


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1000, 1120), st.integers(0, 40)), max_size=150), st.lists(st.integers(0, 150)))
def test_at_the_bound_a_redelivered_event_is_recognised_or_late_and_never_counts_twice(pairs, cuts):
    # An id always comes with its own time, as a redelivered record does.
    events = [(0, 1000 + (key * 7) % 100, 0, codes.MESSAGE, key, -1, True) for _, key in pairs]
    small = _intake(remembered_max=9)
    got = [row for batch in _cut(events, cuts) for row in _accept(small, batch)]
    counted = [event[4] for event, row in zip(events, got, strict=True) if row[1] == OK]
    assert len(counted) == len(set(counted))
    assert small.remembered() <= 9
    assert got == _accept(_intake(remembered_max=9), events)


def test_a_full_memory_narrows_lateness_and_says_so():
    intake = _intake(remembered_max=9)
    _accept(intake, [(0, 1000 + i, 0, codes.MESSAGE, i, -1, True) for i in range(30)])
    assert _accept(intake, [(0, 1000, 0, codes.MESSAGE, 99, -1, True)])[0][1] == LATE
    assert intake.narrowed == 1
    assert _accept(intake, [(0, 1030, 0, codes.MESSAGE, 98, -1, True)])[0][1] == OK


SAVED_EVENT = st.tuples(
    st.integers(0, 99), st.sampled_from([codes.MESSAGE, codes.SETUP, codes.RELEASE]), st.integers(0, 20), st.booleans()
)


@settings(max_examples=200, deadline=None)
@given(st.lists(SAVED_EVENT, max_size=60), st.lists(st.integers(0, 60), min_size=1, max_size=4))
def test_a_full_memory_that_was_saved_and_restored_answers_like_the_one_that_was_not(tail, cuts):
    # Nothing is older than `lateness` here. What is forgotten at the bound stays forgotten.
    events = [(0, 1000 + at, 0, event, id, -1, vouched) for at, event, id, vouched in tail]
    *saved, rest = _cut(events, cuts)
    intake, restored = _intake(remembered_max=9), _intake(remembered_max=9)
    for whole, part in zip([True, *[False] * len(saved)], saved, strict=False):
        _accept(intake, part)
        restored.restore(0, intake.save(0, whole))
    assert restored.digest(0) == intake.digest(0)
    assert _accept(restored, rest) == _accept(intake, rest)
    assert restored.digest(0) == intake.digest(0)
