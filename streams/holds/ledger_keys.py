"""Keys of those rows in the ledger topic that belong to no number."""

from __future__ import annotations

SNAPSHOT_KEY = b"#snapshot"


RULES_KEY = b"#rules"


SANCTION_KEY = b"#sanction"  # starts the keys of recommendations (streams/holds/sanctions.py)
INTERNAL_KEY = b"#"  # starts the keys of ledger rows that are not about a number


def manifest_key(group: str) -> bytes:
    """Key of a partition's newest manifest in the ledger. It names the group, since two groups may read the same
    topics."""
    return SNAPSHOT_KEY + b"/" + group.encode()


def rules_key(group: str) -> bytes:
    return RULES_KEY + b"/" + group.encode()


def breaker_key(group: str) -> bytes:
    return b"#breaker/" + group.encode()


def pause_key(group: str) -> bytes:
    return b"#pause/" + group.encode()


def registry_key(group: str) -> bytes:
    return b"#registry/" + group.encode()
