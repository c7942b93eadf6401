"""Innocents who call for a living: exchanges, hospitals, dispatchers, pollsters, collectors, desks and their like.

Many lines behind one number, short calls, customers who do not answer or hang up: much of what offenders look like, for
honest reasons. `style` is drawn once per seed and kind, `own` for each number."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from streams.traffic import texts
from streams.traffic.habits import DAY_ROUND, Batch, Calling, Circle, Talk, Writing, near, office
from streams.traffic.population import AREAS, MOBILE, REPRESENTATIVE, SEOUL, VOIP

Rng = np.random.Generator
Range = tuple[int, int]
EXCHANGES = (SEOUL, *AREAS[:2], VOIP)
PUBLIC = (SEOUL, *AREAS[:2], *REPRESENTATIVE[:3])


class Trade(NamedTuple):
    """The habits of one number, the same every day. ranges: its number may lie in any of these. relay: its messages go
    through a relay company, under an account of its own."""

    ranges: tuple[Range, ...]
    calling: Calling | None = None
    writing: Writing | None = None
    relay: bool = False
    origin: str = "domestic"
    verified: str = "full"
    channel: str = "sms"


def exchange(style: Rng, own: Rng) -> Trade:
    """A company whose 6 to 70 lines all show one number: colleagues call customers, partners and each other."""
    talk = Talk(
        answered=style.uniform(0.55, 0.9), hang_up=style.uniform(0.02, 0.18),
        median_s=near(own, style.uniform(40, 120)), spread=style.uniform(0.8, 1.4), ring_s=style.uniform(6, 14),
    )  # fmt: skip
    lines = int(own.integers(6, 71))
    habit = Calling(
        talk, office(own, (7, 9), (17, 20)), per_hour=lines * near(own, style.uniform(2.5, 9)),
        circle=Circle(own.uniform(0.3, 0.9), int(own.integers(60, 500))), weekend=style.uniform(0, 0.2),
        unsteady=style.uniform(0.2, 0.6),
    )  # fmt: skip
    return Trade((*EXCHANGES, REPRESENTATIVE[0]), habit)


def hospital_line(style: Rng, own: Rng) -> Trade:
    """A hospital's main number: reminders and results, each to another patient, most calls within half a minute."""
    talk = Talk(
        answered=style.uniform(0.5, 0.85), hang_up=style.uniform(0.05, 0.3), median_s=near(own, style.uniform(14, 55)),
        spread=style.uniform(0.5, 1.0), ring_s=style.uniform(6, 14),
    )  # fmt: skip
    habit = Calling(
        talk, office(own, (8, 9), (17, 19)), per_hour=near(own, style.uniform(25, 160), 0.4),
        circle=Circle(own.uniform(0, 0.1), 40), weekend=style.uniform(0.2, 0.7), unsteady=style.uniform(0.3, 0.8),
    )  # fmt: skip
    return Trade((SEOUL, *AREAS[:2], REPRESENTATIVE[1]), habit)


def outbound_centre(style: Rng, own: Rng) -> Trade:
    """10 to 200 agents who call customers out, all from the minute the centre opens; many customers hang up at once."""
    talk = Talk(
        answered=style.uniform(0.3, 0.75), hang_up=style.uniform(0.05, 0.4),
        median_s=near(own, style.uniform(40, 120)), spread=style.uniform(0.8, 1.2),
        at_once_s=style.uniform(3, 12), patience_s=style.uniform(15, 30),
    )  # fmt: skip
    habit = Calling(
        talk, office(own, (9, 10), (17, 20)), lines=int(np.exp(own.uniform(np.log(10), np.log(200)))),
        wrap_s=style.uniform(15, 120), start_s=style.uniform(5, 600), weekend=style.choice([0.0, 0.3, 0.6]),
    )  # fmt: skip
    return Trade((SEOUL, VOIP, AREAS[0], REPRESENTATIVE[2]), habit)


def taxi_dispatch(style: Rng, own: Rng) -> Trade:
    """A dispatcher's machine: "your taxi is here", hundreds of calls an hour of some seconds each, day and night."""
    talk = Talk(
        answered=style.uniform(0.7, 0.95), hang_up=style.uniform(0, 0.08), median_s=near(own, style.uniform(7, 22)),
        spread=style.uniform(0.35, 0.7), ring_s=style.uniform(4, 12),
    )  # fmt: skip
    profile = DAY_ROUND * style.uniform(0.5, 0.8)
    profile[7:10], profile[18:24] = style.uniform(1, 1.5), style.uniform(1.2, 2.0)
    habit = Calling(
        talk, profile, per_hour=near(own, style.uniform(80, 700), 0.3),
        circle=Circle(own.uniform(0, 0.5), int(own.integers(40, 200))), weekend=style.uniform(0.9, 1.4),
    )  # fmt: skip
    return Trade((SEOUL, AREAS[0], VOIP, REPRESENTATIVE[3]), habit)


def opinion_poll(style: Rng, own: Rng) -> Trade:
    """Interviewers whom a machine dials for: stranger after stranger, two thirds hang up, the others answer minutes."""
    talk = Talk(
        answered=style.uniform(0.2, 0.5), hang_up=style.uniform(0.4, 0.75), median_s=near(own, style.uniform(60, 200)),
        spread=style.uniform(0.5, 0.9), at_once_s=style.uniform(3, 10), patience_s=style.uniform(12, 25),
    )  # fmt: skip
    habit = Calling(
        talk, office(own, (9, 11), (19, 22)), lines=int(own.integers(8, 41)), wrap_s=style.uniform(2, 20),
        start_s=style.uniform(10, 300), weekend=style.uniform(0.6, 1),
    )  # fmt: skip
    return Trade((SEOUL, VOIP), habit)


def debt_collector(style: Rng, own: Rng) -> Trade:
    """Calls the same debtors again and again; they do not answer, or hang up. From a landline or a telephone."""
    talk = Talk(
        answered=style.uniform(0.2, 0.5), hang_up=style.uniform(0.2, 0.6), median_s=near(own, style.uniform(30, 110)),
        spread=style.uniform(0.7, 1.1), patience_s=style.uniform(18, 35),
    )  # fmt: skip
    habit = Calling(
        talk, office(own, (8, 10), (18, 21)), per_hour=near(own, style.uniform(15, 90), 0.3),
        circle=Circle(own.uniform(0.4, 0.95), int(own.integers(60, 500))), weekend=style.uniform(0, 0.3),
    )  # fmt: skip
    return Trade((SEOUL, VOIP, MOBILE), habit)


def sales_agent(style: Rng, own: Rng) -> Trade:
    """An insurance agent on a telephone: a list of strangers, one after the other, half of them in a hurry."""
    talk = Talk(
        answered=style.uniform(0.3, 0.65), hang_up=style.uniform(0.15, 0.5),
        median_s=near(own, style.uniform(40, 150)), spread=style.uniform(0.8, 1.2),
    )  # fmt: skip
    habit = Calling(
        talk, office(own, (9, 10), (17, 19)), lines=1, wrap_s=near(own, style.uniform(30, 180)),
        circle=Circle(own.uniform(0, 0.4), 80), weekend=style.choice([0.0, 0.0, 1.0]),
    )  # fmt: skip
    return Trade((MOBILE,), habit)


def fax_server(style: Rng, own: Rng) -> Trade:
    """Orders and invoices to a few hundred machines: every call lasts about as long; now and then somebody picks up."""
    talk = Talk(
        answered=style.uniform(0.7, 0.95), hang_up=style.uniform(0.03, 0.25),
        median_s=near(own, style.uniform(35, 80)), spread=style.uniform(0.2, 0.5), ring_s=style.uniform(4, 8),
    )  # fmt: skip
    profile = np.zeros(24)
    for hour in own.choice(np.arange(7, 20), int(own.integers(2, 6)), replace=False):
        profile[hour] = own.uniform(0.5, 1.5)
    habit = Calling(
        talk, profile, lines=int(own.integers(2, 17)), wrap_s=style.uniform(2, 15), start_s=20,
        circle=Circle(own.uniform(0.7, 1), int(own.integers(80, 600)), landlines=True), weekend=style.uniform(0, 0.5),
    )  # fmt: skip
    return Trade((SEOUL, *AREAS[:2], VOIP), habit)


def voice_broadcast(style: Rng, own: Rng) -> Trade:
    """A town tells its people of a flood or a burst pipe: a machine reads one message to thousands within an hour."""
    talk = Talk(
        answered=style.uniform(0.5, 0.8), hang_up=style.uniform(0.2, 0.5), median_s=near(own, style.uniform(15, 45)),
        spread=style.uniform(0.15, 0.35), patience_s=style.uniform(15, 25),
    )  # fmt: skip
    profile = np.zeros(24)
    profile[int(own.integers(9, 17))] = 1.0
    habit = Calling(
        talk, profile, lines=int(own.integers(8, 41)), wrap_s=style.uniform(1, 8), start_s=30, weekend=1.0,
    )  # fmt: skip
    return Trade(PUBLIC, habit)


def service_desk(style: Rng, own: Rng) -> Trade:
    """The desk of a town hall or bank branch: calls back those who asked, and texts them about it."""
    talk = Talk(
        answered=style.uniform(0.6, 0.85), hang_up=style.uniform(0.02, 0.1),
        median_s=near(own, style.uniform(60, 150)), spread=style.uniform(0.8, 1.1),
    )  # fmt: skip
    hours = office(own, (8, 9), (17, 19))
    calling = Calling(
        talk, hours, per_hour=near(own, style.uniform(10, 80), 0.4), circle=Circle(own.uniform(0.1, 0.4), 100),
        weekend=style.uniform(0, 0.1),
    )  # fmt: skip
    name = f"민원실{int(own.integers(1, 100))}"
    writing = Writing(
        per_hour=near(own, style.uniform(2, 30)), profile=hours, say=lambda rng: texts.reminder(rng, name),
        weekend=0.1,
    )  # fmt: skip
    return Trade(PUBLIC, calling, writing, relay=True, channel="lms")


def rider(style: Rng, own: Rng) -> Trade:
    """Brings meals: at noon and in the evening a call every two or three minutes, "I am at the door"."""
    talk = Talk(
        answered=style.uniform(0.65, 0.92), hang_up=style.uniform(0, 0.06), median_s=near(own, style.uniform(9, 26)),
        spread=style.uniform(0.4, 0.7), ring_s=style.uniform(4, 10),
    )  # fmt: skip
    profile = np.zeros(24)
    profile[11:23] = own.uniform(0.3, 0.8, 12)
    profile[[12, 13, 18, 19, 20]] = own.uniform(0.9, 1.4, 5)
    calling = Calling(talk, profile, per_hour=near(own, style.uniform(12, 28)), weekend=1.2)
    writing = Writing(per_hour=style.uniform(0, 8), profile=profile, say=lambda rng: texts.delivery(rng, False))
    return Trade((MOBILE,), calling, writing)


def volunteer(style: Rng, own: Rng) -> Trade:
    """Calls the members of a club or parish from a telephone that is silent on other days: two hours of short calls."""
    talk = Talk(
        answered=style.uniform(0.5, 0.85), hang_up=style.uniform(0.02, 0.2), median_s=near(own, style.uniform(20, 90)),
        spread=style.uniform(0.6, 1.0),
    )  # fmt: skip
    profile = np.zeros(24)
    first = int(own.integers(9, 18))
    profile[first : first + 2] = 1.0
    habit = Calling(talk, profile, lines=1, wrap_s=near(own, style.uniform(8, 40)), weekend=1.0)
    return Trade((MOBILE,), habit, Writing((_members(own),)) if own.random() < 0.3 else None)


def _members(own: Rng) -> Batch:
    circle = Circle(1.0, int(own.integers(40, 160)))
    return Batch((9, 20), (30, 150), (1.0, 8.0), lambda rng: texts.repeated(texts.club(rng)), circle=circle)


TRADES: dict[str, tuple[Callable[[Rng, Rng], Trade], float]] = {
    # How many of each, of those that are asked for: the busiest make tens of thousands of records a day.
    "exchange": (exchange, 1.0), "hospital_line": (hospital_line, 1.0), "outbound_centre": (outbound_centre, 0.5),
    "taxi_dispatch": (taxi_dispatch, 0.5), "opinion_poll": (opinion_poll, 0.34),
    "debt_collector": (debt_collector, 1.0), "sales_agent": (sales_agent, 3.0), "fax_server": (fax_server, 0.67),
    "voice_broadcast": (voice_broadcast, 0.34), "service_desk": (service_desk, 2.0), "rider": (rider, 5.0),
    "volunteer": (volunteer, 3.0),
}  # fmt: skip
