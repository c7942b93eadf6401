"""Names what a file is by its first bytes, for messages about files that cannot be read as they are."""

from __future__ import annotations

import codecs

ZIP = b"PK\x03\x04"
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

# First bytes, what they say, and what to do about it.
_SIGNS: tuple[tuple[bytes, str, str], ...] = (
    (b"PAR1", "a Parquet file", "`grayline records check` and `replay` read it, if its columns are a capture's"),
    (b"\x1f\x8b", "packed with gzip inside of another archive", "unpack it"),
    (b"BZh", "packed with bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "packed with xz", "unpack it with unxz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"Rar!\x1a\x07", "a rar archive", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "an Excel or Word file", "save it as CSV"),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"Obj\x01", "an Avro file", "turn it into JSON lines, one object a record"),
    (b"ORC", "an ORC file", "turn it into JSON lines, one object a record"),
    (b"%PDF", "a PDF", "ask for the data itself"),
    (b"\x7fELF", "a program", "give a file of records"),
)


def sniff(start: bytes) -> tuple[str, str] | None:
    """Returns (the kind of file, what to do) where the first bytes are neither JSON nor a table of text. `start`: some
    hundred bytes."""
    if start.startswith(ZIP):
        if b"[Content_Types].xml" in start or b"xl/" in start[:200]:
            return "an Excel workbook", "save it as CSV"
        return "a zip archive", "unpack it, or convert it with `grayline records convert`, which reads zip"
    if start.startswith(_UTF32):
        return "text in UTF-32", "turn it into UTF-8, for example with `iconv -f UTF-32 -t UTF-8`"
    if is_utf16(start):
        return (
            "text in UTF-16",
            "turn it into UTF-8 (`iconv -f UTF-16 -t UTF-8`), or convert it with `grayline records convert`",
        )
    for sign, kind, remedy in _SIGNS:
        if start.startswith(sign):
            return kind, remedy
    if start[257:262] == b"ustar":
        return "a tar archive", "unpack it"
    text = start.lstrip()
    if text.startswith(b'"') and text[1:].lstrip().startswith((b'{\\"', b"{}")):
        return (
            "JSON inside a JSON string, encoded twice",
            "encode it once, or convert it with `grayline records convert`, which unpacks such strings",
        )
    if text.startswith((b"<?xml", b"<cdr", b"<!DOCTYPE", b"<html")):
        return "XML or HTML", "turn it into JSON or CSV"
    if start.count(0) * 20 > len(start):
        return "binary", "give text: JSON lines, or a table to convert"
    return None


def is_utf16(start: bytes) -> bool:
    """True where a byte order mark says UTF-16, or where every other byte is zero as in Latin text without one."""
    if start.startswith(_UTF16):
        return not start.startswith(codecs.BOM_UTF32_LE)
    head = start[: len(start) & ~1][:200]
    if len(head) < 8:
        return False
    return not any(head[1::2]) or not any(head[0::2])
