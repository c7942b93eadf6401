"""The pause of new blocks: an operator's record on `control-global`, and its row in the ledger."""

from __future__ import annotations

from typing import Annotated

import msgspec

from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.topics import CONTROL_GLOBAL
from streams.ingest.epoch import OutRecord

PAUSE_KEY = b"pause"


TEXT_MAX = 500  # characters: each worker logs them, and keeps them with every partition


Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


class Pause(msgspec.Struct, frozen=True):
    """The value of the record `pause`. at: the time at which the operator gave the order, ms; the Kafka timestamp of
    the record is the broker's. until: when it ends by itself, ms by wall time; None: it does not."""

    id: Text
    paused: bool
    at: Int64
    operator: Text = ""
    reason: Text = ""
    until: Int64 | None = None

    def as_of(self, now_ms: int) -> Pause:
        """The order as it stands at a time: one that is over pauses nothing."""
        is_over = self.paused and self.until is not None and self.until <= now_ms
        return msgspec.structs.replace(self, paused=False) if is_over else self

    def record(self) -> OutRecord:
        return OutRecord(CONTROL_GLOBAL, PAUSE_KEY, self.row(), partition=0)

    def row(self) -> bytes:
        return msgspec.json.encode(self)

    def __str__(self) -> str:
        described = [
            f"{name}={value}" for name, value in (("operator", self.operator), ("reason", self.reason)) if value
        ]
        return " ".join([f"id={self.id}", *described])


_PAUSE = JsonReader(Pause)


def pause_of(value: bytes | None) -> Pause | None:
    """Reads a pause; None for a tombstone, which ends one. Raises ValueError for a value that is no pause."""
    try:
        return None if value is None else _PAUSE.read(value)
    except Unreadable as problem:
        raise ValueError(f"a record `pause` on {CONTROL_GLOBAL} cannot be read: {problem}") from None
