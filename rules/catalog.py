"""What there is to choose from in a rule file: topics, kinds of counter, fields and their values."""

from __future__ import annotations

from dataclasses import dataclass

from rules.expression_check import NUMBER, Choice, Kind
from schemas import codes

MESSAGE_RELAY = "message-relay"
CDR = "cdr"

# `on:` -> topic and the events that count. A `complete` record also becomes set-up, answer and release, so plain
# `cdr` leaves `complete` out: every call would count twice.
SOURCES: dict[str, tuple[str, frozenset[str]]] = {
    "message-relay": (MESSAGE_RELAY, frozenset({"message"})),
    "cdr": (CDR, frozenset({"setup", "answer", "release"})),
    "cdr.setup": (CDR, frozenset({"setup"})),
    "cdr.answer": (CDR, frozenset({"answer"})),
    "cdr.release": (CDR, frozenset({"release"})),
    "cdr.complete": (CDR, frozenset({"complete"})),
}
PER = {MESSAGE_RELAY: "sender", CDR: "caller"}
# Numbers and names that a record also holds, but whose counts would need a topic keyed by them.
OTHER_KEYS = ("recipient", "callee", "relay", "reseller", "account", "carrier")
DISTINCT = {
    MESSAGE_RELAY: ("recipient", "content", "relay", "reseller", "account", "carrier"),
    CDR: ("callee", "relay", "carrier"),
}
# `duration` is known once a call has ended.
ENDED = frozenset({"release", "complete"})

_NUMBER_TYPE = Choice(("", *codes.NUMBER_TYPES))
_COMMON: dict[str, Kind] = {
    "origin": Choice(codes.ORIGINS),
    "verified": Choice(codes.VERIFIED),
    "access_code": Choice(codes.ACCESS_CODES),
}
# Fields of the triggering record that `when` and `where` can read.
FIELDS: dict[str, dict[str, Kind]] = {
    MESSAGE_RELAY: {
        **_COMMON,
        "channel": Choice(codes.CHANNELS),
        "sender_type": _NUMBER_TYPE,
        "recipient_type": _NUMBER_TYPE,
    },
    CDR: {**_COMMON, "caller_type": _NUMBER_TYPE, "callee_type": _NUMBER_TYPE, "duration": NUMBER},
}


@dataclass(frozen=True)
class CounterKind:
    """The keys a counter of this kind takes, beside `on`, `per` and `where`."""

    needs: tuple[str, ...]
    may: tuple[str, ...] = ()


# The key that says the kind -> what goes with it. `count: concurrent` is its own kind.
COUNTER_KINDS = {
    "events": CounterKind(("count", "window"), ("resolution",)),
    "concurrent": CounterKind(("count", "max_age")),
    "gray": CounterKind(("gray",)),
    "distinct": CounterKind(("distinct", "window")),
    "sum": CounterKind(("sum", "window"), ("resolution",)),
    "mean": CounterKind(("mean", "window"), ("resolution",)),
}
KIND_KEYS = ("count", "gray", "distinct", "sum", "mean")
COUNTS = ("events", "concurrent")

WINDOW_MS_MIN = 1_000
WINDOW_MS_MAX = 31 * 86_400_000
BUCKETS_DEFAULT = 60
BUCKETS_MAX = 3_600
SKETCH_BUCKETS = 12  # a busy `distinct` works at window/12
HALF_LIFE_MS_MIN = 1_000
HALF_LIFE_MS_MAX = 30 * 86_400_000
PERIOD_MS_MIN = 60_000
PERIOD_MS_MAX = 366 * 86_400_000
# Beyond these the readings are estimates (distinct) or "at least" (concurrent).
EXACT_MAX = {"distinct": 32, "concurrent": 64}
