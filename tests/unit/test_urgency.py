"""The order of the review desk: whoever is furthest past the rules, and hit by most of them, comes first."""

from __future__ import annotations

from typing import Any

import pytest

from streams.operators.urgency import FAR, urgency


def hold(*pairs: tuple[Any, Any]) -> dict[str, Any]:
    return {"rule": "r", "evidence": [{"counter": "c", "value": value, "limit": limit} for value, limit in pairs]}


@pytest.mark.parametrize(
    ("evidence", "score"),
    [
        ([(20, 20)], 1.0), ([(60, 20)], 3.0), ([(60, 20), (25, 20)], 1.25), ([(3, 9)], 3.0), ([(0, 9)], FAR),
        ([(5, None)], 1.0), ([(5, None), (40, 20)], 2.0), ([], 1.0), ([(0, 0)], 1.0), ([(-4, -2)], 2.0),
        ([(float("nan"), 3)], 1.0), ([(float("inf"), 3)], FAR), ([("5", 1)], 1.0), ([(10**30, 1)], FAR),
    ],
)  # fmt: skip
def test_a_hold_is_as_far_past_its_rule_as_its_nearest_counter(evidence: list[tuple[Any, Any]], score: float) -> None:
    assert urgency([hold(*evidence)]) == score


def test_rules_that_agree_add_up_and_going_on_rises() -> None:
    one, both, more = [hold((22, 20))], [hold((22, 20)), hold((31, 30))], [hold((80, 20))]
    assert urgency(one) < urgency(both) < urgency(more)
    assert urgency([]) == 0
    assert urgency([{"rule": "r"}, {"rule": "s", "evidence": None}, {"evidence": ["x"]}]) == 3
