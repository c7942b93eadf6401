"""The decisions of a run: which numbers each mode holds, by which rules, from when until when. Plain values, which one
process can hand to another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rules.model import MODES
from streams.captures.replay import ReplaySummary
from streams.craft.trial import HoldChange
from streams.holds.steps import OVER

Numbers = dict[str, list["Stay"]]  # by number, in the order in which they were opened


@dataclass(slots=True)
class Stay:
    """One hold as it was at the end of the run. until_ms: its end, or the order's time that ended it before."""

    rule: str
    from_ms: int
    until_ms: int
    directions: tuple[str, ...]
    actions: tuple[str, ...]
    reason: str
    diverted: str  # why it is in review, although its rule enforces


@dataclass
class Decided:
    """All that a run has decided. by_mode: numbers that a mode ever held."""

    by_mode: dict[str, Numbers] = field(default_factory=lambda: {mode: {} for mode in MODES})
    summary: ReplaySummary = field(default_factory=ReplaySummary)

    def take(self, change: HoldChange) -> None:
        stays = self.by_mode[change.mode].setdefault(change.number, [])
        stay = next((one for one in stays if one.rule == change.rule and one.from_ms == change.from_ms), None)
        if stay is None:
            hold = change.hold
            stay = Stay(
                change.rule, change.from_ms, change.until_ms, tuple(hold["directions"]), tuple(hold["actions"]),
                str(hold["reason"]), str(hold.get("diverted") or ""),
            )  # fmt: skip
            stays.append(stay)
        ended = change.order is not None and change.change in OVER
        stay.until_ms = int(change.order["at"]) if ended and change.order else change.until_ms


def first_ms(stays: Iterable[Stay]) -> int:
    return min(stay.from_ms for stay in stays)


def last_ms(stays: Iterable[Stay]) -> int:
    return max(stay.until_ms for stay in stays)


def responsible(stays: list[Stay]) -> Stay:
    """The hold that came first; of several by one record the first in the rules' order."""
    return min(stays, key=lambda stay: stay.from_ms)
