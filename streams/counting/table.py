"""The table of one topic: its numbers, its counters, their words in the rows, the events that hit them, and their
readings.

Each counter has two readings of a number: VOUCHED, over the events that somebody vouches for, and ALL, over all events.
A number has a row of its own in each reading's store; without one in ALL, both readings are the same, and without one
in VOUCHED that reading is empty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rules.credit import FINGERPRINT, NO_CREDIT, Credit
from rules.expressions import Expression
from rules.kinds import KINDS
from rules.model import Counter
from streams.counting.chunk import BYTES
from streams.counting.identity import identity_of
from streams.counting.kinds.base import CounterState, Events
from streams.counting.plan import value_columns, weights
from streams.counting.rows import HEADER, NEWEST, NUMBER, Store
from streams.ingest.fields import field_column, is_present
from streams.ingest.merge import Merged

READINGS = VOUCHED, ALL = "vouched", "all"
NONE, IDLE = -1, -2  # in place of a row: there is none; nothing reads it any more


@dataclass(slots=True)
class View:
    """A reading's events of an epoch as one topic sees them, n of them: its own ones, or all when some rule reads
    several topics."""

    store: Store
    events: Merged
    index: np.ndarray  # int64[n]: their places in the epoch
    mine: np.ndarray  # bool[n]: events of this topic
    rows: np.ndarray  # int64[n]
    as_of: np.ndarray  # int64[n]: the number's newest time on this topic, ms


@dataclass(slots=True)
class NumberRows:
    """The rows of k numbers in both readings, or NONE or IDLE."""

    numbers: np.ndarray  # int64[k], ascending
    vouched: np.ndarray  # int64[k]
    all: np.ndarray  # int64[k]


@dataclass(slots=True)
class Readings:
    """The readings of k numbers by the counters."""

    numbers: np.ndarray  # int64[k], ascending
    newest_ms: np.ndarray  # int64[k]
    outputs: dict[Counter, tuple[np.ndarray, ...]]  # float64[k] each


class TopicState:
    KEY = "number"  # the column of those who have rows

    def __init__(self, name: str, counters: list[Counter], numbers_max: int) -> None:
        self.name = name
        self.counters: dict[Counter, CounterState] = {}
        at = HEADER
        for counter in counters:
            state = KINDS[counter.kind].state(counter, at)
            self.counters[counter] = state
            at += state.words
        self.ids = {identity_of(counter, state): counter for counter, state in self.counters.items()}
        self.stores = {reading: Store(at - HEADER, numbers_max) for reading in READINGS}
        self._credit = NO_CREDIT

    def inherit(self, old: TopicState) -> None:
        """Takes over all numbers, and the counts of the counters that both have. `old` must not be used any more."""
        moves = []
        at = {counter: state.at for counter, state in self.counters.items()}
        for counter, state in old.counters.items():
            if counter in at:
                moves.append((state.at, at[counter], state.words))
                state.at = at[counter]
                self.counters[counter] = state
        words = self.stores[VOUCHED].rows.shape[1] - HEADER
        self.stores = {reading: store.laid_out_anew(words, moves) for reading, store in old.stores.items()}

    def tell_apart(self, numbers: np.ndarray, own: np.ndarray) -> None:
        """Gives these numbers rows of their own in ALL, copies of those they have: from here on their readings may
        differ. To be called before an event of the epoch counts. own: bool[k], seen in an event of this topic; others
        need a row only when there is something to copy."""
        vouched, every = (self.stores[reading] for reading in READINGS)
        found = vouched.rows_of(numbers, False)
        rows = every.rows_of(numbers, own | (found >= 0))
        fresh = (rows >= 0) & (found >= 0) & (every.rows[rows, NEWEST] == 0)
        if not fresh.any():  # nothing to copy, as mostly
            return
        into, first = np.unique(rows[fresh], return_index=True)
        source = found[fresh][first]
        every.rows[into, NEWEST] = vouched.rows[source, NEWEST]
        every.touch(into)
        for state in self.counters.values():
            words = vouched.rows[source, state.at : state.at + state.words]
            state.restore(every.rows, into, words, state.save(vouched.rows, source))

    def are_told_apart(self, numbers: np.ndarray) -> np.ndarray:
        """bool[n]: numbers with a row of their own in ALL."""
        return self.stores[ALL].rows_of(numbers, False) >= 0

    def view(self, events: Merged, among: np.ndarray, whole: bool, reading: str) -> View:
        """Gives every number of this topic a row in VOUCHED and notes the times; rows in ALL are there already. among:
        bool[n], the reading's events. `whole`: look at the other topics' events too."""
        store = self.stores[reading]
        mine = self.mine(events) & among
        index = np.flatnonzero(among if whole else mine)
        if len(index) < events.n:
            events, mine = events.take(index), mine[index]
        rows = store.rows_of(events[self.KEY], mine if reading == VOUCHED else False)
        return View(store, events, index, mine, rows, store.note_times(rows, events["at"], mine))

    def mine(self, events: Merged) -> np.ndarray:
        """bool[n]: the events that this table may count."""
        return events.of_topic(self.name)

    def hits(self, view: View) -> dict[Counter, np.ndarray]:
        """bool[n] per counter: events that count in it. Counters that count the same events share one array."""
        masks: dict[tuple[object, ...], np.ndarray] = {}
        kinds: dict[frozenset[str], np.ndarray] = {}  # of events: counters ask for few
        out = {}
        for counter in self.counters:
            same = (counter.events, counter.where, counter.condition, value_columns(counter), weights(counter))
            if same not in masks:
                if counter.events not in kinds:
                    kinds[counter.events] = view.mine & view.events.of_events(counter.events)
                masks[same] = self._hit(counter, view.events, kinds[counter.events])
            out[counter] = masks[same]
        return out

    def hit(self, counter: Counter, events: Merged, mine: np.ndarray) -> np.ndarray:
        """bool[n]: those of `mine` that count in it."""
        return self._hit(counter, events, mine & events.of_events(counter.events))

    def _hit(self, counter: Counter, events: Merged, of_kind: np.ndarray) -> np.ndarray:
        hit = of_kind & self._counts_in(counter, events)
        again = np.flatnonzero(hit & events["amends"])
        if len(again):  # what has counted without a duration counts no second time
            before = events.take(again)
            before.columns["duration"] = np.full(len(again), -1, np.int64)
            hit[again] = ~self._counts_in(counter, before)
        return hit

    def _counts_in(self, counter: Counter, events: Merged) -> np.ndarray:
        """bool[n], by condition and value: of the events whose kinds it counts."""
        hit = np.ones(events.n, np.bool_)
        if counter.where is not None:
            hit &= _judged(counter.where, events)[1]
        columns_of_value = value_columns(counter)
        if counter.condition is not None:
            hit &= _judged(counter.condition, events)[0]
        elif weights(counter):
            hit &= _values(counter, events) > 0
        elif columns_of_value != ("id",):
            hit &= np.logical_or.reduce([is_present(name, events[name]) for name in columns_of_value])
        return hit

    def read(
        self,
        counter: Counter,
        view: View,
        hit: np.ndarray,
        wanted: np.ndarray,
        as_of: Sequence[np.ndarray] = (),
    ) -> list[tuple[np.ndarray, ...]]:
        """Counts the hits and reads where `wanted`: as of the topic's own newest times, and then as of each of `as_of`.
        All readings of an event come right after it has counted."""
        state, rows = self.counters[counter], view.store.rows
        batch = Events(
            view.rows, view.events["at"], view.as_of, hit & (view.rows >= 0), wanted, _values(counter, view.events),
            view.events["event"], view.events["closed"],
        )  # fmt: skip
        if not as_of:
            return [state.process(rows, batch)]
        times = 1 + len(as_of)
        readings = state.process(rows, _interleaved(batch, as_of))
        return [tuple(r[k::times] for r in readings) for k in range(times)]

    def count(self, events: Merged, among: np.ndarray, reading: str) -> None:
        """Counts the reading's events of this topic and reads nothing."""
        view = self.view(events, among, False, reading)
        nowhere = np.zeros(view.events.n, np.bool_)
        for counter, hit in self.hits(view).items():
            self.read(counter, view, hit, nowhere)

    def reclaim(self, horizons_ms: np.ndarray, budget: int) -> None:
        """See Store."""
        forget = [state.forget for state in self.counters.values()]
        idle = [state.idle for state in self.counters.values()]
        self.stores[VOUCHED].reclaim(horizons_ms, idle, forget, budget)
        # Without its row in ALL a number reads there as it does in VOUCHED, so that one must have gone before.
        self.stores[ALL].reclaim(horizons_ms, [self._without_vouched, *idle], forget, budget)

    def _without_vouched(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        return self.stores[VOUCHED].rows_of(rows[candidates, NUMBER], False) < 0

    # -- images ------------------------------------------------------------------------------------------------

    def save(
        self, partition: int, partitions: int, whole: bool
    ) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        """Pieces of an image of one partition's rows (`whole`: all, else those touched since they were last saved):
        fields and arrays of each, copies. VOUCHED comes first."""
        for reading, store in self.stores.items():
            index = store.rows_in(partition, partitions, dirty_only=not whole)
            store.clean(index)
            rows = store.rows
            size = np.full(len(index), rows.shape[1] * rows.itemsize)
            for state in self.counters.values():
                size += state.sizes(rows, index)
            piece = np.cumsum(size) // BYTES
            for part in np.split(index, np.flatnonzero(np.diff(piece)) + 1) if len(index) else ():
                yield self._save(reading, part)

    def _save(self, reading: str, index: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        rows = self.stores[reading].rows
        arrays = {"block": rows[index]}
        layout = []
        for counter_id, counter in self.ids.items():
            state = self.counters[counter]
            layout.append({"id": counter_id, "name": counter.name, "at": state.at})
            for name, (where, cells) in state.save(rows, index).items():
                arrays[f"{counter_id}.{name}.rows"] = where
                arrays[f"{counter_id}.{name}.cells"] = cells
                # A slot's number means nothing elsewhere.
                arrays["block"][where, state.slot_word(name)] = -1
        return {"topic": self.name, "reading": reading, "counters": layout}, arrays

    def load(self, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
        """Replaces the rows of the numbers in one chunk. Counters that are not known here are left out; those that the
        chunk does not know stay as they are. Returns how many numbers there were."""
        block = arrays["block"]
        store = self.stores[fields["reading"]]
        if store is self.stores[VOUCHED]:
            # An event that touches a number's row here touches the one in ALL too, where there is one: then that row
            # is in a piece behind this one, and else it has been given back.
            self._give_back(self.stores[ALL], block[:, NUMBER])
        index = store.rows_of(block[:, NUMBER])
        kept = np.flatnonzero(index >= 0)  # a full store tracks no more
        index = index[kept]
        rows = store.rows
        rows[index, :HEADER] = block[kept, :HEADER]
        for counter_fields in fields["counters"]:
            if counter_fields["id"] not in self.ids:
                continue
            state = self.counters[self.ids[counter_fields["id"]]]
            words = block[:, counter_fields["at"] : counter_fields["at"] + state.words]
            saved = {}
            for name in state.pools():
                if f"{counter_fields['id']}.{name}.rows" in arrays:
                    where, cells = (arrays[f"{counter_fields['id']}.{name}.{part}"] for part in ("rows", "cells"))
                    there = np.isin(where, kept)
                    saved[name] = np.searchsorted(kept, where[there]), cells[there]
            state.restore(rows, index, words[kept], saved)
        store.clean(index)
        return len(index)

    def drop(self, partition: int, partitions: int) -> None:
        for store in self.stores.values():
            self._give_back(store, store.heads(store.rows_in(partition, partitions))[0])

    def _give_back(self, store: Store, numbers: np.ndarray) -> None:
        """Gives back a reading's rows of these numbers."""
        gone = store.rows_of(numbers, False)
        gone = gone[gone >= 0]
        for state in self.counters.values():
            state.forget(store.rows, gone)
        store.give_back(gone)

    def readings(self, partition: int, partitions: int, horizon_ms: int, reading: str) -> Readings:
        """Returns the readings of one partition's numbers, each as of its newest time; without numbers that no later
        reading needs as of the horizon."""
        return self._readings(self._rows_by_reading(partition, partitions, horizon_ms), reading, 0.0)

    def go_by(self, credit: Credit) -> None:
        """Reads by this credit of reporters from here on."""
        self._credit = credit
        for state in self.counters.values():
            state.go_by(credit)

    def digest(self, partition: int, partitions: int, horizon_ms: int) -> bytes:
        """Returns a hash of everything that can be read of the partition's numbers, now and later, whatever its form in
        memory, and whatever credit reporters have. Levels are rounded to nine digits."""
        credit, digest = self._credit, hashlib.blake2b(digest_size=16)
        self.go_by(FINGERPRINT)
        rows = self._rows_by_reading(partition, partitions, horizon_ms)
        for eighths in range(8):
            vouched, every = (self._readings(rows, reading, eighths / 8) for reading in READINGS)
            columns, others = self._rounded(vouched), self._rounded(every)
            # A row of its own that reads as the other one is no difference.
            same = (columns == others) | (np.isnan(columns) & np.isnan(others))
            differs = (vouched.newest_ms != every.newest_ms) | ~same.all(axis=1)
            for column in (vouched.numbers, vouched.newest_ms, columns):
                digest.update(column.tobytes())
            for column in (every.numbers, every.newest_ms, others):
                digest.update(column[differs].tobytes())
        self.go_by(credit)
        return digest.digest()

    def _rounded(self, readings: Readings) -> np.ndarray:
        """float64[k, outputs of all counters], to nine digits."""
        counters = [self.ids[counter_id] for counter_id in sorted(self.ids)]
        columns = [column for counter in counters for column in readings.outputs[counter]]
        if not columns:
            return np.empty((len(readings.numbers), 0))
        share, power = np.frexp(np.stack(columns, axis=1))
        return np.ldexp(np.round(share, 9), power)

    def _rows_by_reading(self, partition: int, partitions: int, horizon_ms: int) -> NumberRows:
        """The rows of one partition's numbers that some reading may still need."""
        rows = {}
        for reading, store in self.stores.items():
            index = store.rows_in(partition, partitions)
            gone = np.flatnonzero(store.rows[index, NEWEST] <= horizon_ms)
            for state in self.counters.values():
                gone = gone[state.idle(store.rows, index[gone], horizon_ms)]
            rows[reading] = index, gone
        numbers = [self.stores[of].rows[np.delete(*found), NUMBER] for of, found in rows.items()]
        every = np.unique(np.concatenate(numbers))
        at = {}
        for reading, store in self.stores.items():
            at[reading] = store.rows_of(every, False)
            at[reading][np.isin(at[reading], rows[reading][0][rows[reading][1]])] = IDLE
        return NumberRows(every, at[VOUCHED], at[ALL])

    def _readings(self, rows: NumberRows, reading: str, later: float) -> Readings:
        """The readings as of each number's newest time, or `later` times the counter's reach after it."""
        found = self.read_all(self.stores[VOUCHED], rows.vouched, later)
        if reading == ALL and (own := rows.all != NONE).any():
            other = self.read_all(self.stores[ALL], rows.all, later)
            found = [np.where(own, mine, theirs) for mine, theirs in zip(other, found, strict=True)]
        newest_ms, *columns = found
        return Readings(rows.numbers, newest_ms, self.by_counter(columns))

    def by_counter(self, columns: list[np.ndarray]) -> dict[Counter, tuple[np.ndarray, ...]]:
        outputs, at = {}, 0
        for counter in self.counters:
            outputs[counter] = tuple(columns[at : at + len(counter.outputs)])
            at += len(counter.outputs)
        return outputs

    def read_all(self, store: Store, index: np.ndarray, later: float, as_of_ms: int | None = None) -> list[np.ndarray]:
        """Returns newest times, and all counters' outputs as of them or as_of_ms; rows below 0 read as empty."""
        newest_ms = np.where(index >= 0, store.rows[index, NEWEST], 0)
        n = len(index)
        none, every = np.zeros(n, np.int64), np.ones(n, np.bool_)
        code = np.zeros(n, np.uint8)
        index = np.maximum(index, -1)
        columns = [newest_ms]
        for counter, state in self.counters.items():
            as_of = newest_ms + int(counter.reach_ms * later) if as_of_ms is None else np.full(n, as_of_ms)
            columns += state.process(store.rows, Events(index, as_of, as_of, ~every, every, none, code, ~every))
        return columns

    def nbytes(self) -> int:
        stores = sum(store.nbytes() for store in self.stores.values())
        return stores + sum(state.nbytes() for state in self.counters.values())


def _values(counter: Counter, events: Merged) -> np.ndarray:
    """int64[n]: the value that the counter looks at in each event."""
    if counter.condition is not None:
        return _judged(counter.condition, events)[1].astype(np.int64)
    *names, last = value_columns(counter)
    if amounts := weights(counter):
        return np.array(amounts, np.int64)[events[last]]
    value = events[last]
    for name in reversed(names):
        value = np.where(is_present(name, events[name]), events[name], value)
    return value


def _judged(condition: Expression, events: Merged) -> tuple[np.ndarray, np.ndarray]:
    """Two bool[n]: events that have all fields which the condition reads, and those of them for which it holds."""
    columns = {name: field_column(name, events.columns, slice(None)) for name in condition.names}
    return condition.judge(columns, events.n)


def _interleaved(batch: Events, as_of: Sequence[np.ndarray]) -> Events:
    """Each event several times: first it counts and is read as of its own topic, then it is only read as of each of
    `as_of`."""
    n, times = len(batch.row), 1 + len(as_of)
    each = np.repeat(np.arange(n), times)
    first = np.tile(np.arange(times) == 0, n)
    return Events(
        batch.row[each], batch.at[each], np.stack((batch.as_of, *as_of), axis=1).ravel(), batch.hit[each] & first,
        batch.read[each], batch.value[each], batch.event[each], batch.closed[each],
    )  # fmt: skip
