"""`grayline records check`: what it finds in samples, where, and what it leaves unshown."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from schemas.feeds import FEEDS
from schemas.topics import CDR, MESSAGE_RELAY
from streams.captures.check import shape
from streams.captures.writing import CaptureWriter, Record
from streams.cli import command

AT_MS = 1_794_798_000_000
CALL = {"call_id": "c1", "event": "setup", "at": AT_MS, "caller": "010-1111-0001", "callee": "010-9999-0001"}
MESSAGE = {"message_id": "m1", "at": AT_MS, "sender": "+821011110001", "recipient": "+821099990001", "text": "secret"}


def call(n: int, **more: Any) -> dict[str, Any]:
    made = CALL | {"call_id": f"c{n}"} | more
    return {name: value for name, value in made.items() if value is not ...}


def kcat(offset: int, payload: object, topic: str = CDR) -> str:
    text = payload if isinstance(payload, str | None) else json.dumps(payload)
    return json.dumps({"topic": topic, "partition": 0, "offset": offset, "key": None, "payload": text})


def check(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(command, ["records", "check", *arguments], input=stdin)


def report(path: Path, text: str | bytes, *arguments: str, code: int) -> dict[str, Any]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    got = check("--json", *arguments, str(path))
    assert got.exit_code == code, got.output
    told: dict[str, Any] = json.loads(got.stdout)
    return told


def lines(*records: object) -> str:
    return "".join((r if isinstance(r, str) else json.dumps(r, ensure_ascii=False)) + "\n" for r in records)


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return tmp_path / "sample.jsonl"


def test_right_records_end_with_code_0_and_every_field_is_counted(sample: Path) -> None:
    told = report(sample, lines(call(1, carrier="KT"), call(2, carrier=None), call(3)), code=0)
    assert (told["records"], told["bad_records"], told["codes"], told["problems"]) == (3, 0, {}, [])
    fields = told["topics"][CDR]["fields"]
    assert list(fields) == list(FEEDS[CDR].fields)
    assert fields["call_id"] == {
        "required": True, "present": 3, "absent": 0, "null": 0, "bad": 0, "places": [], "reasons": {},
        "number_types": {}, "lost_formats": {},
    }  # fmt: skip
    assert [fields["carrier"][name] for name in ("required", "present", "absent", "null")] == [False, 1, 1, 1]
    assert fields["caller"]["number_types"] == {"mobile": 3}


WRONG = {
    "seconds": (call(2, at=1_794_798_000), "at", "bad_time", "seconds taken for milliseconds", "9999999999"),
    "zone": (call(2, at="2026-11-16T09:00:00"), "at", "bad_time", "zone", '"9999-99-99a99:99:99"'),
    "type": (call(2, caller=821011110001), "caller", "wrong_type", "give a string", "999999999999"),
    "absent": (call(2, callee=...), "callee", "missing_field", "is absent: every cdr record has it", None),
    "null": (call(2, callee=None), "callee", "missing_field", "is null", None),
    "choice": (call(2, event="started"), "event", "bad_value", "is none of setup", "started"),
    "optional": (call(2, verified="yes"), "verified", "bad_value", "is none of full", "yes"),
    "empty": (call(2, carrier=""), "carrier", "bad_value", "is an empty string", '""'),
    "long": (call(2, relay="r" * 300), "relay", "too_long", "at most 256", '"' + "a" * 40 + '..."'),
    "number": (call(2, callee="0" * 200), "callee", "too_long", "at most 128", "other#"),
    "twice": (json.dumps(call(2)).replace("{", '{"cause": "1", "cause": "2", ', 1), "cause", "duplicate_field",
              "more than once", '"9"'),
    "complete": (call(2, event="complete"), "setup_at", "missing_field", "every `complete` record has it", None),
}  # fmt: skip


@pytest.mark.parametrize("slip", WRONG)
def test_a_slip_is_told_by_place_field_and_what_would_be_right(sample: Path, slip: str) -> None:
    record, field, code, reason, looks_like = WRONG[slip]
    told = report(sample, lines(call(1), "", record, call(3)), code=1)
    is_bad = field in FEEDS[CDR].essential
    assert (told["records"], told["bad_records"], told["flawed_records"]) == (3, is_bad, not is_bad)
    problem = told["problems"][0]
    assert (problem["line"], problem["topic"], problem["field"], problem["code"]) == (3, CDR, field, code)
    assert reason in problem["reason"]
    assert (problem["looks_like"] or "").startswith(looks_like or "")
    assert (problem["looks_like"] is None) == (looks_like is None)
    of = told["topics"][CDR]["fields"][field]
    assert (of["bad"], of["places"]) == (1, [f"{sample}:3"])
    assert reason in of["reasons"][code]


def test_every_error_of_a_record_is_counted_but_only_the_first_are_shown(sample: Path) -> None:
    records = [call(n, at="noon", caller="", callee=...) for n in range(50)]
    told = report(sample, lines(*records), "--errors", "7", code=1)
    assert told["bad_records"] == 50
    assert told["codes"] == {"bad_time": 50, "bad_value": 50, "missing_field": 50}
    assert len(told["problems"]) == 7
    assert told["topics"][CDR]["fields"]["at"]["places"] == [f"{sample}:{n}" for n in (1, 2, 3)]
    text = check("--errors", "7", str(sample)).stdout
    assert "... and 143 more" in text
    assert "by reason: bad_time 50, bad_value 50, missing_field 50" in text


def test_values_are_shown_by_their_shape_and_numbers_masked(sample: Path) -> None:
    private = call(2, at="tomorrow 010-1234-5678", relay="r" * 300, verified="call 01012345678 now")
    text = lines(call(1, caller="010-1234-5678 " + "9" * 200), private, MESSAGE | {"text": 5})
    sample.write_text(text)
    for arguments in ([], ["--json"]):
        shown = check(*arguments, "--topic", CDR, str(sample)).output
        for piece in ("1234-5678", "12345678", "tomorrow", "secret", "rrr"):
            assert piece not in shown
    assert shape("number", "010-1234-5678") == "+8210****5678"
    assert shape("time", "2026-11-21 10:00") == '"9999-99-99 99:99"'
    assert shape("choice", True) == "True"


def test_what_is_no_json_object_is_told_for_the_record_as_a_whole(sample: Path) -> None:
    told = report(sample, lines(call(1), "{broken", "[1]", '"x"', "{} {}", call(2)), code=1)
    assert told["codes"] == {"not_json": 4}
    assert [problem["line"] for problem in told["problems"]] == [2, 3, 4, 5]
    assert told["topics"][CDR]["records"] == 6


def test_unknown_fields_are_counted_and_the_likely_slip_is_named(sample: Path) -> None:
    sample.write_text(lines(*(call(n, callee=..., calle="010-9999-0001", cost=1) for n in range(3))))
    text = check(str(sample)).stdout
    assert "not in the schema: calle (3); should it be `callee`?" in text
    assert "not in the schema: cost (3)\n" in text


def test_ids_that_come_again_are_counted_but_not_wrong(sample: Path) -> None:
    told = report(sample, lines(call(1), call(1, event="release"), call(1), call(2)), code=0)
    assert told["topics"][CDR]["repeated_ids"] == 1
    assert f"ids that stood there before: 1, first at {sample}:3" in check(str(sample)).stdout


# ------------------------------------------------------------------------------------------------------------ forms


FORMS = {
    "values": (lines(call(1), call(2, at=1), call(3)), 2),
    "kcat": (lines(kcat(0, call(1)), kcat(1, call(2, at=1)), kcat(2, call(3))), 2),
    "nested kcat": (
        lines(*(json.loads(kcat(n, "")) | {"payload": call(n, at=1 if n == 2 else AT_MS)} for n in (1, 2, 3))), 2
    ),
    "array": ("[\n" + ",\n".join(map(json.dumps, [call(1), call(2, at=1), call(3)])) + "\n]\n", 3),
    "indented array": (json.dumps([call(1), call(2, at=1), call(3)], indent=2), 9),
    "indented objects": ("\n".join(json.dumps(each, indent=1) for each in [call(1), call(2, at=1), call(3)]), 8),
    "byte order mark": ("\ufeff" + lines(call(1), call(2, at=1), call(3)), 2),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_sample_may_come_in_any_of_these_forms(sample: Path, form: str, packed: bool) -> None:
    text, line = FORMS[form]
    raw = gzip.compress(text.encode()) if packed else text.encode()
    told = report(sample, raw, code=1)
    assert (told["records"], told["bad_records"], told["codes"]) == (3, 1, {"bad_time": 1})
    assert told["problems"][0]["line"] == line
    got = check("--json", "-", stdin=raw)
    assert json.loads(got.stdout)["codes"] == {"bad_time": 1}


def test_a_parquet_capture_is_checked_row_by_row(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "c", "parquet", "zstd")
    values = [json.dumps(call(1)).encode(), None, b"\xff"]
    writer.write([Record(CDR, 0, n, AT_MS, 1, None, value) for n, value in enumerate(values)])
    writer.finish()
    got = check("--json", str(writer.files[0].path))
    assert got.exit_code == 1
    told = json.loads(got.stdout)
    assert told["codes"] == {"empty": 1, "not_json": 1}
    assert [problem["line"] for problem in told["problems"]] == [2, 3]


def test_lines_of_kcat_that_cannot_be_read_are_bad_records(sample: Path) -> None:
    told = report(sample, lines(kcat(0, call(1)), "{}", kcat(-1, call(2)), kcat(3, None)), code=1)
    assert told["codes"] == {"bad_line": 2, "empty": 1}
    assert (told["records"], told["bad_records"]) == (4, 3)


def test_topics_of_kcat_lines_are_taken_at_their_word_and_others_guessed(sample: Path) -> None:
    both = lines(kcat(0, call(1)), kcat(0, MESSAGE, MESSAGE_RELAY), kcat(1, call(2), "elsewhere"))
    told = report(sample, both, code=1)
    assert {topic: of["records"] for topic, of in told["topics"].items()} == {CDR: 1, MESSAGE_RELAY: 1}
    assert "is of topic elsewhere" in told["problems"][0]["reason"]
    told = report(sample, lines(kcat(0, call(1), "skt.calls.v1")), code=0)
    assert told["topics"][CDR]["records"] == 1
    assert "taken as cdr since there are call_id, event, caller, callee" in told["samples"][0]


def test_messages_are_told_from_calls_by_their_fields_and_the_option_overrides(sample: Path) -> None:
    assert list(report(sample, lines(MESSAGE), code=0)["topics"]) == [MESSAGE_RELAY]
    told = report(sample, lines(MESSAGE), "--topic", CDR, code=1)
    assert told["codes"] == {"missing_field": 4}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no record"),
        ("\n \n", "holds no record"),
        ("call_id,event,at\nc1,setup,5\n", "looks like a table (CSV)"),
        ("hello\n", "none of its first lines is a JSON object"),
        ('{"a": 1}\n', "do not tell which topic"),
        ('[{"call_id": 1}, {"event"\n', ":1: here is no JSON value"),
        ('[{"call_id": 1}\n {"event": 1}]', "a comma or the array's end is missing"),
        ('[{"call_id": 1},\n', "the array has no end"),
        (gzip.compress(b"{}" * 100, mtime=0)[:-9], "cut off or damaged"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_ends_with_code_2_and_says_why(sample: Path, text: str | bytes, said: str) -> None:
    sample.write_bytes(text.encode() if isinstance(text, str) else text)
    got = check(str(sample))
    assert got.exit_code == 2
    assert said in got.stderr
    assert got.stdout == ""


def test_wrong_use_ends_with_code_2(sample: Path) -> None:
    sample.write_text(lines(call(1)))
    assert check().exit_code == 2
    assert check(str(sample) + "x").exit_code == 2
    got = check("--topic", "calls", str(sample))
    assert got.exit_code == 2
    assert "message-relay, cdr" in got.stderr


def test_control_characters_of_a_sample_do_not_reach_the_terminal(sample: Path) -> None:
    sample.write_text(lines(call(1, **{"\x1b[2Jname": 1})))
    assert "\x1b" not in check(str(sample)).stdout
    assert "\\x1b[2Jname" in check(str(sample)).stdout


def feeds_file(folder: Path, numbers: str) -> str:
    path = folder / "feeds.yaml"
    path.write_text(f"feeds:\n  cdr: {{numbers: {numbers}}}\n")
    return str(path)


def test_digits_that_are_numbers_in_another_format_are_told_with_the_way_to_read_them(sample: Path) -> None:
    foreign, home = "8613912345678", "01011110001"
    text = lines(call(1, caller=foreign, callee=home), call(2, caller=foreign, callee="821011110001"), call(3))
    sample.write_text(text)
    told = report(sample, text, code=0)["topics"][CDR]["fields"]
    assert (told["caller"]["lost_formats"], told["callee"]["lost_formats"]) == ({"e164": 2}, {})
    assert "2 would be numbers with the `+` that they lost: say `numbers: e164`" in check(str(sample)).stdout
    as_e164 = report(sample, text, "--feeds", feeds_file(sample.parent, "e164"), code=0)["topics"][CDR]["fields"]
    assert as_e164["caller"]["lost_formats"] == {}
    assert as_e164["callee"]["lost_formats"]["national"] >= 1


def test_what_it_costs_that_some_records_lack_who_vouches_is_told_with_their_share(sample: Path) -> None:
    some = [call(n, verified="full", carrier="KT") for n in range(3)] + [call(3, carrier="KT")]
    told = report(sample, lines(*some), code=0)["topics"][CDR]["missing_costs"]
    assert told["verified"].startswith("25.0 % of the records lack it: without it nobody vouches")
    assert "carrier" not in told
