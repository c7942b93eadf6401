"""Ids of holds and of their changes: the same in any run, so that a replay tells equals."""

from __future__ import annotations

import hashlib


def block_id(number: int, rule: str, from_ms: int) -> str:
    return _digest(f"{number}\n{rule}\n{from_ms}")


def event_id(block: str, change: str, until: int | str) -> str:
    """until: the hold's end, ms, or the id of the order that made the change."""
    return _digest(f"{block}\n{change}\n{until}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
