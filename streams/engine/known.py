"""All that an engine knows of one number now: each rule's readings as of the number's newest event, what is in force
about it, and what stands against it. Reading changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from rules.model import MODES, Counter
from rules.registry import InForce, entry_at
from schemas.feeds import FEEDS
from schemas.numbers import normalise, published
from schemas.registry import BULK_SENDER, FALSE, KIND_OF_FIELD, TRUE
from streams.counting.counts import Counted
from streams.counting.one_number import newest_of, readings_of
from streams.counting.table import ALL, VOUCHED
from streams.engine.compiled_rule import CompiledRule
from streams.engine.contract import Known, KnownSight
from streams.holds.firings import LANES

if TYPE_CHECKING:
    from streams.engine.evaluate import Evaluator
    from streams.holds.ledger import Ledger
    from streams.holds.ledger_rows import Registration
    from streams.holds.output import Output


def known_of(
    number: int, partition: int, rules: list[CompiledRule], counted: Counted, evaluator: Evaluator, output: Output,
    ledger: Ledger,
) -> Known:  # fmt: skip
    """partition: the number's."""
    sights = list(_sights(number, partition, rules, counted, evaluator.registry, ledger.registrations.of(number)))
    holds = [(MODES[lane], output.shown(hold)) for lane in LANES for hold in ledger.in_force(number, lane)]
    rulings = [
        {"action": one.action, "rule": one.rule, "at": one.at, "until": one.until} for one in ledger.rulings.of(number)
    ]
    return Known(sights, holds, rulings, evaluator.unblockable(number))


def _sights(
    number: int, partition: int, rules: list[CompiledRule], counted: Counted, registry: InForce,
    registrations: list[Registration],
) -> Iterator[KnownSight]:  # fmt: skip
    states = counted.states
    newest = {
        reading: {topic: newest_of(state, number, reading) for topic, state in states.items()}
        for reading in (VOUCHED, ALL)
    }
    apart = any(newest[ALL].values())
    for reading in (VOUCHED, ALL) if apart else (VOUCHED,):
        for rule in rules:
            if reading == VOUCHED and apart and rule.rule.spoofable:
                continue  # it has the other reading only
            as_of = max(newest[reading][topic] or newest[VOUCHED][topic] for topic in rule.topics)
            if not as_of:
                continue
            readings: dict[Counter, tuple[np.ndarray, ...]] = {}
            for topic in rule.topics:
                readings |= readings_of(states[topic], number, reading, as_of)
            values: dict[str, float | str | None] = {
                name: float(column[0]) for name, column in rule.values(readings).items()
            }
            values |= _asked(rule, number, as_of, registry, registrations)
            lacking = frozenset(
                one.name for one in rule.readings if counted.places.lacks(one.counter, partition, as_of)
            )
            yield KnownSight(rule.rule, reading, as_of, values, lacking)


def _asked(
    rule: CompiledRule, number: int, at_ms: int, registry: InForce, registrations: list[Registration]
) -> Mapping[str, str | float]:
    """The fields that hang on the number alone: its type, and what the registry says. All others are the record's."""
    out: dict[str, str | float] = {}
    choices = dict(rule.rule.when.choices)
    for name in rule.fields:
        if any(FEEDS[topic].columns.get(name) == "number_type" for topic in rule.topics):
            out[name] = choices[name].choices[normalise(published(number)).type]
    for name in rule.listed:
        kind = KIND_OF_FIELD.get(name)
        if kind is None or kind.of:
            continue
        if kind.has_score:
            out[name] = float(registry.scores(kind, np.array([number], np.int64), np.array([at_ms], np.int64))[0])
            continue
        found = entry_at(registry, kind, number, at_ms) >= 0
        found |= kind is BULK_SENDER and any(one.since <= at_ms < one.until for one in registrations)
        out[name] = TRUE if found else FALSE
    return out
