"""A pilot of emergency blocking: three weeks of reports at the published size, and the traffic of the numbers that they
are about, with the truth about each number and each report.

Published are 145,027 reports that led to 5,249 numbers within about three weeks, that duplicates and mistakes are among
them, and that malicious false reports occur. The shares of these, whom they are about and how people behave are ours;
docs/emergency.md says which. Nobody is blocked in it: whoever would be goes on, and is reported on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from schemas.topics import CDR, MESSAGE_RELAY, REPORTS, TRAPS
from streams.traffic.pilot_people import (
    DAY_MS,
    HOUR_MS,
    INNOCENTS,
    OFFENDERS,
    Acts,
    Person,
    Story,
)
from streams.traffic.rows import TrafficRecord
from streams.traffic.witnesses import (
    DELAY_MEDIAN_MS,
    DELAY_SPREAD,
    DEPTHS,
    DUPLICATES,
    MISTAKES,
    SECOND_TAP_MS,
    ReportLabel,
)

REPORTS_MADE = 145_027
START_MS = 1_793_545_200_000  # Monday 2026-11-02, midnight in Korea
TRUE_EACH = 13.0  # reports of an offender, on average, before what is wrong is added
KNOWN_HANDSETS = 0.85  # of honest reporters: the others write into a form on the web
ACCOUNTS = 300  # of those who brigade others; they come again
PEOPLE, PEOPLE_FIRST = 3_000_000, 82_10_2000_0000
NUMBERS_FIRST = {
    "mobile": 82_10_6000_0000,
    "voip": 82_70_4000_0000,
    "landline": 82_2_3000_0000,
    "foreign": 44_7400_000_000,
}


@dataclass(frozen=True)
class Registered:
    """The part of the registry that the pilot's numbers have."""

    bulk_senders: frozenset[int]
    institutions: frozenset[int]
    allowed: frozenset[int]


@dataclass
class ReportColumns:
    """Reports in the making, columns."""

    at: list[np.ndarray] = field(default_factory=list)
    number: list[np.ndarray] = field(default_factory=list)
    reporter: list[np.ndarray] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)
    kind: list[np.ndarray] = field(default_factory=list)  # place in KINDS

    def add(self, at: np.ndarray, number: int, reporter: np.ndarray, known: np.ndarray, kind: int) -> None:
        self.at.append(at.astype(np.int64))
        self.number.append(np.full(len(at), number, np.int64))
        self.reporter.append(reporter.astype(np.int64))
        self.known.append(known)
        self.kind.append(np.full(len(at), kind, np.int64))

    @property
    def made(self) -> int:
        return sum(map(len, self.at))


KINDS = ("true", "duplicate", "mistake", "malicious")
TRUE, DUPLICATE, MISTAKE, MALICIOUS = range(len(KINDS))


class Pilot:
    """Made whole at once; `records()` tells it in time order."""

    def __init__(self, seed: int, size: float = 1.0) -> None:
        """size: of the published number of reports."""
        self._rng = np.random.default_rng([seed, 14])
        self.reports_made = round(REPORTS_MADE * size)
        self._size = size
        self._next = {kind: count(first) for kind, first in NUMBERS_FIRST.items()}
        self._told = ReportColumns()
        self._acts: list[tuple[int, Acts]] = []
        self.people: list[Person] = []
        self._accounts = self._strangers(max(60, round(ACCOUNTS * size)))
        self._offend()
        self._live()
        self._double()
        self._reports = self._columns()

    # -- who there is

    def _offend(self) -> None:
        offenders = self.reports_made * (1 - DUPLICATES - MISTAKES - 0.2) / TRUE_EACH
        for story in OFFENDERS:
            for _ in range(round(offenders * story.share)):
                self._reported(self._person(story))

    def _live(self) -> None:
        """Innocents: those who are reported by mistake, those whom somebody wants to harm."""
        wanted = round(self.reports_made * MISTAKES)
        for story in INNOCENTS:
            for _ in range(max(1, round(story.share * self._size))):
                self._wrong(self._person(story))
        subscriber = next(story for story in INNOCENTS if story.kind == "subscriber")
        while wanted > 0:
            person = self._person(subscriber)
            wanted -= self._mistaken(person, 1 + int(self._rng.random() < 0.15))
        floods = [person for person in self.people if person.story.floods]
        left = self.reports_made - round(self.reports_made * DUPLICATES) - self._told.made
        for person, some in zip(floods, self._parts(max(left, 0), len(floods)), strict=True):
            self._flood(person, some)

    def _person(self, story: Story) -> Person:
        rng = self._rng
        number = next(self._next[rng.choice(list(story.lines))])
        begin = START_MS + int(rng.integers(0, 20)) * DAY_MS
        person = Person(number, story, begin)
        acts = story.acts(rng, begin)
        peers = PEOPLE_FIRST + rng.integers(0, PEOPLE, len(acts.at))
        acts.peer = np.where(rng.random(len(acts.at)) < story.regulars, PEOPLE_FIRST + number % 1_000 * 8, peers)
        self._acts.append((number, acts))
        self.people.append(person)
        person.acts = acts
        return person

    # -- who says what of them

    def _reported(self, person: Person) -> None:
        rng, acts = self._rng, person.acts
        some = min(int(rng.geometric(1 / TRUE_EACH)), 60, max(len(acts.at), 1))
        whom = rng.choice(len(acts.at), some, replace=False) if len(acts.at) else np.empty(0, np.int64)
        self._told.add(acts.at[whom] + self._delays(some), person.number, acts.peer[whom], self._known(some), TRUE)

    def _mistaken(self, person: Person, some: int) -> int:
        at = person.begin_ms + self._rng.integers(9, 20, some) * HOUR_MS + self._delays(some)
        self._told.add(at, person.number, self._strangers(some), self._known(some), MISTAKE)
        return some

    def _wrong(self, person: Person) -> None:
        """The reports of an innocent that his kind meets with, floods apart."""
        rng, story = self._rng, person.story
        low, high = story.reported
        some = int(rng.integers(low, high + 1))
        if not some or story.floods:
            return
        if story.annoys:  # those who were reached report it, though nothing is wrong
            whom = rng.choice(len(person.acts.at), min(some, len(person.acts.at)), replace=False)
            at, reporter = person.acts.at[whom] + self._delays(len(whom)), person.acts.peer[whom]
            self._told.add(at, person.number, reporter, self._known(len(whom)), MISTAKE)
            return
        at = person.begin_ms + 10 * HOUR_MS + rng.integers(0, story.within_h * HOUR_MS, some)
        whom = self._accounts if story.brigaded else self._strangers(max(1, round(some * story.reporters)))
        reporter = rng.choice(whom, some, replace=not story.brigaded)
        self._told.add(at, person.number, reporter, rng.random(some) < story.known, MALICIOUS)

    def _flood(self, person: Person, some: int) -> None:
        """Thousands of reports, of few reporters or of ever fresh ones, within an hour or a day."""
        rng = self._rng
        few = rng.random() < 0.4
        reporter = self._strangers(int(rng.integers(3, 30)) if few else some)
        within = HOUR_MS * int(rng.integers(1, 24))
        at = person.begin_ms + 10 * HOUR_MS + rng.integers(0, within, some)
        self._told.add(at, person.number, reporter[rng.integers(0, len(reporter), some)],
                       rng.random(some) < rng.choice([0.0, 0.1, 0.9]), MALICIOUS)  # fmt: skip

    def _double(self) -> None:
        """Duplicates: half are delivered twice, half are another tap with another id."""
        told, some = self._told, self.reports_made - self._told.made
        at = np.concatenate(told.at)
        self._again = self._rng.integers(0, len(at), some)
        self._later = at[self._again] + self._rng.integers(1_000, SECOND_TAP_MS, some)
        self._is_tap = self._rng.random(some) < 0.5

    def _columns(self) -> dict[str, np.ndarray]:
        told, again = self._told, self._again
        one = {name: np.concatenate(getattr(told, name)) for name in ("at", "number", "reporter", "known", "kind")}
        n = len(one["at"])
        out = {name: np.concatenate([column, column[again]]) for name, column in one.items()}
        out["kind"][n:] = DUPLICATE
        out["arrives"] = np.concatenate([one["at"], self._later])
        out["at"][n:] = np.where(self._is_tap, self._later, one["at"][again])
        out["id"] = np.concatenate([np.arange(n), np.where(self._is_tap, n + np.arange(len(again)), again)])
        order = np.argsort(out["arrives"], kind="stable")
        return {name: column[order] for name, column in out.items()}

    # -- what is told

    def records(self) -> Iterator[TrafficRecord]:
        """In the order of their times."""
        makers: list[tuple[np.ndarray, Callable[[int], TrafficRecord]]] = [(self._reports["arrives"], self._report)]
        for messages in (True, False):
            columns = _joined(self._acts, messages)
            makers.append((columns[0], _contact(columns, messages)))
        hits = self._hits()
        makers.append((hits[0], _hit(hits)))
        at = np.concatenate([times for times, _ in makers])
        of = np.repeat(np.arange(len(makers)), [len(times) for times, _ in makers])
        place = np.concatenate([np.arange(len(times)) for times, _ in makers])
        order = np.argsort(at, kind="stable")
        makes = [make for _, make in makers]
        for which, row in zip(of[order].tolist(), place[order].tolist(), strict=True):
            yield makes[which](row)

    def report_labels(self) -> Iterator[ReportLabel]:
        """The truth about each report, in the order in which they come."""
        r = self._reports
        for i in range(len(r["at"])):
            yield ReportLabel(f"r{r['id'][i]}", int(r["arrives"][i]), f"+{r['number'][i]}", f"+{r['reporter'][i]}",
                              KINDS[r["kind"][i]])  # fmt: skip

    def reports(self) -> dict[str, np.ndarray]:
        """Columns of the reports in the order in which they come: at, arrives, number, reporter, known, kind, id."""
        return self._reports

    def registered(self) -> Registered:
        def of(name: str) -> frozenset[int]:
            return frozenset(p.number for p in self.people if p.story.listed == name)

        return Registered(of("bulk_sender"), of("institution"), of("allowed"))

    def _report(self, i: int) -> TrafficRecord:
        r = self._reports
        at, number = int(r["at"][i]), b"+%d" % r["number"][i]
        value = b'{"report_id":"r%d","at":%d,"number":"%b","reporter":"+%d","reporter_known":"%b"}' % (
            r["id"][i], at, number, r["reporter"][i], b"full" if r["known"][i] else b"none",
        )  # fmt: skip
        return TrafficRecord(REPORTS, number, int(r["arrives"][i]), value)

    def _hits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times, numbers and traps: one contact in a hundred of those who reach strangers at random."""
        at, number = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for person in self.people:
            times = person.acts.at[self._rng.random(len(person.acts.at)) < person.story.trapped]
            at.append(times + 500)
            number.append(np.full(len(times), person.number, np.int64))
        numbers = np.concatenate(number)
        return np.concatenate(at), numbers, self._rng.integers(0, 40, len(numbers))

    def _delays(self, n: int) -> np.ndarray:
        return self._rng.lognormal(np.log(DELAY_MEDIAN_MS), DELAY_SPREAD, n).astype(np.int64)

    def _known(self, n: int) -> np.ndarray:
        return self._rng.random(n) < KNOWN_HANDSETS

    def _strangers(self, n: int) -> np.ndarray:
        return PEOPLE_FIRST + self._rng.integers(0, PEOPLE, n)

    def _parts(self, total: int, parts: int) -> list[int]:
        """So many whole numbers, which add up to the total."""
        shares = self._rng.dirichlet(np.full(parts, 3.0)) if parts else np.empty(0)
        out = np.floor(shares * total).astype(int).tolist()
        if out:
            out[-1] += total - sum(out)
        return out


def _joined(acts: list[tuple[int, Acts]], messages: bool) -> tuple[np.ndarray, ...]:
    """Times of arrival, begin, talk, numbers, peers and who vouches, of all messages or of all calls."""
    mine = [(number, one, one.is_message == messages) for number, one in acts]
    at = np.concatenate([one.at[here] for _, one, here in mine])
    talk = np.concatenate([one.talk_ms[here] for _, one, here in mine])
    number = np.concatenate([np.full(int(here.sum()), number, np.int64) for number, _, here in mine])
    peer = np.concatenate([one.peer[here] for _, one, here in mine])
    vouched = np.concatenate([one.vouched[here] for _, one, here in mine])
    ends = at if messages else at + 8_000 + np.maximum(talk, 0)
    return ends, at, talk, number, peer, vouched


def _contact(columns: tuple[np.ndarray, ...], messages: bool) -> Callable[[int], TrafficRecord]:
    ends, at, talk, number, peer, vouched = columns
    said = (b'"verified":"none","origin":"international"', b'"verified":"full","origin":"domestic"')

    def message(i: int) -> TrafficRecord:
        key = b"+%d" % number[i]
        value = b'{"message_id":"m%d","at":%d,"sender":"%b","recipient":"+%d",%b}' % (
            i, at[i], key, peer[i], said[int(vouched[i])],
        )  # fmt: skip
        return TrafficRecord(MESSAGE_RELAY, key, int(at[i]), value)

    def call(i: int) -> TrafficRecord:
        key, end = b"+%d" % number[i], int(ends[i])
        answered = b'"answer_at":%d,' % (at[i] + 8_000) if talk[i] >= 0 else b""
        value = (
            b'{"call_id":"c%d","event":"complete","at":%d,"caller":"%b","callee":"+%d",'
            b'"setup_at":%d,%b"release_at":%d,%b}' % (i, end, key, peer[i], at[i], answered, end, said[int(vouched[i])])
        )
        return TrafficRecord(CDR, key, end, value)

    return message if messages else call


def _hit(hits: tuple[np.ndarray, ...]) -> Callable[[int], TrafficRecord]:
    at, number, trap = hits
    depths = [depth.encode() for depth in DEPTHS]

    def hit(i: int) -> TrafficRecord:
        key = b"+%d" % number[i]
        value = b'{"at":%d,"sender":"%b","trap":"+8260000%04d","depth":"%b"}' % (
            at[i], key, trap[i], depths[trap[i] % len(depths)],
        )  # fmt: skip
        return TrafficRecord(TRAPS, key, int(at[i]), value)

    return hit
