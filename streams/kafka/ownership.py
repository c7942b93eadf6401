"""Ownership: the partitions of a worker, and the offset from which each is read.

One worker owns partition p of all topics or of none: a number's messages and calls must meet in one ledger. The `range`
assignor grants that when every member of the group subscribes to all topics and their partition counts are equal; this
module verifies it on every assignment and refuses otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.feeds import order_topics
from schemas.topics import DERIVED, LEDGER, REKEYED
from streams.ingest.epoch import Place
from streams.kafka.errors import Meaning, meaning_of
from streams.kafka.notes import noted_id, noted_ledger, noted_parts
from streams.kafka.settings import BrokerAway
from streams.kafka.topics import LOST_WITH
from streams.runtime.start_from import StartFrom

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, TopicPartition

BROKER_TIMEOUT_S = 10.0
# A killed worker's transaction holds its offsets back until the broker ends it (transaction.timeout.ms, 10 s).
STABLE_TIMEOUT_S = 30.0
SETTLE_S = 0.2

# Topics of ours: only a group that came from a version without them has never committed them.
INTERNAL = (REKEYED, DERIVED)


class Refused(Exception):
    """The worker must not read: the message says why and what would help. `exit_code` is for the command line."""

    exit_code = 2


def owned_partitions(assigned: Mapping[str, Iterable[int]]) -> frozenset[int]:
    """The partition numbers owned, given each topic's (topics without any included). Raises Refused when the topics
    differ."""
    numbers = {topic: frozenset(partitions) for topic, partitions in assigned.items()}
    if not numbers:
        return frozenset()
    common = next(iter(numbers.values()))
    if any(partitions != common for partitions in numbers.values()):
        shown = "; ".join(f"{topic}: {_listed(partitions)}" for topic, partitions in sorted(numbers.items()))
        raise Refused(
            f"this worker was assigned different partition numbers on its topics ({shown}); a number's records would "
            "be counted in two places. Every member of the group must subscribe to the same topics with the `range` "
            "assignor, and the topics must have equal partition counts"
        )
    return common


@dataclass(frozen=True)
class Start:
    """The start of reading: by the group's stable commits and the operator's choice."""

    offsets: dict[Place, int]
    fresh: frozenset[Place]  # had no usable commit: their offset is the operator's choice
    notes: dict[Place, str]  # what the last commit wrote beside its offset, "" for none
    gaps: list[str]  # alarms in words


def start_offsets(
    consumer: Consumer,
    partitions: list[TopicPartition],
    choice: StartFrom | None,
    group: str,
    ids: Mapping[str, str],
) -> Start:
    """The offset to read each partition from. ids: of the topics, for those whose id the broker tells.

    A committed offset is used as it is. A partition without one is read from `choice`; so is one whose committed
    offset the broker no longer has, and one whose topic was made anew since. Without a choice all raise Refused:
    skipping or re-reading records is the operator's decision. Raises BrokerAway, KafkaException when the broker does
    not answer."""
    offsets: dict[Place, int] = {}
    fresh: set[Place] = set()
    notes: dict[Place, str] = {}
    gaps: list[str] = []
    committed = committed_offsets(consumer, partitions, STABLE_TIMEOUT_S, group)
    is_new = all(entry.offset < 0 for entry in committed)
    for entry in committed:
        place = (entry.topic, entry.partition)
        low, high = consumer.get_watermark_offsets(entry, timeout=BROKER_TIMEOUT_S)
        is_anew = is_another(noted_id(entry.metadata), ids.get(entry.topic))
        if entry.offset >= 0 and low <= entry.offset <= high and not is_anew:
            offsets[place] = entry.offset
            notes[place] = entry.metadata or ""
            continue
        lost = entry.offset >= 0
        why = _lost(place, entry.offset, low, high, group) if lost else _never(place, group, is_new)
        if is_anew:
            why = made_anew(entry.topic)
        # A group that worked before orders were obeyed has never committed their topic.
        is_first = entry.topic in order_topics() and not (is_new or lost)
        if choice is None and (is_anew or not (is_first or entry.topic in INTERNAL)):
            raise Refused(why)
        if choice is not None:
            offsets[place] = _chosen(consumer, entry, choice, low, high)
        else:  # orders that nobody obeyed when they were given are not obeyed years later
            offsets[place] = high if is_first else low
        fresh.add(place)
        notes[place] = ""
        if lost:
            gaps.append(f"{why}; going on from offset {offsets[place]}")
    return Start(offsets, frozenset(fresh), notes, gaps)


def is_another(noted: str | None, present: str | None) -> bool:
    """True if both ids are known, and differ."""
    return bool(noted and present and noted != present)


def committed_offsets(
    consumer: Consumer, partitions: list[TopicPartition], timeout_s: float, group: str
) -> list[TopicPartition]:
    """Stable commits of the consumer's group, with the texts beside them. Asks again while the group's coordinator is
    only just being found, made (the first group of a new cluster) or loaded. Raises Refused where a right is missing,
    BrokerAway for any other reason not to tell, and when that takes longer than `timeout_s`."""
    from confluent_kafka import KafkaException

    until_s = time.monotonic() + timeout_s
    while True:
        try:
            answers = consumer.committed(partitions, timeout=timeout_s)
        except KafkaException as problem:
            error, which = problem.args[0], ""
        else:
            failed = next((entry for entry in answers if entry.error is not None), None)
            if failed is None:
                return answers
            error, which = failed.error, f" for partition {failed.partition} of {failed.topic!r}"
        if meaning_of(error) in (Meaning.NO_RIGHT, Meaning.NO_GROUP):
            raise Refused(lacks_the_group(group, error, which))
        if meaning_of(error) is not Meaning.COORDINATOR or time.monotonic() > until_s:
            raise BrokerAway(
                f"the group coordinator does not tell what group {group!r} has committed{which}: {error.str()}"
            )
        time.sleep(SETTLE_S)


def lacks_the_group(group: str, error: KafkaError, which: str = "") -> str:
    return (
        f"what group {group!r} has committed{which} cannot be read: this user lacks the right Read on the group, or on "
        f"the topic ({error.str()})"
    )


def _chosen(consumer: Consumer, entry: TopicPartition, choice: StartFrom, low: int, high: int) -> int:
    if choice.kind == "earliest" or entry.topic in INTERNAL:
        # A stray that was re-keyed behind a committed offset exists nowhere else, nor does a derived event: none is
        # ever skipped.
        return low
    if choice.kind == "latest":
        return high
    from confluent_kafka import TopicPartition

    asked = TopicPartition(entry.topic, entry.partition, choice.at_ms)
    found = consumer.offsets_for_times([asked], timeout=BROKER_TIMEOUT_S)[0].offset
    return found if found >= 0 else high  # nothing that young: from the end


def refuse_changed_count(notes: Mapping[tuple[str, int], str], partitions: int, group: str) -> None:
    """Raises Refused when the group's last commits were made with another partition count than today's.

    notes: by place, the texts beside the committed offsets; one that is not ours, or is empty, tells no count."""
    for (topic, partition), note in notes.items():
        before = noted_parts(note)
        if before and before != partitions:
            raise Refused(
                f"group {group!r} committed partition {partition} of {topic!r} when the topics had {before} "
                f"partitions, and now they have {partitions}: numbers belong to other partitions than those where "
                f"their counts, holds and published blocks lie. Either make all topics anew with {before} partitions "
                f"and go on as before. Or go on with {partitions}: stop all workers, delete `ledger`, `snapshots`, "
                f"`rekeyed`, `derived` and the output topics, make them anew with `grayline topics create --partitions "
                f"{partitions}`, and start a new --group with --from earliest, latest or TIME. The inputs' records "
                "from there on are counted again, old ones in the wrong partition included, and numbers that fire are "
                "blocked again. All other blocks are forgotten: running blockers keep them until their `until`, "
                "blockers that start later do not see them, and no notice of their end comes"
            )


def refuse_topics_made_anew(
    notes: Mapping[tuple[str, int], str], ids: Mapping[str, str], has_choice: bool, takes_new_ledger: bool
) -> None:
    """Raises Refused when a topic was made anew since the group's last commits, and the operator has not said how to go
    on. notes: as above; ids: of the topics, where the broker tells them."""
    for (topic, _), note in notes.items():
        if is_another(noted_id(note), ids.get(topic)) and not has_choice:
            raise Refused(made_anew(topic))
        if is_another(noted_ledger(note), ids.get(LEDGER)) and not takes_new_ledger:
            raise Refused(made_anew(LEDGER))


def made_anew(topic: str) -> str:
    lost = f" What is lost with the old one: {LOST_WITH[topic]}." if topic in LOST_WITH else ""
    return (
        f"topic {topic!r} was deleted and made anew: it is another topic now, and offsets in the old one mean nothing "
        f"in it. Nothing of it was counted.{lost} To go on, {_way_out(topic)}"
    )


def gone(topic: str) -> str:
    return (
        f"topic {topic!r} is no longer at the broker: `grayline topics create` makes it, as another topic. To go on "
        f"then, {_way_out(topic)}"
    )


def _way_out(topic: str) -> str:
    if topic == LEDGER:
        return "start once with --new-ledger"
    return "start once with --from earliest: the new topic is then counted from its beginning (or latest, or TIME)"


def _never(place: tuple[str, int], group: str, is_new: bool) -> str:
    why = "" if is_new else ", or its commits were deleted together with a topic that was then made anew"
    return (
        f"group {group!r} has never committed partition {place[1]} of {place[0]!r}{why}: say where to start with "
        "--from earliest, --from latest or --from TIME"
    )


def _lost(place: tuple[str, int], offset: int, low: int, high: int, group: str) -> str:
    gap = f"{low - offset} records are gone" if offset < low else "the topic seems to have been made anew"
    return (
        f"group {group!r} committed offset {offset} of partition {place[1]} of {place[0]!r}, but the broker has "
        f"{low} to {high}: {gap}. --from earliest (or latest, or TIME) says where to go on"
    )


def _listed(partitions: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(partitions))) or "none"
