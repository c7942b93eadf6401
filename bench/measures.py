"""The measures, and the run that takes them: inputs made once, then every measure in turn, `runs` times over, so that
whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench import peers, traffic
from bench.latency import latency
from bench.say import say
from bench.scene import PARTITIONS, ROOT, BenchFailed, Record, Scene, expect_blocked, job, scene
from schemas.topics import BLOCK_EVENTS, MESSAGE_RELAY
from streams.captures.files import read_capture
from streams.captures.lines import LineReader
from streams.captures.writing import CaptureWriter
from streams.captures.writing import Record as CaptureRecord

GRAY_RULES = str(ROOT / "bench" / "gray.yaml")
PACKS = str(files("rules") / "packs")
SUBSET = "bench-subset"
STEADY_RATE = 30_000  # messages/s, at which latency is compared with others'
# Slow, or many samples in one run.
RUNS_MAX = {"faust": 3, "streams": 3, "latency": 1, "memory": 1, "profile": 1, "restore": 1}

# name -> what it is; in the order in which they take turns.
MEASURES = {
    "raw": "raw limit: consume + value()",
    "fetch": "fetch alone, in columns",
    "gray": "Grayline, gray job, exactly once",
    "messages": "the same, its records fetched as messages",
    "older": "the same by the checkout of --beside",
    **{name: peers.PEERS[name][0] for name in peers.JAVA},
    "packs": "Grayline, shipped packs, messages and CDRs, exactly once",
    "faust": peers.PEERS["faust"][0],
    "kernels": "kernels alone: six counters, one core",
    "replay": "replay of a file of JSON lines, shipped packs",
    "parquet": "replay of the same as Parquet, shipped packs",
    "memory": "ten million numbers held, shipped packs, one thread",
    "restore": "restore on an empty worker, then from its own disk",
    "start": "start of the command line (--help, rules check)",
    "latency": "produce to block event visible",
    "profile": "profile of the gray job",
}


@dataclass(frozen=True)
class Sizes:
    messages: int = 8_000_000  # of the gray job
    subset: int = 200_000  # of them, for stock Faust
    mixed: int = 2_000_000  # messages and CDRs together, about
    kernel_numbers: int = 1_000_000
    kernel_events: int = 1_000_000
    latency_s: int = 45
    restore_numbers: int = 1_000_000
    memory_numbers: int = 10_000_000


QUICK = Sizes(1_000_000, 20_000, 200_000, 100_000, 200_000, 20, 100_000, 100_000)


@dataclass
class Bench:
    """Figures of one run. `results[name]` holds what each turn of a measure gave: `rate` above all, and with it `raw`,
    the rate of the last raw run before it."""

    wanted: frozenset[str]
    runs: int
    sizes: Sizes
    beside: Path | None = None  # another checkout, with an environment of its own in `.venv`
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    blocked: int = 0  # numbers that all processors blocked in the gray job
    _start_ms: int = field(default_factory=lambda: traffic.morning_ms(time.time_ns() // 1_000_000))
    _gray: Scene | None = None
    _mixed: Scene | None = None
    _mixed_records: int = 0
    _file: str = ""
    _packed: dict[str, tuple[Path, Path]] = field(default_factory=dict)  # form -> (first records, all of them)
    _expected: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        """Everything wanted. Raises BenchFailed, KafkaUnavailable."""
        with ExitStack() as stack:
            self._prepare(stack)
            for turn in range(self.runs):
                for name in MEASURES:
                    if name in self.wanted and name != "latency" and turn < RUNS_MAX.get(name, self.runs):
                        if name in peers.JAVA:
                            self._turn("raw", turn)
                        self._turn(name, turn)
        if "latency" in self.wanted:
            self._turn("latency", 0)

    def rates(self, name: str) -> list[float]:
        return [result["rate"] for result in self.results.get(name, []) if "rate" in result]

    def rate(self, name: str) -> float | None:
        """The median over the turns; None when it was not measured."""
        return median(rates) if (rates := self.rates(name)) else None

    def _prepare(self, stack: ExitStack) -> None:
        for name in peers.JAVA:
            if name in self.wanted:
                peers.build(name)
        if self.wanted & {"packs", "replay", "parquet"}:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="grayline-bench-"))
            self._file = f"{folder}/mixed.jsonl"
        if "packs" in self.wanted:
            self._mixed = stack.enter_context(scene())
            self._mixed_records = sum(self._mixed.fill(self._recorded(), "messages and CDRs").values())
        elif self.wanted & {"replay", "parquet"}:
            self._mixed_records = sum(1 for _ in self._recorded())
        if self.wanted & {"replay", "parquet"}:
            self._packed = {form: _packed(Path(self._file), form) for form in ("jsonl", "parquet")}
        if self.wanted & {"raw", "fetch", "gray", "messages", "older", "faust", "profile", *peers.JAVA}:
            self._gray = stack.enter_context(scene())
            say(f"making {self.sizes.messages:,} messages")
            made = traffic.gray_input(self.sizes.messages, self._start_ms)
            self._expected = traffic.triggers(made)
            self._gray.fill(_messages(MESSAGE_RELAY, made.records()), "gray job")
            if "faust" in self.wanted:
                self._gray.make_topic(SUBSET)
                # Stock Faust's Kafka client reads lz4 only with a package that it does not bring along.
                subset = _messages(SUBSET, made.first(self.sizes.subset).records())
                self._gray.fill(subset, "subset", compression="none")

    def _recorded(self) -> Iterator[Record]:
        """Two event hours of labelled traffic, written to a file on the way."""
        from streams.traffic.generate import Traffic, TrafficSettings
        from streams.traffic.outlets import write_lines

        seconds = 7200
        made = Traffic(
            TrafficSettings(start_ms=self._start_ms, duration_ms=seconds * 1000, rate=self.sizes.mixed / seconds)
        )
        with open(self._file, "wb") as out:
            for record in write_lines(made, out, 4):
                yield record.topic, record.key, record.value, record.timestamp_ms

    def _turn(self, name: str, turn: int) -> None:
        begun = time.monotonic()
        if name in peers.JAVA:
            result = self._peer_once(name, MESSAGE_RELAY, self.sizes.messages)
        else:
            measure: Callable[[], dict[str, Any]] = getattr(self, f"_{name}_once")
            result = measure()
        if name != "raw" and self.results.get("raw"):
            result["raw"] = self.results["raw"][-1]["rate"]
        self.results.setdefault(name, []).append(result)
        figure = result.get("rate")
        shown = f"{figure:,.0f}" if figure is not None else ""
        turns = min(self.runs, RUNS_MAX.get(name, self.runs))
        say(f"{name} {turn + 1}/{turns}: {shown} ({time.monotonic() - begun:.0f} s)")

    @property
    def _here(self) -> Scene:
        assert self._gray is not None
        return self._gray

    def _raw_once(self) -> dict[str, Any]:
        return job("raw", bootstrap=self._here.bootstrap, topic=MESSAGE_RELAY, messages=self.sizes.messages)

    def _fetch_once(self) -> dict[str, Any]:
        """In columns, and beside it the same records as messages."""
        told = {"bootstrap": self._here.bootstrap, "topic": MESSAGE_RELAY, "partitions": PARTITIONS}
        columns, messages = (
            job("columns", **told, messages=self.sizes.messages, form=form) for form in ("columns", "messages")
        )
        return {**columns, "as_messages": messages}

    def _gray_once(self) -> dict[str, Any]:
        return self._gray_of("Grayline", ROOT, sys.executable)

    def _messages_once(self) -> dict[str, Any]:
        return self._gray_of("Grayline with messages", ROOT, sys.executable, fetch="messages")

    def _older_once(self) -> dict[str, Any]:
        assert self.beside is not None
        return self._gray_of("the older Grayline", self.beside, str(self.beside / ".venv" / "bin" / "python"))

    def _gray_of(self, who: str, checkout: Path, python: str, **more: str) -> dict[str, Any]:
        self._here.forget_holds()
        since = self._here.ends(BLOCK_EVENTS)
        rules = str(checkout / "bench" / "gray.yaml")
        told = {"bootstrap": self._here.bootstrap, "rules": rules, "messages": self.sizes.messages, **more}
        result = job("worker", python=python, checkout=checkout, **told)
        expect_blocked(who, self._here.blocked(BLOCK_EVENTS, since), self._expected)
        self.blocked = len(self._expected)
        return result

    def _faust_once(self) -> dict[str, Any]:
        return self._peer_once("faust", SUBSET, self.sizes.subset)

    def _peer_once(self, name: str, topic: str, messages: int) -> dict[str, Any]:
        out = f"bench-{name}-{uuid.uuid4().hex[:8]}"
        result = peers.run_peer(name, self._here, topic, messages, out)
        due = [number for number, place in self._expected.items() if place < messages]
        expect_blocked(name, self._here.blocked(out, {}), due)
        return result

    def _packs_once(self) -> dict[str, Any]:
        assert self._mixed is not None
        self._mixed.forget_holds()
        return job("worker", bootstrap=self._mixed.bootstrap, rules=PACKS, messages=self._mixed_records)

    def _kernels_once(self) -> dict[str, Any]:
        return job("kernels", numbers=self.sizes.kernel_numbers, events=self.sizes.kernel_events)

    def _replay_once(self) -> dict[str, Any]:
        return self._replay_of("jsonl")

    def _parquet_once(self) -> dict[str, Any]:
        return self._replay_of("parquet")

    def _replay_of(self, form: str) -> dict[str, Any]:
        first, whole = self._packed[form]
        return job("replay", file=str(whole), first=str(first), rules=PACKS)

    def _restore_once(self) -> dict[str, Any]:
        """An hour of messages of so many senders is counted; then a worker without a folder restores from the topics,
        and the one that counted restores from its folder."""
        numbers = self.sizes.restore_numbers
        with scene() as here, tempfile.TemporaryDirectory(prefix="grayline-bench-") as folder:
            hour = traffic.hour_of(numbers, self._start_ms)
            records = here.fill(_messages(MESSAGE_RELAY, hour.records()), "an hour of messages")[MESSAGE_RELAY]
            told = {"bootstrap": here.bootstrap, "rules": PACKS, "group": "bench-restore"}
            job("worker", **told, messages=records, state=folder)
            empty = job("restore", **told)
            local = job("restore", **told, state=folder)
        return {"records": records, "empty": empty, "local": local}

    def _memory_once(self) -> dict[str, Any]:
        return job("memory", rules=PACKS, numbers=self.sizes.memory_numbers, start_ms=self._start_ms)

    def _profile_once(self) -> dict[str, Any]:
        messages = min(self.sizes.messages, 2_000_000)
        return job("profile", bootstrap=self._here.bootstrap, rules=GRAY_RULES, messages=messages)

    def _latency_once(self) -> dict[str, Any]:
        peak = self.rate("gray")
        if peak is None:
            raise BenchFailed("latency is measured at half the gray job's rate: measure `gray` too")
        half, third, steady = (
            latency(GRAY_RULES, int(rate), self.sizes.latency_s) for rate in (peak / 2, peak / 3, STEADY_RATE)
        )
        return {**half, "third": third, "steady": steady}

    def _start_once(self) -> dict[str, Any]:
        return {"seconds": {" ".join(words): _seconds_of(words) for words in (("--help",), ("rules", "check"))}}


def _messages(topic: str, records: Iterable[tuple[bytes, bytes, int]]) -> Iterator[Record]:
    return ((topic, key, value, at_ms) for key, value, at_ms in records)


def _packed(lines: Path, form: str) -> tuple[Path, Path]:
    """(a file of the first records, a file of all), uncompressed JSON lines or Parquet as `record` writes it."""
    reader = LineReader()
    files: list[Path] = []
    for part in ("first", "whole"):
        folder = lines.parent / f"{form}-{part}"
        writer = CaptureWriter(folder, form, "zstd" if form == "parquet" else "none", rotate_bytes=1 << 40)
        for rows in read_capture(lines, reader, 20_000):
            names = np.array(rows.topics, object)[rows.topic]
            columns = (names, rows.partition, rows.offset, rows.timestamp, repeat(0), rows.keys, rows.values)
            writer.write(list(map(CaptureRecord, *columns)))
            if part == "first":
                break
        writer.finish()
        files.append(next(iter(folder.iterdir())))
    return files[0], files[1]


def _seconds_of(words: tuple[str, ...]) -> float:
    command = shutil.which("grayline", path=str(Path(sys.executable).parent))
    start = [command] if command else [sys.executable, "-c", "from streams.cli import main; main()"]
    begun = time.perf_counter()
    done = subprocess.run([*start, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    took = time.perf_counter() - begun
    if done.returncode:
        raise BenchFailed(f"`grayline {' '.join(words)}` ended with code {done.returncode}:\n{done.stderr[-1000:]}")
    return took
