"""Records made to hurt, each with what it must become: judged by hand from the record reference, not by our decoder.

After the JSON test suite of nst/JSONTestSuite and the big list of naughty strings: what parsers disagree on, what
breaks naive handling of text, and what one record could do to its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

NUMBER = "+821077770001"
SIZE = 1_000_000


def values(at_ms: int) -> tuple[list[bytes | None], list[bytes]]:
    """(dead, alive): message records that must be dead-lettered, and strange ones that are records all the same."""
    base = f'"at":{at_ms},"sender":"{NUMBER}","recipient":"+821077770002"'
    ids = (f'"message_id":"poison-{i}"' for i in range(10_000))
    dead: list[bytes | None] = [None, b"", b"\0", b"\0" * 1000]
    dead += [text.encode() for text in _not_json(base, ids)]
    dead += [text.encode() for text in _not_a_record(base, ids, at_ms)]
    whole = f"{{{next(ids)},{base}}}".encode()
    dead += [
        b"\xef\xbb\xbf" + whole,  # a byte order mark
        whole.replace(b"poison", b"poi\xffson"),
        whole.replace(b"poison", b"poi\xc0\xafson"),  # overlong
        whole.replace(b"poison", b"poi\xed\xa0\x80son"),  # half a surrogate pair, in UTF-8's clothes
        whole.decode().encode("utf-16"),
        whole.decode().encode("utf-32-le"),
        whole[:-1] + b"\0}",
        whole + b"\0",
        b"{" + b'"a":"' + b"x" * SIZE,  # a megabyte without an end
        b"[" * SIZE,
        b'{"a":' * (SIZE // 5),
        whole[:-1] + b',"sender":"' + b"1" * (SIZE // 2) + b'"}',
    ]
    alive = [f"{{{next(ids)},{base}{more}}}".encode() for more in _strange_but_right()]
    alive += [text.encode() for text in _odd_in_identities(base, ids)]
    alive += [
        b" \t\r\n" + f"{{ {next(ids)} ,\n{base.replace(':', ' : ', 1)} }}".encode() + b" \n",
        f'{{{next(ids)},{base},"text":"'.encode() + b"y" * SIZE + b'"}',  # no rule reads it
    ]
    return dead, alive


def _not_json(base: str, ids: Iterator[str]) -> Iterator[str]:
    """A comma splice first: joined by a comma or a newline, the two halves would be one record, or make a third."""
    yield f'{{{next(ids)},{base},"text":"half'
    yield f'half"}},{{{next(ids)},{base}}}'
    yield f"{{{next(ids)},{base}}},{{{next(ids)},{base}}}"
    yield f"{{{next(ids)},{base}}}\n{{{next(ids)},{base}}}"
    yield f"{{{next(ids)},{base}"
    yield f"{next(ids)},{base}}}"
    for tail in ("", ",", "}", "]", " x", "//c", "/**/"):
        yield f"{{{next(ids)},{base}{',' if not tail else ''}}}{tail}"
    for bad in (
        "'text':1", "text:1", '"a":01', '"a":+1', '"a":.5', '"a":1.', '"a":1e', '"a":0x1', '"a":NaN', '"a":Infinity',
        '"a":-', '"a":-Infinity', '"a":tru', '"a":True', '"a":nul', '"a":[1,]', '"a":[1', '"a":{"b"}', '"a"', '"a" 1',
        '"a":"\t"', '"a":"\n"', '"a":"\\x00"', '"a":"\\u12"', '"a":"\\uZZZZ"', '"a":"\\"', '"a":\u2028', '"a":1 2',
        '"a":"b" "c"', '1:2', 'null:1', '"a":' + "[" * 500 + "]" * 500,
    ):  # fmt: skip
        yield f"{{{next(ids)},{bad},{base}}}"


def _not_a_record(base: str, ids: Iterator[str], at_ms: int) -> Iterator[str]:
    yield from ("[]", "{}", "null", "true", "0", '""', '"{}"', f"[{{{next(ids)},{base}}}]", "-0", "1e400")
    yield f"{{{base}}}"
    yield f'{{{next(ids)},{base},"sender":"+821077770003"}}'  # which of the two would it be?
    yield f'{{{next(ids)},{base},"\\u0061t":1}}'
    yield f"{{{next(ids)},{next(ids)},{base}}}"
    for wrong in (
        "0", "-1", "1e3", str(at_ms // 1000), f"{at_ms}.0", f"{at_ms}.5", f"-{at_ms}", "9" * 30, "true", "[]", "null",
        '""', '"now"', '"2026-11-16"', '"2026-11-16T09:00:00"', '"2026-13-01T00:00:00Z"', f'"{at_ms}"',
    ):  # fmt: skip
        other = base.replace(str(at_ms), wrong, 1)
        yield f"{{{next(ids)},{other}}}"
    for wrong in ("1", "null", "true", '""', "[]", "{}"):
        other = base.replace(f'"{NUMBER}"', wrong)
        yield f"{{{next(ids)},{other}}}"
    for wrong in ("1", '""', "null"):
        yield f'{{"message_id":{wrong},{base}}}'


def _odd_in_identities(base: str, ids: Iterator[str]) -> Iterator[str]:
    """Ids and numbers that can be read, though nobody should write them so."""
    for odd in ('"' + "i" * 257 + '"', '"\\udc00\\ud800"'):
        yield f'{{"message_id":{odd},{base}}}'
    for odd in ('"\\ud800"', '"' + "1" * 129 + '"'):
        other = base.replace(f'"{NUMBER}"', odd)
        yield f"{{{next(ids)},{other}}}"


def _strange_but_right() -> Iterator[str]:
    """All of these tell who sent something and when, in fields that nobody reads, flawed or in an odd dress."""
    yield from (',"verified":"FULL"', ',"verified":1', ',"origin":"moon"', ',"verified":["full"]', ',"carrier":""')
    yield ',"recipient":"+821077770002"'  # twice, so it is absent
    yield from (
        "", ',"a":null', ',"a":1e400', ',"a":-0', ',"a":1.5e-10', ',"a":"\\u0000"', ',"a":"\\ud83d\\ude00"',
        ',"a":"\u202e\u200b\ufefff"', ',"a":"\u0c1c\u0c4d\u0c1e\u200c\u0c3e"', ',"a":"\U0001f469\u200d\U0001f680"',
        ',"a":"\'; DROP TABLE blocks; --"', ',"a":"${jndi:ldap://x}"', ',"a":"../../etc/passwd%00"', ',"a":"{{7*7}}"',
        ',"a":"<script>alert(1)</script>"', ',"a":"\\\\\\"\\/"', ',"":1', ',"a":1,"a":2', ',"at ":1',
        ',"__proto__":{"at":1}', ',"a":[[[[[[[[[[1]]]]]]]]]]', ',"a":{"at":1,"sender":"x"}',
        ',"a":99999999999999999999999999', ',"verified":null', ',"origin":null', ',"relay":12',
        ',"a":' + "[" * 60 + "]" * 60, ',"a":' + "9" * 10_000,
    )  # fmt: skip
