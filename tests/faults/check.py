"""What must hold after every fault: the output is the reference's, once; of the input nothing is left or doubled."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import orjson
from confluent_kafka import Message

from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, DEAD_LETTERS, LEDGER, REVIEW_QUEUE, SHADOW_EVENTS
from streams.kafka.epochs import batch_of
from streams.ledger_rows import decode
from streams.shares import decode_share
from streams.state.local import LocalState
from streams.step import Engine
from tests.faults.scene import Scene
from tests.reference.reference import Reference


def check(scene: Scene, *, apart: str | None = None, at_least_once: bool = False) -> Counter[str]:
    """Compares all that a read-committed consumer sees with the reference over the input logs; the caller has waited
    until the lag is zero. apart: a number of whom the reference is not asked, for it is slow with many events of one.
    at_least_once: equal records may have come twice. Returns how many records were compared, by topic."""
    reference = referred(scene, apart)
    assert scene.lag() == 0
    counted: Counter[str] = Counter()
    for topic, seen_of in SEEN.items():
        told = reference.out if topic == DEAD_LETTERS else [p for p in reference.out if p.topic == topic]
        expected = Counter(seen_of(p.value, p.headers) for p in told if p.topic == topic)
        seen = Counter(
            seen_of(m.value(), tuple(m.headers() or ())) for m in scene.read(topic) if apart is None or _key(m) != apart
        )
        if at_least_once:
            seen = Counter(set(seen))
        counted[topic] = seen.total()
        missing, extra = expected - seen, seen - expected
        assert not missing | extra, (
            f"{topic}: {missing.total()} of {expected.total()} missing, {extra.total()} too many, seed {scene.seed}; "
            f"first missing {next(iter(missing), None)!r}, first of too many {next(iter(extra), None)!r}\n"
            f"{scene.logs()}"
        )
    _states(scene, reference, apart)
    _ledger(scene, reference, apart)
    return counted


def referred(scene: Scene, apart: str | None = None) -> Reference:
    """The reference, after all input logs. Each rule reads one topic: any order of partitions will do."""
    reference = Reference(scene.rules)
    reference.run(line for line in scene.lines() if apart is None or _key(line) != apart)
    return reference


def _states(scene: Scene, reference: Reference, apart: str | None) -> None:
    """The last record of each number names exactly the holds in force."""
    expected: dict[str, set[str]] = {}
    for hold in reference.holds.values():
        if hold.lane == "enforce" and hold.active:
            expected.setdefault(f"+{hold.number}", set()).add(reference._hold(hold)["block_id"])
    last = {_key(m): orjson.loads(m.value()) for m in scene.read(BLOCK_EVENTS) if apart is None or _key(m) != apart}
    seen = {number: {hold["block_id"] for hold in state["holds"]} for number, state in last.items()}
    wrong = {number for number in expected.keys() | seen.keys() if expected.get(number) != seen.get(number)}
    assert not wrong, f"{len(wrong)} of {len(expected)} numbers in a wrong state, seed {scene.seed}"


def _ledger(scene: Scene, reference: Reference, apart: str | None) -> None:
    """The last row of each number holds all its holds, in every lane."""
    expected = {
        (f"+{hold.number}", scene.rules.rules[hold.rule].name, hold.lane, hold.from_ms, hold.until_ms, hold.active)
        for hold in reference.holds.values()
    }
    last = {_key(m): m.value() for m in scene.read(LEDGER) if _key(m) != apart and not _key(m).startswith("#")}
    seen = {
        (number, hold.rule, hold.mode, hold.from_, hold.until, hold.active)
        for number, row in last.items()
        if row is not None
        for hold in decode(int(number), row)
    }
    missing, extra = expected - seen, seen - expected
    assert not missing | extra, (
        f"ledger: {len(missing)} of {len(expected)} holds missing, {len(extra)} too many, seed {scene.seed}; "
        f"missing {sorted(missing)[:1]}, too many {sorted(extra)[:1]}"
    )


def check_store(scene: Scene) -> None:
    """Each snapshot of the local store, loaded, is what a fresh engine has that counted the logs up to its offsets."""
    store = LocalState.read(scene.state)
    assert store.partitions() == list(range(scene.partitions))
    for partition in store.partitions():
        manifest = store.manifest(partition)
        assert manifest is not None
        loaded, counted = (Engine(scene.rules) for _ in range(2))
        for engine in (loaded, counted):
            engine.partitions = scene.partitions
        for chunk in store.chunks(manifest):
            loaded.load(partition, chunk)
        for topic, end in manifest.offsets.items():
            counted.begin(partition, topic, complete=True)
            if messages := scene.log(topic, partition, end):
                batch = batch_of(messages, topic, Message)
                counted.count(decode_share(counted, batch))
        assert loaded.digest(partition) == counted.digest(partition), f"partition {partition}, seed {scene.seed}"
    store.close()


def _key(record: Any) -> str:
    key = record.key() if callable(record.key) else record.key
    return (key or b"").decode()


def _whole(value: bytes, headers: Any) -> bytes:
    """A row that says nothing of other topics' rules: every byte counts."""
    return value


def _event(value: bytes, headers: Any) -> str:
    """`holds` depends on how topics were interleaved; which changes were announced does not."""
    return str(orjson.loads(value)["event_id"])


def _letter(value: bytes | None, headers: Any) -> tuple[bytes | None, Any]:
    """Of a value beyond 900,000 bytes, its beginning, and what it was in two more headers."""
    if value is not None and len(value) > 900_000:
        size, digest = str(len(value)).encode(), hashlib.sha256(value).hexdigest().encode()
        headers = (*headers, ("grayline.value.bytes", size), ("grayline.value.sha256", digest))
        value = value[: 64 * 1024]
    return value, headers


SEEN = {
    BLOCK_HISTORY: _whole,
    BLOCK_EVENTS: _event,
    REVIEW_QUEUE: _event,
    SHADOW_EVENTS: _event,
    DEAD_LETTERS: _letter,
}
