"""Counts of the numbers that each rule and mode holds now, for people who look at a dashboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rules.model import MODES
from streams.holds.firings import ENFORCE
from streams.holds.hold import LedgerHold


@dataclass(frozen=True)
class HoldCounts:
    """blocked: numbers with an enforced hold in force, as `grayline blocks` lists them. held: by rule and mode, the
    numbers that it holds."""

    blocked: int = 0
    held: Mapping[tuple[str, str], int] = field(default_factory=dict)


def hold_counts(holds: Iterable[LedgerHold], rules: Sequence[str]) -> HoldCounts:
    """rules: the name of each slot. A number has one hold of a rule in a mode."""
    active = [hold for hold in holds if hold.active]
    by_slot = Counter((hold.rule, hold.lane) for hold in active)
    blocked = len({hold.number for hold in active if hold.lane == ENFORCE})
    return HoldCounts(blocked, {(rules[rule], MODES[lane]): count for (rule, lane), count in by_slot.items()})
