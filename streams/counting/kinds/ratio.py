"""`ratio: {recent, habit}`: the rate of a number's events of late, by its rate in the time before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules.kinds import AT_LEAST, BUCKETS_DEFAULT, SAMPLES, WINDOW_MS_MAX, WINDOW_MS_MIN, Kind, two_durations
from rules.reading import duration, mapping
from streams.counting.kinds.base import Events
from streams.counting.kinds.joined import Joined
from streams.counting.kinds.late import Late
from streams.counting.kinds.window import WindowCount

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.kinds import Definition
    from rules.reading import Keys
else:
    np = Late("numpy")

APART_MIN = 4  # times the recent window; nearer together their ends, cut into 60 parts each, would blur the ratio


class Ratio(Kind):
    name, key, needs = "ratio", "ratio", ("ratio", AT_LEAST)
    form = two_durations("recent", "habit", "The rate of events lately by the rate of the habit before: 1 is as ever.")
    outputs = ("", SAMPLES)
    can_lack = True

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        spans = mapping(doc, keys["ratio"], "ratio", ("recent", "habit")) if "ratio" in keys else None
        if spans is None:
            return {}
        read = {}
        for key, node in spans.items():
            ms = duration(doc, node, f"`{key}`", WINDOW_MS_MIN, WINDOW_MS_MAX)
            if ms is not None and ms % BUCKETS_DEFAULT:
                doc.error(node, f"`{key}` cannot be cut into {BUCKETS_DEFAULT} equal parts of whole ms")
            elif ms is not None:
                read[f"{key}_ms"] = ms
        if len(read) == 2 and read["habit_ms"] < APART_MIN * read["recent_ms"]:
            doc.error(spans["habit"], f"the habit must reach back {APART_MIN} times as far as `recent`, or further")
        return read

    def reach_ms(self, counter: Definition) -> int:
        return counter["habit_ms"]

    def state(self, counter: Definition, at: int) -> RateRatio:
        return RateRatio(counter, at)


class RateRatio(Joined):
    """Outputs: the ratio, NaN without events before the recent ones, and the number of those.

    Both windows are counted as `count: events` does, in 60 parts each. Events of the habit are those that lie in its
    window and not in the recent one."""

    def __init__(self, counter: Definition, at: int) -> None:
        spans = {name: counter[f"{name}_ms"] for name in ("recent", "habit")}
        self.recent_ms, self.before_ms = spans["recent"], spans["habit"] - spans["recent"]
        numbers = {name: {"window_ms": ms, "resolution_ms": ms // BUCKETS_DEFAULT} for name, ms in spans.items()}
        super().__init__(at, {name: WindowCount(of, at) for name, of in numbers.items()})

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        """See CounterState."""
        (recent,), (both,) = (part.process(rows, events) for part in self.parts.values())
        before = both - recent
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (recent / self.recent_ms) / (before / self.before_ms)
        return np.where(before > 0, ratio, np.nan), before
