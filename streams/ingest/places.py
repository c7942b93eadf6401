"""The places that a worker reads: (topic, partition), each with a clock and memories of its own; and which counters
lack events there.

Records that came by way of `rekeyed` are places of their own beside the partition that they belong to, one for each
partition that they came from: among themselves they are in that one's order, among all others in none.

A counter is warming in a place when it began to count there without the log's beginning, or later than the others. It
may lack events as of T as long as T is within its reach of the first event it counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from rules.model import Counter
from schemas.feeds import FEEDS
from streams.ingest.admission import NEVER, Intake
from streams.ingest.epoch import NO_ORIGIN, Place, home_of, origin_of
from streams.ingest.merge import Merged


class Places:
    """Places by number, for `Intake`, and since when the counters that are warming have counted."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self._sources: dict[Place, int] = {}
        # Of a place without `rekeyed`: each warming counter's first time, ms; None before its first event.
        self._since: dict[Place, dict[Counter, int | None]] = {}
        self._unheard: set[Place] = set()  # those with a None

    def source(self, place: Place) -> int:
        """Returns the place's source index, a new one the first time."""
        if place not in self._sources:
            self._sources[place] = len(self._sources)
            if FEEDS[place[0]].is_order:
                self.intake.trust(self._sources[place])
        return self._sources[place]

    def sources(self, events: Merged, topics: Iterable[str]) -> np.ndarray:
        """int32[n]: the source index of each event's place."""
        out = np.empty(events.n, np.int32)
        for topic in topics:
            mine = events.of_topic(topic)
            partition = events["partition"][mine]
            if origin_of(int(partition.max(initial=0))) == NO_ORIGIN:
                number_of = np.zeros(int(partition.max(initial=-1)) + 1, np.int32)
                for p in np.flatnonzero(np.bincount(partition)).tolist():
                    number_of[p] = self.source((topic, p))
                out[mine] = number_of[partition]
            else:  # sorting takes longer, and a table would be as long as all partitions times all origins
                present, code = np.unique(partition, return_inverse=True)
                out[mine] = np.array([self.source((topic, p)) for p in present.tolist()], np.int32)[code]
        return out

    def of(self, partition: int) -> Iterator[tuple[Place, int]]:
        """The places of this partition, and their source indices."""
        for place, source in self._sources.items():
            if home_of(place[1]) == partition:
                yield place, source

    def clocks(self, partition: int | None = None, topics: Iterable[str] | None = None) -> dict[Place, int]:
        """Clocks, ms, of the places (of one partition, of these topics) that have had an event."""
        clocks = self.intake.clocks()
        return {
            place: clocks[source]
            for place, source in self._sources.items()
            if source in clocks
            and (partition is None or home_of(place[1]) == partition)
            and (topics is None or place[0] in topics)
        }

    def horizon(self, place: Place) -> int:
        """The time before which all events of a place are late, ms; NEVER while that is unknown."""
        return self.intake.horizon(self._sources[place]) if place in self._sources else NEVER

    def drop(self, partition: int) -> None:
        """Forgets everything of this partition."""
        for _, source in self.of(partition):
            self.intake.forget(source)
        for place in [place for place in self._since if place[1] == partition]:
            del self._since[place]
            self._unheard.discard(place)

    # -- warming -----------------------------------------------------------------------------------------------

    def begin(self, place: Place, counters: Iterable[Counter]) -> None:
        """Notes that these counters count from here on and lack earlier events."""
        clock = self.intake.clocks().get(self.source(place))
        since = self._since.setdefault(place, {})
        for counter in counters:
            since[counter] = clock
        if clock is None and since:
            self._unheard.add(place)

    def heard(self, source: np.ndarray, time: np.ndarray) -> None:
        """Takes an epoch's events: source index and time, ms, of each. A place's first event counts, not its epoch."""
        for place in list(self._unheard):
            first = np.flatnonzero(source == self._sources.get(place, -1))[:1]
            if len(first):
                at = int(time[first[0]])
                self._since[place] = {c: at if t is None else t for c, t in self._since[place].items()}
                self._unheard.discard(place)

    def change(self, topic: str, counters: Collection[Counter], fresh: Collection[Counter]) -> None:
        """Takes a change of the rules: these counters count in a topic now, the `fresh` ones among them from here
        on."""
        for place in [place for place in self._since if place[0] == topic]:
            self.set_since(place, {c: at for c, at in self._since[place].items() if c in counters})
        for place in [place for place in self._sources if place[0] == topic and origin_of(place[1]) == NO_ORIGIN]:
            if fresh and (place in self.clocks() or place in self._unheard):
                self.begin(place, fresh)

    def since(self, place: Place) -> dict[Counter, int | None]:
        """First time of each counter that is warming there."""
        return dict(self._since.get(place, {}))

    def set_since(self, place: Place, since: Mapping[Counter, int | None]) -> None:
        self._since[place] = dict(since)
        self._unheard.discard(place)
        if None in since.values():
            self._unheard.add(place)

    def lacks(self, counter: Counter, partition: int, as_of_ms: int) -> bool:
        """True if the counter's reading of a number of this partition may lack events."""
        since = self._since.get((counter.topic, home_of(partition)))
        if not since or counter not in since:
            return False
        at = since[counter]
        return at is None or as_of_ms - at < counter.reach_ms

    def warming(self) -> int:
        """The number of (counter, place) that lack events, as of the places' clocks."""
        clocks = self.clocks()
        return sum(
            at is None or clocks.get(place, at) - at < counter.reach_ms
            for place, since in self._since.items()
            for counter, at in since.items()
        )

    def settle(self) -> None:
        """Forgets counters that have warmed, even as of the latest event that is still accepted."""
        for place, since in list(self._since.items()):
            oldest = self.horizon(place)
            self._since[place] = {c: at for c, at in since.items() if at is None or oldest - at < c.reach_ms}
            if not self._since[place]:
                del self._since[place]
