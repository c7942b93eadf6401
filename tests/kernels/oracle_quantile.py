"""A quantile over a window, in plain Python: every amount is kept, and sorted at every reading."""

import math

BUCKETS = 12


class OracleQuantile:
    def __init__(self, window_ms: int, per_mille: int) -> None:
        self.resolution_ms = window_ms // BUCKETS
        self.per_mille = per_mille
        self.events: dict[int, list[tuple[int, int]]] = {}

    def add(self, number: int, time: int, amount: int) -> None:
        self.events.setdefault(number, []).append((time, amount))

    def inside(self, number: int, as_of: int) -> list[int]:
        now = as_of // self.resolution_ms
        return sorted(a for t, a in self.events.get(number, []) if now - BUCKETS < t // self.resolution_ms <= now)

    def read(self, number: int, as_of: int) -> tuple[float, int]:
        """The middle, in seconds, of the size of the amount at the quantile's rank; and the amounts."""
        inside = self.inside(number, as_of)
        if not inside:
            return math.nan, 0
        return middle_s(inside[-(-len(inside) * self.per_mille // 1000) - 1]), len(inside)


def middle_s(amount_ms: int) -> float:
    """Sizes: below half a second, then four to each doubling, 64 in all."""
    size = sum(amount_ms >= 500 * 2 ** (k / 4) for k in range(63))
    return 0.5 * 2 ** ((size - 0.5) / 4) if size else 0.25
