"""The bound on a rule's holds in review and in shadow, and the choice of the one that makes way for another.

Numbers can be forged, and a forger decides how many there are. So in review, and in shadow, a rule has at most
HOLDS_MAX holds in a partition. At that bound the hold that ends first, whose number has fired least lately, makes way
for a new one; but only if the new one ends later by as much as an extension has to gain, so that a flood of ever new
numbers does not make a flood of changes. Otherwise nothing is opened. Holds that have ended count until they are
forgotten, whether or not their end has been noticed: event time alone decides, in a replay as in a worker. Enforced
holds have no bound and never make way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.holds.passes import NEVER

if TYPE_CHECKING:
    from streams.holds.hold import LedgerHold

HOLDS_MAX = 2000

Group = tuple[int, int, int]  # rule slot, lane, partition


class Quota:
    """The holds that have a bound."""

    def __init__(self) -> None:
        self._groups: dict[Group, dict[int, LedgerHold]] = {}  # by number
        # The hold that ends first, and its end when that was found: holds are only ever extended.
        self._first: dict[Group, tuple[LedgerHold, int]] = {}

    def add(self, hold: LedgerHold) -> None:
        self._groups.setdefault(_group(hold), {})[hold.number] = hold
        self._first.pop(_group(hold), None)

    def remove(self, hold: LedgerHold) -> None:
        group = _group(hold)
        del self._groups[group][hold.number]
        if not self._groups[group]:
            del self._groups[group]
        self._first.pop(group, None)

    def opens_at(self, group: Group, before_ms: int) -> int:
        """The time from which a firing opens a further hold of a full group: a hold's gain before the first of the
        group's holds ends."""
        if not self._is_full(group):
            return -NEVER
        hold, end = self._first.get(group, (None, 0))
        if hold is None or hold.until_ms != end:
            hold = min(self._groups[group].values(), key=_end)
            self._first[group] = hold, hold.until_ms
        return hold.until_ms - before_ms

    def crowd(self, group: Group) -> list[LedgerHold]:
        """The holds that must go to make room for one more. They are several if rows were loaded that were written
        without a bound."""
        if not self._is_full(group):
            return []
        holds = self._groups[group]
        return sorted(holds.values(), key=_end)[: len(holds) - HOLDS_MAX + 1]

    def _is_full(self, group: Group) -> bool:
        return len(self._groups.get(group, ())) >= HOLDS_MAX


def _group(hold: LedgerHold) -> Group:
    return hold.rule, hold.lane, hold.partition


def _end(hold: LedgerHold) -> tuple[int, int]:
    return hold.until_ms, hold.number
