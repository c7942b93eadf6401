"""What a rule file means once it is loaded: frozen values that the engine compiles. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rules.expressions import Expression
from rules.hours import Hours

MODES = ("enforce", "shadow", "review")
BLOCKS = ("calls", "messages")
DIRECTIONS = ("outgoing", "incoming")


@dataclass(frozen=True)
class Counter:
    """One time-windowed measurement of one topic per number. Two counters that say the same are equal whatever
    their names, so that rule files can share state."""

    name: str = field(compare=False)
    topic: str  # "message-relay" or "cdr"
    events: frozenset[str]  # which events of the topic count, names from schemas.codes.EVENTS
    per: str  # "sender" (message-relay) or "caller" (cdr)
    kind: str  # "events", "gray", "distinct", "concurrent", "sum" or "mean"
    field: str | None = None  # what `distinct`, `sum` and `mean` look at
    window_ms: int = 0  # events, distinct, sum, mean
    resolution_ms: int = 0  # events, sum, mean: window/60 unless given; divides the window
    short_ms: int = 0  # gray: half-lives
    long_ms: int = 0
    max_age_ms: int = 0  # concurrent
    where: Expression | None = None  # over fields of the record

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names a `when` can read, without the counter's own: ("",) or ("short", "long")."""
        return ("short", "long") if self.kind == "gray" else ("",)

    @property
    def reach_ms(self) -> int:
        """How long an event still weighs in this counter: how far back its evidence goes. Of a gray level, eight
        long half-lives leave 0.4 %."""
        return self.window_ms or self.max_age_ms or 8 * self.long_ms


@dataclass(frozen=True)
class Limit:
    """A named number in a `when` that changes with the hours. Of several hours that match, the last listed holds."""

    name: str
    always: float
    during: tuple[tuple[str, Hours, float], ...] = ()  # (name of the hours, hours, value), in file order


@dataclass(frozen=True)
class Rule:
    name: str
    summary: str
    when: Expression
    counters: Mapping[str, Counter]  # those that `when` reads, by their names in its file
    limits: Mapping[str, Limit]
    block: tuple[str, ...]  # from BLOCKS
    directions: tuple[str, ...]  # from DIRECTIONS
    period_ms: int
    mode: str  # from MODES
    spoofable: bool = False  # `spoofable: accepted`: blocks the line even on evidence that is not verified
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class RuleSet:
    """All rules in force, in file order (files by name)."""

    rules: tuple[Rule, ...]
    version: str  # first 12 hex digits of a sha256 over the files' parsed content
    warnings: tuple[str, ...] = ()
    protected: Protected | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted({c.topic for r in self.rules for c in r.counters.values()}))


@dataclass(frozen=True)
class Protected:
    """Numbers that no rule blocks: whole numbers and prefixes, as E.164 digits without '+'."""

    numbers: frozenset[int] = frozenset()
    prefixes: tuple[str, ...] = ()

    def covers(self, number: int) -> bool:
        return number in self.numbers or str(number).startswith(self.prefixes)
