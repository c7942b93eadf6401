"""The part of operators' words that stays: rulings about numbers, and registrations of them. It is kept with a number's
holds (streams/holds/ledger_rows.py), and forgotten like these, a week after its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Spoken(ABC, Generic[T]):
    """By number, in the order in which it was said."""

    def __init__(self) -> None:
        self._of: dict[int, list[T]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._of

    def __iter__(self) -> Iterator[int]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    @staticmethod
    @abstractmethod
    def end_of(one: T) -> int:
        """The time from which one says nothing more, ms."""

    def of(self, number: int) -> list[T]:
        return self._of.get(number, [])

    def ends(self, number: int) -> list[int]:
        return [self.end_of(one) for one in self.of(number)]

    def put(self, number: int, all_of: Iterable[T]) -> None:
        """All that stand for a number."""
        self._of.pop(number, None)
        if found := list(all_of):
            self._of[number] = found

    def forget(self, number: int, ended_before_ms: int) -> bool:
        """Forgets those of a number that had ended by then. Returns True if there was one."""
        before = self.of(number)
        self.put(number, [one for one in before if self.end_of(one) > ended_before_ms])
        return len(self.of(number)) < len(before)
