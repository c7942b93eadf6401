"""Busy legitimate numbers, which a rule must not take for offenders. All are fully verified."""

from __future__ import annotations

import numpy as np

from streams.traffic import texts
from streams.traffic.actors import Actor, Work, bursts, dial, one_line
from streams.traffic.feeds import DOMESTIC, sender_feed
from streams.traffic.hours import HOUR_MS, Day
from streams.traffic.population import AREAS, MOBILE, REPRESENTATIVE, SEOUL, VOIP, Allocator, Population
from streams.traffic.rows import Calls

KINDS = ("courier", "hospital", "bank", "call_centre")
COURIERS = 5  # for each of the others


def businesses(count: int, allocator: Allocator, seed: int) -> list[Actor]:
    """`count` hospitals, banks and call centres each, and five times as many couriers."""
    rng = np.random.default_rng([seed, 2])
    actors = []
    for i in range(count):
        for j in range(COURIERS):
            actors.append(_courier(allocator.one(MOBILE), rng, 1 + i * COURIERS + j))
        actors.append(_hospital(allocator.one_of((SEOUL, *AREAS), rng), i))
        actors.append(_bank(allocator.one_of(REPRESENTATIVE, rng), i))
        span = VOIP if i % 2 else REPRESENTATIVE[i % len(REPRESENTATIVE)]
        actors.append(_call_centre(allocator.one(span), i))
    return actors


def _courier(number: int, rng: np.random.Generator, place: int) -> Actor:
    """150 to 300 short calls a day, nearly every one to somebody else, six days a week, from 09 to 20."""
    calls_a_day = int(rng.integers(150, 301))

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        open_s = 11 * 3600
        span = _open(day, 9, 20)
        if day.weekend and place % 2:
            return Work()
        gap_s = open_s / calls_a_day
        at = bursts(rng, span, (open_s, open_s), (open_s, open_s), (gap_s, gap_s))
        calls = dial(rng, at, people.strangers(rng, len(at)), 0.8, (3, 18), (12, 55), (20, 30))
        return Work(calls=one_line(calls, 5_000))

    carrier = ("SKT", "KT", "LGU")[place % 3]
    return Actor(number, "courier", True, sender_feed(carrier, "", "", "", "domestic", "full"), work)


def _hospital(number: int, place: int) -> Actor:
    """A few hundred reminders in the morning: one template, other times."""

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        if day.weekend:
            return Work()
        at = bursts(rng, _open(day, 8.5, 11), (9000, 9000), (9000, 9000), (22, 36))
        return Work(
            sent_at=at,
            recipients=people.strangers(rng, len(at)),
            texts=[texts.reminder(rng, f"늘봄의원{place + 1}") for _ in at],
        )

    feed = sender_feed("KT", "relay-02", f"rs-{101 + place:04d}", f"clinic-{place + 1}", "web", "full", "lms", ("0", 2))
    return Actor(number, "hospital", True, feed, work)


def _bank(number: int, place: int) -> Actor:
    """Thousands of one-time passwords and notices a day, at all hours, from a representative number."""

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        parts = [
            bursts(rng, _open(day, begin, end), (DAY_S, DAY_S), (DAY_S, DAY_S), (gap_s, gap_s))
            for begin, end, gap_s in ((0, 7, 60), (7, 9, 14), (9, 18, 8), (18, 24, 14))
        ]
        at = np.concatenate(parts)
        return Work(
            sent_at=at,
            recipients=people.strangers(rng, len(at)),
            texts=[texts.bank_notice(rng, f"한빛은행{place + 1}") for _ in at],
        )

    feed = sender_feed("SKT", "relay-01", f"rs-{11 + place:04d}", f"bank-{place + 1}", "web", "full", "lms", ("", 2))
    return Actor(number, "bank", True, feed, work)


def _call_centre(number: int, place: int) -> Actor:
    """30 agents behind one number, who call customers one after the other: many simultaneous calls, real talks."""
    lines = 30

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        begin, end = _open(day, 9, 18)
        if day.weekend or begin >= end:
            return Work()
        parts = []
        for _ in range(lines):
            calls = int((end - begin) / 200_000) + 2
            ring = rng.integers(5_000, 25_000, calls)
            talk = np.where(rng.random(calls) < 0.75, rng.gamma(2.0, 110_000, calls).astype(np.int64) + 15_000, -1)
            wrap_up = rng.integers(30_000, 120_000, calls)
            cycle = ring + np.maximum(talk, 0) + wrap_up
            at = begin + int(rng.integers(0, 120_000)) + np.concatenate([[0], np.cumsum(cycle)[:-1]])
            part = Calls(at, people.strangers(rng, calls), ring, talk)
            parts.append(part.take(at < end))
        return Work(calls=Calls.joined(parts))

    style = ("", 2) if str(number).startswith("821") else DOMESTIC
    feed = sender_feed("LGU", "relay-03", f"rs-{31 + place:04d}", f"desk-{place + 1}", "domestic", "full", style=style)
    return Actor(number, "call_centre", True, feed, work)


DAY_S = 24 * 3600


def _open(day: Day, begin_hour: float, end_hour: float) -> tuple[int, int]:
    """The part of opening hours that falls into the day; empty spans have begin >= end."""
    begin, end = (day.midnight_ms + int(h * HOUR_MS) for h in (begin_hour, end_hour))
    return max(begin, day.begin_ms), min(end, day.end_ms)
