"""Offenders, one kind for each way of misusing a number that the rules are after. Rates, hours, lifetimes and number
types follow the published cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streams.traffic.actors import Actor, Span, Work
from streams.traffic.hours import DAY_MS, HOUR_MS, KOREA_MS, Day, days, draw_office_time
from streams.traffic.offences import BUILDERS, Act
from streams.traffic.population import Allocator, Population
from streams.traffic.rows import Calls

KINDS = (
    "burst_dialler", "patient_dialler", "simultaneous_dialler", "short_call_dialler",
    "fake_payment", "trusted_relative", "international_bulk", "series_member",
)  # fmt: skip
RARE = ("one_ring_abroad", "dialler_abroad", "sudden_dialler", "steady_abroad", "forged_sender", "web_sender")
CALLERS = (*KINDS[:4], *RARE[:3])
SENDERS = (*KINDS[4:], *RARE[3:])

# Activity on a weekend day against a weekday: 42 % over all cases; relatives keep at it, fake payments do not.
WEEKEND = {"trusted_relative": 0.46, "fake_payment": 0.18}
WEEKEND_OTHERS = 0.42
SERIES_MEMBERS_MAX = 62
SERIES_PER_OFFENDER = 3
PATIENT = {
    "patient_dialler", "careful_dialler", "slow_dialler", "slow_abroad", "quiet_relative", "sim_box", "sim_box_texts",
    "series_dialler", "series_texts",
}  # fmt: skip
SHORT_MS = 12 * HOUR_MS  # traffic no longer than this does not wait for office hours
AT_ONCE_MS = 3 * HOUR_MS  # in such traffic those who are not patient work as long as this


def offenders(
    per_kind: int, kinds: Sequence[str], allocator: Allocator, seed: int, start_ms: int, end_ms: int
) -> list[Actor]:
    """`per_kind` of each kind, three times as many members of the series (at most 62); each with a start, a lifetime
    and weekend habits of its own."""
    return [
        actor
        for place, kind in enumerate(KINDS + RARE)
        if kind in kinds
        for actor in _kind(kind, per_kind, allocator, np.random.default_rng([seed, 3, place]), start_ms, end_ms)
    ]


def _kind(
    kind: str, count: int, allocator: Allocator, rng: np.random.Generator, start_ms: int, end_ms: int
) -> list[Actor]:
    if kind == "series_member":
        count = min(count * SERIES_PER_OFFENDER, SERIES_MEMBERS_MAX)
    begins = starts(rng, count, start_ms, end_ms)
    build = BUILDERS[kind](count, allocator, rng)
    actors = []
    for i, begin in enumerate(begins):
        number, feed, act = build(i)
        work = on_duty(kind, (begin, begin + lifetime_days(rng) * DAY_MS), act)
        actors.append(Actor(number, kind, False, feed, work, kind if kind == "series_member" else ""))
    return actors


def starts(rng: np.random.Generator, count: int, start_ms: int, end_ms: int) -> list[int]:
    """When each begins, ascending: spread over the first half of short traffic (the first soon); else on days weighted
    as cases are over the week, in office hours, so that four fifths of the time has passed at the latest."""
    length = end_ms - start_ms
    if length <= SHORT_MS:
        steps = (np.arange(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
        return [int(start_ms + length * (0.02 + 0.5 * s)) for s in steps]
    choices = days(start_ms, start_ms + length * 4 // 5, True)
    weights = np.array([(WEEKEND_OTHERS if d.weekend else 1.0) * (d.end_ms - d.begin_ms) for d in choices])
    picked = rng.choice(len(choices), size=count, p=weights / weights.sum())
    return sorted(max(start_ms, draw_office_time(rng, choices[i])) for i in picked)


def lifetime_days(rng: np.random.Generator) -> int:
    """58 % of criminal numbers live one day, 89 % a month at most, a few more than half a year."""
    u = rng.random()
    if u < 0.58:
        return 1
    return int(np.exp(rng.uniform(np.log(2), np.log(31)))) if u < 0.89 else int(rng.integers(31, 336))


def on_duty(kind: str, alive: Span, act: Act) -> Callable[[Day, Population, np.random.Generator], Work]:
    """The day's work: stretches of work that start at office hours, from the actor's start to its end."""
    first_day = (alive[0] + KOREA_MS) // DAY_MS

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        begin, end = max(alive[0], day.begin_ms), min(alive[1], day.end_ms)
        if begin >= end:
            return Work()
        if not day.office_hours:
            return act((begin, end if kind in PATIENT else min(end, begin + AT_ONCE_MS)), people, rng)
        rests = rng.random() >= WEEKEND.get(kind, WEEKEND_OTHERS)
        if day.weekend and rests and day.index != first_day:
            return Work()
        return _joined([act(s, people, rng) for s in _stretches(kind, rng, day, (begin, end), day.index == first_day)])

    return work


def _stretches(kind: str, rng: np.random.Generator, day: Day, alive: Span, first_day: bool) -> list[Span]:
    """Patient ones work from 9 to 18; the others an hour or less at a time, mostly before noon."""
    if kind in PATIENT:
        nine = day.midnight_ms + 9 * HOUR_MS
        return _cut([(nine, nine + 9 * HOUR_MS)], alive) or ([alive] if first_day else [])
    begins = [draw_office_time(rng, day) for _ in range(2 + rng.poisson(1))]
    if first_day:
        begins[0] = alive[0]
    spans: list[Span] = []
    for begin in sorted(begins):
        end = begin + int(rng.uniform(25, 60) * 60_000)
        if not spans or begin > spans[-1][1]:
            spans.append((begin, end))
    return _cut(spans, alive)


def _cut(spans: list[Span], alive: Span) -> list[Span]:
    cut = [(max(b, alive[0]), min(e, alive[1])) for b, e in spans]
    return [(b, e) for b, e in cut if b < e]


def _joined(parts: list[Work]) -> Work:
    parts = [Work(), *parts]
    return Work(
        calls=Calls.joined([p.calls for p in parts]),
        sent_at=np.concatenate([p.sent_at for p in parts]),
        recipients=np.concatenate([p.recipients for p in parts]),
        texts=[t for p in parts for t in p.texts],
    )
