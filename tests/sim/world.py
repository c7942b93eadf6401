"""Everything that a history consists of: clock, broker, disks, and what has happened so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from rules.model import RuleSet
from rules.registry import Entry, Registry
from schemas.topics import BLOCK_EVENTS, BLOCK_HISTORY, DERIVED, REKEYED, REVIEW_QUEUE, TOPICS
from streams.engine.engine import Engine
from streams.holds.breaker import Breaker
from streams.holds.pause import Pause
from tests.sim.broker import FakeBroker
from tests.sim.checkers.one_owner import Owners
from tests.sim.counted import CountedLog
from tests.sim.disk import Disk
from tests.sim.faults import Faults, Rates
from tests.sim.fibers import Process, Scheduler, SimCrash
from tests.sim.rules import by_version, rules

GROUP = "grayline"


@dataclass
class Commit:
    """Offsets that became the group's."""

    at_ms: int
    offsets: dict[tuple[str, int], tuple[int, str]]


@dataclass
class World:
    seed: int
    start_ms: int
    partitions: int
    rates: Rates | None = None
    trace: list[str] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    disks: dict[str, Disk] = field(default_factory=dict)
    counted: CountedLog = field(default_factory=CountedLog)
    rules_in_force: RuleSet = field(default_factory=lambda: rules("alone"))  # as the operators' files have them now
    also: tuple[str, ...] = ()  # topics that workers read whether rules count them or not
    pause: Pause | None = None  # the operators' newest word
    entries: dict[bytes, Entry] = field(default_factory=dict)  # those that they told, by key
    has_entered: bool = False
    registries: dict[str, Registry] = field(default_factory=dict)  # all that any worker went by, by version
    breaker: tuple[int, float] = (0, 0.0)  # its settings
    known: dict[str, Any] = field(default_factory=dict)  # what checkers have made of the logs

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.scheduler = Scheduler(self.random, self.start_ms)
        counts = {name: spec.partitions or self.partitions for name, spec in TOPICS.items()}
        self.broker = FakeBroker(counts, lambda: self.scheduler.now_ms, lambda: self.faults.marker_delay_ms())
        self.scheduler.tick = self.broker.tick
        self.faults = Faults(self, self.rates or Rates.drawn(self.random))
        self.owners = Owners()
        self._watch_commits()

    @property
    def now_ms(self) -> int:
        return self.scheduler.now_ms

    def note(self, process: Process | None, what: str) -> None:
        who = process.name if process is not None else "world"
        self.trace.append(f"{(self.now_ms - self.start_ms) / 1000:9.3f} {who:6} {what}")

    def note_produced(self, process: Process, topic: str, partition: int, offset: int) -> None:
        self.trace.append(f"{(self.now_ms - self.start_ms) / 1000:9.3f} {process.name:6} {topic}[{partition}]@{offset}")

    def check_alive(self, process: Process) -> None:
        if process.dead:
            raise SimCrash(137)

    def crashed(self, process: Process) -> None:
        """Its memory is gone; what it left at the broker stays as it is."""
        process.dead = True

    def engine(self, rules_version: str) -> Engine:
        """A new one, as workers have it."""
        engine = Engine(by_version(rules_version), also=self.also, breaker=Breaker(*self.breaker))
        engine.partitions, engine.group = self.partitions, GROUP
        return engine

    def disk_of(self, name: str) -> Disk:
        return self.disks.setdefault(name, Disk())

    def input_places(self) -> list[tuple[str, int]]:
        return [(topic, p) for topic in self.reads for p in range(self.partitions)]

    @property
    def topics(self) -> tuple[str, ...]:
        """The inputs that workers read."""
        return tuple(dict.fromkeys((*self.rules_in_force.topics, *self.also)))

    @property
    def reads(self) -> tuple[str, ...]:
        """All topics that they read."""
        return (*self.topics, REKEYED, *((DERIVED,) if self.rules_in_force.others else ()))

    def output_places(self) -> list[tuple[str, int]]:
        return [(topic, p) for p in range(self.partitions) for topic in (BLOCK_EVENTS, BLOCK_HISTORY, REVIEW_QUEUE)]

    def committed(self) -> dict[tuple[str, int], int]:
        return {place: at for place, (at, _) in self.broker.groups.group(GROUP).offsets.items()}

    def _watch_commits(self) -> None:
        store = self.broker.groups.store

        def stored(group: str, offsets: dict[tuple[str, int], tuple[int, str]]) -> None:
            if group == GROUP:
                self.commits.append(Commit(self.now_ms, dict(offsets)))
                self.counted.committed(offsets, self.committed())
            store(group, offsets)

        self.broker.groups.store = stored  # type: ignore[method-assign]
