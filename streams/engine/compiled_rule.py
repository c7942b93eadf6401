"""Compiled rules: for each, the columns that its `when` reads and their sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType

import numpy as np

from rules.expression_check import dotted
from rules.hours import Hours
from rules.kinds import KINDS, SAMPLES
from rules.model import Counter, Limit, Rule
from rules.units import duration_text
from schemas.feeds import FEEDS
from schemas.registry import REGISTRY_FIELDS
from streams.counting.table import View
from streams.engine.conditions import Programs, Values
from streams.engine.listed import Listed
from streams.ingest.fields import field_column


@dataclass(frozen=True, slots=True)
class Reading:
    """One name in a `when` that reads a counter."""

    name: str  # "gray.short"
    counter: Counter
    output: int  # place in the counter's outputs
    period: str  # its window, half-life or greatest age, as in the rule file


class Read:
    """One reading of an epoch, as its rules see it. Each question is asked once, however many rules ask it."""

    def __init__(
        self,
        views: Mapping[str, View],
        readings: Mapping[tuple[str, ...], Mapping[Counter, tuple[np.ndarray, ...]]],
        listed: Listed,
    ) -> None:
        """readings: by the topics as of whose newest times they are."""
        self.views = views
        self.listed = listed
        self._readings = readings
        self._inside: dict[tuple[int, str], np.ndarray] = {}
        self._fields: dict[tuple[str, str], np.ndarray] = {}

    def of(self, counter: Counter, topics: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        return self._readings[topics][counter]

    def inside(self, hours: Hours, topic: str) -> np.ndarray:
        """bool[n]: the events of the topic's view in these hours."""
        of = (id(hours), topic)  # by identity: comparing hours costs more than the look-up saves
        if of not in self._inside:
            self._inside[of] = hours.inside(self.views[topic].events["at"])
        return self._inside[of]

    def field(self, name: str, topic: str) -> np.ndarray:
        """A field of the record, at the events of the topic's view."""
        if (name, topic) not in self._fields:
            self._fields[name, topic] = field_column(name, self.views[topic].events.columns, slice(None))
        return self._fields[name, topic]


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a value of some `when`. Equal sources give equal values."""

    topic: str  # of the view
    topics: tuple[str, ...]  # as of whose newest times it is read; of a counter alone
    name: str  # of a field, or of an answer of the registry
    is_code: bool = False
    reading: tuple[Counter, int] | None = None  # a counter, and which of its outputs
    taken: tuple[int, float | None] = (0, None)  # samples that it needs, and the default: counters are equal without
    limit: Limit | None = None

    def put(self, values: Values, place: int, read: Read) -> None:
        if self.limit is not None:
            during = [(read.inside(hours, self.topic), value) for _, hours, value in self.limit.during]
            values.put_limit(place, self.limit.always, during)
            return
        if self.reading is not None:
            counter, output = self.reading
            outputs = read.of(counter, self.topics)
            if counter.outputs[output]:
                values.put_number(place, outputs[output])
                return
            at_least, default = self.taken
            samples = outputs[counter.outputs.index(SAMPLES)] if at_least > 1 else None
            values.put_number(place, outputs[output], samples, at_least, default)
            return
        events = read.views[self.topic].events
        column = (
            read.listed.column(self.name, events) if self.name in REGISTRY_FIELDS else read.field(self.name, self.topic)
        )
        if self.is_code:
            values.put_codes(place, column)
        else:
            values.put_number(place, column)


class CompiledRule:
    """One rule with its names resolved."""

    def __init__(self, slot: int, rule: Rule) -> None:
        self.slot = slot
        self.rule = rule
        self.topics = tuple(sorted({c.topic for c in rule.counters.values()}))
        self.counters = list(dict.fromkeys(rule.counters.values()))
        self.readings = [reading for name in sorted(rule.when.names) if (reading := _reading(rule, name)) is not None]
        self.limits: list[Limit] = [rule.limits[name] for name in sorted(rule.when.names) if name in rule.limits]
        self.fields = [
            name for name in sorted(rule.when.names) if any(name in FEEDS[topic].columns for topic in self.topics)
        ]
        self.reads_credit = any(KINDS[counter.kind].reads_credit for counter in self.counters)
        self.listed = [name for name in sorted(rule.when.names) if name in REGISTRY_FIELDS]
        self.numeric = [reading.name for reading in self.readings] + [limit.name for limit in self.limits]
        self._compared = _compared(rule)

    @property
    def alone(self) -> bool:
        """True if it reads one topic; else its counters are read as of the newest time on all of its topics."""
        return len(self.topics) == 1

    def source(self, name: str) -> Source | float:
        """The origin of the values of a name in `when`; the number that it always is."""
        of = Source(self.topics[0], (), name)
        if name in self.rule.limits:
            limit = self.rule.limits[name]
            return replace(of, limit=limit) if limit.during else float(limit.always)
        for reading in self.readings:
            if reading.name == name:
                counter = reading.counter
                return Source(
                    of.topic,
                    self.topics,
                    "",
                    reading=(counter, reading.output),
                    taken=(counter.at_least, counter.default),
                )
        return replace(of, is_code=name in dict(self.rule.when.choices))

    def columns(self, read: Read) -> dict[str, np.ndarray]:
        """Returns the columns that `when` names: readings, limits in force, fields of the record, of the registry."""
        events = read.views[self.topics[0]].events
        out = self.values({c: read.of(c, self.topics) for c in self.counters})
        out |= {limit.name: _in_force(limit, len(events["at"]), read, self.topics[0]) for limit in self.limits}
        out |= {name: read.listed.column(name, events) for name in self.listed}
        return out | {name: read.field(name, self.topics[0]) for name in self.fields}

    def values(self, readings: Mapping[Counter, tuple[np.ndarray, ...]]) -> dict[str, np.ndarray]:
        """The counters that `when` reads, by the names by which it does."""
        return {r.name: _taken(r, readings[r.counter]) for r in self.readings}

    def evidence(self, values: Mapping[str, float], as_of_ms: int) -> list[dict[str, object]]:
        """Returns every counter that was read and the value it was compared with, so that a person can recompute the
        decision.

        values: readings and limits in force, by name."""
        out = []
        for reading in self.readings:
            side = self._compared.get(reading.name)
            limit = None if side is None else float(eval(side, {"__builtins__": {}}, dict(values)))
            out.append(
                {
                    "counter": reading.name,
                    "value": round(values[reading.name], 6),
                    "window": reading.period,
                    "limit": None if limit is None else round(limit, 6),
                    "as_of": as_of_ms,
                }
            )
        return out


class CompiledRules:
    """The `when` of rules that read the same views, in one kernel."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._programs = Programs([rule.rule.when for rule in rules], lambda r, name: rules[r].source(name))

    def fired(self, looks: Sequence[np.ndarray], read: Read) -> list[np.ndarray]:
        """int64[k] for each rule: the events at which it fires, ascending, of those at which it looks (bool[n])."""
        values = self._programs.values()
        for source, place in self._programs.sources.items():
            source.put(values, place, read)
        return self._programs.fired(looks, values)


def _taken(reading: Reading, outputs: tuple[np.ndarray, ...]) -> np.ndarray:
    """float64[n]: one output of a counter, as its file says to take it: none below so many samples, and the default in
    place of none."""
    column, counter = outputs[reading.output], reading.counter
    if counter.outputs[reading.output]:
        return column
    if counter.at_least > 1:
        column = np.where(outputs[counter.outputs.index(SAMPLES)] >= counter.at_least, column, np.nan)
    return column if counter.default is None else np.where(np.isnan(column), counter.default, column)


def _in_force(limit: Limit, n: int, read: Read, topic: str) -> np.ndarray:
    """float64[n]: the limit's value at each event's own time."""
    column = np.full(n, limit.always)
    for _, hours, value in limit.during:
        column[read.inside(hours, topic)] = value
    return column


def _reading(rule: Rule, name: str) -> Reading | None:
    base, _, part = name.partition(".")
    counter = rule.counters.get(base)
    if counter is None:
        return None
    period_ms = KINDS[counter.kind].period_ms(counter, part)
    return Reading(name, counter, counter.outputs.index(part), duration_text(period_ms))


def _compared(rule: Rule) -> dict[str, CodeType]:
    """Counter name -> compiled other side of the comparison it is read in, where that side holds only limits and
    numbers. `level` in `gray.short + gray.long > level` belongs to both gray levels."""
    out: dict[str, CodeType] = {}
    for node in ast.walk(ast.parse(rule.when.source, mode="eval")):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or isinstance(node.ops[0], ast.In | ast.NotIn):
            continue  # of several values none is the limit
        sides = [node.left, node.comparators[0]]
        for side, other in (sides, sides[::-1]):
            try:
                names = {ast.unparse(n) for n in ast.walk(other) if isinstance(n, ast.Name)}
                constants = [n.value for n in ast.walk(other) if isinstance(n, ast.Constant)]
            except ValueError:
                continue
            if names <= rule.limits.keys() and all(isinstance(c, int | float) for c in constants):
                code = compile(ast.Expression(other), "<limit>", "eval")
                out |= {name: code for name in _names(side) if name.partition(".")[0] in rule.counters}
    return out


def _names(side: ast.expr) -> Iterator[str]:
    """The names that one side of a comparison reads; `gray.short` is one and not two."""
    if (name := dotted(side)) is not None:
        yield name
    else:
        for part in ast.iter_child_nodes(side):
            if isinstance(part, ast.expr):
                yield from _names(part)
