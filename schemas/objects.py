"""Reads one JSON object without guessing: input that two decoders could read differently is an error."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from schemas.json_reading import TOO_DEEP, is_too_deep

DIGITS_MAX = 100  # of an integer, read and kept


class ObjectError(ValueError):
    """The value is no JSON object. code: `empty` or `not_json`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def read_pairs(value: bytes | None) -> list[tuple[str, Any]]:
    """The object's (name, value) pairs in order, a name as often as it stands there.

    Strict RFC 8259 in UTF-8: no byte order mark, nothing behind the object, no NaN. Raises ObjectError."""
    if not value:
        raise ObjectError("empty", "the record has no value (a tombstone): give one JSON object")
    if is_too_deep(value):
        raise ObjectError("not_json", f"{TOO_DEEP}: give one flat JSON object")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ObjectError("not_json", f"byte {error.start} is not UTF-8: encode the record in UTF-8") from None
    try:
        pairs = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ObjectError("not_json", f"{error.msg}, at character {error.pos}: give one JSON object") from None
    except ValueError:
        raise ObjectError("not_json", "a number in it is none of JSON's: NaN and Infinity are not") from None
    if not isinstance(pairs, _Pairs):
        raise ObjectError("not_json", f"is {kind_of(pairs)}: give one JSON object")
    return pairs


def kind_of(item: object) -> str:
    """JSON's name for the type of a value that `read_pairs` returned."""
    for kind, name in ((bool, "true or false"), (int, "an integer"), (float, "a fraction"), (str, "a string")):
        if isinstance(item, kind):
            return name
    return "null" if item is None else "an object" if isinstance(item, _Pairs) else "a list"


class _Pairs(list[tuple[str, Any]]):
    """The pairs of an object: a type of its own, so that they are not taken for a list."""


def _not_a_number(name: str) -> NoReturn:
    raise ValueError(name)


def _integer(text: str) -> int:
    """Reads an integer. JSON has no bound on integers, Python has: an integer beyond all our bounds becomes one such
    value, whatever its digits."""
    return int(text[:DIGITS_MAX])


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=_integer, parse_constant=_not_a_number)
