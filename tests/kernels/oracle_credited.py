"""Credited reporters of one number: a dictionary of newest times, of which the 64 latest count by their weights."""

from __future__ import annotations

KEYS_MAX = 64
Judgement = tuple[int, int, int, bool]  # reporter, since, until, rejected


def weight(judgements: list[Judgement], reporter: int, at: int) -> int:
    """Thousandths."""
    mine = [rejected for who, since, until, rejected in judgements if who == reporter and since <= at < until]
    rejected = sum(mine)
    upheld = len(mine) - rejected
    return 1000 * (upheld + 1) // (upheld + 2 * rejected + 1)


class CreditedOracle:
    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self.times: dict[int, dict[int, int]] = {}

    def add(self, row: int, time: int, key: int) -> None:
        if key:
            mine = self.times.setdefault(row, {})
            mine[key] = max(mine.get(key, time), time)

    def keys(self, row: int, as_of: int) -> list[int]:
        newest = sorted(((at, key) for key, at in self.times.get(row, {}).items()), reverse=True)[:KEYS_MAX]
        return [key for at, key in newest if as_of - at < self.window_ms]

    def read(self, row: int, as_of: int, judgements: list[Judgement]) -> float:
        return sum(weight(judgements, key, as_of) for key in self.keys(row, as_of)) / 1000
