"""Definitions that rules read: hours, counters, limits and lists of values, of a file or shared by all files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rules import catalog
from rules.counters_file import read_counter
from rules.document import Document, Node
from rules.expression_check import Choice, Hidden, ValueList, closest
from rules.hours import Hours
from rules.hours_file import read_hours
from rules.limits_file import Levels, read_limit
from rules.model import Counter
from rules.reading import choice_list, entries, mapping, name, text

SECTIONS = ("hours", "counters", "limits", "lists")
SHARED = "shared"
COLUMN_NAME = r"[a-z][a-z0-9_]*"
LETTERS = "small letters, digits and _"
RESERVED = frozenset({"and", "or", "not", "in", "is", "if", "else", "for", "lambda", "await", "async", "always"})


@dataclass
class Definitions:
    """All that is defined, by name. None stands for what is wrong, so that a rule that reads it causes no further
    error. places: where each is, by section and name."""

    hours: dict[str, Hours | None] = field(default_factory=dict)
    counters: dict[str, Counter | None] = field(default_factory=dict)
    limits: dict[str, Levels | None] = field(default_factory=dict)
    lists: dict[str, ValueList | None] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def names(self, name: str) -> bool:
        """True if an expression knows the name already, as another thing than a limit."""
        return name in self.counters or name in self.lists or name in catalog.all_fields() or name in RESERVED

    def beside(self, shared: Definitions) -> Definitions:
        return Definitions(
            {**shared.hours, **self.hours}, {**shared.counters, **self.counters}, {**shared.limits, **self.limits},
            {**shared.lists, **self.lists}, {**shared.places, **self.places},
        )  # fmt: skip


def read_shared(doc: Document, node: Node, known: Definitions) -> None:
    """Reads what a file shares with all others into `known`."""
    keys = mapping(doc, node, "`shared`", (), SECTIONS)
    _read(doc, keys or {}, known, known)


def read_own(doc: Document, keys: Mapping[str, Node], shared: Definitions) -> Definitions:
    """Reads a file's own definitions, which are no other's name."""
    own = Definitions()
    _read(doc, keys, own, shared)
    return own


def _read(doc: Document, keys: Mapping[str, Node], into: Definitions, known: Definitions) -> None:
    readers: list[tuple[str, dict[str, Any], Callable[[Node, Node], Any]]] = [
        ("lists", into.lists, lambda key, value: _listed(doc, key, value)),
        ("hours", into.hours, lambda key, value: _hours(doc, key, value)),
        ("counters", into.counters, lambda key, value: _counter(doc, key, value)),
        ("limits", into.limits, lambda key, value: limit_of(doc, key, value, into.beside(known))),
    ]
    for section, found, read in readers:
        for key, value in (entries(doc, keys[section], f"`{section}`") or ()) if section in keys else ():
            place = f"{section} {key.text}"
            if place in known.places:
                hint = f"read those, or choose another name: they are at {known.places[place]}"
                doc.error(key, f"`{key.text}` is defined among the `{section}` that all files share", hint)
                continue
            into.places[place] = f"{doc.name}:{key.line + 1}"
            found[key.text] = read(key, value)
        if section == "lists":
            doc.lists = {n: one or Hidden() for n, one in into.beside(known).lists.items()}


def _hours(doc: Document, key: Node, value: Node) -> Hours | None:
    if key.text == "always":
        doc.error(key, "`always` is what a limit is outside all hours", "choose another name")
        return None
    named = name(doc, key, "hours", r"[a-z][a-z0-9_-]*", "small letters, digits, _ and -")
    return read_hours(doc, key.text, value) if named else None


def _counter(doc: Document, key: Node, value: Node) -> Counter | None:
    fields = catalog.all_fields()
    if taken := key.text in fields or key.text in RESERVED:
        what = "a record field has that name" if key.text in fields else "the word means something in expressions"
        doc.error(key, f"a counter cannot be named `{key.text}`: {what}", "choose another name")
    named = not taken and name(doc, key, "a counter", COLUMN_NAME, LETTERS)
    counter = read_counter(doc, key.text, value)
    return counter if named else None


def limit_of(doc: Document, key: Node, value: Node, known: Definitions) -> Levels | None:
    """Reads a limit of a rule or file, whose name no counter, field or list has."""
    kinds = {"counter": known.counters, "field": catalog.all_fields(), "word": RESERVED, "list": known.lists}
    for what, names in kinds.items():
        if key.text in names:
            doc.error(key, f"a limit cannot be named `{key.text}`: a {what} has that name", "choose another name")
            return None
    if not name(doc, key, "a limit", COLUMN_NAME, LETTERS):
        return None
    return read_limit(doc, key.text, value, known.hours)


def _listed(doc: Document, key: Node, value: Node) -> ValueList | None:
    """Reads a list of values of a field: `{of: caller_type, values: [mobile, voip]}`."""
    named = name(doc, key, "a list", COLUMN_NAME, LETTERS)
    keys = mapping(doc, value, f"list `{key.text}`", ("of", "values"))
    if key.text in catalog.all_fields() or key.text in RESERVED:
        doc.error(key, f"a list cannot be named `{key.text}`: a field or word has that name", "choose another name")
        return None
    if keys is None or len(keys) < 2 or not named:
        return None
    fields = catalog.enumerations()
    of = text(doc, keys["of"], "of")
    if of is not None and of not in fields:
        doc.error(keys["of"], f"`{of}` is no field with names", closest(of, tuple(fields)), tuple(fields))
    if of is None or of not in fields:
        return None
    kind: Choice = fields[of]
    values = choice_list(doc, keys["values"], f"value of `{of}`", kind.choices)
    return None if values is None else ValueList(kind, values)
