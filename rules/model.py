"""The model of loaded rule files: frozen values that the engine compiles. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from dataclasses import field as of
from functools import cached_property

from rules.expressions import Expression
from rules.hours import Hours
from rules.kinds import KINDS
from rules.lexicon import Lexicon
from rules.registry import Registry
from schemas.subjects import NUMBER, subject_of
from schemas.topics import DERIVED

MODES = ("enforce", "shadow", "review")
BLOCKS = ("calls", "messages")
DIRECTIONS = ("outgoing", "incoming")
CUT_CALL = "cut_call"  # beside what is blocked, the action that also ends a call in progress
ACTIONS = (*(f"block_{what}" for what in BLOCKS), CUT_CALL)
RECOMMENDATIONS = ("warn", "throttle", "suspend", "inspect")  # about those whom nobody can block
OPERATOR = "operator"  # stands for the rule on a hold that an operator ordered; no rule is called so


@dataclass(frozen=True)
class Counter:
    """One time-windowed measurement of one topic per number, or per another subject of its records. Two counters that
    say the same are equal whatever their names, so that rule files can share state."""

    name: str = of(compare=False)
    topic: str  # a name of schemas.feeds
    events: frozenset[str]  # which events of the topic count, names from schemas.feeds.EVENTS
    per: str  # the field with the number, or the other subject, that is counted
    kind: str  # a name of rules.kinds
    field: str | None = None  # what the kind looks at in the record, if it looks at something
    settings: tuple[tuple[str, int], ...] = ()  # the kind's own numbers by name, in the order of the names
    where: Expression | None = None  # over fields of the record
    # What the kind asks of each event, over fields of the record. Left out of identities where there is none: it came
    # when counts under the others' identities were stored already.
    condition: Expression | None = of(default=None, metadata={"came_later": True})
    # How its reading is taken, which changes nothing of what is counted.
    at_least: int = of(default=0, compare=False)  # samples below which there is no reading
    default: float | None = of(default=None, compare=False)  # stands in for a reading that is lacking

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Made once: an engine looks counters up hundreds of times an epoch."""
        return hash(tuple(getattr(self, each.name) for each in fields(self) if each.compare))

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_hash"}  # another process has others

    def __getitem__(self, name: str) -> int:
        """One of the kind's own numbers: `window_ms`."""
        return dict(self.settings)[name]

    def setting(self, name: str, default: int) -> int:
        return dict(self.settings).get(name, default)

    @property
    def subject(self) -> str:
        """Whom it is per: a name of schemas.subjects."""
        return subject_of(self.per).name

    @property
    def outputs(self) -> tuple[str, ...]:
        """The suffixes by which a `when` reads the counter: ("",) for the plain name, or ("short", "long")."""
        return KINDS[self.kind].outputs

    @property
    def reach_ms(self) -> int:
        """The age in ms up to which an event still weighs in this counter: how far back its evidence goes."""
        return KINDS[self.kind].reach_ms(self)


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
    cut_call: bool = False  # a call in progress is cut too
    announcement: str | None = None  # for whoever calls the number meanwhile
    again_ms: int = 0  # the period for a number whose hold by this rule ended lately; 0: no other one
    stop_at_origin: bool = False  # `origin: stop`: the relays that it came through are told to stop it at their side
    spoofable: bool = False  # `spoofable: accepted`: blocks the line even on evidence that is not verified
    recommend: tuple[str, ...] = ()  # from RECOMMENDATIONS, of a rule about those whom nobody can block
    file: str = ""
    line: int = 0
    review_ms: int = 0  # `unreviewed`: how long silence in review may last before it blocks; 0: it never does

    @property
    def actions(self) -> list[str]:
        """As block events name them."""
        return [f"block_{what}" for what in BLOCKS if what in self.block] + [CUT_CALL] * self.cut_call

    @property
    def subject(self) -> str:
        """Whom it is about, which is whom all its counters are per: a name of schemas.subjects."""
        return next(iter(self.counters.values())).subject


@dataclass(frozen=True)
class RuleSet:
    """All rules in force, in file order (files by name)."""

    rules: tuple[Rule, ...]
    version: str  # first 12 hex digits of a sha256 over the files' parsed content
    warnings: tuple[str, ...] = ()
    protected: Protected | None = None
    registry: Registry | None = None  # of files; None: no entries
    lexicon: Lexicon | None = None  # None: the one that ships

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(sorted({c.topic for r in self.rules for c in r.counters.values()}))

    @property
    def others(self) -> tuple[str, ...]:
        """The subjects besides numbers that rules are about."""
        return tuple(sorted({rule.subject for rule in self.rules} - {NUMBER.name}))

    @property
    def reads(self) -> tuple[str, ...]:
        """The topics that a worker needs for them: the inputs, and `derived` if they are about others than numbers."""
        return (*self.topics, DERIVED) if self.others else self.topics

    @property
    def stop_at_origin(self) -> bool:
        return any(rule.stop_at_origin for rule in self.rules)


@dataclass(frozen=True)
class Protected:
    """Numbers that no rule blocks: whole numbers and prefixes, as E.164 digits without '+'."""

    numbers: frozenset[int] = frozenset()
    prefixes: tuple[str, ...] = ()

    def difference(self, before: Protected) -> tuple[int, int]:
        """(how many numbers and prefixes came, how many went)"""
        now, then = {*map(str, self.numbers), *self.prefixes}, {*map(str, before.numbers), *before.prefixes}
        return len(now - then), len(then - now)

    def covers(self, number: int) -> bool:
        return number in self.numbers or str(number).startswith(self.prefixes)
