"""Rules against rules: leaving each one out, and moving each limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.packs.kinds import Facts
from bench.packs.run import Ran
from bench.packs.score import Seen, Tally, recall, weighted
from bench.packs.variants import Variant

# A step this large for a limit moved by a fifth is a cliff.
CLIFF_RECALL, CLIFF_BLOCKED, CLIFF_REVIEWED = 0.2, 1.0, 20.0


@dataclass
class Change:
    """The difference that other rules make. recall: mean over kinds of offender; blocked and reviewed: innocents per
    100,000 active numbers; kind: the kind of offender that changes most, by how much."""

    rule: str
    limit: str
    factor: float
    recall: float
    blocked: float
    reviewed: float
    kind: str
    kind_change: float

    @property
    def is_cliff(self) -> bool:
        return self.kind_change <= -CLIFF_RECALL or self.blocked >= CLIFF_BLOCKED or self.reviewed >= CLIFF_REVIEWED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"cliff": self.is_cliff}


def left_out(runs: Sequence[Ran], kinds: Mapping[str, Facts], rules: Sequence[str]) -> list[Change]:
    """What is lost and spared without each rule; the changes are those of leaving it out."""
    names = {rule: rule for rule in rules}
    seen = Seen(runs, kinds)
    base = seen.tally(names)
    return [_change(base, seen.tally({r: n for r, n in names.items() if r != rule}), rule, "", 0.0) for rule in rules]


def moved(
    runs: Sequence[Ran], kinds: Mapping[str, Facts], rules: Sequence[str], variants: Sequence[Variant]
) -> list[Change]:
    names = {rule: rule for rule in rules}
    seen = Seen(runs, kinds)
    base = seen.tally(names)
    return [_change(base, seen.tally(names | {v.rule: v.name}), v.rule, v.limit, v.factor) for v in variants]


def _change(base: Tally, other: Tally, rule: str, limit: str, factor: float) -> Change:
    before, after = weighted(base, bounds=False), weighted(other, bounds=False)
    by_kind = {
        kind: other[kind].met - score.met
        for kind, score in base.items()
        if not score.innocent and score.numbers and kind in other
    }
    kind = max(by_kind, key=lambda name: abs(by_kind[name]), default="")
    return Change(
        rule, limit, factor, recall(other) - recall(base), after.blocked - before.blocked,
        after.reviewed - before.reviewed, kind, by_kind.get(kind, 0.0),
    )  # fmt: skip
