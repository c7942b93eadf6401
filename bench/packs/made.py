"""Traffic that was made: its records as epochs of columns, and its labelled numbers; kept in a folder if wanted."""

from __future__ import annotations

import hashlib
import importlib
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import orjson

from bench.packs import Labelled, Named, Recorded, Scene
from schemas.topics import CDR
from streams import traffic as shipped
from streams.ingest.epoch import RawBatch
from streams.ingest.packed import Packed
from streams.kafka.partition import partition_of
from streams.kernels.words import PADDING

PARTITIONS = 4
EPOCH = 20_000  # records
KEPT_MAX = 20_000  # contact times of one number; more say nothing


@dataclass
class Hold:
    """A rule's first hold on a number in a lane."""

    from_ms: int
    evidence: str = ""


@dataclass
class Number:
    """A labelled number that acted. blocked, reviewed: rule -> its first hold."""

    number: str
    kind: str
    innocent: bool
    gang: str
    records: int
    first_ms: int
    contacts: np.ndarray  # int64, ms, ascending: set-ups and messages; of offenders only
    blocked: dict[str, Hold] = field(default_factory=dict)
    reviewed: dict[str, Hold] = field(default_factory=dict)


@dataclass
class Made:
    records: int
    epochs: list[list[RawBatch]]
    numbers: list[Number]


def traffic_of(seed: int, scene: Scene, generator: str, cache: Path | None) -> Made:
    """The traffic of a seed: made, or read from the cache if it was made by the same code."""
    module = importlib.import_module(generator)
    if cache is None:
        return _make(module.traffic(seed, scene))
    folders = {Path(str(module.__file__)).parent, Path(shipped.__path__[0])}
    code = b"".join(path.read_bytes() for folder in sorted(folders) for path in sorted(folder.glob("*.py")))
    settings = asdict(scene) | {"registered": 0, "seed": seed, "generator": generator}
    name = hashlib.blake2b(code + orjson.dumps(settings, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()
    file = cache / f"{name}.pickle"
    if file.exists():
        kept: Made = pickle.loads(file.read_bytes())
        return kept
    made = _make(module.traffic(seed, scene))
    cache.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}")
    part.write_bytes(pickle.dumps(made, protocol=5))
    part.rename(file)
    return made


def _make(traffic: Labelled) -> Made:
    watch = _Contacts()
    epochs = [list(batches(batch)) for batch in epochs_of(watch.seen(traffic))]
    records = sum(len(batch.order) for epoch in epochs for batch in epoch)
    return Made(records, epochs, watch.numbers(traffic.labels()))


class _Contacts:
    """Who acted when. Times of all numbers are kept: who is an offender is known afterwards."""

    def __init__(self) -> None:
        self._times: dict[bytes, list[int]] = {}
        self._count: dict[bytes, int] = {}
        self._first: dict[bytes, int] = {}

    def seen(self, records: Iterable[Recorded]) -> Iterator[Recorded]:
        times, count = self._times, self._count
        for record in records:
            key, value = record.key, record.value
            count[key] = count.get(key, 0) + 1
            if key not in self._first:
                self._first[key] = record.timestamp_ms
            if record.topic != CDR or b'"event":"setup"' in value:
                times.setdefault(key, []).append(record.timestamp_ms)
            elif b'"event":"complete"' in value:
                times.setdefault(key, []).append(int(orjson.loads(value)["setup_at"]))
            yield record

    def numbers(self, labels: Iterable[Named]) -> list[Number]:
        out = []
        for label in labels:
            key = label.number.encode()
            if key not in self._count:
                continue
            contacts = np.empty(0, np.int64)
            if not label.innocent:
                # A feed that tells calls both ways names each set-up twice, at the same time.
                contacts = np.unique(np.array(self._times.get(key, ()), np.int64))[:KEPT_MAX]
            first = min(self._first[key], int(contacts[0]) if len(contacts) else self._first[key])
            out.append(Number(label.number, label.kind, label.innocent, label.gang, self._count[key], first, contacts))
        return out


def epochs_of(records: Iterable[Recorded]) -> Iterator[list[Recorded]]:
    stream = iter(records)
    while batch := list(islice(stream, EPOCH)):
        yield batch


def batches(records: list[Recorded]) -> Iterator[RawBatch]:
    """The records of an epoch by topic, each with its place."""
    parts: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        parts.setdefault(record.topic, []).append(place)
    for topic, places in parts.items():
        here = [records[place] for place in places]
        for record in here:
            if record.key not in _partition_by_key:
                _partition_by_key[record.key] = partition_of(record.key, PARTITIONS)
        yield RawBatch(
            topic,
            np.array(places, np.int64),
            np.array([_partition_by_key[record.key] for record in here], np.int32),
            np.zeros(len(here), np.int64),
            np.array([record.timestamp_ms for record in here], np.int64),
            _packed([record.value for record in here]),
        )


_partition_by_key: dict[bytes, int] = {}


def _packed(values: list[bytes]) -> Packed:
    length = np.fromiter(map(len, values), np.int64, len(values))
    buffer = np.frombuffer(b"".join((*values, bytes(PADDING))), np.uint8)
    return Packed(buffer, np.cumsum(length) - length, length)
