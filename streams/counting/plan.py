"""The plan of counting for a set of rules: the counters of each topic, and the memories that they need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rules.kinds import KINDS
from rules.model import Counter, RuleSet
from schemas.feeds import FEEDS


@dataclass(frozen=True)
class Plan:
    """counters: by topic, each once, in the order of the rules; none of a topic that is read and not counted. crosses:
    some rule reads several topics.
    reads_duration: something looks at how long calls lasted, so that answers are remembered."""

    counters: dict[str, list[Counter]]
    crosses: bool
    reads_duration: bool

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self.counters)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Topics whose records are read, checked and told apart, and count nowhere."""
        return tuple(topic for topic, counters in self.counters.items() if not counters)


def plan_of(rules: RuleSet, also: Collection[str] = ()) -> Plan:
    """also: topics that are read besides, whether rules count them or not."""
    distinct = dict.fromkeys(c for rule in rules.rules for c in rule.counters.values())
    return Plan(
        {topic: [c for c in distinct if c.topic == topic] for topic in sorted({*rules.topics, *also})},
        any(len({c.topic for c in rule.counters.values()}) > 1 for rule in rules.rules),
        any("duration" in rule.when.names for rule in rules.rules) or any(map(_reads_duration, distinct)),
    )


def value_columns(counter: Counter) -> tuple[str, ...]:
    """The columns of what a counter looks at in an event, the first that is present."""
    return KINDS[counter.kind].value_columns(counter, FEEDS[counter.topic])


def weights(counter: Counter) -> tuple[int, ...]:
    """The amount that an event adds, by the code in its value column; () where the value itself is the amount."""
    return KINDS[counter.kind].weights(counter, FEEDS[counter.topic])


def _reads_duration(counter: Counter) -> bool:
    where = counter.where.names if counter.where is not None else ()
    return "duration" in where or "duration" in value_columns(counter)
