"""Recommendations are forgotten a week after their end."""

from __future__ import annotations

import numpy as np

from streams.holds.sanctions import Sanctions
from streams.kafka.partition import partition_of

T, DAY = 1_795_312_800_000, 86_400_000
PARTITIONS = 4
CALLEES = range(82_10_0000_0000, 82_10_0000_0020)


def home(callee: int) -> int:
    return partition_of(f"+{callee}".encode(), PARTITIONS)


def standing(sanctions: Sanctions) -> set[int]:
    """The partitions that have some yet."""
    return {p for p in range(PARTITIONS) if sanctions.digest(p, PARTITIONS) != Sanctions().digest(p, PARTITIONS)}


def test_a_recommendation_is_forgotten_a_week_after_its_end_by_the_clock_of_its_own_partition() -> None:
    sanctions = Sanctions()
    keys = np.array(CALLEES, np.int64)
    # The last of them is recommended for a day longer than the others.
    sanctions.fire("r", "callee", DAY, keys, np.where(keys == keys[-1], T + DAY, T))
    written = sanctions.ledger_rows(PARTITIONS)
    assert len(written) == len(CALLEES)
    assert standing(sanctions) == set(range(PARTITIONS))

    late = Sanctions()
    late.load([(row.key or b"", row.value) for row in written])
    for known in (sanctions, late):
        for p in range(PARTITIONS):
            known.bury(p, PARTITIONS, T + 8 * DAY - 1)
        assert (len(known), known.ledger_rows(PARTITIONS)) == (len(CALLEES), [])
        first = home(CALLEES[0])
        known.bury(first, PARTITIONS, T + 9 * DAY)
        assert standing(known) == set(range(PARTITIONS)) - {first}
        assert {(row.partition, row.value) for row in known.ledger_rows(PARTITIONS)} == {(first, None)}
        for p in range(PARTITIONS):
            known.bury(p, PARTITIONS, T + 9 * DAY - 1)
        assert len(known) == (home(CALLEES[-1]) != first)
        for p in range(PARTITIONS):
            known.bury(p, PARTITIONS, T + 9 * DAY)
        assert not len(known)
