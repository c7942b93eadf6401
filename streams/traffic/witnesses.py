"""Witnesses of the numbers in generated traffic: citizens who report them, honeypots that they reach.

It watches the records go by and adds its own, in time order; from a generator of its own, so that calls and messages
are the same bytes with it and without.

Published is how many reports a number that ought to be blocked has: in a pilot of three weeks 145,027 reports led to
5,249 numbers, which is 3.6 %, duplicates and mistakes among them, and malicious false reports occur. How large these
three shares are, how long people take, and how often a trap is hit is not; those figures are ours."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import orjson

from schemas.objects import read_pairs
from schemas.topics import CDR, REPORTS, TRAPS
from streams.traffic.rows import TrafficRecord

REPORTS_PER_NUMBER = 145_027 / 5_249  # of an offender, with all that is wrong among them
DUPLICATES, MISTAKES, MALICIOUS = 0.15, 0.06, 0.03  # of all reports
TRUE = 1 - DUPLICATES - MISTAKES - MALICIOUS
PEOPLE_PER_REPORT = 10  # whom an offender reaches, on average, for one who reports
DELAY_MEDIAN_MS, DELAY_SPREAD = 15 * 60_000, 1.4  # log-normal: three in four within 40 minutes, nearly all in a day
SECOND_TAP_MS = 60_000  # a duplicate comes within this
BY_HANDSET = 85  # of 100 reporters; the others write into a form on the web
GRUDGE_REPORTS = 4  # by one person about one innocent number
TRAPS_FIRST, TRAPS_COUNT = 82_2_6000_0000, 20  # 02-6000-XXXX, numbers that nobody has
HIT_SHARE, MISDIALLED_SHARE = 0.01, 1e-5  # of the contacts of offenders, and of all others, how many reach a trap too
DEPTHS = ("record", "limited", "full")


@dataclass(frozen=True)
class ReportLabel:
    """The truth about one report. kind: true, duplicate (of a report before it), mistake (another number was meant) or
    malicious (nothing happened)."""

    report_id: str
    at: int
    number: str
    reporter: str
    kind: str


class Witnesses:
    """offenders: their numbers as keys of records. Nothing is said from `end_ms` on."""

    def __init__(self, seed: int, offenders: Set[bytes], end_ms: int) -> None:
        self.labels: list[ReportLabel] = []  # of the reports made so far, in their order
        self._rng = np.random.default_rng([seed, 11])
        self._seed, self._offenders, self._end_ms = seed, offenders, end_ms
        self._pending: list[tuple[int, int, TrafficRecord, ReportLabel | None]] = []
        self._made = 0
        self._people: Counter[bytes] = Counter()  # whom each offender will yet reach before the next one reports
        self._willing: dict[bytes, int] = {}  # how many will report it yet
        self._innocent = b""  # the last that was seen
        self._misdial = self._gap(MISDIALLED_SHARE)

    def watch(self, records: Iterable[TrafficRecord]) -> Iterator[TrafficRecord]:
        """The records and our own between them."""
        for record in records:
            yield from self._due(record.timestamp_ms)
            yield record
            if record.topic != CDR or b'"event":"setup"' in record.value:
                self._contact(record)
        yield from self._due(self._end_ms - 1)

    def _due(self, now_ms: int) -> Iterator[TrafficRecord]:
        while self._pending and self._pending[0][0] <= now_ms:
            _, _, record, label = heapq.heappop(self._pending)
            if label is not None:
                self.labels.append(label)
            yield record

    def _contact(self, record: TrafficRecord) -> None:
        if record.key not in self._offenders:
            self._innocent = record.key
            self._misdial -= 1
            if self._misdial <= 0:
                self._misdial = self._gap(MISDIALLED_SHARE)
                self._hit(record)
            return
        if self._rng.random() < HIT_SHARE:
            self._hit(record)
        willing = self._willing.get(record.key)
        if willing is None:
            willing = self._willing[record.key] = self._gap(1 / (TRUE * REPORTS_PER_NUMBER))
            self._people[record.key] = self._gap(1 / PEOPLE_PER_REPORT)
        self._people[record.key] -= 1
        if willing and self._people[record.key] <= 0:
            self._willing[record.key] -= 1
            self._people[record.key] = self._gap(1 / PEOPLE_PER_REPORT)
            self._witnessed(record)

    def _gap(self, share: float) -> int:
        return int(self._rng.geometric(share))

    # -- reports

    def _witnessed(self, record: TrafficRecord) -> None:
        """Somebody whom an offender has reached reports it; and now and then something goes wrong besides."""
        rng, fields = self._rng, dict(read_pairs(record.value))
        at = record.timestamp_ms + self._delay()
        about: dict[str, object] = {"kind": "call" if record.topic == CDR else "message"}
        about |= {name: fields[name] for name in ("message_id", "text", "relay", "reseller") if name in fields}
        reporter = fields["callee" if record.topic == CDR else "recipient"]
        if record.topic == CDR and rng.random() < 0.2:
            about["recording_url"] = f"https://reports.invalid/{self._seed}-{self._made}"
        self._report(at, record.key, reporter, about, "true")
        if rng.random() < MISTAKES / TRUE:
            self._report(at + self._delay(), self._mistaken(record.key), reporter, about, "mistake")
        if self._innocent and rng.random() < MALICIOUS / TRUE / GRUDGE_REPORTS:
            whom = self._innocent
            for _ in range(GRUDGE_REPORTS):
                self._report(at := at + self._delay(), whom, reporter, {"kind": "call"}, "malicious")

    def _report(self, at: int, number: bytes, reporter: str, about: dict[str, object], kind: str) -> None:
        fields = {"report_id": f"r{self._seed}-{self._made}", "at": at, "number": number.decode(), "reporter": reporter}
        # One and the same way for each reporter, drawn from nothing: all else stays as it was.
        fields["reporter_known"] = "full" if crc32(reporter.encode()) % 100 < BY_HANDSET else "none"
        self._say(REPORTS, number, fields | about, kind)
        if self._rng.random() < DUPLICATES / (1 - DUPLICATES):
            again = at + int(self._rng.integers(1_000, SECOND_TAP_MS))
            if self._rng.random() < 0.5:  # another tap; else the same report is delivered twice
                fields |= {"report_id": f"r{self._seed}-{self._made}", "at": again}
            self._say(REPORTS, number, fields | about, "duplicate", again)

    def _mistaken(self, number: bytes) -> bytes:
        """A digit mistyped, or the number below it in the list of calls."""
        if self._innocent and self._rng.random() < 0.5:
            return self._innocent
        return number[:-1] + b"%d" % ((number[-1] - 48 + int(self._rng.integers(1, 10))) % 10)

    def _delay(self) -> int:
        return int(self._rng.lognormal(np.log(DELAY_MEDIAN_MS), DELAY_SPREAD))

    # -- traps

    def _hit(self, record: TrafficRecord) -> None:
        place = int(self._rng.integers(TRAPS_COUNT))
        depth, fields = DEPTHS[place % len(DEPTHS)], dict(read_pairs(record.value))
        hit: dict[str, object] = {"at": record.timestamp_ms + int(self._rng.integers(1, 60_000))}
        hit |= {"sender": record.key.decode(), "trap": f"+{TRAPS_FIRST + 37 * place}", "depth": depth}
        if "text" in fields:
            hit["text"] = fields["text"]
        if record.key.startswith(b"+8270"):
            hit["source_ip"] = f"192.0.2.{int(record.key[-6:]) % 254 + 1}"
        if depth == "full" and record.topic == CDR:
            hit["recording_url"] = f"https://traps.invalid/{self._seed}-{self._made}"
        self._say(TRAPS, record.key, hit)

    def _say(self, topic: str, key: bytes, fields: dict[str, Any], kind: str = "", arrived_ms: int = 0) -> None:
        """arrived_ms: when it is delivered, if not at its own time."""
        at = arrived_ms or fields["at"]
        label = ReportLabel(fields["report_id"], at, fields["number"], fields["reporter"], kind) if kind else None
        heapq.heappush(self._pending, (at, self._made, TrafficRecord(topic, key, at, orjson.dumps(fields)), label))
        self._made += 1


def write_report_labels(path: Path, labels: Iterable[ReportLabel]) -> None:
    """JSON lines {report_id, at, number, reporter, kind}."""
    with path.open("wb") as out:
        out.writelines(orjson.dumps(label) + b"\n" for label in labels)
