"""Counters per others than the number of their records: callees, recipients.

Such events leave the partition of their number through the topic `derived` (streams/ingest/derived.py), and are counted
where the other one belongs, in the order of that topic's log. Nothing is judged late or twice there: that was done
where their records arrived. There is one reading, over all events: nobody is blocked by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from rules.model import Counter
from schemas.feeds import FEEDS
from schemas.subjects import SUBJECTS, Subject
from schemas.topics import DERIVED
from streams.counting import chunk
from streams.counting.plan import value_columns
from streams.counting.rows import NUMBER
from streams.counting.table import VOUCHED, TopicState, View
from streams.ingest.admission import NEVER
from streams.ingest.derived import HERE, SUBJECT
from streams.ingest.fields import absent
from streams.ingest.merge import Merged
from streams.ingest.names import NAMES_MAX, keys_of

# Events of a partition that lags may be older than those of others. Rows that could still be read are kept for this
# long behind the newest event; what an older one finds gone, reads as if its subject had been silent.
HOLD_BACK_MS = 86_400_000
RECLAIM_ROWS = 20_000
NAMES_SPARE = 1024  # texts that may be kept of those who are gone
SERIES_MIN = 1000  # digits that a series has at least, as a number
# The columns of every derived event, besides those that counters and rules read.
ALWAYS = ("at", "event", "topic", "number", "amends", "vouched", "duration", "closed")


class SubjectState(TopicState):
    """The table of one subject, whatever topics its events are of."""

    KEY = SUBJECT

    def __init__(self, subject: Subject, counters: list[Counter], rows_max: int) -> None:
        super().__init__(f"{DERIVED}/{subject.name}", counters, rows_max)  # which no topic is called
        self.subject = subject

    def mine(self, events: Merged) -> np.ndarray:
        return np.ones(events.n, np.bool_)

    def view_of(self, events: Merged) -> View:
        return self.view(events, np.ones(events.n, np.bool_), False, VOUCHED)


class Others:
    """The tables of all subjects besides numbers, of all partitions together."""

    def __init__(self, counters: Mapping[str, list[Counter]], fields: Collection[str], rows_max: int) -> None:
        """fields: columns that conditions read."""
        self.states = {subject: SubjectState(SUBJECTS[subject], of, rows_max) for subject, of in counters.items()}
        self._columns = {
            subject: tuple(dict.fromkeys((*ALWAYS, *fields, *(name for c in of for name in value_columns(c)))))
            for subject, of in counters.items()
        }
        self.names: dict[int, str] = {}  # by key, of those in the tables that are named by a text
        self._newest_ms: dict[int, int] = {}  # of each partition's events
        # Since when counters that began behind the log's beginning have counted there; None before their first event.
        self._since: dict[int, dict[Counter, int | None]] = {}
        self._taken: set[int] = set()  # partitions whose next image may build on the last one

    def __bool__(self) -> bool:
        return bool(self.states)

    def gather(self, events: Merged, names: Mapping[int, str]) -> dict[str, Merged]:
        """By subject, the events that some counter counts for one of them, in columns, with the key of that one. names:
        all texts that are known; who has none is not counted."""
        out = {}
        for subject, state in self.states.items():
            keys = self._keys(state, events)
            # What counted before somebody vouched for it counts no second time.
            there = (keys != 0) & ~events["first_vouched"]
            if state.subject.is_text and len(names) >= NAMES_MAX:
                there &= np.fromiter((key in names for key in keys.tolist()), np.bool_, len(keys))
            masks = [state.hit(counter, events, there & events.of_topic(counter.topic)) for counter in state.counters]
            index = np.flatnonzero(np.logical_or.reduce(masks))
            if len(index):
                columns = {name: events[name][index] for name in (*self._columns[subject], *HERE)}
                out[subject] = Merged(columns | {SUBJECT: keys[index]})
        return out

    @staticmethod
    def _keys(state: SubjectState, events: Merged) -> np.ndarray:
        """int64[n]: the key of whom each event names, 0 for nobody."""
        found = np.zeros(events.n, np.int64)
        for topic, per in {(counter.topic, counter.per) for counter in state.counters}:
            mine = events.of_topic(topic)
            found[mine] = events[FEEDS[topic].column_of(per)][mine]
        if state.subject.is_text:
            return keys_of(found)
        # A text that is no number is nobody's, and so is a number that is too short to be one of a series.
        keys = np.maximum(found, 0) // 10**state.subject.digits
        return keys if not state.subject.digits else np.where(keys >= SERIES_MIN, keys, 0)

    def whole(self, subject: str, columns: Mapping[str, np.ndarray]) -> Merged:
        """Derived events with all columns that are read. Those that other rules sent may lack some."""
        n = len(columns["at"])
        lacking = {name: np.full(n, absent(name)) for name in self._columns[subject]}
        return Merged(lacking | dict(columns))

    def heard(self, events: Merged) -> None:
        """Notes the times of events that are about to be counted."""
        for partition in np.unique(events["partition"]).tolist():
            at = events["at"][events["partition"] == partition]
            self._newest_ms[partition] = max(self._newest_ms.get(partition, NEVER), int(at.max()))
            since = self._since.get(partition, {})
            self._since[partition] = {c: int(at[0]) if t is None else t for c, t in since.items()}

    def count(self, parts: Mapping[str, Merged]) -> None:
        """Counts events and reads nothing."""
        for subject, events in parts.items():
            self.heard(events)
            self.states[subject].count(events, np.ones(events.n, np.bool_), VOUCHED)

    def reclaim(self, partitions: int) -> None:
        """Does a bounded piece of reclaiming work."""
        if not self.states or not self._newest_ms:
            return
        known = range(partitions) if partitions else (None,)
        horizons = np.array([self._horizon_ms(partition) for partition in known], np.int64)
        for state in self.states.values():
            state.reclaim(horizons, RECLAIM_ROWS)
        rows = [len(state.stores[VOUCHED]) for state in self.states.values() if state.subject.is_text]
        if partitions and len(self.names) > NAMES_SPARE + 2 * sum(rows):
            self._forget_names()

    def _horizon_ms(self, partition: int | None) -> int:
        """None: of all of them, whose partitions are not known."""
        if partition is None:
            newest_ms = max(self._newest_ms.values(), default=NEVER)
        else:
            newest_ms = self._newest_ms.get(partition, NEVER)
        return newest_ms - HOLD_BACK_MS if newest_ms > NEVER else NEVER

    def _forget_names(self) -> None:
        """Forgets the texts of those who have no row any more."""
        keys = np.array(list(self.names), np.int64)
        stores = [state.stores[VOUCHED] for state in self.states.values() if state.subject.is_text]
        kept = np.logical_or.reduce([np.zeros(len(keys), np.bool_), *(s.rows_of(keys, False) >= 0 for s in stores)])
        self.names = {key: self.names[key] for key in keys[kept].tolist()}

    def newest_ms(self, partition: int) -> int:
        return self._newest_ms.get(partition, NEVER)

    # -- warming -----------------------------------------------------------------------------------------------

    def begin(self, partition: int, counters: Collection[Counter] | None = None) -> None:
        """Notes that these counters, all unless given, count from here on and lack earlier events."""
        at = self._newest_ms.get(partition)
        every = [counter for state in self.states.values() for counter in state.counters]
        since = self._since.setdefault(partition, {})
        since |= dict.fromkeys(every if counters is None else counters, at)

    def lacks(self, counter: Counter, partition: int, as_of_ms: int) -> bool:
        """True if the counter's reading in this partition may lack events."""
        since = self._since.get(partition, {})
        if counter not in since:
            return False
        at = since[counter]
        return at is None or as_of_ms - at < counter.reach_ms

    def inherit(self, old: Others, partitions: Collection[int]) -> None:
        """Takes over the counters that both have, under other rules. `old` must not be used any more."""
        self._newest_ms, self.names = old._newest_ms, old.names
        fresh: list[Counter] = []
        for subject, state in self.states.items():
            known = old.states[subject].counters.keys() if subject in old.states else {}
            fresh += [counter for counter in state.counters if counter not in known]
            if subject in old.states:
                state.inherit(old.states[subject])
        every = {counter for state in self.states.values() for counter in state.counters}
        self._since = {p: {c: at for c, at in since.items() if c in every} for p, since in old._since.items()}
        for partition in partitions if fresh else ():
            self.begin(partition, fresh)
        if not fresh and self.states.keys() == old.states.keys():
            same = all(s.counters.keys() == old.states[name].counters.keys() for name, s in self.states.items())
            self._taken = old._taken if same else set()

    # -- images ------------------------------------------------------------------------------------------------

    def take(self, partition: int, partitions: int, whole: bool) -> Iterator[bytes]:
        """The pieces of a partition's image, to follow those of the numbers."""
        common = {"partition": partition, "partitions": partitions}
        whole |= partition not in self._taken
        self._taken.add(partition)
        for state in self.states.values():
            since = self._since.get(partition, {})
            fields = {
                "kind": "subject",
                "topic": state.name,
                "newest_ms": self._newest_ms.get(partition),
                "since": {known: since[counter] for known, counter in state.ids.items() if counter in since},
                "counters": [{"id": known} for known in state.ids],
            }
            yield chunk.encode({**common, **fields}, {})
            for row_fields, arrays in state.save(partition, partitions, whole):
                if state.subject.is_text:
                    row_fields["names"] = [self.names.get(key, "") for key in arrays["block"][:, NUMBER].tolist()]
                yield chunk.encode({"kind": "rows", **common, **row_fields}, arrays)

    def must_be_whole(self, partition: int) -> bool:
        return bool(self.states) and partition not in self._taken

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """True if a piece of an image, by its fields, is of one of these tables."""
        return fields.get("topic") in {state.name for state in self.states.values()}

    def load(self, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
        """Loads a piece; returns how many subjects it had."""
        partition = fields["partition"]
        state = next(state for state in self.states.values() if state.name == fields["topic"])
        if fields["kind"] == "rows":
            self.names.update(zip(arrays["block"][:, NUMBER].tolist(), fields.get("names", ()), strict=False))
            return state.load(fields, arrays)
        self._taken.add(partition)
        known = {counter["id"] for counter in fields["counters"]}
        if known != state.ids.keys():
            self._taken.discard(partition)
        if fields["newest_ms"] is not None:
            self._newest_ms[partition] = max(self.newest_ms(partition), fields["newest_ms"])
        since = self._since.setdefault(partition, {})
        for counter in state.counters:  # which were warming as long as nothing was known of them
            since.pop(counter, None)
        since |= {state.ids[i]: at for i, at in fields["since"].items() if i in state.ids}
        since |= {counter: fields["newest_ms"] for i, counter in state.ids.items() if i not in known}
        return 0

    def drop(self, partition: int, partitions: int) -> None:
        self._taken.discard(partition)
        self._newest_ms.pop(partition, None)
        self._since.pop(partition, None)
        for state in self.states.values():
            state.drop(partition, partitions)

    def digest(self, partition: int, partitions: int) -> bytes:
        """As streams.counting.counts.Counted.digest."""
        digest = hashlib.blake2b(digest_size=16)
        if self.states and partition in self._newest_ms:
            digest.update(b"%d" % self._newest_ms[partition])
            for state in self.states.values():
                digest.update(state.digest(partition, partitions, self._horizon_ms(partition)))
        return digest.digest()

    def warming(self) -> int:
        """The number of (counter, partition) that may lack events."""
        return sum(
            self.lacks(counter, partition, self._newest_ms.get(partition, at or 0))
            for partition, since in self._since.items()
            for counter, at in since.items()
        )

    def stats(self) -> dict[str, float]:
        stores = [state.stores[VOUCHED] for state in self.states.values()]
        return {
            "tracked_others": sum(len(store) for store in stores),
            "untracked_events": sum(store.untracked for store in stores),
            "state_bytes": sum(state.nbytes() for state in self.states.values()),
        }
