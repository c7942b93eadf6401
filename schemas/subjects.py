"""The table of subjects: those that can be counted, and those that can be held. One row holds all that the product
knows of a subject.

Records lie in the partition of their number. Events that are counted per another subject are sent on to its partition
(streams/ingest/derived.py). A subject for which that is not done yet says so by `is_counted`, and rule files that ask
for it are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.numbers import published
from schemas.topics import BLOCK_EVENTS


@dataclass(frozen=True)
class Subject:
    """fields: of records, those that name it, whichever topic they are of. is_counted: a counter can be per it.
    blocks: the topic on which it is blocked; None where nobody can block it, and rules recommend (SANCTIONS).
    is_text: it is named by a text. digits: it is all numbers that differ in so many last digits alone."""

    name: str
    fields: tuple[str, ...]
    is_counted: bool = False
    blocks: str | None = None
    is_text: bool = False
    digits: int = 0

    def named(self, key: int, texts: Mapping[int, str]) -> str:
        """Its name, from the key by which it is counted. texts: by key, of those that are named by one."""
        if self.is_text:
            return texts.get(key, "")
        return f"+{key}{'x' * self.digits}"


NUMBER = Subject("number", ("sender", "caller", "number"), is_counted=True, blocks=BLOCK_EVENTS)

SUBJECTS: dict[str, Subject] = {
    subject.name: subject
    for subject in (
        NUMBER,
        Subject("recipient", ("recipient",), is_counted=True),
        Subject("callee", ("callee",), is_counted=True),
        Subject("relay", ("relay",), is_counted=True, is_text=True),
        Subject("reseller", ("reseller",), is_counted=True, is_text=True),
        Subject("account", ("account",), is_counted=True, is_text=True),
        Subject("carrier", ("carrier",), is_counted=True, is_text=True),
        # The block of numbers that a number belongs to: lines that are bought in bulk follow each other.
        Subject("series", ("series",), is_counted=True, digits=4),
    )
}


def subject_of(field: str) -> Subject:
    """The subject that a field of records names."""
    return next(subject for subject in SUBJECTS.values() if field in subject.fields)


def key_text(number: int) -> bytes:
    """The key of a number's records on every topic that is keyed by it, by which its partition is found (murmur2)."""
    return published(number).encode()
