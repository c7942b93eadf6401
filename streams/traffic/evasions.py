"""Offenders who know that they are watched: just under limits, slow, padded, spread over many numbers, unverified.

A crew is one number, or all numbers of a gang. `rng` draws what a crew has of its own: paces, shares and talk times are
other ones in each, so that no rule is tuned to a figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streams.traffic import texts
from streams.traffic.actors import Actor, Span, Work, bursts, one_line
from streams.traffic.disguises import disguised
from streams.traffic.feeds import DOMESTIC, E164, Feed, sender_feed
from streams.traffic.habits import Circle, Talk
from streams.traffic.hours import DAY_MS, is_weekend
from streams.traffic.offences import DAY_S, Act
from streams.traffic.offenders import lifetime_days, on_duty, starts
from streams.traffic.population import ABROAD, MOBILE, SEOUL, SERIES_SEOUL, VOIP, Allocator, Population

Rng = np.random.Generator
LINES = (VOIP, MOBILE, SEOUL)
HUNDREDS = ((8270_6000_00, 90_000), (822_7000_00, 90_000))  # 070-6XXX-XX.. and 02-7XXX-XX.., which nobody else has


class Member(NamedTuple):
    number: int
    feed: Feed
    act: Act
    kind: str = ""  # where it is not its crew's


Crew = Callable[[int, Allocator, Rng], list[Member]]


def _feed(rng: Rng, verified: str = "full", origin: str = "domestic", relay: bool = False) -> Feed:
    carrier = ("MVNO-07", "MVNO-21", "KT", "LGU")[rng.choice(4, p=(0.5, 0.26, 0.14, 0.1))]
    through = ("relay-07", f"rs-{int(rng.integers(700, 760)):04d}", f"acc-{int(rng.integers(10**4)):04d}")
    style = DOMESTIC if origin != "international" and rng.random() < 0.4 else E164
    return sender_feed(carrier, *(through if relay else ("", "", "")), origin, verified, "sms", style)


def _pitch(rng: Rng, seconds: tuple[float, float] = (6, 35)) -> Talk:
    """A fraudster's call: many do not answer, most of the others hang up soon, a few are talked to at length."""
    return Talk(
        answered=rng.uniform(0.25, 0.7), hang_up=rng.uniform(0.3, 0.7), median_s=rng.uniform(*seconds),
        spread=rng.uniform(0.4, 1.0), at_once_s=rng.uniform(3, 8), patience_s=rng.uniform(8, 25),
    )  # fmt: skip


def _dialling(talk: Talk, gap_s: tuple[float, float], run_s: float, pause_s: float, lines: bool = True) -> Act:
    """Calls to strangers, with so many seconds between two, in runs with pauses. Without `lines`: one at a time."""

    def act(span: Span, people: Population, rng: Rng) -> Work:
        at = bursts(rng, span, (0.7 * run_s, 1.3 * run_s), (0.7 * pause_s, 1.3 * pause_s), gap_s)
        calls = talk.draw(rng, at, people.strangers(rng, len(at)))
        return Work(calls=calls if lines else one_line(calls, 1_000))

    return act


def _writing(gap_s: tuple[float, float], run_s: float, pause_s: float, say: Callable[[Rng], str]) -> Act:
    def act(span: Span, people: Population, rng: Rng) -> Work:
        at = bursts(rng, span, (0.7 * run_s, 1.3 * run_s), (0.7 * pause_s, 1.3 * pause_s), gap_s)
        return Work(sent_at=at, recipients=people.strangers(rng, len(at)), texts=[say(rng) for _ in at])

    return act


def _one(act: Act, allocator: Allocator, rng: Rng, spans: tuple[tuple[int, int], ...] = LINES, **feed: str) -> Member:
    return Member(allocator.one_of(spans, rng), _feed(rng, **feed), act)  # type: ignore[arg-type]


# -- plain: nothing is hidden


def robodialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """A machine with many lines: a call every half second to two seconds, a recorded voice."""
    gap = rng.uniform(0.5, 2.0)
    return [_one(_dialling(_pitch(rng), (gap, gap), 300, 1200), allocator, rng, (VOIP, SEOUL))]


def one_ring(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """One ring and away, from a domestic number that is dear to call back."""
    talk = Talk(answered=rng.uniform(0.01, 0.08), hang_up=0.9, median_s=3, spread=0.5, patience_s=rng.uniform(1.5, 4))
    gap = rng.uniform(3, 12)
    return [_one(_dialling(talk, (gap, gap), 900, 600), allocator, rng, (VOIP, MOBILE))]


def infected_telephone(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """A subscriber's telephone whose malware writes to strangers by the minute until somebody cleans it."""
    text, gap = texts.lure(rng), rng.uniform(1, 6)
    return [_one(_writing((gap, gap), 400, 1500, texts.repeated(text)), allocator, rng, (MOBILE,))]


# -- just under a limit, slow, padded


def careful_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Stays a little below a limit that one would guess: calls a minute, calls an hour, seconds, lines."""
    below = rng.uniform(0.75, 0.98)
    spans: tuple[tuple[int, int], ...] = (VOIP, SEOUL)
    if place % 4 == 0:  # fewer than 25 calls a minute
        act = _dialling(_pitch(rng), (60 / (25 * below),) * 2, 240, 900)
    elif place % 4 == 1:  # fewer than 28 calls an hour, by hand
        act, spans = _dialling(_pitch(rng), (3600 / (28 * below),) * 2, DAY_S, 1, lines=False), (MOBILE,)
    elif place % 4 == 2:  # calls that last a little longer than "short" ones
        talk = Talk(rng.uniform(0.4, 0.7), rng.uniform(0.05, 0.2), rng.uniform(25, 45), 0.4)
        act = _dialling(talk, (20, 35), 1800, 600, lines=False)
    else:  # fewer lines at once than are looked at
        talk = _pitch(rng, (20, 60))
        act = _dialling(talk, (talk.mean_s / (7 * below),) * 2, 900, 900)
    return [_one(act, allocator, rng, spans)]


def slow_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """10 to 24 calls an hour all day, by hand."""
    gap = 3600 / rng.uniform(10, 24)
    return [_one(_dialling(_pitch(rng), (gap, gap), DAY_S, 1, lines=False), allocator, rng)]


def padded_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """A dialler whose accomplices take one call in ten and talk for minutes, so that means look like a business's."""
    talk, gap, share = _pitch(rng), rng.uniform(4, 40), rng.uniform(0.04, 0.2)
    friends = Circle(1.0, int(rng.integers(1, 5)))
    number = allocator.one_of((VOIP, SEOUL), rng)

    def act(span: Span, people: Population, rng: Rng) -> Work:
        at = bursts(rng, span, (900, 1800), (600, 1200), (gap, gap))
        calls = talk.draw(rng, at, people.strangers(rng, len(at)))
        padding = rng.random(len(at)) < share
        calls.callee[padding] = friends.draw(rng, people, number, int(padding.sum()))
        calls.talk_ms[padding] = rng.integers(120_000, 900_000, int(padding.sum()))
        return Work(calls=calls)

    return [Member(number, _feed(rng), act)]


def weekend_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Works at weekends only, a little below the limits that are said to hold then."""
    inner = _dialling(_pitch(rng), (60 / rng.uniform(26, 39),) * 2, 240, 900)

    def act(span: Span, people: Population, rng: Rng) -> Work:
        return inner(span, people, rng) if is_weekend(span[0]) else Work()

    return [_one(act, allocator, rng, (VOIP, SEOUL))]


# -- gangs with many numbers


def _in_turn(act: Act, place: int, slot_s: float) -> Act:
    """The same act in the place-th slot of the span only: numbers used one after the other."""

    def turn(span: Span, people: Population, rng: Rng) -> Work:
        begin = span[0] + int(place * slot_s * 1000)
        end = min(span[1], begin + int(slot_s * 1000))
        return act((begin, end), people, rng) if begin < end else Work()

    return turn


def _series(allocator: Allocator, rng: Rng, members: int) -> list[int]:
    """Numbers that were bought together, ascending: a hundred neighbours in a row of 070 or 02 numbers."""
    begin = 100 * allocator.one(HUNDREDS[int(rng.integers(2))])
    return [begin + int(n) for n in np.sort(rng.choice(100, members, replace=False))]


def series_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """8 to 30 numbers of one series, each used for 15 to 60 calls, then the next."""
    members, calls, gap = int(rng.integers(8, 31)), rng.uniform(15, 60), rng.uniform(4, 30)
    act, feed = _dialling(_pitch(rng), (gap, gap), DAY_S, 1), _feed(rng)
    numbers = _series(allocator, rng, members)
    return [Member(number, feed, _in_turn(act, i, calls * gap)) for i, number in enumerate(numbers)]


def series_texts(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Fake payments from 8 to 30 numbers of one series, each used for 15 to 50 texts."""
    members, sent, gap = int(rng.integers(8, 31)), rng.uniform(15, 50), rng.uniform(5, 40)
    repeated, desk = texts.amounts(rng), allocator.one(SERIES_SEOUL[place % 2])
    act = _writing((gap, gap), DAY_S, 1, lambda rng: texts.fake_payment(rng, repeated, desk, False))
    feed = _feed(rng, origin="web", relay=True)
    numbers = _series(allocator, rng, members)
    return [Member(number, feed, _in_turn(act, i, sent * gap)) for i, number in enumerate(numbers)]


def sim_box(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """8 to 32 mobile lines in one box that take turns at every call: 3 to 14 calls an hour from each."""
    gap, carrier = 3600 / rng.uniform(3, 14), _feed(rng)
    act = _dialling(_pitch(rng), (gap, gap), DAY_S, 1, lines=False)
    return [Member(allocator.one(MOBILE), carrier, act) for _ in range(int(rng.integers(8, 33)))]


def sim_box_texts(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """The same for texts to strangers: an advertisement of gambling, a fake parcel."""
    gap, carrier, text = 3600 / rng.uniform(6, 30), _feed(rng), texts.lure(rng)
    act = _writing((gap, gap), DAY_S, 1, texts.repeated(text))
    return [Member(allocator.one(MOBILE), carrier, act) for _ in range(int(rng.integers(8, 33)))]


# -- known by what they say


def quiet_relative(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Mum or dad on a strange number: 6 to 25 texts an hour by hand, every one a little different."""
    gap, implied = 3600 / rng.uniform(6, 25), allocator.one(MOBILE)
    return [
        _one(
            _writing((gap, gap), DAY_S, 1, lambda rng: disguised(rng, texts.trusted_relative(rng, implied))),
            allocator,
            rng,
            (MOBILE,),
        )
    ]


def payment_domestic(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Fake payments from a landline or VoIP number, and the desk that they ask to call. Victims call it, it calls some
    back: long talks, like any office."""
    gap, repeated = rng.uniform(6, 40), texts.amounts(rng)
    desk = allocator.one_of((SERIES_SEOUL[0], VOIP), rng)
    sender = _one(
        _writing((gap, gap), 1200, 900, lambda rng: disguised(rng, texts.fake_payment(rng, repeated, desk, False))),
        allocator, rng, (SEOUL, VOIP),
    )  # fmt: skip
    talk, back = Talk(rng.uniform(0.6, 0.9), 0.1, rng.uniform(120, 400), 0.8), 3600 / rng.uniform(5, 20)
    return [sender, Member(desk, _feed(rng), _dialling(talk, (back, back), DAY_S, 1, lines=False), DESK)]


# -- nobody vouches for the number


def unvouched_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """A plain dialler in whose records nobody says that the number is the caller's: absent, partial or none."""
    gap, verified = rng.uniform(1.5, 8), ("", "partial", "none")[place % 3]
    return [_one(_dialling(_pitch(rng), (gap, gap), 300, 900), allocator, rng, verified=verified)]


def spoofing_dialler(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Calls from abroad under domestic numbers that nobody has."""
    gap = rng.uniform(2, 15)
    act = _dialling(_pitch(rng), (gap, gap), 900, 600)
    return [_one(act, allocator, rng, (SEOUL, MOBILE, VOIP), verified="none", origin="international")]


def unvouched_texts(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """Fake payments under domestic numbers, in records that do not say who vouches for them."""
    gap, repeated, desk = rng.uniform(4, 20), texts.amounts(rng), allocator.one(SERIES_SEOUL[1])
    act = _writing((gap, gap), 1200, 900, lambda rng: texts.fake_payment(rng, repeated, desk, False))
    return [_one(act, allocator, rng, (SEOUL, VOIP, MOBILE), verified=("", "partial", "none")[place % 3])]


def slow_abroad(place: int, allocator: Allocator, rng: Rng) -> list[Member]:
    """A text every minute or three from abroad, all day, each with another amount."""
    gap, repeated, desk = rng.uniform(50, 180), texts.amounts(rng), allocator.one(SERIES_SEOUL[1])
    act = _writing((gap, gap), DAY_S, 1, lambda rng: disguised(rng, texts.fake_payment(rng, repeated, desk, True)))
    return [_one(act, allocator, rng, ABROAD, verified="none", origin="international")]


CALLERS: dict[str, Crew] = {
    "robodialler": robodialler, "one_ring": one_ring, "careful_dialler": careful_dialler,
    "slow_dialler": slow_dialler, "padded_dialler": padded_dialler, "weekend_dialler": weekend_dialler,
    "series_dialler": series_dialler, "sim_box": sim_box, "unvouched_dialler": unvouched_dialler,
    "spoofing_dialler": spoofing_dialler,
}  # fmt: skip
SENDERS: dict[str, Crew] = {
    "infected_telephone": infected_telephone, "series_texts": series_texts, "sim_box_texts": sim_box_texts,
    "quiet_relative": quiet_relative, "payment_domestic": payment_domestic, "unvouched_texts": unvouched_texts,
    "slow_abroad": slow_abroad,
}  # fmt: skip
DESK = "desk"
GANGS = ("series_dialler", "series_texts", "sim_box", "sim_box_texts")
KINDS = (*CALLERS, *SENDERS, DESK)


def evasive(per_kind: int, calls: bool, writes: bool, allocator: Allocator, seed: int, span: Span) -> list[Actor]:
    """`per_kind` crews of each kind (of gangs a third), each with a start and a lifetime of its own."""
    actors = []
    for place, (kind, crew) in enumerate({**CALLERS, **SENDERS}.items()):
        if not (calls if kind in CALLERS else writes):
            continue
        rng = np.random.default_rng([seed, 23, place])
        crews = -(-per_kind // 3) if kind in GANGS else per_kind
        for i, begin in enumerate(starts(rng, crews, *span)):
            alive = (begin, begin + lifetime_days(rng) * DAY_MS)
            members = crew(i, allocator, np.random.default_rng([seed, 24, place, i]))
            gang = f"{kind}-{i}" if len(members) > 1 else ""
            for member in members:
                work = on_duty(kind, alive, member.act)
                actors.append(Actor(member.number, member.kind or kind, False, member.feed, work, gang))
    return actors
