"""The stored form of a chunk of an image: one line of JSON, then arrays as they lie in memory.

{"format":3,"crc":"89abcdef",            fixed width; the CRC-32 of everything behind this
 "kind":"rows","topic":"cdr", ... ,      the piece's own fields
 "arrays":[["block","int64",[4000,17]], ...]}
bytes of the arrays, one behind the other, little-endian
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from schemas.json_reading import JsonReader, Unreadable

FORMAT = 3
BYTES = 448 * 1024  # a piece is closed at this size: with its last row still below half a megabyte
_START = re.compile(rb'\{"format":(\d{1,9}),"crc":"([0-9a-f]{8})",')
_DTYPES = ("int64", "uint32", "uint8")


_FIELDS = JsonReader(dict[str, Any])


class ImageError(ValueError):
    """A chunk that cannot be loaded. The message says what is wrong with it."""


class NewerImage(ImageError):
    """A chunk in a format that this version does not know."""


def encode(fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encodes a chunk with these fields and arrays (of the types in `_DTYPES`)."""
    if sys.byteorder != "little":
        raise ImageError("images are little-endian, and this machine is not")
    shapes = [[name, array.dtype.name, array.shape] for name, array in arrays.items()]
    header = orjson.dumps({**fields, "arrays": shapes})
    rest = b"".join([header[1:], b"\n", *(np.ascontiguousarray(array).data for array in arrays.values())])
    return b'{"format":%d,"crc":"%08x",' % (FORMAT, zlib.crc32(rest)) + rest


def fields_of(piece: bytes) -> dict[str, Any]:
    """Returns the fields alone, which say what a chunk holds. Raises ImageError."""
    return _parsed(piece)[0]


def decode(piece: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns fields and arrays, the latter as read-only views. Raises ImageError for a chunk that is damaged or of
    another format."""
    fields, at = _parsed(piece)
    arrays = {}
    try:
        for name, dtype, shape in fields["arrays"]:
            if dtype not in _DTYPES:
                raise ImageError(f"array {name!r} of a piece of an image has type {dtype!r}, not one of {_DTYPES}")
            count = int(np.prod(shape, dtype=np.int64))
            arrays[name] = np.frombuffer(piece, dtype, count, at).reshape(shape)
            at += arrays[name].nbytes
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ImageError(f"a piece of an image does not hold the arrays that it names: {error}") from None
    if at != len(piece):
        raise ImageError(f"a piece of an image has {len(piece)} bytes where its arrays end at {at}")
    return fields, arrays


def _parsed(piece: bytes) -> tuple[dict[str, Any], int]:
    """(fields, position at which the arrays begin)"""
    start = _START.match(piece)
    if start is None:
        raise ImageError(f"not a piece of an image: {len(piece)} bytes that do not begin with its format and checksum")
    if int(start[1]) > FORMAT:
        raise NewerImage(
            f"the image has format {int(start[1])}, this version reads {FORMAT}: run the newer Grayline that wrote it"
        )
    if int(start[1]) != FORMAT:
        raise ImageError(
            f"an image of format {int(start[1])}, where this version reads {FORMAT}: counters begin empty and warm, "
            "holds are kept; to count the past again, start all workers as a new --group with --from one reach back"
        )
    if zlib.crc32(memoryview(piece)[start.end() :]) != int(start[2], 16):
        raise ImageError(f"a damaged piece of an image: the checksum of its {len(piece)} bytes does not fit")
    end = piece.find(b"\n")
    try:
        return _FIELDS.read(b"{" + piece[start.end() : end]), end + 1
    except Unreadable as error:
        raise ImageError(f"a piece of an image cannot be read: {error}") from None
