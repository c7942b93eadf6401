"""Committed offsets only ever advance, and never past what the log holds: no input is taken twice, none is skipped."""

from __future__ import annotations

from tests.sim.world import World


def check(world: World) -> None:
    at: dict[tuple[str, int], int] = {}
    for commit in world.commits:
        for place, (offset, _) in commit.offsets.items():
            before = at.get(place, 0)
            assert offset >= before, f"{place[0]}[{place[1]}] was committed at {before} and then at {offset}"
            assert offset <= world.broker.logs[place].end, f"{place[0]}[{place[1]}] was committed beyond its end"
            at[place] = offset
