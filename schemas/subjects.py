"""The table of subjects: those that can be counted, and those that can be held. One row holds all that the product
knows of a subject.

Records lie in the partition of their number. Events that are counted per another subject are sent on to its partition
(streams/ingest/derived.py). A subject for which that is not done yet says so by `is_counted`, and rule files that ask
for it are told."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.numbers import published
from schemas.topics import BLOCK_EVENTS


@dataclass(frozen=True)
class Subject:
    """fields: of records, those that name it, whichever topic they are of. is_counted: a counter can be per it.
    blocks: the topic on which it is blocked; None where nobody can block it, and rules recommend (SANCTIONS)."""

    name: str
    fields: tuple[str, ...]
    is_counted: bool = False
    blocks: str | None = None


NUMBER = Subject("number", ("sender", "caller", "number"), is_counted=True, blocks=BLOCK_EVENTS)

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        NUMBER,
        Subject("recipient", ("recipient",), is_counted=True),
        Subject("callee", ("callee",), is_counted=True),
        Subject("relay", ("relay",)),
        Subject("reseller", ("reseller",)),
        Subject("account", ("account",)),
        Subject("carrier", ("carrier",)),
    )
}


def subject_of(field: str) -> Subject:
    """The subject that a field of records names."""
    return next(subject for subject in SUBJECTS.values() if field in subject.fields)


def key_text(number: int) -> bytes:
    """The key of a number's records on every topic that is keyed by it, by which its partition is found (murmur2)."""
    return published(number).encode()
