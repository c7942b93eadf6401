"""The score of rules on labelled traffic: by kind of offender what is caught and how soon, by kind of innocent what is
hit, weighted by how common each kind is.

    python -m bench.packs --quick
    python -m bench.packs --seeds 501-504 --feeds events,complete,both --json
    python -m bench.packs --rules my-rules/ --explain one_ring,hospital_line
    python -m bench.packs --sensitivity
    python -m bench.packs --generator tests.second.traffic

Engine and traffic run in this process's children, one a core, without a broker. Exit codes: 0 done, 1 failed, 2 used
wrongly; a poor score is no failure.

A GENERATOR of other traffic is a module with

    traffic(seed: int, scene: bench.packs.Scene) -> bench.packs.Labelled
    KINDS: Mapping[str, bench.packs.kinds.Facts]      # for kinds that bench/packs/kinds.py does not name

Iterating over what `traffic` returns gives records in order of time: anything with the attributes `topic` ("cdr",
"message-relay"), `key` (bytes: the number's E.164 text), `timestamp_ms` and `value` (bytes: JSON as the topic's schema
says). `labels()` is asked afterwards and gives one label for every number that acted: anything with the attributes
`number` (E.164 text, as the key), `kind`, `innocent`, and `gang` ("" without one). The same seed and scene must give
the same records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

DAY_MS = 86_400_000
MONDAY_MS = 1_794_754_800_000  # 2026-11-16, midnight in Korea: a Monday without a holiday
DAYS = {"weekday": MONDAY_MS, "weekend": MONDAY_MS + 5 * DAY_MS}
FEEDS = ("events", "complete", "both")


@dataclass(frozen=True)
class Scene:
    """One run's outer form. feed: calls as they happen, one record when a call has ended, or both. subscribers:
    ordinary people. per_kind: about so many numbers (or gangs) of each other kind. registered: the share of businesses
    that the registry knows."""

    day: str = "weekday"  # of DAYS
    feed: str = "events"  # of FEEDS
    begin_hour: float = 8.5  # Korean time
    hours: float = 6.0
    subscribers: int = 15_000
    per_kind: int = 3
    registered: float = 0.0

    @property
    def start_ms(self) -> int:
        return DAYS[self.day] + int(self.begin_hour * 3_600_000)

    @property
    def duration_ms(self) -> int:
        return int(self.hours * 3_600_000)


class Recorded(Protocol):
    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def value(self) -> bytes: ...


class Named(Protocol):
    @property
    def number(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def innocent(self) -> bool: ...
    @property
    def gang(self) -> str: ...


class Labelled(Protocol):
    """Traffic whose truth is known once it has been read."""

    def __iter__(self) -> Iterator[Recorded]: ...

    def labels(self) -> Sequence[Named]: ...
