"""A hold as the ledger keeps it."""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[int, int, int]  # number, rule slot, lane


@dataclass(slots=True)
class LedgerHold:
    """One rule's hold on one number; times in ms. content: the fields that the engine attached at its last change, as
    JSON, which takes a third of the memory."""

    number: int
    rule: int
    lane: int
    from_ms: int
    until_ms: int
    active: bool
    content: bytes
    partition: int
