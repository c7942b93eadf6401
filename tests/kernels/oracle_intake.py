"""The intake's rules with dicts that forget nothing: one partition's answers, event by event."""

from __future__ import annotations

SETUP, ANSWER, RELEASE = 1, 2, 3


class PartitionOracle:
    def __init__(self, lateness: int, ahead: int, answer_memory: int) -> None:
        self.lateness, self.ahead, self.answer_memory = lateness, ahead, answer_memory
        self.clock: int | None = None
        self.first: dict[tuple[int, int], int] = {}
        self.answered: dict[int, int] = {}

    def accept(self, at: int, timestamp: int, event: int, id_hash: int, duration: int) -> tuple:
        """(time, verdict, future, closed, duration)"""
        future = timestamp > 0 and at > timestamp + self.ahead
        t = timestamp if future else at
        if self.clock is not None and t < self.clock - self.lateness:
            return t, 1, future, False, duration
        self.clock = t if self.clock is None else max(self.clock, t)
        if self._remembers(event, id_hash):
            return t, 2, future, False, duration
        self.first[event, id_hash] = t
        closed = event == SETUP and self._remembers(RELEASE, id_hash)
        if event == ANSWER:
            self.answered[id_hash] = t
        elif event == RELEASE and duration == -1:
            answer = self.answered.get(id_hash)
            if answer is not None and answer >= self.clock - self.answer_memory:
                duration = max(0, t - answer)
        return t, 0, future, closed, duration

    def _remembers(self, event: int, id_hash: int) -> bool:
        first = self.first.get((event, id_hash))
        return first is not None and first >= self.clock - self.lateness
