"""The table of feeds: one row per input topic says all that the product knows about its records.

Everybody reads it: decoders, merge, rule files, breaker, agents, `records check`, `topics create`, rights, captures.
Nothing outside names a topic's fields, so that another topic is one row, its record (schemas/records.py), its line in
schemas/topics.py, and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as of
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from schemas import codes, topics
from schemas.features import FEATURE_CHOICES, FEATURE_HASHES, FEATURE_NUMBERS, FEATURES
from schemas.subjects import NUMBER, SUBJECTS

if TYPE_CHECKING:
    from msgspec import Struct

    from schemas.records import FieldKind

# Names of kinds of event by their code. Codes are mixed into remembered ids, which are stored: new ones go to the end.
EVENTS: list[str] = list(codes.EVENTS)
CODES = 256  # of topics: a column of bytes
# The fields by which a record says who vouches for its number, in topics that have them.
VOUCHING = ("origin", "verified")
SERIES = "series"  # stands for a field: the block of numbers that a record's number is one of


@dataclass(frozen=True)
class InputTopic:
    """A row of the table.

    code: tells events of this topic in columns; never another one's, not even of a topic that is gone.
    record: its struct, as module:name, imported when records are read (rule files are checked without).
    id: the field that tells two records apart; without one, records of equal number, peer and time are one.
    number: the field with the number that records are about and keyed by. peer: the one with the other number, if any.
    events: the kinds of event; with several, the field `event` says which.
    choices: values of each field that has few of them by their code, 0 being absent; `event` has codes of its own.
    complete: fields with the times of an event that tells a whole call, in order.
    distinct: fields of which a rule can count distinct values. content: the fields that `distinct: content` looks at,
    the first that is present. judged: those of `distinct` with people whose records others judge: they have credit.
    known: the field that says how far it is known that a record is from the one whom `judged` names.
    text: the field that people wrote, whose features (schemas.features) rules can read; None for none.
    repeats_ms: records about a number by one and the same peer, less than so long behind the newest that counts, are
    one, whatever their ids; 0 where ids tell.
    is_strict: any flaw makes a record a dead letter, since what is left would say something else.
    is_order: its records are orders about a number, which change its holds; the texts of each are kept.
    is_counted: rules can count it. is_steady: its records come all the time, so that silence means something is wrong.
    missing: optional field -> what its absence costs."""

    name: str
    code: int
    record: str
    id: str | None
    number: str
    peer: str | None
    events: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]] = of(default_factory=dict)
    complete: tuple[str, ...] = ()
    distinct: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    known: str | None = None
    repeats_ms: int = 0
    text: str | None = None
    is_strict: bool = False
    is_order: bool = False
    is_counted: bool = True
    is_steady: bool = True
    missing: Mapping[str, str] = of(default_factory=dict)

    @cached_property
    def struct(self) -> type[Struct]:
        """The type of a record."""
        module, _, name = self.record.partition(":")
        return getattr(import_module(module), name)

    @cached_property
    def fields(self) -> dict[str, FieldKind]:
        """All fields of the record, in the order of its definition. Raises ValueError where the row does not fit it."""
        from schemas.records import fields_of

        found = fields_of(self.struct)
        columns = [column for name in self.distinct for column in self.distinct_columns(name) if column != "peer"]
        columns = [column for column in columns if column not in FEATURES]
        named = {self.number, *self.complete, *self.missing, *columns, *filter(None, (self.id, self.peer, self.text))}
        chosen = {name: ("", *kind.choices) for name, kind in found.items() if kind.choices and name != "event"}
        if unknown := named - found.keys():
            raise ValueError(f"feed {self.name}: its record has no field {', '.join(sorted(unknown))}")
        if chosen != dict(self.choices):
            raise ValueError(f"feed {self.name}: `choices` are not those of its record")
        if len(self.events) > 1 and found["event"].choices != self.events:
            raise ValueError(f"feed {self.name}: `events` are not those of its record")
        return found

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.fields.items() if kind.required)

    @cached_property
    def optional(self) -> tuple[str, ...]:
        return tuple(name for name, kind in self.fields.items() if not kind.required)

    @cached_property
    def times(self) -> tuple[str, ...]:
        """The time fields that say when an event happened, `at` first."""
        return ("at", *self.complete)

    @cached_property
    def identities(self) -> frozenset[str]:
        """The fields whose text is kept however odd it is: it distinguishes records, numbers or peers all the same."""
        return frozenset() if self.is_strict else frozenset(filter(None, (self.id, self.number, self.peer)))

    @cached_property
    def essential(self) -> frozenset[str]:
        """The fields without which a record is a dead letter: kind of event, time, number and id."""
        if self.is_strict:
            return frozenset(self.fields)
        several = {"event"} if len(self.events) > 1 else set()
        whole = {self.complete[0], self.complete[-1]} if self.complete else set()
        return frozenset({"at", self.number, *several, *whole, *filter(None, (self.id,))})

    @cached_property
    def naming(self) -> tuple[str, ...]:
        """The fields that name the feed of a record without a header that does, the first that is present. Operators
        are no feed: what an order says of a relay is about the number."""
        return () if self.is_order else tuple(name for name in ("carrier", "relay") if name in self.optional)

    @cached_property
    def vouching(self) -> tuple[str, ...]:
        """The fields that say who vouches for the number, always decoded; without them nobody does."""
        return VOUCHING if set(VOUCHING) <= self.choices.keys() else ()

    @cached_property
    def sources(self) -> dict[str, frozenset[str]]:
        """The values of a rule's `on:` for this topic, each with the events that it means. A `complete` event also
        comes as set-up, answer and release, so the topic's own name leaves it out: every call would count twice."""
        if len(self.events) == 1:
            return {self.name: frozenset(self.events)}
        every = frozenset(self.events) - ({"complete"} if self.complete else set())
        return {self.name: every} | {f"{self.name}.{event}": frozenset({event}) for event in self.events}

    @cached_property
    def columns(self) -> dict[str, str]:
        """The column of each field of an event that expressions can read, by the field's name."""
        found = {name: name for name in self.vouching} | {"access_code": "access"}
        found |= {name: name for name in self.choices} | {f"{self.number}_type": "number_type"}
        if self.peer is not None:
            found[f"{self.peer}_type"] = "peer_type"
        if self.complete:
            found["duration"] = "duration"
        if self.text is not None:
            found |= {name: name for name in (*FEATURE_CHOICES, *FEATURE_NUMBERS)}
        return found

    def distinct_columns(self, field: str) -> tuple[str, ...]:
        """The columns in which the values of a `distinct:` may stand, the first that is present."""
        if field == "content":
            return self.content
        return (self.column_of(field),)

    def column_of(self, field: str) -> str:
        """The column of a field that names somebody."""
        return {self.number: "number", SERIES: "number", self.peer: "peer"}.get(field, field)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """The fields, besides its number, that name whom a record's events can be counted for."""
        counted = {field for subject in SUBJECTS.values() if subject.is_counted for field in subject.fields}
        return (*(field for field in self.distinct if field in counted and field != self.number), SERIES)


FEEDS: dict[str, InputTopic] = {}


def register(row: InputTopic) -> InputTopic:
    """Adds a topic to the table, or raises ValueError for what does not fit the others. What does not fit the row's own
    record is found when its fields are first asked for."""
    shared = {name: values for other in FEEDS.values() for name, values in other.choices.items()}
    other_events = {event for other in FEEDS.values() for event in other.events}
    problems = [
        (row.name in FEEDS, "the topic has a row already"),
        (not 0 <= row.code < CODES, f"code {row.code} is none from 0 to {CODES - 1}"),
        (any(row.code == other.code for other in FEEDS.values()), f"code {row.code} is another topic's"),
        (row.name not in topics.TOPICS, "schemas/topics.py does not say how it is made"),
        (bool(other_events & set(row.events)), "an event of its is another topic's"),
        (row.number not in NUMBER.fields, f"`{row.number}` is no field of the subject `{NUMBER.name}`"),
        (any(shared.get(n, v) != v for n, v in row.choices.items()), "a choice means something else in another topic"),
    ]
    for wrong, why in problems:
        if wrong:
            raise ValueError(f"feed {row.name}: {why}")
    EVENTS.extend(event for event in row.events if event not in EVENTS)
    FEEDS[row.name] = row
    return row


def topic_of(code: int) -> str:
    """The topic whose events have this code in columns."""
    return next(row.name for row in FEEDS.values() if row.code == code)


def counted() -> tuple[InputTopic, ...]:
    """The topics that rules can count."""
    return tuple(row for row in FEEDS.values() if row.is_counted)


def order_topics() -> tuple[str, ...]:
    """The topics that every worker reads, whatever rules count: those of operators' orders about numbers."""
    return tuple(row.name for row in FEEDS.values() if row.is_order)


_TRUST = {"origin": codes.ORIGINS, "verified": codes.VERIFIED}
_TRUST_MISSING = {
    "verified": "without it nobody vouches for the number: what its records show goes to people instead of a block",
    "origin": "without it a domestic number that comes from abroad is not told from others",
    "carrier": "without it, `relay` or a header `feed` all records are of one feed: nobody sees which carrier is wrong",
    "relay": "without it no rule sees a number come in by many relays",
}

register(
    InputTopic(
        topics.MESSAGE_RELAY, 0, "schemas.records:MessageRelay", id="message_id", number="sender", peer="recipient",
        events=("message",),
        choices=_TRUST | {"channel": codes.CHANNELS},
        distinct=("recipient", "content", "relay", "reseller", "account", "carrier", *FEATURE_HASHES),
        content=("content_hash", "text"),
        text="text",
        missing=_TRUST_MISSING
        | {
            "text": "without it, or content_hash, no rule sees that one text goes to many",
            "reseller": "without it no rule sees a number sent for by many resellers",
            "account": "without it no rule sees a number sent for by many accounts",
            "channel": "without it no rule tells texts from chat messages",
        },
    )
)  # fmt: skip
register(
    InputTopic(
        topics.CDR, 1, "schemas.records:Cdr", id="call_id", number="caller", peer="callee",
        events=("setup", "answer", "release", "complete"),
        choices=_TRUST,
        complete=("setup_at", "answer_at", "release_at"),
        distinct=("callee", "relay", "carrier"),
        missing=_TRUST_MISSING | {"answer_at": "without it a `complete` call counts as unanswered"},
    )
)  # fmt: skip
register(
    InputTopic(
        topics.REPORTS, 2, "schemas.records:Report", id="report_id", number="number", peer="reporter",
        events=("report",),
        choices={"kind": codes.REPORT_KINDS, "reporter_known": codes.VERIFIED},
        distinct=("reporter", "content", "relay", "reseller", *FEATURE_HASHES),
        judged=("reporter",),
        known="reporter_known",
        repeats_ms=60_000,
        content=("text",),
        text="text",
        missing={
            "reporter_known": "without it nobody vouches for the reporter: rules that block on reports do not count it",
            "kind": "without it rules cannot tell reported calls from reported messages",
            "text": "without it no rule sees that one text is reported by many",
        },
    )
)  # fmt: skip
register(
    InputTopic(
        topics.TRAPS, 3, "schemas.records:Trap", id=None, number="sender", peer="trap",
        events=("trap",),
        choices={"depth": codes.DEPTHS},
        distinct=("trap", "content", "source_ip", *FEATURE_HASHES),
        content=("text",),
        text="text",
        missing={
            "text": "without it no rule sees that one text goes to many traps",
            "source_ip": "without it no rule sees that many senders come from one address",
        },
    )
)  # fmt: skip
register(
    InputTopic(
        topics.CONTROL, 4, "schemas.records:Control", id="id", number="number", peer=None,
        events=("control",),
        choices={"action": codes.CONTROL_ACTIONS},
        is_strict=True,
        is_order=True,
        is_counted=False,
        is_steady=False,
    )
)  # fmt: skip
