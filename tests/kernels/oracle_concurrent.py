"""Calls set up and not released, in plain Python: a dictionary from call id to set-up time."""

from __future__ import annotations


class ConcurrentOracle:
    """One number."""

    def __init__(self, max_age_ms: int) -> None:
        self.max_age = max_age_ms
        self.calls: dict[int, int] = {}

    def setup(self, call: int, t: int) -> None:
        self._purge(t)
        self.calls.setdefault(call, t)
        if len(self.calls) > 1024:
            del self.calls[min(self.calls, key=lambda c: (self.calls[c], c))]

    def release(self, call: int, t: int) -> None:
        self._purge(t)
        self.calls.pop(call, None)

    def read(self, as_of: int) -> float:
        return float(min(64, sum(as_of - at < self.max_age for at in self.calls.values())))

    def _purge(self, t: int) -> None:
        self.calls = {call: at for call, at in self.calls.items() if t - at < self.max_age}
