"""The safeguards against too many new blocks: a breaker, which opens when they suddenly come, and an operator's pause.

While either is on, a firing that would open an enforced hold opens one in review instead. Extensions and expiries go
on.

Each feed (an input topic's partition; records by way of `rekeyed` are a feed of their own) counts by minutes of its own
partition clock, never by wall time. Holds opened on spoofable evidence (`spoofable: accepted`) are counted apart from
those opened on vouched-for evidence, as if they came by a feed of their own: forged records hold back no verified
offender's block. In minute m a scope takes up to

    limit(m) = max(share x opens, factor x mean of the holds opened a minute over the 60 minutes before m)

openings, `share` being 1 for a rule, 2 for a feed, 3 for a partition's feeds together. Openings beyond it are held back
for the rest of the minute and all of the next; a scope closes after a minute in which no more than its limit asked. A
rule and number that are held back ask once a minute however often they fire, and only what was really opened counts in
the mean, so that a flood neither keeps itself alive nor raises its own limit. Openings that a rule's breaker holds back
do not count against its feed, nor those that a feed's holds back against the total.

Bounds, for each of the two: a feed keeps 61 minutes of counts a rule, and WAITING_MAX of those who wait in the minute.
Whoever waits beyond them counts nowhere, however often it asks, and keeps the scope that holds it back closed for all
of the next minute.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import orjson

from schemas.feeds import CODES, topic_of
from schemas.json_reading import Int64, JsonReader, Unreadable
from streams.holds.rules_guard import HELD, Guarded, GuardLimits, RulesGuard
from streams.ingest.epoch import Place, home_of

if TYPE_CHECKING:
    from rules.model import RuleSet
    from streams.holds.firings import Firings
    from streams.holds.ledger import Ledger
    from streams.ingest.merge import Merged

MINUTE_MS = 60_000
MEAN_MINUTES = 60
WAITING_MAX = 1000
PLAIN = 2  # the format of a row without a guard: versions before 3 read it too
FORMAT = 3
FORMATS = 1, PLAIN, FORMAT  # 1: all openings were counted together, and are taken for those on vouched-for evidence
PAUSED = "paused"
RULE, FEED, TOTAL = ("rule", "feed", "total")
SPOOFABLE = "spoofable-"  # before `feed` and `total`, where they are of openings on spoofable evidence
SHARES = {RULE: 1, FEED: 2, TOTAL: 3}


class BreakerRowError(ValueError):
    """The kept state of a partition cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Trip:
    """A scope that has begun to hold back. name: that of the rule or the feed, empty for the totals."""

    scope: str
    name: str
    partition: int
    limit: int  # openings a minute

    def __str__(self) -> str:
        if self.scope == HELD:
            return (
                f"the changed rules block too much: in partition {self.partition} they asked for more than "
                f"{self.limit} holds; what they would open goes to the review queue, until the same rules are read "
                "once more"
            )
        what = f"{self.scope} {self.name}".rstrip()
        return (
            f"too many blocks at once: {what} of partition {self.partition} asked for more than {self.limit} within a "
            "minute; until fewer ask, new ones go to the review queue instead"
        )


class Minute(msgspec.Struct):
    """One feed's minute. Scopes: "feed", "total", or "rule:" and the rule's name."""

    limits: dict[str, Int64] = {}
    asked: dict[str, Int64] = {}
    over: set[str] = set()
    waiting: set[Int64] = set()  # hashes of (rule, number) that were held back

    def count(self, scopes: list[str]) -> None:
        for scope in scopes:
            self.asked[scope] = self.asked.get(scope, 0) + 1


class PlaceMinutes(msgspec.Struct):
    """The latest minutes of one place. minute: the minute of `now`, since 1970; `last` is the one before it. opened:
    minute -> rule -> holds opened. spoofable: True for the rules that accept spoofable evidence, False for all
    others."""

    topic: str
    partition: Int64
    minute: Int64
    now: Minute = msgspec.field(default_factory=Minute)
    last: Minute = msgspec.field(default_factory=Minute)
    opened: dict[Int64, dict[str, Int64]] = {}
    spoofable: bool = False

    def named(self, scope: str) -> tuple[str, str]:
        """The kind of a scope, and the name of its rule or feed."""
        kind, _, rule = scope.partition(":")
        if kind == RULE:
            return kind, rule
        return SPOOFABLE * self.spoofable + kind, self.topic if kind == FEED else ""

    def advance(self, minute: int) -> None:
        """Goes on to a minute, or back, where the place's clock has gone back."""
        if minute == self.minute:
            return
        self.last = self.now if minute == self.minute + 1 else Minute()
        self.now, self.minute = Minute(), minute
        self.opened = {m: by_rule for m, by_rule in self.opened.items() if minute - MEAN_MINUTES <= m <= minute}

    def opened_before(self, minute: int, rule: str | None = None) -> int:
        """Holds opened in the MEAN_MINUTES before a minute, by one rule or by all."""
        return sum(
            sum(by_rule.values()) if rule is None else by_rule.get(rule, 0)
            for m, by_rule in self.opened.items()
            if minute - MEAN_MINUTES <= m < minute
        )

    def asked_in_total(self, minute: int) -> int:
        for of, counts in ((self.minute, self.now), (self.minute - 1, self.last)):
            if of == minute:
                return counts.asked.get(TOTAL, 0)
        return 0


class _BreakerRow(msgspec.Struct, omit_defaults=True):
    format: Int64
    feeds: list[PlaceMinutes]
    guarded: Guarded | None = None


_ROW = JsonReader(_BreakerRow)
NOTHING = orjson.dumps({"format": PLAIN, "feeds": []})


@dataclass(slots=True)
class Gate:
    """An epoch's m firings before the breaker."""

    breaker: Breaker
    rules: list[str]  # names by slot
    spoofable: frozenset[int]  # slots of the rules that accept spoofable evidence
    minute: np.ndarray  # int64[m]: of the place's clock at the firing, since 1970
    span: np.ndarray  # int64[m]: equal while a place's minute is
    topic: np.ndarray  # uint8[m]: codes of schemas.feeds
    partition: np.ndarray  # int32[m]: as the engine counts places
    firings: Firings

    def asking(self) -> np.ndarray:
        """int64[m]: equal for firings that ask the same feed in the same minute."""
        return self.span

    def held_back(self, k: int) -> str:
        """Returns why a firing must not open an enforced hold, or "" when it may. To be called for each such firing, in
        order. A rule and number that are held back stay so until the minute ends."""
        place = topic_of(int(self.topic[k])), int(self.partition[k])
        slot, number = int(self.firings.rule[k]), int(self.firings.number[k])
        return self.breaker.ask(place, int(self.minute[k]), self.rules[slot], number, slot in self.spoofable)


class Breaker:
    """Decides which openings are held back. opens: openings per rule, minute and partition that always pass; 0 means no
    breaker. factor: the multiple of the last hour's mean that passes. paused: all openings are held back."""

    def __init__(self, opens: int = 0, factor: float = 0.0, guard: GuardLimits | None = None) -> None:
        self.opens, self.factor = opens, factor
        self.guard = RulesGuard(guard or GuardLimits())
        self.paused = False
        self._feeds: dict[tuple[Place, bool], PlaceMinutes] = {}  # by the place, and whether on spoofable evidence
        self._changed: set[int] = set()
        self._trips: list[Trip] = []

    @property
    def is_idle(self) -> bool:
        return not (self.opens or self.paused) and self.guard.is_idle

    def change(self, before: RuleSet, now: RuleSet, ledger: Ledger, partitions: int) -> None:
        """Guards what changed rules open from here on. partitions: the partition count of the inputs."""
        self.guard.active = lambda partition: ledger.enforced_by_partition(partitions)[partition]
        self._changed |= self.guard.begin(before, now)

    def ask(self, place: Place, minute: int, rule: str, number: int, spoofable: bool = False) -> str:
        if self.paused:
            return PAUSED
        partition = home_of(place[1])
        held_before = (of := self.guard.row(partition)) is not None and of.holds
        if self.guard.ask(partition, minute, rule):
            guarded = self.guard.row(partition)
            if guarded is not None and not held_before:
                self._trips.append(Trip(HELD, "", partition, guarded.limit))
            self._changed.add(partition)
            return HELD
        why = self._ask(place, minute, rule, number, spoofable) if self.opens else ""
        if not why:
            self.guard.opened(partition, rule)
            self._changed.add(partition)
        return why

    def _ask(self, place: Place, minute: int, rule: str, number: int, spoofable: bool) -> str:
        feed = self._feeds.get((place, spoofable))
        if feed is None:
            feed = self._feeds[place, spoofable] = PlaceMinutes(*place, minute, spoofable=spoofable)
        feed.advance(minute)
        self._changed.add(home_of(place[1]))
        waits = _hash(rule, number)
        asks = 0 if waits in feed.now.waiting else 1
        asked = []
        for scope in (f"{RULE}:{rule}", FEED, TOTAL):
            asked.append(scope)
            if self._is_over(feed, scope, asks):
                if asks and len(feed.now.waiting) < WAITING_MAX:
                    feed.now.waiting.add(waits)
                    feed.now.count(asked)
                elif asks:
                    # Nobody could tell when it asks again, so it counts nowhere, and the scope stays closed: rather too
                    # much is held back than nothing any more.
                    feed.now.over.add(scope)
                return f"breaker:{feed.named(scope)[0]}"
        feed.now.count(asked)
        by_rule = feed.opened.setdefault(feed.minute, {})
        by_rule[rule] = by_rule.get(rule, 0) + 1
        return ""

    def _is_over(self, feed: PlaceMinutes, scope: str, asks: int) -> bool:
        """True if a scope holds back when this many more openings are asked for than were counted."""
        now, was_over = feed.now, scope in feed.last.over
        if scope not in now.limits:
            now.limits[scope] = self._limit(feed, scope)
        if scope not in now.over:
            limit = now.limits[scope]
            asked = self._asked_in_total(feed) if scope == TOTAL else now.asked.get(scope, 0)
            if asked + asks > limit:
                now.over.add(scope)
                if not was_over:
                    self._trips.append(Trip(*feed.named(scope), home_of(feed.partition), limit))
        return was_over or scope in now.over

    def _limit(self, feed: PlaceMinutes, scope: str) -> int:
        kind, _, rule = scope.partition(":")
        if kind == TOTAL:
            opened = sum(other.opened_before(feed.minute) for other in self._beside(feed))
        else:
            opened = feed.opened_before(feed.minute, rule or None)
        return max(SHARES[kind] * self.opens, math.floor(self.factor * opened / MEAN_MINUTES))

    def _asked_in_total(self, feed: PlaceMinutes) -> int:
        return sum(other.asked_in_total(feed.minute) for other in self._beside(feed))

    def _beside(self, feed: PlaceMinutes) -> list[PlaceMinutes]:
        """The feeds of the same partition and evidence, itself included."""
        home, of = home_of(feed.partition), feed.spoofable
        feeds = self._feeds.items()
        return [other for (place, spoofable), other in feeds if home_of(place[1]) == home and spoofable == of]

    def trips(self) -> list[Trip]:
        """The scopes that began to hold back since the last call."""
        trips, self._trips = self._trips, []
        return trips

    def open(self, clocks: Mapping[Place, int]) -> dict[tuple[str, str], int]:
        """The number of feeds that hold back, by (scope, name), as of the places' clocks (ms)."""
        found: dict[tuple[str, str], int] = {}
        for (place, _), feed in self._feeds.items():
            minute = max(feed.minute, clocks.get(place, 0) // MINUTE_MS)
            # Over in one minute means holding back in the next one too.
            recent = {feed.minute: feed.now.over, feed.minute - 1: feed.last.over}
            for scope in recent.get(minute, set()) | recent.get(minute - 1, set()):
                named = feed.named(scope)
                found[named] = found.get(named, 0) + 1
        return found

    # -- across restarts ---------------------------------------------------------------------------------------

    def changed_rows(self) -> list[tuple[int, bytes]]:
        """(partition, state) of the partitions that changed since the last call."""
        changed, self._changed = sorted(self._changed), set()
        # A guard that is over must not come back at a restart, so that a row says that there is nothing.
        return [(partition, self.row(partition) or NOTHING) for partition in changed]

    def row(self, partition: int) -> bytes | None:
        """The whole state of a partition, equal bytes for equal states; None when there is none."""
        feeds = [feed for (place, _), feed in sorted(self._feeds.items()) if home_of(place[1]) == partition]
        guarded = self.guard.row(partition)
        if not feeds and guarded is None:
            return None
        row = _BreakerRow(PLAIN if guarded is None else FORMAT, feeds, guarded)
        return orjson.dumps(row, _plain, orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)

    def load(self, partition: int, row: bytes | None) -> None:
        """Takes over the kept state of a partition. Raises BreakerRowError; nothing is then known of the partition."""
        self.drop(partition)
        if row is None:
            return
        try:
            read = _ROW.read(row)
        except Unreadable as problem:
            raise BreakerRowError(f"the breaker's row of partition {partition} cannot be read: {problem}") from None
        if read.format not in FORMATS:
            raise BreakerRowError(
                f"the breaker's row of partition {partition} has format {read.format}, and this version reads formats "
                f"up to {FORMAT}"
            )
        self.guard.load(partition, read.guarded)
        self._feeds |= {((feed.topic, feed.partition), feed.spoofable): feed for feed in read.feeds}

    def drop(self, partition: int) -> None:
        """Forgets the partition."""
        self._feeds = {key: feed for key, feed in self._feeds.items() if home_of(key[0][1]) != partition}
        self.guard.drop(partition)
        self._changed.discard(partition)


def gate_of(
    breaker: Breaker,
    rules: list[str],
    spoofable: frozenset[int],
    firings: Firings,
    events: Merged,
    clock: np.ndarray,
    counting: np.ndarray,
) -> Gate | None:
    """Makes the gate for an epoch's firings; returns None when nothing is held back. rules: names by slot; spoofable:
    slots of those that accept spoofable evidence. events: all n of the epoch; clock: int64[n], of each one's place, ms.
    counting: int64[k], those that count; `firings.event` indexes these."""
    if breaker.is_idle or not len(firings.event):
        return None
    topic, partition, minute = events["topic"], events["partition"], clock // MINUTE_MS
    event = counting[firings.event]
    span = _spans(partition.astype(np.int64) * CODES + topic, minute)[event]
    return Gate(breaker, rules, spoofable, minute[event], span, topic[event], partition[event], firings)


def _spans(place: np.ndarray, minute: np.ndarray) -> np.ndarray:
    """int64[n]: equal for events of one place that follow each other there within a minute."""
    order = np.argsort(place, kind="stable")
    changes = (np.diff(place[order]) != 0) | (np.diff(minute[order]) != 0)
    out = np.zeros(len(place), np.int64)
    out[order[1:]] = np.cumsum(changes)
    return out


def _plain(value: object) -> object:
    if isinstance(value, set):
        return sorted(value)
    found = msgspec.structs.asdict(value)  # type: ignore[arg-type]
    return {name: one for name, one in found.items() if one is not None}


def _hash(rule: str, number: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{rule}\n{number}".encode(), digest_size=6).digest(), "big")
