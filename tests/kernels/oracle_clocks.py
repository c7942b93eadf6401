"""Times and clocks in plain Python: one place's answers, event by event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

WITNESSES, FEW, SETTLED, BACK, FRESH, RUN, LONG_RUN = 16, 8, 3, 2, 60, 16, 64
FAR_MS = 10 * 86_400_000
YEAR_2000_MS = 946_684_800_000
NEVER = -(1 << 62)
EVERY, DORMANT, ASLEEP = 64, 1 << 20, 3


class ClockOracle:
    """The clock of one feed. trusted: every step is taken."""

    def __init__(self, lateness: int, ahead: int, trusted: bool = False) -> None:
        self.lateness, self.ahead, self.trusted = lateness, ahead, trusted
        self.clock = NEVER
        self.standers: list[int] = []
        self.waiters: list[tuple[int, int]] = []  # (time, number) of the events that have gone ahead
        self.old: int | None = None  # before the last step, after which it was `new`
        self.new = 0
        self.latest = 0  # which event of its place it had last

    def judge(self, at: int, timestamp: int, number: int) -> tuple[int, bool, bool]:
        """(time, late, future)"""
        t, future = at, False
        if timestamp >= YEAR_2000_MS and at > timestamp + self.ahead:
            t, future = timestamp, True
        if self.clock == NEVER or (len(self.standers) < SETTLED and t < self.clock - BACK * self.lateness):
            self.clock, self.standers, self.waiters, self.old = t, [number], [], None
        elif t > self.clock + self.lateness:
            if self.trusted:
                self.clock = t
            elif not self._goes_ahead(t, number):
                return self.clock + max(0, t - self.waiters[0][0]), False, True
        elif t < self.clock - self.lateness:
            if self.old is None or t < self.old - self.lateness or not self._are_enough(t, number):
                return t, True, future
            self.old = None
        else:
            if (self.clock - t) * FRESH <= self.lateness:
                self.waiters = []
            self.clock = max(self.clock, t)
            if self.clock > self.new + self.lateness:
                self.old = None
            if number not in self.standers and len(self.standers) < WITNESSES:
                self.standers.append(number)
        return t, False, future

    def _goes_ahead(self, t: int, number: int) -> bool:
        few = len(self.standers) < FEW
        if few and t - self.clock <= FAR_MS and (len(self.standers) == 1 or number in self.standers):
            self.clock, self.waiters = t, []
            self.standers = [number] if len(self.standers) == 1 else self.standers
            return True
        old = self.clock
        if not self._are_enough(t, number):
            return False
        self.old, self.new = old, self.clock
        return True

    def _are_enough(self, t: int, number: int) -> bool:
        few = len(self.standers) < FEW
        if self.waiters and (t > self.clock) != (self.waiters[0][0] > self.clock):
            self.waiters = []
        if self.waiters and t < max(self.waiters)[0] - self.lateness:
            self.waiters = []
        self.waiters.append((t, number))
        newest, numbers = max(self.waiters)[0], list(dict.fromkeys(number for _, number in self.waiters))
        lasted = newest - self.waiters[0][0]
        is_long = len(self.waiters) >= LONG_RUN and lasted >= self.lateness / 6
        is_long |= len(numbers) >= SETTLED and lasted > self.lateness
        if len(numbers) < max(2, len(self.standers)) and not is_long and not (few and len(self.waiters) >= RUN):
            return False
        self.clock, self.standers, self.waiters = newest, numbers[:WITNESSES], []
        return True


class PlaceOracle:
    """The clocks of a place by (feed, somebody vouches). own: lateness by feed, where it has one of its own."""

    def __init__(
        self, lateness: int, ahead: int, own: Mapping[object, int] | None = None, trusted: bool = False
    ) -> None:
        self.lateness, self.ahead, self.own, self.trusted = lateness, ahead, own or {}, trusted
        self.lateness_max = max(lateness, *self.own.values(), 0)
        self.clocks: dict[tuple[object, bool], ClockOracle] = {}
        self.events: defaultdict[bool, int] = defaultdict(int)  # of all, and of those that somebody vouches for
        self.behind, self.look = NEVER, EVERY
        self.clock = self.horizon = NEVER  # of the event of the moment

    @property
    def newest(self) -> int:
        """The newest clock of the events that somebody vouches for, or of all while there are none."""
        return max(
            [of.clock for (_, vouched), of in self.clocks.items() if vouched]
            or [of.clock for of in self.clocks.values()]
            or [NEVER]
        )

    def judge(self, feed: object, vouched: bool, at: int, timestamp: int, number: int) -> tuple[int, bool, bool]:
        """(time, late, future)"""
        lateness = self.own.get(feed, self.lateness)
        mine = self.clocks.setdefault((feed, vouched), ClockOracle(lateness, self.ahead, self.trusted))
        t, late, future = mine.judge(at, timestamp, number)
        self.events[False] += 1
        self.events[True] += vouched
        mine.latest = self.events[vouched]
        self.look -= 1
        if self.look == 0:
            self.look = max(EVERY, 2 * len(self.clocks))
            newest = max(of.clock for of in self.clocks.values())
            awake = [
                of
                for (_, vouched), of in self.clocks.items()
                if self.events[vouched] - of.latest < DORMANT or of.clock >= newest - ASLEEP * self.lateness_max
            ]
            if any(len(of.standers) >= SETTLED for of in awake):
                least = (of.clock if of.old is None else min(of.clock, of.old) for of in awake)
                self.behind = max(self.behind, min(least))
        self.clock = max(mine.clock, self.behind)
        self.horizon = self.clock - lateness
        return t, late or t < self.behind - lateness, future
