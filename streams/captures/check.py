"""Checks samples against the schemas: every field of every record, not only those that loaded rules read.

Reports show the shape of a value (digits as 9, letters as a) and the masked form of a number: samples are personal
data, and reports of them are passed around.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain, islice
from typing import Any

from schemas import decoding
from schemas.codes import NUMBER_TYPES
from schemas.envelopes import envelope_seen
from schemas.feed_settings import NO_BOOK, FeedBook
from schemas.feeds import FEEDS
from schemas.numbers import masked, normalise
from schemas.objects import ObjectError, read_pairs
from schemas.printable import printable
from schemas.times import TimeError, parse_time
from streams.captures.convert.suggest import alike, command_line, fitting
from streams.captures.number_hints import HINTS, better_format
from streams.captures.rows import CaptureError
from streams.captures.samples import Item, Sample
from streams.ingest.feed_codes import OTHERS, Feeds, name_of
from streams.ingest.feed_effects import FeedEffects

GUESSED_FROM = 200  # records
PLACES_KEPT = 3  # examples of where a field is wrong
UNKNOWN_NAMES_MAX = 100
FEEDS_SHOWN_MAX = 100
IDS_MAX = 5_000_000
SHAPE_CHARACTERS_MAX = 40


@dataclass(slots=True)
class Problem:
    """One thing wrong. field: None when it is about the record as a whole; looks_like: the value's shape."""

    file: str
    line: int
    topic: str | None
    code: str
    field: str | None
    reason: str
    looks_like: str | None = None

    def __str__(self) -> str:
        what = f"{self.field}: {self.reason}" if self.field else self.reason
        shown = f" (looks like {self.looks_like})" if self.looks_like is not None else ""
        return f"{self.file}:{self.line}: {what}{shown}"


@dataclass(slots=True)
class FieldTally:
    """Counts of one field over all records. The schema takes null for absent; here they are counted apart."""

    required: bool
    present: int = 0
    absent: int = 0
    null: int = 0
    bad: int = 0
    places: list[str] = field(default_factory=list)  # of the first that were bad
    right: dict[str, str] = field(default_factory=dict)  # by code: what is wrong and what would be right
    numbers: Counter[str] = field(default_factory=Counter)  # of a field with numbers: by type
    formats: Counter[str] = field(default_factory=Counter)  # digits that are no number, by format in which they are one


@dataclass(slots=True)
class TopicTally:
    records: int = 0
    bad_records: int = 0  # would be dead letters
    flawed_records: int = 0  # would count without their flawed fields
    feeds: dict[str, Counter[str]] = field(default_factory=dict)  # by feed: records, bad, flawed
    repeated_ids: int = 0
    first_repeated: str = ""
    fields: dict[str, FieldTally] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)  # fields that are not in the schema


class Check:
    """Checks samples one after another; its attributes hold the findings."""

    def __init__(
        self, topic: str | None = None, region: str = "KR", problems_max: int = 20, feeds: FeedBook = NO_BOOK
    ) -> None:
        """topic: the topic of all records; without it each sample names its own, or it is guessed from the fields.
        feeds: what is known of those who deliver."""
        self.topics: dict[str, TopicTally] = {}
        self.problems: list[Problem] = []
        self.codes: Counter[str] = Counter()
        self.taken_as: list[str] = []  # a sentence for each sample
        self._topic, self._region, self._problems_max = topic, region, problems_max
        codes = Feeds(feeds)
        self._effects = {name: FeedEffects(codes, name, region) for name in FEEDS}
        self._ids: set[tuple[str, object, object]] = set()

    @property
    def records_seen(self) -> int:
        return sum(tally.records for tally in self.topics.values()) + self.codes["bad_line"]

    @property
    def flawed_records(self) -> int:
        return sum(tally.flawed_records for tally in self.topics.values())

    @property
    def bad_records(self) -> int:
        return sum(tally.bad_records for tally in self.topics.values()) + self.codes["bad_line"]

    def run(self, sample: Sample) -> None:
        """Checks one sample. Raises CaptureError when the sample cannot be read on, or when its topic is not known."""
        items = iter(sample.items)
        guess = None
        if self._topic is None:
            first = list(islice(items, GUESSED_FROM))
            items = chain(first, items)
            named = {item.topic for item in first}
            if not named & set(FEEDS):
                guess, have = guess_topic(sample.name, first)
                self.taken_as.append(
                    f"{sample.name}: {sample.form}, taken as {guess} since there are {have}; --topic says otherwise"
                )
            else:
                topics = ", ".join(sorted(topic for topic in named if topic in FEEDS))
                self.taken_as.append(f"{sample.name}: {sample.form} that name their topics ({topics})")
        else:
            self.taken_as.append(f"{sample.name}: {sample.form}, taken as {self._topic}, as told")
        for item in items:
            topic = self._topic or guess or item.topic
            if item.problem is not None:
                self._add(Problem(sample.name, item.line, None, "bad_line", None, item.problem))
            elif topic in FEEDS:
                self._record(topic, item, sample.name)
            else:
                self._other(topic, item, sample.name)

    def _other(self, topic: str | None, item: Item, name: str) -> None:
        reason = f"is of topic {printable(topic or '')}, which is none of {', '.join(FEEDS)}: say --topic"
        self._add(Problem(name, item.line, None, "bad_line", None, reason))

    def _record(self, topic: str, item: Item, name: str) -> None:
        tally = self.topics.get(topic)
        if tally is None:
            fields = {field: FieldTally(kind.required) for field, kind in FEEDS[topic].fields.items()}
            tally = self.topics[topic] = TopicTally(fields=fields)
        tally.records += 1
        effects = self._effects[topic]
        (value,) = effects.opened([item.value], [item.feed])
        errors = decoding.check_all(topic, value, effects.zone_of(item.feed))
        is_bad = any(each.effect == decoding.DEAD for each in errors)
        tally.bad_records += is_bad
        tally.flawed_records += bool(errors) and not is_bad
        feed = name_of(item.feed, value, FEEDS[topic].naming) or topic
        if feed not in tally.feeds and len(tally.feeds) >= FEEDS_SHOWN_MAX:
            feed = OTHERS
        tally.feeds.setdefault(feed, Counter())["records"] += 1
        if errors:
            tally.feeds[feed]["bad" if is_bad else "flawed"] += 1
        for each in errors:
            if each.field is None:
                self._add(Problem(name, item.line, topic, each.code, None, str(each)))
                return
        found = dict(read_pairs(value))
        reader = effects.reader(effects.settings(item.feed, found))
        wrong = {each.field for each in errors}
        for field_name, of in tally.fields.items():
            if field_name not in found:
                of.absent += 1
            elif found[field_name] is None:
                of.null += 1
            else:
                of.present += 1
                if FEEDS[topic].fields[field_name].kind == "number" and field_name not in wrong:
                    of.numbers[NUMBER_TYPES[reader.one(found[field_name]).type]] += 1
                    if (better := better_format(found[field_name], reader)) is not None:
                        of.formats[better] += 1
        for unknown in found.keys() - tally.fields.keys():
            if unknown in tally.unknown or len(tally.unknown) < UNKNOWN_NAMES_MAX:
                tally.unknown[unknown] += 1
        self._note_id(topic, tally, found, f"{name}:{item.line}")
        for each in errors:
            self._bad_field(topic, tally, item, name, each, found)

    def _bad_field(
        self, topic: str, tally: TopicTally, item: Item, name: str, error: decoding.RecordError, found: dict[str, Any]
    ) -> None:
        assert error.field is not None
        of = tally.fields[error.field]
        of.bad += 1
        if len(of.places) < PLACES_KEPT:
            of.places.append(f"{name}:{item.line}")
        of.right.setdefault(error.code, error.reason)
        value = found.get(error.field)
        kind = FEEDS[topic].fields[error.field].kind
        looks_like = None if value is None else shape(kind, value)
        self._add(Problem(name, item.line, topic, error.code, error.field, error.reason, looks_like))

    def _note_id(self, topic: str, tally: TopicTally, found: dict[str, Any], at: str) -> None:
        """Notes an id. A repeated id is no error, since deliveries are repeated; many of them in a sample deserve a
        remark."""
        own = self._own_id(topic, found)
        if own is None or len(self._ids) >= IDS_MAX:
            return
        key = (topic, own, str(found.get("event")))
        if key in self._ids:
            tally.repeated_ids += 1
            tally.first_repeated = tally.first_repeated or at
        self._ids.add(key)

    def _own_id(self, topic: str, found: dict[str, Any]) -> object:
        """The id that distinguishes the record from others, None if it has none."""
        feed = FEEDS[topic]
        if feed.id is not None:
            own = found.get(feed.id)
            return own if isinstance(own, str) else None
        number, peer, at = (found.get(name) for name in (feed.number, feed.peer or "", "at"))
        if not isinstance(number, str) or not isinstance(peer, str) or not isinstance(at, int | str):
            return None
        try:
            return normalise(number, self._region).key, normalise(peer, self._region).key, parse_time(at)
        except TimeError:
            return None

    def _add(self, problem: Problem) -> None:
        self.codes[problem.code] += 1
        if len(self.problems) < self._problems_max:
            self.problems.append(problem)

    def as_json(self) -> dict[str, Any]:
        return {
            "records": self.records_seen,
            "bad_records": self.bad_records,
            "flawed_records": self.flawed_records,
            "samples": self.taken_as,
            "codes": dict(self.codes.most_common()),
            "topics": {
                topic: {
                    "records": tally.records,
                    "bad_records": tally.bad_records,
                    "flawed_records": tally.flawed_records,
                    "feeds": {
                        name: {what: of[what] for what in ("records", "bad", "flawed")}
                        for name, of in sorted(tally.feeds.items())
                    },
                    "repeated_ids": tally.repeated_ids,
                    "missing_costs": costs(topic, tally),
                    "unknown_fields": dict(tally.unknown.most_common()),
                    "looks_like": {name: list(found) for name, found in alike(tally.unknown, topic).items()},
                    "fields": {
                        name: {
                            "required": of.required, "present": of.present, "absent": of.absent, "null": of.null,
                            "bad": of.bad, "places": of.places, "reasons": of.right, "number_types": dict(of.numbers),
                            "lost_formats": dict(sorted(of.formats.items())),
                        }
                        for name, of in tally.fields.items()
                    },
                }
                for topic, tally in sorted(self.topics.items())
            },
            "problems": [
                {
                    "file": p.file, "line": p.line, "topic": p.topic, "code": p.code, "field": p.field,
                    "reason": p.reason, "looks_like": p.looks_like,
                }
                for p in self.problems
            ],
        }  # fmt: skip


def costs(topic: str, tally: TopicTally) -> dict[str, str]:
    """Optional field that no record of the sample has -> what that costs, where it costs something. Of one that says
    who vouches also what it costs that some records lack it."""
    feed, here = FEEDS[topic], {name for name, of in tally.fields.items() if of.present}
    needless = set(feed.complete) if not here & set(feed.complete) else set()  # no call was told whole
    if here & set(feed.content):
        needless |= set(feed.content)
    if here & set(feed.naming) or tally.feeds.keys() - {topic}:
        needless.add("carrier")
    out = {}
    for name, cost in feed.missing.items():
        lacking = tally.records - tally.fields[name].present
        if name not in here | needless:
            out[name] = cost
        elif name in feed.vouching and lacking:
            out[name] = f"{100 * lacking / tally.records:.1f} % of the records lack it: {cost}"
    return out


def shape(kind: str, value: Any) -> str:
    """The shape of a wrong value: enough to see the slip, too little to call anybody."""
    if kind == "number" and isinstance(value, str):
        return masked(value) if value else '""'
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, bool) or (kind == "choice" and re.fullmatch(r"[A-Za-z_-]{1,20}", text)):
        return text
    cut = text[:SHAPE_CHARACTERS_MAX]
    drawn = "".join("9" if c.isdecimal() else "a" if c.isalnum() else c if c.isprintable() else "?" for c in cut)
    return f'"{drawn}{"..." if len(text) > len(cut) else ""}"' if isinstance(value, str) else drawn


def lines(check: Check) -> Iterator[str]:
    """The report as lines for people."""
    yield from map(printable, check.taken_as)
    for topic, tally in sorted(check.topics.items()):
        yield ""
        flawed = f", {tally.flawed_records:,} that count without their flawed fields" if tally.flawed_records else ""
        yield f"{topic}: {tally.records:,} records, {tally.bad_records:,} bad{flawed} (* required)"
        yield f"  {'field':<14}{'present':>11}{'absent':>11}{'null':>9}{'bad':>9}"
        for name, of in tally.fields.items():
            mark = "*" if of.required else " "
            yield f"{mark} {name:<14}{of.present:>11,}{of.absent:>11,}{of.null:>9,}{of.bad:>9,}"
            for reason in of.right.values():
                yield f"      {reason}"
            if of.places:
                yield f"      first at {', '.join(of.places)}"
            if cost := costs(topic, tally).get(name):
                yield f"      {cost}"
            if of.numbers:
                total = of.numbers.total()
                each = (f"{kind} {100 * count / total:.1f} %" for kind, count in of.numbers.most_common())
                yield f"      numbers: {', '.join(each)}"
            for better, count in sorted(of.formats.items()):
                yield f"      {count:,} {HINTS[better]}"
        if tally.feeds.keys() - {topic}:
            for feed, counts in sorted(tally.feeds.items()):
                shown = f"{counts['records']:,} records, {counts['bad']:,} bad, {counts['flawed']:,} flawed"
                yield f"  feed {printable(feed)[:60]}: {shown}"
        foreign = alike(tally.unknown, topic)
        for name, count in tally.unknown.most_common():
            lacking = [known for known, of in tally.fields.items() if of.absent >= count]
            near = get_close_matches(name, lacking, 1, 0.75)
            hint = f"; should it be `{near[0]}`?" if near else ""
            if name in foreign:
                field_, map_ = foreign[name]
                hint = f"; looks like `{field_}`: see `grayline records convert --map {map_}`"
            yield f"  not in the schema: {printable(name)[:60]} ({count:,}){hint}"
        if tally.repeated_ids:
            yield f"  ids that stood there before: {tally.repeated_ids:,}, first at {tally.first_repeated}"
    if check.problems:
        yield ""
        yield from (printable(str(problem)) for problem in check.problems)
        if (more := check.codes.total() - len(check.problems)) > 0:
            yield f"... and {more:,} more"
        yield ""
        yield "by reason: " + ", ".join(f"{code} {count:,}" for code, count in check.codes.most_common())


def guess_topic(name: str, first: Sequence[Item]) -> tuple[str, str]:
    """(the topic of records that do not say it, the fields that tell). Raises CaptureError where they do not tell."""
    wrapped = [seen for item in first if (seen := envelope_seen(item.value)) is not None]
    if wrapped and len(wrapped) == len(first):
        raise CaptureError(f"{name}: {wrapped[0]}, and say --topic")
    names = Counter(field_name for item in first for field_name in _names(item.value))
    score = {topic: sum(names[field_name] for field_name in _own(topic)) for topic in FEEDS}
    best = max(score, key=lambda topic: score[topic])
    if not score[best] or sum(value == score[best] for value in score.values()) > 1:
        raise CaptureError(f"{name}: its fields do not tell which topic it is: {_remedy(name, first)}")
    return best, ", ".join(field_name for field_name in _own(best) if names[field_name])


def _remedy(name: str, first: Sequence[Item]) -> str:
    values = [item.value for item in first if item.value is not None]
    if maps := fitting(b"\n".join(values[:20])):
        return f"the map {maps[0]} reads it: {command_line(maps[0], name)}"
    names = {name for value in values for name in _names(value)}
    for topic in FEEDS:
        if found := alike(names, topic):
            each = ", ".join(f"`{field}` looks like `{of}`" for field, (of, _) in found.items())
            return f"{each}, as in the map {next(iter(found.values()))[1]} (`grayline records maps`)"
    return f"say --topic, one of {', '.join(FEEDS)}"


def _own(topic: str) -> list[str]:
    """Names of required fields that no other topic has."""
    others = {name for other in FEEDS if other != topic for name in FEEDS[other].fields}
    return [name for name in FEEDS[topic].required if name not in others]


def _names(value: bytes | None) -> set[str]:
    try:
        return {name for name, _ in read_pairs(value)}
    except ObjectError:
        return set()
