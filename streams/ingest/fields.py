"""Fields of records as columns of an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rules.model import Counter, RuleSet
from schemas import topics

# What an expression calls a field of the record -> its column. Types move up by one, so that 0 can mean "absent".
FIELD_COLUMNS = {
    "origin": "origin",
    "verified": "verified",
    "channel": "channel",
    "access_code": "access",
    "sender_type": "number_type",
    "caller_type": "number_type",
    "recipient_type": "peer_type",
    "callee_type": "peer_type",
    "duration": "duration",
}


TOPIC_FIELDS = {
    topics.MESSAGE_RELAY: {"sender_type", "recipient_type", "channel", "origin", "verified", "access_code"},
    topics.CDR: {"caller_type", "callee_type", "duration", "origin", "verified", "access_code"},
}


# What `distinct` counts -> the columns it may stand in, the first that is present.
DISTINCT_COLUMNS = {"recipient": ("peer",), "callee": ("peer",), "content": ("content_hash", "text")}


def record_fields(rules: RuleSet, topic: str) -> frozenset[str]:
    """The optional fields of the topic's records that these rules read."""
    wanted: set[str] = set()
    for rule in rules.rules:
        counters = [c for c in rule.counters.values() if c.topic == topic]
        names = set(rule.when.names) if counters else set()
        for counter in counters:
            names |= counter.where.names if counter.where is not None else set()
            if counter.kind == "distinct":
                wanted |= {column for column in distinct_columns(counter) if column != "peer"}
        wanted |= names & {"channel"} & TOPIC_FIELDS[topic]
    return frozenset(wanted)


def distinct_columns(counter: Counter) -> tuple[str, ...]:
    assert counter.field is not None
    return DISTINCT_COLUMNS.get(counter.field, (counter.field,))


def field_column(name: str, columns: Mapping[str, np.ndarray], index: np.ndarray | slice) -> np.ndarray:
    """The column of one record field as expressions read it: codes with 0 for absent, or float64 with NaN."""
    column = columns[FIELD_COLUMNS[name]][index]
    if name.endswith("_type"):
        return column + np.uint8(1)
    if name == "duration":
        return np.where(column < 0, np.nan, column / 1000.0)
    return column
