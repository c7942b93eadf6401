"""Operators' orders about numbers, a second time: what each may do, and what it leaves behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.codes import CONTROL_ACTIONS

if TYPE_CHECKING:
    from tests.reference.reference import Hold, Reference

OPERATOR = "operator"
ACTIONS = CONTROL_ACTIONS[1:]


@dataclass(frozen=True)
class Order:
    """One record of `control` that counts. offset: its place in the log."""

    number: int
    at_ms: int
    offset: int
    record: dict[str, Any]

    @property
    def until_ms(self) -> int | None:
        return self.record.get("until")

    @property
    def through(self) -> tuple[str | None, str | None]:
        return self.record.get("account"), self.record.get("relay")

    def is_about(self, rule: str) -> bool:
        return self.record.get("rule", rule) == rule

    def shown(self) -> dict[str, Any]:
        said = self.record
        told = {"id": said["id"], "action": said["action"], "at": self.at_ms, "operator": said["operator"]}
        told |= {"reason": said["reason"], "rule": said.get("rule"), "until": said.get("until")}
        return told | {name: said[name] for name in ("since", "owner", "account", "relay") if name in said}


class Orders:
    """All orders that were obeyed and still say something. A number's later order of a kind about a rule takes the
    place of the earlier one."""

    def __init__(self, reference: Reference) -> None:
        self._of = reference
        # By number: the registrations, each (since, until, account, relay), None for any.
        self.registered: defaultdict[int, list[tuple[int, int, str | None, str | None]]] = defaultdict(list)
        self.standing: defaultdict[int, dict[tuple[str, str | None], tuple[int, int]]] = defaultdict(dict)

    def against(self, number: int, rule: str, at_ms: int) -> str:
        """What becomes of a firing: "nothing", or why an opening goes to review; "" if it is as ever."""
        mine = {k: times for k, times in self.standing[number].items() if k[1] in (None, rule)}
        for (action, _), (said_ms, until_ms) in mine.items():
            if (action == "reject" and at_ms < until_ms) or (action != "reject" and at_ms <= said_ms):
                return "nothing"
        why = ""
        for (action, _), (_, until_ms) in mine.items():
            if action != "reject" and at_ms < until_ms:
                why = "released" if action == "release" else "allow_listed"
        return why

    def refusal(self, order: Order, is_late: bool) -> str:
        of, number, action = self._of, order.number, order.record["action"]
        if is_late:
            return "late"
        if number <= 0:
            return "no_number"
        if action == "register":
            since_ms = order.record.get("since", order.at_ms)
            through = {one[2:] for one in self.registered[number]} - {order.through}
            if order.until_ms is None or order.until_ms <= since_ms:
                return "no_end" if order.until_ms is None else "over"
            return "too_many" if len(through) >= 16 else ""
        if action == "unregister":
            return "" if self._ended_by(order) else "not_registered"
        if of.protected.covers(number):
            return "protected"
        if action in ("block", "propose", "allow") and order.until_ms is None:
            return "no_end"
        if order.until_ms is not None and order.until_ms <= order.at_ms:
            return "over"
        allows = [t for (kind, _), t in self.standing[number].items() if kind == "allow"]
        if action in ("block", "propose", "approve") and (
            any(said <= order.at_ms < until for said, until in allows) or of.is_allowed(number, order.at_ms)
        ):
            return "allow_listed"
        if action == "disallow":
            return "" if allows else "not_allowed"
        if action in ("release", "suspend") and not self._meant(order, "enforce"):
            return "not_blocked"
        if action in ("approve", "reject", "take"):
            mine = self._meant(order, "review")
            if action == "take" and mine and {hold.taken_by for hold in mine} == {order.record["operator"]}:
                return "no_change"
            return "" if mine else "not_in_review"
        hold = of.hold_of(number, OPERATOR, "review" if action == "propose" else "enforce")
        if action in ("block", "propose") and hold is not None and stands(hold, order.at_ms):
            return "no_change" if hold.until_ms == max(order.until_ms or 0, hold.from_ms) else ""
        return ""

    def obey(self, order: Order) -> Iterator[tuple[str, Hold]]:
        of, number, action, at_ms = self._of, order.number, order.record["action"], order.at_ms
        rule = order.record.get("rule")
        if action == "register":
            mine = [one for one in self.registered[number] if one[2:] != order.through]
            assert order.until_ms is not None
            self.registered[number] = [*mine, (order.record.get("since", at_ms), order.until_ms, *order.through)]
        elif action == "unregister":
            cut = self._ended_by(order)
            mine = [(one[0], at_ms, *one[2:]) if one in cut else one for one in self.registered[number]]
            self.registered[number] = [one for one in mine if one[0] < one[1]]
        elif action in ("release", "allow"):
            for hold in self._meant(order, "enforce"):
                yield self._ended("released", hold, at_ms)
            self._stand(number, action, rule, at_ms, order.until_ms or at_ms)
        elif action == "disallow":
            kept = {key: times for key, times in self.standing[number].items() if key[0] != "allow"}
            self.standing[number] = kept
        elif action in ("block", "propose"):
            assert order.until_ms is not None
            lane = "enforce" if action == "block" else "review"
            yield of.ordered_hold(OPERATOR, lane, at_ms, order.until_ms, number, reason=order.record["reason"])
        elif action == "suspend":
            for hold in self._meant(order, "enforce"):
                yield self._ended("suspended", hold, at_ms)
        elif action == "take":
            for hold in self._meant(order, "review"):
                hold.taken_by = order.record["operator"]
                yield "taken", hold
        else:
            for hold in self._meant(order, "review"):
                name = of.rule_name(hold.rule)
                yield self._ended("approved" if action == "approve" else "rejected", hold, at_ms)
                if action == "reject":
                    self._stand(number, "reject", name, at_ms, order.until_ms or max(hold.until_ms, at_ms))
                    continue
                until_ms = order.until_ms or hold.until_ms
                enforced = of.hold_of(number, name, "enforce")
                if enforced is None or not stands(enforced, at_ms) or enforced.until_ms < until_ms:
                    yield of.ordered_hold(name, "enforce", at_ms, until_ms, number, like=hold)

    def registration(self, number: int, at_ms: int, fields: dict[str, Any]) -> tuple[bool, bool]:
        """(the number is registered at that time, and through what the record names)."""
        mine = [one for one in self.registered[number] if one[0] <= at_ms < one[1]]
        account, relay = fields.get("account"), fields.get("relay")
        fits = [
            one for one in mine if (None in (one[2], account) or one[2] == account)
            and (None in (one[3], relay) or one[3] == relay)
        ]  # fmt: skip
        return bool(mine), bool(fits)

    def _ended_by(self, order: Order) -> list[tuple[int, int, str | None, str | None]]:
        account, relay = order.through
        return [
            one for one in self.registered[order.number] if one[1] > order.at_ms
            and account in (None, one[2]) and relay in (None, one[3])
        ]  # fmt: skip

    def _meant(self, order: Order, lane: str) -> list[Hold]:
        of = self._of
        found = [h for h in of.holds.values() if (h.number, h.lane) == (order.number, lane) and stands(h, order.at_ms)]
        return sorted((h for h in found if order.is_about(of.rule_name(h.rule))), key=lambda h: h.rule)

    def _stand(self, number: int, action: str, rule: str | None, at_ms: int, until_ms: int) -> None:
        self.standing[number].pop((action, rule), None)
        self.standing[number][action, rule] = at_ms, until_ms

    def _ended(self, change: str, hold: Hold, at_ms: int) -> tuple[str, Hold]:
        hold.active, hold.released_ms, hold.review_by_ms = False, at_ms, None
        return change, hold


def stands(hold: Hold, at_ms: int) -> bool:
    return hold.released_ms is None and at_ms < hold.until_ms


def end_of(hold: Hold) -> int:
    """A firing then or later opens the next hold."""
    return hold.until_ms if hold.released_ms is None else max(hold.released_ms, hold.from_ms) + 1
