"""Innocents whose texts read like an impostor's: a daughter with a broken telephone, a card company, a shop that names
its centre, a couple with the number of an account.

`style` is drawn once per seed and kind, `own` for each number, as in `trades`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from streams.traffic import texts
from streams.traffic.habits import Batch, Circle, Writing, near, office
from streams.traffic.population import AREAS, MOBILE, REPRESENTATIVE, SEOUL, VOIP
from streams.traffic.trades import Rng, Trade


def broken_phone(style: Rng, own: Rng) -> Trade:
    """Writes from a friend's telephone to her parents, perhaps to her husband's as well, until hers is repaired."""
    family = Circle(1.0, int(own.integers(1, 5)))
    number = 821_000_000_000 + int(own.integers(20_000_000, 99_999_999))
    batch = Batch((9, 20), (3, 16), (30, 600), lambda rng: lambda rng: texts.broken_phone(rng, number), 1.0, family)
    return Trade((MOBILE,), writing=Writing((batch,), per_hour=2, say=texts.chat, circle=Circle(0.9, 12), weekend=1.0))


def card_company(style: Rng, own: Rng) -> Trade:
    """Tells of payments, here and abroad, with its own number to ask."""
    desk = 82_1600_0000 + int(own.integers(10_000))
    pace = float(np.exp(style.uniform(np.log(100), np.log(1500))))
    writing = Writing(per_hour=near(own, pace), say=lambda rng: texts.payment_notice(rng, "한빛카드", desk))
    return Trade(REPRESENTATIVE, writing=writing, relay=True, origin="web", channel="lms")


def import_shop(style: Rng, own: Rng) -> Trade:
    """Buys abroad for its customers: tells of payments, parcels and offers from one line, and names its centre's."""
    centre = 82_1500_0000 + int(own.integers(10_000))
    offer = Batch((9, 18), (50, 300), (0.2, 3.0), lambda rng: texts.repeated(texts.notice(rng)), 0.5)

    def say(rng: Rng) -> str:
        return texts.order_notice(rng, centre) if rng.random() < 0.5 else texts.delivery(rng, True)

    writing = Writing(
        (offer,), per_hour=near(own, style.uniform(3, 25), 0.4), profile=office(own, (8, 10), (17, 20)), say=say,
        circle=Circle(0.1, 60), weekend=0.4,
    )  # fmt: skip
    return Trade((SEOUL, *AREAS[:2], VOIP), writing=writing, relay=True, origin="web", channel="lms")


def invitation(style: Rng, own: Rng) -> Trade:
    """Invites everybody to a wedding, with the hall's number and that of an account."""
    batch = Batch((9, 20), (40, 300), (0.4, 20.0), lambda rng: texts.repeated(texts.invitation(rng)), 1.0)
    return Trade((MOBILE,), writing=Writing((batch,), per_hour=2, say=texts.chat), channel="lms")


NAMESAKES: dict[str, tuple[Callable[[Rng, Rng], Trade], float]] = {
    "broken_phone": (broken_phone, 6.0), "card_company": (card_company, 0.67), "import_shop": (import_shop, 2.0),
    "invitation": (invitation, 2.0),
}  # fmt: skip
