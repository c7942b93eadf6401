"""Times and clocks in plain Python: one source's answers, event by event."""

from __future__ import annotations

WITNESSES, FEW, SETTLED, BACK, FRESH, RUN_MAX = 16, 8, 3, 2, 60, 16
FAR_MS = 10 * 86_400_000
YEAR_2000_MS = 946_684_800_000


class ClockOracle:
    def __init__(self, lateness: int, ahead: int) -> None:
        self.lateness, self.ahead = lateness, ahead
        self.clock: int | None = None
        self.standers: list[int] = []
        self.waiters: list[int] = []
        self.newest_ahead = self.run = 0
        self.is_vouched = False
        self.own = self.own_run = 0

    def judge(self, at: int, timestamp: int, number: int, vouched: bool = True) -> tuple[int, bool, bool]:
        """(time, late, future)"""
        self.is_vouched |= vouched
        t, future = at, False
        if timestamp >= YEAR_2000_MS and at > timestamp + self.ahead:
            t, future = timestamp, True
        if not vouched and self.is_vouched:
            return self._without_say(t, future)
        if self.clock is None:
            self.clock, self.standers = t, [number]
        elif t > self.clock + self.lateness:
            few = len(self.standers) < FEW
            if few and t - self.clock <= FAR_MS and (len(self.standers) == 1 or number in self.standers):
                self.clock, self.waiters = t, []
                self.standers = [number] if len(self.standers) == 1 else self.standers
                return t, False, future
            if self.waiters and abs(t - self.newest_ahead) > self.lateness:
                self.waiters = []
            self.newest_ahead = max(t, self.newest_ahead) if self.waiters else t
            self.run = self.run + 1 if self.waiters else 1
            self.waiters += [number] if number not in self.waiters else []
            if len(self.waiters) < max(2, len(self.standers)) and not (few and self.run >= RUN_MAX):
                return self.clock, False, True
            self.clock, self.standers, self.waiters = self.newest_ahead, self.waiters, []
        elif t >= self.clock - self.lateness:
            if t >= self.clock - self.lateness // FRESH:
                self.waiters = []
            self.clock = max(self.clock, t)
            if number not in self.standers and len(self.standers) < WITNESSES:
                self.standers.append(number)
        elif len(self.standers) < SETTLED and t < self.clock - BACK * self.lateness:
            self.clock, self.standers, self.waiters = t, [number], []
        else:
            return t, True, future
        return t, False, future

    def _without_say(self, t: int, future: bool) -> tuple[int, bool, bool]:
        own = max(self.clock or 0, self.own)
        is_far = t > own + self.lateness
        if is_far:
            self.own_run += 1
            if self.own_run < RUN_MAX:
                return own, False, True
        if t < own - self.lateness:
            return t, True, future
        if is_far or t >= own - self.lateness // FRESH:
            self.own_run = 0
        self.own = max(own, t)
        return t, False, future
