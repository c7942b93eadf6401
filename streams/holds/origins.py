"""Dual blocking: what is blocked at reception is stopped at the sending side too, by the relays that it came through.

A rule that says `origin: stop` notes, with its hold, the relay of each event that opened or extended it. Each change of
an enforced hold is then told to them on `relay-actions`, in the same transaction: that they stop the number until the
hold's end, or need not any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from schemas.json_reading import JsonReader
from schemas.topics import RELAY_ACTIONS
from streams.ingest.epoch import OutRecord

if TYPE_CHECKING:
    from streams.holds.hold import Change
    from streams.holds.output import FrozenChange

RELAYS_MAX = 16  # of one hold: the first that it came through
_CONTENT: JsonReader[dict[str, Any]] = JsonReader(dict)
# Changes behind which the hold is in force; all others end it.
IN_FORCE = ("opened", "extended", "reduced")


def relays_of(change: Change, name: str) -> list[str]:
    """The relays of a hold behind a change by a record that came through the one of this name, "" for none."""
    before = change.hold.content if change.change == "extended" else b""
    known: list[str] = _CONTENT.read(before).get("relays", []) if before else []
    return known if not name or name in known or len(known) == RELAYS_MAX else [*known, name]


def relay_actions(number: str, change: FrozenChange) -> Iterator[OutRecord]:
    """The word to each relay of an enforced hold about a change of it."""
    hold = change.hold
    for relay in hold.get("relays", ()):
        told = {
            "event_id": change.event_id,
            "relay": relay,
            "number": number,
            "action": "stop" if change.change in IN_FORCE else "lift",
            "block_id": hold["block_id"],
            "rule": hold["rule"],
            "reason": hold["reason"],
            "from": hold["from"],
            "until": hold["until"],
        }
        yield OutRecord(RELAY_ACTIONS, relay.encode(), orjson.dumps(told))
