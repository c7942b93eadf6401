"""Everything that an engine has counted: numbers and their counters by topic, clocks, memories of ids."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from rules.credit import Credit
from schemas import codes
from schemas.topics import DERIVED
from streams.counting.image import Images
from streams.counting.others import Others
from streams.counting.plan import Plan
from streams.counting.table import ALL, READINGS, VOUCHED, TopicState
from streams.ingest.admission import NEVER, Accepted, Intake
from streams.ingest.epoch import NO_ORIGIN, Place, home_of, origin_of
from streams.ingest.merge import Merged
from streams.ingest.places import Places

RECLAIM_ROWS = 20_000  # looked at per call of `reclaim`
FULL = codes.VERIFIED.index("full")
INTERNATIONAL = codes.ORIGINS.index("international")
FOREIGN = codes.NUMBER_TYPES.index("international")
# Strays may stop coming for good, and so may a topic that rules read together with another. Their clocks hold
# reclaiming back for this long; what one of their events then finds reclaimed, were it older still, reads as if the
# number had been silent.
OTHERS_HOLD_BACK_MS = 86_400_000


class Counted:
    """State of the counters of a plan, of all partitions together."""

    def __init__(
        self,
        plan: Plan,
        lateness_ms: int,
        numbers_max: int,
        own_lateness_ms: np.ndarray | None = None,
        legs: np.ndarray | None = None,
    ) -> None:
        """own_lateness_ms, legs: by the code of a feed (see streams.ingest.admission.Intake)."""
        self.topics = plan.topics
        self.uncounted, self.ignored = plan.uncounted, plan.ignored
        self.crosses = plan.crosses
        self.states = {name: TopicState(name, counters, numbers_max) for name, counters in plan.counters.items()}
        self._reads_duration = plan.reads_duration
        self._of_feeds = own_lateness_ms, legs
        self.intake = Intake(
            lateness_ms, track_answers=self._reads_duration, own_lateness_ms=own_lateness_ms, legs=legs
        )
        self.places = Places(self.intake)
        self.others = Others(plan.others, plan.other_columns, numbers_max)
        self.images = Images(self.states, self.places, self.others)

    def go_by(self, credit: Credit) -> None:
        """Reads by this credit of reporters from here on."""
        for state in self.states.values():
            state.go_by(credit)

    def accept(self, events: Merged) -> Accepted:
        """Judges an epoch's events, and adds the column `vouched`."""
        vouched = vouched_for(events)
        sources = self.places.sources(events, self.topics)
        accepted = self.intake.accept(
            sources, events["feed"], events["at"], events["timestamp"], events["event"], events["id"], events["number"],
            events["peer"], events["duration"], vouched,
        )  # fmt: skip
        self.places.heard(sources, accepted.time)
        # A text that is no E.164 number is never blocked: one reading is enough, and it has all events.
        one = events["number"] <= 0
        if one.any():
            vouched |= one
            accepted.first_vouched[one] = False
            accepted.closed_vouched[one] = accepted.closed[one]
            accepted.duration_vouched[one] = accepted.duration[one]
        events.columns["vouched"] = vouched
        return accepted

    def tell_apart(self, events: Merged) -> np.ndarray:
        """Returns bool[n], True for events of numbers whose two readings differ, after this epoch if not before. To be
        called before the epoch counts: until then both readings of the numbers that are new among them are the same."""
        states = self.states
        apart = ~events["vouched"] | events["first_vouched"]
        apart |= events["closed"] != events["closed_vouched"]
        apart |= events["duration"] != events["duration_vouched"]
        if not (apart.any() or any(len(state.stores[ALL]) for state in states.values())):
            return apart
        mine = {name: events.of_topic(name) for name in states}
        for name, state in states.items():
            numbers = events["number"][mine[name] & apart]
            state.tell_apart(numbers, np.ones(len(numbers), np.bool_))
        for name, state in states.items():
            if self.crosses:
                apart |= state.are_told_apart(events["number"])
            else:
                index = np.flatnonzero(mine[name] & ~apart)
                apart[index] = state.are_told_apart(events["number"][index])
        if self.crosses:  # a rule reads them together
            for name, state in states.items():
                state.tell_apart(events["number"][apart], mine[name][apart])
        return apart

    def count(self, events: Merged) -> None:
        """Counts an epoch and reads nothing."""
        apart = self.tell_apart(events)
        for state in self.states.values():
            state.count(as_vouched(events), events["vouched"], VOUCHED)
            state.count(events, apart & ~events["first_vouched"], ALL)

    def begin(self, partition: int, topic: str) -> None:
        """Counters of a place begin without its past."""
        if topic == DERIVED:
            self.others.begin(partition)
        elif topic in self.states and origin_of(partition) == NO_ORIGIN:
            self.places.begin((topic, partition), self.states[topic].counters)

    def of_numbers(self, events: Merged, places: np.ndarray) -> tuple[Merged, np.ndarray]:
        """Those of the events that count for their numbers, and of their places."""
        others_alone = set(self.uncounted) - set(self.ignored)
        if not others_alone:
            return events, places
        index = np.flatnonzero(~np.logical_or.reduce([events.of_topic(topic) for topic in sorted(others_alone)]))
        return events.take(index), places[index]

    def reclaim(self, partitions: int) -> None:
        """Does a bounded piece of reclaiming work; changes no later reading. partitions: their count, 0 if it is not
        known."""
        clocks = self.places.clocks(topics=self.topics)
        for name, state in self.states.items():
            # A rule across topics can read this topic's numbers as of another topic's events.
            heard = {place: clock for place, clock in clocks.items() if self._is_read_with(name, place)}
            if heard:
                state.reclaim(self._horizons_ms(name, heard, partitions), RECLAIM_ROWS)
        self.places.settle()
        self.others.reclaim(partitions)

    def inherit(self, old: Counted, partitions: int) -> None:
        """Takes over the counters that both have, under other rules. `old` must not be used any more. partitions: their
        count, 0 if it is not known."""
        if self._reads_duration:
            old.intake.track_answers()
        self.intake, self.places = old.intake, old.places
        self.intake.put_under(*self._of_feeds)
        self.others.inherit(old.others, range(partitions))
        self.images = Images(self.states, self.places, self.others)
        same = self.topics == old.topics
        for name, state in self.states.items():
            known = old.states[name].counters.keys() if name in old.states else {}
            fresh = [counter for counter in state.counters if counter not in known]
            same &= not fresh and len(known) == len(state.counters)
            if name in old.states:
                state.inherit(old.states[name])
            self.places.change(name, state.counters, fresh)
        if same:
            self.images.inherit(old.images)

    def digest(self, partition: int, partitions: int) -> bytes:
        """Equal where readings, clocks and memories of the partition are equal, however they came about. Rows that no
        reading needs any more do not count: they may have been reclaimed or not."""
        digest = hashlib.blake2b(digest_size=16)
        clocks = self.places.clocks(partition, self.topics)
        for place, clock in sorted(clocks.items()):
            remembered = self.intake.digest(self.places.source(place))
            digest.update(repr((place, clock, remembered)).encode())
        for name, state in self.states.items():
            if not state.counters:  # no reading needs what other rules have left
                continue
            # Not before any horizon that reclaiming has had.
            heard = [place for place in clocks if self._is_read_with(name, place)]
            horizons = [max(clocks[place] - self.intake.lateness_max_ms, self.places.horizon(place)) for place in heard]
            horizon_ms = max(horizons, default=NEVER)
            digest.update(state.digest(partition, partitions, horizon_ms))
        digest.update(self.others.digest(partition, partitions))
        return digest.digest()

    def readings(
        self, partition: int, partitions: int, reading: str
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
        """By topic: (topic, numbers int64[k] ascending, newest times int64[k] ms, by counter's name float64[k])."""
        for name, state in self.states.items():
            read = state.readings(partition, partitions, NEVER, reading)
            columns = {
                f"{counter.name}.{part}" if part else counter.name: column
                for counter, outs in read.outputs.items()
                for part, column in zip(counter.outputs, outs, strict=True)
            }
            yield name, read.numbers, read.newest_ms, columns

    def stats(self) -> dict[str, float]:
        stores = [state.stores[reading] for state in self.states.values() for reading in READINGS]
        others = self.others.stats()
        return {
            "tracked_numbers": sum(len(store) for store in stores),
            "tracked_others": others["tracked_others"],
            "untracked_events": sum(store.untracked for store in stores) + others["untracked_events"],
            "state_bytes": sum(state.nbytes() for state in self.states.values())
            + self.intake.nbytes()
            + others["state_bytes"],
            "ids_bytes": self.intake.nbytes(),  # of them, for remembered ids
            "remembered_ids": self.intake.remembered(),
            "narrowed_events": self.intake.narrowed,
        }

    def _is_read_with(self, name: str, place: Place) -> bool:
        """True if this topic's numbers can be read as of an event of that place."""
        return place[0] == name or (self.crosses and place[0] not in self.uncounted)

    def _horizons_ms(self, topic: str, clocks: Mapping[Place, int], partitions: int) -> np.ndarray:
        """int64[partitions]: the time before which no reading of a partition's numbers on this topic can be asked for
        any more. One for all partitions when they are not known."""
        of: dict[int, dict[Place, int]] = {}
        for place, clock in clocks.items():
            of.setdefault(home_of(place[1]) if partitions else 0, {})[place] = clock
        out = np.full(max(1, partitions), NEVER)
        for home, heard in of.items():
            newest = max((clock for place, clock in heard.items() if place[0] == topic), default=NEVER)
            since = newest - OTHERS_HOLD_BACK_MS if newest > NEVER else NEVER
            out[home] = min(
                self._horizon_ms(place, clock, place[0] == topic and origin_of(place[1]) == NO_ORIGIN)
                for place, clock in heard.items()
                if clock > since or (place[0] == topic and (not partitions or origin_of(place[1]) == NO_ORIGIN))
            )
        return out

    def _horizon_ms(self, place: Place, clock_ms: int, at_home: bool) -> int:
        """The time before which a place asks for no reading. Few numbers may move its clock back and forth: then all
        rows are kept where they come from there alone, and else the clock of the moment says it."""
        horizon_ms = self.places.horizon(place)
        if horizon_ms > NEVER or at_home:
            return horizon_ms
        return clock_ms - self.intake.lateness_max_ms


def vouched_for(events: Merged) -> np.ndarray:
    """bool[n], True for events whose number somebody vouches for: fully verified, and no domestic number of foreign
    origin."""
    return (events["verified"] == FULL) & ~foreign_origin(events)


def foreign_origin(events: Merged) -> np.ndarray:
    """bool[n], True for events that show a domestic number from abroad."""
    return (events["origin"] == INTERNATIONAL) & (events["number_type"] != FOREIGN)


def as_vouched(events: Merged) -> Merged:
    """The events with the durations and ends of calls as the vouched reading knows them."""
    return Merged(events.columns | {"closed": events["closed_vouched"], "duration": events["duration_vouched"]})


def kept(events: Merged, accepted: Accepted, uncounted: Collection[str] = ()) -> tuple[Merged, np.ndarray]:
    """The events that count in some reading, with what the intake says of them; and their places, int64[k]. uncounted:
    topics whose events count nowhere.

    An answer that comes behind its release is followed by that release once more: with a duration now, and `amends` set
    since it has counted without. Column `id` is what tells events apart: of id, number and peer."""
    verdicts = {
        "at": accepted.time,
        "id": accepted.identity,
        "amends": np.zeros(events.n, np.bool_),
        "closed": accepted.closed,
        "duration": accepted.duration,
        "first_vouched": accepted.first_vouched,
        "closed_vouched": accepted.closed_vouched,
        "duration_vouched": accepted.duration_vouched,
    }
    seen = Merged(events.columns | verdicts)
    counts = accepted.counts()
    for topic in uncounted:
        counts = counts & ~events.of_topic(topic)
    index = np.flatnonzero(counts)
    amended = accepted.released[index] != 0
    if not amended.any():
        return (seen if len(index) == events.n else seen.take(index)), index
    index = np.repeat(index, 1 + amended)
    release = np.flatnonzero(np.repeat(amended, 1 + amended))[1::2]
    columns = seen.take(index).columns
    columns["at"][release] = accepted.released[index[release]]
    columns["event"][release] = codes.RELEASE
    columns["amends"][release] = True
    for name in ("duration", "duration_vouched"):  # the answer itself has none
        columns[name][release - 1] = -1
    return Merged(columns), index
