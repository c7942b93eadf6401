"""The kinds of counter as rule files see them: the keys of each, what it counts and reads, how far back it looks.

Each kind is defined beside the code that runs it (streams/counting/kinds) and registers itself here, so that reading a
rule file, evidence, advice and identity ask one place."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import rules
from rules import catalog
from rules.document import Document, Node
from rules.logic import Between
from rules.reading import Keys, choice, duration, expression
from rules.units import duration_text

if TYPE_CHECKING:
    from rules.expressions import Expression
    from schemas.feeds import InputTopic

WINDOW_MS_MIN = 1_000
WINDOW_MS_MAX = 31 * 86_400_000
BUCKETS_DEFAULT = 60
BUCKETS_MAX = 3_600
# `duration` is known once a call has ended.
ENDED = frozenset({"release", "complete"})
AT_LEAST = "at_least"  # the key with the samples below which a counter has no reading
SAMPLES = "samples"  # the output with the samples that there are
SECONDS, EVENTS = "seconds", "events"  # units of readings
ADDED_UP = ("duration",)  # fields with amounts
# A duration as editors know it.
DURATION_FORM: dict[str, Any] = {
    "type": "string",
    "pattern": r"^(?:[0-9]{1,9}(?:ms|[wdhms]))+$",
    "description": "a whole number with a unit, or several from large to small: 90s, 10m, 1h30m, 30d, 2w",
}
DEFAULT = "default"  # the key with the value that stands in for a reading that is lacking


class Numbers(Protocol):
    """The numbers of a definition, by name."""

    def __getitem__(self, name: str) -> int: ...


class Definition(Numbers, Protocol):
    """A counter's definition (rules.model.Counter), as far as its kind asks."""

    @property
    def field(self) -> str | None: ...

    @property
    def condition(self) -> Expression | None: ...

    def setting(self, name: str, default: int) -> int: ...


class Kind:
    """One kind of counter; subclasses override what differs. It has no state of its own.

    name: as `Counter.kind` has it. key: of the rule file, the one that says the kind; for `count`, `name` is its value.
    needs, may: all keys that it takes beside `on`, `per`, `where` and `default`. outputs: what `when` can read, "" for
    the counter's own name; with SAMPLES among them, `needs` has AT_LEAST. can_lack: there may be no reading, so
    that a file can say what stands in for it. exact_max: readings up to it are exact, and what they are beyond it says
    `beyond`."""

    name: str
    key: str
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("",)
    form: Mapping[str, Any] = {}  # the JSON Schema of the value of its key, for editors
    can_lack = False
    exact_max: int | None = None
    beyond = ""
    unit = ""  # of readings: SECONDS, or EVENTS in a window
    is_whole = False  # readings are whole numbers
    reads_credit = False  # a reading depends on what became of people's reports before, as the registry has it
    needs_live_calls = False  # sees nothing on a feed that tells of a call only when it has ended

    def settings(self, doc: Document, keys: Keys) -> dict[str, int]:
        """Reads the kind's numbers from the rule file and notes mistakes. They are part of the counter's identity."""
        raise NotImplementedError

    def events(self, doc: Document, node: Node, feed: InputTopic, events: frozenset[str]) -> frozenset[str]:
        """Returns the events of an `on:` that count; notes a mistake at `node`."""
        return events

    def field(self, doc: Document, keys: Keys, feed: InputTopic) -> str | None:
        """Returns the field of the record that it looks at, None if it looks at none; notes mistakes."""
        return None

    def condition(self, doc: Document, keys: Keys, feed: InputTopic, events: frozenset[str]) -> Expression | None:
        """Returns the condition on fields of the record that it asks of each event, None if it asks none; notes
        mistakes. An event without one of these fields does not count, and the value of others is 1 or 0."""
        return None

    def value_columns(self, counter: Definition, feed: InputTopic) -> tuple[str, ...]:
        """The columns that may hold what it looks at in an event; the first that is present counts. An event without
        any does not count, except by the record's id, which every event has."""
        return ("id",)

    def weights(self, counter: Definition, feed: InputTopic) -> tuple[int, ...]:
        """The amount that an event adds, by the code in its value column, 0 for one that does not count; () where the
        value itself is the amount."""
        return ()

    def reach_ms(self, counter: Definition) -> int:
        """The age in ms up to which an event still weighs in it: how far back its evidence goes."""
        raise NotImplementedError

    def bounds(self, output: str) -> tuple[Between, bool]:
        """The values that an output can have, and whether they are whole numbers."""
        return Between(0), self.is_whole or output == SAMPLES

    def period_ms(self, counter: Definition, output: str) -> int:
        """The period in ms that an output looks back over, as evidence shows it: a window, a half-life or a greatest
        age."""
        return self.reach_ms(counter)

    def slow_kernel(self) -> Any:
        """The kernel, if it takes seconds to compile: on a first start ever another process compiles it meanwhile."""
        return None

    def state(self, counter: Definition, at: int) -> Any:
        """Makes the state that counts (streams.counting.kinds.base.CounterState). at: its first word of a row."""
        raise NotImplementedError


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Adds a kind, or raises ValueError when its name is another's."""
    if KINDS.get(kind.name, kind) is not kind:
        raise ValueError(f"two kinds of counter are named {kind.name!r}")
    KINDS[kind.name] = kind


def kind_keys() -> tuple[str, ...]:
    """The keys of a counter that say its kind, each once."""
    return tuple(dict.fromkeys(kind.key for kind in _kinds().values()))


def counted_kinds() -> tuple[str, ...]:
    """The valid values of `count:`."""
    return tuple(name for name, kind in _kinds().items() if kind.key == "count")


def all_keys() -> tuple[str, ...]:
    """Every key that some kind takes, the ones that say the kind first."""
    return tuple(dict.fromkeys((*kind_keys(), *(k for kind in _kinds().values() for k in (*kind.needs, *kind.may)))))


def _kinds() -> Mapping[str, Kind]:
    import_module(rules.KINDS_FROM)
    return KINDS


def two_durations(one: str, other: str, description: str) -> dict[str, Any]:
    """The form of two durations by name."""
    both = {one: DURATION_FORM, other: DURATION_FORM}
    out = {"type": "object", "properties": both, "required": [one, other], "additionalProperties": False}
    return out | {"description": description}


def durations(description: str) -> dict[str, Any]:
    """The form of the only field that can be added up."""
    return {"enum": list(ADDED_UP), "description": description}


# -- readers that several kinds share ----------------------------------------------------------------------------------


def window(doc: Document, keys: Keys) -> int | None:
    if "window" not in keys:
        return None
    return duration(doc, keys["window"], "window", WINDOW_MS_MIN, WINDOW_MS_MAX)


def parted_window(doc: Document, keys: Keys, parts: int) -> int | None:
    """A window that is cut into so many equal parts."""
    window_ms = window(doc, keys)
    if window_ms is not None and window_ms % parts:
        doc.error(keys["window"], f"the window cannot be cut into {parts} equal parts of whole ms")
    return window_ms


def bucketed_window(doc: Document, keys: Keys) -> dict[str, int]:
    """A window and the resolution that divides it."""
    window_ms = window(doc, keys)
    if window_ms is None:
        return {}
    if "resolution" not in keys:
        if window_ms % BUCKETS_DEFAULT:
            doc.error(
                keys["window"], "the window cannot be cut into 60 equal parts", "add a `resolution:` that divides it"
            )
        return {"window_ms": window_ms, "resolution_ms": window_ms // BUCKETS_DEFAULT}
    resolution = duration(doc, keys["resolution"], "resolution", 1, window_ms)
    if resolution is None:
        return {}
    if window_ms % resolution:
        message = f"resolution {duration_text(resolution)} does not divide the window {duration_text(window_ms)}"
        doc.error(keys["resolution"], message)
    elif window_ms // resolution > BUCKETS_MAX:
        least = duration_text(-(-window_ms // BUCKETS_MAX))
        message = f"{window_ms // resolution:,} parts of a window are too many; the most is {BUCKETS_MAX:,}"
        doc.error(keys["resolution"], message, f"use a resolution of {least} or more")
    return {"window_ms": window_ms, "resolution_ms": resolution}


def field_condition(doc: Document, keys: Keys, key: str, feed: InputTopic, events: frozenset[str]) -> Expression | None:
    """A condition over the fields of records whose `events` count."""
    names = {**catalog.texts([feed.name]), **catalog.fields(feed.name)}
    found = expression(doc, keys[key], key, names) if key in keys else None
    if found is not None and "duration" in found.names and not events <= ENDED:
        hint = f"use {catalog.said_on(ENDED.issuperset)}"
        doc.error(keys[key], "`duration` is not known before the call ends", hint)
    return found


def duration_events(doc: Document, node: Node, events: frozenset[str]) -> frozenset[str]:
    """The events of a kind that adds up durations."""
    if not events <= ENDED:
        hint = f"write {catalog.said_on(ENDED.issuperset)}"
        doc.error(node, "`duration` is known only when a call has ended", hint)
    return events


def duration_field(doc: Document, keys: Keys, key: str) -> str | None:
    return choice(doc, keys[key], "field to add up", ADDED_UP) if key in keys else None
