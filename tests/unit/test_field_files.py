"""Files in an order that loses events, from failures that users of comparable systems have reported."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from streams.cli import command
from tests.unit.test_field_numbers import RULES

AT_MS, HOUR = 1_795_395_600_000, 3_600_000


def captured(first_offset: int, count: int, at_ms: int) -> str:
    out = ""
    for i in range(first_offset, first_offset + count):
        call = {
            "call_id": f"c{i}", "event": "setup", "at": at_ms + 1_000 * i, "caller": "+821011110001",
            "callee": f"010-9990-00{i:02d}", "verified": "full",
        }  # fmt: skip
        line = {"topic": "cdr", "partition": 0, "offset": i, "ts": call["at"], "key": None, "payload": json.dumps(call)}
        out += json.dumps(line) + "\n"
    return out


def test_rotated_files_are_told_to_be_out_of_order(tmp_path: Path) -> None:
    """A shell lists cdr.jsonl before cdr.jsonl.1, which is older."""
    (tmp_path / "rules.yaml").write_text(RULES)
    newest, oldest = tmp_path / "cdr.jsonl", tmp_path / "cdr.jsonl.1"
    newest.write_text(captured(30, 5, AT_MS + 2 * HOUR))
    oldest.write_text(captured(0, 30, AT_MS))
    arguments = ["replay", "--rules", str(tmp_path / "rules.yaml"), str(newest), str(oldest)]
    got = CliRunner().invoke(command, arguments)
    assert (got.exit_code, got.stdout) == (1, "")
    assert (
        "30 of 35 records stood behind later ones of their partition: files that are not in the order of time want"
        in (got.stderr)
    )
    merged = CliRunner().invoke(command, [*arguments, "--merge"])
    assert merged.exit_code == 0
    assert [json.loads(line)["hold"]["from"] for line in merged.stdout.splitlines()] == [AT_MS + 24_000]
