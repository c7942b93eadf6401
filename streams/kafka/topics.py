"""The topics on a broker: making them, showing them, and the check of a worker's inputs at its start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from schemas.feeds import FEEDS
from schemas.topics import (
    APPEND_TIME,
    BLOCK_EVENTS,
    CREATE_TIME,
    DEAD_LETTERS,
    DERIVED,
    LEDGER,
    REKEYED,
    SANCTIONS,
    SNAPSHOTS,
    SPARED,
    TIMESTAMP_TYPE,
    TOPICS,
    TopicSpec,
)
from streams.kafka.admin import TIMEOUT_S, Admin, listed
from streams.kafka.settings import BrokerAway, KafkaProblem, KafkaSettings

__all__ = [
    "KafkaProblem",
    "TopicStatus",
    "check_inputs",
    "check_limits",
    "check_timestamps",
    "check_topics",
    "create",
    "show",
]

BROKERS_REPLICATION = -1  # what the broker's `default.replication.factor` says
TOPIC_LIMIT = "max.message.bytes"
PRODUCER_LIMIT = "message.max.bytes"
PRODUCER_LIMIT_BYTES = 1_000_000  # librdkafka's default
DEAD_LETTER_HEADERS_BYTES = 16 * 1024  # room for headers, key and the record's own frame
TIMESTAMP_AFTER = "message.timestamp.after.max.ms"
TIMESTAMP_AFTER_MS = 3_600_000  # as much as the default of brokers from 4.0 on
TIMESTAMP_ANY_MS = 2**63 - 1  # the default before
BROKERS_PARTITIONS = -1  # what the broker's `num.partitions` says

# The loss when an operator makes the topic anew.
LOST_WITH = {
    BLOCK_EVENTS: "who is blocked now, for blockers that start later; those that run keep their blocks to the end",
    LEDGER: "the holds in force: such a number is opened again when it fires again, and no notice of its end comes",
    SNAPSHOTS: "the counters, which start empty and warm up",
    REKEYED: "records that are on their way to their number's partition",
    DERIVED: "events that are on their way to those whom they are counted for besides their number",
    SANCTIONS: "what was recommended so far",
}


@dataclass(frozen=True)
class TopicStatus:
    """A topic of ours as the broker has it. `messages` is the distance from first to last offset over all partitions;
    a compacted or transactional topic holds fewer records than that."""

    name: str
    outcome: str  # "exists", "created", "would create" or "missing"
    partitions: int
    replication: int
    messages: int | None
    purpose: str
    problems: tuple[str, ...] = ()  # the worker cannot run correctly on this
    notes: tuple[str, ...] = ()  # the operator's own choices, where they differ from ours

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def create(
    settings: KafkaSettings,
    partitions: int = 4,
    replication: int = BROKERS_REPLICATION,
    dry_run: bool = False,
    *,
    overrides: Mapping[str, str] | None = None,
    specs: Sequence[TopicSpec] = tuple(TOPICS.values()),
    timeout_s: float = TIMEOUT_S,
) -> list[TopicStatus]:
    """Makes the topics that are missing and compares those that exist; changes none that exists.

    `partitions` is for the topics that must be partitioned as the inputs are, the others get the broker's default.
    `overrides` are topic settings laid over every new topic's own. With `dry_run` the broker only checks. Raises
    KafkaProblem when the broker cannot be reached or refuses a topic; a difference that matters is in the state's
    `problems`.
    """
    from confluent_kafka.admin import NewTopic

    admin = Admin(settings, timeout_s)
    existing = admin.metadata().topics
    wanted = [
        NewTopic(
            spec.name,
            num_partitions=_partitions_of(spec, partitions),
            replication_factor=replication,
            config={**spec.config, **(overrides or {})},
        )
        for spec in specs
        if spec.name not in existing
    ]
    admin.create(wanted, dry_run)
    if not dry_run:
        admin.wait_for([spec.name for spec in specs])
    states = []
    for state, spec in zip(show(settings, specs=specs, timeout_s=timeout_s), specs, strict=True):
        if spec.name in existing:
            states.append(_with_partition_problem(state, spec, partitions))
        elif dry_run:
            planned = partitions if spec.partitions_like_input else spec.partitions
            states.append(replace(state, outcome="would create", partitions=planned, problems=()))
        else:
            states.append(replace(state, outcome="created"))
    return states


def show(
    settings: KafkaSettings, *, specs: Sequence[TopicSpec] = tuple(TOPICS.values()), timeout_s: float = TIMEOUT_S
) -> list[TopicStatus]:
    """The state of every topic of ours, in the order of `specs`. Raises KafkaProblem."""
    admin = Admin(settings, timeout_s)
    existing = admin.metadata().topics
    present = [spec for spec in specs if spec.name in existing]
    counts = {spec.name: len(existing[spec.name].partitions) for spec in present}
    configs = admin.configs([spec.name for spec in present])
    messages = admin.messages(counts)
    states = []
    for spec in specs:
        if spec.name not in existing:
            missing = ("missing: `grayline topics create` makes it",)
            states.append(TopicStatus(spec.name, "missing", 0, 0, None, spec.purpose, missing))
            continue
        replicas = [len(partition.replicas) for partition in existing[spec.name].partitions.values()]
        problems, notes = _differences(spec, configs[spec.name])
        states.append(
            TopicStatus(
                spec.name,
                "exists",
                counts[spec.name],
                min(replicas),
                messages[spec.name],
                spec.purpose,
                problems,
                notes,
            )
        )
    return states


def check_inputs(settings: KafkaSettings, topics: Iterable[str], timeout_s: float = TIMEOUT_S) -> int:
    """The one partition count that all of `topics` have. Raises KafkaProblem when there is none."""
    names = list(topics)
    return _one_count(_counts(settings, names, timeout_s))


def check_topics(
    settings: KafkaSettings,
    inputs: Iterable[str],
    *,
    specs: Sequence[TopicSpec] = tuple(TOPICS.values()),
    timeout_s: float = TIMEOUT_S,
) -> int:
    """The one partition count of `inputs`, which every topic of ours that is partitioned like them has too.

    A number's holds, state and strays are looked for in the partition that its records lie in. Raises KafkaProblem,
    with the way out, when one of the topics is missing or has another count. Inputs that nobody reads may be missing,
    and what blockers write; and what only rules about others than numbers need.
    """
    read = list(inputs)
    unused = () if DERIVED in read else (DERIVED, SANCTIONS)
    ours = [spec for spec in specs if spec.name not in (*FEEDS, *SPARED, *unused, *read)]
    counts = _counts(settings, [*read, *(spec.name for spec in ours)], timeout_s)
    count = _one_count({name: counts[name] for name in read})
    other = {spec.name: counts[spec.name] for spec in ours if spec.partitions_like_input and counts[spec.name] != count}
    if other:
        shown = ", ".join(f"{name} has {each}" for name, each in other.items())
        losses = "".join(f"\n    {name}: {LOST_WITH[name]}" for name in other if name in LOST_WITH)
        raise KafkaProblem(
            f"these topics must have as many partitions as the inputs, {count}, so that a number's holds "
            f"and state lie in its records' partition: {shown}.\nStop the workers, delete {listed(list(other))} and "
            f"make these with\n    grayline topics create --brokers {settings.brokers} --partitions {count}\n"
            f"Their records are lost with them{':' if losses else ''}{losses}"
        )
    return count


def _counts(settings: KafkaSettings, names: Sequence[str], timeout_s: float) -> dict[str, int]:
    """Partitions of each topic. Raises KafkaProblem when one is missing."""
    existing = Admin(settings, timeout_s).metadata().topics
    missing = [name for name in names if name not in existing]
    if missing:
        raise KafkaProblem(
            f"not on the broker at {settings.brokers}, or hidden from this user, who needs a right on each: "
            f"{listed(missing)}; make the missing ones with\n    grayline topics create --brokers {settings.brokers}"
        )
    return {name: len(existing[name].partitions) for name in names}


def _one_count(counts: Mapping[str, int]) -> int:
    """The count that all inputs have, 0 without inputs."""
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise KafkaProblem(
            f"the input topics must have equal partition counts, so that a number's records lie in the same partition "
            f"of each: {shown}.\nStop the producers, make the topics anew with one count (a topic whose count is only "
            "raised keeps old records where their keys no longer belong), and produce the records again"
        )
    return next(iter(counts.values()), 0)


def check_limits(settings: KafkaSettings, inputs: Iterable[str], timeout_s: float = TIMEOUT_S) -> list[str]:
    """Checks that each record that cannot be read will find room in dead-letters, and each stray in rekeyed; returns
    notes for the log.

    Both are kept whole to `DEAD_LETTER_WHOLE_BYTES`, and that much, with their headers, the topics and our own producer
    must take. Raises KafkaProblem with the command that raises the limit."""
    from streams.ingest.decode import DEAD_LETTER_WHOLE_BYTES

    needed = DEAD_LETTER_WHOLE_BYTES + DEAD_LETTER_HEADERS_BYTES
    produced = str(settings.producer().get(PRODUCER_LIMIT, PRODUCER_LIMIT_BYTES))
    if produced.isdecimal() and int(produced) < needed:
        raise KafkaProblem(
            f"`{PRODUCER_LIMIT}` is {int(produced):,}, and a dead letter has up to {needed:,} bytes with its headers; "
            f"leave the setting out ({PRODUCER_LIMIT_BYTES:,}) or raise it"
        )
    names = list(inputs)
    try:
        configs = Admin(settings, timeout_s).configs([DEAD_LETTERS, REKEYED, *names])
    except BrokerAway:
        raise
    except KafkaProblem as problem:
        return [
            f"the size limits of {DEAD_LETTERS} and {REKEYED} are not checked, which takes the right to "
            f"DescribeConfigs: {problem}"
        ]
    for name, what in ((DEAD_LETTERS, "dead letter"), (REKEYED, "stray")):
        limit = int(configs[name][TOPIC_LIMIT])
        if limit < needed:
            usual = TOPICS[name].config[TOPIC_LIMIT]
            raise KafkaProblem(
                f"topic {name} takes records of {limit:,} bytes, and a {what} has up to {needed:,} with its "
                f"headers; raise the limit with\n    kafka-configs.sh --bootstrap-server {settings.brokers} --alter "
                f"--topic {name} --add-config {TOPIC_LIMIT}={usual}"
            )
    larger = [name for name in names if int(configs[name][TOPIC_LIMIT]) > DEAD_LETTER_WHOLE_BYTES]
    if not larger:
        return []
    return [
        f"{listed(larger)} may hold records of more than {DEAD_LETTER_WHOLE_BYTES:,} bytes: of such a record that "
        f"cannot be read, {DEAD_LETTERS} keeps the beginning and the sha256"
    ]


def check_timestamps(settings: KafkaSettings, inputs: Iterable[str], timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Inputs whose records may carry any Kafka timestamp that their producers like, each with a warning in words. Such
    a timestamp vouches for a time far ahead. Raises BrokerAway. Without the right to look, nothing is known."""
    names = list(inputs)
    try:
        configs = Admin(settings, timeout_s).configs(names)
    except BrokerAway:
        raise
    except KafkaProblem:
        return {}  # `check_limits` has told it
    found = {}
    for name in names:
        after_ms = configs[name].get(TIMESTAMP_AFTER) or TIMESTAMP_ANY_MS
        if configs[name].get(TIMESTAMP_TYPE) == APPEND_TIME or int(after_ms) <= TIMESTAMP_AFTER_MS:
            continue
        found[name] = (
            f"topic {name} takes records whose Kafka timestamps are any time ahead ({TIMESTAMP_TYPE} is {CREATE_TIME}, "
            f"{TIMESTAMP_AFTER} is {int(after_ms):,}): one producer with a wrong clock can put its events into the "
            f"future. Bound them with\n    kafka-configs.sh --bootstrap-server {settings.brokers} --alter --topic "
            f"{name} --add-config {TIMESTAMP_TYPE}={APPEND_TIME}\nor, to keep the producers' times, with --add-config "
            f"{TIMESTAMP_AFTER}={TIMESTAMP_AFTER_MS}"
        )
    return found


def _partitions_of(spec: TopicSpec, partitions: int) -> int:
    return partitions if spec.partitions_like_input else spec.partitions or BROKERS_PARTITIONS


def _with_partition_problem(state: TopicStatus, spec: TopicSpec, wanted: int) -> TopicStatus:
    if not spec.partitions_like_input or state.partitions == wanted:
        return state
    problem = f"has {state.partitions} partitions, {wanted} were asked for; a partition count is never changed in place"
    return replace(state, problems=(*state.problems, problem))


def _differences(spec: TopicSpec, config: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    problems, notes = [], []
    for name, wanted in spec.config.items():
        actual = config.get(name)
        if actual == wanted:
            continue
        # Without compaction (or with it where history is kept) the topic does not mean what its readers think.
        if name == "cleanup.policy":
            problems.append(
                f"{name} is {actual}, not {wanted}: kafka-configs.sh --alter --topic {spec.name} --add-config "
                f"{name}={wanted}"
            )
        else:
            notes.append(f"{name} is {actual}, ours would be {wanted}")
    return tuple(problems), tuple(notes)
