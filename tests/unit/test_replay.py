"""Replay: what it reads, what it passes over, what it says, and the command around it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rules.load import load_text
from schemas.topics import DEAD_LETTERS
from streams.captures.files import read_capture
from streams.captures.lines import LineReader
from streams.captures.replay import Replay, Seen, record_line
from streams.cli import command
from streams.engine.engine import Engine
from streams.ingest.epoch import OutRecord

AT_MS = 1_794_798_000_000
RULES = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
rules:
  - name: burst
    summary: many messages
    when: rate >= 3
    then: {block: [messages], directions: [outgoing], for: 7d}
    mode: enforce
"""
# As kcat 1.7.1 printed it with -J: its own field order, `broker` and `tstype`, headers only where there are some.
KCAT = (
    b'{"topic":"message-relay","partition":2,"offset":41,"tstype":"create","ts":1794798000000,"broker":1,'
    b'"headers":["feed","skt-1"],"key":"+821011110001",'
    b'"payload":"{\\"message_id\\": \\"k0\\", \\"at\\": 1794798000000, '
    b'\\"sender\\": \\"+821011110001\\", \\"recipient\\": \\"+821099900001\\", \\"verified\\": \\"full\\", '
    b'\\"text\\": \\"\xec\x97\x84\xeb\xa7\x88 \\\\u00e9\\"}"}\n'
)


def message(n: int, sender: str = "+821011110001", **more: Any) -> dict[str, Any]:
    told = {"message_id": f"m{n}", "at": AT_MS + n * 1000, "sender": sender, "recipient": "+821099900001"}
    return told | {"verified": "full"} | more


def line(offset: int, payload: object, partition: int = 0, **more: Any) -> bytes:
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    told = {"topic": "message-relay", "partition": partition, "offset": offset, "key": None, "payload": payload}
    return json.dumps(told | {"ts": AT_MS} | more).encode() + b"\n"


BURST = [line(n, message(n)) for n in range(3)]


class Run:
    def __init__(self, *files: Iterable[bytes], batch_lines: int = 10_000) -> None:
        self.out: list[OutRecord] = []
        self.replay = Replay(Engine(load_text(RULES), expire_by_clock=True), self.out.append, batch_lines)
        for i, lines in enumerate(files):
            self.replay.run(lines, f"file-{i}")
        self.summary = self.replay.summary

    def of(self, topic: str) -> list[OutRecord]:
        return [record for record in self.out if record.topic == topic]

    def opened(self) -> list[int]:
        return [orjson.loads(r.value or b"")["hold"]["from"] for r in self.of("block-events")]


def test_lines_in_order_give_one_block_event_with_its_history() -> None:
    run = Run(BURST)
    assert run.opened() == [AT_MS + 2000]
    assert [r.key for r in run.out] == [b"+821011110001"] * 2
    assert [r.topic for r in run.out] == ["block-events", "block-history"]


def test_kcat_lines_are_read_as_kcat_prints_them() -> None:
    run = Run([KCAT, *BURST[:2]])
    assert run.summary.bad_lines == 0
    assert run.opened() == [AT_MS + 1000]


def test_a_payload_may_stand_there_as_an_object() -> None:
    nested = [json.dumps(json.loads(raw) | {"payload": message(n)}).encode() for n, raw in enumerate(BURST)]
    assert Run(nested).out == Run(BURST).out


def test_a_tombstone_is_a_dead_letter_with_its_place() -> None:
    run = Run([line(7, None, partition=3, key="+821011110001")])
    (letter,) = run.of(DEAD_LETTERS)
    assert (letter.key, letter.value) == (b"+821011110001", None)
    told = dict(letter.headers)
    assert told["__connect.errors.exception.class.name"] == b"empty"
    assert (told["__connect.errors.partition"], told["__connect.errors.offset"]) == (b"3", b"7")


@pytest.mark.parametrize(
    "bad",
    [
        b"not json", b"[]", b'"x"', b"{}", b'{"topic":"message-relay"}', b"\xff\xfe",
        line(-1, message(9)), line(9, message(9), partition=-1), line(9, message(9), partition=1 << 31),
        line(1 << 62, message(9)), line(9, 7), line(9, [message(9)]), line(9, True), line(9, message(9), ts="soon"),
        line(9, message(9))[:-20], line(9, message(9), topic=None), line(9, message(9), partition=0.5),
    ],
)  # fmt: skip
def test_a_bad_line_is_a_dead_letter_that_says_where_it_stood_and_its_neighbours_count(bad: bytes) -> None:
    run = Run([BURST[0], bad.rstrip() + b"\r\n", *BURST[1:]])
    assert run.opened() == [AT_MS + 2000]
    (letter,) = run.of(DEAD_LETTERS)
    assert letter.value == bad.rstrip()
    told = dict(letter.headers)
    assert (told["__connect.errors.topic"], told["__connect.errors.offset"]) == (b"file-0", b"2")
    assert told["__connect.errors.exception.class.name"] == b"bad_line"
    assert told["__connect.errors.exception.message"].startswith(b"file-0:2: not a line of kcat -J: ")
    assert (run.summary.lines, run.summary.bad_lines) == (4, 1)


def test_empty_lines_are_passed_over() -> None:
    run = Run([b"\n", *BURST, b"  \r\n"])
    assert run.summary.bad_lines == 0
    assert not run.of(DEAD_LETTERS)


def test_an_offset_seen_before_is_skipped_also_from_another_file() -> None:
    run = Run(BURST[:2], [*BURST[:2], line(0, message(8), partition=1)], [BURST[1], BURST[2]])
    assert run.summary.seen_before == 3
    assert run.opened() == [AT_MS + 8000]


def test_files_are_read_in_the_order_given_without_sorting() -> None:
    assert Run(BURST[2:], BURST[:2]).opened() == [AT_MS + 1000]
    assert Run(BURST[:2], BURST[2:]).opened() == [AT_MS + 2000]


def test_topics_that_no_rule_reads_are_counted_and_left_alone() -> None:
    run = Run([line(0, "x", topic="cdr"), line(1, "x", topic="elsewhere"), line(1, "x", topic="elsewhere")])
    assert run.summary.other_topics == {"cdr": 1, "elsewhere": 2}
    assert run.out == []


def test_dead_letters_keep_the_order_of_the_lines_wherever_batches_end() -> None:
    lines = [line(0, "{"), b"bad\n", line(1, "["), *BURST, b"worse\n", line(5, None)]
    runs = [Run(lines, batch_lines=size).of(DEAD_LETTERS) for size in (1, 2, 3, 100)]
    assert [letter.value for letter in runs[0]] == [b"{", b"bad", b"[", b"worse", None]
    assert all(run == runs[0] for run in runs)


def test_the_end_of_the_file_expires_nothing_and_the_next_line_does() -> None:
    late = [line(n, message(n, at=AT_MS - 8 * 86_400_000, ts=AT_MS), partition=1) for n in range(3)]
    now = line(0, message(9, sender="+821011110009"))
    changes = [orjson.loads(r.value or b"")["change"] for r in Run([now, *late]).of("block-events")]
    assert changes == ["opened"]
    after = Run([now, *late, line(1, "broken")]).of("block-events")
    assert [orjson.loads(r.value or b"")["change"] for r in after] == ["opened", "expired"]


def test_the_summary_counts_everything() -> None:
    run = Run([*BURST, BURST[0], b"bad", line(3, message(2)), line(4, "{"), line(5, message(5, at=AT_MS - 3_700_000))])
    assert run.summary.as_json() == {
        "lines": 8,
        "bad_lines": 1,
        "seen_before": 1,
        "other_topics": {},
        "feeds": {
            "message-relay": {
                "records": 6,
                "not_json": 1,
                "accepted": 3,
                "late": 1,
                "duplicate": 1,
                "future": 0,
                "reused_ids": 0,
            }
        },
        "changes": [{"rule": "burst", "mode": "enforce", "change": "opened", "count": 1}],
        "at_bound": [],
        "produced": {"dead-letters": 2, "block-events": 1, "block-history": 1},
    }


@given(st.lists(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12)), min_size=1)))
def test_seen_remembers_every_offset_whatever_their_order(batches: list[list[tuple[int, int]]]) -> None:
    seen, plain = Seen(), set()
    for places in batches:
        expected = []
        for place in places:
            expected.append(place not in plain)
            plain.add(place)
        partition, offset = np.array(places, np.int64).T
        assert seen.add("t", partition, offset).tolist() == expected


def test_a_printed_record_keeps_bytes_that_are_no_text() -> None:
    record = OutRecord("dead-letters", b"\xff", None, [("why", b"\xfe")])
    assert json.loads(record_line(record)) == {
        "topic": "dead-letters", "key": "\\xff", "headers": {"why": "\\xfe"}, "payload": None
    }  # fmt: skip


def test_reading_a_file_tells_how_far_it_came(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    path.write_bytes(b"x" * 1_500_000 + b"\n" + b"y\n")
    told: list[int] = []
    assert sum(map(len, read_capture(path, LineReader(), 10, told.append))) == 2
    assert sum(told) == path.stat().st_size


def test_anything_but_an_access_code_is_said_by_asking_for_none_of_it() -> None:
    said = """
counters:
  rate: {on: message-relay, per: sender, count: events, window: 1m}
  coded: {on: message-relay, per: sender, count: events, window: 1m, where: access_code == "009"}
rules:
  - {name: none-of-it, summary: s, when: rate >= 3 and coded == 0, then: {THEN}, mode: enforce}
  - {name: not-in, summary: s, when: 'rate >= 3 and access_code not in ("009",)', then: {THEN}, mode: enforce}
""".replace("{THEN}", "{block: [messages], directions: [outgoing], for: 7d}")
    out: list[OutRecord] = []
    rules = load_text(said)
    replay = Replay(Engine(rules, expire_by_clock=True), out.append)
    plain, coded = "010-1111-0001", "009 82 10 2222 0002"
    lines = [line(n, message(n, sender)) for n, sender in enumerate([plain, coded] * 3)]
    replay.run(lines, "day")
    states = [orjson.loads(r.value or b"") for r in out if r.topic == "block-events"]
    assert [(s["number"], s["hold"]["rule"]) for s in states] == [("+821011110001", "none-of-it")]
    assert ["not in" in warning for warning in rules.warnings] == [True]


# -------------------------------------------------------------------------------------------------------- command


@pytest.fixture
def day(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "day.jsonl").write_bytes(b"".join([*BURST, b"bad\n", KCAT]))
    return tmp_path


def replay(folder: Path, *args: str) -> Any:
    return CliRunner().invoke(command, ["replay", "--rules", str(folder / "rules.yaml"), *args])


def test_the_command_prints_block_events_and_the_same_bytes_every_time(day: Path) -> None:
    first, again, one = (
        replay(day, *more, str(day / "day.jsonl")) for more in ((), ("--batch", "10000"), ("--batch", "1"))
    )
    assert first.exit_code == 0, first.output
    assert first.stdout_bytes == again.stdout_bytes == one.stdout_bytes
    (event,) = map(json.loads, first.stdout.splitlines())
    assert (event["number"], event["change"], event["hold"]["rule"]) == ("+821011110001", "opened", "burst")


def test_the_command_writes_files_and_a_summary(day: Path) -> None:
    out, bad = day / "out.jsonl", day / "bad.jsonl"
    got = replay(day, "--out", str(out), "--dead-letters", str(bad), "--summary", str(day / "day.jsonl"))
    assert got.exit_code == 0
    assert got.stdout == ""
    assert json.loads(got.stderr)["lines"] == 5
    assert json.loads(out.read_text())["number"] == "+821011110001"
    letter = json.loads(bad.read_text())
    assert letter["payload"] == "bad"
    assert letter["headers"]["__connect.errors.offset"] == "4"


def test_several_topics_say_which_line_is_whose(day: Path) -> None:
    got = replay(day, "--topics", "block-events,block-history", str(day / "day.jsonl"))
    assert [json.loads(text)["topic"] for text in got.stdout.splitlines()] == ["block-events", "block-history"]


def test_wrong_use_exits_with_2_and_says_what_would_be_right(day: Path) -> None:
    unknown = replay(day, "--topics", "cdr", str(day / "day.jsonl"))
    assert unknown.exit_code == 2
    assert "block-history" in unknown.stderr
    assert replay(day, str(day / "missing.jsonl")).exit_code == 2
    assert replay(day).exit_code == 2


def test_rules_that_are_wrong_exit_with_1_and_every_diagnostic(day: Path) -> None:
    (day / "rules.yaml").write_text(RULES.replace("1m", "1q").replace("enforce", "enforced"))
    got = replay(day, str(day / "day.jsonl"))
    assert got.exit_code == 1
    assert "1q" in got.stderr
    assert "enforced" in got.stderr
    assert got.stdout == ""


def test_protected_numbers_of_several_files_are_not_blocked(day: Path) -> None:
    (day / "one.yaml").write_text('numbers: ["010-1111-0001"]\n')
    (day / "two.yaml").write_text('prefixes: ["+82 2 123"]\n')
    files = ["--protected", str(day / "two.yaml"), "--protected", str(day / "one.yaml")]
    assert replay(day, str(day / "day.jsonl")).stdout != ""
    got = replay(day, *files, str(day / "day.jsonl"))
    assert (got.exit_code, got.stdout) == (0, "")


def test_a_protected_file_that_is_wrong_exits_with_1_and_says_where(day: Path) -> None:
    (day / "own.yaml").write_text('prefixes: ["1588"]\n')
    got = replay(day, "--protected", str(day / "own.yaml"), "--protected", str(day / "none"), str(day / "day.jsonl"))
    assert got.exit_code == 1
    assert "own.yaml:1:12: error: a prefix must be international" in got.stderr
    assert "none: error: the protected numbers cannot be read" in got.stderr
    assert got.stdout == ""


def test_a_process_of_its_own_reads_standard_input_and_prints_the_same_bytes(day: Path) -> None:
    start = [sys.executable, "-c", "from streams.cli import main; main()", "replay", "--rules", str(day / "rules.yaml")]
    piped = subprocess.run([*start, "-"], input=(day / "day.jsonl").read_bytes(), capture_output=True, check=True)
    assert piped.stdout == replay(day, str(day / "day.jsonl")).stdout_bytes
    assert piped.stderr == b""
