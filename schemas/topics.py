"""The table of topics: the purpose of each, and the settings that its use depends on. No I/O: whatever makes topics
reads this."""

from __future__ import annotations

from dataclasses import dataclass, replace

MESSAGE_RELAY = "message-relay"
CDR = "cdr"
REPORTS = "reports"
TRAPS = "traps"
CONTROL = "control"
BLOCK_EVENTS = "block-events"
BLOCK_HISTORY = "block-history"
REVIEW_QUEUE = "review-queue"
SHADOW_EVENTS = "shadow-events"
DEAD_LETTERS = "dead-letters"
BLOCK_STATUS = "block-status"
BLOCK_ACKS = "block-acks"
RELAY_ACTIONS = "relay-actions"
SHARED_NUMBERS = "shared-numbers"
LEDGER = "ledger"
SNAPSHOTS = "snapshots"
REKEYED = "rekeyed"
DERIVED = "derived"
SANCTIONS = "sanctions"
CONTROL_GLOBAL = "control-global"

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class TopicSpec:
    """partitions_like_input: it has as many partitions as the input topics, else as `partitions` says, 0 being the
    broker's default. config: the broker's settings for the topic, only those that matter here."""

    name: str
    partitions_like_input: bool
    config: dict[str, str]
    purpose: str
    partitions: int = 0


# Whose clock a record's Kafka timestamp comes from, which bounds the times that the record itself tells.
TIMESTAMP_TYPE = "message.timestamp.type"
APPEND_TIME, CREATE_TIME = "LogAppendTime", "CreateTime"
# For topics of replayed or generated history.
HISTORY = {"retention.ms": "-1", TIMESTAMP_TYPE: CREATE_TIME}


def _input(days: int) -> dict[str, str]:
    return _kept(days) | {TIMESTAMP_TYPE: APPEND_TIME}


def _kept(days: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(days * DAY_MS)}


_SPECS = (
    TopicSpec(MESSAGE_RELAY, True, _input(days=7), "input: messages as relays hand them on, keyed by sender"),
    TopicSpec(CDR, True, _input(days=7), "input: events of calls, keyed by caller"),
    TopicSpec(REPORTS, True, _input(days=90), "input: citizens' reports of numbers, keyed by the reported number"),
    TopicSpec(TRAPS, True, _input(days=90), "input: what reached honeypot numbers, keyed by sender"),
    TopicSpec(
        CONTROL,
        True,
        _input(days=5 * 365),
        "input: what operators say of one number, keyed by that number; part of the audit trail",
    ),
    TopicSpec(
        CONTROL_GLOBAL,
        False,
        {"cleanup.policy": "compact"},
        "input: operators' orders to every worker, such as a pause of new blocks",
        partitions=1,
    ),
    TopicSpec(
        BLOCK_EVENTS,
        True,
        # A blocker that was away for a month still finds the tombstones, and does not keep an innocent blocked.
        {"cleanup.policy": "compact", "delete.retention.ms": str(30 * DAY_MS)},
        "output: the current state of each blocked number, keyed by number",
    ),
    TopicSpec(BLOCK_HISTORY, True, _kept(days=5 * 365), "output: every change of every hold, the audit trail"),
    TopicSpec(REVIEW_QUEUE, True, _kept(days=90), "output: holds for people to look at, which block nobody"),
    TopicSpec(SHADOW_EVENTS, True, _kept(days=30), "output: holds of rules in shadow mode, which block nobody"),
    TopicSpec(
        SANCTIONS,
        True,
        _kept(days=365),
        "output: recommendations about callees, recipients and others who are blocked by nobody",
    ),
    TopicSpec(
        DEAD_LETTERS,
        False,
        # Twice the broker's default for records: a dead letter is the record as it came, plus its headers.
        _kept(days=30) | {"max.message.bytes": str(2 * MEGABYTE)},
        "output: records that could not be understood, verbatim, with what was wrong in their headers",
    ),
    TopicSpec(
        BLOCK_STATUS,
        True,
        # The broker compacts closed segments only, and who joins reads what is left: an hour of heartbeats, no more.
        {"cleanup.policy": "compact", "segment.ms": str(HOUR_MS)},
        "output: a heartbeat of each partition, to distinguish an idle worker from a dead one",
    ),
    TopicSpec(
        BLOCK_ACKS,
        False,
        # When the broker took a blocker's word bounds the time that the blocker's own clock tells.
        _kept(days=90) | {TIMESTAMP_TYPE: APPEND_TIME},
        "output of blockers: which change each has applied, and when",
    ),
    TopicSpec(RELAY_ACTIONS, False, _kept(90), "output: which sender a relay is to stop at its side, keyed by relay"),
    TopicSpec(
        SHARED_NUMBERS,
        False,
        # Nobody who was away for a month goes on believing what was withdrawn meanwhile.
        {"cleanup.policy": "compact", "delete.retention.ms": str(30 * DAY_MS)},
        "shared: numbers that carriers are confident of, each carrier's own; written and read by several",
    ),
    TopicSpec(
        LEDGER,
        True,
        # A worker reads all of its partition before it counts anything: small segments keep that short.
        {"cleanup.policy": "compact", "segment.bytes": str(64 * MEGABYTE)},
        "internal: the holds of each number, and the manifest of each snapshot",
    ),
    TopicSpec(
        SNAPSHOTS,
        True,
        {
            "cleanup.policy": "compact",
            "segment.bytes": str(128 * MEGABYTE),
            "max.message.bytes": str(2 * MEGABYTE),
        },
        "internal: snapshots of what was counted, in chunks",
    ),
    TopicSpec(
        REKEYED,
        True,
        # A stray is its record verbatim, plus its headers.
        _kept(days=7) | {"max.message.bytes": str(2 * MEGABYTE)},
        "internal: strays, sent on to their number's partition",
    ),
    TopicSpec(
        DERIVED,
        True,
        # A record holds the events of one commit, in pieces of half a megabyte.
        _kept(days=7) | {"max.message.bytes": str(2 * MEGABYTE)},
        "internal: events on their way to those whom they are counted for besides their own number",
    ),
)
TOPICS: dict[str, TopicSpec] = {spec.name: spec for spec in _SPECS}
# Those that workers run without: others write them, or only what some rules ask for does.
SPARED = (BLOCK_ACKS, RELAY_ACTIONS, SHARED_NUMBERS)


def for_history(spec: TopicSpec) -> TopicSpec:
    """The same topic for replayed or generated history, whose records keep the timestamps that they come with. The
    broker deletes by these, so records of last month would be gone as soon as written: nothing is deleted by age."""
    return replace(spec, config=spec.config | HISTORY)
