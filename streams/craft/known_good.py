"""Numbers that a change of rules must not hit: those that a file lists, and those that the registry knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rules.registry import Registry, entry_at
from schemas.numbers import normalise
from schemas.printable import printable
from schemas.registry import ALLOWED, BULK_SENDER, INSTITUTION

LINES_MAX = 2_000_000


class KnownGoodProblem(ValueError):
    """A line that is no number."""


class KnownGood:
    """Knows whose a number is: by a file's word, or by an entry of the registry that is in force."""

    def __init__(self, listed: Mapping[str, str], registry: Registry | None = None) -> None:
        self._listed, self._registry = listed, registry

    def owner(self, number: str, at_ms: int) -> str:
        """The owner of a number in E.164; "" for one nobody vouches for."""
        if number in self._listed or self._registry is None:
            return self._listed.get(number, "")
        for kind in (INSTITUTION, ALLOWED, BULK_SENDER):
            if (found := entry_at(self._registry, kind, int(number), at_ms)) >= 0:
                return printable(self._registry.entry(found).owner)
        return ""


def read_known_good(path: Path, region: str) -> dict[str, str]:
    """Number -> whose it is. A number a line, in any spelling; behind a comma whose it is; `#` begins a comment. Raises
    KnownGoodProblem, OSError."""
    out: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for place, line in enumerate(file, 1):
            if place > LINES_MAX:
                raise KnownGoodProblem(f"{path}: more than {LINES_MAX:,} lines")
            text, _, owner = line.partition("#")[0].strip().partition(",")
            if not text.strip():
                continue
            number = normalise(text.strip(), region)
            if number.key <= 0:
                raise KnownGoodProblem(f"{path}:{place}: no telephone number: write +82212345678, or 02-1234-5678")
            out[number.text] = printable(owner.strip()) or "listed"
    if not out:
        raise KnownGoodProblem(f"{path}: holds no number")
    return out
