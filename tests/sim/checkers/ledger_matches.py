"""The ledger topic holds every hold, and `block-events` names for each number exactly the holds in force."""

from __future__ import annotations

import orjson

from rules.model import RuleSet
from schemas.numbers import published
from schemas.topics import BLOCK_EVENTS, LEDGER
from streams.engine.engine import Engine
from tests.sim.world import World


def check(world: World, rules: RuleSet, expected: Engine) -> None:
    """expected: an engine with the holds as of the committed offsets, expired by now."""
    for partition in range(world.partitions):
        loaded = Engine(rules)
        loaded.partitions = world.partitions
        log = world.broker.logs[LEDGER, partition]
        rows = [(r.key or b"", r.value) for r in log.read(log.start, len(log.records), committed=True)[0]]
        loaded.load_ledger([row for row in rows if not row[0].startswith(b"#")])
        loaded.expire(world.now_ms)
        mine = set(expected.ledger.numbers_of(partition, world.partitions))
        theirs = set(loaded.ledger.numbers_of(partition, world.partitions))
        assert mine == theirs, (
            f"ledger of partition {partition}: {len(mine - theirs)} numbers are missing, {len(theirs - mine)} too many"
        )
        for number in mine:
            assert loaded.ledger.row(number) == expected.ledger.row(number), (
                f"ledger of partition {partition}: {loaded.ledger.row(number)!r} != {expected.ledger.row(number)!r}"
            )
        _check_block_events(world, partition, expected)


def _check_block_events(world: World, partition: int, expected: Engine) -> None:
    newest = {r.key: r.value for r in world.broker.logs[BLOCK_EVENTS, partition].committed()}
    for number in expected.ledger.numbers_of(partition, world.partitions):
        wanted = sorted(expected.ledger.rules[hold.rule] for hold in expected.ledger.in_force(number, 0))
        value = newest.get(published(number).encode())
        told = orjson.loads(value)["holds"] if value else []
        # A blocker ends a hold by the clock: notice of it may still be on its way.
        in_force = sorted(hold["rule"] for hold in told if hold["until"] > world.now_ms)
        assert in_force == wanted, f"block-events says {in_force} of a number that is blocked by {wanted}"
