"""What a record of each topic is, and the exact decoder of the input topics, which alone decides what is wrong.

The structs are the one source: `FIELDS` is read off them, and so are the exported JSON Schemas. Times are integer
milliseconds since the epoch; on input RFC 3339 with a zone is understood as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

from msgspec import Meta, Struct, field
from msgspec.structs import fields as struct_fields

from schemas.objects import ObjectError, kind_of, read_pairs
from schemas.times import YEAR_2000_MS, YEAR_10000_MS, TimeError, parse_time
from schemas.topics import CDR, MESSAGE_RELAY

# Characters. Longer strings are no ids or numbers, and a message of 64 Ki characters is none either.
ID_MAX = 256
NUMBER_MAX = 128
TEXT_MAX = 65_536

Id = Annotated[str, Meta(min_length=1, max_length=ID_MAX)]
Phone = Annotated[str, Meta(min_length=1, max_length=NUMBER_MAX, description="a number or identity in any spelling")]
Text = Annotated[str, Meta(min_length=1, max_length=TEXT_MAX)]
TimeMs = Annotated[int, Meta(ge=YEAR_2000_MS, lt=YEAR_10000_MS, description="milliseconds since the epoch, UTC")]
TimeText = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        description="RFC 3339 with a zone",
    ),
]
Time = TimeMs | TimeText
Channel = Literal["sms", "lms", "mms", "rcs", "kakao"]
Origin = Literal["domestic", "international", "web", "roaming"]
Verified = Literal["full", "partial", "none"]
CallEvent = Literal["setup", "answer", "release", "complete"]


class MessageRelay(Struct, kw_only=True, omit_defaults=True):
    """A message as a relay hands it on. Unknown fields are ignored; null counts as absent."""

    message_id: Id
    at: Time
    sender: Phone
    recipient: Phone
    relay: Id | None = None
    reseller: Id | None = None
    account: Id | None = None
    carrier: Id | None = None
    channel: Channel | None = None
    origin: Origin | None = None
    verified: Verified | None = None  # absent means "none"
    text: Text | None = None
    content_hash: Id | None = None


class Cdr(Struct, kw_only=True, omit_defaults=True):
    """One event of a call. A `complete` record tells the whole call at its end: setup_at <= answer_at <= release_at,
    answer_at only if it was answered, and at = release_at; other events do without these three."""

    call_id: Id
    event: CallEvent
    at: Time
    caller: Phone
    callee: Phone
    relay: Id | None = None
    carrier: Id | None = None
    origin: Origin | None = None
    verified: Verified | None = None  # absent means "none"
    cause: Id | None = None
    setup_at: Time | None = None
    answer_at: Time | None = None
    release_at: Time | None = None


Digits = Annotated[str, Meta(pattern=r"^\+[0-9]{8,15}$", description="E.164")]
Direction = Literal["outgoing", "incoming"]
Action = Annotated[
    str,
    Meta(min_length=1, description="block_calls, block_messages; a blocker passes over actions that it does not know"),
]
State = Literal["active", "released", "expired"]
Change = Literal["opened", "extended", "reduced", "released", "expired"]


class Evidence(Struct, kw_only=True, omit_defaults=True):
    """A counter that the rule read, so that a person can recompute it."""

    counter: Id
    value: float
    window: Annotated[str, Meta(min_length=1, description="how far the counter looks back, as rule files say it: 1m")]
    limit: float | None = None  # the limit in force, where the rule names one
    as_of: TimeMs
    warming: Annotated[bool, Meta(description="the counter began without the whole past that it looks at")] = False


class Hold(Struct, kw_only=True, omit_defaults=True):
    """One rule's (or operator's) claim on a number."""

    block_id: Id
    rule: Id
    rules_version: str
    from_: TimeMs = field(name="from")
    until: TimeMs
    directions: list[Direction]
    actions: list[Action]
    reason: str
    evidence: list[Evidence]
    announcement: str | None = None


class BlockEvent(Struct, kw_only=True):
    """A number's whole current state. `hold` is the first that changed, `holds` are all in force (none once released or
    expired); `until` is their maximum, `directions` and `actions` are their unions."""

    event_id: Id
    number: Digits
    state: State
    change: Change
    until: TimeMs
    directions: list[Direction]
    actions: list[Action]
    hold: Hold
    holds: list[Hold]


class BlockHistory(Struct, kw_only=True):
    """One change of one hold, as the hold stands behind it: the audit trail."""

    event_id: Id
    number: Digits
    change: Change
    hold: Hold


class BlockStatus(Struct, kw_only=True):
    """A partition's heartbeat. What the inputs held before `offsets` is decided, and everything that follows from it
    lies before this record in the partition of the same number of block-events."""

    partition: Annotated[int, Meta(ge=0)]
    worker: Id
    state: Literal["live", "restoring"]
    paused: bool
    offsets: Annotated[dict[str, Annotated[int, Meta(ge=0)]], Meta(description="input topic: next offset to read")]
    clocks: Annotated[dict[str, TimeMs], Meta(description="input topic: newest event time")]
    rules_version: str
    holds_active: Annotated[int, Meta(ge=0, description="enforced holds in force")]
    warming: Annotated[bool, Meta(description="some counters of the worker have not yet seen all that they reach back")]


class DeadLetter(Struct, kw_only=True, omit_defaults=True):
    """The headers (all text) of a dead letter, named as Kafka Connect names them. Its key and value are the record's
    own, verbatim; of a value too large for the topic only the beginning, and then its size and hash are told."""

    topic: str = field(name="__connect.errors.topic")
    partition: Annotated[str, Meta(pattern="^[0-9]+$")] = field(name="__connect.errors.partition")
    offset: Annotated[str, Meta(pattern="^[0-9]+$")] = field(name="__connect.errors.offset")
    code: str = field(name="__connect.errors.exception.class.name")
    message: str = field(name="__connect.errors.exception.message")
    value_bytes: Annotated[str, Meta(pattern="^[0-9]+$")] | None = field(name="grayline.value.bytes", default=None)
    value_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = field(
        name="grayline.value.sha256", default=None
    )


@dataclass(frozen=True, slots=True)
class FieldKind:
    """kind: time, id, number, choice or text. max_length in characters, for id, number and text."""

    kind: str
    required: bool
    choices: tuple[str, ...] = ()
    max_length: int = 0


class RecordError(Exception):
    """Why a record is no record of its topic. code: a word for metrics, one of not_json, empty, missing_field,
    duplicate_field, wrong_type, bad_time, bad_value, too_long. field: None when it is about the record as a whole."""

    def __init__(self, code: str, field: str | None, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.code = code
        self.field = field
        self.reason = reason


def _kind(annotation: Any, required: bool) -> FieldKind:
    alternatives = (annotation, *get_args(annotation))
    if TimeMs in alternatives:
        return FieldKind("time", required)
    for choice in (Channel, Origin, Verified, CallEvent):
        if choice in alternatives:
            return FieldKind("choice", required, choices=get_args(choice))
    for alias, name, longest in ((Id, "id", ID_MAX), (Phone, "number", NUMBER_MAX), (Text, "text", TEXT_MAX)):
        if alias in alternatives:
            return FieldKind(name, required, max_length=longest)
    raise TypeError(f"a field of a record has a type that the decoder does not know: {annotation}")


def _fields(record: type[Struct]) -> dict[str, FieldKind]:
    hints = get_type_hints(record, include_extras=True)
    return {info.name: _kind(hints[info.name], info.required) for info in struct_fields(record)}


RECORDS: dict[str, type[Struct]] = {MESSAGE_RELAY: MessageRelay, CDR: Cdr}
FIELDS: dict[str, dict[str, FieldKind]] = {topic: _fields(record) for topic, record in RECORDS.items()}
REQUIRED: dict[str, tuple[str, ...]] = {
    topic: tuple(name for name, kind in fields.items() if kind.required) for topic, fields in FIELDS.items()
}
OPTIONAL: dict[str, tuple[str, ...]] = {
    topic: tuple(name for name, kind in fields.items() if not kind.required) for topic, fields in FIELDS.items()
}
COMPLETE_TIMES = ("setup_at", "answer_at", "release_at")


def decode(topic: str, value: bytes | None, fields: frozenset[str]) -> dict[str, object]:
    """The record's required fields and those of `fields` that it has, times as integer ms; `verified`, if asked for,
    is "none" when absent, and a `complete` record has its times whether asked for or not.

    No other field is looked at, whatever it holds: its value is the business of those rules that read it. Raises
    RecordError for the first thing wrong, and nothing else, whatever the bytes."""
    wanted = _wanted(topic, fields)
    record: dict[str, object] = {}
    for error in _errors(topic, wanted, value, record):
        raise error
    if "verified" in wanted:
        record.setdefault("verified", "none")
    return record


def check_all(topic: str, value: bytes | None) -> list[RecordError]:
    """Everything that is wrong in any known field, in the order of the record's definition."""
    return list(_errors(topic, FIELDS[topic], value, {}))


@lru_cache(maxsize=64)
def _wanted(topic: str, fields: frozenset[str]) -> dict[str, FieldKind]:
    return {name: kind for name, kind in FIELDS[topic].items() if kind.required or name in fields}


def _errors(
    topic: str, wanted: dict[str, FieldKind], value: bytes | None, record: dict[str, object]
) -> Iterator[RecordError]:
    """Fills `record` with the wanted fields that are right, and yields an error for each that is not."""
    try:
        pairs = read_pairs(value)
    except ObjectError as error:
        yield RecordError(error.code, None, str(error))
        return
    found = dict(pairs)
    complete = topic == CDR and found.get("event") == "complete"
    if complete:
        wanted = wanted | {name: FIELDS[CDR][name] for name in COMPLETE_TIMES}
    twice = _twice(pairs) if len(found) < len(pairs) else ()
    for name, kind in wanted.items():
        required = kind.required or (complete and name in ("setup_at", "release_at"))
        if name in twice:
            yield RecordError("duplicate_field", name, "is given more than once: give it once")
        elif (item := found.get(name)) is not None:
            try:
                record[name] = _value(name, kind, item)
            except RecordError as error:
                yield error
        elif required:
            of = "`complete` record" if name in COMPLETE_TIMES else f"{topic} record"
            yield RecordError("missing_field", name, f"is {'null' if name in found else 'absent'}: every {of} has it")
    if complete:
        yield from _times_out_of_order(record)


def _twice(pairs: list[tuple[str, Any]]) -> set[str]:
    seen: set[str] = set()
    return {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


def _value(name: str, kind: FieldKind, item: object) -> int | str:
    """The field's value as `decode` gives it. Messages never repeat what the record holds."""
    if kind.kind == "time":
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise RecordError(
                "wrong_type", name, f"is {kind_of(item)}: give integer milliseconds or an RFC 3339 string"
            )
        try:
            return parse_time(item)
        except TimeError as error:
            raise RecordError("bad_time", name, str(error)) from None
    if not isinstance(item, str):
        raise RecordError("wrong_type", name, f"is {kind_of(item)}: give a string")
    if kind.choices:
        if item not in kind.choices:
            raise RecordError("bad_value", name, f"is none of {', '.join(kind.choices)}")
        return item
    if not item:
        raise RecordError("bad_value", name, "is an empty string: give its value or leave the field out")
    if len(item) > kind.max_length:
        raise RecordError("too_long", name, f"has {len(item)} characters: at most {kind.max_length} are right")
    # JSON's \ud800 passes as text here but is none: it could not be written out again.
    if not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
        raise RecordError("bad_value", name, "holds half of a surrogate pair: give whole characters")
    return item


def _times_out_of_order(record: dict[str, object]) -> Iterator[RecordError]:
    """What does not fit among those times of a `complete` record that are right in themselves."""
    at, setup, answer, release = (record.get(name) for name in ("at", *COMPLETE_TIMES))
    if isinstance(release, int):
        if isinstance(at, int) and at != release:
            yield RecordError("bad_value", "at", "differs from release_at: they are equal in a `complete` record")
        if isinstance(setup, int) and setup > release:
            yield RecordError("bad_value", "setup_at", "is after release_at")
        if isinstance(answer, int) and answer > release:
            yield RecordError("bad_value", "answer_at", "is after release_at")
    if isinstance(setup, int) and isinstance(answer, int) and answer < setup:
        yield RecordError("bad_value", "answer_at", "is before setup_at")
