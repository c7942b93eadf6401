"""The health of a worker that runs: what keeps it from committing, or from reading, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.ingest.epoch import Place

# A worker with partitions commits every few seconds, were it only a heartbeat; a broker that restarts takes some.
COMMIT_AGE_MAX_S = 30.0
BROKER_SILENT_MAX_S = 30.0
# A feed may write in transactions, and each of them is open for a while.
STUCK_MAX_S = 60.0
SHOWN_MAX = 5


@dataclass(frozen=True)
class Health:
    """The findings of one moment. commit_age_s: since the last commit, 0 for a worker that counts no partition.
    broker_silent_s: since a broker last answered. stuck_s: for each place whose stable offset lies before its end, how
    long it has not moved."""

    commit_age_s: float = 0.0
    broker_silent_s: float = 0.0
    stuck_s: Mapping[Place, float] = field(default_factory=dict)

    def problems(self) -> dict[str, str]:
        """By kind, what is wrong, in words."""
        found = {}
        if self.broker_silent_s > BROKER_SILENT_MAX_S:
            found["broker"] = f"no broker has answered for {self.broker_silent_s:.0f} s"
        if self.commit_age_s > COMMIT_AGE_MAX_S:
            found["commit"] = f"nothing was committed for {self.commit_age_s:.0f} s"
        stuck = sorted(place for place, since_s in self.stuck_s.items() if since_s > STUCK_MAX_S)
        if stuck and "broker" not in found:  # from a broker that is away nobody hears that it moves
            places = ", ".join(f"partition {partition} of {topic}" for topic, partition in stuck[:SHOWN_MAX])
            more = f" and {len(stuck) - SHOWN_MAX} more" if len(stuck) > SHOWN_MAX else ""
            longest_s = max(self.stuck_s[place] for place in stuck)
            found["open transaction"] = (
                f"a producer keeps a transaction open in {places}{more}: for {longest_s:.0f} s nothing behind it could "
                "be read"
            )
        return found
