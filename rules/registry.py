"""The registry in force: entries as arrays, and the answer to which of them covers a number at a time.

Event time decides: an entry covers the events from its `since` until before its `until`. Immutable, without I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from rules.credit import Credit
from schemas.registry import ENTRY_KINDS, EntryKind
from schemas.times import rfc3339

if TYPE_CHECKING:
    import numpy as np

ALWAYS_MS = -(1 << 62)  # `since` of an entry that has none
MARKS_BITS_MIN, MARKS_BITS_MAX = 8, 24  # 256 bytes to 16 MB for each table


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. key: the number as in columns, or the first digits of all that it covers; of a name, a negative hash.
    digits: how many those are; 0 for a whole number, and for a name. name: of an account; "" of a number. score: how
    sure it is, 0 where it does not say."""

    kind: EntryKind
    digits: int
    key: int
    since_ms: int
    until_ms: int
    owner: str
    reason: str
    name: str = ""
    score: float = 0.0

    @property
    def sum(self) -> int:
        """Another one for entries that say something else, 64 bits."""
        since = "" if self.since is None else self.since
        line = f"{self.kind.code}\t{self.digits}\t{self.key}\t{since}\t{self.until_ms}\t{self.owner}\t{self.reason}"
        line += f"\t{self.name}" if self.name else ""
        line += f"\t{self.score}" if self.score else ""
        return int.from_bytes(hashlib.blake2b(line.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")

    def shown(self) -> dict[str, object]:
        """The part that belongs beside a decision. No number: the decision has its own."""
        return {"kind": self.kind.name, "owner": self.owner, "reason": self.reason, "until": self.until_ms}

    @property
    def number(self) -> str:
        """The number, or the name of an account, as files write it."""
        return self.name or f"+{self.key}{'*' if self.digits else ''}"

    @property
    def since(self) -> int | None:
        return None if self.since_ms == ALWAYS_MS else self.since_ms

    def times(self) -> str:
        since = "" if self.since_ms == ALWAYS_MS else f"from {rfc3339(self.since_ms)} "
        return f"{since}until {rfc3339(self.until_ms)}"


@dataclass(frozen=True, eq=False)
class Registry:
    """n entries; equal to others that say the same. kind: uint8[n], digits: uint8[n], key, since, until: int64[n];
    owner, reason: n texts. names: of those that are about no number, scores: of
    those that have one, by their index."""

    kind: np.ndarray
    digits: np.ndarray
    key: np.ndarray
    since: np.ndarray
    until: np.ndarray
    owner: Sequence[str] = field(repr=False)
    reason: Sequence[str] = field(repr=False)
    sums: np.ndarray = field(repr=False)  # uint64[n], ascending: of each entry's line
    names: Mapping[int, str] = field(default_factory=dict, repr=False)
    scores: Mapping[int, float] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(entries: Sequence[Entry]) -> Registry:
        import numpy as np

        return Registry(
            np.array([e.kind.code for e in entries], np.uint8),
            np.array([e.digits for e in entries], np.uint8),
            np.array([e.key for e in entries], np.int64),
            np.array([e.since_ms for e in entries], np.int64),
            np.array([e.until_ms for e in entries], np.int64),
            [e.owner for e in entries],
            [e.reason for e in entries],
            np.sort(np.array([e.sum for e in entries], np.uint64)),
            {i: e.name for i, e in enumerate(entries) if e.name},
            {i: e.score for i, e in enumerate(entries) if e.score},
        )

    def __len__(self) -> int:
        return len(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry) and self.version == other.version

    def __hash__(self) -> int:
        return hash(self.version)

    @cached_property
    def version(self) -> str:
        """Equal for registries that say the same, in whatever order and files; "" without entries."""
        return hashlib.sha256(self.sums.tobytes()).hexdigest()[:12] if len(self) else ""

    @cached_property
    def is_in_use(self) -> frozenset[int]:
        """Codes of the kinds that have entries."""
        import numpy as np

        return frozenset(np.unique(self.kind).tolist())

    def prepared(self) -> Registry:
        """Itself, with all made that its first question would otherwise wait for."""
        assert len(self._tables) == len(self.is_in_use)
        return self

    def find(self, kind: EntryKind, numbers: np.ndarray, at_ms: np.ndarray) -> np.ndarray:
        """int64[m]: the index of an entry of this kind that covers each number at its time, -1 where none does."""
        import numpy as np

        found = np.full(len(numbers), -1, np.int64)
        if kind.code in self.is_in_use:
            for table in self._tables[kind.code]:
                table.find(numbers, at_ms, found)
        return found

    def entry(self, index: int) -> Entry:
        kind = next(kind for kind in ENTRY_KINDS.values() if kind.code == self.kind[index])
        digits, key, since, until = (int(column[index]) for column in (self.digits, self.key, self.since, self.until))
        name = self.names.get(index, "")
        score = self.scores.get(index, 0.0)
        return Entry(kind, digits, key, since, until, self.owner[index], self.reason[index], name, score)

    def scores_at(self, found: np.ndarray) -> np.ndarray:
        """float64[m]: the scores of entries by their indices, 0 where there is none (-1)."""
        import numpy as np

        return np.append(self._every_score, 0.0)[found]

    @cached_property
    def _every_score(self) -> np.ndarray:
        import numpy as np

        out = np.zeros(len(self))
        out[list(self.scores)] = list(self.scores.values())
        return out

    def entries_of(self, kind: EntryKind) -> Iterator[Entry]:
        import numpy as np

        return (self.entry(index) for index in np.flatnonzero(self.kind == kind.code).tolist())

    def counts(self, at_ms: int) -> dict[str, dict[str, int]]:
        """By kind: entries that are in force at this time, those that are over, and those to come."""
        import numpy as np

        out = {}
        for kind in ENTRY_KINDS.values():
            mine = self.kind == kind.code
            out[kind.name] = {
                "in_force": int(np.count_nonzero(mine & (self.since <= at_ms) & (at_ms < self.until))),
                "expired": int(np.count_nonzero(mine & (self.until <= at_ms))),
                "coming": int(np.count_nonzero(mine & (self.since > at_ms))),
            }
        return out

    def difference(self, before: Registry) -> tuple[int, int]:
        """(entries that `before` has not, entries that only `before` has). One that was changed is in both."""
        import numpy as np

        added = np.setdiff1d(self.sums, before.sums, assume_unique=True)
        gone = np.setdiff1d(before.sums, self.sums, assume_unique=True)
        return len(added), len(gone)

    @cached_property
    def _tables(self) -> dict[int, list[_Table]]:
        import numpy as np

        out: dict[int, list[_Table]] = {}
        for code in self.is_in_use:
            mine = np.flatnonzero(self.kind == code)
            lengths = np.unique(self.digits[mine]).tolist()
            out[code] = [_table(self, length, mine[self.digits[mine] == length]) for length in lengths]
        return out


@dataclass(frozen=True)
class _Table:
    """k entries of one kind: whole numbers (`digits` 0), or prefixes of equally many digits. key: ascending. longest:
    the most entries that any key has. marks: bool, a power of two of them, several for each key: True at the place of
    every key. Most numbers have no entry, and one look there costs less than a search."""

    digits: int
    key: np.ndarray
    since: np.ndarray
    until: np.ndarray
    index: np.ndarray
    longest: int
    marks: np.ndarray

    def find(self, numbers: np.ndarray, at_ms: np.ndarray, found: np.ndarray) -> None:
        """Fills in what is found for those of which nothing is known yet."""
        import numpy as np

        wanted = _starts(numbers, self.digits) if self.digits else numbers
        likely = np.flatnonzero(self.marks[_places(wanted, len(self.marks))] & (found < 0))
        if not len(likely):
            return
        wanted, at_ms = wanted[likely], at_ms[likely]
        place, mine = np.searchsorted(self.key, wanted), found[likely]
        for step in range(self.longest):
            here = np.minimum(place + step, len(self.key) - 1)
            covers = (self.key[here] == wanted) & (self.since[here] <= at_ms) & (at_ms < self.until[here])
            mine = np.where(covers & (mine < 0), self.index[here], mine)
        found[likely] = mine


def _table(registry: Registry, digits: int, mine: np.ndarray) -> _Table:
    import numpy as np

    order = mine[np.lexsort((registry.since[mine], registry.key[mine]))]
    key = registry.key[order]
    starts = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
    longest = int(np.diff(np.append(starts, len(key))).max())
    marks = np.zeros(1 << min(max(3 + len(key).bit_length(), MARKS_BITS_MIN), MARKS_BITS_MAX), bool)
    marks[_places(key, len(marks))] = True
    return _Table(digits, key, registry.since[order], registry.until[order], order, longest, marks)


def _places(keys: np.ndarray, marks: int) -> np.ndarray:
    """int64[n]: the place of each key among so many marks."""
    import numpy as np

    mixed = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(64 - marks.bit_length() + 1)).astype(np.int64)


def _starts(numbers: np.ndarray, digits: int) -> np.ndarray:
    """int64[n]: the first `digits` digits of each number; 0 of what has fewer, or is no number."""
    import numpy as np

    powers = 10 ** np.arange(19, dtype=np.int64)
    length = np.searchsorted(powers, numbers, side="right")
    return np.where(length >= digits, numbers // powers[np.maximum(length - digits, 0)], 0)


@dataclass(frozen=True)
class InForce:
    """All entries that a worker goes by: those of its files, and those that operators told every worker. An index below
    `len(files)` is one of the files'."""

    files: Registry
    told: Registry

    @cached_property
    def version(self) -> str:
        """Equal where files and told entries say the same; "" without any."""
        if not len(self.told):
            return self.files.version
        return hashlib.sha256(f"{self.files.version}+{self.told.version}".encode()).hexdigest()[:12]

    @cached_property
    def credit(self) -> Credit:
        """The credit of reporters, by all that was judged."""
        return Credit((self.files, self.told))

    def find(self, kind: EntryKind, numbers: np.ndarray, at_ms: np.ndarray) -> np.ndarray:
        """int64[m], as of each registry; a file's entry comes first."""
        import numpy as np

        found = self.files.find(kind, numbers, at_ms)
        if kind.code not in self.told.is_in_use:
            return found
        told = self.told.find(kind, numbers, at_ms)
        return np.where((found < 0) & (told >= 0), told + len(self.files), found)

    def entries_of(self, kind: EntryKind) -> Iterator[Entry]:
        yield from self.files.entries_of(kind)
        yield from self.told.entries_of(kind)

    def counts(self, at_ms: int) -> dict[str, dict[str, int]]:
        told = self.told.counts(at_ms)
        return {
            kind: {state: count + told[kind][state] for state, count in states.items()}
            for kind, states in self.files.counts(at_ms).items()
        }

    def scores(self, kind: EntryKind, numbers: np.ndarray, at_ms: np.ndarray) -> np.ndarray:
        """float64[m]: the greater of what files and told entries say of each number at its time, 0 for nothing."""
        import numpy as np

        each = [of.scores_at(of.find(kind, numbers, at_ms)) for of in (self.files, self.told)]
        return np.maximum(*each)

    def entry(self, index: int) -> Entry:
        return self.files.entry(index) if index < len(self.files) else self.told.entry(index - len(self.files))


def entry_at(registry: Registry | InForce, kind: EntryKind, number: int, at_ms: int) -> int:
    """The index of an entry of this kind that covers one number at this time, -1 where none does."""
    import numpy as np

    return int(registry.find(kind, np.array([number], np.int64), np.array([at_ms], np.int64))[0])


def key_of_name(name: str) -> int:
    """The key of what is no number: a negative hash of the exact text."""
    return -(int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> 1 | 1)


def empty() -> Registry:
    return Registry.of([])
