"""`grayline records check` names what a file is instead of records, and the map that reads it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from streams.captures.convert.map_file import shipped
from streams.captures.convert.suggest import alike, fitting
from streams.captures.sniff import sniff
from streams.cli import command

FOREIGN = Path(__file__).parent / "foreign"
RECORD = {"call_id": "c1", "event": "setup", "at": 1_795_395_600_000, "caller": "+821011110001", "callee": "0299"}
FREESWITCH = {
    "core-uuid": "a1",
    "variables": {
        "uuid": "11111111", "sip_from_user": "%2B821011110001", "sip_req_user": "01099900001",
        "start_epoch": "1795395600", "answer_epoch": "0", "end_epoch": "1795395620", "hangup_cause": "NO_ANSWER",
    },
}  # fmt: skip


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


CASES = {
    "asterisk": ((FOREIGN / "Master.csv").read_bytes(), "`grayline records convert --map asterisk"),
    "jasmin": ((FOREIGN / "messages.log").read_bytes(), "the map jasmin reads it"),
    "freeswitch": (json.dumps(FREESWITCH).encode(), "the map freeswitch-json reads it"),
    "header": (b"call_id,caller_id,callee_id,call_start_ts,call_end_ts\nx,1,2,3,4\n", "like those of the map calls"),
    "pipes": (b"a|b|c\nx|1|2\n", "it looks like a table (CSV)"),
    "utf-16": (json.dumps(RECORD).encode("utf-16"), "is text in UTF-16: turn it into UTF-8"),
    "utf-16 without mark": (json.dumps(RECORD).encode("utf-16-le"), "is text in UTF-16"),
    "zip": (zipped("a.jsonl", json.dumps(RECORD).encode()), "is a zip archive: unpack it, or convert it"),
    "workbook": (zipped("xl/workbook.xml", b"<x/>"), "is an Excel workbook: save it as CSV"),
    "twice": (json.dumps(json.dumps(RECORD)).encode(), "is JSON inside a JSON string, encoded twice"),
    "xml": (b'<?xml version="1.0"?><cdr/>', "is XML or HTML"),
    "binary": (bytes(range(256)) + bytes(100), "is binary"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_file_of_records_is_named_with_the_way_out(case: str, tmp_path: Path) -> None:
    content, words = CASES[case]
    (tmp_path / "in").write_bytes(content)
    got = CliRunner().invoke(command, ["records", "check", str(tmp_path / "in")])
    assert got.exit_code == 2
    assert words in got.stderr
    assert ("CSV" in got.stderr) == (case in ("pipes", "workbook", "xml")), "a table is called one, and nothing else is"


def test_fields_under_other_systems_names_are_recognised(tmp_path: Path) -> None:
    calls = [{"uniqueid": "c1", "event": "setup", "at": RECORD["at"], "src": "1", "dst": "2"} for _ in range(3)]
    (tmp_path / "in").write_text("\n".join(map(json.dumps, calls)))
    got = CliRunner().invoke(command, ["records", "check", "--topic", "cdr", str(tmp_path / "in")])
    assert got.exit_code == 1
    assert (
        "not in the schema: src (3); looks like `caller`: see `grayline records convert --map asterisk`" in got.stdout
    )
    told = json.loads(
        CliRunner().invoke(command, ["records", "check", "--json", "--topic", "cdr", str(tmp_path / "in")]).stdout
    )
    assert told["topics"]["cdr"]["looks_like"]["dst"] == ["callee", "asterisk"]
    (tmp_path / "in").write_text(json.dumps({"msg_id": 1, "originator": 2, "destination": 3}))
    got = CliRunner().invoke(command, ["records", "check", str(tmp_path / "in")])
    assert "`originator` looks like `sender`" in got.stderr


def test_one_name_alone_is_a_coincidence() -> None:
    assert alike(["src", "price"], "cdr") == {}
    assert alike(["SRC", "Dst"], "cdr") == {"Dst": ("callee", "asterisk"), "SRC": ("caller", "asterisk")}


def test_rubbish_fits_no_map_and_every_map_knows_its_columns() -> None:
    for rubbish in (b"", b"rubbish\n" * 20, b"{}\n[]\n", b'{"a":1}', b",,,\n" * 5, b"\x00\xff" * 50):
        assert fitting(rubbish) == []
    for name in shipped():
        assert name
    assert sniff(b'{"call_id": "a"}\n') is None
    assert sniff(b"a,b,c\n1,2,3\n") is None
    assert sniff("이름,번호\n".encode("cp949")) is None
