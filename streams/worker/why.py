"""The page /why: what a worker knows of one number, which rules it comes near, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.numbers import masked, normalise
from streams.craft.live import answer, told_now
from streams.kafka.partition import partition_of
from streams.worker.wiring import Wiring


def why(wiring: Wiring, text: str, unmasked: bool) -> tuple[int, Mapping[str, object]]:
    """(status, body): 200 with all that is known, 400 for what is no number, 404 for another worker's, 503 while its
    state is not back. text: the number in E.164."""
    number = normalise(text)
    if number.key <= 0:
        return 400, {"problem": "no telephone number: write +821012345678"}
    flow, engine = wiring.flow, wiring.engine
    if flow is None or not engine.partitions:
        return 503, {"problem": "the worker has no partitions yet"}
    partition, partitions = partition_of(number.text.encode(), engine.partitions), flow.partitions
    if partition not in partitions.owned:
        return 404, {"problem": "another worker counts this number", "partition": partition}
    if partition not in partitions.live:
        return 503, {"problem": "the state of the number's partition is not back yet", "partition": partition}
    known = engine.known_of(number.key, partition)
    shown = number.text if unmasked else masked(number.key)
    return 200, answer(known, shown, told_now(known), engine.rules.version, partition)
