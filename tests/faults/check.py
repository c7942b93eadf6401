"""The laws that hold after every fault: the invariants; the output is the reference's, once; of the input nothing is
left or doubled."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from confluent_kafka import Message

from schemas.decoding import RecordError, decode
from schemas.numbers import normalise
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, DEAD_LETTERS, REKEYED, REVIEW_QUEUE, SHADOW_EVENTS
from streams.captures.replay import Replay
from streams.engine.engine import Engine
from streams.ingest.decode_share import decode_share
from streams.ingest.epoch import OutRecord, partition_of_strays
from streams.ingest.strays import OFFSET, PARTITION, TIMESTAMP, TOPIC
from streams.kafka.polls import batch_of
from streams.state.local import LocalState
from tests import invariants
from tests.faults.scene import Scene
from tests.reference.reference import ACTOR, Line, Reference
from tests.sim.history import home_of


def check(scene: Scene, *, apart: str | None = None, replay: bool = False) -> Counter[str]:
    """Compares all that a read-committed consumer sees with the invariants, and with the reference over the input logs;
    the caller has waited until all is caught up. apart: a number whose events the reference admits and does not count,
    for it is slow with many events of one. replay: `grayline replay` is asked as well. Returns how many records were
    compared with the reference, by topic."""
    assert scene.lag() == 0
    seen = {topic: scene.read(topic) for topic in {*SEEN, *invariants.TOPICS, REKEYED}}
    reference, lines = Reference(scene.rules), scene.lines()
    reference.apart = None if apart is None else normalise(apart).key
    strays = {line for line in lines if _is_stray(line, reference, scene.partitions)}
    try:
        invariants.check({topic: [(m.key(), m.value()) for m in seen[topic]] for topic in invariants.TOPICS})
        _sent_home(strays, seen[REKEYED])
    except AssertionError as broken:
        raise AssertionError(f"{broken}, seed {scene.seed}\n{scene.logs()}") from None
    at_home = [*(line for line in lines if line not in strays), *map(_at_home, seen[REKEYED])]
    reference.run(at_home)
    counted: Counter[str] = Counter()
    for topic, seen_of in SEEN.items():
        told = [seen_of(scene, p.value, p.headers) for p in reference.out if p.topic == topic]
        got = [seen_of(scene, m.value(), tuple(m.headers() or ())) for m in seen[topic] if _key(m) != apart]
        expected, found = (Counter(one for one in all_ if one is not None) for all_ in (told, got))
        counted[topic] = found.total()
        missing, extra = expected - found, found - expected
        assert not missing | extra, (
            f"{topic}: {missing.total()} of {expected.total()} missing, {extra.total()} too many, seed {scene.seed}; "
            f"first missing {next(iter(missing), None)!r}, first of too many {next(iter(extra), None)!r}\n"
            f"{scene.logs()}"
        )
    if scene.was_paused:
        _held_back(scene, reference, seen)
    _ledger(scene, reference, apart)
    if replay:
        _replayed(scene, at_home, reference)
    return counted


def _replayed(scene: Scene, lines: list[Line], reference: Reference) -> None:
    """A replay of what the workers have read makes what the reference makes."""
    out: list[OutRecord] = []
    Replay(Engine(scene.rules, expire_by_clock=True), out.append).run(map(_kcat, lines), "soak")
    for topic in SEEN:
        told, made = (
            Counter(
                one
                for p in records
                if p.topic == topic and (one := SEEN[topic](scene, p.value, tuple(p.headers))) is not None
            )
            for records in (reference.out, out)
        )
        missing, extra = told - made, made - told
        assert not missing | extra, (
            f"replay, {topic}: {missing.total()} missing, {extra.total()} too many, seed {scene.seed}; "
            f"{next(iter(missing), None)!r}, {next(iter(extra), None)!r}"
        )


def _kcat(line: Line) -> bytes:
    told = {"topic": line.topic, "partition": line.partition, "offset": line.offset, "ts": line.ts_ms}
    value = None if line.value is None else b64encode(line.value).decode()
    return orjson.dumps(told if value is None else told | {"payload_base64": value})


def _held_back(scene: Scene, reference: Reference, seen: Mapping[str, list[Message]]) -> None:
    """An opening is enforced or goes to review depending on when the pause reached the worker. The first of each rule
    and number is there one way or the other, and no rule has opened anything for a number that it never should."""
    first: dict[tuple[str, str], str] = {}
    for produced in reference.out:
        if produced.topic in CHANGES and produced.value is not None:
            for number, rule, block_id in _blocks(produced.value):
                first.setdefault((number, rule), block_id)
    found = {block for topic in CHANGES for m in seen[topic] for block in _blocks(m.value())}
    enforced = scene.enforced - scene.loose
    missing = {(*pair, block_id) for pair, block_id in first.items() if pair[1] in enforced} - found
    extra = {(number, rule) for number, rule, _ in found if rule in enforced} - first.keys()
    assert not missing | extra, (
        f"pauses: {len(missing)} first openings missing, {len(extra)} of nobody who offended, seed {scene.seed}; "
        f"{sorted(missing)[:1]} {sorted(extra)[:1]}\n{scene.logs()}"
    )


def _blocks(value: bytes) -> Iterator[tuple[str, str, str]]:
    """(number, rule, block_id) of every hold that a state or row names."""
    told = orjson.loads(value)
    for hold in (told["hold"], *told.get("holds", ())):
        yield told["number"], hold["rule"], hold["block_id"]


def _sent_home(strays: set[Line], rekeyed: list[Message]) -> None:
    """Each stray has been sent home once, and nothing else."""
    expected = Counter((line.topic, line.partition, line.offset) for line in strays)
    found = Counter(_origin(m)[:3] for m in rekeyed)
    missing, extra = expected - found, found - expected
    assert not missing | extra, (
        f"{missing.total()} of {expected.total()} strays were not sent home, {extra.total()} too often"
    )


def _is_stray(line: Line, reference: Reference, partitions: int) -> bool:
    try:
        number = str(decode(line.topic, line.value, reference._wanted(line.topic))[ACTOR[line.topic][1]])
    except RecordError:
        return False
    return home_of(number, partitions) not in (None, line.partition)


def _at_home(rekeyed: Message) -> Line:
    """A stray as `rekeyed` has brought it home: those of each origin are by themselves."""
    topic, origin, _, timestamp_ms = _origin(rekeyed)
    partition = partition_of_strays(rekeyed.partition(), origin)
    return Line(topic, partition, rekeyed.offset(), timestamp_ms, rekeyed.value(), rekeyed.key())


def _origin(m: Message) -> tuple[str, int, int, int]:
    """(topic, partition, offset, timestamp in ms) of a re-keyed record, as its headers tell."""
    told = dict(m.headers())
    partition, offset, timestamp_ms = (int(told[name]) for name in (PARTITION, OFFSET, TIMESTAMP))
    return told[TOPIC].decode(), partition, offset, timestamp_ms


def _ledger(scene: Scene, reference: Reference, apart: str | None) -> None:
    """The last row of each number holds all its holds, in every lane, and knows which of them have ended."""
    now_ms = time.time_ns() // 1_000_000

    def state(is_active: bool, until_ms: int) -> str:
        return "ending" if scene.noticed_ms < until_ms <= now_ms else "active" if is_active else "ended"

    expected = {
        (f"+{hold.number}", scene.rules.rules[hold.rule].name, hold.lane, hold.from_ms, hold.until_ms,
         state(hold.until_ms > now_ms, hold.until_ms))
        for hold in reference.holds.values()
        if scene.is_told(scene.rules.rules[hold.rule].name)
    }  # fmt: skip
    seen = {
        (number, hold.rule, hold.mode, hold.from_, hold.until, state(hold.active, hold.until))
        for number, hold in scene.holds()
        if number != apart and scene.is_told(hold.rule)
    }
    missing, extra = expected - seen, seen - expected
    assert not missing | extra, (
        f"ledger: {len(missing)} of {len(expected)} holds missing, {len(extra)} too many, seed {scene.seed}; "
        f"missing {sorted(missing)[:1]}, too many {sorted(extra)[:1]}\n{scene.logs()}"
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


def _row(scene: Scene, value: bytes, headers: Any) -> Any:
    """A row that says nothing of other topics' rules: every byte counts. When holds were seen to have ended depends on
    the wall clock."""
    told = orjson.loads(value)
    if told["change"] in NOTICES or not scene.is_told(told["hold"]["rule"]):
        return None
    if not scene.reread:
        return value
    return orjson.dumps(told | {"hold": {k: v for k, v in told["hold"].items() if k not in WORDS}})


def _event(scene: Scene, value: bytes, headers: Any) -> Any:
    """`holds` depends on how topics were interleaved; which changes were announced does not."""
    told = orjson.loads(value)
    return None if told["change"] in NOTICES or not scene.is_told(told["hold"]["rule"]) else told["event_id"]


def _letter(scene: Scene, value: bytes | None, headers: Any) -> Any:
    """Of a value beyond 900,000 bytes, its beginning, and what it was in two more headers."""
    if value is not None and len(value) > 900_000:
        size, digest = str(len(value)).encode(), hashlib.sha256(value).hexdigest().encode()
        headers = (*headers, ("grayline.value.bytes", size), ("grayline.value.sha256", digest))
        value = value[: 64 * 1024]
    return value, headers


CHANGES = (BLOCK_HISTORY, BLOCK_EVENTS, REVIEW_QUEUE)
NOTICES = ("expired", "unreviewed")  # of ends: when they are seen depends on the wall clock
WORDS = ("rules_version", "reason")  # which file a hold was opened by depends on when the worker read it

# What is compared of a record, None for nothing.
SEEN: dict[str, Callable[[Scene, bytes, Any], Any]] = {
    BLOCK_HISTORY: _row,
    BLOCK_EVENTS: _event,
    REVIEW_QUEUE: _event,
    SHADOW_EVENTS: _event,
    DEAD_LETTERS: _letter,
}
