"""Obeys orders about a number: what each step that an operator may order does (streams/holds/steps.py). A step that the
table does not have is refused whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from rules.model import OPERATOR
from streams.holds.firings import ENFORCE, REVIEW
from streams.holds.hold import Change, Key, LedgerHold
from streams.holds.number_order import (
    ALLOW,
    APPROVE,
    BLOCK,
    DISALLOW,
    PROPOSE,
    REGISTER,
    REGISTRATIONS,
    REJECT,
    RELEASE,
    SUSPEND,
    TAKE,
    UNREGISTER,
    Answer,
    NumberOrder,
)
from streams.holds.registrations import after_order
from streams.holds.rulings import ruling
from streams.holds.steps import ACTIVE, STEPS

if TYPE_CHECKING:
    from streams.holds.ledger import Ledger

OWN_LANE = {BLOCK: ENFORCE, PROPOSE: REVIEW}  # of the hold that an operator's order opens


def obey(ledger: Ledger, order: NumberOrder) -> Iterator[Change | Answer]:
    """The changes by the order, and the answer to it behind them. A refused order has no changes."""
    why = order.refused or _refusal(ledger, order)
    if not why:
        yield from _DOES[order.action](ledger, order)
    yield Answer(order, why)


def _refusal(ledger: Ledger, order: NumberOrder) -> str:
    """The reason of REFUSALS, "" if the order can be obeyed."""
    number, at_ms, until_ms = order.number, order.at_ms, order.until_ms
    if order.action in REGISTRATIONS:
        return after_order(ledger.registrations.of(number), order)[1]
    if until_ms is None and order.action in (BLOCK, PROPOSE, ALLOW):
        return "no_end"
    if until_ms is not None and until_ms <= at_ms:
        return "over"
    if order.action in (BLOCK, PROPOSE, APPROVE) and (order.is_allowed or ledger.rulings.stands(number, ALLOW, at_ms)):
        return "allow_listed"
    if order.action == DISALLOW:
        return "" if any(one.action == ALLOW for one in ledger.rulings.of(number)) else "not_allowed"
    if order.action in OWN_LANE:
        hold = ledger.hold_of(number, OPERATOR, OWN_LANE[order.action])
        is_moved = hold is None or not hold.stands(at_ms) or hold.until_ms != max(until_ms or 0, hold.from_ms)
        return "" if is_moved else "no_change"
    step = next(step for step in STEPS if step.by == order.action)
    meant = _meant(ledger, order, ENFORCE if step.before == ACTIVE else REVIEW)
    if order.action == TAKE and meant and all(hold.taken_by == order.operator for hold in meant):
        return "no_change"
    return "" if meant else step.refused


def _meant(ledger: Ledger, order: NumberOrder, lane: int) -> list[LedgerHold]:
    """The holds that the order is about. Its time decides which stand, not whether their end was noticed: that comes
    by wall time."""
    holds = (hold for hold in ledger.holds_of(order.number, lane) if hold.stands(order.at_ms))
    return [hold for hold in holds if order.rule in ("", ledger.rules[hold.rule])]


def _release(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """Ends active holds; until the end that the order says, what would block the number again goes to review."""
    for hold in _meant(ledger, order, ENFORCE):
        ledger.end(hold, order.at_ms)
        yield Change("released", hold, -1, order=order)
    action: Literal["allow", "release"] = "allow" if order.action == ALLOW else "release"
    until_ms = order.at_ms if order.until_ms is None else order.until_ms
    ledger.add_ruling(order.number, ruling(action, order.rule, order.at_ms, until_ms, order.id))


def _disallow(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    rulings = [one for one in ledger.rulings.of(order.number) if one.action != ALLOW]
    ledger.rule_on(order.number, rulings)
    yield from ()


def _suspend(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """Ends active holds, since the carrier has suspended the line: the blocks were right, and are no longer needed."""
    for hold in _meant(ledger, order, ENFORCE):
        ledger.end(hold, order.at_ms)
        yield Change("suspended", hold, -1, order=order)


def _block(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """The operator's own hold, enforced or proposed, which has one end: a later order moves it."""
    assert order.until_ms is not None
    key = order.number, ledger.slot(OPERATOR), OWN_LANE[order.action]
    times = order.at_ms, order.until_ms
    yield held(ledger, key, *times, order.content, order.partition, order, can_reduce=True)


def _take(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """Says who looks at holds in review; a later word takes the place of the one before."""
    for hold in _meant(ledger, order, REVIEW):
        hold.taken_by = order.operator
        ledger.touch(order.number)
        yield Change("taken", hold, -1, order=order)


def _approve(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """Enforces holds in review, until their own end or the one that the order says."""
    for hold in _meant(ledger, order, REVIEW):
        until_ms = order.until_ms or max(hold.until_ms, order.at_ms + 1)
        ledger.end(hold, order.at_ms)
        yield Change("approved", hold, -1, order=order)
        enforced = ledger.hold_of(order.number, ledger.rules[hold.rule], ENFORCE)
        if enforced is None or not enforced.stands(order.at_ms) or enforced.until_ms < until_ms:
            key = order.number, hold.rule, ENFORCE
            yield held(ledger, key, order.at_ms, until_ms, hold.content, order.partition, order)


def _reject(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """Ends holds in review; until their end, or the one that the order says, their rules' firings change nothing."""
    for hold in _meant(ledger, order, REVIEW):
        ledger.end(hold, order.at_ms)
        yield Change("rejected", hold, -1, order=order)
        until_ms = order.until_ms or max(hold.until_ms, order.at_ms)
        rule = ledger.rules[hold.rule]
        ledger.add_ruling(order.number, ruling("reject", rule, order.at_ms, until_ms, order.id))


def held(
    ledger: Ledger,
    key: Key,
    at_ms: int,
    until_ms: int,
    content: bytes,
    partition: int,
    order: NumberOrder | None = None,
    can_reduce: bool = False,
) -> Change:
    """A hold from this time on, or the one that stands then with another end."""
    hold = ledger.hold(key)
    if hold is None or not hold.stands(at_ms):
        change = "opened"
        hold = ledger.open(key, at_ms, until_ms, partition)
    else:
        until_ms = max(until_ms, hold.from_ms)  # an order may be older than the hold
        change = "reduced" if can_reduce and until_ms < hold.until_ms else "extended"
        ledger.extend(hold, until_ms)
    hold.content = content
    return Change(change, hold, -1, order=order)


def _register(ledger: Ledger, order: NumberOrder) -> Iterator[Change]:
    """A sender's registrations, which change no hold."""
    ledger.register(order.number, after_order(ledger.registrations.of(order.number), order)[0])
    yield from ()


_DOES: dict[str, Callable[[Ledger, NumberOrder], Iterator[Change]]] = {
    RELEASE: _release,
    ALLOW: _release,
    DISALLOW: _disallow,
    BLOCK: _block,
    APPROVE: _approve,
    REJECT: _reject,
    PROPOSE: _block,
    TAKE: _take,
    SUSPEND: _suspend,
    REGISTER: _register,
    UNREGISTER: _register,
}
