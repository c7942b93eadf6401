"""Judges those who reported a number, after people have decided about it: entries of the registry by which each of them
counts from then on (rules/credit.py).

Who reported whom is read from `reports` and said nowhere. A judgement names its order, so that it can be repeated: what
was written before is written once more, and counts once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from rules.registry import Entry, Registry
from schemas.decoding import RecordError, decode
from schemas.feeds import FEEDS
from schemas.numbers import normalise
from schemas.registry import JUDGEMENTS, REPORT_REJECTED, REPORT_UPHELD, EntryKind
from streams.holds.registry_records import TOLD_MAX, record_of
from streams.kafka.partition import partition_of
from streams.kafka.settings import KafkaProblem, KafkaSettings
from streams.kafka.topics import check_inputs
from streams.operators.spans import committed
from streams.operators.telling import write

(REPORTED,) = (row for row in FEEDS.values() if row.judged)
DAY_MS = 86_400_000
REACH_MS = 8 * DAY_MS  # before a decision: a hold of a week, and the day of reports that led to it
KEPT_MS = 182 * DAY_MS  # a judgement ends then
JUDGED_MAX = 64  # reporters of one number: those who reported last
TOLD_KEPT = TOLD_MAX // 2  # of the entries that workers take, for what else operators tell
TIMEOUT_S = 10.0
KNOWN = "full"
VERDICTS: dict[str, EntryKind] = {"right": REPORT_UPHELD, "wrong": REPORT_REJECTED}


@dataclass(frozen=True)
class Verdict:
    """A decision about the reports of a number, of the days before `at_ms`. verdict: of VERDICTS. order: the id of the
    one by which it was given."""

    number: str  # as published
    verdict: str
    at_ms: int
    order: str
    operator: str

    @property
    def since_ms(self) -> int:
        """The time of the oldest report that it is about."""
        return self.at_ms - REACH_MS


def judged_before(told: Registry) -> list[Entry]:
    """All judgements that operators told."""
    return [entry for kind in JUDGEMENTS for entry in told.entries_of(kind)]


def judge(settings: KafkaSettings, verdict: Verdict, before: Sequence[Entry]) -> list[Entry]:
    """Writes a judgement of everybody who reported the number, and returns them. before: those written before. Raises
    KafkaProblem."""
    doubted = {entry.key for entry in before if entry.kind is REPORT_REJECTED}
    entries = judgements(verdict, reporters_of(settings, verdict), doubted)
    if len(before) + len(entries) > TOLD_KEPT:
        raise KafkaProblem(f"{TOLD_KEPT:,} judgements of reporters are in force: take old ones back first")
    if entries:
        records = (record_of(entry, verdict.order, verdict.at_ms, verdict.operator) for entry in entries)
        write(settings, records, "judgement")
    return entries


def judgements(verdict: Verdict, reporters: Sequence[int], doubted: Container[int]) -> list[Entry]:
    """An entry for each of those who reported last. doubted: keys of all who had a wrong report: a right one is noted
    only of them."""
    kind = VERDICTS[verdict.verdict]
    judged = [key for key in reporters[:JUDGED_MAX] if kind is not REPORT_UPHELD or key in doubted]
    until_ms = verdict.at_ms + KEPT_MS
    return [Entry(kind, 0, key, verdict.at_ms, until_ms, verdict.operator, verdict.order) for key in judged]


def reporters_of(settings: KafkaSettings, verdict: Verdict) -> list[int]:
    """Keys of those who reported the number from `since_ms` to `at_ms` by handsets that the network knows, the newest
    first. Raises KafkaProblem."""
    partitions = check_inputs(settings, (REPORTED.name,), TIMEOUT_S)
    partition = partition_of(verdict.number.encode(), partitions)
    newest: dict[int, int] = {}
    messages = committed(settings, REPORTED.name, [partition], verdict.since_ms)
    for report in _reports(message.value() for message in messages):
        at, reporter = int(str(report["at"])), normalise(str(report[REPORTED.judged[0]]))
        is_his = normalise(str(report[REPORTED.number])).text == verdict.number
        if is_his and report.get(str(REPORTED.known)) == KNOWN and verdict.since_ms <= at <= verdict.at_ms:
            if reporter.key > 0:  # a number: whoever has none cannot be told from others
                newest[reporter.key] = max(newest.get(reporter.key, 0), at)
    return sorted(newest, key=lambda key: (-newest[key], key))


def _reports(values: Iterable[bytes | None]) -> Iterable[dict[str, object]]:
    for value in values:
        try:
            yield decode(REPORTED.name, value, frozenset({str(REPORTED.known)}))
        except RecordError:  # a dead letter, as for the workers
            continue


@dataclass(frozen=True)
class JudgedReporter:
    """One reporter who was judged."""

    reporter: str
    upheld: int
    rejected: int
    credit: float


def standings(told: Registry, at_ms: int) -> list[JudgedReporter]:
    """Everybody with a judgement in force at this time, those who count least first."""
    from rules.credit import Credit

    credit = Credit((told,))
    upheld: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    keys: dict[str, int] = {}
    for count, kind in ((upheld, REPORT_UPHELD), (rejected, REPORT_REJECTED)):
        for entry in told.entries_of(kind):
            if entry.since_ms <= at_ms < entry.until_ms and not entry.digits:
                count[entry.number] += 1
                keys[entry.number] = entry.key
    found = [JudgedReporter(who, upheld[who], rejected[who], credit.weight(key, at_ms)) for who, key in keys.items()]
    return sorted(found, key=lambda one: (one.credit, one.reporter))
