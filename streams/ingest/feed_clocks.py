"""The clocks of all feeds in all places: one each, so that a feed that is late or ahead ages nobody else's windows."""

from __future__ import annotations

import numpy as np

from streams.ingest.memory import CLOCK, CODE, FEED_COLUMNS, LATEST, STAND
from streams.kernels import clocks as kernels
from streams.kernels.clocks import NEVER
from streams.kernels.fields import FEED_CODES
from streams.kernels.table import find

_FIRST = 64


class FeedClocks:
    """By index, one for each (source, feed): clocks int64[k], ms, NEVER before the first event; stands int64[k,
    COLUMNS]; paces int64[k, 3], for streams.kernels.intake; lateness_ms int64[k].

    lateness_ms: of feeds that have none of their own. own_ms: int64[FEED_CODES], -1 for none; None: nobody has."""

    def __init__(self, lateness_ms: int, own_ms: np.ndarray | None = None) -> None:
        self._default_ms = lateness_ms
        self._own_ms = own_ms
        self.lateness_max_ms = max(lateness_ms, -1 if own_ms is None else int(own_ms.max()))
        self.clocks = np.zeros(0, np.int64)
        self.stands = np.zeros((0, kernels.COLUMNS), np.int64)
        self.paces = np.zeros((0, 3), np.int64)
        self.lateness_ms = np.zeros(0, np.int64)
        self._codes: list[int] = []
        self._of: list[np.ndarray] = []  # by source
        self._table = np.zeros((_FIRST, 2), np.int64)

    def know(self, sources: int) -> None:
        """Makes room for sources 0 to sources - 1."""
        self._of += [np.empty(0, np.int64) for _ in range(sources - len(self._of))]

    def of(self, source: int) -> np.ndarray:
        """The indices of a source's clocks."""
        return self._of[source]

    def newest(self, source: int) -> int:
        """The newest clock of a source, ms; NEVER without an event."""
        return int(self.clocks[self._of[source]].max(initial=NEVER))

    def indices(self, source: np.ndarray, code: np.ndarray) -> np.ndarray:
        """int64[n]: the index of the clock of each (source, feed's code), a new one the first time."""
        keys = source.astype(np.int64) * FEED_CODES + code + 1
        out = np.empty(len(keys), np.int64)
        find(self._table, keys, out)
        fresh = out < 0
        if fresh.any():
            for key in np.unique(keys[fresh]).tolist():
                self._add(*divmod(key - 1, FEED_CODES))
            find(self._table, keys, out)
        return out

    def forget(self, source: int) -> None:
        """Sets the clocks of a source back to the beginning."""
        mine = self._of[source]
        self.clocks[mine] = NEVER
        self.stands[mine] = 0
        self.paces[mine] = 0

    def save(self, source: int) -> np.ndarray:
        """int64[k, FEED_COLUMNS]: those that were heard, by their codes."""
        mine = self._of[source]
        mine = mine[self.clocks[mine] != NEVER]
        codes = np.array([self._codes[i] for i in mine.tolist()], np.int64)
        columns = (codes, self.clocks[mine], self.paces[mine, kernels.EVENT])
        out = np.column_stack([*columns, self.stands[mine]]).astype(np.int64)
        return out[np.argsort(codes)]

    def behind(self, source: int, events: int) -> int:
        """The clock of the feed that is furthest behind, as of a source's latest event; NEVER while that is unknown."""
        return int(kernels.furthest(self.paces, self._of[source], events))

    def digest(self, source: int) -> list[tuple[int, ...]]:
        """By feed its code, its clock, who stands by it, who has gone ahead: equal for clocks that answer the same."""
        out = []
        for row in self.save(source).tolist():
            stand = row[STAND:]
            standers = sorted(stand[kernels.STANDERS : kernels.STANDERS + stand[kernels.COUNT]])
            waiters = sorted(stand[kernels.WAITERS : kernels.WAITERS + stand[kernels.WAITING]])
            ahead = (stand[kernels.RUN], stand[kernels.AHEAD_MS]) if waiters else ()
            own = stand[kernels.IS_VOUCHED], stand[kernels.OWN_MS], stand[kernels.OWN_RUN]
            out.append((row[CODE], row[CLOCK], *own, *standers, *waiters, *ahead))
        return out

    def restore(self, source: int, saved: np.ndarray) -> None:
        """Takes saved clocks over."""
        mine = self.indices(np.full(len(saved), source), saved[:, CODE])
        self.clocks[mine] = saved[:, CLOCK]
        self.stands[mine] = saved[:, STAND:FEED_COLUMNS]
        settled = saved[:, STAND + kernels.COUNT] >= kernels.SETTLED
        self.paces[mine] = np.column_stack([saved[:, CLOCK], saved[:, LATEST], settled])

    def _add(self, source: int, code: int) -> None:
        index = len(self._codes)
        if 2 * index >= len(self._table):
            old, self._table = self._table, np.zeros((2 * len(self._table), 2), np.int64)
            for key, value in old[old[:, 0] != 0].tolist():
                kernels.enter(self._table, key, value)
        kernels.enter(self._table, source * FEED_CODES + code + 1, index)
        self._codes.append(code)
        self._of[source] = np.append(self._of[source], index)
        if index >= len(self.clocks):
            more = max(16, index)
            self.clocks = np.append(self.clocks, np.full(more, NEVER))
            self.stands = np.append(self.stands, np.zeros((more, kernels.COLUMNS), np.int64), axis=0)
            self.paces = np.append(self.paces, np.zeros((more, 3), np.int64), axis=0)
            self.lateness_ms = np.append(self.lateness_ms, np.full(more, self._default_ms))
        own_ms = -1 if self._own_ms is None else int(self._own_ms[code])
        self.lateness_ms[index] = self._default_ms if own_ms < 0 else own_ms
