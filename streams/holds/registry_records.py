"""Entries of the registry as records of `control-global`: key `registry/KIND/NUMBER`, compacted, a tombstone takes the
entry back. A judgement of a reporter has the order behind it, `registry/KIND/NUMBER/ORDER`: one order judges him once.
All workers go by the same records, in the same order."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rules.registry import Entry, Registry
from rules.registry_file import EntryProblem, entry_of
from schemas.json_reading import Int64, JsonReader, Unreadable
from schemas.printable import printable
from schemas.registry import ABOUT, JUDGEMENTS, about_of
from schemas.topics import CONTROL_GLOBAL
from streams.ingest.epoch import OutRecord

PREFIX = b"registry/"
TOLD_MAX = 100_000  # entries: each worker holds all of them, and sorts them anew after a change
TEXT_MAX = 500  # characters

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


class EntryRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a record. at: the time at which the operator gave the order, ms."""

    id: Text
    at: Int64
    until: Int64
    owner: Text
    reason: Text
    since: Int64 | None = None
    operator: Text = ""


_RECORD = JsonReader(EntryRecord)


class TooManyEntries(ValueError):
    """There are more records than workers take."""


def key_of(entry: Entry) -> bytes:
    judged_by = f"/{entry.reason}" if entry.kind in JUDGEMENTS else ""
    return PREFIX + f"{entry.kind.name}/{entry.number}{judged_by}".encode()


def record_of(entry: Entry, id: str, at_ms: int, operator: str) -> OutRecord:
    value = EntryRecord(id, at_ms, entry.until_ms, entry.owner, entry.reason, entry.since, operator)
    return OutRecord(CONTROL_GLOBAL, key_of(entry), msgspec.json.encode(value), partition=0)


def told_entry(key: bytes, value: bytes) -> Entry:
    """Reads a record. Raises ValueError, with words that hold no number."""
    try:
        kind, _, number = key[len(PREFIX) :].decode().partition("/")
        if kind in [judgement.name for judgement in JUDGEMENTS]:
            number = number.partition("/")[0]
        record = _RECORD.read(value)
        values = {"kind": kind, about_of(kind): number, "owner": record.owner, "reason": record.reason}
        times = {"until": str(record.until), "since": "" if record.since is None else str(record.since)}
        entry = entry_of(values | times, "KR")
        if key_of(entry) != key:
            raise EntryProblem("number", "the number in its key is not in international form, + and digits")
    except EntryProblem as problem:
        # What is wrong with a number quotes it, and logs hold none.
        why = "its key names no number that can be blocked" if problem.name in ABOUT else str(problem)
        raise ValueError(f"an entry on {CONTROL_GLOBAL} cannot be used: {printable(why)}") from None
    except (Unreadable, UnicodeDecodeError) as problem:
        raise ValueError(f"an entry on {CONTROL_GLOBAL} cannot be read: {problem}") from None
    return entry


class ToldEntries:
    """The entries that records have told so far."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._registry = Registry.of([])
        self._is_changed = False

    def take(self, key: bytes, value: bytes | None) -> None:
        """Takes a record. Raises ValueError for one that cannot be used; the entry of its key stays as it was."""
        if value is None:
            changed = self._entries.pop(key, None) is not None
        else:
            entry = told_entry(key, value)
            if key not in self._entries and len(self._entries) >= TOLD_MAX:
                raise TooManyEntries(f"more than {TOLD_MAX:,} entries on {CONTROL_GLOBAL}: put them into a file")
            changed = self._entries.get(key) != entry
            self._entries[key] = entry
        self._is_changed |= changed

    def registry(self) -> Registry:
        """The entries as they are now: the same object until one changes."""
        if self._is_changed:
            self._is_changed = False
            self._registry = Registry.of(list(self._entries.values())).prepared()
        return self._registry
