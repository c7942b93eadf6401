"""Tests of rules: records at given times, what rules must make of them, and which limits must be in force when.

A test file (streams/craft/rule_test_file.py reads it) lies beside its rule file. A test runs its records through a
trial and compares: a rule that it expects does what is listed and opens nothing else; a rule that it excludes opens
nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

import orjson

from rules.filled import in_force
from rules.model import RuleSet
from streams.craft.trial import HoldChange, Trial
from streams.ingest.epoch import OutRecord

OPENED = "opened"
SHOWN_MAX = 5  # of what happened instead


@dataclass(frozen=True, slots=True)
class SentRecord:
    """A record that arrives. line: of its event in the test file."""

    arrives_ms: int
    topic: str
    value: dict[str, int | str]
    line: int


@dataclass(frozen=True, slots=True)
class ExpectedChange:
    """A change that a rule must make; what is None may be anything."""

    line: int
    rule: str
    mode: str
    change: str
    number: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None

    def matches(self, got: HoldChange) -> bool:
        pairs = ((self.number, got.number), (self.from_ms, got.from_ms), (self.until_ms, got.until_ms))
        same = (self.rule, self.mode, self.change) == (got.rule, got.mode, got.change)
        return same and all(wanted is None or wanted == found for wanted, found in pairs)


@dataclass(frozen=True, slots=True)
class ExpectedLimit:
    """The value that a rule's limit must have at a moment."""

    line: int
    rule: str
    limit: str
    at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test. none: rules that must open nothing. none_else: nor any that is not expected to. exact: every change of
    every rule is listed, in order."""

    file: str
    line: int
    name: str
    rules: RuleSet
    zone: tzinfo
    records: tuple[SentRecord, ...]
    expected: tuple[ExpectedChange, ...]
    limits: tuple[ExpectedLimit, ...]
    none: frozenset[str]
    none_line: int
    none_else: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """line: in the test file, of what was not met."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """A test and all that failed in it; it passed without failures."""

    test: RuleTest
    failures: tuple[Failure, ...]

    __test__ = False  # no class of pytest's


def run_test(test: RuleTest, region: str = "KR", batch_lines: int = 10_000) -> TestVerdict:
    """Runs one test by itself. batch_lines: where epochs end, which changes no verdict."""
    got, letters = changes_of(test, region, batch_lines)
    failures = [*_unread(test, letters), *_limits(test)]
    if test.exact:
        failures += _in_order(test, got)
    else:
        failures += [*_missing_and_more(test, got), *_excluded(test, got)]
    return TestVerdict(test, tuple(sorted(failures, key=lambda failure: failure.line)))


def changes_of(
    test: RuleTest, region: str = "KR", batch_lines: int = 10_000
) -> tuple[list[HoldChange], list[OutRecord]]:
    """All that the rules do about the test's records, and the dead letters among them."""
    got: list[HoldChange] = []
    letters: list[OutRecord] = []
    if test.records:
        trial = Trial(test.rules, got.append, region=region, batch_lines=batch_lines, dead=letters.append)
        trial.run(lines_of(test.records), test.file)
    return got, letters


def untested(tests: Iterable[RuleTest], rules: Iterable[RuleSet]) -> list[tuple[str, str]]:
    """(rule, what no test shows of it), for every rule that lacks something: a test in which it must fire, one in which
    it must not, and, where hours change a limit, the limit inside each of the hours and outside."""
    tests = list(tests)
    fires = {expected.rule for test in tests for expected in test.expected if expected.change == OPENED}
    spares = {rule for test in tests for rule in test.none}
    seen = {(limit.rule, limit.limit, hours) for test in tests for limit, hours in _hours_seen(test)}
    out = []
    for rule in {rule.name: rule for ruleset in rules for rule in ruleset.rules}.values():
        out += [(rule.name, "no test in which it must fire")] * (rule.name not in fires)
        out += [(rule.name, "no test in which it must not (`none`)")] * (rule.name not in spares)
        for limit in rule.limits.values():
            for hours in ("", *(name for name, _, _ in limit.during)) if limit.during else ():
                if (rule.name, limit.name, hours) not in seen:
                    when = f"in hours `{hours}`" if hours else "outside its hours"
                    out.append((rule.name, f"no test of limit `{limit.name}` {when}"))
    return out


def _hours_seen(test: RuleTest) -> Iterator[tuple[ExpectedLimit, str]]:
    by_name = {rule.name: rule for rule in test.rules.rules}
    for limit in test.limits:
        yield limit, in_force(by_name[limit.rule].limits[limit.limit], limit.at_ms)[1]


def lines_of(records: Sequence[SentRecord]) -> Iterator[bytes]:
    """As kcat prints them, one partition, offsets as they arrive."""
    for offset, record in _placed(records):
        line = {"topic": record.topic, "partition": 0, "offset": offset, "ts": record.arrives_ms}
        yield orjson.dumps(line | {"payload": orjson.dumps(record.value).decode()})


def _placed(records: Sequence[SentRecord]) -> Iterator[tuple[int, SentRecord]]:
    """Each record behind its offset in its topic."""
    offsets: Counter[str] = Counter()
    for record in records:
        yield offsets[record.topic], record
        offsets[record.topic] += 1


def _unread(test: RuleTest, letters: Sequence[OutRecord]) -> Iterator[Failure]:
    """A failure for each record that no rule sees, since it cannot be understood: a test of nothing passes too
    easily."""
    topics = set(test.rules.topics)
    unread = next((record for record in test.records if record.topic not in topics), None)
    if unread is not None:
        yield Failure(unread.line, f"no rule of these reads {unread.topic}")
    by_place = {(record.topic, str(offset)): record.line for offset, record in _placed(test.records)}
    for letter in letters:
        told = {name: value.decode(errors="replace") for name, value in letter.headers}
        topic, offset, why = (
            told.get(f"__connect.errors.{name}", "") for name in ("topic", "offset", "exception.message")
        )
        yield Failure(by_place.get((topic, offset), test.line), f"the record cannot be understood: {why}")


def _limits(test: RuleTest) -> Iterator[Failure]:
    by_name = {rule.name: rule for rule in test.rules.rules}
    for wanted in test.limits:
        value, hours = in_force(by_name[wanted.rule].limits[wanted.limit], wanted.at_ms)
        if value != wanted.value:
            why = f"in hours `{hours}`" if hours else "outside all hours"
            at = _time(wanted.at_ms, test.zone)
            message = f"limit `{wanted.limit}` of {wanted.rule} is {value:g} at {at} ({why}), not {wanted.value:g}"
            yield Failure(wanted.line, message)


def _in_order(test: RuleTest, got: Sequence[HoldChange]) -> Iterator[Failure]:
    for place, wanted in enumerate(test.expected):
        found = got[place] if place < len(got) else None
        if found is None or not wanted.matches(found):
            yield Failure(wanted.line, f"not as expected: {_said(found, test.zone) if found else 'nothing happens'}")
            return
    if more := got[len(test.expected) :]:
        yield Failure(test.line, f"not expected: {_list(more, test.zone)}")


def _missing_and_more(test: RuleTest, got: Sequence[HoldChange]) -> Iterator[Failure]:
    """Each kind of change that a test names of a rule is listed whole, openings always."""
    by_rule: dict[str, list[ExpectedChange]] = {}
    for wanted in test.expected:
        by_rule.setdefault(wanted.rule, []).append(wanted)
    for rule, listed in by_rule.items():
        kinds = {OPENED, *(wanted.change for wanted in listed)}
        left = [change for change in got if change.rule == rule and change.change in kinds]
        missing = []
        for wanted in sorted(listed, key=lambda w: (w.number is None) + (w.from_ms is None) + (w.until_ms is None)):
            found = next((i for i, change in enumerate(left) if wanted.matches(change)), None)
            if found is None:
                missing.append(wanted)
            else:
                del left[found]
        for wanted in missing:
            instead = f"what it does: {_list(left, test.zone)}" if left else "it does nothing"
            of = f" {wanted.number}" if wanted.number else ""
            yield Failure(wanted.line, f"{rule} ({wanted.mode}) has not {wanted.change}{of} as expected; {instead}")
        if left and not missing:
            yield Failure(listed[0].line, f"not expected of {rule}: {_list(left, test.zone)}")


def _excluded(test: RuleTest, got: Sequence[HoldChange]) -> Iterator[Failure]:
    expected = {wanted.rule for wanted in test.expected}
    opened = [change for change in got if change.change == OPENED]
    for rule in dict.fromkeys(change.rule for change in opened):
        if rule in test.none or (test.none_else and rule not in expected):
            mine = [change for change in opened if change.rule == rule]
            yield Failure(test.none_line, f"{rule} must not fire: {_list(mine, test.zone)}")


def _list(changes: Sequence[HoldChange], zone: tzinfo) -> str:
    more = len(changes) - SHOWN_MAX
    return "; ".join(_said(change, zone) for change in changes[:SHOWN_MAX]) + (f"; and {more} more" if more > 0 else "")


def _said(change: HoldChange, zone: tzinfo) -> str:
    times = f"from {_time(change.from_ms, zone)} until {_time(change.until_ms, zone)}"
    return f"{change.change} {change.number} by {change.rule} ({change.mode}) {times}"


def _time(at_ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at_ms / 1000, zone).isoformat(timespec="milliseconds").replace(".000", "")
