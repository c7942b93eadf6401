"""Registrations of senders: which numbers may send, from when until when, for whom, through which account and relay.

Orders on `control` give and end them, obeyed once where the number is counted; event time decides whom they cover.

A rule is evaluated before the orders of its epoch are obeyed. So `Registrations.during` says beforehand what each order
will change, by the same function, and each event is judged by what stood at its place in the log."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from streams.holds.ledger_rows import Registration
from streams.holds.number_order import REGISTER, REGISTRATIONS, NumberOrder
from streams.holds.spoken import Spoken

REGISTRATIONS_MAX = 16  # of one number

Step = tuple[int, list[Registration]]  # (line of the order, what stands behind it)


class Registrations(Spoken[Registration]):
    @staticmethod
    def end_of(one: Registration) -> int:
        return one.until

    def during(self, orders: Sequence[NumberOrder]) -> dict[int, list[Step]]:
        """By number, what the orders of an epoch will leave, each from its line on. Changes nothing."""
        steps: dict[int, list[Step]] = {}
        for order in orders:
            if order.action in REGISTRATIONS and not order.refused:
                mine = steps.setdefault(order.number, [(-1, self.of(order.number))])
                after, why = after_order(mine[-1][1], order)
                if not why:
                    mine.append((order.line, after))
        return steps


def after_order(standing: list[Registration], order: NumberOrder) -> tuple[list[Registration], str]:
    """(what stands behind the order, why it is refused). A later registration with the same account and relay takes the
    place of the earlier one; an end says of which account and relay, or ends all."""
    if order.action == REGISTER:
        registration = _registration(order)
        if registration is None:
            return standing, "no_end"
        if registration.until <= registration.since:
            return standing, "over"
        kept = [one for one in standing if _through(one) != _through(registration)]
        return (standing, "too_many") if len(kept) == REGISTRATIONS_MAX else ([*kept, registration], "")
    ended = [one for one in standing if one.until > order.at_ms and _is_meant(one, order)]
    if not ended:
        return standing, "not_registered"
    cut = [replace(one, until=order.at_ms) if one in ended else one for one in standing]
    return [one for one in cut if one.until > one.since], ""


def _registration(order: NumberOrder) -> Registration | None:
    if order.until_ms is None:
        return None
    since_ms = order.at_ms if order.since_ms is None else order.since_ms
    return Registration(
        since=since_ms, until=order.until_ms, id=order.id, owner=order.owner or None, account=order.account or None,
        relay=order.relay or None,
    )  # fmt: skip


def _through(one: Registration) -> tuple[str | None, str | None]:
    return one.account, one.relay


def _is_meant(one: Registration, order: NumberOrder) -> bool:
    return order.account in ("", one.account) and order.relay in ("", one.relay)
