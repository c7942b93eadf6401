"""Other rules for a whole fleet: `grayline rules reload`, the watch of files, and the page; on a real broker."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import Any

from click.testing import CliRunner

from schemas.topics import BLOCK_STATUS, LEDGER
from streams.cli import command
from tests.integration.live import Live, Worker
from tests.integration.test_rule_changes import AFTER, BEFORE, has_version, version_of

PARTITIONS = 2
TOKEN = "of a test"


def ordered(live: Live) -> tuple[int, dict[str, Any], str]:
    words = ["rules", "reload", str(live.rules_file), "--operator", "kim", "--json", "--timeout", "25"]
    got = CliRunner().invoke(command, [*words, "--brokers", live.broker.bootstrap])
    return got.exit_code, json.loads(got.stdout.splitlines()[-1]), got.output


def noted(live: Live) -> dict[int, str]:
    rows = [m for m in live.read(LEDGER) if m.key() == b"#rules/" + live.group.encode()]
    return {m.partition(): m.value().decode() for m in rows}


def posted(worker: Worker, token: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"http://127.0.0.1:{worker.port}/reload", method="POST")
    request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as problem:
        return problem.code, {}


def test_a_fleet_goes_on_with_other_rules_by_one_order(live: Live) -> None:
    live.rules_file.write_text(BEFORE)
    workers = [live.start(name) for name in ("one", "two")]
    live.wait_ready(*workers)
    live.wait(lambda: {m.key() for m in live.read(BLOCK_STATUS)} == {b"0", b"1"}, "all beat", *workers)

    live.rules_file.write_text(AFTER)
    code, told, said = ordered(live)
    assert (code, told["obeyed"], told["waiting"]) == (0, [0, 1], {}), said
    for worker in workers:
        live.wait(has_version(worker, AFTER), "the new rules are in force", worker)
    assert noted(live) == dict.fromkeys(range(PARTITIONS), version_of(AFTER))
    for worker in workers:
        live.stop(worker)


def test_a_watched_file_and_the_page_change_rules_and_wrong_files_change_nothing(live: Live) -> None:
    live.rules_file.write_text(BEFORE)
    worker = live.start("one", "--watch", "0.2", token=TOKEN)
    live.wait_ready(worker)
    with live.rules_file.open("w") as file:  # in halves, as an editor that is killed leaves it
        file.write(AFTER[: len(AFTER) // 2])
        file.flush()
        os.fsync(file.fileno())
        live.wait(lambda: worker.metric("rules_reload_failed") == 1, "the half is refused", worker)
        assert worker.ready()["rules_version"] == version_of(BEFORE)
        file.write(AFTER[len(AFTER) // 2 :])
    live.wait(has_version(worker, AFTER), "the whole file is in force", worker)
    assert posted(worker, "another")[0] == 401
    assert posted(worker, TOKEN) == (200, {"ok": True, "rules_version": version_of(AFTER)})
    live.stop(worker)
