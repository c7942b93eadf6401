"""The contract of a kind of counter with the engine. Each kind has one module in this folder; `registry.py` lists
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from rules.credit import Credit
    from streams.counting.kinds.pool import Saved, SlotPool


@dataclass(slots=True)
class Events:
    """One epoch's accepted events (neither late nor duplicate) in arrival order, n of them, for one counter."""

    row: np.ndarray  # int64[n]: the number's row in this counter's topic store; -1 when it has none (reads as empty)
    at: np.ndarray  # int64[n]: event time, ms
    as_of: np.ndarray  # int64[n]: the time to read at, ms; never before any time this row has counted so far
    hit: np.ndarray  # bool[n]: the event counts here (and `row` is not -1)
    read: np.ndarray  # bool[n]: a reading is wanted, after the event has counted
    value: np.ndarray  # int64[n]: distinct: the key (0 = absent, never hit); sum, mean: the amount; concurrent: call id
    event: np.ndarray  # uint8[n]: code of the event's kind (schemas.codes), for `concurrent`
    closed: np.ndarray  # bool[n]: a set-up whose call is already known to be released, for `concurrent`


class CounterState(Protocol):
    """State of one counter for all numbers of one topic. Built as `Kind(counter, at)` with `at` its first word."""

    at: int  # its first word in the row
    words: int  # words of the row it owns

    def go_by(self, credit: Credit) -> None:
        """Reads by this credit of reporters from here on. Nothing that is counted depends on it."""
        ...

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        """Counts every hit and reads where asked, event by event in order.

        rows: int64[capacity, words of all counters]. Returns one float64[n] per output of the counter, in the order
        of `Counter.outputs`; NaN where there is no reading or no sample."""
        ...

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """Returns bool[len(candidates)], True for rows that read empty at `horizon` and ever after if nothing more is
        counted."""
        ...

    def forget(self, rows: np.ndarray, gone: np.ndarray) -> None:
        """Gives back the pool slots of these rows (int64 indices). The engine zeroes the rows afterwards."""
        ...

    def nbytes(self) -> int:
        """Bytes held outside the rows."""
        ...

    def pools(self) -> dict[str, SlotPool]:
        """The pools of state outside the rows, by name (empty when all state is in the row)."""
        ...

    def slot_word(self, pool: str) -> int:
        """The word of the row in which a slot of the pool of this name stands, as -(slot + 1)."""
        ...

    def sizes(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """int64[len(index)]: bytes that each of these rows holds outside its row."""
        ...

    def save(self, rows: np.ndarray, index: np.ndarray) -> Saved:
        """Copies of the slots of these rows, for a snapshot."""
        ...

    def restore(self, rows: np.ndarray, index: np.ndarray, words: np.ndarray, saved: Saved) -> None:
        """Makes these rows what they were when saved; their present content is given up. words: int64[k,
        self.words]."""
        ...
