"""Firings: events at which a rule is true for a number. The ledger decides what each one changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Lanes, in the order of rules.model.MODES: what a hold of each mode touches.
LANES = ENFORCE, SHADOW, REVIEW = range(3)


@dataclass(slots=True)
class Firings:
    """Firings of one epoch, m of them, sorted by event and then by the rules' file order."""

    event: np.ndarray  # int64[m]: index of the event in its epoch
    line: np.ndarray  # int64[m]: the input record's place in the epoch, ascending
    number: np.ndarray  # int64[m]
    rule: np.ndarray  # int64[m]: slot of the rule
    lane: np.ndarray  # int64[m]
    at: np.ndarray  # int64[m]: the event's own time, ms
    period: np.ndarray  # int64[m], ms
    clock_before: np.ndarray  # int64[m]: largest partition clock before the record, ms; replay expires by it
    partition: np.ndarray  # int64[m]: the number's
    review_ms: np.ndarray  # int64[m]: how long silence may last in review before it blocks, ms; 0: it never does
