"""Calls of a number that are set up and not yet released: exact to 64, "at least 64" beyond.

`streams.kernels.concurrent` defines a reading exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.catalog import said_on
from rules.kinds import WINDOW_MS_MAX, WINDOW_MS_MIN, Kind
from rules.logic import Between
from rules.reading import duration
from schemas.codes import RELEASE, SETUP
from streams.counting.kinds.base import Events
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document, Node
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic
    from streams.kernels import concurrent as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.concurrent")

ENDS = frozenset({"setup", "release"})


class Live(Kind):
    """`count: concurrent`"""

    name, key = "concurrent", "count"
    needs: tuple[str, ...] = ("count", "max_age")
    exact_max, beyond = 64, 'only "at least 64"'
    is_whole = True
    needs_live_calls = True

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        if "max_age" not in keys:
            return {}
        age_ms = duration(doc, keys["max_age"], "max_age", WINDOW_MS_MIN, WINDOW_MS_MAX)
        return {} if age_ms is None else {"max_age_ms": age_ms}

    def events(self, doc: Document, node: Node, feed: InputTopic, events: frozenset[str]) -> frozenset[str]:
        if not events >= ENDS:
            hint = f"write {said_on(ENDS.issubset)}"
            doc.error(node, "simultaneous calls are counted from set-up to release", hint)
        return ENDS

    def bounds(self, output: str) -> tuple[Between, bool]:
        return Between(0, self.exact_max), True

    def reach_ms(self, counter: Definition) -> int:
        return counter["max_age_ms"]

    def slow_kernel(self) -> Any:
        return kernel.count_concurrent

    def state(self, counter: Definition, at: int) -> Pooled:
        return Concurrent(counter, at)


class Concurrent(Pooled):
    """Four words in the row; a slot of 128 bytes from the third call on, of 1 KB beyond 8, of 16 KB beyond 64."""

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.max_age_ms = counter["max_age_ms"]
        self.tiny = SlotPool(kernel.TINY_CELLS)
        self.small = SlotPool(kernel.SMALL_CELLS)
        self.large = SlotPool(kernel.LARGE_CELLS)

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        return kernel.count_concurrent(
            rows, self.at, self.max_age_ms, SETUP, RELEASE,
            events.row, events.at, events.as_of, events.hit, events.read, events.value, events.event, events.closed,
            *self._slots(), start, *outs,
        )  # fmt: skip

    def pool_short(self, words: np.ndarray) -> SlotPool:
        """See Pooled."""
        if words[0] >= 0:
            return self.tiny
        if words[1] != kernel.SMALL:
            return self.small
        # A small list makes sure of a tiny slot before it changes.
        return self.large if self.tiny.top[0] > 0 else self.tiny

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        """See CounterState."""
        out = np.zeros(len(candidates), np.bool_)
        kernel.idle_concurrent(rows, self.at, self.max_age_ms, candidates, horizon, *self._slots(), out)
        return out

    def pools(self) -> dict[str, SlotPool]:
        """In the order of the kernel's codes TINY, SMALL, LARGE."""
        return {"tiny": self.tiny, "small": self.small, "large": self.large}

    def pool_of(self, rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """See Pooled."""
        return np.where(rows[index, self.at] < 0, rows[index, self.at + 1], -1)
