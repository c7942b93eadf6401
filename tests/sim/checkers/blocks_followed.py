"""Who follows `block-events` as the reference consumer does knows exactly the numbers that the ledger blocks."""

from __future__ import annotations

from schemas.subjects import key_text
from schemas.topics import BLOCK_EVENTS
from streams.holds.firings import ENFORCE
from streams.operators.blocks import BlockTable
from tests.sim.checkers.expected import Expected
from tests.sim.world import World


def check(world: World, expected: list[Expected]) -> None:
    """expected: with the holds as of the committed offsets, expired by now."""
    for partition, one in enumerate(expected):
        ledger, table = one.engine.ledger, BlockTable()
        log = world.broker.logs[BLOCK_EVENTS, partition]
        for record in log.read(log.start, len(log.records), committed=True)[0]:
            table.apply(record.key, record.value)
        followed = {change.number.encode() for change in table.blocked(world.now_ms)}
        held = {key_text(n) for n in ledger.numbers_of(partition, world.partitions) if ledger.in_force(n, ENFORCE)}
        assert followed == held, (
            f"who follows partition {partition} misses {len(held - followed)} blocks and keeps {len(followed - held)}"
        )
