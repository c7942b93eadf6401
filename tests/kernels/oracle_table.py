"""A store as a dict: rows in order of first appearance, none beyond the maximum."""

from __future__ import annotations


class StoreOracle:
    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.newest: dict[int, int] = {}
        self.untracked = 0

    def see(self, key: int, insert: bool) -> bool:
        """True if the number is tracked after this event."""
        if key in self.newest:
            return True
        if key == 0 or not insert:
            return False
        if len(self.newest) == self.maximum:
            self.untracked += 1
            return False
        self.newest[key] = 0
        return True

    def note(self, key: int, at: int, touch: bool) -> int:
        newest = self.newest.get(key, 0)
        if touch:
            newest = max(newest, at)
        if key in self.newest:
            self.newest[key] = newest
        return newest

    def reclaim(self, horizon: int) -> None:
        self.newest = {key: newest for key, newest in self.newest.items() if newest > horizon}
