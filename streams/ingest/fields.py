"""Fields of records as columns of an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rules.kinds import KINDS
from rules.model import RuleSet
from schemas.features import FEATURE_NUMBERS, FEATURES
from schemas.feeds import FEEDS
from schemas.registry import REGISTRY_FIELDS

RELAY = "relay"


def tells_relays(rules: RuleSet, topic: str) -> bool:
    """True if some rule asks which relays the topic's records came through."""
    asked = (rule for rule in rules.rules if rule.stop_at_origin)
    return RELAY in FEEDS[topic].optional and any(c.topic == topic for rule in asked for c in rule.counters.values())


def record_fields(rules: RuleSet, topic: str) -> frozenset[str]:
    """The optional fields of the topic's records that these rules read."""
    feed = FEEDS[topic]
    wanted = set(_read_of(rules, topic))
    if feed.text is not None and not wanted.isdisjoint(FEATURES):
        wanted.add(feed.text)
    return frozenset(wanted & set(feed.optional))


def text_features(rules: RuleSet, topic: str) -> frozenset[str]:
    """The features of the text of the topic's records that these rules read (schemas.features)."""
    return _read_of(rules, topic) & frozenset(FEATURES) if FEEDS[topic].text is not None else frozenset()


def _read_of(rules: RuleSet, topic: str) -> frozenset[str]:
    """The columns of the topic's records that these rules read."""
    feed = FEEDS[topic]
    wanted: set[str] = set()
    for rule in rules.rules:
        counters = [c for c in rule.counters.values() if c.topic == topic]
        names = set(rule.when.names) if counters else set()
        for counter in counters:
            names |= counter.where.names if counter.where is not None else set()
            wanted |= {counter.per, *KINDS[counter.kind].value_columns(counter, feed)}
        wanted |= {feed.columns[name] for name in names & feed.columns.keys()}
        wanted |= {RELAY} if counters and rule.stop_at_origin else set()
        wanted |= {field for name in names & REGISTRY_FIELDS.keys() for field in REGISTRY_FIELDS[name]}
    return frozenset(wanted)


def absent(name: str) -> int:
    """The value of a column where a record has none."""
    return -1 if name == "duration" else 0


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
    if name in FEATURE_NUMBERS:
        return np.where(is_present(name, column), column.astype(np.float64), np.nan)
    if name == "duration":
        return np.where(is_present(name, column), column / 1000.0, np.nan)
    return column
