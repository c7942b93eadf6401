"""One topic's numbers and counters: where each counter's words lie, which events hit it, who reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rules.model import Counter
from streams.compile import CompiledRule, distinct_columns, field_column
from streams.counters.base import CounterState, Events
from streams.counters.registry import KINDS
from streams.merge import Merged
from streams.state.chunk import BYTES
from streams.store import HEADER, NEWEST, NEWEST_SPOOFABLE, NUMBER, Store


@dataclass(slots=True)
class View:
    """An epoch as one topic sees it, n events: its own ones, or all when some rule reads several topics."""

    events: Merged
    index: np.ndarray  # int64[n]: their places in the epoch
    mine: np.ndarray  # bool[n]: events of this topic
    rows: np.ndarray  # int64[n]
    as_of: np.ndarray  # int64[n]: the number's newest time on this topic, ms
    spoofed: np.ndarray  # int64[n]: newest time of spoofable evidence on this topic, 0 for none


class TopicState:
    def __init__(self, name: str, rules: list[CompiledRule], numbers_max: int) -> None:
        self.name = name
        self.counters: dict[Counter, CounterState] = {}
        at = HEADER
        for counter in dict.fromkeys(c for rule in rules for c in rule.counters if c.topic == name):
            state = KINDS[counter.kind](counter, at)
            self.counters[counter] = state
            at += state.words
        self.ids = {counter_id(counter, state): counter for counter, state in self.counters.items()}
        self.store = Store(at - HEADER, numbers_max)
        # How far back a spoofable event of this topic still sends a firing to review.
        self._spoofable_ms = max((rule.reach_ms for rule in rules if name in rule.topics), default=0)

    def inherit(self, old: TopicState) -> None:
        """Takes over all numbers and what the counters that both have counted. `old` must not be used any more."""
        moves = []
        at = {counter: state.at for counter, state in self.counters.items()}
        for counter, state in old.counters.items():
            if counter in at:
                moves.append((state.at, at[counter], state.words))
                state.at = at[counter]
                self.counters[counter] = state
        self.store = old.store.laid_out_anew(self.store.rows.shape[1] - HEADER, moves)

    def view(self, events: Merged, whole: bool, spoofable: np.ndarray) -> View:
        """Gives every number of this topic a row and notes the times. `whole`: look at the other topics' events too."""
        mine = events.of_topic(self.name)
        index = np.arange(events.n)
        if not whole and not mine.all():
            index = np.flatnonzero(mine)
            events, spoofable, mine = events.take(index), spoofable[index], mine[index]
        rows = self.store.rows_of(events["number"], mine)
        as_of, spoofed = self.store.note_times(rows, events["at"], spoofable, mine)
        return View(events, index, mine, rows, as_of, spoofed)

    def hits(self, view: View) -> dict[Counter, np.ndarray]:
        """bool[n] per counter: events that count in it. Counters that count the same events share one array."""
        masks: dict[tuple[object, ...], np.ndarray] = {}
        out = {}
        for counter in self.counters:
            looks_at = counter.field if counter.kind == "distinct" or counter.field == "duration" else None
            same = (counter.events, counter.where, looks_at)
            if same not in masks:
                masks[same] = self._hit(counter, view)
            out[counter] = masks[same]
        return out

    def _hit(self, counter: Counter, view: View) -> np.ndarray:
        events = view.events
        hit = view.mine & events.of_events(counter.events)
        if counter.where is not None:
            names = counter.where.names
            columns = {name: field_column(name, events.columns, slice(None)) for name in names}
            hit &= counter.where.evaluate(columns, events.n)
        if counter.kind == "distinct":
            hit &= _amounts(counter, events) != 0
        elif counter.field == "duration":
            hit &= events["duration"] >= 0
        return hit

    def read(
        self, counter: Counter, view: View, hit: np.ndarray, wanted: np.ndarray, as_of: np.ndarray | None = None
    ) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Counts the hits and reads where `wanted`: as of the topic's own newest times, and, when `as_of` is given,
        a second time as of those. A reading of either kind comes right after its event has counted."""
        state, rows = self.counters[counter], self.store.rows
        batch = Events(
            view.rows, view.events["at"], view.as_of, hit & (view.rows >= 0), wanted, _amounts(counter, view.events),
            view.events["event"], view.events["closed"],
        )  # fmt: skip
        if as_of is None:
            return state.process(rows, batch), ()
        twice = _interleaved(batch, as_of)
        readings = state.process(rows, twice)
        return tuple(r[0::2] for r in readings), tuple(r[1::2] for r in readings)

    def count(self, events: Merged, spoofable: np.ndarray) -> None:
        """Counts all events of this topic and reads nothing."""
        view = self.view(events, False, spoofable)
        nowhere = np.zeros(view.events.n, np.bool_)
        for counter, hit in self.hits(view).items():
            self.read(counter, view, hit, nowhere)

    def reclaim(self, horizons_ms: np.ndarray, budget: int) -> None:
        """See Store."""
        forget = [state.forget for state in self.counters.values()]
        self.store.reclaim(horizons_ms, self._idle(), forget, budget)

    def _idle(self) -> list[Callable[[np.ndarray, np.ndarray, int], np.ndarray]]:
        def harmless(rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
            return rows[candidates, NEWEST_SPOOFABLE] <= horizon - self._spoofable_ms

        return [harmless, *(state.idle for state in self.counters.values())]

    # -- images ------------------------------------------------------------------------------------------------

    def save(
        self, partition: int, partitions: int, whole: bool
    ) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        """Pieces of an image of one partition's rows (`whole`: all, else those touched since they were last saved):
        fields and arrays of each, copies."""
        index = self.store.rows_in(partition, partitions, dirty_only=not whole)
        self.store.clean(index)
        rows = self.store.rows
        size = np.full(len(index), rows.shape[1] * rows.itemsize)
        for state in self.counters.values():
            size += state.sizes(rows, index)
        piece = np.cumsum(size) // BYTES
        for part in np.split(index, np.flatnonzero(np.diff(piece)) + 1) if len(index) else ():
            yield self._save(part)

    def _save(self, index: np.ndarray) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        rows = self.store.rows
        arrays = {"block": rows[index]}
        places = []
        for counter_id, counter in self.ids.items():
            state = self.counters[counter]
            places.append({"id": counter_id, "name": counter.name, "at": state.at})
            for name, (where, cells) in state.save(rows, index).items():
                arrays[f"{counter_id}.{name}.rows"] = where
                arrays[f"{counter_id}.{name}.cells"] = cells
                # A slot's number means nothing elsewhere.
                arrays["block"][where, state.at] = -1
        return {"topic": self.name, "counters": places}, arrays

    def load(self, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
        """Puts the rows of one piece in the place of those of the same numbers. Counters that are not known here are
        passed over; those that the piece does not know keep what they have. Returns how many numbers there were."""
        block = arrays["block"]
        index = self.store.rows_of(block[:, NUMBER])
        kept = np.flatnonzero(index >= 0)  # a full store tracks no more
        index = index[kept]
        rows = self.store.rows
        rows[index, :HEADER] = block[kept, :HEADER]
        for place in fields["counters"]:
            if place["id"] not in self.ids:
                continue
            state = self.counters[self.ids[place["id"]]]
            words = block[:, place["at"] : place["at"] + state.words]
            saved = {}
            for name in state.pools():
                if f"{place['id']}.{name}.rows" in arrays:
                    where, cells = (arrays[f"{place['id']}.{name}.{part}"] for part in ("rows", "cells"))
                    there = np.isin(where, kept)
                    saved[name] = np.searchsorted(kept, where[there]), cells[there]
            state.restore(rows, index, words[kept], saved)
        self.store.clean(index)
        return len(index)

    def drop(self, partition: int, partitions: int) -> None:
        gone = self.store.rows_in(partition, partitions)
        for state in self.counters.values():
            state.forget(self.store.rows, gone)
        self.store.give_back(gone)

    def readings(
        self, partition: int, partitions: int, horizon_ms: int, later: float = 0.0
    ) -> tuple[np.ndarray, dict[Counter, tuple[np.ndarray, ...]]]:
        """int64[k], ascending: the rows of one partition's numbers that some reading may still need; and the outputs
        of each counter, float64[k]. Read as of each number's newest time, and `later` times the counter's reach
        behind it."""
        rows = self.store.rows
        index = self.store.rows_in(partition, partitions)
        gone = np.flatnonzero(rows[index, NEWEST] <= horizon_ms)
        for is_idle in self._idle():
            gone = gone[is_idle(rows, index[gone], horizon_ms)]
        index = np.delete(index, gone)
        index = index[np.argsort(rows[index, NUMBER])]
        n = len(index)
        none, every = np.zeros(n, np.int64), np.ones(n, np.bool_)
        code = np.zeros(n, np.uint8)
        out = {}
        for counter, state in self.counters.items():
            as_of = rows[index, NEWEST] + int(counter.reach_ms * later)
            out[counter] = state.process(rows, Events(index, as_of, as_of, ~every, every, none, code, ~every))
        return index, out

    def digest(self, partition: int, partitions: int, horizon_ms: int) -> bytes:
        """Of everything that can be read of the partition's numbers, now and later, wherever and in whichever form
        it lies. Levels are rounded to nine digits."""
        digest = hashlib.blake2b(digest_size=16)
        for eighths in range(8):
            index, outputs = self.readings(partition, partitions, horizon_ms, eighths / 8)
            for counter_id in sorted(self.ids):
                for column in outputs[self.ids[counter_id]]:
                    share, power = np.frexp(column)
                    digest.update(np.ldexp(np.round(share, 9), power).tobytes())
        head = self.store.rows[index, :HEADER]
        # Spoofable evidence out of every rule's reach reads as none.
        head[head[:, NEWEST] - head[:, NEWEST_SPOOFABLE] >= self._spoofable_ms, NEWEST_SPOOFABLE] = 0
        digest.update(head.tobytes())
        return digest.digest()

    def nbytes(self) -> int:
        return self.store.nbytes() + sum(state.nbytes() for state in self.counters.values())


def _amounts(counter: Counter, events: Merged) -> np.ndarray:
    """int64[n]: what the counter looks at in each event."""
    if counter.kind == "distinct":
        first, *others = (events[name] for name in distinct_columns(counter))
        for other in others:
            first = np.where(first != 0, first, other)
        return first
    return events["duration"] if counter.field == "duration" else events["id"]


def _interleaved(batch: Events, as_of: np.ndarray) -> Events:
    """Each event twice: it counts and is read as of its own topic, then is only read as of `as_of`."""
    n = len(batch.row)
    both = np.repeat(np.arange(n), 2)
    second = np.tile(np.array([False, True]), n)
    return Events(
        batch.row[both], batch.at[both], np.where(second, as_of[both], batch.as_of[both]), batch.hit[both] & ~second,
        batch.read[both], batch.value[both], batch.event[both], batch.closed[both],
    )  # fmt: skip


def counter_id(counter: Counter, state: CounterState) -> str:
    """Of what the counter counts and of the form it is kept in: rows of one id mean the same in any worker."""
    told = (
        counter.topic, sorted(counter.events), counter.per, counter.kind, counter.field, counter.window_ms,
        counter.resolution_ms, counter.short_ms, counter.long_ms, counter.max_age_ms,
        counter.where.source if counter.where else None,
        state.words, [(name, pool.cells.shape[1], pool.cells.dtype.name) for name, pool in state.pools().items()],
    )  # fmt: skip
    return hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()
