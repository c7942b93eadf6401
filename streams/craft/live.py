"""Explains what a worker knows of one number now, from its counters in memory. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.times import rfc3339
from streams.craft.told import Sight, Told, told_lines, told_of
from streams.engine.contract import Known
from streams.holds.number_order import REFUSALS


def told_now(known: Known) -> list[Told]:
    """One for each rule and reading; those that fire on top, then by the conditions that fail."""
    out = []
    for one in known.sights:
        sight = Sight(one.as_of_ms, one.as_of_ms, one.values)
        told = told_of(
            one.rule, one.reading, sight, one.rule.mode, count=None, fired=0, first_fired_ms=None, warming=one.warming
        )
        out.append(told)
    return sorted(out, key=lambda told: sum(part.holds is not True for part in told.conditions) / len(told.conditions))


def answer(known: Known, shown: str, told: list[Told], rules_version: str, partition: int) -> dict[str, Any]:
    """shown: the number as it may be shown."""
    return {
        "number": shown, "partition": partition, "rules_version": rules_version,
        "unblockable": known.unblockable or None,
        "holds": [{"mode": mode, "hold": hold} for mode, hold in known.holds],
        "rulings": known.rulings,
        "rules": [one.to_dict() for one in told],
        "text": list(lines(known, shown, told)),
    }  # fmt: skip


def lines(known: Known, shown: str, told: list[Told]) -> Iterator[str]:
    if not told:
        yield f"{shown}: nothing is counted"
    else:
        yield f"{shown}: as of its last event, {rfc3339(max(one.sight.as_of_ms for one in told))}"
    if known.unblockable:
        yield f"never blocked: {REFUSALS[known.unblockable]}"
    yield ""
    yield "In force:" if known.holds or known.rulings else "In force: nothing"
    for mode, hold in known.holds:
        times = f"from {rfc3339(hold['from'])} until {rfc3339(hold['until'])}"
        yield f"  {hold['rule']} ({mode}) {times} ({hold['reason']})"
    for ruling in known.rulings:
        yield f"  {_ruling(ruling)}"
    for one in told:
        yield ""
        yield from told_lines(one)


def _ruling(one: Mapping[str, Any]) -> str:
    about = f"rule {one['rule']}" if one["rule"] else "all rules"
    return f"order {one['action']} about {about}, at {rfc3339(one['at'])}, stands until {rfc3339(one['until'])}"
