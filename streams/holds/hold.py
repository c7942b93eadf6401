"""A hold as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from streams.holds.number_order import NumberOrder

Key = tuple[int, int, int]  # number, rule slot, lane


@dataclass(slots=True)
class LedgerHold:
    """One rule's or operator's hold on one number; times in ms. content: the fields that the engine attached at its
    last change, as JSON, which takes a third of the memory. released_ms: the time at which an order, or
    silence, ended it, None if neither did; `until_ms` stays what it was. taken_by: who looks at a hold in review, ""
    for nobody yet. review_by_ms: the time at which silence blocks what is in review, None for never."""

    number: int
    rule: int
    lane: int
    from_ms: int
    until_ms: int
    active: bool
    content: bytes
    partition: int
    released_ms: int | None = None
    taken_by: str = ""
    review_by_ms: int | None = None

    @property
    def end_ms(self) -> int:
        """The time from which a firing opens the next hold. A firing at the time of a release opens nothing."""
        return self.until_ms if self.released_ms is None else max(self.released_ms, self.from_ms) + 1

    def stands(self, at_ms: int) -> bool:
        """True if nothing has ended it by this time."""
        return self.released_ms is None and at_ms < self.until_ms


@dataclass(slots=True)
class Change:
    """One change of one hold. firing: index into Firings, -1 for one by time or an operator's order. A hold
    that makes way for another expires by the firing of that other one."""

    change: str  # of streams.holds.steps
    hold: LedgerHold
    firing: int
    diverted: str = ""  # why the hold is in review, when its rule would have enforced it
    order: NumberOrder | None = None  # that made it
