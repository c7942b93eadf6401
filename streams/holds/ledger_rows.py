"""A number's holds as one row of the ledger topic: key = the number, value = all its holds in all lanes, as JSON.

Rules are named: slots change with the rule files, and a hold outlives the rule that opened it. Times are in ms. The
same holds give the same bytes, so that rows can be compared.

Keys that start with `#` (`#snapshot`, `#rules`) are notes beside the numbers, and none of this module's business."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import orjson

from rules.model import MODES
from schemas.json_reading import Int64, JsonReader
from schemas.numbers import E164_DIGITS_MAX, masked
from streams.kernels.partition import partition_of

FORMAT = 4  # of a row with registrations
TAKEN = 3  # of any other with a hold that somebody has taken, or that silence will block: versions before 4 read it
SPOKEN = 2  # of any other row of which an operator has spoken: versions before 3 read it too
PLAIN = 1  # of all others: versions before 2 read it too
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
    released: TimeMs | None = None
    taken_by: str = ""
    review_by: TimeMs | None = None


class Ruling(msgspec.Struct, frozen=True):
    """The part of an order that stays (streams/holds/rulings.py). rule: None for all."""

    action: Literal["release", "allow", "reject"]
    rule: str | None
    at: TimeMs
    until: TimeMs
    id: str


class Registration(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a registration that stays (streams/holds/registrations.py). account, relay: through which alone the
    number sends; None for any."""

    since: TimeMs
    until: TimeMs
    id: str
    owner: str | None = None
    account: str | None = None
    relay: str | None = None


class _RowHead(msgspec.Struct):
    format: Int64


class _Row(msgspec.Struct):
    holds: list[KeptHold]
    rulings: list[Ruling] = []
    registrations: list[Registration] = []


class _Content(msgspec.Struct):
    """The fields of a hold's content that block events need; it may have more."""

    rules_version: str
    directions: list[str]
    actions: list[str]
    reason: str
    evidence: list[dict[str, Any]]


_head = JsonReader(_RowHead)
_row = JsonReader(_Row)


def encode(
    holds: Iterable[KeptHold], rulings: Iterable[Ruling] = (), registrations: Iterable[Registration] = ()
) -> bytes:
    holds, told = list(holds), [msgspec.to_builtins(one) for one in rulings]
    registered = [msgspec.to_builtins(one) for one in registrations]
    is_new = any(hold.taken_by or hold.review_by is not None for hold in holds)
    is_plain = not told and all(hold.released is None for hold in holds)
    return orjson.dumps(
        {
            "format": FORMAT if registered else TAKEN if is_new else PLAIN if is_plain else SPOKEN,
            "holds": [
                {
                    "rule": hold.rule,
                    "mode": hold.mode,
                    "from": hold.from_,
                    "until": hold.until,
                    "active": hold.active,
                    "content": orjson.Fragment(hold.content) if isinstance(hold.content, bytes) else hold.content,
                    **({} if hold.released is None else {"released": hold.released}),
                    **({"taken_by": hold.taken_by} if hold.taken_by else {}),
                    **({} if hold.review_by is None else {"review_by": hold.review_by}),
                }
                for hold in holds
            ],
            **({"rulings": told} if told else {}),
            **({"registrations": registered} if registered else {}),
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


def decode(number: int, value: bytes) -> tuple[list[KeptHold], list[Ruling], list[Registration]]:
    """The holds of a number's row, the rulings about it and its registrations, at least one of them. Raises
    LedgerRowError."""
    try:
        found = _head.read(value).format
        if found not in (PLAIN, SPOKEN, TAKEN, FORMAT):
            raise _problem(
                number, f"its format is {found}, and this version reads up to {FORMAT}: run the one that wrote it"
            )
        row = _row.read(value)
        for hold in row.holds:
            msgspec.convert(hold.content, _Content)
        encode(row.holds, row.rulings, row.registrations)  # integers beyond 64 bits could not be written again
    except LedgerRowError:
        raise
    except (ValueError, TypeError) as error:
        raise _problem(number, str(error)) from None
    if not (row.holds or row.rulings or row.registrations):
        raise _problem(number, "it has no holds: a number without holds has a tombstone")
    if len({(hold.rule, hold.mode) for hold in row.holds}) < len(row.holds):
        raise _problem(number, "two holds are of the same rule and mode: a rule has one hold in each")
    if any(hold.until < hold.from_ for hold in row.holds):
        raise _problem(number, "a hold ends before it begins")
    return row.holds, row.rulings, row.registrations


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


def homes_of(numbers: np.ndarray, partitions: int) -> np.ndarray:
    """int32[n]: the partition that each number belongs to."""
    homes = np.empty(len(numbers), np.int32)
    partition_of(numbers, partitions, homes)
    return homes
