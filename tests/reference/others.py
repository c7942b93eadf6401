"""Rules about others than the number of a record, the plain way: every event is counted for them right behind its
record, and nothing is forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from rules.model import Rule, RuleSet
from rules.units import duration_text
from streams.holds.ids import event_id
from tests.reference.admission import HOUR_MS
from tests.reference.conditions import Value, compared_with, holds, limit_at
from tests.reference.counting import Event, counts, period_ms, readings

One = int | str  # a number, a block of them, or a text
Key = tuple[str, One]  # subject, and the one of it


class OtherRules:
    def __init__(self, rules: RuleSet) -> None:
        self.version = rules.version
        self.rules = [rule for rule in rules.rules if rule.subject != "number"]
        self.newest_ms: dict[Key, int] = {}
        self.counted: defaultdict[tuple[str, str, One], list[Event]] = defaultdict(list)  # by rule, counter and key
        self.standing: dict[tuple[str, One], tuple[int, int]] = {}  # by rule and key: from, until

    def count(self, event: Event) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of what is recommended because of the event, by subject and rule."""
        for subject in sorted({rule.subject for rule in self.rules}):
            mine = [rule for rule in self.rules if rule.subject == subject]
            key = event.things.get(subject)
            if isinstance(key, int) and key <= 0:
                continue
            every = [counter for rule in mine for counter in rule.counters.values()]
            if not isinstance(key, int | str) or not any(counts(counter, event) for counter in every):
                continue
            newest_ms = max(self.newest_ms.get((subject, key), 0), event.at_ms)
            self.newest_ms[subject, key] = newest_ms
            seen = replace(event, newest_ms=newest_ms)
            for rule in mine:
                hits = [name for name, counter in rule.counters.items() if counts(counter, event)]
                for name in hits:
                    self.counted[rule.name, name, key].append(seen)
                evidence = self._fires(rule, seen, key) if hits else None
                if evidence is not None:
                    yield from self._recommend(rule, subject, key, event.at_ms, evidence)

    def _fires(self, rule: Rule, event: Event, key: One) -> list[dict[str, Any]] | None:
        read: dict[str, Value] = {}
        periods: dict[str, int] = {}
        for name, counter in rule.counters.items():
            values = readings(counter, self.counted[rule.name, name, key], event.newest_ms)
            for output, value in zip(counter.outputs, values, strict=True):
                full = f"{name}.{output}" if output else name
                read[full], periods[full] = value, period_ms(counter, output)
        limits: dict[str, Value] = {name: limit_at(limit, event.at_ms) for name, limit in rule.limits.items()}
        if not holds(rule.when.source, rule.when.names, event.fields | limits | read):
            return None
        evidence = []
        for name in sorted(rule.when.names & read.keys()):
            limit, value = compared_with(rule, name, limits), round(float(read[name] or 0), 6)
            shown = {"counter": name, "value": value, "window": duration_text(periods[name])}
            limit = None if limit is None else round(limit, 6)
            evidence.append(shown | {"limit": limit, "as_of": event.newest_ms})
        return evidence

    def _recommend(
        self, rule: Rule, subject: str, key: One, at_ms: int, evidence: list[dict[str, Any]]
    ) -> Iterator[tuple[bytes, bytes]]:
        gain_ms = max(HOUR_MS, round(0.05 * rule.period_ms))
        from_ms, until_ms = self.standing.get((rule.name, key), (at_ms, at_ms))
        change = "opened" if at_ms >= until_ms else "extended"
        if change == "opened":
            from_ms = at_ms
        elif at_ms < from_ms or at_ms + rule.period_ms - until_ms < gain_ms:
            return
        until_ms = at_ms + rule.period_ms
        name = key if isinstance(key, str) else f"+{key}xxxx" if subject == "series" else f"+{key}"
        self.standing[rule.name, key] = from_ms, until_ms
        made = {
            "event_id": event_id(f"{subject}/{name}/{rule.name}/{from_ms}", change, until_ms),
            "subject": subject,
            "name": name,
            "change": change,
            "mode": rule.mode,
            "rule": rule.name,
            "rules_version": self.version,
            "recommend": list(rule.recommend),
            "from": from_ms,
            "until": until_ms,
            "reason": rule.summary,
            "evidence": evidence,
        }
        yield name.encode(), orjson.dumps(made)
