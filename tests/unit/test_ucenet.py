"""The report of international traffic in UCENet's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from streams.cli import command

T0 = 1_795_312_800_000  # 2026-11-22T02:00:00Z
HEAD = "nation,provider,address,time,date,count,title"


def report(tmp_path: Path, records: list[tuple[str, dict[str, Any]]], *words: str) -> list[str]:
    file = tmp_path / "day.jsonl"
    with file.open("w") as out:
        for offset, (topic, value) in enumerate(records):
            line = {"topic": topic, "partition": 0, "offset": offset, "ts": T0, "key": None}
            out.write(json.dumps(line | {"payload": json.dumps(value)}) + "\n")
    done = CliRunner().invoke(command, ["report", "ucenet", str(file), *words])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def message(n: int, sender: str, at_s: int = 0, **more: Any) -> tuple[str, dict[str, Any]]:
    told = {"message_id": f"m{n}", "at": T0 + 1000 * at_s, "sender": sender, "recipient": "010-9999-0001"}
    return "message-relay", told | {"carrier": "KT", "channel": "sms"} | more


def call(n: int, event: str, caller: str, **more: Any) -> tuple[str, dict[str, Any]]:
    told = {"call_id": f"c{n}", "event": event, "at": T0, "caller": caller, "callee": "010-9999-0001"}
    return "cdr", told | more


def test_messages_from_abroad_are_counted_by_nation_provider_address_day_and_title(tmp_path: Path) -> None:
    records = [message(n, "+447400123456", at_s=60 - n) for n in range(3)]
    records += [message(9, "+12025550123", relay="r", carrier=None), message(10, "010-1111-0001")]
    assert report(tmp_path, records) == [
        HEAD,
        "GB,KT,+4474****3456,02:00:58,20261122,3,sms",
        "US,r,+120****0123,02:00:00,20261122,1,sms",
    ]


def test_a_domestic_number_of_foreign_origin_is_international(tmp_path: Path) -> None:
    (_, row) = report(tmp_path, [message(1, "010-1111-0001", origin="international")])
    assert row == "KR,KT,+8210****0001,02:00:00,20261122,1,sms"


def test_a_call_counts_once_however_it_is_told(tmp_path: Path) -> None:
    told = [call(1, event, "+447400123456") for event in ("setup", "answer", "release")]
    told.append(call(1, "complete", "+447400123456", setup_at=T0 - 9, release_at=T0))
    told.append(call(2, "complete", "+447400123456", setup_at=T0 - 9, release_at=T0))
    (_, row) = report(tmp_path, told)
    assert row == "GB,,+4474****3456,02:00:00,20261122,2,call"


def test_times_are_of_the_zone_and_texts_are_shown_only_when_asked(tmp_path: Path) -> None:
    told = [message(1, "+447400123456", text="=cmd win\na  prize, now")]
    assert "prize" not in "".join(report(tmp_path, told))
    (_, row) = report(tmp_path, told, "--titles", "--zone", "Asia/Seoul")
    assert row == 'GB,KT,+4474****3456,11:00:00,20261122,1,"cmd win a prize, now"'


def test_a_provider_adds_no_row_and_is_no_formula(tmp_path: Path) -> None:
    _, *rows = report(tmp_path, [message(1, "+447400123456", carrier="=1+1\u2028GB\nKT")])
    assert rows == ["GB,'=1+1\\u2028GB\\nKT,+4474****3456,02:00:00,20261122,1,sms"]


def test_a_record_that_cannot_be_read_is_counted_and_a_file_without_any_other_fails(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    line = {"topic": "cdr", "partition": 0, "offset": 0, "ts": T0, "key": None}
    bad = json.dumps(line | {"payload": "{"}) + "\n"
    file.write_text(bad)
    done = CliRunner().invoke(command, ["report", "ucenet", str(file)])
    assert (done.exit_code, "day.jsonl: no call and no message" in done.output) == (1, True)
    file.write_text(bad + json.dumps(line | {"payload": json.dumps(call(1, "setup", "+447400123456")[1])}) + "\n")
    done = CliRunner().invoke(command, ["report", "ucenet", str(file), "--json"])
    told = json.loads(done.stdout)
    assert (told["unread"], [row["nation"] for row in told["rows"]]) == (1, ["GB"])
    assert CliRunner().invoke(command, ["report", "ucenet", str(file), "--zone", "Mars"]).exit_code == 2
