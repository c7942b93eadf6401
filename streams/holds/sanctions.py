"""Sanctions: recommendations about those whom nobody can block, and how long each stands.

The ledger's own rule decides (design, section 6): a firing at t opens a recommendation (none yet, or t at or behind its
end), extends it (inside it, when that gains at least an hour and 5 % of the period), or changes nothing. A
recommendation ends by itself, and nothing is told of its end.

They outlive the worker as rows of the topic `ledger`, under keys of their own, each in the partition of the one it is
about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import orjson

from schemas.json_reading import Int64, JsonReader
from schemas.topics import LEDGER
from streams.holds.decisions import GAIN_SHARE, HOUR_MS
from streams.holds.ledger import TOMBSTONE_AFTER_MS
from streams.holds.ledger_keys import SANCTION_KEY
from streams.holds.ledger_rows import LedgerRowError, homes_of
from streams.holds.passes import NEVER
from streams.ingest.epoch import OutRecord

FORMAT = 1
STANDING_MAX = 1 << 18  # of all that a worker knows; beyond it nothing new is recommended

Key = tuple[str, str, int]  # rule, subject, key of the one it is about


class _SanctionRow(msgspec.Struct):
    format: Int64
    rule: str
    subject: str
    key: Int64
    from_: Int64 = msgspec.field(name="from")
    until: Int64


_row = JsonReader(_SanctionRow)


@dataclass(slots=True)
class Standing:
    """One recommendation; times in ms."""

    from_ms: int
    until_ms: int


@dataclass(slots=True)
class SanctionChange:
    """A change of a recommendation. index: the event that made it, among those that were given."""

    index: int
    change: str  # opened, extended
    key: int
    from_ms: int
    until_ms: int


class Sanctions:
    """All recommendations of one worker."""

    def __init__(self) -> None:
        self.not_opened = 0  # firings at the bound
        self._standing: dict[Key, Standing] = {}
        self._touched: dict[Key, None] = {}
        self._first_end_ms = NEVER  # none ends sooner, though all may end later

    def __len__(self) -> int:
        return len(self._standing)

    def fire(self, rule: str, subject: str, period_ms: int, keys: np.ndarray, at: np.ndarray) -> list[SanctionChange]:
        """The changes by firings of a rule, in their order. keys, at: int64[n] of each, the events' own times."""
        gain_ms = max(HOUR_MS, round(GAIN_SHARE * period_ms))
        out: list[SanctionChange] = []
        distinct, group = np.unique(keys, return_inverse=True)
        order = np.argsort(group, kind="stable")
        for key, index in zip(
            distinct.tolist(), np.split(order, np.cumsum(np.bincount(group))[:-1]) if len(order) else (), strict=True
        ):
            out += self._fire((rule, subject, key), period_ms, gain_ms, index, at[index])
        return sorted(out, key=lambda change: change.index)

    def _fire(
        self, key: Key, period_ms: int, gain_ms: int, index: np.ndarray, at: np.ndarray
    ) -> Iterator[SanctionChange]:
        k = 0
        while True:
            known = self._standing.get(key)
            if known is None:
                opens, extends = np.ones(len(at) - k, np.bool_), np.zeros(len(at) - k, np.bool_)
            else:
                opens = at[k:] >= known.until_ms
                extends = (at[k:] >= known.from_ms) & (at[k:] + period_ms - known.until_ms >= gain_ms) & ~opens
            changes = np.flatnonzero(opens | extends)
            if not len(changes):
                return
            first = int(changes[0])
            is_opening, t = bool(opens[first]), int(at[k + first])
            if known is None and len(self._standing) >= STANDING_MAX:
                self.not_opened += len(at) - k
                return
            from_ms = t if known is None or is_opening else known.from_ms
            self._stand(key, Standing(from_ms, t + period_ms))
            self._touched[key] = None
            yield SanctionChange(
                int(index[k + first]), "opened" if is_opening else "extended", key[2], from_ms, t + period_ms
            )
            k += first + 1

    def bury(self, partition: int, partitions: int, clock_ms: int) -> None:
        """Forgets the partition's recommendations that ended a week before its clock."""
        if self._first_end_ms + TOMBSTONE_AFTER_MS > clock_ms:  # it is asked after every epoch
            return
        for key in self._of(partition, partitions):
            if self._standing[key].until_ms + TOMBSTONE_AFTER_MS <= clock_ms:
                del self._standing[key]
                self._touched[key] = None
        self._first_end_ms = min((standing.until_ms for standing in self._standing.values()), default=NEVER)

    def _stand(self, key: Key, standing: Standing) -> None:
        self._standing[key] = standing
        self._first_end_ms = min(self._first_end_ms, standing.until_ms)

    # -- across restarts ---------------------------------------------------------------------------------------

    def ledger_rows(self, partitions: int) -> list[OutRecord]:
        """A row for each that has changed since the last call, a tombstone where it is forgotten."""
        touched, self._touched = list(self._touched), {}
        if not partitions:
            return []
        return [
            OutRecord(LEDGER, _row_key(key), self._row(key), partition=home)
            for key, home in zip(touched, _homes(touched, partitions), strict=True)
        ]

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Takes over rows, the last of each key. Raises LedgerRowError."""
        last = {key: value for key, value in rows if key.startswith(SANCTION_KEY)}
        for key, value in last.items():
            if value is None:
                continue
            try:
                row = _row.read(value)
                if row.format != FORMAT:
                    raise ValueError(f"its format is {row.format}, and this version reads {FORMAT}")
            except ValueError as problem:
                raise LedgerRowError(f"ledger: a row of {len(key)} bytes about a recommendation: {problem}") from None
            self._stand((row.rule, row.subject, row.key), Standing(row.from_, row.until))

    def drop(self, partition: int, partitions: int) -> None:
        for key in self._of(partition, partitions):
            del self._standing[key]
            self._touched.pop(key, None)

    def digest(self, partition: int, partitions: int) -> bytes:
        """Equal where the partition's recommendations are equal."""
        kept = sorted((key, self._standing[key]) for key in self._of(partition, partitions))
        return repr([(key, standing.from_ms, standing.until_ms) for key, standing in kept]).encode()

    def _of(self, partition: int, partitions: int) -> list[Key]:
        keys = list(self._standing)
        return [key for key, home in zip(keys, _homes(keys, partitions), strict=True) if home == partition]

    def _row(self, key: Key) -> bytes | None:
        standing = self._standing.get(key)
        if standing is None:
            return None
        rule, subject, of = key
        row = {"format": FORMAT, "rule": rule, "subject": subject, "key": of}
        return orjson.dumps(row | {"from": standing.from_ms, "until": standing.until_ms})


def _homes(keys: list[Key], partitions: int) -> list[int]:
    return homes_of(np.array([of for _, _, of in keys], np.int64), partitions).tolist()


def _row_key(key: Key) -> bytes:
    rule, subject, of = key
    return SANCTION_KEY + f"/{subject}/{of}/{rule}".encode()
