"""The peak of live calls in a window, in plain Python: every reading of live calls is kept."""


class OraclePeak:
    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self.notes: dict[int, list[tuple[int, int]]] = {}

    def note(self, number: int, time: int, calls: int) -> None:
        self.notes.setdefault(number, []).append((time, calls))

    def read(self, number: int, as_of: int, calls: int) -> int:
        """`calls`: those that are up at the reading."""
        inside = [n for t, n in self.notes.get(number, []) if as_of - t < self.window_ms]
        return max(calls, *inside) if inside else calls
