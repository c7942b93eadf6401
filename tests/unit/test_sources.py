"""Sources of a replay: forms, folders and merged files lead to the same block; nothing readable and mostly late are
said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streams.captures.files import files_below
from streams.captures.rows import CaptureError
from streams.cli import command

AT_MS = 1_794_798_000_000
HOUR_MS = 3_600_000
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


def value(n: int, at_ms: int = AT_MS, **more: Any) -> dict[str, Any]:
    told = {"message_id": f"m{n}", "at": at_ms + n * 1000, "sender": "010-1111-0001", "recipient": "010-9990-0001"}
    return told | {"verified": "full"} | more


def placed(n: int, record: dict[str, Any], ts: int | None = None) -> str:
    line = {"topic": "message-relay", "partition": 0, "offset": n, "key": None, "payload": json.dumps(record)}
    return json.dumps(line | {"ts": record["at"] if ts is None else ts}) + "\n"


def replay(folder: Path, *arguments: object, given: bytes | None = None) -> Any:
    (folder / "rules.yml").write_text(RULES)
    told = ["replay", "--rules", str(folder / "rules.yml"), "--json", *map(str, arguments)]
    return CliRunner().invoke(command, told, input=given)


def facts(result: Any) -> dict[str, Any]:
    return json.loads(result.stderr.splitlines()[0])


BURST = [value(n) for n in range(3)]
FORMS = {
    "json-lines": "\n".join(map(json.dumps, BURST)).encode(),
    "array": json.dumps(BURST).encode(),
    "over-several-lines": "".join(json.dumps(each, indent=1) for each in BURST).encode(),
    "gzip": gzip.compress("\n".join(map(json.dumps, BURST)).encode()),
    "kcat": "".join(placed(n, each) for n, each in enumerate(BURST)).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_records_leads_to_the_same_block(form: str, tmp_path: Path) -> None:
    file = tmp_path / "burst"
    file.write_bytes(FORMS[form])
    results = [replay(tmp_path, file), replay(tmp_path, "-", given=FORMS[form]), replay(tmp_path, "--merge", file)]
    for result in results:
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["hold"]["from"] == AT_MS + 2000
        assert facts(result)["feeds"]["message-relay"]["accepted"] == 3


def test_records_that_do_not_say_their_topic_are_of_the_one_told_and_two_files_have_no_places_in_common(
    tmp_path: Path,
) -> None:
    for name, records in (("a.jsonl", BURST[:2]), ("b.jsonl", BURST[2:])):
        (tmp_path / name).write_text("\n".join(map(json.dumps, records)))
    result = replay(tmp_path, "--topic", "message-relay", tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (facts(result)["seen_before"], facts(result)["changes"][0]["count"]) == (0, 1)
    wrong = replay(tmp_path, "--topic", "cdr", tmp_path / "a.jsonl")
    assert wrong.exit_code == 1
    assert "of cdr, which these rules do not count" in wrong.stderr
    assert replay(tmp_path, "--topic", "calls", tmp_path / "a.jsonl").exit_code == 2


def test_a_folder_stands_for_its_files_by_name_and_number(tmp_path: Path) -> None:
    day = tmp_path / "day"
    (day / "sub").mkdir(parents=True)
    for name in ("c.jsonl.10", "c.jsonl.2", "c.jsonl", ".hidden", "d.jsonl.partial", "sub/e.jsonl"):
        (day / name).write_text("x")
    names = [path.relative_to(day).as_posix() for path in files_below([day, day / "c.jsonl"])]
    assert names == ["c.jsonl", "c.jsonl.2", "c.jsonl.10", "sub/e.jsonl", "c.jsonl"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptureError, match="a folder without a file"):
        files_below([tmp_path / "empty"])


def test_files_in_the_wrong_order_are_said_and_merged_by_time_when_asked(tmp_path: Path) -> None:
    """A log is rotated: the shell lists the newer file first."""
    newer = [value(n, AT_MS + 2 * HOUR_MS, sender="010-2222-0002") for n in range(2)]
    new, old = tmp_path / "cdr.jsonl", tmp_path / "cdr.jsonl.1"
    new.write_text("".join(placed(10 + n, each) for n, each in enumerate(newer)))
    old.write_text("".join(placed(n, each) for n, each in enumerate(BURST)))
    late = replay(tmp_path, new, old)
    assert late.exit_code == 1
    assert "3 of 5 records stood behind later ones of their partition" in late.stderr
    assert "--merge" in late.stderr
    merged = replay(tmp_path, "--merge", new, old)
    assert merged.exit_code == 0, merged.output
    assert json.loads(merged.stdout.splitlines()[0])["hold"]["from"] == AT_MS + 2000
    new.write_text("".join(placed(10 + n, each, ts=-1) for n, each in enumerate(newer)))
    assert replay(tmp_path, "--merge", new, old).exit_code == 0, "without timestamps, records' own times"


def test_records_of_files_that_overlap_are_merged_one_by_one(tmp_path: Path) -> None:
    files = []
    for feed in range(3):
        lines = [placed(100 * feed + n, value(n, AT_MS + feed * 100, message_id=f"{feed}-{n}")) for n in range(5)]
        files.append(tmp_path / f"feed-{feed}")
        files[-1].write_text("".join([*lines, "rubbish\n"]))
    out = tmp_path / "out"
    result = replay(tmp_path, "--merge", *reversed(files), "--out", out)
    assert result.exit_code == 0, result.output
    told = facts(result)
    assert (told["lines"], told["bad_lines"], told["feeds"]["message-relay"]["accepted"]) == (18, 3, 15)
    assert json.loads(out.read_text().splitlines()[0])["hold"]["from"] == AT_MS + 200, "the third of all, not of one"
    (tmp_path / "values").write_text(json.dumps(BURST))
    assert "cannot be merged" in replay(tmp_path, "--merge", files[0], tmp_path / "values").stderr
    assert replay(tmp_path, "--merge", "-").exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no record in "), (b"\n\n", "no record in "), (b"\x00\xff" * 50, "Error: "),
     (b"a;b;c\n1;2;3\n", "CSV"), (b'{"a":1}\n', "say --topic"), (gzip.compress(b"x" * 999, mtime=0)[:20], "cut off"),
     (placed(0, {"at": 1}).encode(), "none of 1 records can be read"),
     (placed(0, value(0)).replace("message-relay", "other").encode(), "of other, which these rules do not count")],
)  # fmt: skip
def test_nothing_readable_is_said_and_no_success(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    for arguments in ((), ("--merge",)):
        result = replay(tmp_path, *arguments, file)
        assert result.exit_code == 1, result.output
        assert said in result.stderr
        assert isinstance(result.exception, SystemExit)
