"""`grayline records convert`: what becomes of each row of other systems' files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.diagnostics import RuleErrors
from schemas import decoding
from schemas.topics import CDR, MESSAGE_RELAY
from streams.captures.convert.conversion import Conversion, Rejection
from streams.captures.convert.map_file import load_map, load_text, shipped
from streams.captures.convert.opening import LINE_BYTES_MAX, open_stream
from streams.captures.convert.tables import CsvRows, Passed
from streams.cli import command

AT_MS = 1_795_395_600_000  # 2026-11-23T10:00:00+09:00
MESSAGES = """
summary: messages
topic: message-relay
input: {form: csv}
times: {format: ms}
fields: {message_id: id, at: time, sender: from, recipient: to, text: text}
"""


def convert(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, ["records", "convert", *arguments], input=stdin)


def run(map_text: str, content: bytes | str, **more: Any) -> tuple[Conversion, list[dict[str, Any]], list[Rejection]]:
    """The account, the records and the rejections of one file."""
    conversion = Conversion(load_text(map_text, "test.yaml", **more))
    raw = content.encode() if isinstance(content, str) else content
    made = list(conversion.run(open_stream(io.BytesIO(raw), "test", conversion.map.input.encoding)))
    records = [json.loads(each) for each in made if isinstance(each, bytes)]
    for each in made:
        assert isinstance(each, Rejection) or decoding.read(conversion.map.topic, each, frozenset())
    assert conversion.rows == conversion.converted + conversion.rejected + conversion.passed.total()
    return conversion, records, [each for each in made if isinstance(each, Rejection)]


def table(*rows: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


HEAD = ["id", "time", "from", "to", "text"]


def message(n: int, text: str = "hello") -> list[str]:
    return [f"m{n}", str(AT_MS + n), "010-1111-0001", "010-9999-0001", text]


# ------------------------------------------------------------------------------------------------ no row is lost


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda s: s.strip()), max_size=12))
def test_each_row_that_a_table_holds_becomes_its_record(texts: list[str]) -> None:
    rows = [message(n, text.replace("\r", " ")) for n, text in enumerate(texts)]
    _, records, rejections = run(MESSAGES, table(HEAD, *rows))
    absent = ("\\N", "NULL", "null", "")
    wanted = [(row[0], None if row[4].strip() in absent else row[4].strip()) for row in rows]
    assert [(each["message_id"], each.get("text")) for each in records] == wanted
    assert rejections == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(['m1,1795395600000,010-1111-0001,02-999-0001,x', '"', '",', "a,b", "", ",,,,",
                                 'x"y,",",z',
                                 "id,time,from,to,text", "TOTAL,,,,5", "ab\x00cdefghijklmnopqrstuvwxyz",
                                 "m2,1795395600000,1,2,\"two\nlines\"",
                                 'm3,1795395600000,010-1111-0001,02-999-0001,"open']), max_size=10))  # fmt: skip
def test_each_line_is_in_exactly_one_row(lines: list[str]) -> None:
    """Rubbish of quotes and commas: rows, rejections and what is passed over cover each line once."""
    text = "\n".join(["id,time,from,to,text", *lines]) + "\n"
    covered: list[int] = []
    for row in CsvRows(open_stream(io.BytesIO(text.encode()), "test", "utf-8"), load_text(MESSAGES, "test.yaml")):
        count = 1 if isinstance(row, Passed) else row.raw.count("\n") + 1
        covered += range(row.line, row.line + count)
    assert covered == [number for number in range(1, text.count("\n") + 1) if number in covered], "once, in order"
    assert [line for number, line in enumerate(text.split("\n"), 1) if number not in covered and line] == []
    run(MESSAGES, text)


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).filter(
    lambda s: s == s.strip() and s not in ("\\N", "NULL", "null")
)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {"message_id": ANY_TEXT, "at": st.integers(AT_MS, AT_MS + 10**9), "sender": ANY_TEXT, "recipient": ANY_TEXT},
        optional={"text": ANY_TEXT, "channel": st.sampled_from(["sms", "lms"])},
    ),
    max_size=6,
)
FIELDS = ("message_id", "at", "sender", "recipient", "text", "channel")


@settings(max_examples=60, deadline=None)
@given(RECORDS, st.sampled_from([",", ";", "|", "\t"]))
def test_records_written_as_a_table_or_as_json_come_back_as_they_were(
    records: list[dict[str, Any]], separator: str
) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    fields = "".join(f"  {name}: {name}\n" for name in FIELDS)
    map_ = f"summary: s\ntopic: message-relay\ninput: {{form: csv, separator: '{separator}'}}\nfields:\n{fields}"
    map_ = map_.replace("'\t'", "tab")
    ordered = [{name: each[name] for name in FIELDS if name in each} for each in records]
    for text, made in ((out.getvalue(), map_), (json.dumps(records), shipped()["message-relay"])):
        conversion, found, rejections = run(made, text)
        assert rejections == []
        assert conversion.left_out == {}
        assert [{name: each[name] for name in FIELDS if name in each} for each in found] == ordered


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    text = (
        table(HEAD, message(1))
        + 'm2,1795395600000,010-1111-0001,02-999-0001,"never closed\n'
        + table(message(3), message(4))
    )
    _, records, rejections = run(MESSAGES, text)
    assert [each["message_id"] for each in records] == ["m1", "m3", "m4"]
    assert [(each.line, each.code) for each in rejections] == [(3, "not_a_row")]


def test_a_text_with_line_breaks_and_quotes_is_one_row() -> None:
    _, records, _ = run(MESSAGES, table(HEAD, message(1, 'two\nlines, and "quotes"'), message(2)))
    assert records[0]["text"] == 'two\nlines, and "quotes"'
    assert len(records) == 2


def test_headers_of_files_that_were_put_together_are_passed_over_even_in_another_order() -> None:
    other = ["To", "FROM", "Id", "Time", "Text"]
    swapped = ["010-9999-0002", "010-1111-0001", "m2", str(AT_MS), "x"]
    conversion, records, _ = run(MESSAGES, table(HEAD, message(1), HEAD, message(3), other, swapped))
    assert [(each["message_id"], each["recipient"][-1]) for each in records] == [("m1", "1"), ("m3", "1"), ("m2", "2")]
    assert conversion.passed == {"headers": 3}


def test_missing_and_extra_columns_are_rejected_with_their_line() -> None:
    text = table(HEAD, message(1), message(2)[:4], [*message(3), "more"], message(4))
    _, records, rejections = run(MESSAGES, text)
    assert [each["message_id"] for each in records] == ["m1", "m4"]
    assert [str(each) for each in rejections] == ["test:3: has 4 columns, not 5", "test:4: has 6 columns, not 5"]


def test_a_row_of_totals_is_passed_over_when_the_map_says_so() -> None:
    text = table(HEAD, message(1), ["TOTAL", "", "", "", "1"])
    assert [each.line for each in run(MESSAGES, text)[2]] == [3]
    conversion, _, rejections = run(MESSAGES + "skip: [{column: id, is: [TOTAL]}]", text)
    assert rejections == []
    assert conversion.passed == {"headers": 1, "`id` is TOTAL": 1}


def test_texts_for_absent_are_absent() -> None:
    for text in ("", "\\N", "NULL"):
        assert "text" not in run(MESSAGES, table(HEAD, message(1, text)))[1][0]
    assert run(MESSAGES, table(HEAD, message(1, "-")))[1][0]["text"] == "-"


def test_a_wrong_optional_value_costs_the_field_and_is_told() -> None:
    map_ = MESSAGES.replace("text: text", "channel: {column: text, choices: {S: sms, L: lms}}")
    conversion, records, _ = run(map_, table(HEAD, message(1, "S"), message(2, "fax"), message(3, "fax")))
    assert [each.get("channel") for each in records] == ["sms", None, None]
    (line,) = [line for line in conversion.lines() if "left out" in line]
    assert line.startswith("  left out: channel is a text that `choices` does not list")
    assert "(2, first at test:3)" in line


def test_only_a_wrong_time_number_or_id_costs_the_row() -> None:
    rows = [message(1), message(2), message(3), message(4), message(5)]
    rows[0][1], rows[1][2], rows[2][3], rows[3][3], rows[4][0] = "yesterday", "", "", "9" * 200, ""
    conversion, records, rejections = run(MESSAGES, table(HEAD, *rows))
    assert [(each["message_id"], each.get("recipient")) for each in records] == [("m3", None), ("m4", "9" * 200)]
    assert [line for line in conversion.lines() if "left out" in line] == [
        "  left out: recipient is absent: every message-relay record has it (1, first at test:4)"
    ]
    assert [(each.field, each.code) for each in rejections] == [
        ("at", "bad_time"), ("sender", "missing_field"), ("message_id", "missing_field"),
    ]  # fmt: skip


def test_one_row_can_become_several_records_all_or_none() -> None:
    row = ["c1", "010-1111-0001", "02-999-0001", "2026-11-23 10:00:00", "", "2026-11-23 10:00:20", "busy", "A"]
    head = ["id", "from", "to", "start", "answer", "end", "result", "checked"]
    answered = [*row[:4], "2026-11-23 10:00:05", *row[5:]]
    broken = [*row[:5], "soon", *row[6:]]
    conversion, records, rejections = run(shipped()["calls"], table(head, row, answered, broken))
    events = [(each["event"], each["at"] - AT_MS) for each in records]
    assert events == [("setup", 0), ("release", 20_000), ("setup", 0), ("answer", 5_000), ("release", 20_000)]
    assert [each["verified"] for each in records] == ["full"] * 5
    assert [(each.field, each.line) for each in rejections] == [("at", 4)]
    assert (conversion.rows, conversion.converted, conversion.records) == (4, 2, 5)


# ------------------------------------------------------------------------------------------------- forms and packing


def packed(form: str, text: str) -> bytes:
    raw = text.encode()
    if form == "gzip":
        return gzip.compress(raw)
    if form == "bom":
        return b"\xef\xbb\xbf" + raw
    return {"plain": raw, "crlf": text.replace("\n", "\r\n").encode(), "utf-16": text.encode("utf-16")}[form]


@pytest.mark.parametrize("form", ["plain", "gzip", "bom", "crlf", "utf-16"])
def test_packing_and_encoding_change_no_record(form: str, tmp_path: Path) -> None:
    text = table(HEAD, message(1, "엄마 폰 고장"), message(2))
    (tmp_path / "in").write_bytes(packed(form, text))
    (tmp_path / "map.yaml").write_text(MESSAGES)
    got = convert("--map", str(tmp_path / "map.yaml"), str(tmp_path / "in"))
    assert got.exit_code == 0, got.output
    assert [json.loads(line)["text"] for line in got.stdout.splitlines()] == ["엄마 폰 고장", "hello"]


def test_encodings_of_the_map_are_read_and_what_is_none_of_them_is_rejected() -> None:
    text = table(HEAD, message(1, "엄마"), message(2))
    for encoding in ("cp949", "euc-kr", "utf-16"):
        map_ = MESSAGES.replace("form: csv", f"form: csv, encoding: {encoding}")
        assert run(map_, text.encode(encoding))[1][0]["text"] == "엄마"
    _, records, rejections = run(MESSAGES, text.encode("cp949"))
    assert [each["message_id"] for each in records] == ["m2"]
    assert "is not utf-8: name the right `encoding:` in the map" in str(rejections[0])


def test_every_file_of_a_zip_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "day.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.csv", table(HEAD, message(1)))
        archive.writestr("a/2.csv", table(HEAD, message(2), ["short"]))
    (tmp_path / "map.yaml").write_text(MESSAGES)
    got = convert("--map", str(tmp_path / "map.yaml"), str(tmp_path / "day.zip"))
    assert got.exit_code == 1
    assert [json.loads(line)["message_id"] for line in got.stdout.splitlines()] == ["m1", "m2"]
    assert f"{tmp_path}/day.zip/a/2.csv:3: has 1 columns, not 5" in got.stderr


JSON_MESSAGES = MESSAGES.replace("csv", "json").replace("from", "who.from")


@pytest.mark.parametrize("form", ["lines", "array", "pretty", "objects", "twice", "one line"])
def test_json_in_any_form_gives_the_same_records(form: str) -> None:
    values = [{"id": f"m{n}", "time": AT_MS, "who": {"from": "010-1111-0001"}, "to": "0299", "text": 'a "]}{[," \\ x'}
              for n in range(3)]  # fmt: skip
    texts = {
        "lines": "\n".join(map(json.dumps, values)),
        "array": json.dumps(values),
        "pretty": json.dumps(values, indent=2),
        "objects": "\n\n".join(json.dumps(value, indent=1) for value in values),
        "twice": "\n".join(json.dumps(json.dumps(value)) for value in values),
        "one line": "".join(map(json.dumps, values)),
    }
    _, records, rejections = run(JSON_MESSAGES, texts[form])
    assert rejections == []
    assert [(each["message_id"], each["text"]) for each in records] == [(f"m{n}", 'a "]}{[," \\ x') for n in range(3)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.recursive(st.none() | st.integers() | st.text(max_size=5),
                             lambda inner: st.lists(inner, max_size=3)
                             | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                             max_leaves=8), max_size=8), st.sampled_from([None, 1, " "]))  # fmt: skip
def test_the_elements_of_an_array_are_found_whatever_they_hold(values: list[Any], indent: int | str | None) -> None:
    conversion, _, rejections = run(JSON_MESSAGES, json.dumps(values, indent=indent))
    assert conversion.rows == len(rejections) == len(values)
    assert [json.loads(each.raw) for each in rejections] == values


def test_numbers_in_json_keep_their_digits() -> None:
    value = '{"id": 12345678901234567890123, "time": 1795395600000, "who": {"from": 821011110001}, "to": 1.50}'
    record = run(JSON_MESSAGES, value)[1][0]
    assert (record["message_id"], record["sender"]) == ("12345678901234567890123", "821011110001")


def test_an_array_that_is_cut_off_ends_in_words(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(JSON_MESSAGES)
    for text in ('[{"id": 1}, {"id"', '[{"id": 1},', '{"id":'):
        (tmp_path / "in").write_text(text)
        got = convert("--map", str(tmp_path / "map.yaml"), "-o", str(tmp_path / "out"), str(tmp_path / "in"))
        assert got.exit_code == 1
        assert "cut off" in got.stderr or "rejected" in got.stderr
        assert not [path for path in tmp_path.iterdir() if path.name.startswith("out")] or not text.startswith("[")


def test_fixed_columns_are_cut_at_their_places() -> None:
    map_ = MESSAGES.replace(
        "form: csv", "form: fixed, columns: {id: 1-4, time: 5-17, from: 18-30, to: 31-43, text: 44-60}"
    )
    text = f"m1  {AT_MS}010-1111-0001010-9999-0001hello\nm2  {AT_MS}010\n\n"
    _, records, rejections = run(map_, text)
    assert records == [
        {"message_id": "m1", "at": AT_MS, "sender": "010-1111-0001", "recipient": "010-9999-0001", "text": "hello"}
    ]
    assert [each.line for each in rejections] == [2]


def test_pipes_tabs_and_other_separators() -> None:
    for name, letter in (("pipe", "|"), ("tab", "\t"), ("semicolon", ";"), ("'^'", "^")):
        map_ = MESSAGES.replace("form: csv", f"form: csv, separator: {name}, quote: none")
        text = "\n".join(letter.join(row) for row in (HEAD, message(1, 'a "quote, and a comma')))
        assert run(map_, text)[1][0]["text"] == 'a "quote, and a comma'


def test_a_line_without_end_needs_no_memory_and_is_rejected() -> None:
    text = ",".join(HEAD) + "\n" + "x" * (3 * LINE_BYTES_MAX) + "\n" + ",".join(message(2)) + "\n"
    _, records, rejections = run(MESSAGES, text)
    assert [each["message_id"] for each in records] == ["m2"]
    assert [each.line for each in rejections] == [2]
    assert rejections[0].raw == ""


# ------------------------------------------------------------------------------------------- shipped maps, real files

# Files as Asterisk and Jasmin write them, with rows that are cut off, failed or of another build.
FOREIGN = Path(__file__).parent / "foreign"
MASTER = "".join((FOREIGN / "Master.csv").read_text().splitlines(keepends=True)[:2])


def test_asterisk_with_the_mess_of_a_real_file() -> None:
    _, records, rejections = run(shipped()["asterisk"], (FOREIGN / "Master.csv").read_bytes())
    assert records[0] == {
        "call_id": "1795395600.10", "event": "complete", "at": AT_MS + 20_000, "caller": "01011110001",
        "callee": "01099900001", "cause": "ANSWERED", "setup_at": AT_MS, "answer_at": AT_MS + 5_000,
        "release_at": AT_MS + 20_000,
    }  # fmt: skip
    assert "answer_at" not in records[1]
    assert records[2] == records[0], "without `userfield`, as other builds write it"
    assert [(each.line, each.code) for each in rejections] == [(4, "not_a_row")]


def test_asterisks_event_log_tells_the_calling_channel_from_those_that_it_rings() -> None:
    def event(kind: str, at: str, number: str, dialled: str, exten: str, channel: str, call: str) -> list[str]:
        return [kind, at, "", number, "", "", dialled, exten, "from-internal", "SIP/x", "Dial", "SIP/t,60", "3", "",
                channel, call, "", "", "", ""]  # fmt: skip

    caller, callee = "01011110001", "01099900001"
    _, records, rejections = run(
        shipped()["asterisk-cel"],
        table(
            event("CHAN_START", "1795395600.250000", caller, "", callee, "1795395600.10", "1795395600.10"),
            event("APP_START", "1795395600.260000", caller, callee, callee, "1795395600.10", "1795395600.10"),
            event("CHAN_START", "1795395600.300000", "", "", "s", "1795395600.11", "1795395600.10"),
            event("ANSWER", "1795395604.900000", callee, "", "", "1795395600.11", "1795395600.10"),
            event("ANSWER", "1795395605.000000", caller, callee, "s", "1795395600.10", "1795395600.10"),
            event("BRIDGE_ENTER", "1795395605.100000", caller, callee, callee, "1795395600.10", "1795395600.10"),
            event("HANGUP", "1795395619.000000", callee, "", "", "1795395600.11", "1795395600.10"),
            event("HANGUP", "1795395620.125000", caller, "", "h", "1795395600.10", "1795395600.10"),
            event("LINKEDID_END", "1795395620.130000", caller, "", "h", "1795395600.10", "1795395600.10"),
        ),
    )
    shared = {"call_id": "1795395600.10", "caller": caller}
    assert records == [
        shared | {"event": "setup", "at": AT_MS + 250, "callee": callee},
        shared | {"event": "answer", "at": AT_MS + 5_000, "callee": callee},
        shared | {"event": "release", "at": AT_MS + 20_125, "callee": "unknown"},
    ]
    assert rejections == []


def test_freeswitch_json_is_decoded_and_a_call_without_answer_has_none() -> None:
    value = {
        "core-uuid": "a1",
        "channel_data": {"state": "CS_REPORTING"},
        "variables": {
            "uuid": "11111111-1111", "sip_from_user": "%2B821011110001", "sip_req_user": "01099900001",
            "start_stamp": "2026-11-23%2010%3A00%3A00", "start_epoch": "1795395600", "answer_epoch": "0",
            "end_epoch": "1795395620", "hangup_cause": "NO_ANSWER",
        },
    }  # fmt: skip
    assert run(shipped()["freeswitch-json"], json.dumps(value))[1] == [{
        "call_id": "11111111-1111", "event": "complete", "at": AT_MS + 20_000, "caller": "+821011110001",
        "callee": "01099900001", "cause": "NO_ANSWER", "setup_at": AT_MS, "release_at": AT_MS + 20_000,
    }]  # fmt: skip


def test_freeswitch_csv() -> None:
    row = ["Kim", "01011110001", "01099900001", "public", "2026-11-23 10:00:00", "", "2026-11-23 10:00:20", "20", "0",
           "NO_ANSWER", "11111111-1111", "", ""]  # fmt: skip
    _, records, rejections = run(shipped()["freeswitch-csv"], table(row, [*row, "PCMA", "PCMA"]))
    assert [each["setup_at"] for each in records] == [AT_MS, AT_MS]
    assert rejections == []


def test_jasmin_with_the_mess_of_a_real_log() -> None:
    conversion, records, rejections = run(shipped()["jasmin"], (FOREIGN / "messages.log").read_bytes())
    assert [(each["message_id"], each["sender"], each["text"]) for each in records] == [
        ("22222222-2222", "821011110001", "엄마 나 폰 고장\n이 번호로 ] 문자 줘"),
        ("33333333-3333", "8613912345678", "엄마"),
        ("44", "01011110001", 'it\'s "[from:1]"'),
    ]
    assert records[1]["at"] == AT_MS + 1_250
    assert conversion.passed == {"lines without `SMS-M`": 2, "`status` is not CommandStatus.ESME_ROK or ESME_ROK": 1}
    assert [each.line for each in rejections] == [7]


def test_smpp_gives_an_international_number_its_plus_and_guesses_at_no_other() -> None:
    head = [
        "message_id",
        "submit_time",
        "source_addr_ton",
        "source_addr",
        "dest_addr_ton",
        "destination_addr",
        "short_message",
    ]
    rows = [["m1", "2026-11-23 10:00:00", ton, sender, "2", "01099900001", "hi"] for ton, sender in (
        ("1", "8613912345678"), ("0", "8613912345678"), ("International", "821011110001"), ("5", "MYBANK"),
        ("1", "01011110001"), ("", "8613912345678"),
    )]  # fmt: skip
    _, records, _ = run(shipped()["smpp"], table(head, *rows))
    assert [each["sender"] for each in records] == [
        "+8613912345678", "8613912345678", "+821011110001", "MYBANK", "01011110001", "8613912345678",
    ]  # fmt: skip


def test_every_shipped_map_loads_and_has_a_line_in_the_list() -> None:
    listed = CliRunner().invoke(command, ["records", "maps"]).output
    assert len(shipped()) == 11
    for name, text in shipped().items():
        assert load_map(name).topic in (CDR, MESSAGE_RELAY)
        assert f"\n{name} " in "\n" + listed
        assert CliRunner().invoke(command, ["records", "maps", name]).output == text


# ------------------------------------------------------------------------------------------------------- the command


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(MASTER)
    out = tmp_path / "out.jsonl"
    got = convert("--map", "asterisk", "-o", str(out), "--set", "verified=full", str(tmp_path / "in.csv"))
    assert got.exit_code == 0
    assert got.stdout == ""
    assert out.stat().st_mode & 0o777 == 0o600
    before = out.read_text()
    assert [json.loads(line)["verified"] for line in before.splitlines()] == ["full", "full"]
    (tmp_path / "cut.gz").write_bytes(gzip.compress(MASTER.encode() * 1000)[:-100])
    got = convert("--map", "asterisk", "-o", str(out), str(tmp_path / "cut.gz"))
    assert got.exit_code == 1
    assert "cut off or damaged" in got.stderr
    assert out.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.gz", "in.csv", "out.jsonl"]
    assert convert("--map", "asterisk", "-o", str(tmp_path / "in.csv"), str(tmp_path / "in.csv")).exit_code == 2


def test_no_file_is_read_and_written_at_once(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(MASTER)
    for where in (("-o", "in.csv"), ("--rejects", "in.csv"), ("-o", "x", "--rejects", "x")):
        named = [word if word.startswith("-") else str(tmp_path / word) for word in where]
        got = convert("--map", "asterisk", *named, str(tmp_path / "in.csv"))
        assert got.exit_code == 2, got.output
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    assert (tmp_path / "in.csv").read_text() == MASTER


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff", b"a: [", b"- 1", b"x" * 2_000_000, b"a: &b c", b"rules: []", None]
)
def test_a_map_that_is_rubbish_is_told_in_words(content: bytes | None, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(MASTER)
    if content is None:
        (tmp_path / "map.yaml").mkdir()
    else:
        (tmp_path / "map.yaml").write_bytes(content)
    got = convert("--map", str(tmp_path / "map.yaml"), str(tmp_path / "in.csv"))
    assert got.exit_code == 1
    assert f"{tmp_path}/map.yaml" in got.stderr
    assert "error: " in got.stderr
    assert got.stdout == ""


def test_rejects_are_kept_as_they_came_and_never_shown(tmp_path: Path) -> None:
    secret = '"","01012345678","01099998888","x"\n'
    (tmp_path / "in.csv").write_text(MASTER + secret)
    got = convert("--map", "asterisk", "--rejects", str(tmp_path / "bad.jsonl"), str(tmp_path / "in.csv"))
    assert got.exit_code == 1
    assert "01012345678" not in got.output
    assert f"{tmp_path}/in.csv:3: has 4 columns, not 17 to 21" in got.stderr
    (kept,) = map(json.loads, (tmp_path / "bad.jsonl").read_text().splitlines())
    assert (kept["line"], kept["raw"]) == (3, secret.rstrip("\n"))


def test_the_account_as_json(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(MASTER + "x\n")
    got = convert("--map", "asterisk", "--json", "-o", str(tmp_path / "out"), str(tmp_path / "in.csv"))
    told = json.loads(got.stdout)
    assert [told[name] for name in ("rows", "converted", "records", "rejected", "codes")] == [
        3,
        2,
        2,
        1,
        {"columns": 1},
    ]


@pytest.mark.parametrize("content", [
    b"", b"\x00\x01\x02" * 100, b"PK\x03\x04rubbish", b"\x1f\x8brubbish", b"%PDF-1.4", b"[1, 2", b"\n\n\n", b"{}",
    b"rubbish\n" * 50,
    b"\xff\xfe\x00", bytes(range(256)) * 20,
])  # fmt: skip
@pytest.mark.parametrize("name", sorted(shipped()))
def test_rubbish_ends_in_words_and_code_1(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(content)
    got = convert("--map", name, "-o", str(tmp_path / "out"), str(tmp_path / "in"))
    assert got.exit_code == 1
    assert "Error: " in got.stderr
    assert isinstance(got.exception, SystemExit)


def test_what_a_file_is_instead_is_named(tmp_path: Path) -> None:
    for content, name, words in (
        (b'{"a": 1}', "asterisk", "is JSON, and the map reads CSV"),
        (MASTER.encode()[3:], "freeswitch-json", "is no JSON, and the map reads JSON"),
        (b"a,b,c\n1,2,3\n", "calls", "no column `id` or `call_id` or"),
        ("id,from".encode("utf-16-le"), "calls", "text in UTF-16: say `encoding: utf-16` in the map"),
    ):
        (tmp_path / "in").write_bytes(content)
        got = convert("--map", name, str(tmp_path / "in"))
        assert (got.exit_code, words in got.stderr) == (1, True), got.stderr


# ------------------------------------------------------------------------------------------------------ mapping files

WRONG = {
    "key": ("input:", "inptu:", "unknown key `inptu`"),
    "form": ("form: csv", "form: cvs", "`cvs` is not a valid form"),
    "topic": ("message-relay", "messages", "`messages` is not a valid topic"),
    "field": ("sender: from", "sendr: from", "has no field `sendr`"),
    "required": ("sender: from, ", "", "fields makes no `sender`"),
    "format": ("format: ms", "format: '%Y-%m'", "%d, %H, %M is missing"),
    "zone": ("format: ms", "format: '%F %T', zone: Asia/Soul", "`Asia/Soul` is no zone"),
    "no zone": ("format: ms", "format: '%F %T'", "has no zone in it"),
    "two sources": ("text: text", "text: {column: text, value: x}", "needs one of column, join, value"),
    "choice": ("text: text", "channel: {value: fax}", "`fax` is not a valid channel"),
    "columns": ("form: csv", "form: csv, columns: [a]", "the header names the columns"),
    "no columns": ("form: csv", "form: csv, header: no", "without a header the map names the columns"),
    "unknown column": ("form: csv", "form: csv, header: no, columns: [id, time, from, to]", "`text` is no column"),
    "separator": ("form: csv", "form: csv, separator: ab", "separator must be one character"),
    "encoding": ("form: csv", "form: csv, encoding: utf-9", "`utf-9` is not a valid encoding"),
    "lines": ("form: csv", "form: lines, lines: ['{id}{time}{from}{to}{text}']", "nothing stands between two columns"),
    "spans": ("form: csv", "form: fixed, columns: {id: 5-1}", "the place of a column is its first and last character"),
    "condition": ("times:", "skip: [{column: id}]\ntimes:", "a condition asks one thing"),
    "condition on no column": ("times:", "skip: [{column: id, same_as: []}]\ntimes:", "same_as is empty"),
    "condition on nothing": ("times:", "skip: [{column: id, present: id}]\ntimes:", "a condition asks one thing"),
    "type of number": ("sender: from", "sender: {column: from, type_of_number: ton}", "say `numbers: smpp`"),
}


@pytest.mark.parametrize("slip", WRONG)
def test_a_mistake_in_a_map_is_told_with_its_place(slip: str) -> None:
    right, wrong, message_ = WRONG[slip]
    assert right in MESSAGES
    with pytest.raises(RuleErrors) as caught:
        load_text(MESSAGES.replace(right, wrong), "mine.yaml")
    assert message_ in str(caught.value)
    assert all(d.position.startswith("mine.yaml:") for d in caught.value.diagnostics)


def test_a_map_that_is_not_there_is_told_with_those_that_ship(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("x")
    got = convert("--map", "astersk", str(tmp_path / "in"))
    assert got.exit_code == 1
    assert "asterisk, asterisk-cel, calls, cdr, freeswitch-csv" in got.stderr
    assert convert("--map", "asterisk", "--set", "carrier", str(tmp_path / "in")).exit_code == 2
    assert "cdr has no field `carier`" in convert("--map", "asterisk", "--set", "carier=x", str(tmp_path / "in")).stderr
    assert "no zone" in convert("--map", "asterisk", "--zone", "Mars", str(tmp_path / "in")).stderr
