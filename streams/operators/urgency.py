"""The score of a number in review, by which a desk looks at the most urgent first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

FAR = 100.0  # times past a limit, at most: a counter that reads 0 under its limit is no more urgent than that


def urgency(holds: Iterable[Mapping[str, Any]]) -> float:
    """The sum over a number's holds in review of how far each is past its rule; 1 for a hold that has just fired.

    A hold is as far past its rule as the counter that is nearest to its limit: how many times the limit it reads, or
    the other way round where the rule wants less than the limit. Each hit refreshes the evidence, so whoever goes on
    rises; several rules that agree add up. holds: as on `review-queue`."""
    return round(sum(_times_past(hold) for hold in holds), 2)


def _times_past(hold: Mapping[str, Any]) -> float:
    told = hold.get("evidence") or ()
    pairs = [(_number(one.get("value")), _number(one.get("limit"))) for one in told if isinstance(one, Mapping)]
    past = [_times(abs(value), abs(limit)) for value, limit in pairs if value is not None and limit is not None]
    return min(past, default=1.0)


def _times(value: float, limit: float) -> float:
    low, high = sorted((value, limit))
    if high == 0.0:
        return 1.0
    return FAR if low * FAR <= high else high / low


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    return float(value) if is_number else None  # type: ignore[arg-type]
