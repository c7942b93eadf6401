"""An epoch's events of all topics in one set of columns, in arrival order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from schemas.feeds import EVENTS, FEEDS, VOUCHING
from streams.ingest.decode import ORDER, Decoded

# Columns that every epoch has. In a topic without them nobody vouches for numbers.
ALWAYS = dict.fromkeys(VOUCHING, np.dtype(np.uint8))


@dataclass(slots=True)
class Merged:
    """n events in arrival order; a `complete` record's events follow each other on one line."""

    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    @property
    def n(self) -> int:
        return len(self.columns["line"]) if self.columns else 0

    def of_topic(self, topic: str) -> np.ndarray:
        """bool[n]"""
        return self["topic"] == FEEDS[topic].code

    def of_events(self, names: frozenset[str]) -> np.ndarray:
        """bool[n]: events whose kind is one of these names."""
        table = np.array([name in names for name in EVENTS])
        return table[self["event"]]

    def first_of_line(self) -> np.ndarray:
        """int64[n]: index of the first event of each event's record."""
        line = self["line"]
        starts = np.ones(len(line), bool)
        starts[1:] = line[1:] != line[:-1]
        return np.maximum.accumulate(np.where(starts, np.arange(len(line)), 0))

    def take(self, index: np.ndarray) -> Merged:
        return Merged({name: column[index] for name, column in self.columns.items()})


def merge(decoded: list[Decoded], kinds: Mapping[str, np.dtype]) -> Merged:
    """kinds: every column that anybody reads, since an epoch need not have records of each topic. Columns that a topic
    lacks are filled with zeros, "absent" everywhere; an absent duration is -1."""
    parts = [part for part in decoded if len(part)]
    if not parts:
        return Merged({})
    kinds = ALWAYS | dict(kinds)
    for part in parts:
        part.columns.setdefault("duration", np.full(len(part), -1, np.int64))
    if any(ORDER in part.columns for part in parts):
        kinds |= {ORDER: np.dtype(object)}  # a column of those epochs only that have orders
    names = dict.fromkeys([*kinds, *(name for part in parts for name in part.columns)])
    if len(parts) == 1:
        (part,) = parts
        return Merged(part.columns | {name: np.zeros(len(part), kinds[name]) for name in kinds.keys() - part.columns})
    order = np.argsort(np.concatenate([part.columns["line"] for part in parts]), kind="stable")
    columns = {}
    for name in names:
        pieces = [part.columns[name] if name in part.columns else np.zeros(len(part), kinds[name]) for part in parts]
        columns[name] = np.concatenate(pieces)[order]
    return Merged(columns)
