"""The sum of weights over a window, in plain Python: every event is kept, every reading looks at all of them."""

from __future__ import annotations

from fractions import Fraction


class OracleWeight:
    """weights: by the value that the event's field has; an event without one weighs nothing."""

    def __init__(self, weights: dict[str, Fraction], window_ms: int, resolution_ms: int) -> None:
        self.weights = weights
        self.resolution_ms = resolution_ms
        self.buckets = window_ms // resolution_ms
        self.events: dict[int, list[tuple[int, Fraction]]] = {}

    def add(self, number: int, time: int, value: str) -> None:
        self.events.setdefault(number, []).append((time, self.weights.get(value, Fraction(0))))

    def read(self, number: int, as_of: int) -> float:
        now = as_of // self.resolution_ms
        inside = [w for t, w in self.events.get(number, []) if now - self.buckets < t // self.resolution_ms <= now]
        return float(sum(inside, Fraction(0)))
