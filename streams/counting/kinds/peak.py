"""`peak: concurrent`: the most calls that a number had up at once within a window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rules.kinds import window
from rules.reading import choice
from streams.counting.kinds.base import Events
from streams.counting.kinds.concurrent import Concurrent, Live
from streams.counting.kinds.joined import Joined
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled, SlotPool

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.kinds import Definition
    from rules.reading import Keys
    from streams.kernels import peak as kernel
else:
    np, kernel = Late("numpy"), Late("streams.kernels.peak")


class Peak(Live):
    name, key, needs = "peak", "peak", ("peak", "max_age", "window")
    form = {"enum": [Live.name], "description": "The most calls up at once in the window."}  # noqa: RUF012
    outputs = ("", "now")

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        if "peak" in keys:
            choice(doc, keys["peak"], "`peak`", (Live.name,))
        window_ms = window(doc, keys)
        return super().settings(doc, keys) | ({} if window_ms is None else {"window_ms": window_ms})

    def reach_ms(self, counter: Definition) -> int:
        return counter["window_ms"] + counter["max_age_ms"]

    def period_ms(self, counter: Definition, output: str) -> int:
        return counter["window_ms"]

    def state(self, counter: Definition, at: int) -> WindowPeak:
        return WindowPeak(counter, at)


class WindowPeak(Joined):
    """Outputs: the peak as of the reading, 0 without any call; and the calls that are up then."""

    def __init__(self, counter: Definition, at: int) -> None:
        self.calls = Concurrent(counter, at)
        self.peaks = _Peaks(counter, at)
        super().__init__(at, {"calls": self.calls, "peaks": self.peaks})

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        """See CounterState. Live calls are read after each hit, and noted, and at each reading."""
        (live,) = self.calls.process(rows, replace(events, read=events.hit | events.read))
        (peak,) = self.peaks.process(rows, replace(events, value=live))
        return peak, np.where(events.read, live, np.nan)


class _Peaks(Pooled):
    """The peaks alone: `value` of events holds the calls that are up."""

    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.window_ms = counter["window_ms"]
        self.pool = SlotPool(kernel.CALLS_MAX)

    def run(self, rows: np.ndarray, events: Events, start: int, *outs: np.ndarray) -> int:
        pool = self.pool
        return kernel.window_peak(
            rows, self.at, pool.cells, pool.free, pool.top,
            events.row, events.as_of, events.hit, events.read, events.value, self.window_ms, start, *outs,
        )  # fmt: skip

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        words = rows[candidates, self.at : self.at + self.words]
        newest = words.max(axis=1)
        slots = words[:, 0] < 0
        newest[slots] = self.pool.cells[-words[slots, 0] - 1].max(axis=1)
        return newest <= horizon - self.window_ms

    def pools(self) -> dict[str, SlotPool]:
        return {"slot": self.pool}
