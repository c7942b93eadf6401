"""A number's holds as one row of the ledger topic: key = the number, value = all its holds in all lanes, as JSON.

Rules are named: slots change with the rule files, and a hold outlives the rule that opened it. Times are in ms. The
same holds give the same bytes, so that rows can be compared.

Keys that start with `#` (`#snapshot`, `#rules`) are notes beside the numbers, and none of this module's business."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
import orjson

from rules.model import MODES
from schemas.json_reading import Int64, JsonReader
from schemas.numbers import E164_DIGITS_MAX, masked

FORMAT = 1
_KEY = re.compile(rb"\+([1-9][0-9]{0,%d})" % (E164_DIGITS_MAX - 1))


TimeMs = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class LedgerRowError(ValueError):
    """A row that cannot be read. The message says which number it belongs to, what is wrong and what would be right; it
    never holds the whole number or the row."""


class KeptHold(msgspec.Struct, frozen=True):
    """One hold as a row keeps it. content: the hold's own fields in block events, an object; for writing also as
    JSON."""

    rule: str
    mode: Literal["enforce", "shadow", "review"]
    from_: TimeMs = msgspec.field(name="from")
    until: TimeMs
    active: bool
    content: Any


class _RowHead(msgspec.Struct):
    format: Int64


class _Row(msgspec.Struct):
    holds: list[KeptHold]


class _Content(msgspec.Struct):
    """The fields of a hold's content that block events need; it may have more."""

    rules_version: str
    directions: list[str]
    actions: list[str]
    reason: str
    evidence: list[dict[str, Any]]


_head = JsonReader(_RowHead)
_row = JsonReader(_Row)


def encode(holds: Iterable[KeptHold]) -> bytes:
    return orjson.dumps(
        {
            "format": FORMAT,
            "holds": [
                {
                    "rule": hold.rule,
                    "mode": hold.mode,
                    "from": hold.from_,
                    "until": hold.until,
                    "active": hold.active,
                    "content": orjson.Fragment(hold.content) if isinstance(hold.content, bytes) else hold.content,
                }
                for hold in holds
            ],
        }
    )


def last_rows(rows: Iterable[tuple[bytes, bytes | None]]) -> dict[int, bytes | None]:
    """number -> its last value, None where that is a tombstone, of (key, value) in log order. Raises LedgerRowError
    for a key that is neither a number nor a note."""
    last: dict[bytes, bytes | None] = {}
    for key, value in rows:
        if not key.startswith(b"#"):
            last[key] = value
    return {_number(key): value for key, value in last.items()}


def decode(number: int, value: bytes) -> list[KeptHold]:
    """The holds of a number's row, at least one. Raises LedgerRowError."""
    try:
        found = _head.read(value).format
        if found != FORMAT:
            raise _problem(number, f"its format is {found}, and this version reads {FORMAT}: run the one that wrote it")
        row = _row.read(value)
        for hold in row.holds:
            msgspec.convert(hold.content, _Content)
        encode(row.holds)  # what could not be written again must not be taken over: integers beyond 64 bits
    except LedgerRowError:
        raise
    except (ValueError, TypeError) as error:
        raise _problem(number, str(error)) from None
    if not row.holds:
        raise _problem(number, "it has no holds: a number without holds has a tombstone")
    if len({(hold.rule, hold.mode) for hold in row.holds}) < len(row.holds):
        raise _problem(number, "two holds are of the same rule and mode: a rule has one hold in each")
    if any(hold.until < hold.from_ for hold in row.holds):
        raise _problem(number, "a hold ends before it begins")
    return row.holds


def mode_of(lane: int) -> Literal["enforce", "shadow", "review"]:
    return MODES[lane]  # type: ignore[return-value]


def _number(key: bytes) -> int:
    found = _KEY.fullmatch(key)
    if found is None:
        raise LedgerRowError(
            f"ledger: a key of {len(key)} bytes is no number: keys are E.164 with +, or notes that start with #"
        )
    return int(found[1])


def _problem(number: int, what: str) -> LedgerRowError:
    return LedgerRowError(f"ledger: the row of {masked(number)} cannot be read: {what}")
