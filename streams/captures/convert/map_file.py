"""Loads mapping files: the result is a ConversionMap, or every mistake in the file at once, with place and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from rules.diagnostics import ERROR, Diagnostic, RuleErrors
from rules.document import BYTES_MAX, Document, Node
from rules.expression_check import closest
from rules.reading import choice, items, mapping, text
from schemas.feeds import FEEDS, InputTopic
from streams.captures.convert.field_file import Columns, FieldFile
from streams.captures.convert.fields import NUMBERS, constant
from streams.captures.convert.input_file import read_input, texts
from streams.captures.convert.local_times import AMBIGUOUS
from streams.captures.convert.model import ConversionMap, FieldMaker, FileInput, RecordMap, RowCondition

NEEDS = ("summary", "topic", "input", "fields")
MAY = ("times", "numbers", "skip", "records")
TIMES = ("format", "zone", "ambiguous")
OF_TEXTS, OF_COLUMN = ("is", "is_not"), ("same_as", "differs_from")  # what a condition asks of its column
CONDITION = ("column", *OF_TEXTS, *OF_COLUMN, "present", "absent")


def shipped() -> dict[str, str]:
    """The text of each map that ships with the product, by name."""
    folder = files(__package__) / "maps"
    found = {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in folder.iterdir()
             if file.name.endswith(".yaml")}  # fmt: skip
    return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Instead:
    """Settings in place of a map's own. zone: of times without one; numbers: one of NUMBERS; constants: values of
    fields, which every record gets."""

    zone: str | None = None
    numbers: str | None = None
    constants: Mapping[str, str] = field(default_factory=dict)


def load_map(named: str, instead: Instead = Instead()) -> ConversionMap:
    """The map in a file, or one that ships, by its name. Raises RuleErrors with every diagnostic."""
    known = shipped()
    if named in known and not Path(named).exists():
        return load_text(known[named], named, instead)
    path = Path(named)
    try:
        raw = path.read_bytes()[: BYTES_MAX + 1]
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RuleErrors(
            [Diagnostic(named, 0, 0, f"byte {error.start} is not UTF-8", hint="save it as UTF-8")]
        ) from None
    except OSError as error:
        hint = f"name a file, or a map that ships: {', '.join(known)}"
        raise RuleErrors([Diagnostic(named, 0, 0, f"cannot be read: {error.strerror}", hint=hint)]) from None
    return load_text(content, named, instead)


def load_text(content: str, name: str, instead: Instead = Instead()) -> ConversionMap:
    """Like `load_map`, for the text of a map."""
    doc = Document(name, content)
    found = _map(doc, instead) if not doc.diagnostics else None
    if found is None or any(d.severity == ERROR for d in doc.diagnostics):
        raise RuleErrors(sorted(doc.diagnostics, key=lambda d: (d.line, d.column)))
    return found


def _map(doc: Document, instead: Instead) -> ConversionMap | None:
    if doc.root is None:
        doc.whole("is empty", f"give {', '.join(NEEDS)}")
        return None
    keys = mapping(doc, doc.root, "the map", NEEDS, MAY)
    if keys is None or not set(NEEDS) <= keys.keys():
        return None
    summary = text(doc, keys["summary"], "summary")
    topic = choice(doc, keys["topic"], "topic", tuple(FEEDS))
    source = read_input(doc, keys["input"])
    if topic is None or source is None:
        return None
    columns = Columns(_known(source))
    maker = FieldFile(doc, FEEDS[topic], columns)
    maker.times = _times(doc, keys.get("times"), instead.zone)
    if "numbers" in keys:
        maker.numbers = choice(doc, keys["numbers"], "numbers", NUMBERS) or maker.numbers
    maker.numbers = instead.numbers or maker.numbers
    skip = tuple(c for node in _listed(doc, keys.get("skip"), "skip") if (c := _condition(doc, node, columns)))
    shared = maker.read(keys["fields"], "fields")
    shared |= {name: _given(doc, FEEDS[topic], name, value) for name, value in instead.constants.items()}
    records = _records(doc, keys.get("records"), FEEDS[topic], maker, columns, shared)
    return ConversionMap(
        doc.name,
        summary or "",
        topic,
        source,
        tuple(columns.names),
        tuple(columns.needed),
        columns.sources,
        skip,
        records,
    )


def _known(source: FileInput) -> tuple[str, ...] | None:
    if source.form == "csv":
        return source.columns or None
    if source.form == "fixed":
        return tuple(source.spans)
    if source.form == "lines":
        return tuple(dict.fromkeys(name for each in source.templates for name in each.names if name))
    return None


def _listed(doc: Document, node: Node | None, what: str) -> Sequence[Node]:
    return (items(doc, node, what) or ()) if node is not None else ()


def _times(doc: Document, node: Node | None, zone: str | None) -> dict[str, str]:
    """The settings of all time fields that say nothing else."""
    keys = (mapping(doc, node, "times", (), TIMES) if node is not None else None) or {}
    out = {name: value for name, item in keys.items() if (value := text(doc, item, name)) is not None}
    if "ambiguous" in keys:
        choice(doc, keys["ambiguous"], "ambiguous", AMBIGUOUS)
    return out | ({"zone": zone} if zone else {})


def _condition(doc: Document, node: Node, columns: Columns) -> RowCondition | None:
    keys = mapping(doc, node, "a condition", (), CONDITION)
    if keys is None:
        return None
    tests = [name for name in CONDITION[1:] if name in keys]
    if len(tests) != 1 or ("column" in keys) != (tests[0] in (*OF_TEXTS, *OF_COLUMN)):
        doc.error(
            node, "a condition asks one thing of one column", "write `{column: NAME, is: [TEXT, ...]}`, "
            "`{column: NAME, is_not: [TEXT, ...]}`, `{column: NAME, same_as: NAME}`, "
            "`{column: NAME, differs_from: NAME}`, `{present: NAME}` or `{absent: NAME}`",
        )  # fmt: skip
        return None
    (test,) = tests
    place = keys["column"] if "column" in keys else keys[test]
    names = texts(doc, place, "column")
    if not names:
        return None
    indices = tuple(columns.index(doc, place, name) for name in names)
    name, wanted = " or ".join(names), test in ("is", "same_as", "present")
    if test in OF_COLUMN:
        others = texts(doc, keys[test], test)
        like = tuple(columns.index(doc, keys[test], other) for other in others)
        if not like:
            return None
        columns.need(*indices)
        columns.need(*like)
        return RowCondition(indices, None, wanted, name, like, " or ".join(others))
    values = frozenset(texts(doc, keys[test], test)) if test in OF_TEXTS else None
    if values is not None:
        columns.need(*indices)
    return RowCondition(indices, values, wanted, name)


def _given(doc: Document, topic: InputTopic, name: str, value: str) -> FieldMaker:
    """A constant of the command line."""
    kind = topic.fields.get(name)
    if kind is None:
        doc.whole(f"{topic.name} has no field `{name}` to set", closest(name, tuple(topic.fields)))
    elif kind.choices and value not in kind.choices:
        doc.whole(f"`{value}` is not a valid {name}", f"one of {', '.join(kind.choices)}")
    elif kind.kind == "time":
        doc.whole(f"`{name}` is a time, which is no constant", "let the map take it from a column")
    return constant(value)


def _records(
    doc: Document, node: Node | None, topic: InputTopic, maker: FieldFile, columns: Columns,
    shared: dict[str, FieldMaker],
) -> tuple[RecordMap, ...]:  # fmt: skip
    if node is None:
        _complete(doc, doc.root, topic, shared, "fields")
        return (RecordMap((), _ordered(topic, shared)),)
    out = []
    for item in items(doc, node, "records") or ():
        keys = mapping(doc, item, "a record", ("fields",), ("when",))
        if keys is None or "fields" not in keys:
            continue
        conditions = [keys["when"]] if "when" in keys else []
        if conditions and conditions[0].kind == "sequence":
            conditions = conditions[0].items
        when = tuple(c for each in conditions if (c := _condition(doc, each, columns)))
        fields = shared | maker.read(keys["fields"], "fields")
        _complete(doc, item, topic, fields, "this record")
        out.append(RecordMap(when, _ordered(topic, fields)))
    return tuple(out)


def _ordered(topic: InputTopic, fields: dict[str, FieldMaker]) -> dict[str, FieldMaker]:
    return {name: fields[name] for name in topic.fields if name in fields}


def _complete(doc: Document, node: Node | None, topic: InputTopic, fields: dict[str, FieldMaker], what: str) -> None:
    if lacking := [name for name in topic.required if name not in fields]:
        assert node is not None
        doc.at(
            node.line, node.column, f"{what} makes no {', '.join(f'`{name}`' for name in lacking)}",
            f"every {topic.name} record has {'them' if len(lacking) > 1 else 'it'}",
        )  # fmt: skip
