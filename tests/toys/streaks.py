"""A kind of counter that the product does not have: `streak: PAUSE`, a number's events without a pause between them.
With `of: FIELD` those that have the field. Steps as in CONTRIBUTING.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rules import kinds
from rules.reading import choice, duration
from streams.counting.kinds.late import Late
from streams.counting.kinds.pool import Pooled

if TYPE_CHECKING:
    import numpy as np

    from rules.document import Document
    from rules.kinds import Definition
    from rules.reading import Keys
    from schemas.feeds import InputTopic
    from streams.counting.kinds.base import Events
    from tests.toys import kernel
else:
    np, kernel = Late("numpy"), Late("tests.toys.kernel")


class Streaks(kinds.Kind):
    name, key, needs, may = "streak", "streak", ("streak",), ("of",)
    exact_max, beyond = 1_000, "not to be believed"

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        pause_ms = duration(doc, keys["streak"], "the pause", 1, 3_600_000) if "streak" in keys else None
        return {} if pause_ms is None else {"pause_ms": pause_ms}

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        return choice(doc, keys["of"], "field to look for", feed.distinct) if "of" in keys else None

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        return ("id",) if counter.field is None else feed.distinct_columns(counter.field)

    def reach_ms(self, counter: Definition) -> int:
        return counter["pause_ms"]

    def state(self, counter: Definition, at: int) -> Streak:
        return Streak(counter, at)


class Streak(Pooled):
    def __init__(self, counter: Definition, at: int) -> None:
        self.words = kernel.WORDS
        self.at = at
        self.pause_ms = counter["pause_ms"]

    def process(self, rows: np.ndarray, events: Events) -> tuple[np.ndarray, ...]:
        out = np.full(len(events.row), np.nan)
        kernel.streaks(rows, self.at, self.pause_ms, events.row, events.at, events.as_of, events.hit, events.read, out)
        return (out,)

    def idle(self, rows: np.ndarray, candidates: np.ndarray, horizon: int) -> np.ndarray:
        return rows[candidates, self.at] < horizon - self.pause_ms


def register() -> None:
    kinds.register(Streaks())
