"""Evaluates rules about others than the number of a record: callees, recipients. They recommend (topic `sanctions`).

Their events have been admitted and sent on (streams/ingest/derived.py); each is evaluated as of its subject's newest
time, in one reading, over all events."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np
import orjson

from rules.model import Counter, RuleSet
from rules.registry import InForce, empty
from schemas import topics
from schemas.subjects import NUMBER, SUBJECTS
from streams.counting.others import Others
from streams.engine.compiled_rule import CompiledRule, CompiledRules, Read
from streams.engine.contract import Outcome
from streams.engine.evaluate import either_of
from streams.engine.listed import Accounts, Listed, RegisteredSenders
from streams.holds.ids import event_id
from streams.holds.sanctions import SanctionChange, Sanctions
from streams.ingest.decode import Decoded
from streams.ingest.derived import SUBJECT
from streams.ingest.epoch import OutRecord
from streams.ingest.merge import Merged

_NOTHING = InForce(empty(), empty())
_NOBODY = Listed(_NOTHING, Accounts(_NOTHING), RegisteredSenders())  # the registry is about numbers

Told = tuple[str, str, str]  # rule, mode, change


class OtherRules:
    """The rules about others, and what they have recommended."""

    def __init__(self, rules: RuleSet, compiled: list[CompiledRule], others: Others) -> None:
        self.sanctions = Sanctions()
        self._version = rules.version
        self._others = others
        self._rules = {
            subject: [rule for rule in compiled if rule.rule.subject == subject] for subject in others.states
        }
        self._together = {subject: CompiledRules(of) for subject, of in self._rules.items()}

    def __bool__(self) -> bool:
        return bool(self._rules)

    def gather(self, events: Merged, names: dict[int, str], is_here: bool) -> dict[str, Merged]:
        """See Others.gather. is_here: they are counted at once, as in a replay."""
        if is_here:
            self._others.names = names
        return self._others.gather(events, names)

    def step(self, parts: Mapping[str, Merged]) -> Iterator[tuple[Told, OutRecord]]:
        """Counts events, in their order, and evaluates the rules: the recommendations that changed, in the order of
        the records that changed them."""
        found = [self._step(subject, events) for subject, events in parts.items()]
        yield from (made for _, made in heapq.merge(*found, key=itemgetter(0)))

    def count(self, parts: Mapping[str, Merged]) -> None:
        """Counts events that were evaluated before."""
        self._others.count(parts)

    def known(self, decoded: Sequence[Decoded]) -> dict[str, Merged]:
        """By subject, an epoch's events that came by the topic `derived` and are of subjects that rules are about."""
        sent = {name: columns for part in decoded for name, columns in part.derived.items()}
        parts = {name: self._others.whole(name, columns) for name, columns in sent.items() if name in self._rules}
        for part in decoded:
            self._others.names |= part.names
        return parts

    def recommend(self, outcome: Outcome, parts: Mapping[str, Merged], partitions: int) -> None:
        """Counts events, evaluates the rules, and adds what they recommend. partitions: 0 in a replay."""
        for told, record in self.step(parts):
            outcome.records.append(record)
            outcome.changes[told] += 1
        heard = {p for events in parts.values() for p in np.unique(events["partition"]).tolist()}
        for partition in heard if partitions else ():
            self.sanctions.bury(partition, partitions, self._others.newest_ms(partition))
        outcome.ledger += self.sanctions.ledger_rows(partitions)

    def _step(self, subject: str, events: Merged) -> list[tuple[int, tuple[Told, OutRecord]]]:
        self._others.heard(events)
        state, rules = self._others.states[subject], self._rules[subject]
        view = state.view_of(events)
        hits = state.hits(view)
        known: dict[frozenset[int], np.ndarray] = {}
        wanted = {rule.slot: either_of([hits[counter] for counter in rule.counters], known) for rule in rules}
        readings: dict[Counter, tuple[np.ndarray, ...]] = {}
        for counter in state.counters:
            asked = either_of([wanted[rule.slot] for rule in rules if counter in rule.counters], known)
            readings[counter] = state.read(counter, view, hits[counter], asked)[0]
        views = {topic: view for rule in rules for topic in rule.topics}
        reading = Read(views, {rule.topics: readings for rule in rules}, _NOBODY)
        out = []
        for rule, fires in zip(rules, self._together[subject].fired(list(wanted.values()), reading), strict=True):
            columns = rule.columns(reading) if len(fires) else {}
            keys, at = events[SUBJECT][fires], events["at"][fires]
            for change in self.sanctions.fire(rule.rule.name, subject, rule.rule.period_ms, keys, at):
                i = int(fires[change.index])
                record = self._record(rule, subject, change, events, i, columns, int(view.as_of[i]))
                told = rule.rule.name, rule.rule.mode, change.change
                out.append((int(events["line"][i]), rule.slot, i, (told, record)))
        return [(line, made) for line, _, _, made in sorted(out, key=lambda found: (found[2], found[1]))]

    def _record(
        self,
        compiled: CompiledRule,
        subject: str,
        change: SanctionChange,
        events: Merged,
        i: int,
        columns: Mapping[str, np.ndarray],
        as_of_ms: int,
    ) -> OutRecord:
        rule, name = compiled.rule, SUBJECTS[subject].named(change.key, self._others.names)
        evidence = compiled.evidence({name: float(columns[name][i]) for name in compiled.numeric}, as_of_ms)
        for reading, shown in zip(compiled.readings, evidence, strict=True):
            if self._others.lacks(reading.counter, int(events["partition"][i]), as_of_ms):
                shown["warming"] = True
        recommended = f"{subject}/{name}/{rule.name}/{change.from_ms}"
        value = {
            "event_id": event_id(recommended, change.change, change.until_ms),
            "subject": subject,
            "name": name,
            "change": change.change,
            "mode": rule.mode,
            "rule": rule.name,
            "rules_version": self._version,
            "recommend": list(rule.recommend),
            "from": change.from_ms,
            "until": change.until_ms,
            "reason": rule.summary,
            "evidence": evidence,
        }
        return OutRecord(topics.SANCTIONS, name.encode(), orjson.dumps(value))


def about_numbers(compiled: list[CompiledRule]) -> list[CompiledRule]:
    """The rules whose firings lead to holds."""
    return [rule for rule in compiled if rule.rule.subject == NUMBER.name]
