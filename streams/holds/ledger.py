"""The ledger: all holds, one per number, rule and lane. Event time alone decides; no clock, no I/O.

A firing at t opens a hold (none yet, or t at or behind its end), extends it (inside it, when that gains at least an
hour and 5 % of the period), or changes nothing (design, section 6). Firings are levels, not edges: an offender's every
event fires, so a compiled loop passes over those that change nothing and Python sees only the changes.

Beside enforcement, in review and in shadow, a rule has a bound (streams/holds/quota.py): numbers can be forged.

Holds outlive the worker, as rows of the ledger topic (streams/holds/ledger_rows.py), and the rule files: a rule that is
no longer loaded keeps its holds until they end, and one that changed its mode keeps those it has in the old one.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from rules.model import MODES
from streams.holds import ledger_rows
from streams.holds.decisions import Decisions
from streams.holds.firings import ENFORCE, LANES, REVIEW, Firings
from streams.holds.hold import Change, Key, LedgerHold
from streams.holds.ledger_rows import KeptHold, Registration, Ruling, homes_of
from streams.holds.number_order import Answer, NumberOrder
from streams.holds.passes import NEVER
from streams.holds.quota import Quota
from streams.holds.registrations import REGISTRATIONS_MAX, Registrations
from streams.holds.rulings import Rulings, with_ruling
from streams.holds.silence import ReviewTimes, Silence

if TYPE_CHECKING:
    from streams.holds.breaker import Gate


TOMBSTONE_AFTER_MS = 7 * 86_400_000
STALE_MIN = 1024  # entries of a heap that may be stale, were there no hold at all


class Ledger:
    """All holds of one worker. rules: their names in file order; a rule's slot is its index there. again_ms: by name,
    the longer period of rules that have one for who does it again.

    Rules that only loaded rows know get the slots after these. Among a number's holds they come last, by name: an order
    that does not depend on which row was read first."""

    def __init__(self, rules: Sequence[str], again_ms: Mapping[str, int] | None = None) -> None:
        self.rules = list(rules)
        self._loaded = len(self.rules)
        self._slots = {name: slot for slot, name in enumerate(self.rules)}
        self.again_ms = {self._slots[name]: period_ms for name, period_ms in (again_ms or {}).items()}
        self._holds: dict[Key, LedgerHold] = {}
        self._by_number: dict[tuple[int, int], list[LedgerHold]] = {}  # (number, lane)
        self._ends: list[tuple[int, int, tuple[int, str], int, int]] = []  # heap of `_end`; stale entries stay
        self._tombstones: list[tuple[int, int]] = []  # heap of (due, number); stale entries stay, too
        self.quota = Quota()
        self.review_times = ReviewTimes()
        self._at_bound: Counter[tuple[str, str, str]] = Counter()
        self._touched: dict[int, None] = {}  # numbers, in the order in which their holds changed
        self.rulings = Rulings()
        self.begun = -1  # the last line of the last epoch at which what had ended was noticed
        self.registrations = Registrations()

    def __iter__(self) -> Iterator[LedgerHold]:
        return iter(self._holds.values())

    def __len__(self) -> int:
        return sum(hold.active for hold in self._holds.values())

    @property
    def waiting(self) -> int:
        """Ends, tombstones and reviews that wait for their time, stale ones included."""
        return len(self._ends) + len(self._tombstones) + len(self.review_times)

    def in_force(self, number: int, lane: int) -> list[LedgerHold]:
        """Active holds of a number in the rules' file order."""
        return [hold for hold in self.holds_of(number, lane) if hold.active]

    def touched(self) -> list[int]:
        """Numbers whose holds have changed since the last call."""
        numbers = list(self._touched)
        self._touched.clear()
        return numbers

    def row(self, number: int) -> bytes | None:
        """All holds of a number as its row in the ledger topic; None when it has none."""
        holds = [
            KeptHold(
                self.rules[hold.rule],
                ledger_rows.mode_of(lane),
                hold.from_ms,
                hold.until_ms,
                hold.active,
                hold.content,
                hold.released_ms,
                hold.taken_by,
                hold.review_by_ms,
            )
            for lane in LANES
            for hold in self.holds_of(number, lane)
        ]
        spoken = self.rulings.of(number), self.registrations.of(number)
        return ledger_rows.encode(holds, *spoken) if holds or any(spoken) else None

    def load(self, rows: Iterable[tuple[bytes, bytes | None]], partitions: int = 0) -> int:
        """Takes over (key, value) rows in log order: the last row of a number replaces its holds. Returns how many
        numbers have holds by these rows. Raises LedgerRowError; nothing has changed then. partitions: the partition
        count of the inputs, 0 when it is not known."""
        last = ledger_rows.last_rows(rows)
        kept = {
            number: ([], [], []) if value is None else ledger_rows.decode(number, value)
            for number, value in last.items()
        }
        self.drop(kept)
        homes = homes_of(np.array(list(kept), np.int64), max(1, partitions)).tolist()
        for (number, (holds, rulings, registrations)), home in zip(kept.items(), homes, strict=True):
            for hold in holds:
                rule, lane, content = self.slot(hold.rule), MODES.index(hold.mode), orjson.dumps(hold.content)
                times = hold.from_, hold.until, hold.active
                more = hold.released, hold.taken_by, hold.review_by
                self._adopt(LedgerHold(number, rule, lane, *times, content, home, *more))
            self._keep(number, rulings, registrations)
        return sum(bool(holds) for holds, _, _ in kept.values())

    def numbers_of(self, partition: int, partitions: int) -> list[int]:
        """The numbers with holds, rulings or registrations that belong to this partition, ascending."""
        known = [*(number for number, _ in self._by_number), *self.rulings, *self.registrations]
        numbers = np.unique(np.array(known, np.int64))
        return numbers[homes_of(numbers, partitions) == partition].tolist()

    def enforced_by_partition(self, partitions: int) -> list[int]:
        """For each partition, how many enforced holds are in force."""
        held = [hold.number for hold in self._holds.values() if hold.active and hold.lane == ENFORCE]
        return np.bincount(homes_of(np.array(held, np.int64), partitions), minlength=partitions).tolist()

    def drop(self, numbers: Iterable[int]) -> None:
        """Forgets all holds of these numbers, as if they had never been: they are another worker's now."""
        for number in numbers:
            self._touched.pop(number, None)
            self.rulings.put(number, ())
            self.registrations.put(number, ())
            for lane in LANES:
                for hold in list(self._by_number.get((number, lane), ())):
                    self._forget(hold)

    def under(self, rules: Sequence[str], again_ms: Mapping[str, int] | None = None) -> Ledger:
        """The same holds under other rules; this ledger stays as it is."""
        other = Ledger(rules, again_ms)
        slots = {rule: other.slot(self.rules[rule]) for rule in {hold.rule for hold in self._holds.values()}}
        for hold in self._holds.values():
            other._adopt(replace(hold, rule=slots[hold.rule]))
        for number in {*self.rulings, *self.registrations}:
            other._keep(number, self.rulings.of(number), self.registrations.of(number))
        other._touched = dict(self._touched)
        return other

    # -- changes -----------------------------------------------------------------------------------------------

    def apply(
        self,
        firings: Firings,
        expire_by_clock: bool,
        gate: Gate | None = None,
        orders: Sequence[NumberOrder] = (),
        silence: Silence | None = None,
    ) -> Iterator[Change | Answer]:
        """Changes in order, and behind those by an order the answer to it. With `expire_by_clock`, holds that ended by
        the clock before a firing's record expire before it; those that end between firings, or were opened in the past
        by the last record, are left to `expire`. What `gate` holds back of the openings that a rule would enforce goes
        to review. orders: ascending by line. silence: None while nothing is blocked by it."""
        decisions = Decisions(self, firings, expire_by_clock, gate, orders, silence)
        yield from decisions.made()
        self.begun = max(decisions.begun, int(firings.line[-1]) if len(firings.line) else -1)

    def at_bound(self) -> Counter[tuple[str, str, str]]:
        """Counts since the last call, by (rule, mode, "given_up" or "not_opened"): holds that made way for others, and
        firings that opened nothing because their rule has as many holds as it may have."""
        counts, self._at_bound = self._at_bound, Counter()
        return counts

    def expire(self, clock_ms: int) -> Iterator[Change]:
        """Holds that ended at or before `clock_ms`, ordered by (until, number, rule)."""
        while self._ends and self._ends[0][0] <= clock_ms:
            until, number, _, rule, lane = heapq.heappop(self._ends)
            hold = self._holds.get((number, rule, lane))
            if hold is None or not hold.active or hold.until_ms != until:
                continue
            if hold.review_by_ms is not None:  # before its end silence will have ended it
                continue
            hold.active = False
            self._touched[number] = None
            self._push(self._tombstones, _tombstone(hold))
            yield Change("unreviewed" if lane == REVIEW else "expired", hold, -1)

    def bury(self, now_ms: int) -> Iterator[int]:
        """Forgets, lane by lane, the holds of numbers whose last one there ended TOMBSTONE_AFTER_MS ago; yields the
        numbers that had an enforced one, ordered by (end of the last, number)."""
        due: set[int] = set()
        while self._tombstones and self._tombstones[0][0] <= now_ms:
            due.add(heapq.heappop(self._tombstones)[1])
        over = []
        for number_lane in ((number, lane) for number in due for lane in LANES):
            holds = self._by_number.get(number_lane)
            if holds and not any(hold.active or hold.until_ms + TOMBSTONE_AFTER_MS > now_ms for hold in holds):
                over.append((max(hold.until_ms for hold in holds), *number_lane))
        for number in sorted(due):
            for kept in (self.rulings, self.registrations):
                if kept.forget(number, now_ms - TOMBSTONE_AFTER_MS):
                    self._touched[number] = None
        for _, number, lane in sorted(over):
            for hold in list(self._by_number[number, lane]):
                self._forget(hold)
            self._touched[number] = None
            if lane == ENFORCE:
                yield number

    def open(self, key: Key, from_ms: int, until_ms: int, partition: int) -> LedgerHold:
        hold = self._holds.get(key)
        if hold is None:
            hold = self._adopt(LedgerHold(*key, from_ms, until_ms, True, b"", partition))
            self._touched[hold.number] = None
        else:
            hold.from_ms, hold.released_ms, hold.taken_by, hold.review_by_ms = from_ms, None, "", None
            self.extend(hold, until_ms)
        return hold

    def end(self, hold: LedgerHold, at_ms: int) -> None:
        """Ends a hold before its `until`."""
        hold.active, hold.released_ms, hold.review_by_ms = False, at_ms, None
        self._touched[hold.number] = None
        self._push(self._tombstones, _tombstone(hold))

    def rule_on(self, number: int, rulings: Iterable[Ruling]) -> None:
        """Sets all rulings that stand about a number."""
        self._touched[number] = None
        self._keep(number, rulings, self.registrations.of(number))

    def add_ruling(self, number: int, ruling: Ruling) -> None:
        self.rule_on(number, with_ruling(self.rulings.of(number), ruling))

    def register(self, number: int, registrations: Iterable[Registration]) -> None:
        """Sets all registrations that stand for a number."""
        self._touched[number] = None
        self._keep(number, self.rulings.of(number), registrations)

    def _keep(self, number: int, rulings: Iterable[Ruling], registrations: Iterable[Registration]) -> None:
        self.rulings.put(number, rulings)
        self.registrations.put(number, registrations)
        for end_ms in self._spoken_until(number):
            self._push(self._tombstones, (end_ms + TOMBSTONE_AFTER_MS, number))

    def _spoken_until(self, number: int) -> list[int]:
        """The ends of what orders have left behind about a number."""
        return [*self.rulings.ends(number), *self.registrations.ends(number)]

    def hold(self, key: Key) -> LedgerHold | None:
        return self._holds.get(key)

    def hold_of(self, number: int, rule: str, lane: int) -> LedgerHold | None:
        return self._holds.get((number, self.slot(rule), lane))

    def touch(self, number: int) -> None:
        """Notes that a number's holds have changed."""
        self._touched[number] = None

    def first_end(self) -> int:
        """The first end that may have to be noticed, ms; NEVER if there is none."""
        return self._ends[0][0] if self._ends else NEVER

    def await_review(self, hold: LedgerHold) -> None:
        """Looks at a hold in review again at its `review_by_ms`."""
        self.review_times.add(hold, self.order_of(hold.rule))
        if len(self.review_times) > STALE_MIN + 2 * len(self._holds):
            waiting = (hold for hold in self._holds.values() if hold.review_by_ms is not None)
            self.review_times.restart((hold, self.order_of(hold.rule)) for hold in waiting)

    def note_at_bound(self, rule: int, lane: int, what: str, count: int) -> None:
        self._at_bound[self.rules[rule], MODES[lane], what] += count

    def extend(self, hold: LedgerHold, until_ms: int) -> None:
        """Moves the end of a hold, which is in force again if it was not."""
        hold.until_ms, hold.active = until_ms, True
        self._touched[hold.number] = None
        self._push(self._ends, self._end(hold))

    def _adopt(self, hold: LedgerHold) -> LedgerHold:
        """Adds a hold that is new to the ledger."""
        self._holds[hold.number, hold.rule, hold.lane] = hold
        self._by_number.setdefault((hold.number, hold.lane), []).append(hold)
        if hold.lane != ENFORCE:
            self.quota.add(hold)
        if hold.review_by_ms is not None:
            self.await_review(hold)
        if hold.active:
            self._push(self._ends, self._end(hold))
        else:
            self._push(self._tombstones, _tombstone(hold))
        return hold

    def forget(self, hold: LedgerHold) -> None:
        """Forgets a hold, as its number's row will."""
        self._forget(hold)
        self.touch(hold.number)

    def _forget(self, hold: LedgerHold) -> None:
        del self._holds[hold.number, hold.rule, hold.lane]
        number_lane = hold.number, hold.lane
        self._by_number[number_lane].remove(hold)
        if not self._by_number[number_lane]:
            del self._by_number[number_lane]
        if hold.lane != ENFORCE:
            self.quota.remove(hold)

    def _push(self, heap: list[Any], entry: tuple[Any, ...]) -> None:
        """Extensions and holds that are forgotten leave entries behind: a bounded number for each that is there."""
        heapq.heappush(heap, entry)
        spoken = len(self.rulings) + len(self.registrations)
        if len(heap) > STALE_MIN + 2 * len(self._holds) + REGISTRATIONS_MAX * 2 * spoken:
            self._ends[:] = [self._end(hold) for hold in self._holds.values() if hold.active]
            self._tombstones[:] = [_tombstone(hold) for hold in self._holds.values() if not hold.active]
            for number in {*self.rulings, *self.registrations}:
                self._tombstones += [(end_ms + TOMBSTONE_AFTER_MS, number) for end_ms in self._spoken_until(number)]
            heapq.heapify(self._ends)
            heapq.heapify(self._tombstones)

    def _end(self, hold: LedgerHold) -> tuple[int, int, tuple[int, str], int, int]:
        return hold.until_ms, hold.number, self.order_of(hold.rule), hold.rule, hold.lane

    def holds_of(self, number: int, lane: int) -> list[LedgerHold]:
        """All holds of a number in the rules' file order, those that have ended included."""
        return sorted(self._by_number.get((number, lane), ()), key=lambda hold: self.order_of(hold.rule))

    def order_of(self, rule: int) -> tuple[int, str]:
        """The key by which rules are sorted: in the files' order, then by name those that no file has any more."""
        return (rule, "") if rule < self._loaded else (self._loaded, self.rules[rule])

    def slot(self, name: str) -> int:
        slot = self._slots.setdefault(name, len(self.rules))
        if slot == len(self.rules):
            self.rules.append(name)
        return slot


def _tombstone(hold: LedgerHold) -> tuple[int, int]:
    return hold.until_ms + TOMBSTONE_AFTER_MS, hold.number
