"""Workers restarted one after the other under other rules and back, while records come; state that a newer Grayline
left."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from rules.load import load_text
from schemas.topics import BLOCK_HISTORY, LEDGER, MESSAGE_RELAY, SNAPSHOTS
from streams.counting import chunk
from streams.holds import ledger_rows
from streams.holds.ledger_keys import manifest_key
from streams.state.manifest import Chunk, Manifest, chunk_key
from tests.background import Background
from tests.integration.live import Live, Text, Worker, senders
from tests.reference.reference import Line, Reference

PARTITIONS = 6
NAMES = ("one", "two", "three")
SECOND, HOUR = 1_000, 3_600_000
BEFORE = """
counters:
  sent: {on: message-relay, per: sender, count: events, window: 1h}
  gray: {on: message-relay, per: sender, gray: {short: 1m, long: 6h}}
rules:
  - {name: twenty, summary: more than twenty messages an hour, when: sent > 20, mode: enforce,
     then: {block: [messages], directions: [outgoing], for: 1d}}
  - {name: patient, summary: a high gray level, when: gray.long > 35, mode: enforce,
     then: {block: [calls], directions: [outgoing], for: 2d}}
"""
ADDED = """
  - {name: many-people, summary: ten recipients or more in an hour, when: people >= 10, mode: enforce,
     then: {block: [messages], directions: [incoming], for: 1d}}
"""
NEW_COUNTER = "  people: {on: message-relay, per: sender, distinct: recipient, window: 1h}\n"
AFTER = BEFORE.replace("rules:\n", f"{NEW_COUNTER}rules:{ADDED}")
KEPT = frozenset(("twenty", "patient"))


class Traffic(Background):
    """Every number of every partition goes on writing."""

    pause_s = 0.1

    def __init__(self, live: Live, numbers: Sequence[str], start_ms: int) -> None:
        super().__init__()
        self.rounds = 0
        self._live, self._numbers, self._start_ms = live, numbers, start_ms

    def do(self) -> None:
        at_ms = self._start_ms + self.rounds * SECOND
        self._live.feed(Text(number, at_ms, self.rounds) for number in self._numbers)
        self.rounds += 1


def test_three_workers_change_their_rules_and_back_one_after_the_other_and_no_block_is_lost_or_doubled(
    live: Live,
) -> None:
    start_ms = time.time_ns() // 1_000_000 - 6 * HOUR
    numbers = [number for mine in senders(PARTITIONS, 4) for number in mine]
    workers: dict[str, Worker] = {}
    for name in NAMES:
        workers[name] = live.start(name)
        live.wait_ready(workers[name])
    live.wait(lambda: sum(len(owned(w)) for w in workers.values()) == PARTITIONS, "all is shared", *workers.values())
    shared = {name: owned(worker) for name, worker in workers.items()}
    assert {len(mine) for mine in shared.values()} == {2}
    assigned = {name: worker.log.count("assigned:") for name, worker in workers.items()}

    with Traffic(live, numbers, start_ms) as traffic:
        for text in (AFTER, BEFORE):
            live.rules_file.write_text(text)
            for name in NAMES:
                seen = traffic.rounds
                live.wait(lambda seen=seen: traffic.rounds > seen + 3, "traffic goes on")  # type: ignore[misc]
                live.stop(workers[name])
                workers[name] = live.start(name)
                live.wait_ready(workers[name])
                assert workers[name].ready()["rules_version"] == load_text(text).version
                assert owned(workers[name]) == shared[name], "a static member gets back what it had"
                assigned[name] = 1
                counts = {each: worker.log.count("assigned:") for each, worker in workers.items()}
                assert counts == assigned, "nobody else's partitions are touched"
    live.wait_caught_up(*workers.values())
    for worker in workers.values():
        live.stop(worker)

    expected = Counter(
        changes(json.loads(out.value or b"") for out in referred(live).out if out.topic == BLOCK_HISTORY)
    )
    seen_by_rule = [row for row in live.history() if row["hold"]["rule"] in KEPT]
    assert Counter(changes(seen_by_rule)) == expected
    assert {change for change, _, _ in expected} == {"opened"}
    assert len(expected) == len(numbers) * len(KEPT), f"{traffic.rounds} rounds of traffic"
    versions = {row["hold"]["rules_version"] for row in live.history()}
    assert load_text(AFTER).version in versions


def owned(worker: Worker) -> list[int]:
    return list(worker.ready().get("partitions", []))


def changes(rows: object) -> list[tuple[str, str, str]]:
    return [(row["change"], row["hold"]["block_id"], row["event_id"]) for row in rows]  # type: ignore[attr-defined]


def referred(live: Live) -> Reference:
    """The rules that were there all the time, over the whole input."""
    reference = Reference(load_text(BEFORE))
    reference.run(
        Line(m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.value(), m.key())
        for m in live.read(MESSAGE_RELAY)
    )
    return reference


def manifest(live: Live, chunks: list[Chunk]) -> bytes:
    made = Manifest(
        snapshot="newer", partition=0, partitions=PARTITIONS, offsets={MESSAGE_RELAY: 0}, chunks=chunks, base_bytes=0,
        rules_version="newer", taken_ms=0,
    )  # fmt: skip
    return made.encode()


def newer_manifest(live: Live) -> None:
    value = manifest(live, []).replace(b'"format":1', b'"format":2')
    live.produce(LEDGER, manifest_key(live.group), value, 0)


def newer_image(live: Live) -> None:
    piece = b'{"format":%d,"crc":"00000000","kind":"start"}\n' % (chunk.FORMAT + 1)
    key = chunk_key(0, "newer", 0)
    live.produce(SNAPSHOTS, key.encode(), piece, 0)
    live.produce(LEDGER, manifest_key(live.group), manifest(live, [Chunk.of(key, piece)]), 0)


def newer_ledger_row(live: Live) -> None:
    live.produce(
        LEDGER, senders(PARTITIONS, 1)[0][0].encode(), b'{"format":%d,"holds":{}}' % (ledger_rows.FORMAT + 1), 0
    )


@pytest.mark.parametrize(
    ("leave", "what"),
    [
        (newer_manifest, "the snapshot has format 2, this version reads up to 1: run the newer Grayline"),
        (
            newer_image,
            f"the image has format {chunk.FORMAT + 1}, this version reads {chunk.FORMAT}: run the newer Grayline",
        ),
        (
            newer_ledger_row,
            f"its format is {ledger_rows.FORMAT + 1}, and this version reads up to {ledger_rows.FORMAT}: run the",
        ),
    ],
    ids=["manifest", "image", "ledger row"],
)
def test_what_a_newer_grayline_left_is_refused_in_words_and_not_touched(live: Live, leave: object, what: str) -> None:
    assert callable(leave)
    leave(live)
    worker = live.start("one")
    assert worker.process.wait(120) == 2, worker.log
    assert f"partition 0: {'ledger: the row of ' if leave is newer_ledger_row else ''}" in worker.log
    assert what in worker.log
    assert "Traceback" not in worker.log
    assert senders(PARTITIONS, 1)[0][0] not in worker.log
    assert len(live.read(LEDGER)) == 1
