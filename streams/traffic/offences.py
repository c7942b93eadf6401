"""The acts of each kind of offender in a stretch of work, its numbers, and its feeds.

A builder is made once for a kind and answers for its i-th offender with (number, feed, act)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streams.traffic import texts
from streams.traffic.actors import Span, Work, bursts, dial, one_line
from streams.traffic.feeds import DOMESTIC, E164, Feed, sender_feed
from streams.traffic.population import (
    ABROAD,
    AREAS,
    MOBILE,
    REPRESENTATIVE,
    SAFE,
    SEOUL,
    SERIES_7893,
    SERIES_SEOUL,
    VOIP,
    Allocator,
    Population,
)  # fmt: skip
from streams.traffic.rows import Calls

Act = Callable[[Span, Population, np.random.Generator], Work]
Builder = Callable[[int], tuple[int, Feed, Act]]

# Published counts.
FAKE_PAYMENT_SENDERS = (("international", 233), ("landline", 71), ("voip", 38))
RELATIVE_SENDERS = (("mobile", 1218), ("voip", 12))
CRIMINAL_CARRIERS = (("KT", 773), ("LGU", 432), ("SKT", 22))  # KT 63 %, SKT 1 %, though SKT's market share is 44 %
ACCESS_CODES = (("006", 59), ("00700", 59), ("002", 44), ("001", 7), ("+", 29))  # 006 and 00700 together 118
BURNER_CARRIERS = (("MVNO-07", 60), ("MVNO-21", 32), ("KT", 8))  # 92 % of burner lines are MVNOs'


def _diallers(shape: str) -> Callable[[int, Allocator, np.random.Generator], Builder]:
    def build(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
        carriers = quota(count, BURNER_CARRIERS)
        spans = (VOIP, MOBILE, VOIP, SEOUL)

        def offender(i: int) -> tuple[int, Feed, Act]:
            feed = sender_feed(carriers[i], "", "", "", "domestic", "full")
            return allocator.one(spans[i % len(spans)]), feed, _DIALLING[shape]

        return offender

    return build


def _burst(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """30 to 60 set-ups a minute for a few minutes, then a pause for another list."""
    at = bursts(rng, span, (120, 300), (900, 2100), (1.0, 2.0))
    return Work(dial(rng, at, people.strangers(rng, len(at)), 0.3, (2, 12), (4, 20), (6, 15)))


def _patient(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """One call after the other all day, too slow for any single short window."""
    at = bursts(rng, span, (DAY_S, DAY_S), (DAY_S, DAY_S), (70, 105))
    return Work(one_line(dial(rng, at, people.strangers(rng, len(at)), 0.5, (3, 15), (8, 35), (15, 25)), 2_000))


def _simultaneous(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """Waves in which 8 to 20 calls are up at once: each rings or talks for about a minute."""
    lines = int(rng.integers(8, 21))
    gap_s = 60 / lines
    at = bursts(rng, span, (180, 420), (600, 1200), (gap_s, gap_s))
    return Work(dial(rng, at, people.strangers(rng, len(at)), 0.8, (4, 15), (40, 80), (30, 45)))


def _short_calls(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """One ring and away, or a machine that talks for a few seconds: 10 to 20 a minute."""
    at = bursts(rng, span, (480, 900), (300, 900), (3, 6))
    return Work(dial(rng, at, people.strangers(rng, len(at)), 0.3, (2, 6), (1, 6), (1, 3)))


DAY_S = 24 * 3600
_DIALLING: dict[str, Act] = {
    "burst": _burst, "patient": _patient, "simultaneous": _simultaneous, "short": _short_calls,
}  # fmt: skip


def _sending(at: np.ndarray, people: Population, rng: np.random.Generator, text: Callable[[], str]) -> Work:
    return Work(Calls.none(), at, people.strangers(rng, len(at)), [text() for _ in at])


def _fake_payments(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
    """Senders of one gang: they share resellers, amounts and the numbers that victims are asked to call."""
    kinds = quota(count, FAKE_PAYMENT_SENDERS)
    codes = iter(quota(count, ACCESS_CODES))
    repeated = texts.amounts(rng)
    # Octopus: landlines of two bulk-bought series first, then VoIP, safe and representative numbers.
    implied = [int(n) for span in SERIES_SEOUL for n in allocator.take(span, 4)]
    implied.append(SERIES_7893[0] + 5000 + int(rng.integers(5000)))  # senders of the series lie below
    implied += [allocator.one(VOIP), allocator.one(SAFE[2]), allocator.one(SAFE[0])]
    implied.append(allocator.one(REPRESENTATIVE[-1]))

    def offender(i: int) -> tuple[int, Feed, Act]:
        abroad = kinds[i] == "international"
        if abroad:
            code = next(codes)
            number = allocator.one(ABROAD[i % len(ABROAD)])
            style = E164 if code == "+" else (code, 0)
            feed = sender_feed("KT", "relay-07", "rs-0713", f"acc-{i:03d}", "international", "none", style=style)
        else:
            span = VOIP if kinds[i] == "voip" else (SEOUL, *AREAS)[i % (1 + len(AREAS))]
            number = allocator.one(span)
            feed = sender_feed(
                "LGU", "relay-07", f"rs-{714 + i % 3:04d}", f"acc-{i:03d}", "web", "full", style=DOMESTIC
            )

        def act(span: Span, people: Population, rng: np.random.Generator) -> Work:
            at = bursts(rng, span, (600, 1200), (600, 1500), (6, 14))
            return _sending(at, people, rng, lambda: texts.fake_payment(rng, repeated, _one_of(rng, implied), abroad))

        return number, feed, act

    return offender


def _relatives(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
    """Mobile lines whose holder writes by hand, or nearly so; the implied number is another mobile."""
    kinds, carriers = quota(count, RELATIVE_SENDERS), quota(count, CRIMINAL_CARRIERS)

    def offender(i: int) -> tuple[int, Feed, Act]:
        number = allocator.one(MOBILE if kinds[i] == "mobile" else VOIP)
        implied = [int(n) for n in allocator.take(MOBILE, 2)]
        feed = sender_feed(carriers[i], "", "", "", "domestic", "full", channel="lms")

        def act(span: Span, people: Population, rng: np.random.Generator) -> Work:
            at = bursts(rng, span, (900, 1800), (300, 900), (18, 45))
            return _sending(at, people, rng, lambda: texts.trusted_relative(rng, _one_of(rng, implied)))

        return number, feed, act

    return offender


def _bulk(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
    """One text to everybody, about once a second, from abroad and unverified."""
    codes = quota(count, ACCESS_CODES)

    def offender(i: int) -> tuple[int, Feed, Act]:
        number = allocator.one(ABROAD[i % len(ABROAD)])
        style = E164 if codes[i] == "+" else (codes[i], 0)
        feed = sender_feed("KT", "relay-09", "rs-0931", f"bulk-{i:03d}", "international", "none", style=style)
        text = texts.bulk(rng)

        def act(span: Span, people: Population, rng: np.random.Generator) -> Work:
            return _sending(bursts(rng, span, (240, 600), (1200, 2400), (0.7, 1.5)), people, rng, lambda: text)

        return number, feed, act

    return offender


def _series(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
    """070-7893-XXXX, used one after the other in ascending order, each for about ten minutes of work at a time."""
    first, _ = SERIES_7893
    members = first + 1000 + np.cumsum(rng.integers(1, 8, count))
    repeated = texts.amounts(rng)
    desk = allocator.one(SERIES_SEOUL[0])

    def offender(i: int) -> tuple[int, Feed, Act]:
        feed = sender_feed("LGU", "relay-07", "rs-0719", "acc-7893", "web", "full", style=DOMESTIC)

        def act(span: Span, people: Population, rng: np.random.Generator) -> Work:
            begin = span[0]
            at = bursts(
                rng, (begin, min(span[1], begin + int(rng.uniform(480, 900)) * 1000)), (900, 900), (1, 1), (4, 9)
            )
            return _sending(at, people, rng, lambda: texts.fake_payment(rng, repeated, desk, False))

        return int(members[i]), feed, act

    return offender


def _calls_abroad(shape: str) -> Callable[[int, Allocator, np.random.Generator], Builder]:
    def build(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
        codes = quota(count, ACCESS_CODES)

        def offender(i: int) -> tuple[int, Feed, Act]:
            style = E164 if codes[i] == "+" else (codes[i], 0)
            feed = sender_feed("KT", "", "", "", "international", "none", style=style)
            return allocator.one(ABROAD[i % len(ABROAD)]), feed, _DIALLING[shape]

        return offender

    return build


def _one_ring(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """One ring and away, 6 to 15 a minute, to be called back at a price; hardly anybody is quick enough to answer."""
    at = bursts(rng, span, (900, 1800), (600, 1200), (4, 10))
    return Work(dial(rng, at, people.strangers(rng, len(at)), 0.02, (1, 2), (1, 4), (1, 3)))


def _steady_calls(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """A call or two a minute; a third answers, and few of those listen."""
    at = bursts(rng, span, (2400, 3600), (600, 1200), (25, 45))
    return Work(dial(rng, at, people.strangers(rng, len(at)), 0.35, (3, 15), (5, 25), (15, 25)))


def _sudden_calls(span: Span, people: Population, rng: np.random.Generator) -> Work:
    """A fresh number that calls once a minute or so; those who answer listen a while."""
    at = bursts(rng, span, (DAY_S, DAY_S), (DAY_S, DAY_S), (35, 50))
    return Work(dial(rng, at, people.strangers(rng, len(at)), 0.5, (3, 12), (15, 50), (15, 25)))


_DIALLING |= {"one_ring": _one_ring, "steady": _steady_calls, "sudden": _sudden_calls}


def _texts_under(
    spans: Sequence[Span], origin: str, verified: str, gap_s: tuple[float, float], texts_each: int
) -> Callable[[int, Allocator, np.random.Generator], Builder]:
    """Senders in these ranges who take turns with `texts_each` texts, all day long."""

    def build(count: int, allocator: Allocator, rng: np.random.Generator) -> Builder:
        def offender(i: int) -> tuple[int, Feed, Act]:
            feed = sender_feed("KT", "relay-09", f"rs-{940 + i % 7:04d}", f"acc-{origin}-{i:03d}", origin, verified)
            pool = [texts.bulk(rng) for _ in range(texts_each)]

            def act(span: Span, people: Population, rng: np.random.Generator) -> Work:
                at = bursts(rng, span, (DAY_S, DAY_S), (DAY_S, DAY_S), gap_s)
                return _sending(at, people, rng, lambda: pool[int(rng.integers(len(pool)))])

            return allocator.one(spans[i % len(spans)]), feed, act

        return offender

    return build


BUILDERS: dict[str, Callable[[int, Allocator, np.random.Generator], Builder]] = {
    "burst_dialler": _diallers("burst"),
    "patient_dialler": _diallers("patient"),
    "simultaneous_dialler": _diallers("simultaneous"),
    "short_call_dialler": _diallers("short"),
    "fake_payment": _fake_payments,
    "trusted_relative": _relatives,
    "international_bulk": _bulk,
    "series_member": _series,
    "one_ring_abroad": _calls_abroad("one_ring"),
    "dialler_abroad": _calls_abroad("steady"),
    "sudden_dialler": _diallers("sudden"),
    "steady_abroad": _texts_under(ABROAD, "international", "none", (26, 36), 2),
    "forged_sender": _texts_under((SEOUL, VOIP, *REPRESENTATIVE), "international", "none", (12, 25), 40),
    "web_sender": _texts_under((MOBILE,), "web", "partial", (8, 20), 40),
}


def quota(count: int, weighted: Sequence[tuple[str, int]]) -> list[str]:
    """`count` names in the given proportions, mixed evenly, so that even a few offenders show the mixture."""
    total = sum(w for _, w in weighted)
    given = dict.fromkeys((name for name, _ in weighted), 0)
    out = []
    for i in range(count):
        name = max(weighted, key=lambda nw: nw[1] / total * (i + 1) - given[nw[0]])[0]
        given[name] += 1
        out.append(name)
    return out


def _one_of(rng: np.random.Generator, among: Sequence[int]) -> int:
    return among[int(rng.integers(len(among)))]
