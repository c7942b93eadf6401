"""The whole of `step` a second time, written from the design: record by record, dicts and lists, nothing forgotten.

It is slow and meant to be obviously right. It shares with the real one only what says what a record is (`schemas`),
what a rule is (`rules`), and how ids are made. Distinct values are exact here: traffic with more than 32 in a window
cannot be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson

from rules.lexicon_file import load_lexicon
from rules.model import BLOCKS, DIRECTIONS, Rule, RuleSet
from rules.registry import Entry
from rules.units import duration_text
from schemas import topics
from schemas.codes import ACCESS_CODES, NUMBER_TYPES
from schemas.decoding import RecordError, decode
from schemas.features import AMOUNT, FEATURE_CHOICES, FEATURE_HASHES, FEATURES
from schemas.feeds import FEEDS
from schemas.numbers import normalise
from schemas.registry import ENTRY_KINDS, REGISTRY_FIELDS
from streams.content.text_reader import TextReader
from streams.holds.ids import block_id, event_id
from streams.ingest.epoch import home_of
from streams.ingest.feed_codes import name_of
from streams.ingest.text_columns import values_of
from tests.reference.admission import HOUR_MS, Partition
from tests.reference.conditions import Value, compared_with, holds, limit_at
from tests.reference.counting import Event, counts, period_ms, readings
from tests.reference.orders import OPERATOR, Order, Orders, end_of, stands
from tests.reference.others import OtherRules

LANES = {"enforce": topics.BLOCK_EVENTS, "shadow": topics.SHADOW_EVENTS, "review": topics.REVIEW_QUEUE}
# (id, number, other number) by topic. A hit of a trap has no id: its number, the other and the time tell it.
ACTOR = {
    topics.MESSAGE_RELAY: ("message_id", "sender", "recipient"),
    topics.CDR: ("call_id", "caller", "callee"),
    topics.REPORTS: ("report_id", "number", "reporter"),
    topics.TRAPS: ("", "sender", "trap"),
}
ONE_EVENT = {topics.MESSAGE_RELAY: "message", topics.REPORTS: "report", topics.TRAPS: "trap"}


@dataclass(frozen=True)
class Line:
    """A record as it was fetched. ts_ms: its Kafka timestamp, -1 for none."""

    topic: str
    partition: int
    offset: int
    ts_ms: int
    value: bytes | None
    key: bytes | None = None


@dataclass(frozen=True)
class Produced:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class Hold:
    number: int
    rule: int  # its place in the files
    lane: str
    from_ms: int
    until_ms: int
    evidence: list[dict[str, Any]]
    active: bool = True
    more: dict[str, Any] = field(default_factory=dict)  # what the registry or an operator had to do with it
    released_ms: int | None = None  # when an order, or silence, ended it
    reason: str = ""  # of a hold that an operator ordered
    partition: int = 0
    taken_by: str = ""
    review_by_ms: int | None = None  # when silence blocks


class Reference:
    def __init__(self, rules: RuleSet, region: str = "KR", *, also: tuple[str, ...] = ()) -> None:
        assert rules.protected is not None
        self.rules = rules
        self.protected = rules.protected
        registry = rules.registry
        self.entries = [] if registry is None else [registry.entry(i) for i in range(len(registry))]
        self.region = region
        self.apart: int | None = None  # a number whose events are admitted, and counted by nobody
        self.topics = {*rules.topics, *also}
        self.orders = Orders(self)
        self.others = OtherRules(rules)
        self.out: list[Produced] = []
        self.seen: set[tuple[str, int, int]] = set()
        self.partitions: defaultdict[tuple[str, int], Partition] = defaultdict(Partition)
        # By reading, topic and number; and by reading, rule, the counter's name in it, and number: what counts in it.
        self.events: defaultdict[tuple[str, str, int], list[Event]] = defaultdict(list)
        self.counted: defaultdict[tuple[str, str, str, int], list[Event]] = defaultdict(list)
        self.holds: dict[tuple[int, int, str], Hold] = {}
        self.homes: dict[tuple[int, int, str], int] = {}  # the partition in which each was first opened

    @cached_property
    def texts(self) -> TextReader:
        return TextReader(self.rules.lexicon or load_lexicon(), self.region)

    def run(self, lines: Iterable[Line]) -> list[Produced]:
        for line in lines:
            place = (line.topic, line.partition, line.offset)
            if line.topic in self.topics and place not in self.seen:
                self.seen.add(place)
                self._line(line)
        return self.out

    # ---------------------------------------------------------------------------------------------------- one record

    def _line(self, line: Line) -> None:
        self._expire()
        try:
            record = decode(line.topic, line.value, self._wanted(line.topic))
        except RecordError as error:
            self.out.append(dead_letter(line, error))
            return
        if line.topic == topics.CONTROL:
            self._order(line, record)
            self._silence(line)
            return
        changes: defaultdict[str, list[tuple[str, Hold, list[Hold]]]] = defaultdict(list)
        told: list[tuple[bytes, bytes]] = []
        feed = name_of(None, line.value, FEEDS[line.topic].naming) or ""
        for event in self._events(line.topic, record):
            for seen in self.partitions[line.topic, line.partition].accept(event, line.ts_ms, feed):
                if event.number == self.apart:
                    continue
                for reading, counting in seen.items():
                    known = self.events[reading, line.topic, event.number]
                    counting.newest_ms = max([counting.at_ms, *(known[-1:] and [known[-1].newest_ms])])
                    known.append(counting)
                for change, hold in self._rules(event.number, seen):
                    of = hold.number, hold.rule, hold.lane
                    hold.partition = self.homes.setdefault(of, home_of(line.partition))
                    changes[hold.lane].append((change, replace(hold), self._in_force(hold)))
                if "all" in seen:
                    told += self.others.count(seen["all"])
        for made in changes.values():
            self._publish(made)
        told.sort(key=lambda made: orjson.loads(made[1])["subject"])  # of one record's events, by whom they are about
        self.out += [Produced(topics.SANCTIONS, key, value) for key, value in told]
        self._silence(line)

    def _order(self, line: Line, record: dict[str, Any]) -> None:
        number = normalise(record["number"], self.region).key
        event = Event(line.topic, "control", number, record["at"], (record["id"], number, 0), {}, {}, False)
        partition = self.partitions.setdefault((line.topic, line.partition), Partition(trusted=True))
        is_late, came_before = partition.accept_order(event, line.ts_ms)
        if came_before:
            return
        order = Order(number, event.at_ms, line.offset, record)
        why = self.orders.refusal(order, is_late)
        made: defaultdict[str, list[tuple[str, Hold, list[Hold]]]] = defaultdict(list)
        for change, hold in self.orders.obey(order) if not why else ():
            made[hold.lane].append((change, replace(hold), self._in_force(hold)))
        for changes in made.values():
            self._publish(changes, order)
        change = "refused" if why else "ordered"
        key = f"+{number}" if number > 0 else None
        row = {"event_id": event_id(record["id"], change, line.offset), "number": key, "change": change}
        row |= {"order": order.shown(), "why": why or None}
        self.out.append(Produced(topics.BLOCK_HISTORY, key and key.encode(), orjson.dumps(row)))

    def rule_name(self, place: int) -> str:
        return self.rules.rules[place].name if place < len(self.rules.rules) else OPERATOR

    def hold_of(self, number: int, rule: str, lane: str) -> Hold | None:
        mine = (h for h in self.holds.values() if (h.number, h.lane) == (number, lane))
        return next((h for h in mine if self.rule_name(h.rule) == rule), None)

    def is_allowed(self, number: int, at_ms: int) -> bool:
        return self._listed("allowed", number, at_ms) is not None

    def ordered_hold(
        self,
        rule: str,
        lane: str,
        at_ms: int,
        until_ms: int,
        number: int,
        like: Hold | None = None,
        reason: str = "",
    ) -> tuple[str, Hold]:
        """like: the hold in review that is enforced; without one it is the operator's own, which can be reduced."""
        hold = self.hold_of(number, rule, lane)
        if hold is None or not stands(hold, at_ms):
            place = len(self.rules.rules) if like is None else like.rule
            hold = Hold(number, place, lane, at_ms, until_ms, [])
            self.holds[number, place, lane] = hold
            change = "opened"
        else:
            until_ms = max(until_ms, hold.from_ms)
            change = "reduced" if like is None and until_ms < hold.until_ms else "extended"
            hold.until_ms, hold.active = until_ms, True
        hold.evidence, hold.more = ([], {}) if like is None else (like.evidence, like.more)
        hold.reason = reason if like is None else like.reason
        return change, hold

    def _silence(self, line: Line) -> None:
        """What nobody has decided in time, by the clock of the place whose record this was, is blocked."""
        home, clock_ms = home_of(line.partition), self.partitions[line.topic, line.partition].clocks.newest
        due = [
            (hold.review_by_ms, hold.number, hold.rule, hold)
            for hold in self.holds.values()
            if hold.partition == home and hold.review_by_ms is not None and hold.review_by_ms <= clock_ms
        ]
        for at_ms, number, place, hold in sorted(due, key=lambda one: one[:3]):
            name = self.rule_name(place)
            is_spoken_for = self.orders.against(number, name, at_ms) or self.is_allowed(number, at_ms)
            hold.active, hold.released_ms, hold.review_by_ms = False, at_ms, None
            self._publish([("unreviewed", replace(hold), self._in_force(hold))])
            other = self.hold_of(number, name, "enforce")
            is_longer = other is None or not stands(other, at_ms) or other.until_ms < hold.until_ms
            if is_longer and not is_spoken_for:
                change, blocked = self.ordered_hold(name, "enforce", at_ms, hold.until_ms, number, like=hold)
                blocked.more = blocked.more | {"unreviewed": True}
                self._publish([(change, replace(blocked), self._in_force(blocked))])

    def _wanted(self, topic: str) -> frozenset[str]:
        """The optional fields that rules read, and those that say whether evidence can be trusted; all of an order."""
        if topic == topics.CONTROL:
            return frozenset(FEEDS[topic].optional)
        wanted = {"origin", "verified"}
        for rule in self.rules.rules:
            mine = [c for c in rule.counters.values() if c.topic == topic]
            asked = [condition.names for c in mine for condition in (c.where, c.condition) if condition]
            for names in asked + ([rule.when.names] if mine else []):
                wanted |= names & {*FEEDS[topic].optional, *FEATURES}
            if mine and REGISTRY_FIELDS.keys() & rule.when.names:
                wanted |= {"account", "relay"}
            for counter in mine:
                wanted.add(counter.per)
                if counter.kind in ("distinct", "credited"):
                    wanted |= {"content_hash", "text"} if counter.field == "content" else {str(counter.field)}
        if not wanted.isdisjoint(FEATURES):
            wanted.add("text")
        return frozenset(wanted & set(FEEDS[topic].optional))

    def _features(self, record: dict[str, Any], sender: int) -> tuple[dict[str, Value], dict[str, Any]]:
        """What the record's text says, as the plain reader reads it: fields, and things to count."""
        text = record.get("text")
        if text is None:
            return dict.fromkeys((*FEATURE_CHOICES, AMOUNT)), dict.fromkeys(FEATURE_HASHES)
        said = values_of(self.texts.read(text), sender)
        fields: dict[str, Value] = {name: choices[said[name]] or None for name, choices in FEATURE_CHOICES.items()}
        return fields | {AMOUNT: said[AMOUNT] or None}, {name: said[name] or None for name in FEATURE_HASHES}

    def _events(self, topic: str, record: dict[str, Any]) -> Iterator[Event]:
        id_name, number_name, peer_name = ACTOR[topic]
        number = normalise(record[number_name], self.region)
        peer = normalise(record[peer_name], self.region) if peer_name in record else None
        kind = NUMBER_TYPES[number.type]
        fields: dict[str, Value] = {
            "origin": record.get("origin"),
            "verified": record.get("verified"),
            "channel": record.get("channel"),
            "kind": record.get("kind"),
            "depth": record.get("depth"),
            "reporter_known": record.get("reporter_known"),
            "access_code": ACCESS_CODES[number.access] or None,
            f"{number_name}_type": kind,
            f"{peer_name}_type": NUMBER_TYPES[peer.type] if peer else None,
            "duration": None,
        }
        features, counted = self._features(record, number.key)
        fields |= features
        things = counted | {name: record.get(name) for name in ("relay", "reseller", "account", "carrier", "source_ip")}
        things |= {
            "series": number.key // 10_000 if number.key >= 10_000_000 else None,
            number_name: number.key,
            peer_name: peer.key if peer else None,
            "content": record.get("content_hash") or record.get("text"),
        }
        forged = kind != "international" and record.get("origin") == "international"
        vouched = record.get("verified") == "full" and not forged
        things["forged"] = forged
        id = record[id_name] if id_name else f"{number.key} {peer.key if peer else None} {record['at']}"
        at = {ONE_EVENT.get(topic) or record["event"]: record["at"]}
        if "complete" in at:
            at = {"setup": record["setup_at"], "answer": record.get("answer_at"), "release": record["at"]} | at
        for event, at_ms in at.items():
            if at_ms is not None:
                who = id, number.key, peer.key if peer else 0
                made = Event(topic, event, number.key, at_ms, who, dict(fields), things, vouched)
                if "complete" in at and event in ("release", "complete") and record.get("answer_at") is not None:
                    made.duration_ms = record["release_at"] - record["answer_at"]
                yield made

    # --------------------------------------------------------------------------------------------------------- rules

    def _rules(self, number: int, seen: dict[str, Event]) -> Iterator[tuple[str, Hold]]:
        """The changes by the event, which the readings see so. A rule is evaluated in each in which the event can
        change one of its counters."""
        for place, rule in enumerate(self.rules.rules):
            if rule.subject != "number":
                continue
            able = []
            for reading, event in seen.items():
                hits = [name for name, counter in rule.counters.items() if counts(counter, event)]
                for name in hits:
                    self.counted[reading, rule.name, name, number].append(event)
                able += [reading] if hits else []
            if number <= 0 or self.protected.covers(number):
                continue
            evidence, lane, review_ms = None, rule.mode, rule.review_ms
            if "vouched" in able and not rule.spoofable:
                evidence = self._fires(rule, seen["vouched"], "vouched")
            if evidence is None and "all" in able:
                evidence = self._fires(rule, seen["all"], "all")
                if not rule.spoofable:
                    lane, review_ms = "review" if rule.mode == "enforce" else lane, 0
            if evidence is not None:
                at_ms = next(iter(seen.values())).at_ms
                more: dict[str, Any] = {}
                allowed = self._listed("allowed", number, at_ms) if lane == "enforce" else None
                if allowed is not None:
                    lane = "review"
                    more |= {"diverted": "allow_listed", "listed": allowed.shown()}
                has_credit = any(counter.kind == "credited" for counter in rule.counters.values())
                if allowed is not None or has_credit or REGISTRY_FIELDS.keys() & rule.when.names:
                    more["registry_version"] = self.rules.registry.version if self.rules.registry else ""
                change = self._ledger(place, rule, lane, number, at_ms, evidence, more)
                if change is not None:
                    hold = change[1]
                    if hold.lane == "review" and review_ms and hold.review_by_ms is None:
                        hold.review_by_ms = at_ms + review_ms
                    yield change

    def _fires(self, rule: Rule, event: Event, reading: str) -> list[dict[str, Any]] | None:
        """The firing of the rule at the event, as if there were no events but the reading's; None when it does not
        fire."""
        known = [e for t in {c.topic for c in rule.counters.values()} for e in self.events[reading, t, event.number]]
        as_of_ms = max(e.at_ms for e in known)
        read: dict[str, Value] = {}
        periods: dict[str, int] = {}
        for name, counter in rule.counters.items():
            values = readings(counter, self.counted[reading, rule.name, name, event.number], as_of_ms)
            for output, value in zip(counter.outputs, values, strict=True):
                full = f"{name}.{output}" if output else name
                read[full] = value
                periods[full] = period_ms(counter, output)
        listed = self._what_the_registry_says(event)
        limits: dict[str, Value] = {name: limit_at(limit, event.at_ms) for name, limit in rule.limits.items()}
        if not holds(rule.when.source, rule.when.names, event.fields | listed | limits | read):
            return None
        evidence = []
        for name in sorted(rule.when.names & read.keys()):
            limit = compared_with(rule, name, limits)
            evidence.append(
                {
                    "counter": name,
                    "value": round(float(read[name] or 0), 6),
                    "window": duration_text(periods[name]),
                    "limit": None if limit is None else round(limit, 6),
                    "as_of": as_of_ms,
                }
            )
        return evidence

    def _what_the_registry_says(self, event: Event) -> dict[str, Value]:
        told: dict[str, bool | None] = {
            kind.field: self._listed(kind.name, event.number, event.at_ms) is not None
            for kind in ENTRY_KINDS.values()
            if kind.field and not kind.has_score
        }
        account = event.things.get("account")
        told["account_registered"] = None if account is None else self._has_account(str(account), event.at_ms)
        is_registered, fits = self.orders.registration(event.number, event.at_ms, event.things)
        told["registered"] = told["registered"] or is_registered
        told["spoofed"] = bool(event.things["forged"]) or (is_registered and not fits)
        return {name: None if value is None else str(value).lower() for name, value in told.items()}

    def _has_account(self, account: str, at_ms: int) -> bool:
        mine = [e for e in self.entries if e.kind.name == "account" and e.name == account]
        return any(e.since_ms <= at_ms < e.until_ms for e in mine)

    def _listed(self, kind: str, number: int, at_ms: int) -> Entry | None:
        """The entry of the registry that covers a number at this time."""
        for e in self.entries:
            same = number == e.key if e.digits == 0 else number > 0 and str(number).startswith(str(e.key))
            if e.kind.name == kind and same and e.since_ms <= at_ms < e.until_ms:
                return e
        return None

    # -------------------------------------------------------------------------------------------------------- ledger

    def _ledger(
        self,
        place: int,
        rule: Rule,
        lane: str,
        number: int,
        at_ms: int,
        evidence: list[dict[str, Any]],
        more: dict[str, Any],
    ) -> tuple[str, Hold] | None:
        until_ms = at_ms + rule.period_ms
        ruled = self.orders.against(number, rule.name, at_ms) if lane != "shadow" else ""
        if ruled == "nothing":
            return None
        hold = self.holds.get((number, place, lane))
        if ruled and lane == "enforce" and (hold is None or at_ms >= end_of(hold)):
            lane, more = "review", {"diverted": ruled} | more
            hold = self.holds.get((number, place, lane))
        if hold is None or at_ms >= end_of(hold):
            lately = hold is not None and hold.released_ms is None and at_ms < hold.until_ms + 6 * 24 * HOUR_MS
            until_ms = at_ms + max(rule.period_ms, rule.again_ms if lately else 0)
            hold = Hold(number, place, lane, at_ms, until_ms, evidence, more=more)
            self.holds[number, place, lane] = hold
            return "opened", hold
        if (
            hold.released_ms is not None
            or at_ms < hold.from_ms
            or until_ms - hold.until_ms < max(HOUR_MS, rule.period_ms * 5 / 100)
        ):
            return None
        hold.until_ms, hold.evidence, hold.active, hold.more = until_ms, evidence, True, more
        return "extended", hold

    def _expire(self) -> None:
        """Holds that ended by the largest clock."""
        clocks = [(vouched, of.clock) for p in self.partitions.values() for (_, vouched), of in p.clocks.clocks.items()]
        vouched = any(vouched for vouched, _ in clocks)
        clock_ms = max((clock for says, clock in clocks if says or not vouched), default=0)
        active = [hold for hold in self.holds.values() if hold.active and hold.review_by_ms is None]
        ended = [hold for hold in active if hold.until_ms <= clock_ms]
        for hold in sorted(ended, key=lambda h: (h.until_ms, h.number, h.rule, list(LANES).index(h.lane))):
            hold.active = False
            change = "unreviewed" if hold.lane == "review" else "expired"
            self._publish([(change, replace(hold), self._in_force(hold))])

    def _in_force(self, of: Hold) -> list[Hold]:
        """The number's holds in force in this lane, in the rules' order."""
        found = [h for h in self.holds.values() if h.active and h.number == of.number and h.lane == of.lane]
        return [replace(hold) for hold in sorted(found, key=lambda h: h.rule)]

    # -------------------------------------------------------------------------------------------------------- output

    def _publish(self, made: list[tuple[str, Hold, list[Hold]]], order: Order | None = None) -> None:
        """One event for all changes of one record to one number's holds in one lane, and a history row for each."""
        (change, hold, _), (_, _, in_force) = made[0], made[-1]
        number = f"+{hold.number}"
        shown = [self._hold(h) for h in in_force]
        standing = shown or [self._hold(hold)]
        ended = "expired" if order is None else "released"
        state = {
            "event_id": self._event_id(change, hold, order),
            "number": number,
            "state": "active" if in_force else "suspended" if made[-1][0] == "suspended" else ended,
            "change": change,
            "until": max(h["until"] for h in standing),
            "directions": [d for d in DIRECTIONS if any(d in h["directions"] for h in standing)],
            "actions": [f"block_{b}" for b in BLOCKS if any(f"block_{b}" in h["actions"] for h in standing)],
            "hold": self._hold(hold),
            "holds": shown,
        }
        self.out.append(Produced(LANES[hold.lane], number.encode(), orjson.dumps(state)))
        if hold.lane == "enforce":
            for change, hold, _ in made:
                row: dict[str, Any] = {"event_id": self._event_id(change, hold, order), "number": number}
                row |= {"change": change, "hold": self._hold(hold)}
                if order is not None:
                    row["order"] = order.shown()
                self.out.append(Produced(topics.BLOCK_HISTORY, number.encode(), orjson.dumps(row)))

    def _event_id(self, change: str, hold: Hold, order: Order | None) -> str:
        until = hold.until_ms if order is None else order.record["id"]
        return event_id(self._hold(hold)["block_id"], change, until)

    def _hold(self, hold: Hold) -> dict[str, Any]:
        review: dict[str, Any] = {"taken_by": hold.taken_by} if hold.taken_by else {}
        review |= {} if hold.review_by_ms is None else {"review_by": hold.review_by_ms}
        if hold.rule == len(self.rules.rules):
            return {
                "block_id": block_id(hold.number, OPERATOR, hold.from_ms),
                "rule": OPERATOR,
                "rules_version": self.rules.version,
                "from": hold.from_ms,
                "until": hold.until_ms,
                "directions": list(DIRECTIONS),
                "actions": [f"block_{b}" for b in BLOCKS],
                "reason": hold.reason,
                "evidence": [],
                "announcement": None,
                **review,
            }
        rule = self.rules.rules[hold.rule]
        return {
            "block_id": block_id(hold.number, rule.name, hold.from_ms),
            "rule": rule.name,
            "rules_version": self.rules.version,
            "from": hold.from_ms,
            "until": hold.until_ms,
            "directions": [d for d in DIRECTIONS if d in rule.directions],
            "actions": [f"block_{b}" for b in BLOCKS if b in rule.block] + (["cut_call"] if rule.cut_call else []),
            "reason": rule.summary,
            "evidence": hold.evidence,
            "announcement": rule.announcement,
            **hold.more,
            **review,
        }


def dead_letter(line: Line, error: RecordError) -> Produced:
    """The record verbatim with where it came from; records too large for the topic are not made here."""
    headers = (
        ("__connect.errors.topic", line.topic.encode()),
        ("__connect.errors.partition", str(line.partition).encode()),
        ("__connect.errors.offset", str(line.offset).encode()),
        ("__connect.errors.exception.class.name", error.code.encode()),
        ("__connect.errors.exception.message", str(error).encode()),
    )
    if (feed := name_of(None, line.value, FEEDS[line.topic].naming)) is not None:
        headers += (("feed", feed.encode()),)
    return Produced(topics.DEAD_LETTERS, line.key, line.value, headers)
