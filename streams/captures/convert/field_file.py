"""Reads the parts `fields` of a mapping file: each field of a record, and the column or constant it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import available_timezones

from rules.document import Document, Node
from rules.expression_check import closest
from rules.reading import choice, entries, mapping, text
from schemas.feeds import InputTopic
from schemas.records import FieldKind
from streams.captures.convert import fields as making
from streams.captures.convert.input_file import texts
from streams.captures.convert.local_times import AMBIGUOUS, COUNTS_MS, RECORD, FormatError, time_reader, zone_of
from streams.captures.convert.model import DECODINGS, FieldMaker

SOURCES = ("column", "join", "value")
ALWAYS = ("absent", "otherwise", "decode", "choices", "other")
OF_KIND = {
    "time": ("format", "zone", "ambiguous", "plus", "minus", "unit"),
    "number": ("numbers", "type_of_number"),
    "id": ("hash",),
    "text": ("hash",),
}
UNITS = tuple(COUNTS_MS)
DEFAULT_FORMAT = RECORD


@dataclass
class Columns:
    """The columns that a map names, in the order in which it first does."""

    known: tuple[str, ...] | None  # None where the files themselves name them
    names: list[str] = field(default_factory=list)
    needed: list[tuple[int, ...]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)  # column -> the field that it is first used for

    def index(self, doc: Document, node: Node, name: str) -> int:
        if self.known is not None and name not in self.known:
            doc.error(node, f"`{name}` is no column of the input", closest(name, self.known), self.known)
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def need(self, *indices: int) -> None:
        """Notes that every file has one of these columns."""
        if indices not in self.needed:
            self.needed.append(indices)


class FieldFile:
    """Reads the fields of one map. times, numbers: settings of the whole map, for fields that say nothing else."""

    def __init__(self, doc: Document, topic: InputTopic, columns: Columns) -> None:
        self.times: dict[str, str] = {}
        self.numbers = making.NUMBERS[0]
        self._doc, self._topic, self._columns = doc, topic, columns

    def read(self, node: Node, what: str) -> dict[str, FieldMaker]:
        """The makers of the fields that a part names; mistakes are noted, and their fields made absent."""
        out = {}
        for key, value in entries(self._doc, node, what) or ():
            kind = self._topic.fields.get(key.text)
            if kind is None:
                known = tuple(self._topic.fields)
                hint = closest(key.text, known)
                self._doc.error(key, f"{self._topic.name} has no field `{key.text}`", hint, known)
                continue
            out[key.text] = self._field(key, value, kind) or making.constant("")
        return out

    def _field(self, key: Node, node: Node, kind: FieldKind) -> FieldMaker | None:
        if node.kind == "scalar":
            column = text(self._doc, node, key.text)
            if column is None:
                return None
            index = self._columns.index(self._doc, node, column)
            if kind.required:
                self._columns.need(index)
            self._columns.sources.setdefault(column, key.text)
            return self._of_kind(node, {}, making.cell_of([index], frozenset(), None), kind)
        may = (*SOURCES, *ALWAYS, *OF_KIND.get(kind.kind, ()))
        keys = mapping(self._doc, node, f"the {kind.kind} field {key.text}", (), may)
        if keys is None:
            return None
        sources = [name for name in SOURCES if name in keys]
        if len(sources) != 1:
            self._doc.error(node, f"{key.text} needs one of {', '.join(SOURCES)}", "write `column: NAME`")
            return None
        if sources == ["value"]:
            return self._constant(key, keys, kind)
        make = self._source(key.text, keys, sources[0], kind)
        return None if make is None else self._of_kind(node, keys, make, kind)

    def _constant(self, key: Node, keys: dict[str, Node], kind: FieldKind) -> FieldMaker | None:
        if len(keys) > 1:
            other = next(node for name, node in keys.items() if name != "value")
            self._doc.error(other, "a constant has no other setting", "leave out all but `value`")
        if kind.kind == "time":
            self._doc.error(keys["value"], "a time is no constant", "take it from a column")
            return None
        value = (
            choice(self._doc, keys["value"], key.text, kind.choices) if kind.choices
            else text(self._doc, keys["value"], key.text)
        )  # fmt: skip
        return None if value is None else making.constant(value)

    def _source(self, field_name: str, keys: dict[str, Node], source: str, kind: FieldKind) -> FieldMaker | None:
        node = keys[source]
        names = texts(self._doc, node, source)
        if not names:
            return None
        places = node.items if node.kind == "sequence" else [node]
        indices = [self._columns.index(self._doc, place, name) for place, name in zip(places, names, strict=False)]
        if source == "join":
            for index in indices:
                self._columns.need(index)
        elif kind.required and "otherwise" not in keys:
            self._columns.need(*indices)
        if source == "join":
            return making.joined(indices)
        for name in names:
            self._columns.sources.setdefault(name, field_name)
        absent = frozenset(texts(self._doc, keys["absent"], "absent")) if "absent" in keys else frozenset()
        otherwise = text(self._doc, keys["otherwise"], "otherwise") if "otherwise" in keys else None
        return making.cell_of(indices, absent, otherwise)

    def _of_kind(self, node: Node, keys: dict[str, Node], make: FieldMaker, kind: FieldKind) -> FieldMaker | None:
        if "decode" in keys:
            decoding = choice(self._doc, keys["decode"], "decode", DECODINGS)
            make = making.decoded(make, decoding) if decoding else make
        if "choices" in keys or "other" in keys:
            make = self._chosen(node, keys, make, kind)
        if kind.kind == "time":
            return self._time(node, keys, make)
        if kind.kind == "number":
            return self._number(keys, make)
        if "hash" in keys:
            return making.hashed(make) if choice(self._doc, keys["hash"], "hash", ("yes", "no")) == "yes" else make
        return make

    def _chosen(self, node: Node, keys: dict[str, Node], make: FieldMaker, kind: FieldKind) -> FieldMaker:
        listed: dict[str, str] = {}
        if "choices" not in keys:
            self._doc.error(keys["other"], "`other` is for what `choices` does not list", "add `choices: {...}`")
            return make
        for key, value in entries(self._doc, keys["choices"], "choices") or ():
            listed[key.text] = self._target(value, kind)
        other = self._target(keys["other"], kind) if "other" in keys else None
        return making.chosen(make, listed, other)

    def _target(self, node: Node, kind: FieldKind) -> str:
        """The text that a choice becomes, "" for absent."""
        if node.kind == "scalar" and (node.text == "absent" or (node.quoted and not node.text)):
            return ""
        if kind.choices:
            return choice(self._doc, node, "choice", (*kind.choices, "absent")) or ""
        return text(self._doc, node, "choice") or ""

    def _time(self, node: Node, keys: dict[str, Node], make: FieldMaker) -> FieldMaker | None:
        said = {name: keys[name].text for name in ("format", "zone", "ambiguous") if name in keys}
        settings = {"format": DEFAULT_FORMAT, "ambiguous": AMBIGUOUS[0]} | self.times | said
        if "ambiguous" in keys:
            choice(self._doc, keys["ambiguous"], "ambiguous", AMBIGUOUS)
        try:
            zone = zone_of(settings["zone"]) if "zone" in settings else None
            make = making.timed(make, time_reader(settings["format"], zone, settings["ambiguous"]))
        except FormatError as error:
            place = keys.get("zone") or keys.get("format") or node
            zones = available_timezones() if "is no zone" in str(error) else set()
            hint = closest(settings.get("zone", ""), tuple(zones))
            self._doc.error(place, str(error), hint or "`times: {zone: ...}` holds for all times; so does `--zone`")
            return None
        for name, sign in (("plus", 1), ("minus", -1)):
            if name in keys and (column := text(self._doc, keys[name], name)):
                unit = choice(self._doc, keys["unit"], "unit", UNITS) if "unit" in keys else "s"
                index = self._columns.index(self._doc, keys[name], column)
                make = making.moved(make, index, COUNTS_MS[unit or "s"], sign)
        if "unit" in keys and not {"plus", "minus"} & keys.keys():
            self._doc.error(
                keys["unit"], "`unit` is of `plus` or `minus`", "for the time itself say `format: s` or `ms`"
            )
        return make

    def _number(self, keys: dict[str, Node], make: FieldMaker) -> FieldMaker:
        numbers = self.numbers
        if "numbers" in keys:
            numbers = choice(self._doc, keys["numbers"], "numbers", making.NUMBERS) or numbers
        index = None
        if "type_of_number" in keys:
            if numbers != "smpp":
                self._doc.error(keys["type_of_number"], "`type_of_number` is of numbers in SMPP", "say `numbers: smpp`")
            elif column := text(self._doc, keys["type_of_number"], "type_of_number"):
                index = self._columns.index(self._doc, keys["type_of_number"], column)
        return making.numbered(make, numbers, index)
