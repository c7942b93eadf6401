"""The ratio of two rates, in plain Python: every event is kept."""

import math

PARTS = 60


class OracleRatio:
    def __init__(self, recent_ms: int, habit_ms: int) -> None:
        self.recent_ms, self.habit_ms = recent_ms, habit_ms
        self.times: dict[int, list[int]] = {}

    def add(self, number: int, time: int) -> None:
        self.times.setdefault(number, []).append(time)

    def read(self, number: int, as_of: int) -> tuple[float, int]:
        """The ratio, and the events that are no recent ones."""
        recent, both = (self._count(number, as_of, span) for span in (self.recent_ms, self.habit_ms))
        before = both - recent
        if not before:
            return math.nan, 0
        return (recent / self.recent_ms) / (before / (self.habit_ms - self.recent_ms)), before

    def _count(self, number: int, as_of: int, span_ms: int) -> int:
        part = span_ms // PARTS
        now = as_of // part
        return sum(now - PARTS < time // part <= now for time in self.times.get(number, []))
