"""Conditions over named counts, by which a command fails: `new_blocks > 100`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rules.expressions import NUMBER, Expression, parse


def condition(source: str, names: Mapping[str, object]) -> Expression:
    """Raises rules.expressions.ExpressionErrors."""
    return parse(source, dict.fromkeys(names, NUMBER))


def is_met(condition: Expression, counts: Mapping[str, float]) -> bool:
    columns = {name: np.array([counts[name]], np.float64) for name in condition.names}
    return bool(condition.evaluate(columns, 1)[0])


def values(condition: Expression, counts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {counts[name]:,g}" for name in sorted(condition.names))
