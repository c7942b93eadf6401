"""`grayline why` asks real workers: the one that counts the number answers, and only with the token."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from schemas.times import rfc3339
from streams.cli import command
from streams.runtime.clock import now_ms
from tests.integration.live import Live, Text, Worker, senders

PARTITIONS = 2
BEFORE = AFTER = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - {name: ten, summary: more than ten messages an hour, limits: {most: 10}, when: sent > most, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: twenty, summary: more than twenty messages an hour, when: sent > 20, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
"""
AT_MS = now_ms() // 1000 * 1000 - 60_000  # of late: live, a hold ends by wall time
TOKEN = "secret-1"


def why(number: str, *workers: Worker, token: str = TOKEN, options: tuple[str, ...] = ()) -> Result:
    urls = [part for worker in workers for part in ("--worker", f"http://127.0.0.1:{worker.port}")]
    return CliRunner(env={"GRAYLINE_WEB_TOKEN": token}).invoke(command, ["why", number, *urls, *options])


def test_the_worker_that_counts_a_number_says_why_it_is_blocked_or_not(live: Live) -> None:
    (here,), (there,) = senders(PARTITIONS, 1)
    workers = [live.start(name, token=TOKEN) for name in ("one", "two")]
    live.wait_ready(*workers)
    live.wait(lambda: all(len(worker.ready()["partitions"]) == 1 for worker in workers), "one partition each")
    live.feed(Text(here, AT_MS + i * 1000, i) for i in range(12))
    live.feed(Text(there, AT_MS + i * 1000, i) for i in range(7))
    live.wait_caught_up(*workers)
    said = why(here, *workers)
    assert said.exit_code == 0, said.output
    assert here not in said.output
    times = f"from {rfc3339(AT_MS + 10_000)} until {rfc3339(AT_MS + 86_410_000)}"
    assert f"In force:\n  ten (enforce) {times}" in said.output
    assert "sent 12 > most 10" in said.output
    assert "sent 12 > 20: 8 too low" in said.output
    other = json.loads(why(there, *workers, options=("--json", "--unmasked")).output)
    assert (other["number"], other["holds"]) == (there, [])
    assert [one["conditions"][0]["fails"] for one in other["rules"]] == ["3 too low", "13 too low"]
    (stranger,) = (worker for worker in workers if live.home(here) not in worker.ready()["partitions"])
    alone = why(here, stranger)
    assert alone.exit_code == 1
    assert "another worker counts this number" in alone.output
    refused = why(here, *workers, token="secret-2")
    assert refused.exit_code == 1
    assert "401" in refused.output
    assert "sent" not in refused.output


def test_without_a_token_or_a_worker_the_command_says_what_it_needs() -> None:
    assert "GRAYLINE_WEB_TOKEN" in CliRunner(env={"GRAYLINE_WEB_TOKEN": ""}).invoke(
        command, ["why", "010-1111-0001", "--worker", "http://127.0.0.1:1"]
    ).output  # fmt: skip
    nobody = CliRunner(env={"GRAYLINE_WEB_TOKEN": TOKEN}).invoke(
        command, ["why", "010-1111-0001", "--worker", "http://127.0.0.1:1"]
    )
    assert nobody.exit_code == 1
    assert "does not answer" in nobody.output
