"""Pools: room outside the rows for numbers that need more than a few words. A pool has equal slots and a stack of free
ones, and doubles up to a stated bound.

A kernel takes and gives back slots itself, through three arrays, so that nothing is allocated while it runs:

    slot = free[top[0] - 1]; top[0] -= 1        # take, after checking top[0] > 0
    free[top[0]] = slot; top[0] += 1            # give back, after writing zeros over cells[slot]

A free slot always holds zeros, so that a taken one is an empty ring. A kernel that finds `top[0] == 0` changes nothing,
returns the event it stopped at, and its caller calls `grow` and the kernel again. Growth replaces the arrays: pass
`pool.cells`, `pool.free`, `pool.top` anew at every call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.counting.kinds.late import Late

if TYPE_CHECKING:
    import numpy as np

    from rules.credit import Credit
    from streams.counting import aligned
    from streams.counting.kinds.base import Events

    Saved = dict[str, tuple[np.ndarray, np.ndarray]]
    """By pool: int64[m], indices among the saved rows, and the cells of their m slots."""
else:
    np, aligned = Late("numpy"), Late("streams.counting.aligned")

SLOTS_FIRST = 256
SLOTS_MAX = 1 << 24  # of one pool; 4 GB of 60 cells of 4 bytes each. Rows of numbers run out of memory well before.


class PoolFull(MemoryError):
    """A pool has reached its bound. Counting on without a slot would give wrong counts, so the worker stops with a
    message."""


class SlotPool:
    """Slots of `width` cells each.

    cells: dtype[capacity, width]; free: int64[capacity], of which the first top[0] are the free slots, taken from the
    end; top: int64[1]."""

    def __init__(self, width: int, dtype: str = "int64", slots_max: int = SLOTS_MAX) -> None:
        self.slots_max = slots_max
        self.cells: np.ndarray = np.zeros((0, width), dtype)
        self.free: np.ndarray = np.zeros(0, np.int64)
        self.top: np.ndarray = np.zeros(1, np.int64)

    @property
    def used(self) -> int:
        """Slots in use."""
        return len(self.free) - int(self.top[0])

    def grow(self) -> None:
        """Doubles the slots. Raises PoolFull at `slots_max`."""
        old = len(self.free)
        new = min(max(2 * old, SLOTS_FIRST), self.slots_max)
        if new <= old:
            raise PoolFull(
                f"all {old} slots of {self.cells.shape[1]} cells are in use, which is the bound: "
                "fewer numbers per worker (more partitions, more workers) or shorter windows are needed"
            )
        cells = aligned.aligned_zeros((new, self.cells.shape[1]), self.cells.dtype)
        cells[:old] = self.cells
        top = int(self.top[0])
        free = np.zeros(new, np.int64)
        # Low slots are taken first: pages of a doubled pool that nobody needs yet are never touched.
        free[: new - old] = np.arange(new - 1, old - 1, -1)
        free[new - old : new - old + top] = self.free[:top]
        self.cells, self.free = cells, free
        self.top[0] = new - old + top

    def give_back(self, slots: np.ndarray) -> None:
        """Frees these slots (int64[k], each in use, no two equal)."""
        top = int(self.top[0])
        self.cells[slots] = 0
        self.free[top : top + len(slots)] = slots
        self.top[0] = top + len(slots)

    def put(self, cells: np.ndarray) -> np.ndarray:
        """int64[len(cells)]: slots taken for these cells. Raises PoolFull at `slots_max`."""
        while self.top[0] < len(cells):
            self.grow()
        top = int(self.top[0]) - len(cells)
        slots = self.free[top : top + len(cells)].copy()
        self.top[0] = top
        self.cells[slots] = cells
        return slots

    def nbytes(self) -> int:
        """Bytes of the slots in use and of the free list; the pages of slots never taken have not been touched."""
        return self.used * self.cells.shape[1] * self.cells.itemsize + self.free.nbytes + self.top.nbytes


class Pooled:
    """The part that all counters with pools share: counting on when a pool has grown, the slots of their rows, and how
    these are given back, saved and restored.

    A row in slot form has -(slot + 1) in the counter's first word; no other form is negative there."""

    at: int
    words: int
    outputs = 1  # arrays that `process` returns

    def go_by(self, credit: Credit) -> None:
        """See CounterState. This version is for counters that weigh nobody."""

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        """See CounterState. Raises PoolFull when a pool's bound is reached."""
        n = len(events.row)
        outs = tuple(np.full(n, np.nan) for _ in range(self.outputs))
        done = self.run(rows, events, 0, *outs)
        while done < n:
            self.pool_short(rows[events.row[done], self.at : self.at + self.words]).grow()
            done = self.run(rows, events, done, *outs)
        return outs

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        """Calls the kernel on the events start.. in order. Returns their number, or the event that found no free slot;
        nothing has changed for that one."""
        raise NotImplementedError

    def pool_short(self, words: np.ndarray) -> SlotPool:
        """Returns the pool whose lack of a free slot stopped the kernel at an event of a row with these words. This
        version is for counters with one pool."""
        (pool,) = self.pools().values()
        return pool

    def pools(self) -> dict[str, SlotPool]:
        """The pools by name, in the order in which the kernel takes them; empty when all state is in the row."""
        return {}

    def pool_of(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Returns int64[len(index)], the index in `pools()` of the pool of each row's slot, -1 for a row without one.
        This version is for counters with one pool."""
        return np.where(rows[index, self.at] < 0, 0, -1)

    def slot_word(self, pool: str) -> int:
        """The word of the row in which a slot of the pool of this name stands."""
        return self.at

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """See CounterState."""
        raise NotImplementedError

    def forget(self, rows: np.ndarray, gone: np.ndarray) -> None:
        """See CounterState."""
        of = self.pool_of(rows, gone)
        for code, pool in enumerate(self.pools().values()):
            pool.give_back(-rows[gone[of == code], self.at] - 1)

    def sizes(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """int64[len(index)]: bytes that `save` takes of each row's slot."""
        widths = [pool.cells.shape[1] * pool.cells.itemsize for pool in self.pools().values()]
        return np.array([*widths, 0])[self.pool_of(rows, index)]

    def save(self, rows: np.ndarray, index: np.ndarray) -> Saved:
        """Copies of the slots of these rows. The rows' own words are the caller's to copy; their first is void where
        there is a slot."""
        of = self.pool_of(rows, index)
        out: Saved = {}
        for code, (name, pool) in enumerate(self.pools().items()):
            indices = np.flatnonzero(of == code)
            if len(indices):
                out[name] = indices, pool.cells[-rows[index[indices], self.at] - 1]
        return out

    def restore(self, rows: np.ndarray, index: np.ndarray, words: np.ndarray, saved: Saved) -> None:
        """Makes these rows (int64[k], no two equal) what they were when saved; whatever they held before is given back.

        words: int64[k, words of the counter]. Raises PoolFull when a pool's bound is reached."""
        self.forget(rows, index)
        rows[index, self.at : self.at + self.words] = words
        pools = self.pools()
        for name, (indices, cells) in saved.items():
            rows[index[indices], self.at] = -pools[name].put(cells) - 1

    def nbytes(self) -> int:
        """See CounterState."""
        return sum(pool.nbytes() for pool in self.pools().values())

    def _slots(self) -> tuple[np.ndarray, ...]:
        """The pools as the kernels take them."""
        return tuple(array for pool in self.pools().values() for array in (pool.cells, pool.free, pool.top))
