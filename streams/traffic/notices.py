"""Innocents who write to many: broadcasts, schools, shops, couriers, hosts, services that send codes.

`style` is drawn once per seed and kind, `own` for each number, as in `trades`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streams.traffic import texts
from streams.traffic.habits import DAY_ROUND, Batch, Calling, Circle, Say, Talk, Writing, near, office
from streams.traffic.population import ABROAD, AREAS, MOBILE, REPRESENTATIVE, SEOUL, VOIP
from streams.traffic.trades import Rng, Trade


def text_broadcast(style: Rng, own: Rng) -> Trade:
    """A shop chain, party or town: one text to hundreds or thousands, as fast as the relay takes it."""
    gap = float(np.exp(style.uniform(np.log(0.05), np.log(1.0))))
    batch = Batch((8, 20), (300, 2500), (gap, 2 * gap), lambda rng: texts.repeated(texts.notice(rng)))
    writing = Writing((batch,) * int(own.integers(1, 3)), weekend=style.uniform(0.2, 1))
    return Trade((SEOUL, VOIP, *REPRESENTATIVE[:3]), writing=writing, relay=True, origin="web", channel="lms")


def school_notice(style: Rng, own: Rng) -> Trade:
    """A school tells all parents that it snows: the same parents each time, within minutes."""
    parents = Circle(1.0, int(own.integers(200, 1300)))
    gap = style.uniform(0.1, 1.5)
    batch = Batch((8, 17), (200, 1200), (gap, 2 * gap), lambda rng: texts.repeated(texts.notice(rng)), 1.0, parents)
    return Trade((SEOUL, *AREAS[:3]), writing=Writing((batch,) * 2, weekend=0.1), relay=True, channel="lms")


def academy(style: Rng, own: Rng) -> Trade:
    """A private school that writes from its owner's registered mobile through a website: who came, what to bring."""
    parents = Circle(style.uniform(0.9, 1.0), int(own.integers(40, 300)))
    alike = style.random()
    gap = style.uniform(0.2, 4)

    def say(rng: Rng) -> Say:
        if rng.random() < alike:
            return texts.repeated(texts.club(rng))
        return lambda rng: texts.attendance(rng)

    batches = (Batch((13, 20), (20, 250), (gap, 2 * gap), say, 0.7, parents),) * int(own.integers(1, 5))
    return Trade((MOBILE,), writing=Writing(batches, weekend=0.4), relay=True, origin="web", channel="lms")


def web_shop(style: Rng, own: Rng) -> Trade:
    """A shop's notices from its owner's registered mobile, or a 070 number, through a website; now and then an offer to
    all its customers."""
    offer = Batch(
        (9, 18), (50, 500), (0.2, 3.0), lambda rng: texts.repeated(texts.notice(rng)), style.uniform(0.2, 0.8)
    )
    writing = Writing(
        (offer,), per_hour=near(own, style.uniform(8, 70), 0.4), profile=office(own, (8, 10), (18, 22)),
        say=lambda rng: texts.delivery(rng, True), circle=Circle(0.1, 60), weekend=style.uniform(0.3, 1),
    )  # fmt: skip
    return Trade((MOBILE, MOBILE, VOIP), writing=writing, relay=True, origin="web", channel="lms")


def courier_texts(style: Rng, own: Rng) -> Trade:
    """A courier who tells everybody in the morning when the parcel comes, then calls at the doors."""
    few = style.random() < 0.5
    round_ = Batch(
        (7, 10.5), (60, 220), (style.uniform(1.5, 8), style.uniform(8, 20)),
        lambda rng: texts.repeated(texts.delivery(rng, False)) if few else lambda rng: texts.delivery(rng, True),
    )  # fmt: skip
    talk = Talk(
        answered=style.uniform(0.6, 0.9), hang_up=style.uniform(0, 0.08), median_s=near(own, style.uniform(12, 40)),
        spread=style.uniform(0.4, 0.8),
    )  # fmt: skip
    calling = Calling(talk, office(own, (9, 11), (17, 21)), per_hour=near(own, style.uniform(10, 34)), weekend=0.5)
    return Trade((MOBILE,), calling, Writing((round_,), weekend=0.5))


def clinic_reminder(style: Rng, own: Rng) -> Trade:
    """Appointments of tomorrow, one template with other names and times, in the morning or evening."""
    name = f"늘봄의원{int(own.integers(1, 500))}"
    gap = style.uniform(0.3, 20)
    batch = Batch((8, 18), (60, 600), (gap, 2 * gap), lambda rng: lambda rng: texts.reminder(rng, name))
    return Trade((SEOUL, *AREAS[:3], VOIP), writing=Writing((batch,), weekend=0.3), relay=True, channel="lms")


def code_service(style: Rng, own: Rng) -> Trade:
    """Codes for signing in from abroad, at all hours; many carriers pass them on without a word about the sender."""
    pace = float(np.exp(style.uniform(np.log(40), np.log(1500))))
    verified = ("full", "none", "partial", "")[int(own.integers(4))]
    writing = Writing(per_hour=near(own, pace), say=texts.sign_in_code, circle=Circle(0.1, 400))
    return Trade(ABROAD[:3], writing=writing, relay=True, origin="international", verified=verified)


def wedding_host(style: Rng, own: Rng) -> Trade:
    """Invites everybody in the telephone's address book to a wedding or a funeral, in one text."""
    batch = Batch((9, 20), (40, 300), (0.4, 20.0), lambda rng: texts.repeated("토요일에 결혼합니다"), 1.0)
    return Trade((MOBILE,), writing=Writing((batch,), per_hour=2, say=texts.chat), channel="lms")


def group_chat(style: Rng, own: Rng) -> Trade:
    """A lively chat: hundreds of messages an hour, to the same few friends."""
    profile = DAY_ROUND * 0.1
    first = int(own.integers(9, 21))
    profile[first : first + 3] = 1.0
    writing = Writing(
        per_hour=near(own, style.uniform(60, 500)), profile=profile, say=texts.chat,
        circle=Circle(1.0, int(own.integers(3, 15))), unsteady=0.8,
    )  # fmt: skip
    return Trade((MOBILE,), writing=writing)


def machine(style: Rng, own: Rng) -> Trade:
    """A meter or a lift that reports at fixed times to one or two numbers, day and night."""
    per_hour = 3600 / float(np.exp(own.uniform(np.log(20), np.log(1200))))
    word = f"METER {int(own.integers(10**6))}"
    writing = Writing(
        per_hour=per_hour, say=lambda rng: f"{word} {int(rng.integers(1000))} kWh",
        circle=Circle(1.0, int(own.integers(1, 4))), unsteady=0.0,
    )  # fmt: skip
    return Trade((MOBILE,), writing=writing)


NOTICES: dict[str, tuple[Callable[[Rng, Rng], Trade], float]] = {
    "text_broadcast": (text_broadcast, 0.67), "school_notice": (school_notice, 0.67), "academy": (academy, 4.0),
    "web_shop": (web_shop, 5.0), "courier_texts": (courier_texts, 4.0), "clinic_reminder": (clinic_reminder, 2.0),
    "code_service": (code_service, 0.67), "wedding_host": (wedding_host, 2.0), "group_chat": (group_chat, 4.0),
    "machine": (machine, 5.0),
}  # fmt: skip
