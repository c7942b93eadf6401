"""The records of each topic, as structs. They are the one source: decoders and the exported JSON Schemas read the
fields from them. Times are integer milliseconds since the epoch; on input RFC 3339 with a zone is understood too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, field
from msgspec.structs import fields as struct_fields

from schemas.times import YEAR_2000_MS, YEAR_10000_MS

# Characters. Longer strings are no ids or numbers, and a message of 64 Ki characters is none either.
ID_MAX = 256
NUMBER_MAX = 128
TEXT_MAX = 65_536
URL_MAX = 2_048

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
ReportKind = Literal["message", "call"]
Depth = Literal["record", "limited", "full"]
ControlAction = Literal[
    "allow", "disallow", "release", "approve", "reject", "block", "register", "unregister", "propose", "take", "suspend"
]  # fmt: skip
Url = Annotated[str, Meta(min_length=1, max_length=URL_MAX)]


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


class Report(Struct, kw_only=True, omit_defaults=True):
    """A citizen's report of a number that called or wrote to them. reporter_known: how far whoever took it knows that
    it came from `reporter`: a network knows its handsets, a form on the web nobody."""

    report_id: Id
    at: Time
    number: Phone
    reporter: Phone
    reporter_known: Verified | None = None
    kind: ReportKind | None = None
    text: Text | None = None
    message_id: Id | None = None
    relay: Id | None = None
    reseller: Id | None = None
    recording_url: Url | None = None


class Trap(Struct, kw_only=True, omit_defaults=True):
    """A call or message that reached a honeypot number. depth: what the trap did with it: noted its record only, hung
    up on answer, or announced the recording and recorded. The same sender, trap and time twice is one hit."""

    at: Time
    sender: Phone
    trap: Phone
    depth: Depth
    text: Text | None = None
    source_ip: Id | None = None
    recording_url: Url | None = None


class Control(Struct, kw_only=True, omit_defaults=True):
    """An operator's order about one number. rule: the rule whose hold it is about; without it, all holds. until: the
    end of what the order leaves behind, such as a block or a cool-down. since, owner, account, relay: of a
    registration, from when on (from the order's time without it), for whom, and through what alone it sends."""

    id: Id
    at: Time
    number: Phone
    action: ControlAction
    operator: Id
    reason: Text
    rule: Id | None = None
    until: Time | None = None
    since: Time | None = None
    owner: Id | None = None
    account: Id | None = None
    relay: Id | None = None


Digits = Annotated[str, Meta(pattern=r"^\+[0-9]{8,15}$", description="E.164")]
Direction = Literal["outgoing", "incoming"]
Action = Annotated[
    str,
    Meta(
        min_length=1,
        description="block_calls, block_messages, cut_call; a blocker passes over actions that it does not know",
    ),
]
State = Literal["active", "released", "suspended", "expired"]
Change = Literal[
    "opened", "extended", "reduced", "released", "suspended", "expired", "taken", "approved", "rejected", "unreviewed"
]  # fmt: skip
Answered = Literal["ordered", "refused"]


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
    registry_version: Annotated[str | None, Meta(description="only if the rule reads the registry")] = None
    from_others: Annotated[bool, Meta(description="the rule reads what other carriers share")] = False
    relays: Annotated[list[Id], Meta(description="that are told to stop the number at their side")] = []
    unreviewed: Annotated[bool, Meta(description="it was in review, and blocks since nobody decided in time")] = False


class BlockEvent(Struct, kw_only=True):
    """A number's whole current state. `hold` is the first that changed, `holds` are all in force (none once released,
    suspended or expired); `until` is their maximum, `directions` and `actions` are their unions."""

    event_id: Id
    number: Digits
    state: State
    change: Change
    until: TimeMs
    directions: list[Direction]
    actions: list[Action]
    hold: Hold
    holds: list[Hold]


class Order(Struct, kw_only=True, omit_defaults=True):
    """An operator's order, as its record on `control` said. at: the time at which it counted."""

    id: Id
    action: ControlAction
    at: TimeMs
    operator: Id
    reason: Text
    rule: Id | None
    until: TimeMs | None
    since: TimeMs | None = None
    owner: Id | None = None
    account: Id | None = None
    relay: Id | None = None


class BlockHistory(Struct, kw_only=True, omit_defaults=True):
    """The audit trail: one change of one hold, as the hold stands behind it, with the order that made it if one did; or
    the answer to an order, without a hold, behind the changes that it made."""

    event_id: Id
    number: Annotated[Digits | None, Meta(description="null in the answer to an order about what is no number")]
    change: Change | Answered
    hold: Hold | None = None
    order: Order | None = None
    why: Annotated[str | None, Meta(description="of an answer: the reason why the order was refused")] = None


class Sanction(Struct, kw_only=True):
    """A recommendation about one whom nobody can block, as it stands from here on: from `from` to `until`."""

    event_id: Id
    subject: Literal["recipient", "callee", "relay", "reseller", "account", "carrier", "series"]
    name: Id
    change: Literal["opened", "extended"]
    mode: Literal["enforce", "shadow", "review"]
    rule: Id
    rules_version: Id
    recommend: list[Literal["warn", "throttle", "suspend", "inspect"]]
    from_: Annotated[TimeMs, Meta(description="the event that began it")] = field(name="from")
    until: TimeMs
    reason: Text
    evidence: list[Evidence]


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
    registry_version: Annotated[str, Meta(description="of the entries in force, empty without any")] = ""
    feeds_version: Annotated[str, Meta(description="of the file of feeds, empty without one")] = ""
    holds_active: Annotated[int, Meta(ge=0, description="enforced holds in force")]
    warming: Annotated[bool, Meta(description="some counters of the worker have not yet seen all that they reach back")]


class BlockAck(Struct, kw_only=True):
    """A blocker's word that it has applied a change of `block-events`. It may come twice."""

    event_id: Annotated[str, Meta(description="of the block event")]
    blocker: Annotated[Id, Meta(description="who applied it: one name for each device or site")]
    applied_at: Annotated[TimeMs, Meta(description="when, by the blocker's clock")]


class RelayAction(Struct, kw_only=True):
    """The word to a relay about a sender: stop it at its side, or let it send again. The same `block_id` again moves
    the end, or lifts it."""

    event_id: Annotated[str, Meta(description="of the change on block-history")]
    relay: Id
    number: Digits
    action: Literal["stop", "lift"]
    block_id: Id
    rule: Id
    reason: str
    from_: TimeMs = field(name="from")
    until: Annotated[int, Meta(ge=YEAR_2000_MS, lt=YEAR_10000_MS, description="it ends then without another record")]


class SharedNumber(Struct, kw_only=True, omit_defaults=True):
    """A number that a carrier is confident of, for other carriers. Keyed by number and origin."""

    event_id: Annotated[str, Meta(description="of the origin's block event")]
    number: Digits
    origin: Annotated[Id, Meta(description="the carrier whose word it is")]
    confidence: Annotated[float, Meta(gt=0, le=1)]
    category: Id
    since: TimeMs
    until: TimeMs
    withdrawn: Annotated[bool, Meta(description="the origin takes it back")] = False


class DeadLetter(Struct, kw_only=True, omit_defaults=True):
    """The headers (all text) of a dead letter, named as Kafka Connect names them. Its key and value are the record's
    own, verbatim; of a value too large for the topic only the beginning, and then its size and hash are told."""

    topic: str = field(name="__connect.errors.topic")
    partition: Annotated[str, Meta(pattern="^[0-9]+$")] = field(name="__connect.errors.partition")
    offset: Annotated[str, Meta(pattern="^[0-9]+$")] = field(name="__connect.errors.offset")
    code: str = field(name="__connect.errors.exception.class.name")
    message: str = field(name="__connect.errors.exception.message")
    feed: str | None = None
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


_TEXTS = (
    (Id, "id", ID_MAX),
    (Phone, "number", NUMBER_MAX),
    (Text, "text", TEXT_MAX),
    (Url, "text", URL_MAX),
)


def _kind(annotation: Any, required: bool) -> FieldKind:
    alternatives = (annotation, *get_args(annotation))
    if TimeMs in alternatives:
        return FieldKind("time", required)
    for choice in alternatives:
        if get_origin(choice) is Literal:
            return FieldKind("choice", required, choices=get_args(choice))
    for alias, name, longest in _TEXTS:
        if alias in alternatives:
            return FieldKind(name, required, max_length=longest)
    raise TypeError(f"a field of a record has a type that the decoders do not know: {annotation}")


def fields_of(record: type[Struct]) -> dict[str, FieldKind]:
    """The fields of an input topic's record, in the order of its definition."""
    hints = get_type_hints(record, include_extras=True)
    return {info.name: _kind(hints[info.name], info.required) for info in struct_fields(record)}
