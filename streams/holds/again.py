"""Longer periods for who does it again: a rule may hold a number for longer whose last hold by it ended lately."""

from __future__ import annotations

from streams.holds.hold import LedgerHold

# A day less than ended holds are kept: events are late, and who buries goes by another clock.
AGAIN_WITHIN_MS = 6 * 86_400_000


def period_of(before: LedgerHold | None, at_ms: int, first_ms: int, again_ms: int) -> int:
    """The period of a hold that opens. before: the rule's last hold on the number, if it is still known; one that an
    operator ended counts for nothing. again_ms: 0 of a rule with one period."""
    if before is None or before.released_ms is not None or at_ms >= before.until_ms + AGAIN_WITHIN_MS:
        return first_ms
    return max(first_ms, again_ms)
