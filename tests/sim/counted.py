"""The records that were counted and committed, with their order and their rules: the expected outputs depend on these.

Topics of a partition may be counted in any order, and an operator's word or new rules take effect at any commit. Each
worker notes what it hands to its engine; when the broker stores offsets, the note beside them tells whose they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rules.model import Counter, RuleSet
from tests.sim.rules import by_version

Place = tuple[str, int]


class Mode(NamedTuple):
    """Under what a record was counted."""

    rules_version: str
    paused: bool
    told: str = ""  # the version of the entries that operators told


class Counted(NamedTuple):
    place: Place
    offset: int
    mode: Mode


@dataclass
class CountedLog:
    """order: by partition, all that lies behind the group's committed offsets."""

    order: defaultdict[int, list[Counted]] = field(default_factory=lambda: defaultdict(list))
    is_made_up_for: bool = False  # a replay has counted what the rules of its time did not
    _open: defaultdict[str, list[Counted]] = field(default_factory=lambda: defaultdict(list))  # by process
    _processes: dict[str, str] = field(default_factory=dict)  # by the notes of the commits they asked for

    def count(self, process: str, epoch: Any, mode: Mode) -> None:
        """A worker is about to count a streams.ingest.epoch.Epoch."""
        rows = sorted(
            (order, raw.topic, partition, offset)
            for raw in epoch.batches
            for order, partition, offset in zip(
                raw.order.tolist(), raw.partition.tolist(), raw.offset.tolist(), strict=True
            )
        )
        self._open[process] += [Counted((topic, partition), offset, mode) for _, topic, partition, offset in rows]

    def replayed(self, rules: RuleSet, place: Place, offsets: Collection[int]) -> None:
        """A worker counts committed records again, after a takeover. What nobody can tell from the order of the
        records: where a snapshot is older than a counter, the counter gets to know earlier events than it would have
        without the takeover."""
        wanted = counters_of(rules, place[0])
        modes = {one.mode for one in self.order[place[1]] if one.place == place and one.offset in offsets}
        self.is_made_up_for |= any(not wanted <= counters_of(by_version(m.rules_version), place[0]) for m in modes)

    def asked(self, process: str, offsets: dict[Place, tuple[int, str]]) -> None:
        """A process asks the broker to commit these offsets, with a note beside each."""
        self._processes |= {note: process for _, note in offsets.values()}

    def committed(self, offsets: dict[Place, tuple[int, str]], before: dict[Place, int]) -> None:
        """Of a record that was counted twice the last time holds: what had been made of it before was dropped."""
        for process in {self._processes[note] for _, note in offsets.values() if note in self._processes}:
            mine = {
                place: (before.get(place, 0), at)
                for place, (at, note) in offsets.items()
                if self._processes.get(note) == process
            }
            last: dict[tuple[Place, int], int] = {}
            rest = []
            for i, one in enumerate(self._open[process]):
                start, end = mine.get(one.place, (0, 0))
                if start <= one.offset < end:
                    last[one.place, one.offset] = i
                elif one.offset >= end:
                    rest.append(one)
            for i in sorted(last.values()):
                one = self._open[process][i]
                self.order[one.place[1]].append(one)
            self._open[process] = rest


def counters_of(rules: RuleSet, topic: str) -> set[Counter]:
    return {counter for rule in rules.rules for counter in rule.counters.values() if counter.topic == topic}
