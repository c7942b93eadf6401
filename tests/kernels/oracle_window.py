"""A window count, in plain Python: every event is kept, every reading looks at all of them."""


class OracleWindow:
    def __init__(self, window_ms: int, resolution_ms: int) -> None:
        self.resolution_ms = resolution_ms
        self.buckets = window_ms // resolution_ms
        self.events: dict[int, list[int]] = {}

    def add(self, number: int, time: int) -> None:
        self.events.setdefault(number, []).append(time)

    def read(self, number: int, as_of: int) -> float:
        now = as_of // self.resolution_ms
        return float(sum(now - self.buckets < t // self.resolution_ms <= now for t in self.events.get(number, [])))
