"""Habits: how a number that works every day calls and writes, as distributions, not as one round figure.

Talk times are lognormal with a share that hangs up at once; calls come at random moments, more at some hours than at
others, or from lines that call one customer after the other. What a kind has in common is drawn once per seed, what a
number has of its own varies around it: no mean, pace or answer rate is the same in two seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from streams.traffic.actors import Span, Work, one_line
from streams.traffic.hours import HOUR_MS, KOREA_MS, Day
from streams.traffic.population import Population
from streams.traffic.rows import UNANSWERED, Calls

BIN_MS = 300_000  # within which the rate of arrivals is the same
TALK_MAX_S = 5_400
DAY_ROUND = np.ones(24)

Say = Callable[[np.random.Generator], str]


@dataclass(frozen=True)
class Talk:
    """The course of one call. Shares are 0..1, times are medians in seconds; spread is the sigma of the logarithm."""

    answered: float
    hang_up: float  # of those answered, the share that ends at once
    median_s: float
    spread: float
    ring_s: float = 9.0
    at_once_s: float = 5.0
    patience_s: float = 24.0  # before a call that nobody answers is given up

    def draw(self, rng: np.random.Generator, at: np.ndarray, callees: np.ndarray) -> Calls:
        """Calls at these times, int64 ms, to these numbers."""
        n = len(at)
        taken, short = rng.random(n) < self.answered, rng.random(n) < self.hang_up
        ring = np.where(taken, _about(rng, self.ring_s, 0.45, n), _about(rng, self.patience_s, 0.35, n))
        talk = np.where(short, _about(rng, self.at_once_s, 0.5, n), _about(rng, self.median_s, self.spread, n))
        ring_ms = (np.clip(ring, 0.5, 90) * 1000).astype(np.int64)
        talk_ms = (np.clip(talk, 0.5, TALK_MAX_S) * 1000).astype(np.int64)
        return Calls(at, callees, ring_ms, np.where(taken, talk_ms, UNANSWERED))

    @property
    def mean_s(self) -> float:
        """The mean time that a call holds a line."""
        talk = self.median_s * float(np.exp(self.spread**2 / 2))
        return self.ring_s + self.answered * ((1 - self.hang_up) * talk + self.hang_up * self.at_once_s)


@dataclass(frozen=True)
class Circle:
    """The people whom a number calls or writes to: `known` of the contacts go to the same `size` people."""

    known: float = 0.0
    size: int = 1
    landlines: bool = False

    def draw(self, rng: np.random.Generator, people: Population, number: int, n: int) -> np.ndarray:
        pool = people.numbers[people.mobiles :] if self.landlines else people.numbers[: people.mobiles]
        out = pool[rng.integers(len(pool), size=n)]
        if self.known:
            mine = pool[np.random.default_rng([number, 1]).integers(len(pool), size=self.size)]
            again = rng.random(n) < self.known
            out[again] = mine[rng.integers(self.size, size=int(again.sum()))]
        return out


@dataclass(frozen=True)
class Calling:
    """Calls of a day: as there is reason (`per_hour`), or by `lines` that call one after the other."""

    talk: Talk
    profile: np.ndarray = field(repr=False)  # float64[24]: pace at each hour, 1 being usual, 0 closed
    per_hour: float = 0.0
    lines: int = 0
    wrap_s: float = 40.0  # median pause of a line after a call
    start_s: float = 60.0  # within which all lines begin
    circle: Circle = Circle()
    weekend: float = 0.0  # pace on a Saturday or Sunday
    unsteady: float = 0.3  # how much the pace changes from one five minutes to the next
    one_at_a_time: bool = False  # a telephone, not an exchange


@dataclass(frozen=True)
class Batch:
    """One text, or one with small changes, sent to many people one after the other."""

    hours: tuple[float, float]  # between which it begins
    size: tuple[int, int]
    gap_s: tuple[float, float]
    say: Callable[[np.random.Generator], Say]  # what this batch says
    chance: float = 1.0  # on a day
    circle: Circle = Circle()


@dataclass(frozen=True)
class Writing:
    """Messages of a day: batches, and others as there is reason."""

    batches: tuple[Batch, ...] = ()
    per_hour: float = 0.0
    profile: np.ndarray = field(default_factory=lambda: DAY_ROUND, repr=False)
    say: Say = lambda rng: "."
    circle: Circle = Circle()
    weekend: float = 1.0
    unsteady: float = 0.3


def habitual(
    number: int, calling: Calling | None = None, writing: Writing | None = None
) -> Callable[[Day, Population, np.random.Generator], Work]:
    """The work of a number with these habits on any day."""

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        out = Work()
        if calling is not None:
            out.calls = calls_of(calling, number, day, people, rng)
        if writing is not None:
            out.sent_at, out.recipients, out.texts = _messages(writing, number, day, people, rng)
        return out

    return work


def calls_of(habit: Calling, number: int, day: Day, people: Population, rng: np.random.Generator) -> Calls:
    pace = habit.weekend if day.weekend else 1.0
    if pace <= 0:
        return Calls.none()
    if habit.lines:
        at_work = [_lines(habit, span, max(1, round(habit.lines * pace)), rng) for span in _open(habit.profile, day)]
        calls = Calls.joined(at_work) if at_work else Calls.none()
        calls.callee = habit.circle.draw(rng, people, number, len(calls.at))
        return calls
    at = arrivals(rng, (day.begin_ms, day.end_ms), habit.per_hour * pace, habit.profile, habit.unsteady)
    calls = habit.talk.draw(rng, at, habit.circle.draw(rng, people, number, len(at)))
    return one_line(calls, 1_000) if habit.one_at_a_time else calls


def arrivals(
    rng: np.random.Generator, span: Span, per_hour: float, profile: np.ndarray, unsteady: float = 0.0
) -> np.ndarray:
    """Random times in a span, int64 ms, ascending: so many an hour, times the profile's value for the hour."""
    if span[0] >= span[1]:
        return np.empty(0, np.int64)
    bins = np.arange(span[0], span[1], BIN_MS, dtype=np.int64)
    width = np.minimum(span[1] - bins, BIN_MS)
    rate = per_hour * profile[(bins + KOREA_MS) // HOUR_MS % 24] * width / HOUR_MS
    if unsteady:
        rate = rate * rng.lognormal(-(unsteady**2) / 2, unsteady, len(bins))
    count = rng.poisson(rate)
    at = np.repeat(bins, count) + (rng.random(count.sum()) * np.repeat(width, count)).astype(np.int64)
    return np.sort(at)


def _lines(habit: Calling, span: Span, lines: int, rng: np.random.Generator) -> Calls:
    """Lines that call one customer after the other from the span's beginning to its end; callees are still open."""
    wrap_s = habit.wrap_s * 1.2
    each = int(1.6 * (span[1] - span[0]) / 1000 / (habit.talk.mean_s + wrap_s)) + 12
    shape = (lines, each)
    none = np.zeros(lines * each, np.int64)
    calls = habit.talk.draw(rng, none, none)
    wrap = (_about(rng, habit.wrap_s, 0.6, lines * each) * 1000).astype(np.int64)
    cycle = (calls.ends + wrap).reshape(shape)
    begin = span[0] + (rng.random((lines, 1)) * habit.start_s * 1000).astype(np.int64)
    calls.at = (begin + np.cumsum(cycle, axis=1) - cycle).ravel()
    return calls.take(calls.at < span[1])


def _open(profile: np.ndarray, day: Day) -> list[Span]:
    """The stretches of the day in which the profile is not 0."""
    hours = np.flatnonzero(profile > 0)
    if not len(hours):
        return []
    runs = np.split(hours, np.flatnonzero(np.diff(hours) > 1) + 1)
    spans = [(day.midnight_ms + int(r[0]) * HOUR_MS, day.midnight_ms + (int(r[-1]) + 1) * HOUR_MS) for r in runs]
    cut = [(max(begin, day.begin_ms), min(end, day.end_ms)) for begin, end in spans]
    return [(begin, end) for begin, end in cut if begin < end]


def _messages(
    habit: Writing, number: int, day: Day, people: Population, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    pace = habit.weekend if day.weekend else 1.0
    at = arrivals(rng, (day.begin_ms, day.end_ms), habit.per_hour * pace, habit.profile, habit.unsteady)
    times, whom = [at], [habit.circle.draw(rng, people, number, len(at))]
    texts = [habit.say(rng) for _ in at]
    for batch in habit.batches:
        if rng.random() >= batch.chance * pace:
            continue
        size = int(rng.integers(batch.size[0], batch.size[1] + 1))
        gap_ms = 1000 * rng.uniform(*batch.gap_s)
        first = day.midnight_ms + int(rng.uniform(*batch.hours) * HOUR_MS)
        times.append(first + np.cumsum(rng.gamma(2.0, gap_ms / 2, size)).astype(np.int64))
        whom.append(batch.circle.draw(rng, people, number, size))
        say = batch.say(rng)
        texts += [say(rng) for _ in range(size)]
    return np.concatenate(times), np.concatenate(whom), texts


def office(rng: np.random.Generator, opens: tuple[float, float], closes: tuple[float, float]) -> np.ndarray:
    """A day's profile, float64[24]: open between two hours drawn from these ranges, quieter at noon, livelier at some
    hours than at others."""
    first, last = round(rng.uniform(*opens)), round(rng.uniform(*closes))
    profile = np.zeros(24)
    profile[first:last] = rng.uniform(0.6, 1.4, max(last - first, 0))
    profile[12] *= rng.uniform(0.2, 0.9)
    if rng.random() < 0.5:
        profile[first] *= rng.uniform(1.2, 2.5)  # they begin with what the night has left
    return profile


def near(rng: np.random.Generator, centre: float, spread: float = 0.2) -> float:
    """A value of one's own around what the kind has in common."""
    return float(centre * rng.lognormal(0.0, spread))


def _about(rng: np.random.Generator, median: float, spread: float, n: int) -> np.ndarray:
    return rng.lognormal(np.log(median), spread, n)
