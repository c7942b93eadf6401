"""Innocents who are no business: the elderly who redial, alarm panels, roaming and ported lines, owners whose number is
forged.

`style` is drawn once per seed and kind, `own` for each number, as in `trades`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from streams.traffic import texts
from streams.traffic.actors import Actor, Work, bursts, one_line
from streams.traffic.feeds import DOMESTIC, E164, sender_feed
from streams.traffic.habits import DAY_ROUND, Calling, Circle, Talk, Writing, habitual, near, office
from streams.traffic.hours import Day
from streams.traffic.namesakes import NAMESAKES
from streams.traffic.notices import NOTICES
from streams.traffic.population import ABROAD, MOBILE, REPRESENTATIVE, SEOUL, Allocator, Population
from streams.traffic.rows import Calls
from streams.traffic.trades import TRADES, Rng, Trade

VOUCHED = 0.93  # share of innocents' lines whose feed says `verified: full`, where the trade itself says nothing else
_CIRCLE_TALK = Talk(answered=0.72, hang_up=0.05, median_s=50, spread=1.25)


def elderly_redialler(style: Rng, own: Rng) -> Trade:
    """Dials the same two or three numbers until somebody answers."""
    talk = Talk(
        answered=style.uniform(0.1, 0.5), hang_up=style.uniform(0.05, 0.4), median_s=near(own, style.uniform(20, 120)),
        spread=1.1, patience_s=style.uniform(10, 30),
    )  # fmt: skip
    circle = Circle(1.0, int(own.integers(1, 5)))
    profile = DAY_ROUND * 0.05
    profile[own.choice(np.arange(7, 22), 4, replace=False)] = 1.0
    habit = Calling(
        talk, profile, per_hour=near(own, style.uniform(15, 90)), circle=circle, weekend=1.0, one_at_a_time=True,
    )  # fmt: skip
    return Trade((MOBILE, SEOUL), habit)


def roamer(style: Rng, own: Rng) -> Trade:
    """A subscriber abroad: more calls home than usual. Some networks mark them as roaming, others as international."""
    calling = Calling(
        _CIRCLE_TALK, office(own, (7, 9), (21, 24)), per_hour=near(own, style.uniform(1, 8)),
        circle=Circle(0.6, 20), weekend=1.0,
    )  # fmt: skip
    writing = Writing(per_hour=near(own, 3.0), say=texts.chat, circle=Circle(0.9, 12))
    origin = "roaming" if own.random() < 0.7 else "international"
    verified = ("full", "partial", "none")[int(own.integers(3))]
    return Trade((MOBILE,), calling, writing, origin=origin, verified=verified)


def ported(style: Rng, own: Rng) -> Trade:
    """A busy subscriber whose number was another carrier's: nothing else is special."""
    calling = Calling(
        _CIRCLE_TALK, office(own, (7, 10), (20, 23)), per_hour=near(own, style.uniform(1, 6)), circle=Circle(0.7, 30),
        weekend=0.7,
    )  # fmt: skip
    writing = Writing(per_hour=near(own, 3.0), say=texts.chat, circle=Circle(0.9, 15))
    return Trade((MOBILE,), calling, writing)


def desk_abroad(style: Rng, own: Rng) -> Trade:
    """A hotel or clinic abroad that nobody vouches for: it calls its guests and texts them."""
    talk = Talk(
        answered=style.uniform(0.45, 0.75), hang_up=style.uniform(0.02, 0.2),
        median_s=near(own, style.uniform(30, 100)), spread=1.0,
    )  # fmt: skip
    hours = office(own, (7, 9), (18, 22))
    calling = Calling(talk, hours, per_hour=near(own, style.uniform(10, 40)), weekend=1.0)
    writing = Writing(
        per_hour=near(own, style.uniform(5, 40)), profile=hours, say=lambda rng: texts.reminder(rng, "Hotel")
    )
    return Trade(ABROAD, calling, writing, origin="international", verified="none")


NEIGHBOURS: dict[str, tuple[Callable[[Rng, Rng], Trade], float]] = {
    "elderly_redialler": (elderly_redialler, 6.0), "roamer": (roamer, 6.0), "ported": (ported, 10.0),
    "desk_abroad": (desk_abroad, 1.0),
}  # fmt: skip
ALARM, SPOOFED = "alarm_system", "spoofed_owner"
INNOCENTS = {**TRADES, **NOTICES, **NEIGHBOURS, **NAMESAKES}
KINDS = (*INNOCENTS, ALARM, SPOOFED)


def innocents(count: int, allocator: Allocator, seed: int) -> list[Actor]:
    """About `count` of every kind of innocent beyond those of `businesses`; fewer of the busiest."""
    actors = []
    for place, (kind, (build, share)) in enumerate(INNOCENTS.items()):
        for i in range(max(1, round(count * share)) if count else 0):
            own = np.random.default_rng([seed, 21, place, i])
            trade = build(np.random.default_rng([seed, 20, place]), own)
            actors.append(_actor(kind, trade, allocator, own, f"{kind[:6]}-{i}"))
    for i in range(count):
        own = np.random.default_rng([seed, 22, i])
        actors.append(_alarm(allocator.one((MOBILE, SEOUL)[i % 2]), own))
        actors += _spoofed(allocator, own)
    return actors


def _actor(kind: str, trade: Trade, allocator: Allocator, own: Rng, account: str) -> Actor:
    span = trade.ranges[int(own.integers(len(trade.ranges)))]
    number = allocator.one(span)
    carrier = ("SKT", "KT", "LGU", "MVNO-12")[own.choice(4, p=(0.42, 0.28, 0.22, 0.08))]
    verified = trade.verified
    if verified == "full" and own.random() >= VOUCHED:
        verified = ("partial", "")[int(own.integers(2))]
    style = E164 if span in REPRESENTATIVE or not str(number).startswith("82") or own.random() < 0.6 else DOMESTIC
    relay = (f"relay-{int(own.integers(1, 9)):02d}", f"rs-{int(own.integers(1, 900)):04d}", account)
    feed = sender_feed(carrier, *(relay if trade.relay else ("", "", "")), trade.origin, verified, trade.channel, style)
    calling = trade.calling
    if calling is not None and span == MOBILE:
        calling = replace(calling, one_at_a_time=True)
    return Actor(number, kind, True, feed, habitual(number, calling, trade.writing))


def _alarm(number: int, own: Rng) -> Actor:
    """A panel that rings its keepers in turn, again and again, until somebody answers: minutes without a pause."""
    keepers, per_day = Circle(1.0, int(own.integers(3, 11))), own.uniform(1, 6)
    talk = Talk(answered=0.4, hang_up=0.1, median_s=near(own, 9), spread=0.5, ring_s=7, patience_s=12)

    def work(day: Day, people: Population, rng: np.random.Generator) -> Work:
        parts = []
        for _ in range(rng.poisson(per_day)):
            begin = int(rng.integers(day.begin_ms, day.end_ms))
            span = (begin, min(day.end_ms, begin + int(rng.uniform(60, 900) * 1000)))
            at = bursts(rng, span, (900, 900), (1, 1), (1.5, 12))
            parts.append(one_line(talk.draw(rng, at, keepers.draw(rng, people, number, len(at))), 1_000))
        return Work(calls=Calls.joined([Calls.none(), *parts]))

    return Actor(number, ALARM, True, sender_feed("KT", "", "", "", "domestic", "full"), work)


def _spoofed(allocator: Allocator, own: Rng) -> list[Actor]:
    """A subscriber or office, and somebody abroad who forges that number for hours: its line must not be cut."""
    office_line = own.random() < 0.4
    number = allocator.one(SEOUL if office_line else MOBILE)
    trade = ported(own, own)
    if office_line:
        trade = trade._replace(writing=None)
    owner = Actor(
        number, SPOOFED, True, sender_feed("SKT", "", "", "", "domestic", "full"),
        habitual(number, trade.calling, trade.writing),
    )  # fmt: skip
    verified = ("none", "", "partial")[int(own.integers(3))]
    first, pace = int(own.integers(9, 14)), near(own, 120, 0.8)
    profile = np.zeros(24)
    profile[first : first + int(own.integers(1, 5))] = 1.0
    talk = Talk(answered=own.uniform(0.2, 0.5), hang_up=own.uniform(0.4, 0.9), median_s=30, spread=0.8)
    calls = Calling(talk, profile, per_hour=pace, weekend=1.0)
    texted = Writing(per_hour=pace, profile=profile, say=texts.bulk)
    mixture = int(own.integers(3))
    forger = Actor(
        number, SPOOFED, True, sender_feed("KT", "", "", "", "international", verified),
        habitual(number, calls if mixture != 1 else None, texted if mixture != 0 else None),
    )  # fmt: skip
    return [owner, replace(forger, forges=True)]
