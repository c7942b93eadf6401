"""Labelled synthetic phone traffic: `Traffic(settings)` yields records in time order and keeps the labels.

Everything follows from the seed: the same settings give the same bytes. Ordinary subscribers are drawn in slices of
time; businesses and offenders plan a day at a time, each from a generator of its own. Answers and releases that fall
behind a slice are carried into the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace

import numpy as np

from schemas.topics import CDR, MESSAGE_RELAY, REPORTS, TRAPS
from streams.traffic.actors import Actor
from streams.traffic.businesses import businesses
from streams.traffic.evasions import evasive
from streams.traffic.feeds import SUBSCRIBER_FEEDS, SUBSCRIBER_SHARES, text_piece
from streams.traffic.hours import Day, activity, days
from streams.traffic.labels import Label
from streams.traffic.neighbours import innocents
from streams.traffic.offenders import CALLERS, KINDS, RARE, SENDERS, SHORT_MS, offenders
from streams.traffic.population import Allocator, populate
from streams.traffic.rows import (
    CAUSES,
    COMPLETE,
    EVENTS,
    FORMS,
    MESSAGE,
    Rows,
    TrafficRecord,
    empty,
    join,
    messages,
)
from streams.traffic.subscribers import Subscribers, records_a_day
from streams.traffic.texts import chat_pool
from streams.traffic.witnesses import ReportLabel, Witnesses

START_MS = 1_794_790_800_000  # Monday 2026-11-16, 10:00 in Korea
CHATS = 2_000  # different texts of ordinary people
SUBSCRIBERS_MIN, SUBSCRIBERS_MAX = 2_000, 4_000_000
SLICE_RECORDS, SLICE_MS_MAX = 30_000, 600_000
ORDINARY_SHARE_MIN = 0.1  # when planted numbers alone exceed the rate, ordinary people still make this much of it


@dataclass(frozen=True)
class TrafficSettings:
    """The settings of the traffic. Raises ValueError for values that make no traffic.

    rate: records per second on average over the whole duration; within it traffic follows the hours. Businesses and
    offenders act at their own rates, ordinary subscribers fill the rest. Traffic of at most 12 hours shows offenders
    at once, longer traffic lets them keep their office hours, weekends and lifetimes."""

    seed: int = 1
    start_ms: int = START_MS
    duration_ms: int = 7_200_000
    rate: float = 20.0
    offenders_per_kind: int = 4
    businesses_per_kind: int = 2
    only: Set[str] = frozenset({"messages", "calls"})
    every_kind: bool = False  # also the many other kinds of innocents, and offenders who hide
    subscribers: int = 0  # ordinary people at their own pace; 0: as many as fill the rate
    form: str = EVENTS  # of the records of calls, one of rows.FORMS
    reports: bool = False  # also what others say of the numbers: citizens' reports, and hits of honeypots

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is 0 or more, not {self.seed}")
        if self.start_ms < 946_684_800_000:
            raise ValueError(f"start {self.start_ms} lies before the year 2000; it is milliseconds since 1970")
        if self.duration_ms < 1000 or not self.rate > 0:
            raise ValueError("duration is at least 1 s and rate above 0")
        if self.offenders_per_kind < 0 or self.businesses_per_kind < 0:
            raise ValueError("offenders_per_kind and businesses_per_kind are 0 or more")
        if not self.only or not self.only <= {"messages", "calls"}:
            raise ValueError(f"only names messages, calls or both, not {sorted(self.only)}")
        if self.form not in FORMS:
            raise ValueError(f"records of calls come in one of the forms {', '.join(FORMS)}, not {self.form!r}")

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.duration_ms


def generate(settings: TrafficSettings) -> Iterator[TrafficRecord]:
    """The traffic without its labels."""
    return iter(Traffic(settings))


class Traffic:
    """Iterate once for the records; then `labels()` says who was who."""

    def __init__(self, settings: TrafficSettings) -> None:
        self.settings = settings
        s = settings
        calls, writes = "calls" in s.only, "messages" in s.only
        allocator = Allocator(s.seed)
        records = s.rate * s.duration_ms / 1000
        a_day = records_a_day(calls, writes, s.form)
        self._per_activity = s.subscribers * a_day or records / max(activity(s.start_ms, s.end_ms), 1e-9)
        size = s.subscribers or int(np.clip(self._per_activity / a_day, SUBSCRIBERS_MIN, SUBSCRIBERS_MAX))
        self._people = populate(allocator, size, SUBSCRIBER_SHARES, s.seed)
        self._subscribers = Subscribers(self._people, s.seed, calls, writes, CHATS, s.form)
        kinds = [k for k in KINDS + RARE * s.every_kind if (k in CALLERS and calls) or (k in SENDERS and writes)]
        self._actors = businesses(s.businesses_per_kind, allocator, s.seed)
        self._actors += offenders(s.offenders_per_kind, kinds, allocator, s.seed, s.start_ms, s.end_ms)
        if s.every_kind:
            self._actors += innocents(s.businesses_per_kind, allocator, s.seed)
            self._actors += evasive(s.offenders_per_kind, calls, writes, allocator, s.seed, (s.start_ms, s.end_ms))
        self._keep_calls, self._keep_messages = calls, writes
        self._writer = _Writer(s.seed, self._people.numbers, self._people.feed, self._actors)
        self._events = np.zeros(size + len(self._actors), np.int64)
        self._first_at = np.zeros(size + len(self._actors), np.int64)
        self._next_call = 0
        guilty = {b"+%d" % actor.number for actor in self._actors if not actor.innocent}
        self._witnesses = Witnesses(s.seed, guilty, s.end_ms) if s.reports else None

    @property
    def topics(self) -> list[str]:
        others = [REPORTS, TRAPS] if self._witnesses else []
        return [CDR] * self._keep_calls + [MESSAGE_RELAY] * self._keep_messages + others

    def __iter__(self) -> Iterator[TrafficRecord]:
        return self._witnesses.watch(self._phone()) if self._witnesses else self._phone()

    def _phone(self) -> Iterator[TrafficRecord]:
        s = self.settings
        carried = empty()
        for day in days(s.start_ms, s.end_ms, office_hours=s.duration_ms > SHORT_MS):
            planned, texts = self._plan(day)
            own_texts = [self._writer.text(actor, text) for actor, text in texts]
            ordinary = self._ordinary(day, len(planned))
            for begin, end in self._slices(day):
                fresh, calls = self._subscribers.between(begin, end, ordinary * activity(begin, end), self._next_call)
                self._next_call += calls
                due = planned.take(slice(*np.searchsorted(planned.at, (begin, end))))
                pending = join([carried, due, fresh]).sorted()
                cut = int(np.searchsorted(pending.at, end))
                carried = pending.take(slice(cut, None))
                ready = pending.take(slice(0, cut))
                self._count(ready)
                yield from self._writer.write(ready, own_texts)
            over_midnight = planned.take(slice(int(np.searchsorted(planned.at, day.end_ms)), None))
            carried = join([carried, over_midnight])

    def _ordinary(self, day: Day, planned: int) -> float:
        """Records of ordinary people, per activity of a whole weekday."""
        if self.settings.subscribers:
            return self._per_activity
        left = self._per_activity - planned / max(activity(day.begin_ms, day.end_ms), 1e-9)
        return max(left, self._per_activity * ORDINARY_SHARE_MIN)

    def labels(self) -> list[Label]:
        """One label for every planted number and every subscriber who called or sent anything so far. What a forger
        makes counts for the number's owner, as it looks."""
        size = self._people.size
        seen = np.flatnonzero(self._events[:size])
        numbers, events, first = self._people.numbers, self._events, self._first_at
        planted: dict[int, Label] = {}
        for i, a in enumerate(self._actors, size):
            label = Label(f"+{a.number}", a.kind, a.innocent, int(first[i]), int(events[i]), a.gang)
            if a.forges:
                owner = planted[a.number]
                begun = [at for at in (owner.first_at, label.first_at) if at]
                label = replace(owner, first_at=min(begun, default=0), events=owner.events + label.events)
            planted[a.number] = label
        return [*planted.values()] + [
            Label(f"+{numbers[i]}", "subscriber", True, int(first[i]), int(events[i])) for i in seen
        ]

    def report_labels(self) -> list[ReportLabel]:
        """One label for every report so far."""
        return list(self._witnesses.labels) if self._witnesses else []

    def _plan(self, day: Day) -> tuple[Rows, list[tuple[int, str]]]:
        """The records of the planted numbers on a day, by time, and the texts (actor, text) that the messages' refs
        point to beyond the pool of chats."""
        parts: list[Rows] = [empty()]
        texts: list[tuple[int, str]] = []
        for i, actor in enumerate(self._actors):
            work = actor.work(day, self._people, np.random.default_rng([self.settings.seed, 5, i, day.index]))
            if self._keep_calls and len(work.calls.at):
                calls = work.calls.take((work.calls.at >= day.begin_ms) & (work.calls.at < day.end_ms))
                who = np.full(len(calls.at), self._people.size + i, np.int64)
                parts.append(calls.rows(who, self._next_call, self.settings.form))
                self._next_call += len(calls.at)
            if self._keep_messages and work.texts:
                refs = np.arange(len(work.texts), dtype=np.int64) + CHATS + len(texts)
                who = np.full(len(refs), self._people.size + i, np.int64)
                sent = messages(work.sent_at, who, work.recipients, refs)
                parts.append(sent.take((sent.at >= day.begin_ms) & (sent.at < day.end_ms)))
                texts += [(i, text) for text in work.texts]
        return join(parts).sorted(), texts

    def _slices(self, day: Day) -> Iterator[tuple[int, int]]:
        step = int(np.clip(SLICE_RECORDS / self.settings.rate * 1000, 1000, SLICE_MS_MAX))
        for begin in range(day.begin_ms, day.end_ms, step):
            yield begin, min(begin + step, day.end_ms)

    def _count(self, rows: Rows) -> None:
        who, first, count = np.unique(rows.actor, return_index=True, return_counts=True)
        new = self._events[who] == 0
        self._first_at[who[new]] = rows.at[first[new]]
        self._events[who] += count


_EVENT_NAMES = ("", "setup", "answer", "release", "complete")  # by kind of row


class _Writer:
    """Turns rows into records. A record's JSON is put together from prepared pieces."""

    def __init__(self, seed: int, numbers: np.ndarray, feed: np.ndarray, actors: list[Actor]) -> None:
        feeds = [*SUBSCRIBER_FEEDS, *(a.feed for a in actors)]
        self._size = len(numbers)
        self._numbers = np.concatenate([numbers, np.array([a.number for a in actors], np.int64)])
        own = np.arange(len(SUBSCRIBER_FEEDS), len(feeds), dtype=np.int32)
        self._feed = np.concatenate([feed.astype(np.int32), own])
        self._feeds = feeds
        self._styles = [f.style for f in feeds]
        self._cdr = [f.cdr for f in feeds]
        self._message = [f.message for f in feeds]
        self._seed = seed
        self._next_message = 0
        chats = chat_pool(np.random.default_rng([seed, 6]), CHATS)
        self._chats = [[text_piece(t, f.text, f.content_hash) for t in chats] for f in SUBSCRIBER_FEEDS]

    def text(self, actor: int, text: str) -> str:
        own = self._feeds[len(SUBSCRIBER_FEEDS) + actor]
        return text_piece(text, own.text, own.content_hash)

    def write(self, rows: Rows, own_texts: list[str]) -> Iterable[TrafficRecord]:
        styles, cdr, message, chats, seed = self._styles, self._cdr, self._message, self._chats, self._seed
        next_message = self._next_message
        self._next_message += int((rows.kind == MESSAGE).sum())
        columns = (
            rows.at,
            self._numbers[rows.actor],
            self._feed[rows.actor],
            rows.peer,
            rows.kind,
            rows.ref,
            rows.cause,
            rows.setup_at,
            rows.answer_at,
        )
        for at, number, feed, peer, kind, ref, cause, setup, answer in zip(*(c.tolist() for c in columns), strict=True):
            digits = str(number)
            before, skip = styles[feed]
            if kind == MESSAGE:
                text = chats[feed][ref] if ref < CHATS else own_texts[ref - CHATS]
                value = (
                    f'{{"message_id":"m{seed}-{next_message}","at":{at},"sender":"{before}{digits[skip:]}",'
                    f'"recipient":"+{peer}"{message[feed]}{text}}}'
                )
                next_message += 1
                topic = MESSAGE_RELAY
            else:
                event = _EVENT_NAMES[kind]
                why = f',"cause":"{CAUSES[cause]}"' if cause else ""
                if kind == COMPLETE:
                    answered = f'"answer_at":{answer},' if answer else ""
                    why += f',"setup_at":{setup},{answered}"release_at":{at}'
                value = (
                    f'{{"call_id":"c{seed}-{ref}","event":"{event}","at":{at},"caller":"{before}{digits[skip:]}",'
                    f'"callee":"+{peer}"{cdr[feed]}{why}}}'
                )
                topic = CDR
            yield TrafficRecord(topic, f"+{digits}".encode(), at, value.encode())
