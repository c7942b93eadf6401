"""The topics agree about holds: changes in order, states that add up, the ledger, nothing twice."""

from __future__ import annotations

from tests import invariants
from tests.sim.world import World


def check(world: World, once: bool) -> None:
    seen = {
        topic: [(r.key, r.value) for place in world.broker.places(topic) for r in world.broker.logs[place].committed()]
        for topic in invariants.TOPICS
    }
    invariants.check(seen, once=once)
