"""The registry's answers about one epoch, as columns that `when` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from rules.registry import InForce
from schemas.registry import ACCOUNT, ANSWERS, BULK_SENDER, FALSE, KIND_OF_FIELD, TRUE, EntryKind
from streams.counting.counts import foreign_origin
from streams.holds.ledger_rows import Registration
from streams.holds.registrations import Registrations, Step
from streams.ingest.feed_codes import text_hash
from streams.ingest.merge import Merged

_TRUE, _FALSE = ANSWERS.index(TRUE), ANSWERS.index(FALSE)


@dataclass(frozen=True, slots=True)
class RegisteredSenders:
    """The registrations by order: those before the epoch, and by number what its orders change from their lines on."""

    before: Registrations = field(default_factory=Registrations)
    steps: Mapping[int, list[Step]] = field(default_factory=dict)


class Accounts:
    """The registered accounts of a registry by the hash that records have of their names."""

    def __init__(self, registry: InForce) -> None:
        self._registry = registry

    @cached_property
    def _keys(self) -> tuple[np.ndarray, np.ndarray]:
        """(hashes ascending, keys in the registry), int64 each."""
        keys = {text_hash(entry.name): entry.key for entry in self._registry.entries_of(ACCOUNT)}
        order = sorted(keys)
        return np.array(order, np.int64), np.array([keys[one] for one in order], np.int64)

    def find(self, accounts: np.ndarray, at_ms: np.ndarray) -> np.ndarray:
        """bool[n]: accounts, int64[n] hashes, that are registered at that time."""
        hashes, keys = self._keys
        if not len(hashes):
            return np.zeros(len(accounts), np.bool_)
        place = np.minimum(np.searchsorted(hashes, accounts), len(hashes) - 1)
        wanted = np.where(hashes[place] == accounts, keys[place], 0)
        return self._registry.find(ACCOUNT, wanted, at_ms) >= 0


class Listed:
    """Each question is asked once, however many rules ask it. matches: by kind of entry, the events of numbers and
    accounts that had one in force."""

    def __init__(self, registry: InForce, accounts: Accounts, registered: RegisteredSenders) -> None:
        self.matches: Counter[str] = Counter()
        self._registry, self._accounts, self._registered = registry, accounts, registered
        self._columns: dict[tuple[str, int], np.ndarray] = {}

    def column(self, name: str, events: Merged) -> np.ndarray:
        """uint8[n]: codes of ANSWERS, each as of the event's own time; float64[n] of a kind with a score."""
        # By identity: the events live as long as the epoch.
        asked = name, id(events)
        if asked not in self._columns:
            kind = KIND_OF_FIELD.get(name)
            if kind is None:
                self._columns[asked] = self._spoofed(events)
            else:
                self._columns[asked] = self._scores(kind, events) if kind.has_score else self._of(kind, events)
        return self._columns[asked]

    def _scores(self, kind: EntryKind, events: Merged) -> np.ndarray:
        scores = self._registry.scores(kind, events["number"], events["at"])
        if count := int(np.count_nonzero(scores)):
            self.matches[kind.name] += count
        return scores

    def _of(self, kind: EntryKind, events: Merged) -> np.ndarray:
        known = np.ones(events.n, np.bool_)
        if kind is ACCOUNT:
            accounts = _texts(kind.of, events)
            found, known = self._accounts.find(accounts, events["at"]), accounts != 0
        else:
            found = self._registry.find(kind, events["number"], events["at"]) >= 0
        if kind is BULK_SENDER:
            found = found | self._by_order(events)[0]
        if count := int(np.count_nonzero(found)):
            self.matches[kind.name] += count
        return np.where(found, _TRUE, np.where(known, _FALSE, 0)).astype(np.uint8)

    def _spoofed(self, events: Merged) -> np.ndarray:
        """A domestic number of foreign origin, or one that is registered for other accounts or relays than the
        record's."""
        registered, fits = self._by_order(events)
        return np.where(foreign_origin(events) | (registered & ~fits), _TRUE, _FALSE).astype(np.uint8)

    def _by_order(self, events: Merged) -> tuple[np.ndarray, np.ndarray]:
        """Two bool[n]: events of numbers that an order has registered, and those whose account and relay it names, or
        leaves open, or the record does."""
        asked = "by order", id(events)
        if asked not in self._columns:
            self._columns[asked] = self._judged(events)
        return self._columns[asked][0], self._columns[asked][1]

    def _judged(self, events: Merged) -> np.ndarray:
        """bool[2, n]"""
        out = np.zeros((2, events.n), np.bool_)
        before, steps = self._registered.before, self._registered.steps
        if not len(before) and not steps:
            return out
        numbers, inverse = np.unique(events["number"], return_inverse=True)
        known = [i for i, number in enumerate(numbers.tolist()) if number in before or number in steps]
        if not known:
            return out
        order = np.argsort(inverse, kind="stable")
        begins = np.searchsorted(inverse[order], np.arange(len(numbers) + 1))
        through = [_texts(name, events) for name in ("account", "relay")]
        for i in known:
            mine = order[begins[i] : begins[i + 1]]
            number = int(numbers[i])
            told = steps.get(number, [(-1, before.of(number))])
            ends = [*(line for line, _ in told[1:]), np.iinfo(np.int64).max]
            for (line, standing), end in zip(told, ends, strict=True):
                those = mine[(events["line"][mine] > line) & (events["line"][mine] <= end)]
                out[:, those] = _covered(standing, events["at"][those], *(texts[those] for texts in through))
        return out


def _covered(
    standing: list[Registration], at_ms: np.ndarray, accounts: np.ndarray, relays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    registered, fits = np.zeros(len(at_ms), np.bool_), np.zeros(len(at_ms), np.bool_)
    for one in standing:
        covers = (one.since <= at_ms) & (at_ms < one.until)
        registered |= covers
        fits |= covers & _may_be(one.account, accounts) & _may_be(one.relay, relays)
    return registered, fits


def _may_be(name: str | None, texts: np.ndarray) -> np.ndarray | bool:
    return True if name is None else (texts == 0) | (texts == text_hash(name))


def _texts(name: str, events: Merged) -> np.ndarray:
    """int64[n]: the hashes of a field; 0 where a record has none, or no topic of the epoch does."""
    return events[name] if name in events.columns else np.zeros(events.n, np.int64)
