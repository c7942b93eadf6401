"""The city: its clock, its numbers, its carriers, and how calls and messages become records."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

from schemas.topics import CDR, MESSAGE_RELAY

SECOND_MS, HOUR_S = 1000, 3600.0
SEOUL_S = 9 * HOUR_S
# How busy people are by the hour of the day, between these points in straight lines; the mean of a day is about 1.
WAKING = (
    (0, 0.25),
    (5, 0.05),
    (7.5, 0.7),
    (9.2, 1.6),
    (11.7, 1.9),
    (12.8, 1.3),
    (15, 1.7),
    (18.2, 2.1),
    (21, 1.4),
    (24, 0.3),
)
WEEKEND_SHARE = 0.72
FEEDS = ("events", "complete", "both")


class Written(NamedTuple):
    """One record as a carrier writes it. number: of whom it is about, in E.164 where it has one."""

    at_ms: int
    topic: str
    number: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Who:
    """The truth about a number. gang: shared by the numbers of one campaign."""

    kind: str
    innocent: bool
    gang: str = ""


@dataclass
class Line:
    """A number as the network knows it. verified: None where the carrier does not say."""

    number: str
    carrier: int
    verified: str | None = "full"
    origin: str | None = "domestic"


@dataclass
class City:
    """Everything happens in order of time; `at` plans, `run` lets it happen. Times in seconds since the epoch."""

    seed: int
    start_s: float
    hours: float
    feed: str = "events"
    random: Random = field(init=False)
    truth: dict[str, Who] = field(default_factory=dict)
    _plans: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _records: list[tuple[int, int, Written]] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.random = Random(f"city {self.seed} {self.feed}")
        self.end_s = self.start_s + self.hours * HOUR_S
        self.now_s = self.start_s
        weekday = int((self.start_s + SEOUL_S) // 86_400 + 3) % 7
        self.is_weekend = weekday >= 5
        # A carrier writes an event at a time, or a whole call when it is over.
        self.writes_whole = [self.feed == "complete" or (self.feed == "both" and n % 2 == 1) for n in range(4)]

    # -- time --------------------------------------------------------------------------------------------------

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        if when_s < self.end_s:
            self._count += 1
            heapq.heappush(self._plans, (when_s, self._count, what))

    def after(self, wait_s: float, what: Callable[[], None]) -> None:
        self.at(self.now_s + wait_s, what)

    def run(self) -> Iterator[Written]:
        """Yields the records in the order in which carriers write them."""
        while self._plans:
            self.now_s, _, what = heapq.heappop(self._plans)
            what()
            # Nothing that is still to happen writes a record of an earlier time.
            while self._records and self._records[0][0] <= self.now_s * SECOND_MS:
                yield heapq.heappop(self._records)[2]
        while self._records:
            written = heapq.heappop(self._records)[2]
            if written.at_ms < self.end_s * SECOND_MS:
                yield written

    def hour(self) -> float:
        return (self.now_s + SEOUL_S) % 86_400 / HOUR_S

    def waking(self) -> float:
        """How busy people are now."""
        hour = self.hour()
        (low, a), (high, b) = next(pair for pair in pairwise(WAKING) if pair[0][0] <= hour <= pair[1][0])
        return (a + (b - a) * (hour - low) / (high - low)) * (WEEKEND_SHARE if self.is_weekend else 1.0)

    def every(self, mean_s: Callable[[], float], what: Callable[[], None], phase_s: float | None = None) -> None:
        """Lets something happen again and again, at random, `mean_s()` apart on average."""

        def happen() -> None:
            what()
            self.after(self.random.expovariate(1.0 / max(mean_s(), 1e-3)), happen)

        self.after(self.random.random() * mean_s() if phase_s is None else phase_s, happen)

    def shift(self, opens: float, closes: float, what: Callable[[], None]) -> None:
        """Begins something at an hour of the day, or at once where the city begins within these hours."""
        midnight_s = (self.start_s + SEOUL_S) // 86_400 * 86_400 - SEOUL_S
        begin_s, close_s = midnight_s + opens * HOUR_S, midnight_s + closes * HOUR_S
        if close_s > self.start_s:
            self.at(max(begin_s, self.start_s + self.random.random() * 60), what)

    # -- numbers -----------------------------------------------------------------------------------------------

    def line(self, who: Who | None, prefix: str, digits: int = 8, **more: Any) -> Line:
        """A new number. prefix: in E.164, `+8210`. who: None for one that only others are in touch with."""
        while True:
            number = prefix + "".join(self.random.choices("0123456789", k=digits))
            if number not in self.truth and (digits == 0 or number[len(prefix)] != "0"):
                break
        if who is not None:
            self.truth[number] = who
        return Line(number, self.random.choices(range(4), (45, 30, 15, 10))[0], **more)

    def stranger(self) -> str:
        """A number that somebody draws from a list: most of them exist."""
        return "+8210" + str(self.random.randrange(20_000_000, 99_999_999))

    # -- what carriers write -----------------------------------------------------------------------------------

    def call(self, line: Line, callee: str, ring_s: float, talk_s: float | None) -> float:
        """A call that begins now; talk_s: None where nobody answers. Returns how long the line is taken, in s."""
        self._count += 1
        begin_ms = int(self.now_s * SECOND_MS)
        answer_ms = begin_ms + int(ring_s * SECOND_MS)
        end_ms = answer_ms + int((talk_s or 0.0) * SECOND_MS)
        common = {"call_id": f"{self.seed:x}-{self._count:x}", "caller": line.number, "callee": callee}
        common |= self._trust(line)
        if self.writes_whole[line.carrier]:
            record = common | {"event": "complete", "at": end_ms, "setup_at": begin_ms, "release_at": end_ms}
            if talk_s is not None:
                record["answer_at"] = answer_ms
            self._write(end_ms, CDR, line.number, record)
        else:
            self._write(begin_ms, CDR, line.number, common | {"event": "setup", "at": begin_ms})
            if talk_s is not None:
                self._write(answer_ms, CDR, line.number, common | {"event": "answer", "at": answer_ms})
            self._write(end_ms, CDR, line.number, common | {"event": "release", "at": end_ms})
        return (end_ms - begin_ms) / SECOND_MS

    def text(self, line: Line, recipient: str, content: str, **more: Any) -> None:
        self._count += 1
        at_ms = int(self.now_s * SECOND_MS)
        record = {
            "message_id": f"{self.seed:x}-{self._count:x}", "at": at_ms, "sender": line.number, "recipient": recipient,
            "text": content, "channel": "sms" if len(content) < 45 else "lms",
        }  # fmt: skip
        self._write(at_ms, MESSAGE_RELAY, line.number, record | self._trust(line) | more)

    def _trust(self, line: Line) -> dict[str, Any]:
        told = {"verified": line.verified, "origin": line.origin, "carrier": f"carrier-{line.carrier}"}
        return {name: value for name, value in told.items() if value is not None}

    def _write(self, at_ms: int, topic: str, number: str, record: dict[str, Any]) -> None:
        self._count += 1
        heapq.heappush(self._records, (at_ms, self._count, Written(at_ms, topic, number, record)))


def weighted(random: Random, cumulative: list[float]) -> int:
    """An index drawn by weights that are given summed up."""
    return min(bisect_right(cumulative, random.random() * cumulative[-1]), len(cumulative) - 1)
