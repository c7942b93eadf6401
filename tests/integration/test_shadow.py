"""Rules in shadow on a real worker: whom they would block is listed and counted, and no count calls it blocked."""

from __future__ import annotations

import json

from click.testing import CliRunner, Result

from streams.cli import command
from streams.runtime.clock import now_ms
from tests.integration.live import Live, Text, senders

PARTITIONS = 2
BEFORE = AFTER = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
rules:
  - {name: five, summary: more than five messages an hour, limits: {most: 5}, when: sent > most, mode: shadow,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: eight, summary: more than eight messages an hour, when: sent > 8, mode: review,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: ten, summary: more than ten messages an hour, when: sent > 10, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
"""
AT_MS = now_ms() // 1000 * 1000 - 60_000


def ask(live: Live, *words: str) -> Result:
    said = CliRunner().invoke(command, [*words, "--brokers", live.broker.bootstrap])
    assert said.exit_code == 0, said.output
    return said


def test_numbers_in_shadow_are_listed_and_counted_by_rule_and_not_as_blocked(live: Live) -> None:
    (seven, nine), (twelve,) = senders(PARTITIONS, 2)[0], senders(PARTITIONS, 1)[1]
    worker = live.start("worker")
    live.wait_ready(worker)
    for number, count in ((seven, 7), (nine, 9), (twelve, 12)):
        live.feed(Text(number, AT_MS + i * 1000, i) for i in range(count))
    live.wait_caught_up(worker)

    said = ask(live, "shadow", "list", "--evidence", "--rules", str(live.rules_file)).output.splitlines()
    assert said[-1] == "3 numbers in shadow"
    assert [line.split()[0] for line in said[:-1:2]] == sorted([seven, nine, twelve])
    assert said[1].strip() == "sent 6 > most 5"
    assert ask(live, "shadow", "list", "--by-rule").output == "        3  five\n3 numbers in shadow\n"
    told = json.loads(ask(live, "shadow", "list", "--json", "--number", seven).output)
    assert (told["count"], told["rules"], told["holds"][0]["number"]) == (1, {"five": 1}, seven)
    assert ask(live, "shadow", "list", "--rule", "ten").output == "0 numbers in shadow\n"

    blocked = ask(live, "blocks").output.splitlines()
    assert [line.split()[0] for line in blocked] == [twelve]
    live.wait(lambda: worker.metric("blocked_numbers") == len(blocked), "the gauge says what is listed", worker)
    page = worker.page("metrics")
    for rule, mode, numbers in (("five", "shadow", 3), ("eight", "review", 2), ("ten", "enforce", 1)):
        assert f'grayline_held_numbers{{mode="{mode}",rule="{rule}"}} {numbers}.0' in page
    live.stop(worker)
