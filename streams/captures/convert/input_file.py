"""Reads the part `input` of a mapping file: the form of the files and where their columns stand."""

from __future__ import annotations

import re

from rules.document import Document, Node
from rules.reading import choice, entries, items, mapping, text
from streams.captures.convert.model import ABSENT, DECODINGS, FORMS, FileInput, LineTemplate
from streams.captures.convert.opening import ENCODINGS

COMMON = ("form", "encoding", "absent", "decode")
OF_FORM = {
    "csv": ("separator", "quote", "escape", "header", "columns", "optional"),
    "json": (),
    "fixed": ("columns",),
    "lines": ("lines", "about"),
}
SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "pipe": "|", "space": " "}
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w.-]*)\}")


def read_input(doc: Document, node: Node) -> FileInput | None:
    """The form of the files, None after noting what is wrong."""
    form = _form(doc, node)
    if form is None:
        return None
    keys = mapping(doc, node, f"input of form {form}", ("form",), (*COMMON[1:], *OF_FORM[form]))
    if keys is None:
        return None
    found: dict[str, object] = {"form": form}
    if "encoding" in keys:
        found["encoding"] = choice(doc, keys["encoding"], "encoding", ENCODINGS) or "utf-8"
    if "decode" in keys:
        found["decode"] = choice(doc, keys["decode"], "decode", DECODINGS)
    found["absent"] = frozenset(texts(doc, keys["absent"], "absent")) | {""} if "absent" in keys else frozenset(ABSENT)
    if form == "csv":
        found |= _csv(doc, node, keys)
    elif form == "fixed":
        found["spans"] = _spans(doc, node, keys.get("columns"))
    elif form == "lines":
        found |= _lines(doc, node, keys)
    return FileInput(**found)  # type: ignore[arg-type]


def texts(doc: Document, node: Node, what: str) -> list[str]:
    """A text or a list of them; in quotes they may be empty."""
    nodes = items(doc, node, what) or [] if node.kind == "sequence" else [node]
    out = []
    for each in nodes:
        if each.kind != "scalar" or (not each.text and not each.quoted):
            doc.error(each, f"{what} must be a text or a list of texts", 'write "" for the empty one')
        else:
            out.append(each.text)
    return out


def _form(doc: Document, node: Node) -> str | None:
    pairs = entries(doc, node, "input")
    if pairs is None:
        return None
    for key, value in pairs:
        if key.text == "form":
            return choice(doc, value, "form", FORMS)
    doc.error(node, "input has no `form`", "add `form:`", FORMS)
    return None


def _csv(doc: Document, node: Node, keys: dict[str, Node]) -> dict[str, object]:
    out: dict[str, object] = {}
    for name in ("separator", "quote", "escape"):
        if name not in keys:
            continue
        said = keys[name].text if keys[name].kind == "scalar" else ""
        letter = SEPARATORS.get(said, said)
        if name == "quote" and said == "none":
            out[name] = None
        elif len(letter) != 1 or letter in "\r\n":
            doc.error(keys[name], f"{name} must be one character", f"or {', '.join(SEPARATORS)}")
        else:
            out[name] = letter
    if "header" in keys:
        out["header"] = choice(doc, keys["header"], "header", ("yes", "no")) == "yes"
    columns = tuple(texts(doc, keys["columns"], "columns")) if "columns" in keys else ()
    if out.get("header", True) is False and not columns:
        doc.error(node, "without a header the map names the columns", "add `columns: [...]`, or `header: yes`")
    if out.get("header", True) and columns:
        doc.error(keys["columns"], "the header names the columns", "leave out `columns`, or say `header: no`")
    optional = texts(doc, keys["optional"], "optional") if "optional" in keys else []
    if optional and tuple(optional) != columns[len(columns) - len(optional) :]:
        doc.error(
            keys["optional"], "only the last columns can be optional", "name the last of `columns`, in their order"
        )
    if len(set(columns)) < len(columns):
        doc.error(keys["columns"], "a column is named twice")
    return out | {"columns": columns, "optional": len(optional)}


def _spans(doc: Document, node: Node, columns: Node | None) -> dict[str, tuple[int, int]]:
    if columns is None:
        doc.error(node, "fixed columns need their places", "add `columns: {caller: 1-16, ...}`, counted from 1")
        return {}
    out = {}
    for key, value in entries(doc, columns, "columns") or ():
        found = (
            re.fullmatch(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?", value.text) if value.kind == "scalar" else None
        )
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            doc.error(value, "the place of a column is its first and last character", "write it like `1-16`, from 1")
        else:
            out[key.text] = (first, last)
    return out


def _lines(doc: Document, node: Node, keys: dict[str, Node]) -> dict[str, object]:
    if "lines" not in keys:
        doc.error(node, "a log needs the look of its lines", 'add `lines: ["{time} ... [from:{from}] ..."]`')
        return {}
    nodes = items(doc, keys["lines"], "lines") or () if keys["lines"].kind == "sequence" else [keys["lines"]]
    templates = [made for each in nodes if (made := _template(doc, each))]
    about = text(doc, keys["about"], "about") if "about" in keys else None
    return {"templates": tuple(templates), "about": about}


def _template(doc: Document, node: Node) -> LineTemplate | None:
    line = text(doc, node, "lines")
    if line is None:
        return None
    parts = _PLACEHOLDER.split(line)
    literals, names = parts[::2], parts[1::2]
    kept = [name for name in names if name != "_"]
    if not kept:
        doc.error(node, "names no column", "put names in braces where the values stand: `[from:{from}]`")
    if any(not literal for literal in literals[1:-1]):
        doc.error(node, "nothing stands between two columns", "write the text that separates them")
    if len(set(kept)) < len(kept):
        doc.error(node, "a column stands there twice", "call what nobody reads `{_}`")
    return LineTemplate(tuple(literals), tuple(None if name == "_" else name for name in names))
