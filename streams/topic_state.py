"""One topic's numbers and counters: where each counter's words lie, which events hit it, who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rules.model import Counter
from streams.compile import CompiledRule, distinct_columns, field_column
from streams.counters.base import CounterState, Events
from streams.counters.registry import KINDS
from streams.merge import Merged
from streams.store import HEADER, Store


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
        self.store = Store(at - HEADER, numbers_max)

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

    def reclaim(self, horizon_ms: int, budget: int) -> None:
        idle: list[Callable[..., np.ndarray]] = [state.idle for state in self.counters.values()]
        forget = [state.forget for state in self.counters.values()]
        self.store.reclaim(horizon_ms, idle, forget, budget)

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
