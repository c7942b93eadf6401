"""The table of kinds of entry in the registry: what is known of a number or an account before it calls or writes.

An entry names a number, all that begin alike, or an account, and holds for a time. What it leads to stands here and
nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

TRUE, FALSE = "true", "false"
# Values of the fields that rules read, by their code. About its number a record always has the one or the other.
ANSWERS = ("", TRUE, FALSE)

OWNER_MAX, REASON_MAX = 200, 500  # characters
PREFIX_DIGITS_MIN, PREFIX_DIGITS_MAX = 3, 14


@dataclass(frozen=True)
class EntryKind:
    """name: as files and records write it. code: in arrays, and in versions, so that none is ever another's. field: by
    which a `when` reads whether there is such an entry in force; "" where rules do not ask. of: the field of a record
    whose text it is about; "" for the record's number. has_score: an entry says how sure it is, and the field is that
    number. purpose: for people."""

    name: str
    code: int
    field: str
    purpose: str
    of: str = ""
    has_score: bool = False


BULK_SENDER = EntryKind("bulk_sender", 0, "registered", "a business that is registered to send or call in bulk")
INSTITUTION = EntryKind(
    "institution", 1, "institution", "a hospital, an exchange, an authority: many lines, one number"
)
ALLOWED = EntryKind("allowed", 2, "", "a number that no rule blocks; what would have been a block goes to review")
ACCOUNT = EntryKind("account", 3, "account_registered", "an account that is registered to send", of="account")

SHARED = EntryKind("shared", 4, "shared_score", "a number that other carriers are confident of", has_score=True)
REPORT_UPHELD = EntryKind("report_upheld", 16, "", "a reporter one of whose reports people have found to be right")
REPORT_REJECTED = EntryKind("report_rejected", 17, "", "a reporter one of whose reports people have found to be wrong")

# Of these a reporter has one for each order that judged him, which the reason names.
JUDGEMENTS = (REPORT_UPHELD, REPORT_REJECTED)

ENTRY_KINDS: dict[str, EntryKind] = {
    kind.name: kind for kind in (BULK_SENDER, INSTITUTION, ALLOWED, ACCOUNT, SHARED, *JUDGEMENTS)
}
# The names of the values that say whom an entry is about.
ABOUT = ("number", *dict.fromkeys(kind.of for kind in ENTRY_KINDS.values() if kind.of))

SPOOFED = "spoofed"
# The fields that a `when` reads of the registry, and the fields of the record that each looks at, if the record has
# them. One that is about a field alone has no value where the record has not.
REGISTRY_FIELDS: dict[str, tuple[str, ...]] = {
    **{kind.field: (kind.of,) if kind.of else () for kind in ENTRY_KINDS.values() if kind.field},
    SPOOFED: ("account", "relay"),
}
KIND_OF_FIELD: dict[str, EntryKind] = {kind.field: kind for kind in ENTRY_KINDS.values() if kind.field}


def about_of(kind: str) -> str:
    """The one of ABOUT that an entry of this kind has."""
    return ENTRY_KINDS[kind].of or "number" if kind in ENTRY_KINDS else "number"
