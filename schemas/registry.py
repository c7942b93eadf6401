"""The table of kinds of entry in the registry: what is known of a number before it calls or writes.

An entry names a number, or all that begin alike, and holds for a time. What it leads to stands here and nowhere
else."""

from __future__ import annotations

from dataclasses import dataclass

TRUE, FALSE = "true", "false"
# Values of the fields that rules read, by their code; a number is always the one or the other.
ANSWERS = ("", TRUE, FALSE)

OWNER_MAX, REASON_MAX = 200, 500  # characters
PREFIX_DIGITS_MIN, PREFIX_DIGITS_MAX = 3, 14


@dataclass(frozen=True)
class EntryKind:
    """name: as files and records write it. code: in arrays, and in versions, so that none is ever another's. field: by
    which a `when` reads whether the number has such an entry in force; "" where rules do not ask. purpose: for
    people."""

    name: str
    code: int
    field: str
    purpose: str


BULK_SENDER = EntryKind("bulk_sender", 0, "registered", "a business that is registered to send or call in bulk")
INSTITUTION = EntryKind(
    "institution", 1, "institution", "a hospital, an exchange, an authority: many lines, one number"
)
ALLOWED = EntryKind("allowed", 2, "", "a number that no rule blocks; what would have been a block goes to review")

ENTRY_KINDS: dict[str, EntryKind] = {kind.name: kind for kind in (BULK_SENDER, INSTITUTION, ALLOWED)}
REGISTRY_FIELDS: dict[str, EntryKind] = {kind.field: kind for kind in ENTRY_KINDS.values() if kind.field}
