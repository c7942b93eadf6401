"""Which events of a partition count, in which reading and at what time: plain, with nothing ever forgotten."""

from __future__ import annotations

from dataclasses import replace

from tests.kernels.oracle_clocks import PlaceOracle
from tests.reference.counting import Event, Identity

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
AHEAD_MS = 5 * MINUTE_MS
LATENESS_MS = HOUR_MS
ANSWER_MEMORY_MS = 4 * HOUR_MS
COPIES_MS = 250
REPEATS_MS = {"report": MINUTE_MS}  # one and the same peer's, whatever their ids
CALLS = ("setup", "answer", "release", "complete")
READINGS = ("vouched", "all")

Seen = tuple[int, bool]  # time, and whether somebody vouched


class Memory:
    """The memory of identities and answers of one reading."""

    def __init__(self) -> None:
        self.ids: dict[tuple[str, Identity], Seen] = {}
        self.answers: dict[Identity, Seen] = {}

    def find(self, event: str, id: Identity, clock_ms: int) -> Seen | None:
        seen = self.ids.get((event, id))
        return seen if seen is not None and seen[0] >= clock_ms - LATENESS_MS else None

    def answer(self, id: Identity, clock_ms: int) -> Seen | None:
        seen = self.answers.get(id)
        return seen if seen is not None and seen[0] >= clock_ms - ANSWER_MEMORY_MS else None

    def before(self, event: Event, clock_ms: int, behind_ms: int) -> tuple[bool, int | None]:
        """(the event is a duplicate; the time of the like event of an earlier call with this id)"""
        like = self.ids.get((event.event, event.id))
        # A clock of events that nobody vouches for makes nothing of the others expire.
        until_ms = behind_ms if like is not None and like[1] and not event.vouched else clock_ms
        like = self.find(event.event, event.id, until_ms)
        if like is None:
            return False, None
        if event.event in REPEATS_MS:
            is_later = event.at_ms >= like[0] + REPEATS_MS[event.event] and (event.vouched or not like[1])
            return (False, like[0]) if is_later else (True, None)
        other = self.find("release" if event.event == "setup" else "setup", event.id, clock_ms)
        if event.event not in CALLS or other is None or (like[1] and not (event.vouched and other[1])):
            return True, None
        if event.event == "setup":
            is_later = event.at_ms > max(like[0], other[0]) + COPIES_MS
        else:
            is_later = other[0] > like[0] + COPIES_MS and event.at_ms >= other[0]
        return (False, like[0]) if is_later else (True, None)


class Partition:
    """The clocks of one partition of one topic, and what either reading remembers. trusted: its records move the clock
    by every step, as operators' do."""

    def __init__(self, trusted: bool = False) -> None:
        self.clocks = PlaceOracle(LATENESS_MS, AHEAD_MS, trusted=trusted)
        self.memories = {reading: Memory() for reading in READINGS}

    def accept(self, event: Event, ts_ms: int, feed: str) -> list[dict[str, Event]]:
        """The event by the readings in which it counts, with its time and what earlier events there say about it; and
        likewise, behind it, the release that has waited for its answer."""
        event.at_ms, is_late, _ = self.clocks.judge(feed, event.vouched, event.at_ms, ts_ms, event.number)
        if is_late:
            return []
        if event.event in REPEATS_MS:
            event.id = ("", *event.id[1:])
        clock_ms, behind_ms = self.clocks.clock, self.clocks.behind
        found = {reading: memory.before(event, clock_ms, behind_ms) for reading, memory in self.memories.items()}
        fresh = {
            "vouched": event.vouched and not found["vouched"][0],
            "all": not found["all"][0],
        }
        counts, amended = {}, {}
        for reading, memory in self.memories.items():
            # In the reading of all an event that is vouched for takes the place of one that is not.
            if fresh["vouched"] or (fresh["all"] and reading == "all"):
                seen = replace(event, fields=dict(event.fields))
                release = self._remember(memory, seen, clock_ms, found[reading][1])
                if fresh[reading]:
                    counts[reading] = seen
                    if release is not None:
                        amended[reading] = release
        return [each for each in (counts, amended) if each]

    def accept_order(self, event: Event, ts_ms: int) -> tuple[bool, bool]:
        """(the order is late, the order came before), its time then being final."""
        event.at_ms, is_late, _ = self.clocks.judge("", False, event.at_ms, ts_ms, event.number)
        memory, clock_ms = self.memories["all"], self.clocks.clock
        came_before = not is_late and memory.before(event, clock_ms, self.clocks.behind)[0]
        if not (is_late or came_before):
            self._remember(memory, event, clock_ms, None)
        return is_late, came_before

    def _remember(self, memory: Memory, event: Event, clock_ms: int, earlier_ms: int | None) -> Event | None:
        memory.ids[event.event, event.id] = event.at_ms, event.vouched
        release = memory.find("release", event.id, clock_ms)
        if event.event == "setup":
            event.closed = release is not None and release[0] >= event.at_ms - COPIES_MS
        answer = memory.answer(event.id, clock_ms)
        held = memory.answer(event.id, self.clocks.behind)
        if event.event == "answer" and (event.vouched or held is None or not held[1]):
            memory.answers[event.id] = event.at_ms, event.vouched
        is_after = answer is not None and answer[0] <= event.at_ms and (earlier_ms is None or answer[0] > earlier_ms)
        if event.event == "release" and event.duration_ms is None and answer is not None and is_after:
            event.duration_ms = event.at_ms - answer[0]
        if event.duration_ms is not None:
            event.fields["duration"] = event.duration_ms / 1000
        is_unpaired = answer is None or earlier_ms is not None
        if event.event == "answer" and is_unpaired and release is not None and release[0] >= event.at_ms:
            lasted_ms = release[0] - event.at_ms
            fields = event.fields | {"duration": lasted_ms / 1000}
            return replace(event, event="release", at_ms=release[0], duration_ms=lasted_ms, fields=fields, amends=True)
        return None
