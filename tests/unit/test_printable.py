"""Text that others wrote into records, rule files, file names and records of Grayline's own topics comes onto no
terminal, into no log line and no table as it is: every place where such text can stand, against every command that
shows it."""

from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
import unicodedata
from collections import Counter
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rules.diagnostics import Diagnostic, render
from rules.load import load_text
from schemas.printable import printable, printable_json
from schemas.topics import CDR
from streams.cli import command
from streams.cli.blocks import COLUMNS, PRINTERS, csv_row
from streams.demo.summary import Summary
from streams.demo.view import Lines, Now, Screen
from streams.demo.warm import Warmth
from streams.holds.pause import Pause
from streams.operators.blocks import BlockTable
from streams.runtime.logs import FORMAT, PrintableFormatter, log_plainly
from streams.runtime.saying import say
from streams.state.local import LocalState
from streams.state.manifest import Manifest
from streams.traffic.labels import Score
from tests.planted import ENDS, HALF, NAMED, PLANTED, assert_harmless

AT_MS = 1_794_798_000_000
ROOT = Path(__file__).parents[2]


def run(*arguments: str, code: int | None = None, stdin: bytes | None = None) -> Result:
    result = CliRunner().invoke(command, list(arguments), input=stdin)
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert code is None or result.exit_code == code, result.output
    assert_harmless(result.stdout_bytes.decode())
    assert_harmless(result.stderr_bytes.decode())
    return result


# --------------------------------------------------------------------------------------------------------- the helper


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lo"])))
def test_printable_text_is_one_line_of_characters_that_are_seen(text: str) -> None:
    assert_harmless(printable(text).replace("\n", "\x1b"))
    assert printable(printable(text)) == printable(text)
    assert set(text) & {'"', "\\"} or ast.literal_eval(f'"{printable(text)}"') == text


@given(st.recursive(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lo", "Co"])) | st.integers(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_printable_json_says_the_same_on_one_line(value: Any) -> None:
    shown = printable_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert_harmless(shown.replace("\n", "\x1b"))
    assert json.loads(shown) == value


def test_letters_of_all_the_world_and_wide_spaces_stay_as_they_are() -> None:
    for text in ("전화\u3000사기", "caf\u00e9 \u00a0", "שלום", "👍", "\\x1b"):
        assert printable(text) == printable_json(text) == text
    assert printable("a\x1b[2Jb\nc\u202ed\ud800") == "a\\x1b[2Jb\\nc\\u202ed\\ud800"
    assert printable_json('"\x9b\u202e\U000e0041"') == '"\\u009b\\u202e\\udb40\\udc41"'


# --------------------------------------------------------------------------------------------------------- rule files

RULES = """
counters:
  calls: {on: cdr.setup, per: caller, count: events, window: 1m}
rules:
  - name: %(name)s
    summary: %(summary)s
    limits: {most: {always: 2}}
    when: %(when)s
    then: {block: [%(block)s], directions: [outgoing], for: %(period)s}
    mode: %(mode)s
"""
RIGHT = {
    "name": "busy", "summary": "many calls", "when": "calls >= most", "block": "calls", "period": "1h",
    "mode": "enforce",
}  # fmt: skip


def yaml_of(text: str) -> str:
    """Double-quoted, everything odd as an escape: the raw characters YAML refuses itself."""
    return '"' + "".join(c if c.isalnum() or c in " []:" else f"\\U{ord(c):08x}" for c in text) + '"'


def written(tmp_path: Path, text: str, name: str = "rules.yaml") -> Path:
    file = tmp_path / name
    file.write_text(text, newline="")
    return file


@pytest.mark.parametrize("raw", [False, True], ids=["escaped", "raw"])
@pytest.mark.parametrize("place", [*RIGHT, "a key", "the file's name"])
def test_rule_files_that_are_wrong_anywhere_are_shown_harmlessly(tmp_path: Path, place: str, raw: bool) -> None:
    # What YAML takes as it stands; the rest it refuses, and that is shown as well.
    planted = "'" + PLANTED.translate(dict.fromkeys(range(32))) + "'" if raw else yaml_of(PLANTED)
    text = RULES % (RIGHT | ({place: planted} if place in RIGHT else {"mode": "enforced"}))
    if place == "a key":
        text += f"    {planted}: 1\n"
    name = "ev\x1b[31m\nFORGED\u202e.yaml" if place == "the file's name" else "rules.yaml"
    file, empty = written(tmp_path, text, name), written(tmp_path, "", "empty.jsonl")
    right = place == "summary" and not raw
    run("rules", "check", str(file), code=0 if right else 1)
    run("rules", "check", "--json", str(file), code=0 if right else 1)
    run("replay", "--rules", str(file), str(empty), code=1)
    if not right:
        run("replay", "--protected", str(file), str(empty), code=1)
        run("run", "--rules", str(file), "--brokers", "127.0.0.1:1", code=2)
        run("demo", "--rules", str(file), code=2)


def test_a_control_character_in_a_rule_file_is_shown_with_its_place() -> None:
    diagnostics = CliRunner()
    with diagnostics.isolated_filesystem():
        Path("r.yaml").write_bytes(b"rules:\n  - name: a\x1b[31m\n")
        result = run("rules", "check", "r.yaml", code=1)
    assert "r.yaml:" in result.output


@pytest.mark.parametrize("before", ["", "ab", "\x1b[31m", "\u202e\u200b", "전화"])
def test_carets_stand_below_what_they_mark_also_where_it_is_escaped(before: str) -> None:
    source = f"key: {before}'wr\x9bng' # rest\u202e"
    marked = "'wr\x9bng'"
    shown = render(Diagnostic("f\x1b", 1, source.index(marked) + 1, "wrong\n", source, length=len(marked)))
    assert_harmless(shown)
    place, line, carets = shown.split("\n")
    width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line[: line.index("'wr")])
    assert carets.index("^") == width
    assert carets.count("^") == len(printable(marked))
    assert place == f"f\\x1b:1:{source.index(marked) + 1}: error: wrong\\n"


# -------------------------------------------------------------------------------------------------------- records


def call(n: int, **more: Any) -> dict[str, Any]:
    return {
        "call_id": f"c{n}", "event": "setup", "at": AT_MS + n, "caller": "+821011110001", "callee": "+821099990001",
        "verified": "full",
    } | more  # fmt: skip


def kcat(n: int, payload: object, **more: Any) -> str:
    told = {"topic": CDR, "partition": 0, "offset": n, "ts": AT_MS, "key": None, "payload": payload}
    return json.dumps(told | more, ensure_ascii=False)


def odd_records() -> list[dict[str, Any]]:
    """Each field once with what is planted, and once as a field's name."""
    made = [call(n, **{name: PLANTED}) for n, name in enumerate([*call(0), "relay", "carrier", "cause", "origin"])]
    return [*made, call(90, **{PLANTED: PLANTED}), call(91, **{"callee": HALF}), call(92, at=PLANTED * 100)]


def test_replay_prints_harmless_json_of_odd_rules_and_records(tmp_path: Path) -> None:
    rules = written(tmp_path, RULES % (RIGHT | {"summary": yaml_of(PLANTED)}))
    records = [call(n) for n in range(100, 110)] + odd_records()
    lines = [
        *(kcat(n, json.dumps(record, ensure_ascii=record is not records[-1])) for n, record in enumerate(records[:-2])),
        kcat(97, json.dumps(records[-2])), kcat(98, json.dumps(records[-1])),
        kcat(99, PLANTED), kcat(100, json.dumps(call(1)), topic=PLANTED), kcat(101, json.dumps(call(1)), key=PLANTED),
        PLANTED.replace("\n", " "),
    ]  # fmt: skip
    day = tmp_path / "day\x1b[31m\nFORGED\u202e\udcff.jsonl"
    day.write_bytes("\n".join(lines).encode())
    topics = "block-events,block-history,review-queue,shadow-events"
    told = run(
        "replay", "--rules", str(rules), "--summary", "--topics", topics, "--dead-letters", "/dev/stderr", str(day),
        code=0,
    )  # fmt: skip
    events = [json.loads(line) for line in told.stdout.splitlines()]
    assert json.loads(events[0]["payload"])["hold"]["reason"].startswith("[red]:skull:\x1b[31m"), "nothing is lost"
    plain = run("replay", "--rules", str(rules), str(day), code=0)
    assert (
        json.loads(plain.stdout.splitlines()[0])["hold"]["reason"] == json.loads(events[0]["payload"])["hold"]["reason"]
    )
    with_dead = tmp_path / "dead.jsonl"
    run("replay", "--rules", str(rules), "--dead-letters", str(with_dead), str(day), code=0)
    assert_harmless(with_dead.read_text())
    assert [json.loads(line)["headers"] for line in with_dead.read_text().splitlines()]


@pytest.mark.parametrize("form", ["values", "kcat", "array", "objects", "no records"])
def test_records_check_shows_odd_samples_harmlessly(tmp_path: Path, form: str) -> None:
    values = [json.dumps(record) for record in odd_records()]
    sample = tmp_path / "day\x1b[31m\nFORGED\u202e\udcff.jsonl"
    sample.write_bytes({
        "values": "\n".join(values),
        "kcat": "\n".join(
            [*(kcat(n, v) for n, v in enumerate(values)), kcat(98, values[0], topic=PLANTED), "{" + PLANTED]
        ),
        "array": "[" + ",".join(values) + "]",
        "objects": "\n".join(value.replace("{", "{\n", 1) for value in values),
        "no records": PLANTED,
    }[form].encode())  # fmt: skip
    run("records", "check", str(sample))
    run("records", "check", "--topic", CDR, str(sample))
    told = run("records", "check", "--topic", CDR, "--json", "--errors", "1000", str(sample))
    assert form == "no records" or PLANTED in json.loads(told.stdout)["topics"][CDR]["unknown_fields"]


@pytest.mark.parametrize("arguments", [
    [NAMED], ["--" + NAMED], ["rules", NAMED], ["rules", "check", "--" + PLANTED], ["rules", "check", NAMED],
    ["replay", NAMED], ["replay", "--topics", PLANTED, "pyproject.toml"], ["replay", "--batch", PLANTED, "x"],
    ["records", "check", NAMED], ["records", "check", "--topic", PLANTED, "pyproject.toml"],
    ["records", "check", "pyproject.toml"], ["traffic", "--start", PLANTED], ["traffic", "--duration", PLANTED],
    ["traffic", "--out", "/nowhere/" + PLANTED], ["record", "--out", "x", "--from", PLANTED],
    ["record", "--out", "x", "--rotate-size", PLANTED], ["record", "--out", "x", "--topics", PLANTED, "--pseudonymise"],
    ["blocks", "--number", PLANTED], ["blocks", "--kafka-config", "/nowhere/" + PLANTED],
    ["blocks", "--brokers", PLANTED], ["topics", "create", "--set", PLANTED],
    ["state", "inspect", "/nowhere/" + PLANTED],
    ["state", "verify", "/nowhere", "--rules", "/nowhere/" + PLANTED], ["pause", "--reason", "x", "--timeout", PLANTED],
    ["pause", "--reason", PLANTED * 9], ["run", "--from", PLANTED], ["run", "--name", PLANTED, "--from", PLANTED],
    ["run", "--protected", "/nowhere/" + PLANTED], ["completion", PLANTED], ["demo", "--rules", PLANTED],
], ids=lambda arguments: " ".join(arguments)[:30].encode("unicode_escape").decode())  # fmt: skip
def test_arguments_are_repeated_harmlessly(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert run(*arguments).exit_code in (1, 2)


def test_a_file_name_from_a_glob_is_shown_harmlessly_by_the_command_as_it_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "x\x1b[31m\nFORGED\x9b\udcff.jsonl"
    file.write_text("no record")
    for arguments in (["records", "check", str(file)], ["rules", "check", str(file)], ["replay", str(file) + "x"]):
        code = "from streams.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=False)
        assert done.returncode in (1, 2)
        assert_harmless(done.stdout.decode())
        assert_harmless(done.stderr.decode())
        assert b"\\x1b[31m\\nFORGED" in done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------- topics of ours


def block_event(number: str = "+821011110001") -> bytes:
    hold = {
        "block_id": PLANTED, "rule": PLANTED, "until": AT_MS, "from": AT_MS, "directions": [PLANTED],
        "actions": [PLANTED], "reason": PLANTED, "announcement": PLANTED, "evidence": [{PLANTED: PLANTED}],
    }  # fmt: skip
    value = {
        "event_id": PLANTED, "number": number, "state": "active", "change": PLANTED, "until": AT_MS, "hold": hold,
        "holds": [hold], "directions": [PLANTED], "actions": [PLANTED], PLANTED: PLANTED,
    }  # fmt: skip
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


@pytest.mark.parametrize("form", PRINTERS)
def test_blocks_shows_odd_events_harmlessly(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = BlockTable()
    for number in ("+821011110001", PLANTED):
        change = table.apply(number.encode(), block_event(number))
        say(PRINTERS[form](change))
    for lapse in table.lapsed(AT_MS):
        say(PRINTERS[form](lapse))
    say(PRINTERS[form](table.apply(PLANTED.encode(), None)))
    shown = capsys.readouterr().out
    assert_harmless(shown)
    assert len(shown.splitlines()) == 5, "one line a change"
    if form == "json":
        assert json.loads(shown.splitlines()[0]) == json.loads(block_event()), "nothing is lost"


def test_csv_cells_are_one_line_and_no_formula() -> None:
    assert csv_row(COLUMNS).count("\n") == 0
    for end in ENDS:
        assert_harmless(csv_row([f"a{end}FORGED", f"{end}=1"]).replace("\n", "\x1b"))
    assert csv_row(["\t=1", "\r=1", "=1\n", "+1\x1b"]) == "\\t=1,\\r=1,'=1\\n,'+1\\x1b"


def test_operators_and_workers_names_are_shown_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    from streams.cli.control import _print
    from streams.holds.pause import Pause
    from streams.operators.pausing import OrderResult

    for as_json in (False, True):
        _print(Pause(PLANTED, True, 0, PLANTED, PLANTED), OrderResult([0], {1: PLANTED}, [2], 3), as_json)
    shown = capsys.readouterr()
    assert_harmless(shown.out)
    assert_harmless(shown.err)


def test_topics_of_a_broker_are_shown_harmlessly(capsys: pytest.CaptureFixture[str]) -> None:
    from streams.cli.topics import _print
    from streams.kafka.topics import TopicStatus

    state = TopicStatus(PLANTED, PLANTED, 1, 1, 0, PLANTED, (PLANTED,), (PLANTED,))
    for as_json in (False, True):
        with pytest.raises(SystemExit):
            _print([state], as_json)
    shown = capsys.readouterr()
    assert_harmless(shown.out)
    assert_harmless(shown.err)


def test_a_state_folder_of_odd_names_is_shown_harmlessly(tmp_path: Path) -> None:
    folder = tmp_path / "state\x1b\nFORGED"
    state = LocalState.open(folder, cluster=PLANTED, group=PLANTED)
    manifest = Manifest(
        snapshot="s", partition=0, partitions=1, offsets={PLANTED: 1}, chunks=[], base_bytes=0,
        rules_version=PLANTED, taken_ms=AT_MS,
    )  # fmt: skip
    state.write(manifest, [], ())
    state.close()
    for name in ("inspect", "verify", "export"):
        run("state", name, str(folder), code=0)
    run("state", "inspect", "--json", str(folder), code=0)
    (folder / "grayline-state.json").write_text("{" + PLANTED)
    run("state", "inspect", str(folder))


# ------------------------------------------------------------------------------------------------------------- logs


def logged(*arguments: Any, **more: Any) -> str:
    out = StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(PrintableFormatter(FORMAT))
    log = logging.Logger("grayline." + PLANTED)
    log.addHandler(handler)
    log.warning(*arguments, **more)
    return out.getvalue()


def test_a_log_line_is_one_line_whatever_is_logged() -> None:
    pause = Pause(PLANTED, True, AT_MS, PLANTED, PLANTED)
    for arguments in (("new blocks are %s: %s", "paused", pause), (PLANTED,), ("%r %s", HALF, ValueError(HALF))):
        shown = logged(*arguments)
        assert_harmless(shown)
        assert shown.count("\n") == 1


def test_a_traceback_in_the_log_shows_its_message_on_one_line() -> None:
    try:
        raise ValueError(HALF) from KeyError(PLANTED)
    except ValueError:
        shown = logged("failed", exc_info=True)
    assert_harmless(shown)
    assert 'File "' in shown
    assert "\nValueError: [red]:skull:\\x1b[31m" in shown
    grouped = ""
    try:
        raise ExceptionGroup(PLANTED, [ValueError(PLANTED)])
    except ExceptionGroup:
        grouped = logged("failed", exc_info=True)
    assert_harmless(grouped)


def test_a_warning_without_a_log_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log_plainly()
    assert logging.lastResort is not None
    logging.lastResort.handle(logging.LogRecord("x", logging.WARNING, "", 0, "%s", (PLANTED,), None))
    shown = capsys.readouterr().err
    assert_harmless(shown)
    assert shown.count("\n") == 1


def test_what_ends_a_command_unforeseen_is_shown_harmlessly() -> None:
    code = (
        "import streams.cli as cli\n"
        "import threading\n"
        "def fail(*_, **__):\n"
        "    error = RuntimeError('x\\x1b[31m\\nFORGED\\x9b')\n"
        "    if threading.current_thread() is threading.main_thread():\n"
        "        thread = threading.Thread(target=fail)\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "    raise error\n"
        "cli.command.invoke = fail\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "rules"], capture_output=True, check=False)
    assert done.returncode == 1
    assert_harmless(done.stderr.decode())
    assert done.stderr.count(b"RuntimeError: x\\x1b[31m\\nFORGED") == 2, "of the thread and of the process"


# ------------------------------------------------------------------------------------------------------------- demo


def now() -> Now:
    states = [BlockTable().apply(b"+821011110001", block_event()).block]
    return Now(AT_MS, AT_MS + 1, AT_MS, 1, 1.0, 0, [s for s in states if s], {PLANTED: 1}, 1)


def console(width: int = 200) -> tuple[Console, StringIO]:
    out = StringIO()
    return Console(file=out, width=width, height=40, color_system=None, force_terminal=False), out


def test_the_demos_line_and_screen_show_odd_events_harmlessly() -> None:
    shown, out = console()
    Lines(shown).show(now())
    shown.print(Screen(shown, None)._frame(now()))
    assert_harmless(out.getvalue())
    assert "[red]:skull:" in out.getvalue(), "neither markup nor the name of an emoji is read"


def test_the_demos_summary_shows_odd_rules_and_problems_harmlessly() -> None:
    shown, out = console(2_000)
    Summary(
        1, 0, 1, 1, 1.0, Warmth(0, 0.0), {}, 0, Counter({PLANTED: 1}), {PLANTED: 1}, {}, Score((), 0), {}, (PLANTED,)
    ).print(shown)
    assert_harmless(out.getvalue())
    assert out.getvalue().count("[red]:skull:") == 2


def test_rules_with_odd_summaries_load_and_hold_them_whole() -> None:
    assert load_text(RULES % (RIGHT | {"summary": yaml_of(PLANTED)})).rules[0].summary == PLANTED
