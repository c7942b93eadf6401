"""A share over a window, in plain Python: every event is kept, every reading looks at all of them."""

import math


class OracleShare:
    def __init__(self, window_ms: int, resolution_ms: int) -> None:
        self.resolution_ms = resolution_ms
        self.buckets = window_ms // resolution_ms
        self.events: dict[int, list[tuple[int, int]]] = {}

    def add(self, number: int, time: int, held: int) -> None:
        self.events.setdefault(number, []).append((time, held))

    def read(self, number: int, as_of: int) -> tuple[float, int]:
        """The share, and the events that it is of."""
        now = as_of // self.resolution_ms
        inside = [
            held for t, held in self.events.get(number, []) if now - self.buckets < t // self.resolution_ms <= now
        ]
        return (sum(inside) / len(inside) if inside else math.nan), len(inside)
