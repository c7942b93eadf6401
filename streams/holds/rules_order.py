"""An operator's word to every worker to go on with other rules: a record on `control-global`."""

from __future__ import annotations

import msgspec

from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.topics import CONTROL_GLOBAL
from streams.holds.pause import Text
from streams.ingest.epoch import OutRecord

RULES_ORDER_KEY = b"rules"


class RulesOrder(msgspec.Struct, frozen=True):
    """The value of the record `rules`. version: of the rules that each worker finds in its own files. at: the time at
    which the operator gave the order, ms."""

    id: Text
    version: Text
    at: Int64
    operator: Text = ""
    reason: Text = ""

    def record(self) -> OutRecord:
        return OutRecord(CONTROL_GLOBAL, RULES_ORDER_KEY, msgspec.json.encode(self), partition=0)


_ORDER = JsonReader(RulesOrder)


def rules_order_of(value: bytes | None) -> RulesOrder | None:
    """Reads an order; None for a tombstone, which takes one back. Raises ValueError for a value that is none."""
    try:
        return None if value is None else _ORDER.read(value)
    except Unreadable as problem:
        raise ValueError(f"a record `rules` on {CONTROL_GLOBAL} cannot be read: {problem}") from None
