"""The words in which an explanation is told, to people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from schemas.times import rfc3339
from streams.craft.explain import Decision, Explained, told
from streams.craft.told import told_lines
from streams.holds.number_order import REFUSALS


def lines(found: Explained, number: str, at_last: bool) -> Iterator[str]:
    """at_last: each rule as of its last look, not where it came nearest."""
    yield f"{number}: {found.events:,} events, {rfc3339(found.first_ms)} to {rfc3339(found.last_ms)}"
    if found.unblockable:
        yield f"never blocked: {REFUSALS[found.unblockable]}"
    yield ""
    yield "Decided:" if found.decisions else "Decided: nothing"
    for decision in found.decisions:
        yield f"  {rfc3339(decision.at_ms)}  {decision_text(decision)}"
    for look in found.looks:
        yield ""
        yield from told_lines(told(look, at_last, found.unblockable))
    if found.silent:
        yield ""
        yield f"Did not look, since no event is one of theirs: {', '.join(rule.name for rule in found.silent)}"


def decision_text(decision: Decision) -> str:
    if decision.order is not None and decision.hold is None:
        answer = f"refused ({REFUSALS.get(decision.why, decision.why)})" if decision.why else "obeyed"
        return f"order {decision.order['action']} {answer}: {decision.order['reason']}"
    hold = decision.hold or {}
    words = [decision.change, hold["rule"], f"({decision.lane})", f"until {rfc3339(int(hold['until']))}"]
    if hold.get("diverted"):
        words.append(f"[{hold['diverted']}]")
    if decision.order is not None:
        words.append(f"by {decision.order['operator']}: {decision.order['reason']}")
    return " ".join(words)


def as_json(found: Explained, number: str, at_last: bool) -> dict[str, Any]:
    return {
        "number": number, "events": found.events, "first_at": found.first_ms, "last_at": found.last_ms,
        "unblockable": found.unblockable or None,
        "decisions": [_decision_json(decision) for decision in found.decisions],
        "rules": [told(look, at_last, found.unblockable).to_dict() for look in found.looks],
        "silent": [rule.name for rule in found.silent],
    }  # fmt: skip


def _decision_json(decision: Decision) -> Mapping[str, Any]:
    out = {"at": decision.at_ms, "mode": decision.lane, "change": decision.change, "hold": decision.hold}
    return out | ({"order": decision.order, "why": decision.why or None} if decision.order is not None else {})
