"""The decisions of one epoch: its firings, orders, and what silence makes of holds in review become changes of holds,
line by line."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import orjson

from schemas.json_reading import JsonReader
from streams.holds.again import period_of
from streams.holds.firings import ENFORCE, REVIEW, SHADOW, Firings
from streams.holds.hold import Change, Key, LedgerHold
from streams.holds.number_order import Answer, NumberOrder
from streams.holds.obey import held, obey
from streams.holds.passes import NEVER, Pass
from streams.holds.rulings import NOTHING
from streams.holds.silence import Due, Silence

if TYPE_CHECKING:
    from streams.holds.breaker import Gate
    from streams.holds.ledger import Ledger

HOUR_MS = 3_600_000
GAIN_SHARE = 0.05
_content: JsonReader[dict[str, object]] = JsonReader(dict)


class Decisions:
    """Parameters as of Ledger.apply."""

    def __init__(
        self,
        ledger: Ledger,
        firings: Firings,
        expire_by_clock: bool,
        gate: Gate | None,
        orders: Sequence[NumberOrder],
        silence: Silence | None,
    ) -> None:
        self._ledger, self._firings, self._gate = ledger, firings, gate
        self._expire_by_clock, self._orders, self._silence = expire_by_clock, orders, silence
        self._gain = np.maximum(HOUR_MS, np.rint(GAIN_SHARE * firings.period).astype(np.int64))
        asking = np.zeros(len(self._gain), np.int64) if gate is None else gate.asking()
        self._known = Pass(firings, self._gain, asking, ledger.hold)
        self.begun = -1  # the last line with an order, or behind which a hold fell due
        self._due: list[Due] = [] if silence is None else ledger.review_times.take_due(silence)

    def made(self) -> Iterator[Change | Answer]:
        k, line, orders = 0, self._firings.line, list(reversed(self._orders))
        while True:
            due_line = self._due[0][0] if self._due else NEVER
            order_line = orders[-1].line if orders else NEVER
            is_due = due_line < order_line  # behind its line, and an order in its place there
            stop = int(np.searchsorted(line, due_line, "right") if is_due else np.searchsorted(line, order_line))
            first = self._first_due()
            k = yield from self._fire(k, stop)
            if self._first_due() != first:
                continue  # a hold was opened that falls due before
            if is_due:
                yield from self._settle(heapq.heappop(self._due))
            elif orders:
                yield from self._obey(orders.pop())
            else:
                break
        for (_, rule, lane), count in self._known.refused().items():
            # Openings that the gate holds back would have been opened in review.
            self._ledger.note_at_bound(rule, REVIEW if lane == ENFORCE else lane, "not_opened", count)

    def _obey(self, order: NumberOrder) -> Iterator[Change | Answer]:
        self.begun = order.line
        if self._expire_by_clock:
            yield from self._ledger.expire(order.clock_before)
        yield from obey(self._ledger, order)
        self._known.know_again(order.number, self._ledger.hold)

    def _settle(self, due: Due) -> Iterator[Change]:
        """Ends a hold in review about which nobody has decided, and blocks, unless it may not be."""
        line, at_ms, number, _, rule = due
        ledger, silence = self._ledger, self._silence
        hold = ledger.hold((number, rule, REVIEW))
        if silence is None or hold is None or hold.review_by_ms != at_ms:
            return
        if self._expire_by_clock and not self._has_begun(line):
            self.begun = line
            yield from ledger.expire(silence.before(line))
        is_spoken_for = bool(ledger.rulings.against(number, ledger.rules[rule], at_ms)[0])
        ledger.end(hold, at_ms)
        yield Change("unreviewed", hold, -1)
        key, enforced = (number, rule, ENFORCE), ledger.hold((number, rule, ENFORCE))
        is_longer = enforced is None or not enforced.stands(at_ms) or enforced.until_ms < hold.until_ms
        if is_longer and not is_spoken_for and silence.may_block(number, at_ms):
            content = orjson.dumps(_content.read(hold.content) | {"unreviewed": True})
            yield held(ledger, key, at_ms, hold.until_ms, content, hold.partition)
        self._known.know_again(number, ledger.hold)

    def _has_begun(self, line: int) -> bool:
        """True if what ended before a line has been noticed there already: it is, before its first change."""
        start, stop = np.searchsorted(self._firings.line, (line, line + 1))
        return line == self.begun or bool(start < stop)

    def _fire(self, k: int, stop: int) -> Generator[Change, None, int]:
        """The changes by firings k to `stop`; returns the next one: before `stop`, if a hold was opened that falls due
        there."""
        ends, known, first = self._ledger.first_end, self._known, self._first_due()
        while True:
            due = ends() if self._expire_by_clock else NEVER
            k = known.next(k, stop, due)
            if k == stop:
                return k
            if known.clock_before[k] >= due:
                yield from self._ledger.expire(int(known.clock_before[k]))
                continue
            yield from self._change(k)
            k += 1
            if self._first_due() != first:
                return k

    def _first_due(self) -> Due | None:
        return self._due[0] if self._due else None

    def _change(self, k: int) -> Iterator[Change]:
        """The changes by firing k, which, as far as is known, opens or extends a hold."""
        ledger, firings, known, gate = self._ledger, self._firings, self._known, self._gate
        key, why = known.keys[known.group[k]], ""
        at, period, gain = int(firings.at[k]), int(firings.period[k]), int(known.gain_ms[k])
        change = "opened" if known.is_opening(k) else "extended"
        ruled, ruled_until_ms = "", NEVER
        if key[0] in ledger.rulings and key[2] != SHADOW:
            ruled, ruled_until_ms = ledger.rulings.against(key[0], ledger.rules[key[1]], at)
            if ruled == NOTHING:
                known.pass_until(k, ruled_until_ms, is_full=False)
                return
        if change == "opened" and key[2] == ENFORCE and (why := ruled or ("" if gate is None else gate.held_back(k))):
            key = (*key[:2], REVIEW)
            change = self._change_in_review(key, at, at + period, gain)
        hold, partition = ledger.hold(key), int(firings.partition[k])
        if change == "opened" and hold is None and key[2] != ENFORCE:
            group = (*key[1:], partition)
            if at < (opens_at := ledger.quota.opens_at(group, period - gain)):
                known.pass_until(k, opens_at, is_full=True)
                return
            for over in ledger.quota.crowd(group):
                yield from self._give_up(over, k)
        if change == "opened":
            held_ms = period_of(hold, at, period, ledger.again_ms.get(key[1], 0))
            hold = ledger.open(key, at, at + held_ms, partition)
        elif hold is not None and change:
            if hold.released_ms is not None:  # by an order older than the hold: what began it opens nothing more
                return
            ledger.extend(hold, at + period)
        known.know(key, hold)
        if hold is not None and why:
            until_ms = min(hold.until_ms, hold.until_ms + gain - period, ruled_until_ms if ruled else NEVER)
            known.pass_until(k, until_ms, is_full=False)
        if hold is not None and change:
            self._wait_for_review(hold, k, at)
            yield Change(change, hold, k, why)

    def _wait_for_review(self, hold: LedgerHold, k: int, at_ms: int) -> None:
        """Sets the time at which silence blocks, if the firing is one for which it does and none is set yet: whoever
        goes on does not put it off."""
        after_ms = int(self._firings.review_ms[k])
        if hold.lane != REVIEW or not after_ms or hold.review_by_ms is not None:
            return
        due_ms = hold.review_by_ms = at_ms + after_ms
        silence, line = self._silence, None
        if silence is not None:
            line = silence.falls_due(hold.partition, due_ms, int(self._firings.line[k]))
        if line is None:
            self._ledger.await_review(hold)
        else:
            heapq.heappush(self._due, (line, due_ms, hold.number, self._ledger.order_of(hold.rule), hold.rule))

    def _change_in_review(self, key: Key, at: int, until_ms: int, gain_ms: int) -> str:
        """The change by a firing that goes to review instead: "opened", "extended" or "" for none."""
        hold = self._ledger.hold(key)
        if hold is None or at >= hold.end_ms:
            return "opened"
        is_extended = hold.released_ms is None and at >= hold.from_ms and until_ms - hold.until_ms >= gain_ms
        return "extended" if is_extended else ""

    def _give_up(self, hold: LedgerHold, k: int) -> Iterator[Change]:
        """Ends a hold that makes way for the one that firing k opens. A hold that has ended already is only forgotten a
        little sooner."""
        number, rule, lane = key = hold.number, hold.rule, hold.lane
        self._ledger.forget(hold)
        self._known.know(key, None)
        self._known.look_again((number, rule, ENFORCE))
        if hold.active:
            hold.active = False
            self._ledger.note_at_bound(rule, lane, "given_up", 1)
            yield Change("expired", hold, k)
