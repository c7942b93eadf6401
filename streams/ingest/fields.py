"""Fields of records as columns of an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rules.kinds import KINDS
from rules.model import RuleSet
from schemas.feeds import FEEDS


def record_fields(rules: RuleSet, topic: str) -> frozenset[str]:
    """The optional fields of the topic's records that these rules read."""
    feed = FEEDS[topic]
    wanted: set[str] = set()
    for rule in rules.rules:
        counters = [c for c in rule.counters.values() if c.topic == topic]
        names = set(rule.when.names) if counters else set()
        for counter in counters:
            names |= counter.where.names if counter.where is not None else set()
            wanted |= set(KINDS[counter.kind].value_columns(counter, feed))
        wanted |= {feed.columns[name] for name in names & feed.columns.keys()}
    return frozenset(wanted & set(feed.optional))


def is_present(name: str, column: np.ndarray) -> np.ndarray:
    """bool[n]: events that have this column's field."""
    return column >= 0 if name == "duration" else column != 0


def field_column(name: str, columns: Mapping[str, np.ndarray], index: np.ndarray | slice) -> np.ndarray:
    """The column of one record field as expressions read it: codes with 0 for absent, or float64 with NaN. Types move
    up by one, so that 0 can mean "absent"."""
    source = next(feed.columns[name] for feed in FEEDS.values() if name in feed.columns)
    column = columns[source][index]
    if source == "peer_type":
        return np.where(columns["peer"][index] != 0, column + np.uint8(1), np.uint8(0))
    if source == "number_type":
        return column + np.uint8(1)
    if name == "duration":
        return np.where(is_present(name, column), column / 1000.0, np.nan)
    return column
