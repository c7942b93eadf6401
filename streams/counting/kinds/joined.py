"""Counters that are made of others: their words lie side by side in the row, and each part has pools of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool

if TYPE_CHECKING:
    import numpy as np

    from streams.counting.kinds.pool import Saved
else:
    np = Late("numpy")


class Joined(Pooled):
    """The parts by name, each with its first word behind the last one's words. A part's pool is called PART-POOL."""

    def __init__(self, at: int, parts: dict[str, Pooled]) -> None:
        self.parts = parts
        self.words = sum(part.words for part in parts.values())
        self.at = at

    @property
    def at(self) -> int:
        return self._at

    @at.setter
    def at(self, at: int) -> None:
        self._at = at
        for part in self.parts.values():
            part.at = at
            at += part.words

    def pools(self) -> dict[str, SlotPool]:
        return {f"{name}-{of}": pool for name, part in self.parts.items() for of, pool in part.pools().items()}

    def slot_word(self, pool: str) -> int:
        name, _, of = pool.partition("-")
        return self.parts[name].slot_word(of)

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        return np.logical_and.reduce([part.idle(rows, candidates, horizon) for part in self.parts.values()])

    def forget(self, rows: np.ndarray, gone: np.ndarray) -> None:
        for part in self.parts.values():
            part.forget(rows, gone)

    def sizes(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.sum([part.sizes(rows, index) for part in self.parts.values()], axis=0)

    def save(self, rows: np.ndarray, index: np.ndarray) -> Saved:
        return {
            f"{name}-{of}": slots for name, part in self.parts.items() for of, slots in part.save(rows, index).items()
        }

    def restore(self, rows: np.ndarray, index: np.ndarray, words: np.ndarray, saved: Saved) -> None:
        at = 0
        for name, part in self.parts.items():
            mine = {of: saved[f"{name}-{of}"] for of in part.pools() if f"{name}-{of}" in saved}
            part.restore(rows, index, words[:, at : at + part.words], mine)
            at += part.words
