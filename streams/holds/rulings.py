"""Rulings: what an operator's order leaves behind about a number, beyond the holds that it ended.

A firing at t opens nothing where a release or a verdict stands against it, event time alone deciding:

    release, allow   at or before its time: nothing; from then on and before its end: in review instead of enforced
    reject           before its end: nothing

Of several the strictest holds. A ruling is about one rule, or all. The numbers that have rulings are those that
operators spoke of."""

from __future__ import annotations

from typing import Literal

import msgspec

from streams.holds.ledger_rows import Ruling
from streams.holds.passes import NEVER
from streams.holds.spoken import Spoken

NOTHING = "nothing"
RELEASED, ALLOW_LISTED = "released", "allow_listed"
_DIVERTED = {"release": RELEASED, "allow": ALLOW_LISTED}


class Rulings(Spoken[Ruling]):
    @staticmethod
    def end_of(one: Ruling) -> int:
        return max(one.at, one.until)

    def stands(self, number: int, action: str, at_ms: int) -> bool:
        return any(one.action == action and one.at <= at_ms < one.until for one in self.of(number))

    def against(self, number: int, rule: str, at_ms: int) -> tuple[str, int]:
        """(what becomes of an opening by a rule, the time before which that holds): NOTHING, RELEASED or ALLOW_LISTED
        for one in review; "" if no ruling stands against it."""
        found, until_ms, nothing_until_ms = "", NEVER, -NEVER
        for one in self.of(number):
            if one.rule not in (None, rule):
                continue
            if one.action == "reject" and at_ms < one.until:
                return NOTHING, one.until
            if one.action != "reject" and at_ms <= one.at:
                nothing_until_ms = max(nothing_until_ms, one.at + 1)
            elif one.action != "reject" and at_ms < one.until:
                found, until_ms = _DIVERTED[one.action], min(until_ms, one.until)
        return (found, until_ms) if nothing_until_ms == -NEVER else (NOTHING, nothing_until_ms)


def with_ruling(rulings: list[Ruling], ruling: Ruling) -> list[Ruling]:
    """A later ruling of the same kind about the same rule replaces the one before."""
    same = (ruling.action, ruling.rule)
    return [*(one for one in rulings if (one.action, one.rule) != same), ruling]


def ruling(action: Literal["release", "allow", "reject"], rule: str, at_ms: int, until_ms: int, id: str) -> Ruling:
    return msgspec.convert({"action": action, "rule": rule or None, "at": at_ms, "until": until_ms, "id": id}, Ruling)
