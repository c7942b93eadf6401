"""SIGHUP while records come: what changes, from which commit on, and what every wrong rule file leaves as it was."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from typing import Any

from click.testing import CliRunner

from rules.load import load_text
from schemas.topics import BLOCK_EVENTS, BLOCK_STATUS, LEDGER, REVIEW_QUEUE
from streams.cli import command
from tests.integration.live import Live, Text, Worker, senders

PARTITIONS = 2
SECOND, HOUR = 1_000, 3_600_000
COUNTERS = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
"""
KEPT = """
  - {name: thirty, summary: more than thirty messages an hour, when: sent > 30, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
"""
TAKEN_AWAY = """
  - {name: ten, summary: more than ten messages an hour, when: sent > 10, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 2d}}
"""
ADDED = """
  - {name: many-people, summary: five recipients or more in an hour, when: people >= 5, mode: enforce,
     then: {block: [messages], directions: [incoming], for: 1d}}
"""
NEW_COUNTER = "  people: {on: message-relay, per: sender, distinct: recipient, window: 1h}\n"
BEFORE = f"{COUNTERS}rules:{TAKEN_AWAY}{KEPT}"
AFTER = f"{COUNTERS}{NEW_COUNTER}rules:{KEPT}{ADDED}"
AGAIN = AFTER.replace("for: 1d", "for: 3d")
CALLS = BEFORE.replace("message-relay", "cdr.setup").replace("sender", "caller")
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + BEFORE


def version_of(text: str) -> str:
    return load_text(text).version


def started(live: Live) -> Worker:
    worker = live.start("worker")
    live.wait_ready(worker)
    return worker


def has_version(worker: Worker, text: str) -> Callable[[], bool]:
    version = version_of(text)
    return lambda: worker.ready().get("rules_version") == version


def asked_to_read(live: Live, worker: Worker, text: str) -> None:
    live.rules_file.write_text(text)
    worker.process.signal(signal.SIGHUP)
    live.wait(has_version(worker, text), "the new rules are in force", worker)


def notes(live: Live, key: bytes) -> dict[int, str]:
    """The last row of this key in the ledger, by partition."""
    rows = [m for m in live.read(LEDGER) if m.key() == key + b"/" + live.group.encode()]
    return {m.partition(): m.value().decode() for m in rows if m.value() is not None}


def test_new_rules_go_on_from_the_counts_of_the_old_ones_and_say_where_they_lack_some(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    first, second = (numbers[0] for numbers in senders(PARTITIONS, 1))
    worker = started(live)
    # Half way to the limit of thirty, and past the one of ten.
    live.feed(Text(first, start_ms + i * SECOND, i) for i in range(20))
    live.feed(Text(second, start_ms + i * SECOND, i) for i in range(4))
    live.wait_caught_up(worker)
    assert notes(live, b"#rules") == dict.fromkeys(range(PARTITIONS), version_of(BEFORE))

    asked_to_read(live, worker, AFTER)
    live.wait(
        lambda: set(notes(live, b"#rules").values()) == {version_of(AFTER)}, "the ledger tells the version", worker
    )
    assert worker.metric("warming") == PARTITIONS
    live.feed(Text(first, start_ms + i * SECOND, i) for i in range(20, 33))
    live.wait_caught_up(worker)

    opened = {row["hold"]["rule"]: row["hold"] for row in live.history() if row["number"] == first}
    assert opened.keys() == {"ten", "thirty", "many-people"}
    versions = {rule: hold["rules_version"] for rule, hold in opened.items()}
    assert versions == {"ten": version_of(BEFORE), "thirty": version_of(AFTER), "many-people": version_of(AFTER)}
    # As if nothing had happened: it opens at the thirty-first message of all, not of those since the change.
    assert opened["thirty"]["from"] == start_ms + 30 * SECOND
    assert opened["thirty"]["evidence"] == [
        {"counter": "sent", "value": 31.0, "window": "1h", "limit": 30.0, "as_of": start_ms + 30 * SECOND}
    ]
    # The new counter knows five people, though the number wrote to twenty before.
    (evidence,) = opened["many-people"]["evidence"]
    assert (evidence["value"], evidence["warming"]) == (5.0, True)
    assert opened["many-people"]["from"] == start_ms + 24 * SECOND

    # The hold of the rule that is gone stays in force until it ends.
    last = json.loads([m.value() for m in live.read(BLOCK_EVENTS) if m.key() == first.encode()][-1])
    assert sorted(hold["rule"] for hold in last["holds"]) == ["many-people", "ten", "thirty"]
    assert last["until"] == start_ms + 10 * SECOND + 48 * HOUR

    # When an hour has passed on both partitions, the new counter lacks nothing.
    for number in (first, second):
        live.feed(Text(number, start_ms + 4 * HOUR + i * SECOND, 100 + i) for i in range(6))
    live.wait(lambda: worker.metric("warming") == 0, "the new counter has warmed", worker)
    live.wait_caught_up(worker)
    late = [row["hold"] for row in live.history() if row["number"] == second]
    assert [(hold["rule"], "warming" in hold["evidence"][0]) for hold in late] == [("many-people", False)]
    live.wait(lambda: told_last(live, "rules_version") == {version_of(AFTER)}, "heartbeats tell the version", worker)
    assert f"rules read: version={version_of(AFTER)}" in worker.log
    live.stop(worker)


def told_last(live: Live, field: str) -> set[str]:
    """What the last heartbeats of all partitions tell."""
    last = {message.key(): json.loads(message.value()) for message in live.read(BLOCK_STATUS)}
    return {status[field] for status in last.values()}


def unreadable(live: Live) -> None:
    live.rules_file.unlink()


def written(content: str) -> Callable[[Live], None]:
    def write(live: Live) -> None:
        live.rules_file.write_text(content)

    return write


WRONG: dict[str, tuple[Callable[[Live], Any], str]] = {
    "broken": (written(BEFORE.replace("sent > 10", "sent >")), r"rules\.yaml:\d+"),
    "half-written": (written(BEFORE[: BEFORE.index("for: 2d")]), r"rules\.yaml"),
    "empty": (written(""), "is empty"),
    "missing": (unreadable, "cannot be read: No such file"),
    "of ten megabytes": (written(BEFORE + "#" * 10_000_000), "larger than"),
    "an alias bomb": (written(BOMB), "alias|anchor"),
    "of another topic": (written(CALLS), "the new rules count cdr, which this worker does not read"),
}


def test_whatever_is_wrong_with_the_file_the_old_rules_stay_and_the_log_and_a_gauge_say_so(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    (number,), _ = senders(PARTITIONS, 1)
    worker = started(live)
    assert worker.metric("rules_reload_failed") == 0
    for n, (what, (spoil, words)) in enumerate(WRONG.items()):
        spoil(live)
        worker.process.signal(signal.SIGHUP)
        live.wait(lambda n=n: len(refusals(worker)) == n + 1, what, worker)  # type: ignore[misc]
        live.wait(lambda: worker.metric("rules_reload_failed") == 1, what, worker)
        assert re.search(words, worker.log[refusals(worker)[-1] :]), f"{what}\n{worker.log}"
        assert worker.ready()["rules_version"] == version_of(BEFORE), what
        live.feed([Text(number, start_ms + n * SECOND, n)])
    live.feed(Text(number, start_ms + i * SECOND, i) for i in range(len(WRONG), 12))
    live.wait_caught_up(worker)
    assert [row["hold"]["rule"] for row in live.history()] == ["ten"]
    assert "Traceback" not in worker.log
    asked_to_read(live, worker, AFTER)
    live.wait(lambda: worker.metric("rules_reload_failed") == 0, "a file that is right", worker)
    live.stop(worker)


def refusals(worker: Worker) -> list[int]:
    """The lines of the log that say that rules were refused."""
    return [m.start() for m in re.finditer("ERROR .* the files were not read again, the old ones stay", worker.log)]


def test_asked_twice_in_a_row_it_ends_with_what_was_written_last(live: Live) -> None:
    worker = started(live)
    for text in (AFTER, AGAIN):
        live.rules_file.write_text(text)
        worker.process.signal(signal.SIGHUP)
    live.wait(has_version(worker, AGAIN), "the second file is in force", worker)
    live.stop(worker)


def test_asked_while_it_still_starts_it_reads_the_rules_again_once_its_state_is_back(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    (number,), _ = senders(PARTITIONS, 1)
    worker = started(live)
    live.feed(Text(number, start_ms + i * SECOND, i) for i in range(20))
    live.wait_caught_up(worker)
    live.stop(worker)

    worker = live.start("worker")
    live.wait(lambda: "rules read" in worker.log, "it has read its rules", worker)
    live.rules_file.write_text(AFTER)
    worker.process.signal(signal.SIGHUP)
    live.wait(has_version(worker, AFTER), "the new rules are in force", worker)
    live.feed(Text(number, start_ms + i * SECOND, i) for i in range(20, 33))
    live.wait_caught_up(worker)
    opened = {row["hold"]["rule"]: row["hold"]["from"] for row in live.history()}
    assert opened["thirty"] == start_ms + 30 * SECOND
    live.stop(worker)


FEEDS = "feeds:\n  message-relay: {vouches: %s}\n"


def test_settings_of_feeds_are_read_again_with_the_rules_all_of_them_or_none(live: Live) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    first, second = (numbers[0] for numbers in senders(PARTITIONS, 1))
    file = live.folder / "feeds.yaml"
    file.write_text(FEEDS % "none")
    worker = live.start("worker", "--feeds", str(file))
    live.wait_ready(worker)
    version = worker.ready()["feeds_version"]
    live.feed(Text(first, start_ms + i * SECOND, i) for i in range(12))
    live.wait_caught_up(worker)
    assert not live.history(), "nobody vouches for it"

    # Rules and feeds are one change: with a mistake in one of them, neither takes effect.
    file.write_text(FEEDS % "fully")
    live.rules_file.write_text(AFTER)
    worker.process.signal(signal.SIGHUP)
    live.wait(lambda: len(refusals(worker)) == 1, "the file is refused", worker)
    assert "feeds.yaml:2" in worker.log[refusals(worker)[0] :]
    live.wait(lambda: worker.metric("rules_reload_failed") == 1, "the gauge tells", worker)
    assert (worker.ready()["feeds_version"], worker.ready()["rules_version"]) == (version, version_of(BEFORE))

    file.write_text(FEEDS % "full")
    live.rules_file.write_text(BEFORE)
    worker.process.signal(signal.SIGHUP)
    live.wait(lambda: worker.ready()["feeds_version"] not in ("", version), "the new file is in force", worker)
    assert worker.metric("rules_reload_failed") == 0
    live.feed(Text(second, start_ms + i * SECOND, i) for i in range(12))
    live.wait_caught_up(worker)
    assert {row["number"] for row in live.history()} == {second}
    version = worker.ready()["feeds_version"]
    live.wait(lambda: told_last(live, "feeds_version") == {version}, "heartbeats tell the version", worker)
    live.stop(worker)


def told(live: Live, *words: str) -> str:
    got = CliRunner().invoke(command, ["registry", *words, "--brokers", live.broker.bootstrap])
    assert got.exit_code == 0, got.output
    return got.stdout


def test_an_entry_reaches_every_worker_and_outlives_one_that_is_killed_and_a_file_joins_it_at_sighup(
    live: Live,
) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    allowed, listed, other = (numbers[0] for numbers in senders(PARTITIONS, 1) + senders(1, 1, "+82101112"))
    file = live.folder / "registry.csv"
    file.write_text("kind,number,owner,reason,until\n")
    killed, worker = (live.start(name, "--registry", str(file)) for name in ("killed", "worker"))
    live.wait_ready(killed, worker)
    until = ["--owner", "relay7", "--reason", "its gateway", "--until", "2099-01-01T00:00:00Z"]
    assert told(live, "add", "allowed", allowed, *until).startswith(f"added: allowed {allowed}, until 2099-01-01")
    for one in (killed, worker):
        live.wait(lambda one=one: bool(one.ready().get("registry_version")), "obeyed", one)  # type: ignore[misc]
    version = worker.ready()["registry_version"]
    live.wait(
        lambda: notes(live, b"#registry") == dict.fromkeys(range(PARTITIONS), version), "the ledger tells", worker
    )
    killed.process.kill()
    file.write_text(f"kind,number,owner,reason,until\nallowed,{listed},a bank,its desk,2099-01-01T00:00:00Z\n")
    worker.process.signal(signal.SIGHUP)
    live.wait(lambda: worker.ready().get("registry_version") not in ("", version), "the file is read", worker)
    assert "entries=2 files=+1,-0 told=+0,-0" in worker.log
    live.feed(Text(number, start_ms + i * SECOND, i) for number in (allowed, listed, other) for i in range(12))
    live.wait_caught_up(worker)
    assert {row["number"] for row in live.history()} == {other}, "no other is blocked"
    reviews = [json.loads(message.value()) for message in live.read(REVIEW_QUEUE)]
    assert {(r["number"], r["hold"]["diverted"], r["hold"]["listed"]["owner"]) for r in reviews} == {
        (allowed, "allow_listed", "relay7"), (listed, "allow_listed", "a bank"),
    }  # fmt: skip
    now = worker.ready()["registry_version"]
    assert {r["hold"]["registry_version"] for r in reviews} == {now}
    assert told(live, "list").splitlines() == [
        f"allowed  {allowed}  until 2099-01-01T00:00:00.000Z  relay7: its gateway", "1 entry",
    ]  # fmt: skip

    told(live, "remove", "allowed", allowed)
    assert told(live, "list") == "0 entries\n"
    live.wait(lambda: worker.ready().get("registry_version") != now, "taken back", worker)
    live.feed(Text(allowed, start_ms + i * SECOND, i) for i in range(20, 40))
    live.wait_caught_up(worker)
    assert {row["number"] for row in live.history()} == {other, allowed}
    gone = CliRunner().invoke(command, ["registry", "remove", "allowed", allowed, "--brokers", live.broker.bootstrap])
    assert (gone.exit_code, "has no such entry" in gone.output) == (1, True)
    live.stop(worker)
