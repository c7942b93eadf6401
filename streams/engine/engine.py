"""`step`: one epoch of decoded columns in, the records to produce out. Pure: no clock, no I/O, no randomness.

    merge     all topics' events in arrival order              streams/ingest/merge.py
    intake    clocks; late, future, twice                      streams/ingest/admission.py
    counters  each counts and is read event by event           streams/counting/table.py, streams/counting/kinds/
    rules     `when` in one kernel, in two readings            streams/engine/evaluate.py, conditions.py beside it
    ledger    firings become changes of holds                  streams/holds/ledger.py
    output    changes become records                           streams/holds/output.py
    others    events of others than numbers are evaluated      streams/engine/others.py

Counters never depend on the ledger, so each stage runs over the whole epoch before the next one starts, and where
epochs end changes no output.
"""

from __future__ import annotations

import hashlib
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

import numpy as np
import orjson

from rules.model import MODES, RuleSet
from rules.registry import InForce
from schemas import topics
from schemas.feed_settings import FeedBook
from schemas.numbers import published
from streams.counting.counts import Counted, kept
from streams.counting.plan import named_by_text, plan_of
from streams.counting.table import ALL
from streams.engine.account import account
from streams.engine.awaited import noted
from streams.engine.compiled_rule import CompiledRule
from streams.engine.contract import Known, Outcome
from streams.engine.decoders import decoders_of
from streams.engine.evaluate import Evaluator, Fired, Watch
from streams.engine.known import known_of
from streams.engine.listed import RegisteredSenders
from streams.engine.order_reader import OrderReader
from streams.engine.others import OtherRules, about_numbers
from streams.holds.breaker import Breaker, Gate, gate_of
from streams.holds.hold import Change
from streams.holds.ledger import Ledger
from streams.holds.number_order import Answer, NumberOrder
from streams.holds.origins import relays_of
from streams.holds.output import FrozenChange, Output
from streams.holds.silence import Silence
from streams.holds.tally import HoldCounts, hold_counts
from streams.ingest.admission import Accepted
from streams.ingest.decode import ORDER, Decoded
from streams.ingest.epoch import OutRecord, home_of
from streams.ingest.feed_codes import Feeds
from streams.ingest.fields import RELAY
from streams.ingest.merge import Merged, merge
from streams.ingest.names import Names

LATENESS_MS = 3_600_000
NUMBERS_MAX = 1 << 25
ChangeWatch = Callable[[Change, Fired], None]


class Engine:
    """All state of one worker. Rules may read one topic or several.

    `also`: topics that are read besides those that rules count: their records are checked and told apart, count
    nowhere, and become dead letters where they are wrong. `expire_by_clock`: holds expire before the record that
    follows their end by the partition clocks (replay); otherwise only `expire` ends them (live, by wall time).
    `breaker`: the breaker, none unless given. `feeds`: the feeds and what is known of each."""

    def __init__(
        self,
        rules: RuleSet,
        *,
        also: Collection[str] = (),
        region: str = "KR",
        lateness_ms: int = LATENESS_MS,
        numbers_max: int = NUMBERS_MAX,
        expire_by_clock: bool = False,
        breaker: Breaker | None = None,
        feeds: Feeds | None = None,
    ) -> None:
        self.rules = rules
        plan = plan_of(rules, also)
        self.topics = plan.topics
        self.lateness_ms = lateness_ms
        self.expire_by_clock = expire_by_clock
        self.breaker = breaker or Breaker()
        self.partitions = 0  # of the inputs; 0 in a replay, which reads files
        self.group = ""
        self.ledger = Ledger([rule.name for rule in rules.rules], _again_ms(rules))
        self.feeds = feeds or Feeds()
        self.names = Names(named_by_text(plan.others))
        self.decoders = decoders_of(rules, self.topics, region, self.feeds, self.names)
        self._kinds = {n: kind for decoder in self.decoders.values() for n, kind in decoder.kinds().items()}
        compiled = [CompiledRule(slot, rule) for slot, rule in enumerate(rules.rules)]
        self._counted = Counted(plan, lateness_ms, numbers_max, self.feeds.lateness_ms, self.feeds.leg)
        self._compiled = about_numbers(compiled)
        self._evaluator = Evaluator(rules, self._compiled, self._counted)
        self._others = OtherRules(rules, compiled, self._counted.others)
        self.registry = self._evaluator.registry
        self._output = Output(self.ledger)
        self._orders = OrderReader(self._evaluator)
        self._waits_for_review = any(rule.review_ms for rule in rules.rules)
        self._spoofable = frozenset(slot for slot, rule in enumerate(rules.rules) if rule.spoofable)
        self._also, self._numbers_max, self._region = also, numbers_max, region
        self._change_watch: ChangeWatch | None = None

    # -- one epoch ---------------------------------------------------------------------------------------------

    def step(self, decoded: list[Decoded], unread: Sequence[tuple[int, OutRecord]] = ()) -> Outcome:
        """Counts one epoch and evaluates the rules. unread: (line, dead letter) of records that the caller could not
        even hand to a decoder."""
        outcome = Outcome()
        outcome.records += [stray for part in decoded for stray in part.rekeyed]
        dead = [letter for part in decoded for letter in zip(part.dead_lines, part.dead_letters, strict=True)]
        outcome.records += [record for _, record in sorted([*dead, *unread], key=itemgetter(0))]
        for part in decoded:  # a topic's own records and those that came through `rekeyed` are one feed
            outcome.feeds.setdefault(part.topic, Tally()).update(part.counts)
            outcome.by_feed.update({(part.topic, *told): count for told, count in part.by_feed.items()})
        events = merge(decoded, self._kinds)
        last_line = max((part.last_line for part in decoded), default=-1)
        ended = -1  # the last line before which holds have expired
        clock_before = self._clock_max()
        derived = self._others.known(decoded)
        if events.n:
            accepted = self._counted.accept(events)
            account(outcome, events, accepted, self.topics, self.feeds)
            before = accepted.clock_max_before[events.first_of_line()]
            counting, places = kept(events, accepted, self._counted.ignored)
            if self._others:
                outcome.derived = self._others.gather(counting, self.names.of, not self.partitions)
                counting, places = self._counted.of_numbers(counting, places)
            orders = self._orders.of(events, accepted) if ORDER in events.columns else ()
            registered = RegisteredSenders(self.ledger.registrations, self.ledger.registrations.during(orders))
            fired = self._evaluator.firings(counting, before[places], registered)
            firings = fired.firings
            gate = gate_of(
                self.breaker, self.ledger.rules, self._spoofable, firings, events, accepted.place_clock, places
            )
            names = {code: name for part in decoded for code, name in part.relays.items()}
            changes = self._changes(fired, gate, orders, self._silence(events, accepted), counting, names)
            self._emit(outcome, noted(changes, outcome.awaited, counting, fired))
            outcome.listed = fired.matches
            outcome.at_bound = self.ledger.at_bound()
            outcome.trips = self.breaker.trips()
            ended = self.ledger.begun
            # An epoch may end in dead letters: they are lines too, and holds expire before them.
            clock_before = int(before[-1]) if events["line"][-1] == last_line else self._clock_max()
        if self.expire_by_clock and ended < last_line:
            self._emit(outcome, ((-1, change) for change in self.ledger.expire(clock_before)))
        if self._others:
            self._others.recommend(outcome, derived if self.partitions else outcome.derived, self.partitions)
        outcome.ledger += self._ledger_rows()
        return outcome

    def expire(self, now_ms: int) -> Outcome:
        """Expiry notices and tombstones that are due by wall time."""
        outcome = Outcome()
        self._emit(outcome, ((-1, change) for change in self.ledger.expire(now_ms)))
        for number in self.ledger.bury(now_ms):
            outcome.records.append(OutRecord(topics.BLOCK_EVENTS, published(number).encode(), None))
        outcome.ledger = self._ledger_rows()
        return outcome

    def load_ledger(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """(key, value) rows of a partition's ledger in log order. Raises LedgerRowError, and then nothing has
        changed."""
        self._others.sanctions.load(rows := list(rows))
        self.ledger.load(rows, self.partitions)

    def maintain(self) -> None:
        """Does a bounded piece of reclaiming work; changes no later reading."""
        self._counted.reclaim(self.partitions)

    # -- state of one partition --------------------------------------------------------------------------------

    def count(self, decoded: list[Decoded]) -> None:
        """Counts an epoch that was evaluated before: no rule, no hold, nothing to produce."""
        events = merge(decoded, self._kinds)
        if events.n:
            counting, places = kept(events, self._counted.accept(events), self._counted.ignored)
            self._counted.count(self._counted.of_numbers(counting, places)[0])
        self._others.count(self._others.known(decoded))

    def image(self, partition: int, whole: bool) -> list[bytes]:
        """Returns the image of a partition as chunks of half a megabyte at most: all of it, or the changes since its
        last image; all as well if `image_must_be_whole`. They are copies: counting may go on."""
        return self._counted.images.take(partition, self._known_partitions(), whole)

    def image_must_be_whole(self, partition: int) -> bool:
        """True if the next image cannot build on the ones before."""
        return self._counted.images.must_be_whole(partition)

    def load(self, partition: int, piece: bytes) -> int:
        """Loads a chunk of an image, in the order in which they were taken; returns how many numbers it had. Raises
        ImageError: damaged, of another format, of another partition."""
        return self._counted.images.load(partition, self._known_partitions(), piece)

    def drop(self, partition: int) -> None:
        """Forgets everything of the partition: counters, memories, clocks, holds."""
        self._counted.images.drop(partition, self._known_partitions())
        self.ledger.drop(self.ledger.numbers_of(partition, self.partitions))
        self._others.sanctions.drop(partition, self.partitions)
        self.breaker.drop(partition)

    def begin(self, partition: int, topic: str, complete: bool) -> None:
        """A place starts without a snapshot, before its first event. `complete`: its log is read from its very first
        record; otherwise its counters may lack events at first, and evidence says so."""
        if not complete:
            self._counted.begin(partition, topic)

    def warming(self) -> int:
        """The number of (counter, place) that may lack events."""
        return self._counted.places.warming() + self._counted.others.warming()

    def digest(self, partition: int) -> str:
        """Equal for engines whose readings, clocks, memories and holds of the partition are equal, however they came
        to them. Levels count to nine digits."""
        digest = hashlib.blake2b(self._counted.digest(partition, self._known_partitions()), digest_size=16)
        for number in self.ledger.numbers_of(partition, self.partitions):
            digest.update(b"%d=%b\n" % (number, self.ledger.row(number) or b""))
        digest.update(self._others.sanctions.digest(partition, self.partitions))
        digest.update(self.breaker.row(partition) or b"")
        return digest.hexdigest()

    def readings(
        self, partition: int, reading: str = ALL
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
        """Returns the readings of a partition's numbers, each as of its newest event, topic by topic: (topic, numbers
        int64[k] ascending, newest times int64[k] ms, by counter float64[k])."""
        return self._counted.readings(partition, self._known_partitions(), reading)

    def with_rules(self, rules: RuleSet, feeds: FeedBook | None = None) -> Engine:
        """The same state under other rules: counters whose definition did not change keep theirs, new ones warm. feeds:
        other settings of feeds, for what is decoded from here on. This engine must not be used any more."""
        known = self.feeds if feeds is None else self.feeds.under(feeds)
        new = Engine(
            rules, also=self._also, region=self._region, lateness_ms=self.lateness_ms, numbers_max=self._numbers_max,
            expire_by_clock=self.expire_by_clock, breaker=self.breaker, feeds=known,
        )  # fmt: skip
        new.partitions, new.group = self.partitions, self.group
        new.ledger = self.ledger.under([rule.name for rule in rules.rules], _again_ms(rules))
        new._output = Output(new.ledger)
        new._others.sanctions = self._others.sanctions
        new._counted.inherit(self._counted, self.partitions)
        self.breaker.change(self.rules, rules, new.ledger, max(1, self.partitions))
        new.registry = InForce(new.registry.files, self.registry.told)
        return new

    @property
    def reads(self) -> tuple[str, ...]:
        """The topics that a worker reads: the inputs, those of strays and of events that are counted for others."""
        return (*self.topics, topics.REKEYED, *[topics.DERIVED] * bool(self._others or topics.DERIVED in self._also))

    @property
    def feeds_version(self) -> str:
        """Of the settings of feeds that records are decoded under; "" without any."""
        return self.feeds.book.version

    @property
    def registry(self) -> InForce:
        """The registry by which rules are evaluated from here on."""
        return self._evaluator.registry

    @registry.setter
    def registry(self, registry: InForce) -> None:
        self._evaluator.registry = registry
        self._counted.go_by(registry.credit)

    def watch(self, watch: Watch) -> None:
        """Shows every later epoch to `watch`: its events, and each rule's columns and firings."""
        self._evaluator.watch = watch

    def watch_changes(self, watch: ChangeWatch) -> None:
        """Shows every later change of a hold in an epoch to `watch`, in place of making a record of it."""
        self._change_watch = watch

    def unblockable(self, number: int) -> str:
        """The reason why no rule may block a number, of streams.holds.number_order.REFUSALS; "" for none."""
        return self._evaluator.unblockable(number)

    def known_of(self, number: int, partition: int) -> Known:
        """All that is known of one number, which is the partition's. Changes nothing."""
        return known_of(
            number, partition, self._compiled, self._counted, self._evaluator, self._output, self.ledger
        )  # fmt: skip

    def clocks(self) -> dict[tuple[str, int], int]:
        """The event time of each (topic, partition) that was heard, ms."""
        return self._counted.places.clocks()

    def hold_counts(self) -> HoldCounts:
        """The numbers that are held now, by rule and mode. It looks at every hold."""
        return hold_counts(self.ledger, self.ledger.rules)

    def stats(self) -> dict[str, float]:
        return self._counted.stats() | {"active_holds": len(self.ledger)}

    def _known_partitions(self) -> int:
        if not self.partitions:
            raise ValueError("the engine's `partitions` is 0: which numbers belong to a partition is not known")
        return self.partitions

    # -- stages ------------------------------------------------------------------------------------------------

    def _clock_max(self) -> int:
        return self._counted.intake.clock_max()

    def _silence(self, events: Merged, accepted: Accepted) -> Silence | None:
        """None while silence blocks nothing."""
        if self.breaker.paused or not (self._waits_for_review or len(self.ledger.review_times)):
            return None
        clocks = accepted.place_clock, accepted.clock_max_before
        return Silence(home_of(events["partition"]), events["line"], *clocks, self._evaluator.may_be_blocked)

    def _changes(
        self,
        fired: Fired,
        gate: Gate | None,
        orders: Sequence[NumberOrder],
        silence: Silence | None,
        counting: Merged,
        names: Mapping[int, str],
    ) -> Iterator[tuple[int, Change | Answer]]:
        """(line, change or answer) in order, each hold's content brought up to date. names: of relays, by their
        hashes."""
        for change in self.ledger.apply(fired.firings, self.expire_by_clock, gate, orders, silence):
            if self._change_watch is not None:
                if isinstance(change, Change):
                    self._change_watch(change, fired)
                continue
            if isinstance(change, Answer) or change.firing < 0:
                yield -1 if change.order is None else change.order.line, change
                continue
            if change.change != "expired":  # to make way for the hold that this firing opens
                change.diverted = change.diverted or fired.diverted(change.firing)
                content = self._evaluator.content(fired, change.firing)
                if change.diverted:
                    content["diverted"] = change.diverted
                if fired.rule(change.firing).stop_at_origin:
                    code = int(counting[RELAY][fired.firings.event[change.firing]])
                    content["relays"] = relays_of(change, names.get(code, ""))
                change.hold.content = orjson.dumps(content)
            yield int(fired.firings.line[change.firing]), change

    def _emit(self, outcome: Outcome, changes: Iterable[tuple[int, Change | Answer]]) -> None:
        """One state record per input record, number and lane. Expiries stand alone; those by the clock (line -1) end
        what came before."""
        pending: dict[int, list[FrozenChange]] = {}  # by lane: one record's changes may go to and fro between lanes
        pending_line = -1
        for line, change in changes:
            if line != pending_line or line < 0:
                self._flush(outcome, pending)
            if isinstance(change, Answer):
                self._flush(outcome, pending)
                outcome.records.append(self._output.answer(change))
                outcome.orders[change.order.action, change.why or "obeyed"] += 1
                continue
            frozen = self._output.freeze(change)
            if line >= 0 and change.change == "expired":  # another number's
                outcome.records += self._output.records([frozen])
            else:
                pending.setdefault(change.hold.lane, []).append(frozen)
            pending_line = line
            rule = self.ledger.rules[change.hold.rule]
            outcome.changes[rule, MODES[change.hold.lane], change.change] += 1
            if change.diverted:
                outcome.diverted[change.diverted] += 1
        self._flush(outcome, pending)

    def _ledger_rows(self) -> list[OutRecord]:
        """The ledger rows of the holds that changed. None in a replay, which has no partitions: nobody would read
        them."""
        if self.partitions:
            return self._output.ledger_rows()
        self.ledger.touched()
        return []

    def _flush(self, outcome: Outcome, pending: dict[int, list[FrozenChange]]) -> None:
        for changes in pending.values():
            outcome.records += self._output.records(changes)
        pending.clear()


def _again_ms(rules: RuleSet) -> dict[str, int]:
    return {rule.name: rule.again_ms for rule in rules.rules if rule.again_ms}
