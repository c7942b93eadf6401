"""Decodes JSON from outside into typed values. All bytes that somebody else wrote are decoded here or by
`schemas.objects`: their depth is checked before any decoder recurses into them."""

from __future__ import annotations

import re
from typing import Annotated, Generic, TypeVar

import msgspec

# Deeper than any feed nests, and far from Python's recursion limit: the treatment of a value must not depend on how
# deep the call stack is when it is read.
DEPTH_MAX = 64
TOO_DEEP = f"nested more than {DEPTH_MAX} deep"

# JSON sets integers no bound, Python neither; arrays, Kafka's client and orjson do.
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

# A string that is never closed reaches to the end: were it no match, each quote in it would be tried as a beginning.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{[]}"))

_T = TypeVar("_T")


class Unreadable(ValueError):
    """The bytes do not hold what was to be read from them; the message says why."""


class JsonReader(Generic[_T]):
    """Reads values of one type. Fields that the type does not name are ignored."""

    def __init__(self, kind: type[_T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, value: bytes) -> _T:
        """Decodes a value. Raises Unreadable, and nothing else, whatever the bytes."""
        if is_too_deep(value):
            raise Unreadable(TOO_DEEP)
        try:
            return self._decoder.decode(value)
        except ValueError as error:  # of msgspec, or a string that is not UTF-8
            raise Unreadable(str(error)) from None


def is_too_deep(value: bytes) -> bool:
    """True if a decoder would have to go more than DEPTH_MAX objects and lists deep."""
    if value.count(b"{") + value.count(b"[") <= DEPTH_MAX:
        return False
    depth = 0
    for byte in _STRING.sub(b"", value).translate(None, _NO_BRACKETS):
        if byte in b"{[":
            depth += 1
            if depth > DEPTH_MAX:
                return True
        else:
            depth -= 1
    return False
