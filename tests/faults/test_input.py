"""Faults 11 to 14 of docs/reliability.md: what feeds may send."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from schemas.topics import BLOCK_HISTORY, DEAD_LETTERS, MESSAGE_RELAY
from tests.faults import poison
from tests.faults.check import check
from tests.faults.scene import LONG_S, Scene, client_of
from tests.faults.traffic import DAY, HOUR, MINUTE, SECOND, Record, five_hours_ago, traffic

HOT = "+827099990000"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def test_poison_is_dead_lettered_once_and_its_neighbours_are_untouched(scene: Scene) -> None:
    at_ms = five_hours_ago()
    dead, alive = poison.values(at_ms)
    neighbours = [record for record in traffic(scene.seed, at_ms, 1_500) if scene.is_readable(record)]
    # Bad ones in everybody's partition, so that they have neighbours; good ones in their own, or they would be strays.
    places = [record.number for record in neighbours[: len(dead)]] + [poison.NUMBER] * len(alive)
    poisoned = [Record(MESSAGE_RELAY, place, at_ms, value) for place, value in zip(places, dead + alive, strict=True)]
    mixed = [record for pair in zip(neighbours, poisoned, strict=False) for record in pair]
    worker = scene.start()
    scene.feed(mixed + neighbours[len(poisoned) :])
    scene.wait_caught_up(worker)
    scene.stop(worker)
    counted = check(scene)
    assert counted[BLOCK_HISTORY] > 5
    letters = [(letter.value(), dict(letter.headers())) for letter in scene.read(DEAD_LETTERS)]
    whole = Counter(value for value, headers in letters if "grayline.value.sha256" not in headers)
    cut = Counter(headers["grayline.value.sha256"] for _, headers in letters if "grayline.value.sha256" in headers)
    large = [value for value in dead if value is not None and len(value) > 900_000]
    assert whole == Counter(value for value in dead if value not in large)
    assert cut == Counter(hashlib.sha256(value).hexdigest().encode() for value in large)
    assert len(large) >= 3


def test_records_of_every_codec_are_read(scene: Scene) -> None:
    """As producers of any language pack them, one codec after the other."""
    records = [each for each in traffic(scene.seed, five_hours_ago(), 600) if scene.is_readable(each)]
    worker = scene.start()
    for i, codec in enumerate(CODECS):
        producer: Any = Producer(client_of(scene.broker) | {"compression.type": codec, "linger.ms": 50})
        for record in records[i * len(records) // len(CODECS) : (i + 1) * len(records) // len(CODECS)]:
            producer.produce(
                record.topic, record.value, record.number.encode(), scene.place_of(record), timestamp=record.ts_ms
            )
        assert producer.flush(LONG_S) == 0
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 2


def test_a_clock_from_the_future_does_not_age_out_everybody_else(scene: Scene) -> None:
    """By hand: ten calls within a minute block, whatever another number of the same partition claims in between."""
    at_ms = five_hours_ago()
    caller = "+827011110000"
    same = next(
        n for i in range(1000) if scene.partition_of(n := f"+82701111{i + 1:04d}") == scene.partition_of(caller)
    )
    records = []
    for i in range(10):
        now_ms = at_ms + i * SECOND
        records.append(_setup(caller, f"call-{i}", now_ms, now_ms))
        records.append(_setup(same, f"wild-{i}", now_ms + 3 * DAY, now_ms))
        records.append(_setup(same, f"old-{i}", now_ms - 3 * DAY, now_ms))
    worker = scene.start()
    scene.feed(records)
    scene.wait_caught_up(worker)
    scene.stop(worker)
    check(scene)
    opened = {orjson.loads(row.value())["number"] for row in scene.read(BLOCK_HISTORY)}
    # The wild one's calls count at their arrival, which makes ten a minute as well; its old ones are late.
    assert opened == {caller, same}


def test_late_early_backward_and_skewed_records_count_as_documented(scene: Scene) -> None:
    records = traffic(scene.seed, five_hours_ago(), 2_500)
    skews = (-HOUR, -HOUR - 1, HOUR, 5 * MINUTE, 5 * MINUTE + 1, -2 * HOUR, 3 * DAY, -30 * SECOND)
    skewed = [
        replace(record, value=_moved(record.value, skews[i // 7 % len(skews)]))
        if i % 7 == 0 and scene.is_readable(record) else record
        for i, record in enumerate(records)
    ]  # fmt: skip
    third = len(skewed) // 3
    backwards = skewed[:third] + skewed[third : 2 * third][::-1] + skewed[2 * third :]
    worker = scene.start("--batch-size", "97")
    scene.feed(backwards)
    scene.wait_caught_up(worker)
    scene.stop(worker)
    assert check(scene)[BLOCK_HISTORY] > 5


def test_the_whole_input_again_opens_no_block_and_moves_no_counter(scene: Scene) -> None:
    records = [record for record in traffic(scene.seed, five_hours_ago() - DAY, 800) if scene.is_readable(record)]
    last_ms = records[-1].ts_ms
    worker = scene.start()
    scene.feed(records)
    scene.wait_caught_up(worker)
    before = check(scene)
    assert before[BLOCK_HISTORY] > 3
    for again_ms in (0, 10 * MINUTE):
        scene.feed([replace(record, ts_ms=record.ts_ms + again_ms) for record in records])
        scene.wait_caught_up(worker)
        assert check(scene) == before
    # A day on there is fresh traffic, which the clocks follow: what was remembered as a duplicate is late now.
    tomorrow = traffic(scene.seed + 1, last_ms + DAY - 3 * HOUR, 400)
    scene.feed(tomorrow)
    scene.wait_caught_up(worker)
    before = check(scene)
    scene.feed([replace(record, ts_ms=last_ms + DAY) for record in records])
    scene.wait_caught_up(worker)
    assert check(scene) == before
    scene.stop(worker)


def test_one_number_that_sends_nine_tenths_takes_no_memory_and_holds_up_nobody(scene: Scene) -> None:
    start_ms = five_hours_ago()
    others = traffic(scene.seed, start_ms, 1_500)
    flood = [_message(HOT, i, others[i // 40].ts_ms) for i in range(40 * len(others))]
    worker = scene.start()
    first, rest = len(others) // 5, len(others)
    sizes = []
    for begin, end in ((0, first), (first, rest)):
        scene.feed(
            record for i in range(begin, end) for record in (*flood[40 * i : 40 * (i + 1)], others[i])
        )  # fmt: skip
        scene.wait_caught_up(worker)
        sizes.append(_resident_bytes(worker.pid))
    scene.stop(worker)
    # Four fifths of the flood came behind the first look, 48,000 records.
    assert sizes[1] - sizes[0] < 48 * 2**20
    assert check(scene, apart=HOT)[BLOCK_HISTORY] > 5
    rows = [orjson.loads(row.value()) for row in scene.read(BLOCK_HISTORY) if row.key().decode() == HOT]
    opened = Counter(row["hold"]["rule"] for row in rows if row["change"] == "opened")
    assert opened.pop("a-minute") > 60
    assert opened == {"message-burst": 1, "three-hours": 1, "patient-sender": 1}


def _message(number: str, i: int, at_ms: int) -> Record:
    told = {"message_id": f"hot-{i}", "at": at_ms, "sender": number, "recipient": f"+8210{i % 20:08d}"}
    return Record(MESSAGE_RELAY, number, at_ms, json.dumps(told | {"verified": "full", "origin": "domestic"}).encode())


def _setup(number: str, id: str, at_ms: int, ts_ms: int) -> Record:
    told = {"call_id": id, "event": "setup", "at": at_ms, "caller": number, "callee": "+821000000000"}
    return Record("cdr", number, ts_ms, json.dumps(told | {"verified": "full", "origin": "domestic"}).encode())


def _moved(value: bytes | None, by_ms: int) -> bytes:
    told = json.loads(value or b"")
    for name in ("at", "setup_at", "answer_at", "release_at"):
        if name in told:
            told[name] += by_ms
    return json.dumps(told).encode()


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
