"""The topic `ledger` holds every hold, what the breaker knows, and under which rules and which word of the operators'
each partition is worked."""

from __future__ import annotations

from rules.registry import InForce, Registry, empty
from schemas.topics import LEDGER
from streams.holds.ledger_keys import breaker_key, pause_key, registry_key, rules_key
from tests.sim.checkers.expected import Expected
from tests.sim.world import GROUP, World


def check(world: World, expected: list[Expected]) -> None:
    """expected: with the holds as of the committed offsets, expired by now."""
    for partition, one in enumerate(expected):
        where = f"ledger of partition {partition}"
        log = world.broker.logs[LEDGER, partition]
        rows = {r.key or b"": r.value for r in log.read(log.start, len(log.records), committed=True)[0]}
        loaded = world.engine(one.engine.rules.version)
        loaded.load_ledger([(key, value) for key, value in rows.items() if not key.startswith(b"#")])
        loaded.expire(world.now_ms)
        mine, theirs = (
            set(engine.ledger.numbers_of(partition, world.partitions)) for engine in (one.engine, loaded)
        )  # fmt: skip
        assert mine == theirs, f"{where}: {len(mine - theirs)} numbers are missing, {len(theirs - mine)} too many"
        for number in mine:
            wanted, got = one.engine.ledger.row(number), loaded.ledger.row(number)
            assert wanted == got, f"{where}: {got!r} instead of {wanted!r}"
        pause = world.pause.as_of(world.now_ms).row() if world.pause else None
        registry = InForce(empty(), Registry.of(list(world.entries.values()))).version.encode() or None
        for key, value in (
            (breaker_key(GROUP), one.engine.breaker.row(partition)),
            (rules_key(GROUP), world.rules_in_force.version.encode()),
            (pause_key(GROUP), pause),
            (registry_key(GROUP), registry),
        ):
            assert rows.get(key) == value, f"{where}: {key.decode()} is {rows.get(key)!r} instead of {value!r}"
