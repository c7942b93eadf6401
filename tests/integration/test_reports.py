"""Reports on the real path: floods block nobody, those of a criminal do, and whom the desk rejects counts less."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from itertools import count
from typing import Any

from click.testing import CliRunner
from confluent_kafka import Producer

from rules.load import witnesses
from schemas.topics import CONTROL_GLOBAL, REPORTS, REVIEW_QUEUE
from streams.cli import reporters, review
from tests.integration.live import LONG_S, Live, Text, Worker

PARTITIONS = 2
BEFORE = AFTER = (witnesses() / "reports.yaml").read_text()
MINUTE = 60_000
INNOCENT, HARASSED, CRIMINAL, QUIET, NEXT = (f"+8210777700{i:02d}" for i in range(5))
ids = count()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def writes(live: Live, number: str, begin_ms: int) -> None:
    """To thirty people within five minutes."""
    live.feed(Text(number, begin_ms + 10_000 * i, i) for i in range(30))


def report(live: Live, number: str, said: Iterable[tuple[int, int]]) -> None:
    """(time, reporter) each, under ever new ids."""
    producer: Any = Producer({"bootstrap.servers": live.broker.bootstrap, "linger.ms": 5})
    for at_ms, who in said:
        told = {"report_id": f"r{next(ids)}", "at": at_ms, "number": number, "reporter": f"+82108{who:07d}"}
        value = json.dumps(told | {"reporter_known": "full"}).encode()
        producer.produce(REPORTS, value, number.encode(), live.home(number), timestamp=at_ms)
        producer.poll(0)
    assert producer.flush(LONG_S) == 0


def started(live: Live, *arguments: str) -> Worker:
    worker = live.start("one", *arguments)
    live.wait_ready(worker)
    return worker


def counted(live: Live, worker: Worker) -> None:
    live.wait(lambda: live.lag() == live.lag(REPORTS) == 0, "all is committed", worker)


def blocked(live: Live) -> set[str]:
    return {row["number"] for row in live.history() if row["change"] == "opened"}


def test_a_hundred_thousand_reports_of_an_allow_listed_number_and_a_thousand_by_one_reporter_block_nobody(
    live: Live,
) -> None:
    registry = live.folder / "registry.csv"
    registry.write_text(
        f"kind,number,owner,reason,since,until\nallowed,{INNOCENT},a clinic,its reminders,,2099-01-01T00:00:00Z\n"
    )
    worker, begin_ms = started(live, "--registry", str(registry)), now_ms() - 50 * MINUTE
    for number in (INNOCENT, HARASSED, CRIMINAL):
        writes(live, number, begin_ms)
    counted(live, worker)
    first_ms = begin_ms + 10 * MINUTE
    # At first as a criminal's reports come, so that only the allow list is between it and a block.
    report(live, INNOCENT, [(first_ms + 4 * MINUTE * i, i) for i in range(5)])
    report(live, INNOCENT, [(first_ms + 20 * MINUTE + 10 * i, 1_000 + i) for i in range(100_000)])
    report(live, HARASSED, [(first_ms + 2_000 * i, 7) for i in range(1_000)])
    report(live, CRIMINAL, [(first_ms + 4 * MINUTE * i, i) for i in range(3)])
    counted(live, worker)
    assert blocked(live) == {CRIMINAL}
    queued = [json.loads(message.value()) for message in live.read(REVIEW_QUEUE) if message.value()]
    assert {row["number"] for row in queued} == {INNOCENT}
    assert "allow_listed" in {row["hold"].get("diverted") for row in queued}


def ask(live: Live, command: Any, *arguments: str) -> str:
    done = CliRunner().invoke(command, [*arguments, "--brokers", live.broker.bootstrap])
    assert done.exit_code == 0, done.output
    return done.output


def told(live: Live) -> dict[bytes, bytes]:
    return {message.key(): message.value() for message in live.read(CONTROL_GLOBAL)}


def test_whose_reports_the_desk_rejects_counts_less_from_then_on(live: Live) -> None:
    worker = started(live)
    registry = worker.ready().get("registry_version")
    report(live, QUIET, [(now_ms() - (20 - 2 * i) * MINUTE, i) for i in range(5)])
    counted(live, worker)
    assert not blocked(live)
    ask(live, review.command, "reject", QUIET, "--reason", "five accounts of one man", "--operator", "kim")
    judged = told(live)
    assert {key.split(b"/")[1] for key in judged} == {b"report_rejected"}
    assert {key.split(b"/")[2] for key in judged} == {b"+82108%07d" % i for i in range(5)}
    (order,) = {key.split(b"/")[3].decode() for key in judged}
    assert "0.333" in ask(live, reporters.command, "list")
    ask(live, reporters.command, "judge", QUIET, "wrong", "--order", order)
    assert told(live).keys() == judged.keys()
    assert "0.333" in ask(live, reporters.command, "list")
    live.wait(lambda: worker.ready().get("registry_version") != registry, "the worker has heard it", worker)
    # Five who were wrong weigh 1.7, and three of whom nothing is known 3.
    later_ms = now_ms() + MINUTE
    for number, who in ((CRIMINAL, range(5)), (NEXT, range(50, 53))):
        writes(live, number, later_ms)
        counted(live, worker)
        report(live, number, [(later_ms + (6 + 4 * i) * MINUTE, one) for i, one in enumerate(who)])
    counted(live, worker)
    assert blocked(live) == {NEXT}
    (hold,) = [row["hold"] for row in live.history() if row["change"] == "opened"]
    assert hold["registry_version"]
    assert {row["counter"]: row["value"] for row in hold["evidence"]}["people"] == 3.0
