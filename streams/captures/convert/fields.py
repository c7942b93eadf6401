"""Makes the value of one field of a record from a row's cells."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import unquote

from schemas.times import TimeError
from streams.captures.convert.model import FieldFlaw, FieldMaker

NUMBERS = ("national", "e164", "smpp")
INTERNATIONAL, ALPHANUMERIC = "1", "5"  # SMPP's types of number
TYPE_NAMES = {
    "international": INTERNATIONAL,
    "ton_international": INTERNATIONAL,
    "addrton.international": INTERNATIONAL,
}
_DIGITS = re.compile(r"[0-9]{7,15}")
_BYTES = re.compile(r"b(['\"]).*\1", re.DOTALL)


def constant(value: str | int) -> FieldMaker:
    return lambda _: value


def cell_of(columns: Sequence[int], absent: frozenset[str], otherwise: str | None) -> FieldMaker:
    """The first of some columns that is there. absent: texts that stand for no value in this field, besides those of
    the whole file. otherwise: the value where none of them is there."""
    (first, *others) = columns
    if not others and not absent and otherwise is None:
        return lambda cells: cells[first]

    def make(cells: list[str | None]) -> str | None:
        for column in columns:
            if (cell := cells[column]) is not None and cell not in absent:
                return cell
        return otherwise

    return make


def joined(columns: Sequence[int]) -> FieldMaker:
    """All of some columns with "-" between them; absent if one of them is: half an id tells no two records apart."""

    def make(cells: list[str | None]) -> str | None:
        found = [cells[column] for column in columns]
        return None if None in found else "-".join(found)  # type: ignore[arg-type]

    return make


def chosen(make: FieldMaker, choices: Mapping[str, str], other: str | None) -> FieldMaker:
    """A value by the text in the file; other: the value of texts that are not listed."""

    def choose(cells: list[str | None]) -> str | int | None:
        text = make(cells)
        if text is None:
            return None
        found = choices.get(str(text), other)
        if found is None:
            raise FieldFlaw("bad_value", "is a text that `choices` does not list: list it, or say `other:`")
        return found or None

    return choose


def timed(make: FieldMaker, read: Callable[[str], int]) -> FieldMaker:
    def time(cells: list[str | None]) -> int | None:
        text = make(cells)
        if text is None:
            return None
        try:
            return read(str(text))
        except TimeError as error:
            raise FieldFlaw("bad_time", str(error)) from None

    return time


def moved(make: FieldMaker, column: int, unit_ms: float, sign: int) -> FieldMaker:
    """A time and a duration behind it (sign 1) or before it (-1)."""

    def move(cells: list[str | None]) -> int | None:
        at, span = make(cells), cells[column]
        if at is None or span is None:
            return None
        try:
            ms = float(span) * unit_ms
        except ValueError:
            ms = -1.0
        if not 0 <= ms < 1e13:
            raise FieldFlaw("bad_value", "comes of a duration that is no number of 0 or more")
        return int(at) + sign * round(ms)

    return move


def numbered(make: FieldMaker, numbers: str, type_column: int | None) -> FieldMaker:
    """A telephone number. `national` stays as it was dialled, and the worker's home region decides; `e164` gets the "+"
    that it lost; `smpp` gets one where its type of number says international."""
    if numbers == "national":
        return make

    def number(cells: list[str | None]) -> str | int | None:
        text = make(cells)
        if text is None or not _DIGITS.fullmatch(str(text)):
            return text
        if numbers == "e164":
            return _with_plus(str(text))
        kind = cells[type_column] if type_column is not None else None
        is_international = kind is not None and TYPE_NAMES.get(kind.lower(), kind) == INTERNATIONAL
        return _with_plus(str(text)) if is_international else text

    return number


def _with_plus(digits: str) -> str:
    """No country code starts with 0: such digits are no E.164, whatever they are said to be."""
    return digits if digits.startswith("0") else "+" + digits


def hashed(make: FieldMaker) -> FieldMaker:
    def digest(cells: list[str | None]) -> str | None:
        text = make(cells)
        return None if text is None else hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()

    return digest


def decoded(make: FieldMaker, decoding: str) -> FieldMaker:
    decode = from_percent if decoding == "percent" else from_python

    def text(cells: list[str | None]) -> str | None:
        found = make(cells)
        return None if found is None else decode(str(found)) or None

    return text


def from_percent(text: str) -> str:
    """Undoes percent encoding, as of addresses. Raises FieldFlaw."""
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise FieldFlaw("bad_value", "is percent-encoded, and not in UTF-8") from None


def from_python(text: str) -> str:
    """The text of bytes as Python shows them (b'...'): UTF-8, or UCS-2 as in messages. Other text stays as it is.
    Raises FieldFlaw."""
    if not _BYTES.fullmatch(text):
        return text
    try:
        raw = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError):
        raise FieldFlaw("bad_value", "looks like Python's bytes, b'...', and is not") from None
    for encoding in ("utf-8", "utf-16-be"):
        try:
            found: str = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in found:
            return found
    raise FieldFlaw("bad_value", "holds bytes that are neither UTF-8 nor UCS-2")
