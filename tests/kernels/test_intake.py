"""Clocks, lateness, duplicates and call memory against the oracle, however the log is cut into batches."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codes
from streams.ingest.admission import DUPLICATE, LATE, NEVER, OK, Intake
from streams.kernels import intake as kernels
from tests.kernels.oracle_intake import Judged, PartitionOracle

LATENESS, AHEAD, ANSWERS = 1200, 240, 1800
OWN = {7: 2400}
REPORT, REPEATS = 5, {5: 300}
START = 1_795_312_800_000
SPELT = {field.name for field in fields(Judged)}
EVENT = st.tuples(
    st.integers(0, 2),  # source
    st.sampled_from([0, 0, 0, 7, 65_535]),  # feed
    # Most within the lateness of each other, some far off.
    st.one_of(st.integers(START, START + 1500), st.integers(START - 7200, START + 7200)),  # at
    st.sampled_from([0, -1, START // 1000, START + 300, START + 1000, START + 7200]),  # Kafka timestamp
    st.integers(0, REPORT),
    st.integers(0, 2),  # id
    st.sampled_from([1, 1, 2, 3, 4, 5]),  # number
    st.integers(1, 2),  # peer
    st.sampled_from([-1, -1, 7]),
    st.booleans(),  # somebody vouches for it
)
TYPES = (np.int32, np.int32, np.int64, np.int64, np.uint8, np.int64, np.int64, np.int64, np.int64, np.bool_)


def _intake(**options) -> Intake:
    own = np.full(1 << 16, -1)
    own[7] = OWN[7]
    intake = Intake(LATENESS, AHEAD, ANSWERS, track_answers=True, own_lateness_ms=own, **options)
    assert intake._repeats.nonzero()[0].tolist() == [REPORT]
    intake._repeats[REPORT] = REPEATS[REPORT]
    return intake


def _accept(intake: Intake, events: list[tuple]) -> list[tuple[Judged, int]]:
    """With the largest clock before each."""
    columns = zip(*events, strict=True) if events else [()] * len(TYPES)
    accepted = intake.accept(*(np.array(c, t) for c, t in zip(columns, TYPES, strict=True)))
    found = {name: getattr(accepted, name).tolist() for name in SPELT}
    out = []
    for i, event in enumerate(events):
        row = {name: column[i] for name, column in found.items()}
        if not event[-1] and row["verdict"] == OK:  # of which the vouched reading knows nothing
            row |= {"closed_vouched": None, "duration_vouched": None}
        out.append((Judged(**row), int(accepted.clock_max_before[i])))
    return out


def _cut(events: list[tuple], cuts: list[int]) -> list[list[tuple]]:
    edges = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    return [events[a:b] for a, b in pairwise(edges)]


def test_the_kernel_and_the_records_use_the_same_codes():
    mine = kernels.SETUP, kernels.ANSWER, kernels.RELEASE, kernels.COMPLETE
    assert mine == (codes.SETUP, codes.ANSWER, codes.RELEASE, codes.COMPLETE)


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENT, max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_cut_into_batches_and_any_interleaving_agree_with_each_partition_alone(events, cuts):
    intake, oracles, largest = (
        _intake(),
        [PartitionOracle(LATENESS, AHEAD, ANSWERS, OWN, REPEATS) for _ in range(3)],
        NEVER,
    )
    expected = []
    for source, *rest in events:
        expected.append((oracles[source].accept(*rest), largest))
        clocks = [(vouched, of.clock) for o in oracles for (_, vouched), of in o.place.clocks.items()]
        largest = max(clock for vouched, clock in clocks if vouched or not any(says for says, _ in clocks))
    assert [row for batch in _cut(events, cuts) for row in _accept(intake, batch)] == expected
    assert intake.clocks() == {s: o.place.newest for s, o in enumerate(oracles) if o.place.clocks}
    assert intake.clock_max() == largest


def test_rebuilt_and_grown_memories_answer_like_ones_that_forget_nothing():
    random = np.random.default_rng(20261122)
    n, oracle, intake = 60_000, PartitionOracle(LATENESS, AHEAD, ANSWERS, OWN, REPEATS), _intake()
    at = START + np.arange(n) // 4 - random.integers(0, 1500, n)  # a tenth or so late; thousands of ids live
    ids = np.maximum(0, np.arange(n) // 2 - random.integers(0, 4000, n))
    kinds, vouched = random.integers(0, 5, n), random.integers(0, 3, n) > 0
    events = [
        (0, int(i) % 5, int(a), 0, int(e), int(i), int(i) % 7, int(i) % 3, -1, bool(v))
        for a, e, i, v in zip(at, kinds, ids, vouched, strict=True)
    ]
    got = [row for batch in _cut(events, random.integers(0, n, 30).tolist()) for row, _ in _accept(intake, batch)]
    assert got == [oracle.accept(*event[1:]) for event in events]
    assert {OK, LATE, DUPLICATE} == {row.verdict for row in got}
    assert intake.nbytes() > 2 * 1024 * 16  # grown from its first size ...
    assert intake.remembered() < len(oracle.all.first) // 2  # ... and swept of what expired


def _message(at: int, id: int, number: int = 1, vouched: bool = True) -> tuple:
    return 0, 0, START + at, 0, codes.MESSAGE, id, number, 2, -1, vouched


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(1000, 1120), st.integers(0, 40)), max_size=150), st.lists(st.integers(0, 150)))
def test_at_the_bound_a_redelivered_event_is_recognised_or_late_and_never_counts_twice(pairs, cuts):
    # An id always comes with its own time, as a redelivered record does.
    events = [_message((key * 7) % 100, key) for _, key in pairs]
    small = _intake(remembered_max=11)
    got = [row for batch in _cut(events, cuts) for row, _ in _accept(small, batch)]
    counted = [event[5] for event, row in zip(events, got, strict=True) if row.verdict == OK]
    assert len(counted) == len(set(counted))
    assert small.remembered() <= 11
    assert got == [row for row, _ in _accept(_intake(remembered_max=11), events)]


def test_a_full_memory_narrows_lateness_and_says_so():
    intake = _intake(remembered_max=11)
    _accept(intake, [_message(i, i) for i in range(30)])
    assert _accept(intake, [_message(0, 99)])[0][0].verdict == LATE
    assert intake.narrowed == 1
    assert _accept(intake, [_message(30, 98)])[0][0].verdict == OK


SAVED_EVENT = st.tuples(
    st.sampled_from([0, 10, 300, 700, 1300, 5000, 9000]), st.sampled_from([0, 1, 2, 3]), st.integers(0, 20),
    st.integers(1, 4), st.booleans(),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(SAVED_EVENT, max_size=200), st.lists(st.integers(0, 200), min_size=1, max_size=4),
    st.sampled_from([11, 1000]),
)  # fmt: skip
def test_a_memory_that_was_saved_and_restored_answers_like_the_one_that_was_not(tail, cuts, most):
    # Full or not; clocks step ahead and go back. What is forgotten at the bound stays forgotten.
    if most == 9:
        tail = [(at % 600, *rest) for at, *rest in tail]
    events = [
        (0, id % 2 * 7, START + at, 0, event, id, number, 2, -1, vouched) for at, event, id, number, vouched in tail
    ]
    *saved, rest = _cut(events, cuts)
    intake, restored = _intake(remembered_max=most), _intake(remembered_max=most)
    for whole, part in zip([True, *[False] * len(saved)], saved, strict=False):
        _accept(intake, part)
        restored.restore(0, intake.save(0, whole))
    assert restored.digest(0) == intake.digest(0)
    assert restored.clocks() == intake.clocks()
    assert _accept(restored, rest) == _accept(intake, rest)
    assert restored.digest(0) == intake.digest(0)


CALL, CALLER, CALLEE = 77, 821011110001, 821099900001


def _calls(*events: tuple[int, int] | tuple[int, int, int, int, int]) -> list[Judged]:
    """(at, kind), of one call unless id, number and peer follow."""
    intake = _intake()
    rows = [(0, 0, START + at, 0, kind, *(who or (CALL, CALLER, CALLEE)), -1, True) for at, kind, *who in events]
    return [row for row, _ in _accept(intake, rows)]


SETUP, ANSWER, RELEASE = codes.SETUP, codes.ANSWER, codes.RELEASE


def test_copies_of_a_call_from_two_probes_count_once():
    told = [(0, SETUP), (3, SETUP), (100, ANSWER), (104, ANSWER), (130, RELEASE), (127, RELEASE), (140, SETUP)]
    assert [row.verdict for row in _calls(*told)] == [OK, DUPLICATE, OK, DUPLICATE, OK, DUPLICATE, DUPLICATE]


def test_a_call_id_set_up_again_after_its_release_is_another_call_and_its_copies_are_none():
    first, second = [(0, SETUP), (5, ANSWER), (300, RELEASE)], [(600, SETUP), (620, ANSWER), (800, RELEASE)]
    got = _calls(*first, *second, *second, *first)
    assert [row.verdict for row in got] == [OK] * 6 + [DUPLICATE] * 6
    assert [row.duration for row in got if row.verdict == OK] == [-1, -1, 295, -1, -1, 180]


def test_a_call_that_nobody_answers_takes_no_duration_from_an_earlier_one_of_its_id():
    got = _calls((0, SETUP), (5, ANSWER), (300, RELEASE), (600, SETUP), (800, RELEASE))
    assert [row.duration for row in got] == [-1, -1, 295, -1, -1]


def test_a_release_of_an_id_by_somebody_else_or_to_somebody_else_is_no_release_of_the_call():
    for rogue in ((CALL, CALLER + 1, CALLEE), (CALL, CALLER, CALLEE + 1)):
        got = _calls((0, SETUP), (10, ANSWER), (20, RELEASE, *rogue), (30, ANSWER, *rogue), (40, RELEASE), (50, SETUP))
        assert [row.duration for row in got] == [-1, -1, -1, -1, 30, -1]
        assert got[-1].verdict == DUPLICATE
    assert not _calls((20, RELEASE, CALL, CALLER + 1, CALLEE), (10, SETUP))[1].closed


def test_an_answer_behind_its_release_by_the_clock_makes_no_duration_and_one_behind_it_in_the_log_does():
    assert [row.duration for row in _calls((0, SETUP), (450, ANSWER), (350, RELEASE))] == [-1, -1, -1]
    assert [(row.duration, row.released) for row in _calls((0, SETUP), (350, RELEASE), (150, ANSWER))] == [
        (-1, 0), (-1, 0), (200, START + 350),
    ]  # fmt: skip


def test_an_id_of_two_numbers_or_peers_is_said_to_be_used_again():
    intake = _intake()
    rows = [
        (0, 0, START, 0, codes.MESSAGE, 5 << 40, number, peer, -1, True)
        for number, peer in ((1, 2), (1, 2), (3, 2), (1, 4))
    ]
    accepted = intake.accept(*(np.array(c, t) for c, t in zip(zip(*rows, strict=True), TYPES, strict=True)))
    assert accepted.reused.tolist() == [False, False, True, True]
    assert accepted.verdict.tolist() == [OK, DUPLICATE, OK, OK]


def test_a_lateness_that_grows_takes_effect_from_there_on_and_lets_no_forgotten_id_count_twice():
    intake = Intake(LATENESS, AHEAD, ANSWERS)
    early, more = [_message(i, i, number=i % 5) for i in range(3)], 10 * LATENESS
    late = [_message(more + i, 1000 + i, number=i % 5) for i in range(70)]
    _accept(intake, [*early, *late, *[_message(more + LATENESS // 2 + i, 2000 + i, i % 5) for i in range(70)]])
    own = np.full(1 << 16, -1)
    own[0] = 20 * LATENESS
    intake.put_under(own, None)
    redelivered = [row.verdict for row, _ in _accept(intake, [*early, *late[:3]])]
    assert redelivered == [LATE] * 3 + [DUPLICATE] * 3
    assert _accept(intake, [_message(more + 5, 3000)])[0][0].verdict == OK


def test_records_of_the_evening_that_come_again_in_the_morning_are_duplicates_or_late_whatever_the_clock_does():
    evening = [_message(i, i, number=i % 40) for i in range(200)]
    morning = [_message(20 * LATENESS + i, 1000 + i, number=i % 40) for i in range(200)]
    intake = _intake()
    counted = [row.verdict for row, _ in _accept(intake, [*evening, *morning])]
    assert counted == [OK] * 400
    again = [row.verdict for row, _ in _accept(intake, [*evening, *morning, *evening, *morning])]
    assert set(again) == {DUPLICATE, LATE}


def test_the_way_back_from_a_clock_that_is_ahead_for_good_is_to_read_on_without_it():
    wrong = [_message(100 * LATENESS + 10 * i, 5000 + i, number=i % 40) for i in range(400)]  # more than the lateness
    right = [_message(i, i, number=i % 40) for i in range(200)]
    poisoned = _intake()
    _accept(poisoned, [*right[:100], *wrong])
    assert {row.verdict for row, _ in _accept(poisoned, right[100:])} == {LATE}
    assert {row.verdict for row, _ in _accept(_intake(), right[100:])} == {OK}


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENT, max_size=200))
def test_the_clock_of_a_place_is_the_newest_of_its_feeds_and_may_go_back_with_it(events):
    columns = zip(*events, strict=True) if events else [()] * len(TYPES)
    got = _intake().accept(*(np.array(c, t) for c, t in zip(columns, TYPES, strict=True))).place_clock.tolist()
    oracles, expected = [PartitionOracle(LATENESS, AHEAD, ANSWERS, OWN, REPEATS) for _ in range(3)], []
    for source, *rest in events:
        oracles[source].accept(*rest)
        expected.append(oracles[source].place.newest)
    assert got == expected


def test_a_clock_that_went_back_between_two_saves_is_restored_where_it_is():
    intake, restored = _intake(), _intake()
    for part in ([_message(100 * LATENESS, 1)], [_message(0, 2, number=2)]):
        _accept(intake, part)
        restored.restore(0, intake.save(0, whole=False))
    assert restored.clocks() == intake.clocks() == {0: START}


def test_answers_that_a_full_memory_forgot_between_two_saves_stay_forgotten_in_what_is_restored():
    intake, restored = _intake(remembered_max=11), _intake(remembered_max=11)
    answers = [(0, 0, START + n, 0, ANSWER, n, 1, 2, -1, True) for n in range(11)]
    # It is full now; the next event, a duplicate here, makes room. No other memory says which answers went.
    for part in (answers, answers[-1:]):
        _accept(intake, part)
        restored.restore(0, intake.save(0, whole=False))
    assert restored.digest(0) == intake.digest(0)
    releases = [(0, 0, START + 10, 0, RELEASE, n, 1, 2, -1, True) for n in (0, 10)]
    assert [row.duration for row, _ in _accept(restored, releases)] == [-1, 0]
    assert [row.duration for row, _ in _accept(intake, releases)] == [-1, 0]
    assert not intake.save(0, whole=False).whole  # once is enough
