"""The clocks of all feeds in all places: so that a feed that is late or ahead ages nobody else's windows."""

from __future__ import annotations

import numpy as np

from streams.kernels import clocks as kernels
from streams.kernels.clocks import CLOCK, NEVER
from streams.kernels.fields import FEED_CODES

KEY = 0  # column of a saved clock: twice its feed's code, and 1 more for vouched-for events; its row follows
SAVED_COLUMNS = 1 + kernels.COLUMNS
PACE = slice(0, kernels.HEAD)  # what is saved of a place
_OWN = [kernels.LATENESS, kernels.NEXT, kernels.TRUSTED]  # columns that are not saved
_FIRST = 64
_UNKNOWN = np.array([0, 0, NEVER, kernels.EVERY, 0], np.int64)  # the pace of a place before its first event


class FeedClocks:
    """Clocks by index, two for each (source, feed): of the events that somebody vouches for, and of the others. rows,
    places: as streams.kernels.clocks has them.

    lateness_ms: of feeds that have none of their own. own_ms: int64[FEED_CODES], -1 for none; None: nobody has."""

    def __init__(self, lateness_ms: int, own_ms: np.ndarray | None = None) -> None:
        self._default_ms = lateness_ms
        self._codes: list[int] = []  # one for two clocks
        self.rows = np.zeros((0, kernels.COLUMNS), np.int64)
        self.places = np.zeros((0, kernels.PLACE_COLUMNS), np.int64)
        self.table = np.zeros((_FIRST, 2), np.int64)
        self._of: list[list[int]] = []  # by source
        self._trusted: set[int] = set()  # sources
        self.put_under(own_ms)

    def put_under(self, own_ms: np.ndarray | None) -> None:
        """Gives the feeds other latenesses of their own."""
        self._own_ms = own_ms
        self.lateness_max_ms = max(self._default_ms, -1 if own_ms is None else int(own_ms.max()))
        for n, code in enumerate(self._codes):
            self.rows[2 * n : 2 * n + 2, kernels.LATENESS] = self._lateness_ms(code)

    def know(self, sources: int) -> None:
        """Makes room for sources 0 to sources - 1."""
        fresh = np.zeros((sources - len(self._of), kernels.PLACE_COLUMNS), np.int64)
        fresh[:, PACE] = _UNKNOWN
        fresh[:, kernels.NEWEST :] = NEVER
        self.places = np.append(self.places, fresh, axis=0)
        self._of += [[] for _ in range(len(fresh))]

    def trust(self, source: int) -> None:
        """Lets every event of a source move its clock."""
        self._trusted.add(source)

    def newest(self, source: int) -> int:
        """The newest clock of a source, ms, of the events that somebody vouches for, or of all while there are none;
        NEVER without an event."""
        unvouched, vouched = self.places[source, kernels.NEWEST :].tolist()
        return unvouched if vouched == NEVER else vouched

    def largest(self) -> int:
        """The same of all sources."""
        unvouched, vouched = self.places[:, kernels.NEWEST :].max(axis=0, initial=NEVER).tolist()
        return unvouched if vouched == NEVER else vouched

    def behind(self, source: int) -> int:
        """The time of the feed that is furthest behind, as it was last looked up; NEVER while unknown."""
        return int(self.places[source, kernels.BEHIND])

    def judge(self, events: tuple[np.ndarray, ...], ahead_ms: int, out: tuple[np.ndarray, ...]) -> None:
        """events, out: as the kernel takes them. A clock that is not known yet is added."""
        source, feed = events[:2]
        start = 0
        while True:
            start = kernels.judge(
                start, self.table, self.rows, self.places, *events, ahead_ms, self.lateness_max_ms, *out
            )
            if start == len(source):
                return
            self._add(int(source[start]), int(feed[start]))

    def forget(self, source: int) -> None:
        """Sets the clocks of a source back to the beginning."""
        mine = self._of[source]
        own = self.rows[mine][:, _OWN]
        self.rows[mine] = 0
        self.rows[np.ix_(mine, _OWN)] = own
        self.rows[mine, CLOCK] = NEVER
        self.places[source, PACE] = _UNKNOWN
        self.places[source, kernels.NEWEST :] = NEVER

    def save(self, source: int) -> tuple[np.ndarray, np.ndarray]:
        """(the clocks that were heard, int64[k, SAVED_COLUMNS], by their codes; the pace of the source)"""
        heard = [(2 * self._codes[i // 2] + i % 2, i) for i in self._of[source] if self.rows[i, CLOCK] != NEVER]
        heard.sort()
        out = np.empty((len(heard), SAVED_COLUMNS), np.int64)
        out[:, KEY] = [key for key, _ in heard]
        out[:, 1:] = self.rows[[i for _, i in heard]]
        out[:, [1 + column for column in _OWN]] = 0
        return out, self.places[source, PACE].copy()

    def restore(self, source: int, saved: np.ndarray, pace: np.ndarray) -> None:
        """Takes saved clocks over."""
        for key, *row in saved.tolist():
            index = self._first(source, key // 2) + key % 2
            own = self.rows[index, _OWN]
            self.rows[index] = row
            self.rows[index, _OWN] = own
        self.places[source, PACE] = pace
        clocks = self.rows[self._of[source], CLOCK]
        self.places[source, kernels.NEWEST :] = [clocks[k::2].max(initial=NEVER) for k in (0, 1)]

    def digest(self, source: int) -> tuple[int, list[tuple[int, ...]]]:
        """(the time of the feed that is furthest behind; by clock its feed and whose it is, its time, who stands by
        it, who has gone ahead): equal for clocks that answer the same."""
        clocks = []
        for key, *row in self.save(source)[0].tolist():
            standers = sorted(row[kernels.STANDERS : kernels.STANDERS + row[kernels.COUNT]])
            waiters = sorted(row[kernels.WAITERS : kernels.WAITERS + row[kernels.WAITING]])
            ahead = row[kernels.GONE : kernels.AHEAD_MS + 1] if waiters else ()
            was = row[kernels.OLD_MS : kernels.NEW_MS + 1] if row[kernels.OLD_MS] else ()
            clocks.append((key, row[CLOCK], *was, *standers, *waiters, *ahead))
        # Not as of the last time that it was looked up: events that change nothing else may have moved that.
        now = int(kernels.furthest(self.rows, self.places[source], self.lateness_max_ms))
        return max(self.behind(source), now), clocks

    def _first(self, source: int, code: int) -> int:
        """The index of a feed's first clock, which is added if it is new."""
        known = [index for index in self._of[source][::2] if self._codes[index // 2] == code]
        return known[0] if known else self._add(source, code)

    def _add(self, source: int, code: int) -> int:
        index = 2 * len(self._codes)
        if index >= len(self.table):
            old, self.table = self.table, np.zeros((2 * len(self.table), 2), np.int64)
            for key, value in old[old[:, 0] != 0].tolist():
                kernels.enter(self.table, key, value)
        kernels.enter(self.table, 1 + source * FEED_CODES + code, index)
        if index >= len(self.rows):
            fresh = np.zeros((max(16, index), kernels.COLUMNS), np.int64)
            fresh[:, CLOCK] = NEVER
            self.rows = np.append(self.rows, fresh, axis=0)
        for each in (index, index + 1):
            self.rows[each, kernels.LATENESS] = self._lateness_ms(code)
            self.rows[each, kernels.TRUSTED] = source in self._trusted
            self.rows[each, kernels.NEXT] = self.places[source, kernels.HEAD]
            self.places[source, kernels.HEAD] = each + 1
        self._codes.append(code)
        self._of[source] += [index, index + 1]
        return index

    def _lateness_ms(self, code: int) -> int:
        own_ms = -1 if self._own_ms is None else int(self._own_ms[code])
        return self._default_ms if own_ms < 0 else own_ms
