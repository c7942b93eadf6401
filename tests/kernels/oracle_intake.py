"""The intake's rules with dicts that forget nothing: one partition's answers, event by event.

The vouched reading has dicts of its own, which hold events alone that somebody vouches for."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kernels.oracle_clocks import PlaceOracle

SETUP, ANSWER, RELEASE, COMPLETE = 1, 2, 3, 4
COPIES = 250

Identity = tuple[int, int, int]  # id, number, peer


@dataclass(frozen=True)
class Judged:
    """As `Accepted` says; what the vouched reading does not know of the event is None."""

    time: int
    verdict: int
    future: bool
    closed: bool = False
    duration: int = -1
    released: int = 0
    first_vouched: bool = False
    closed_vouched: bool | None = False
    duration_vouched: int | None = -1


class Memory:
    """The memory of one reading: (time, vouched for) by (kind, identity), and of answers by identity."""

    def __init__(self) -> None:
        self.first: dict[tuple[int, Identity], tuple[int, bool]] = {}
        self.answered: dict[Identity, tuple[int, bool]] = {}


class PartitionOracle:
    """own: lateness by feed, where it has one of its own. repeats: by event, where number and peer alone tell."""

    def __init__(
        self, lateness: int, ahead: int, answer_memory: int, own: dict[int, int] | None = None,
        repeats: dict[int, int] | None = None,
    ) -> None:  # fmt: skip
        self.repeats = repeats or {}
        self.place = PlaceOracle(lateness, ahead, own)
        self.answer_memory = answer_memory
        self.all, self.vouched = Memory(), Memory()

    def accept(
        self, feed: int, at: int, timestamp: int, event: int, id_hash: int, number: int, peer: int, duration: int,
        vouched: bool,
    ) -> Judged:  # fmt: skip
        t, late, future = self.place.judge(feed, vouched, at, timestamp, number)
        if late:
            return Judged(t, 1, future, duration=duration, duration_vouched=duration)
        who = 0 if event in self.repeats else id_hash, number, peer
        known, again, earlier = self._known_before(self.all, t, event, who, vouched)
        if known and not vouched:
            return Judged(t, 2, future, duration=duration, duration_vouched=duration)
        if not vouched:
            closed, duration, released = self._count(self.all, t, event, who, duration, False, again, earlier)
            return Judged(t, 0, future, closed, duration, released, False, None, None)
        known_vouched, again_vouched, earlier_vouched = self._known_before(self.vouched, t, event, who, True)
        if known_vouched:
            return Judged(t, 2, future, duration=duration, duration_vouched=duration)
        mine = self._count(self.vouched, t, event, who, duration, True, again_vouched, earlier_vouched)
        # In the reading of all, a duplicate takes the other one's place.
        every = self._count(self.all, t, event, who, duration, True, again, earlier)
        return Judged(t, 2 if known else 0, future, *every[:2], every[2] or mine[2], known, *mine[:2])

    def _known_before(
        self, of: Memory, t: int, event: int, who: Identity, vouched: bool
    ) -> tuple[bool, bool, int | None]:
        """(a duplicate there; of another call than the like one before it; that one's time)"""
        first, by_vouched = of.first.get((event, who), (None, False))
        floor = self.place.behind - self.place.lateness_max
        if first is None or first < (floor if by_vouched and not vouched else self.place.horizon):
            return False, False, None
        if event in self.repeats:
            again = t >= first + self.repeats[event] and (vouched or not by_vouched)
            return not again, again, first if again else None
        other, other_by_vouched = of.first.get((RELEASE if event == SETUP else SETUP, who), (None, False))
        again = event in (SETUP, ANSWER, RELEASE, COMPLETE)
        again &= other is not None and other >= self.place.horizon
        again &= vouched and other_by_vouched if by_vouched else True
        if again and event == SETUP:
            again = t > max(first, other) + COPIES
        elif again:
            again = other > first + COPIES and t >= other
        return not again, again, first if again else None

    def _count(
        self, of: Memory, t: int, event: int, who: Identity, duration: int, vouched: bool, again: bool,
        earlier: int | None,
    ) -> tuple[bool, int, int]:  # fmt: skip
        """(closed, duration, time of the release that an answer comes behind)"""
        of.first[event, who] = t, vouched
        released, _ = of.first.get((RELEASE, who), (None, False))
        if released is not None and released < self.place.horizon:
            released = None
        closed = event == SETUP and released is not None and released >= t - COPIES
        answer, by_vouched = of.answered.get(who, (None, False))
        if answer is not None and answer < self.place.clock - self.answer_memory:
            answer = None
        if event == ANSWER:
            overtaken = released is not None and released >= t and (again or answer is None)
            held, by_vouched = of.answered.get(who, (None, False))
            if vouched or held is None or held < self.place.behind - self.answer_memory or not by_vouched:
                of.answered[who] = t, vouched
            if overtaken:
                return closed, released - t, released
        elif event == RELEASE and duration == -1 and answer is not None and answer <= t:
            if earlier is None or answer > earlier:
                duration = t - answer
        return closed, duration, 0
