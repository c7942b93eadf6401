"""The first rule on a topic that nobody has read: two steps, one worker after the other, while records come."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from itertools import count

from rules.load import load_text
from schemas.topics import CONTROL, DEAD_LETTERS, REPORTS
from tests.integration.live import Live, Text, Worker, senders

PARTITIONS = 4
SECOND, HOUR = 1_000, 3_600_000
BEFORE = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 6h}
rules:
  - {name: twenty, summary: more than twenty messages, when: sent > 20, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
"""
AFTER = BEFORE.replace(
    "rules:", "  people: {on: reports, per: number, distinct: reporter, window: 1d}\nrules:"
) + """
  - {name: reported, summary: three people, when: people >= 3, mode: enforce, spoofable: accepted,
     then: {block: [calls], directions: [outgoing], for: 7d}}
  - {name: sends-and-reported, summary: messages and two people, when: sent >= 2 and people >= 2, mode: review,
     then: {block: [calls], directions: [outgoing], for: 7d}}
"""  # fmt: skip
NAMES = ("one", "two")
DIFFERENT = "this worker was assigned different partition numbers on its topics"
ids = count()


def report(live: Live, number: str, at_ms: int, reporter: int) -> None:
    told = {"report_id": f"r{next(ids)}", "at": at_ms, "number": number, "reporter": f"+8210999900{reporter:02}"}
    live.produce(REPORTS, number.encode(), json.dumps(told).encode(), live.home(number))


def owned(worker: Worker) -> list[int]:
    return list(worker.ready().get("partitions", []))


def asked_to_read(live: Live, text: str, *workers: Worker) -> None:
    live.rules_file.write_text(text)
    for worker in workers:
        worker.process.signal(signal.SIGHUP)


def test_the_first_rule_on_a_topic_comes_in_two_steps_and_no_worker_stops_counting(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    numbers = [mine[0] for mine in senders(PARTITIONS, 1)]
    workers = {name: live.start(name) for name in NAMES}
    live.wait_ready(*workers.values())
    live.wait(lambda: sorted(map(len, map(owned, workers.values()))) == [2, 2], "all is shared", *workers.values())

    def write(first: int, last: int) -> None:
        live.feed(Text(number, start_ms + i * SECOND, i) for i in range(first, last) for number in numbers)

    write(0, 10)
    asked_to_read(live, AFTER, *workers.values())
    for worker in workers.values():
        live.wait(lambda w=worker: "restart one after the other with --topics reports" in w.log, "refused", worker)  # type: ignore[misc]
    live.rules_file.write_text(BEFORE)

    for step, name in enumerate(NAMES):
        live.stop(workers[name])
        workers[name] = live.start(name, "--topics", "reports,control")
        live.wait_ready(*workers.values())
        live.wait(lambda: sum(map(len, map(owned, workers.values()))) == PARTITIONS, "shared again", *workers.values())
        write(10 + step * 4, 14 + step * 4)
        if step == 0:  # not all of them read the topic yet: nobody may count it
            asked_to_read(live, AFTER, workers[name])
            live.wait(lambda n=name: DIFFERENT in workers[n].log, "refused as well", *workers.values())  # type: ignore[misc]
            live.rules_file.write_text(BEFORE)

    for number in numbers:
        report(live, number, start_ms, 1)
        live.produce(CONTROL, number.encode(), b"{}", live.home(number))
    live.wait(lambda: live.lag(REPORTS) + live.lag(CONTROL) == 0, "all of the new topics is read", *workers.values())
    live.wait(lambda: len(live.read(DEAD_LETTERS)) == PARTITIONS, "wrong orders are dead letters", *workers.values())

    asked_to_read(live, AFTER, *workers.values())
    version = load_text(AFTER).version
    for worker in workers.values():
        live.wait(lambda w=worker: w.ready().get("rules_version") == version, "counted", worker)  # type: ignore[misc]
    write(18, 25)
    for number in numbers:
        for reporter in (2, 3, 3, 4):
            report(live, number, start_ms + 30 * SECOND, reporter)
    live.wait(lambda: live.lag(REPORTS) == 0, "reports are counted", *workers.values())
    live.wait_caught_up(*workers.values())

    opened = Counter((row["hold"]["rule"], row["number"]) for row in live.history())
    assert opened == Counter([(rule, number) for rule in ("twenty", "reported") for number in numbers])
    evidence = {row["number"]: row["hold"]["evidence"] for row in live.history() if row["hold"]["rule"] == "reported"}
    # What came before the rule was read and not counted, and the evidence says so.
    assert {(told["value"], told.get("warming")) for (told,) in evidence.values()} == {(3.0, True)}
    assert all(worker.process.exit_code is None for worker in workers.values())

    # A topic that is no longer counted goes on being read, and may be counted again.
    for text in (BEFORE, AFTER):
        asked_to_read(live, text, *workers.values())
        for worker in workers.values():
            live.wait(
                lambda w=worker, t=text: w.ready().get("rules_version") == load_text(t).version,
                "read again",
                worker,  # type: ignore[misc]
            )
    for worker in workers.values():
        live.stop(worker)
