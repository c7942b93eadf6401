"""The intake's rules with dicts that forget nothing: one partition's answers, event by event.

The vouched reading has dicts of its own, which hold events alone that somebody vouches for."""

from __future__ import annotations

SETUP, ANSWER, RELEASE = 1, 2, 3


class Memory:
    """The memory of one reading: (time, vouched for) by (kind, id), and of answers by id."""

    def __init__(self) -> None:
        self.first: dict[tuple[int, int], tuple[int, bool]] = {}
        self.answered: dict[int, tuple[int, bool]] = {}


class PartitionOracle:
    def __init__(self, lateness: int, ahead: int, answer_memory: int) -> None:
        self.lateness, self.ahead, self.answer_memory = lateness, ahead, answer_memory
        self.clock: int | None = None
        self.all, self.vouched = Memory(), Memory()

    def accept(self, at: int, timestamp: int, event: int, id_hash: int, duration: int, vouched: bool) -> tuple:
        """(time, verdict, future, closed, duration, and where it is vouched for: whether a duplicate is none in the
        vouched reading, closed and duration there)"""
        future = timestamp > 0 and at > timestamp + self.ahead
        t = timestamp if future else at
        if self.clock is not None and t < self.clock - self.lateness:
            return t, 1, future, False, duration, False, False, duration
        self.clock = t if self.clock is None else max(self.clock, t)
        known = self._known(self.all, event, id_hash)
        if not vouched:
            if known:
                return t, 2, future, False, duration, False, False, duration
            return t, 0, future, *self._count(self.all, t, event, id_hash, duration, False), False, None, None
        if self._known(self.vouched, event, id_hash):
            return t, 2, future, False, duration, False, False, duration
        mine = self._count(self.vouched, t, event, id_hash, duration, True)
        all_ = self._count(self.all, t, event, id_hash, duration, True)  # a duplicate takes the other one's place
        return t, 2 if known else 0, future, *all_, bool(known), *mine

    def _count(self, of: Memory, t: int, event: int, id_hash: int, duration: int, vouched: bool) -> tuple[bool, int]:
        of.first[event, id_hash] = t, vouched
        closed = event == SETUP and self._known(of, RELEASE, id_hash)
        answer, by_vouched = of.answered.get(id_hash, (None, False))
        if answer is not None and answer < self.clock - self.answer_memory:
            answer = None
        if event == ANSWER and (vouched or answer is None or not by_vouched):
            of.answered[id_hash] = t, vouched
        elif event == RELEASE and duration == -1 and answer is not None:
            duration = max(0, t - answer)
        return closed, duration

    def _known(self, of: Memory, event: int, id_hash: int) -> bool:
        first, _ = of.first.get((event, id_hash), (None, False))
        return first is not None and first >= self.clock - self.lateness
