"""A mapping file as it is understood: where the columns stand in a file, and how records are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

FORMS = ("csv", "json", "fixed", "lines")
DECODINGS = ("percent", "python")
ABSENT = ("", "\\N", "NULL", "null")  # texts that stand for no value, unless the map names others


class FieldFlaw(Exception):
    """A value that its field cannot have. code: the reason as a word, of those of dead letters; the message is for
    people and never repeats the value."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class LineTemplate:
    """A line of a log: texts that stand in it, and between each two of them a column. `texts` has one more element
    than `names`; a name of None is a column that nobody reads."""

    texts: tuple[str, ...]
    names: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class FileInput:
    """The form of the files. Of each form only its own settings are used.

    header: the first row names the columns. columns: their names, where no row does. optional: the last of them, which
    a row may lack. spans: of fixed columns, the first and last character, from 1. about: the text by which lines of
    interest are known. absent: texts that stand for no value. decode: an encoding of every text, of DECODINGS."""

    form: str
    encoding: str = "utf-8"
    absent: frozenset[str] = frozenset(ABSENT)
    decode: str | None = None
    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    header: bool = True
    columns: tuple[str, ...] = ()
    optional: int = 0
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    templates: tuple[LineTemplate, ...] = ()
    about: str | None = None


@dataclass(frozen=True, slots=True)
class RowCondition:
    """True of a row whose column is there (`values` None) or is one of `values`, or equals another column; the other
    way round if not `wanted`. columns: indices among the map's columns, of which the first that is there is meant.
    like: those of the other column, which is called like_name."""

    columns: tuple[int, ...]
    values: frozenset[str] | None
    wanted: bool
    name: str
    like: tuple[int, ...] = ()
    like_name: str = ""

    def holds(self, cells: list[str | None]) -> bool:
        cell = _first(cells, self.columns)
        if self.like:
            return (cell is not None and cell == _first(cells, self.like)) is self.wanted
        found = cell is not None and (self.values is None or cell in self.values)
        return found is self.wanted

    def __str__(self) -> str:
        if self.like:
            return f"`{self.name}` {'is' if self.wanted else 'is not'} as `{self.like_name}`"
        state = "is there" if self.values is None else f"is {' or '.join(sorted(self.values))}"
        return f"`{self.name}` {state if self.wanted else state.replace('is', 'is not', 1)}"


def _first(cells: list[str | None], columns: tuple[int, ...]) -> str | None:
    return next((cells[column] for column in columns if cells[column] is not None), None)


# From a row's cells to the value of a field: text, milliseconds, or None for absent. Raises FieldFlaw.
FieldMaker = Callable[[list[str | None]], "str | int | None"]


@dataclass(frozen=True, slots=True)
class RecordMap:
    """One record that a row becomes: its fields in the order of the schema. when: only of rows for which all hold."""

    when: tuple[RowCondition, ...]
    fields: Mapping[str, FieldMaker]


@dataclass(frozen=True, slots=True)
class ConversionMap:
    """A mapping file. columns: names in the files that the map reads; cells of a row stand in this order. needed:
    groups of indices; of each, every file must have one. sources: column -> the field that it is first used for. skip:
    rows that become no record, on purpose."""

    name: str
    summary: str
    topic: str
    input: FileInput
    columns: tuple[str, ...]
    needed: tuple[tuple[int, ...], ...]
    sources: Mapping[str, str]
    skip: tuple[RowCondition, ...]
    records: tuple[RecordMap, ...]
