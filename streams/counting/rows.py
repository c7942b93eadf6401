"""The rows of one topic's numbers in one reading: the row of each number, its newest time, and the return of rows that
no reading needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from streams.counting.aligned import aligned_zeros
from streams.kernels import table as kernels
from streams.kernels.partition import partition_of

# Words of every row before the counters' own. Times are ms since the epoch, 0 = never.
NUMBER, NEWEST = range(2)
HEADER = 2

_ROWS_FIRST = 1024


class Store:
    """Rows of int64 words, one per number, for all counters of one topic in one reading.

    words: words the counters need together; theirs begin at `HEADER`. maximum: rows at most. At that bound numbers
    without a row get none (-1): they are not tracked, their events add to `untracked`, and they read as never seen,
    so their counts can only be too low. Rows in use stay exact. A number gets a row once `reclaim` has freed one and
    counts from then on.

    `rows` is replaced when the store grows: read the attribute again after every `rows_of`. Row indices stay.
    """

    def __init__(self, words: int, maximum: int) -> None:
        if words < 0 or maximum < 1:
            raise ValueError(f"a store of {words} words and at most {maximum} rows; both must be positive")
        self.maximum = maximum
        self.rows = aligned_zeros((min(_ROWS_FIRST, maximum), HEADER + words), np.int64)
        self._dirty = np.zeros(len(self.rows), np.uint8)  # 1: an event has touched the row since it was last clean
        self._table = aligned_zeros((2 * _ROWS_FIRST, 1), np.int64)
        self._free = np.zeros(0, np.int64)
        self._state = np.zeros(4, np.int64)
        self._cursor = 0  # the next row that `reclaim` looks at
        self._returned = 0  # rows given back so far
        self._claimed_before = 0  # rows handed out up to the last `reclaim`

    def rows_of(self, keys: np.ndarray, insert: np.ndarray | bool = True) -> np.ndarray:
        """int64[n]: the row of each number, -1 where it has none.

        keys: int64[n], 0 = no number (never has a row). insert: bool[n] or one for all: give a new number a row."""
        keys = np.ascontiguousarray(keys, np.int64)
        out = np.empty(len(keys), np.int64)
        if insert is False:
            kernels.find(self._table, self.rows, keys, out)
            return out
        wanted = np.ones(len(keys), np.bool_) if insert is True else np.ascontiguousarray(insert, np.bool_)
        if len(wanted) != len(keys):
            raise ValueError(f"insert has {len(wanted)} entries for {len(keys)} numbers; it must have one for each")
        start = 0
        while True:
            start = kernels.claim(
                self._table, self.rows, self._free, self._state, self.maximum, keys, wanted, out, start
            )
            if start == len(keys):
                return out
            self._grow()

    def note_times(self, rows: np.ndarray, at: np.ndarray, touch: np.ndarray) -> np.ndarray:
        """int64[n]: each event's number's newest event time, ms, as of that event in arrival order; 0 = never.

        rows: int64[n] from `rows_of`. Where touch[i] (an event of this topic) at[i] is noted first; a number without a
        row has this event only. Elsewhere nothing is noted."""
        newest = np.empty(len(rows), np.int64)
        kernels.note_times(self.rows, self._dirty, NEWEST, rows, at, touch, newest)
        return newest

    def rows_in(self, partition: int, partitions: int, dirty_only: bool = False) -> np.ndarray:
        """int64[k]: the rows of the numbers that belong to this of so many partitions; `dirty_only`: of those that an
        event has touched since they were last `clean`."""
        fresh = int(self._state[kernels.FRESH])
        rows = np.flatnonzero(self._dirty[:fresh] if dirty_only else self.rows[:fresh, NUMBER])
        home = np.empty(len(rows), np.int32)
        partition_of(self.rows[rows, NUMBER], partitions, home)
        return rows[home == partition]

    def heads(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two int64[k]: numbers and newest times, ms, of these rows."""
        return self.rows[rows, NUMBER], self.rows[rows, NEWEST]

    def touch(self, rows: np.ndarray) -> None:
        """Marks these rows (int64[k]) as part of the next image."""
        self._dirty[rows] = 1

    def clean(self, rows: np.ndarray) -> None:
        """Marks these rows (int64[k]) as saved: they are as the newest image has them."""
        self._dirty[rows] = 0

    def give_back(self, gone: np.ndarray) -> None:
        """Frees these rows (int64[k], in use, no two equal). Call between epochs; row indices taken before are void."""
        free = int(self._state[kernels.FREE])
        if free + len(gone) > len(self._free):
            self._free = np.concatenate([self._free[:free], np.zeros(max(free, len(gone)), np.int64)])
        # Backwards, so that the lowest rows are handed out first and the rows in use stay close together.
        self._free[free : free + len(gone)] = gone[::-1]
        self._state[kernels.FREE] += len(gone)
        self._returned += len(gone)
        self._state[kernels.USED] -= kernels.delete(self._table, self.rows, self.rows[gone, NUMBER])
        self.rows[gone] = 0
        self._dirty[gone] = 0

    def laid_out_anew(self, words: int, moves: Sequence[tuple[int, int, int]]) -> Store:
        """Returns a store with the same numbers in the same rows and other words after the header. This store must not
        be used any more.

        moves: (from word, to word, how many) for each counter that stays; other words begin at zero."""
        new = Store(words, self.maximum)
        fresh = int(self._state[kernels.FRESH])
        new.rows = aligned_zeros((len(self.rows), HEADER + words), np.int64)
        for from_word, to_word, count in [(0, 0, HEADER), *moves]:
            new.rows[:fresh, to_word : to_word + count] = self.rows[:fresh, from_word : from_word + count]
        new._dirty, new._table, new._free, new._state = self._dirty, self._table, self._free, self._state
        new._returned, new._claimed_before = self._returned, self._claimed_before
        return new

    def reclaim(
        self,
        horizons: np.ndarray,
        idle: Sequence[Callable[[np.ndarray, np.ndarray, int], np.ndarray]],
        forget: Sequence[Callable[[np.ndarray, np.ndarray], None]],
        budget: int,
    ) -> int:
        """Looks at the next rows, round and round, and gives back those that no later reading needs. Returns how many.

        budget: rows to look at, and two more for each that was handed out since the last call: so a round ends however
        many numbers come meanwhile, and behind the first there are at most twice as many rows as readings need.
        horizons: int64[partitions], of each partition's numbers, ms; one for all will do. A row goes when its newest
        time is at or before its horizon and every counter calls it idle then (`idle` and `forget` of each
        CounterState). Exact as long as no event older than that is accepted any more, on this topic or another that
        its rules read: pass the partition's smallest clock minus lateness. Call between epochs; row indices taken
        before are void."""
        fresh = int(self._state[kernels.FRESH])
        claimed = len(self) + self._returned
        begin, end = self._cursor, min(self._cursor + budget + 2 * (claimed - self._claimed_before), fresh)
        self._claimed_before = claimed
        # Not at the next call: rows that are new by then would lie in front of the cursor for ever.
        self._cursor = end if end < fresh else 0
        old = np.empty(max(0, end - begin), np.int64)
        old = old[: kernels.aged(self.rows, begin, end, NEWEST, int(horizons.max()), old)]
        if not len(old):
            return 0
        home = np.empty(len(old), np.int32)
        partition_of(self.rows[old, NUMBER], len(horizons), home)
        count = 0
        for partition in np.unique(home).tolist():
            horizon = int(horizons[partition])
            gone = old[(home == partition) & (self.rows[old, NEWEST] <= horizon)]
            for is_idle in idle:
                gone = gone[is_idle(self.rows, gone, horizon)]
            for give_back in forget:
                give_back(self.rows, gone)
            self.give_back(gone)
            count += len(gone)
        return count

    def __len__(self) -> int:
        """The number of rows in use."""
        return int(self._state[kernels.USED])

    @property
    def untracked(self) -> int:
        """Events so far whose number got no row because all `maximum` were in use. A metric."""
        return int(self._state[kernels.UNTRACKED])

    def nbytes(self) -> int:
        """Bytes in use. Rows never given out are reserved, but their pages have not been touched."""
        rows = int(self._state[kernels.FRESH]) * self.rows.shape[1] * self.rows.itemsize
        return rows + self._table.nbytes + self._free.nbytes + self._dirty.nbytes

    def _grow(self) -> None:
        """Doubles the part that `claim` found full: the rows (up to `maximum`), the table, or both."""
        fresh, free = int(self._state[kernels.FRESH]), int(self._state[kernels.FREE])
        if free == 0 and fresh == len(self.rows):
            rows = aligned_zeros((min(2 * fresh, self.maximum), self.rows.shape[1]), np.int64)
            rows[:fresh] = self.rows
            self.rows = rows
            self._dirty = np.concatenate([self._dirty, np.zeros(len(rows) - fresh, np.uint8)])
        if (len(self) + 1) * 10 > len(self._table) * kernels.LOAD_TENTHS:
            table = aligned_zeros((2 * len(self._table), 1), np.int64)
            kernels.refill(table, self.rows, fresh)
            self._table = table
