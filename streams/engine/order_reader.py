"""Reads an epoch's orders about numbers out of its events."""

from __future__ import annotations

import numpy as np
import orjson

from rules.model import BLOCKS, DIRECTIONS
from rules.registry import entry_at
from schemas.registry import ALLOWED
from streams.engine.evaluate import Evaluator
from streams.holds.number_order import REGISTRATIONS, NumberOrder
from streams.ingest.admission import DUPLICATE, LATE, Accepted
from streams.ingest.decode import ORDER
from streams.ingest.epoch import home_of
from streams.ingest.merge import Merged


class OrderReader:
    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def of(self, events: Merged, accepted: Accepted) -> list[NumberOrder]:
        """The orders in the order of their lines, but for those that came before. events: all of the epoch."""
        column = events[ORDER]
        told = [i for i in np.flatnonzero(column != 0).tolist() if accepted.verdict[i] != DUPLICATE]
        return [self._order(events, accepted, i) for i in told]

    def _order(self, events: Merged, accepted: Accepted, i: int) -> NumberOrder:
        said, number, at_ms = events[ORDER][i], int(events["number"][i]), int(accepted.time[i])
        registry = self._evaluator.registry
        allowed = number > 0 and entry_at(registry, ALLOWED, number, at_ms) >= 0
        return NumberOrder(
            line=int(events["line"][i]),
            offset=said["offset"],
            number=number,
            partition=int(home_of(events["partition"][i])),
            at_ms=at_ms,
            recorded_ms=int(events["timestamp"][i]),
            clock_before=int(accepted.clock_max_before[i]),
            id=said["id"],
            action=said["action"],
            operator=said["operator"],
            reason=said["reason"],
            rule=said.get("rule", ""),
            until_ms=said.get("until"),
            since_ms=said.get("since"),
            owner=said.get("owner", ""),
            account=said.get("account", ""),
            relay=said.get("relay", ""),
            refused="late" if accepted.verdict[i] == LATE else self._refusal(said["action"], number),
            is_allowed=bool(allowed),
            content=self._content(said["reason"]),
        )

    def _refusal(self, action: str, number: int) -> str:
        """The reason why nobody may order this about the number, "" for none."""
        if action in REGISTRATIONS:  # a protected number may send, too
            return "" if number > 0 else "no_number"
        return self._evaluator.unblockable(number)

    def _content(self, reason: str) -> bytes:
        """The content of the hold that an operator orders: nothing goes out, and nothing comes in."""
        return orjson.dumps(
            {
                "rules_version": self._evaluator.version,
                "directions": list(DIRECTIONS),
                "actions": [f"block_{what}" for what in BLOCKS],
                "reason": reason,
                "evidence": [],
            }
        )
