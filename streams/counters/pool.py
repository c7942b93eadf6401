"""Room outside the rows for numbers that need more than a few words: equal slots, a stack of free ones, growth by
doubling up to a stated bound.

A kernel takes and gives back slots itself, through three arrays, so that nothing is allocated while it runs:

    slot = free[top[0] - 1]; top[0] -= 1        # take, after checking top[0] > 0
    free[top[0]] = slot; top[0] += 1            # give back, after writing zeros over cells[slot]

A free slot always holds zeros, so that a taken one is an empty ring. A kernel that finds `top[0] == 0` changes nothing,
returns the event it stopped at, and its caller calls `grow` and the kernel again. Growth replaces the arrays: pass
`pool.cells`, `pool.free`, `pool.top` anew at every call.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.memory import aligned_zeros

SLOTS_FIRST = 256
SLOTS_MAX = 1 << 24  # of one pool; 4 GB of 60 cells of 4 bytes each. Rows of numbers run out of memory well before.


class PoolFull(MemoryError):
    """The bound is reached. Counting on without a slot would give wrong counts, so the worker stops in words."""


class SlotPool:
    """Slots of `width` cells each.

    cells: dtype[capacity, width]; free: int64[capacity], of which the first top[0] are the free slots, taken from the
    end; top: int64[1]."""

    def __init__(self, width: int, dtype: type[np.generic] = np.int64, slots_max: int = SLOTS_MAX) -> None:
        self.slots_max = slots_max
        self.cells: np.ndarray = np.zeros((0, width), dtype)
        self.free: np.ndarray = np.zeros(0, np.int64)
        self.top: np.ndarray = np.zeros(1, np.int64)

    @property
    def used(self) -> int:
        """Slots in use."""
        return len(self.free) - int(self.top[0])

    def grow(self) -> None:
        """Double the slots. Raises PoolFull at `slots_max`."""
        old = len(self.free)
        new = min(max(2 * old, SLOTS_FIRST), self.slots_max)
        if new <= old:
            raise PoolFull(
                f"all {old} slots of {self.cells.shape[1]} cells are in use, which is the bound: "
                "fewer numbers per worker (more partitions, more workers) or shorter windows are needed"
            )
        cells = aligned_zeros((new, self.cells.shape[1]), self.cells.dtype)
        cells[:old] = self.cells
        top = int(self.top[0])
        free = np.zeros(new, np.int64)
        # Low slots are taken first: pages of a doubled pool that nobody needs yet are never touched.
        free[: new - old] = np.arange(new - 1, old - 1, -1)
        free[new - old : new - old + top] = self.free[:top]
        self.cells, self.free = cells, free
        self.top[0] = new - old + top

    def give_back(self, slots: np.ndarray) -> None:
        """Free these slots (int64[k], each in use, no two equal)."""
        top = int(self.top[0])
        self.cells[slots] = 0
        self.free[top : top + len(slots)] = slots
        self.top[0] = top + len(slots)

    def nbytes(self) -> int:
        """Bytes of the slots in use and of the free list; the pages of slots never taken have not been touched."""
        return self.used * self.cells.shape[1] * self.cells.itemsize + self.free.nbytes + self.top.nbytes

    def arrays(self) -> dict[str, np.ndarray]:
        """All of the pool, for a snapshot. The arrays are live: copy before counting goes on."""
        return {"cells": self.cells, "free": self.free, "top": self.top}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the pool whose `arrays()` these are. Raises ValueError when they are of another width or type."""
        cells = arrays["cells"]
        if cells.dtype != self.cells.dtype or cells.shape[1] != self.cells.shape[1]:
            raise ValueError(
                f"a pool of {self.cells.shape[1]} cells of {self.cells.dtype} cannot be restored from "
                f"{cells.shape[1]} cells of {cells.dtype}: the counter's definition has changed"
            )
        self.cells = aligned_zeros(cells.shape, cells.dtype)
        self.cells[:] = cells
        self.free, self.top = arrays["free"].copy(), arrays["top"].copy()


class Pooled:
    """What counters with several pools share: how those are counted, saved, restored and handed to a kernel."""

    def _pools(self) -> dict[str, SlotPool]:
        """By name, in the order in which the kernel takes them."""
        raise NotImplementedError

    def nbytes(self) -> int:
        """See CounterState."""
        return sum(pool.nbytes() for pool in self._pools().values())

    def arrays(self) -> dict[str, np.ndarray]:
        """The pools' arrays, named "tiny.cells" and so on. Live: copy before counting goes on."""
        pools = self._pools()
        return {f"{name}.{part}": array for name, pool in pools.items() for part, array in pool.arrays().items()}

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Become the counter whose `arrays()` these are. Raises ValueError when a slot has another width or type."""
        for name, pool in self._pools().items():
            pool.load({part: arrays[f"{name}.{part}"] for part in ("cells", "free", "top")})

    def _slots(self) -> tuple[np.ndarray, ...]:
        """The pools as the kernels take them."""
        return tuple(array for pool in self._pools().values() for array in (pool.cells, pool.free, pool.top))
