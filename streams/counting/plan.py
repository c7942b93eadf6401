"""The plan of counting for a set of rules: the counters of each topic, and the memories that they need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rules.kinds import KINDS
from rules.model import Counter, RuleSet
from schemas.feeds import FEEDS
from schemas.subjects import NUMBER, SUBJECTS
from schemas.topics import DERIVED


@dataclass(frozen=True)
class Plan:
    """counters: by topic, each once, in the order of the rules; none of a topic that no rule about numbers counts.
    others: the counters per other subjects, likewise, by subject. other_columns: those that
    the conditions of such counters and of their rules read. crosses: some rule about numbers reads several
    topics. reads_duration: something looks at how long calls lasted, so that answers are remembered."""

    counters: dict[str, list[Counter]]
    others: dict[str, list[Counter]]
    other_columns: tuple[str, ...]
    crosses: bool
    reads_duration: bool

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self.counters)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Topics whose records are read, checked and told apart, and count for no number."""
        return tuple(topic for topic, counters in self.counters.items() if not counters)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Those of them whose records count for nobody else either."""
        counted = {counter.topic for counters in self.others.values() for counter in counters}
        return tuple(topic for topic in self.uncounted if topic not in counted)


def plan_of(rules: RuleSet, also: Collection[str] = ()) -> Plan:
    """also: topics that are read besides, whether rules count them or not."""
    every = dict.fromkeys(c for rule in rules.rules for c in rule.counters.values())
    of_numbers = [counter for counter in every if counter.subject == NUMBER.name]
    crossing = (rule for rule in rules.rules if rule.subject == NUMBER.name)
    return Plan(
        {topic: [c for c in of_numbers if c.topic == topic] for topic in sorted({*rules.topics, *also} - {DERIVED})},
        {subject: [c for c in every if c.subject == subject] for subject in rules.others},
        tuple(sorted(_read_by_others(rules))),
        any(len({c.topic for c in rule.counters.values()}) > 1 for rule in crossing),
        any("duration" in rule.when.names for rule in rules.rules) or any(map(_reads_duration, every)),
    )


def named_by_text(others: Mapping[str, list[Counter]]) -> dict[str, frozenset[str]]:
    """By topic, the fields that name by a text whom counters are per."""
    named = [counter for subject, counters in others.items() if SUBJECTS[subject].is_text for counter in counters]
    return {topic: frozenset(c.per for c in named if c.topic == topic) for topic in {c.topic for c in named}}


def _read_by_others(rules: RuleSet) -> set[str]:
    """The columns of fields that the conditions of rules about others than numbers read, and of their counters."""
    out = set()
    for rule in rules.rules:
        if rule.subject != NUMBER.name:
            for counter in rule.counters.values():
                columns = FEEDS[counter.topic].columns
                conditions = (rule.when, counter.where, counter.condition)
                names = {name for asked in conditions if asked is not None for name in asked.names}
                out |= {columns[name] for name in names & columns.keys()}
    return out | ({"peer"} if "peer_type" in out else set())


def value_columns(counter: Counter) -> tuple[str, ...]:
    """The columns of what a counter looks at in an event, the first that is present."""
    return KINDS[counter.kind].value_columns(counter, FEEDS[counter.topic])


def weights(counter: Counter) -> tuple[int, ...]:
    """The amount that an event adds, by the code in its value column; () where the value itself is the amount."""
    return KINDS[counter.kind].weights(counter, FEEDS[counter.topic])


def _reads_duration(counter: Counter) -> bool:
    where = counter.where.names if counter.where is not None else ()
    return "duration" in where or "duration" in value_columns(counter)
