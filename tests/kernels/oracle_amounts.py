"""Sum and mean over a window, in plain Python: every amount is kept, every reading looks at all of them."""

import math


class OracleAmounts:
    def __init__(self, kind: str, window_ms: int, resolution_ms: int) -> None:
        self.kind = kind
        self.resolution_ms = resolution_ms
        self.buckets = window_ms // resolution_ms
        self.events: dict[int, list[tuple[int, int]]] = {}

    def add(self, number: int, time: int, amount: int) -> None:
        self.events.setdefault(number, []).append((time, amount))

    def read(self, number: int, as_of: int) -> float:
        now = as_of // self.resolution_ms
        inside = [a for t, a in self.events.get(number, []) if now - self.buckets < t // self.resolution_ms <= now]
        if self.kind == "sum":
            return sum(inside) / 1000
        return sum(inside) / (1000 * len(inside)) if inside else math.nan
