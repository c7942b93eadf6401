"""Ordinary people: they call and write to a circle of their own, one call at a time, more by day than by night."""

from __future__ import annotations

import numpy as np

from streams.traffic.population import Population
from streams.traffic.rows import BOTH, EVENTS, UNANSWERED, WHOLE, Calls, Rows, join, messages

CALLS_A_DAY = 4.0  # mean of a subscriber on a weekday
MESSAGES_A_DAY = 6.0
ANSWERED = 0.72
RECORDS_PER_CALL = {EVENTS: 2 + ANSWERED, WHOLE: 1.0, BOTH: 3 + ANSWERED}
STRANGERS = 0.1  # share of calls and messages to somebody outside the circle
CIRCLE = 30


class Subscribers:
    def __init__(
        self, population: Population, seed: int, calls: bool, writes: bool, text_count: int, form: str
    ) -> None:
        self._people = population
        self._form = form
        self._calls_per_record, self._messages_per_record = shares(calls, writes, form)
        self._rng = np.random.default_rng([seed, 4])
        self._salt = np.uint64(self._rng.integers(1, 2**62) | 1)
        self._texts = text_count
        self._busy_until = np.zeros(population.size, np.int64)

    def between(self, begin_ms: int, end_ms: int, records: float, first_call_id: int) -> tuple[Rows, int]:
        """About `records` records that start in [begin_ms, end_ms), unsorted, and how many calls are among them."""
        rng = self._rng
        calls, callers = self._calls(begin_ms, end_ms, rng.poisson(records * self._calls_per_record))
        n = rng.poisson(records * self._messages_per_record)
        senders = np.searchsorted(self._people.writing, rng.random(n))
        at = rng.integers(begin_ms, end_ms, n)
        sent = messages(at, senders, self._contacts(senders), rng.integers(self._texts, size=n))
        return join([calls.rows(callers, first_call_id, self._form), sent]), len(callers)

    def _calls(self, begin_ms: int, end_ms: int, n: int) -> tuple[Calls, np.ndarray]:
        rng = self._rng
        callers = np.searchsorted(self._people.calling, rng.random(n))
        at = rng.integers(begin_ms, end_ms, n)
        order = np.lexsort((at, callers))
        callers, at = callers[order], at[order]
        taken = rng.random(n) < ANSWERED
        ring = np.where(taken, rng.gamma(2.0, 4_500, n) + 1_500, rng.uniform(8_000, 40_000, n)).astype(np.int64)
        # Median about 50 s, mean about 110 s: a long tail of long talks.
        talk = np.where(taken, np.minimum(rng.lognormal(10.85, 1.25, n), 5_400_000), UNANSWERED).astype(np.int64)
        calls = Calls(at, self._contacts(callers), ring, talk)
        free = self._free(callers, calls)
        return calls.take(free), callers[free]

    def _free(self, callers: np.ndarray, calls: Calls) -> np.ndarray:
        """The calls that their callers are free to make, since nobody holds two. Rows lie caller by caller, ascending
        by time."""
        n = len(callers)
        if n == 0:
            return np.ones(0, bool)
        ends = calls.ends
        # A running maximum per caller in one pass: each caller's times are lifted above all times of the one before.
        group = np.cumsum(np.diff(callers, prepend=callers[:1]) != 0)
        lift = group * (int(ends.max()) - int(calls.at.min()) + 1)
        latest = np.maximum.accumulate(ends + lift) - lift
        before = np.concatenate([[0], latest[:-1]])
        before[np.diff(group, prepend=-1) != 0] = 0
        free = calls.at >= np.maximum(before, self._busy_until[callers])
        np.maximum.at(self._busy_until, callers[free], ends[free])
        return free

    def _contacts(self, who: np.ndarray) -> np.ndarray:
        """The numbers they call: mostly the first few of a circle that a hash of the caller gives, now and then a
        stranger."""
        n, people = len(who), self._people
        place = np.minimum(self._rng.zipf(1.6, n), CIRCLE).astype(np.uint64)
        mixed = (who.astype(np.uint64) * np.uint64(CIRCLE + 1) + place) * self._salt
        mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        contact = ((mixed ^ (mixed >> np.uint64(32))) % np.uint64(people.mobiles)).astype(np.int64)
        stranger = self._rng.random(n) < STRANGERS
        contact[stranger] = self._rng.integers(people.mobiles, size=int(stranger.sum()))
        contact = np.where(contact == who, (contact + 1) % people.mobiles, contact)
        return people.numbers[contact]


def shares(calls: bool, writes: bool, form: str) -> tuple[float, float]:
    """Calls and messages per record, of a mixture in which subscribers do one or both."""
    records = records_a_day(calls, writes, form)
    return CALLS_A_DAY * calls / records, MESSAGES_A_DAY * writes / records


def records_a_day(calls: bool, writes: bool, form: str) -> float:
    return CALLS_A_DAY * RECORDS_PER_CALL[form] * calls + MESSAGES_A_DAY * writes
