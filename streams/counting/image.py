"""The image of a partition: everything that was counted there, as chunks that another worker can load.

    start     a whole image begins: what was known of the partition goes
    place     one place's clock and memories of ids, since when its warming counters have counted
    rows      numbers and their counters
    subject   what is known of all who are counted besides numbers (streams/counting/others.py); their rows follow it

A whole image holds all, one on top of it what has changed since. Pieces are loaded in the order in which they were
taken. Holds are not in it: they lie in the ledger. The codec is in `streams.counting.chunk`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from streams.counting import chunk
from streams.counting.chunk import ImageError, decode
from streams.counting.others import Others
from streams.counting.table import TopicState
from streams.ingest.admission import NEVER, Saved
from streams.ingest.epoch import Place, home_of, origin_of, partition_of_strays
from streams.ingest.feed_clocks import SAVED_COLUMNS
from streams.ingest.places import Places

__all__ = ["ImageError", "Images"]

_ENTRIES = chunk.BYTES // 64  # of each of the two memories in one piece
_CLOCKS = chunk.BYTES // 2 // (8 * SAVED_COLUMNS)


class Images:
    """Takes and loads the images of one engine's partitions."""

    def __init__(self, states: Mapping[str, TopicState], places: Places, others: Others) -> None:
        self._states = states
        self._others = others
        self._places = places
        self._taken: set[int] = set()  # partitions that the next image may build on the last one of
        self._last_marks: dict[Place, tuple[int, int]] = {}  # events, floor

    def must_be_whole(self, partition: int) -> bool:
        """True if the next image cannot build on the one before: there was none, or it holds other counters."""
        return partition not in self._taken or self._others.must_be_whole(partition)

    def take(self, partition: int, partitions: int, whole: bool) -> list[bytes]:
        """The pieces of an image, each of half a megabyte at most."""
        whole |= self.must_be_whole(partition)
        self._taken.add(partition)
        common = {"partition": partition, "partitions": partitions}
        out = [chunk.encode({"kind": "start", **common}, {})] if whole else []
        for place, source in self._places.of(partition):
            if place[0] in self._states:
                for fields, arrays in self._place(place, source, whole):
                    out.append(chunk.encode({"kind": "place", **common, **fields}, arrays))
        for state in self._states.values():
            for fields, arrays in state.save(partition, partitions, whole):
                out.append(chunk.encode({"kind": "rows", **common, **fields}, arrays))
        return [*out, *self._others.take(partition, partitions, whole)]

    def load(self, partition: int, partitions: int, piece: bytes) -> int:
        """Loads one piece; returns how many numbers it had. Raises ImageError, and then nothing has changed."""
        fields, arrays = decode(piece)
        if (fields["partition"], fields["partitions"]) != (partition, partitions):
            raise ImageError(
                f"an image of partition {fields['partition']} of {fields['partitions']}, "
                f"where partition {partition} of {partitions} is wanted"
            )
        if fields["kind"] == "start":
            self.drop(partition, partitions)
            self._taken.add(partition)
            self._others.begin(partition)  # but for those of which the image has a piece
            return 0
        if self._others.holds(fields):
            return self._others.load(fields, arrays)
        state = self._states.get(fields["topic"])
        if state is None:
            return 0  # no rule reads this topic any more
        if {counter["id"] for counter in fields["counters"]} != state.ids.keys():
            self._taken.discard(partition)
        if fields["kind"] == "rows":
            return state.load(fields, arrays)
        self._load_place(fields, arrays, state)
        return 0

    def drop(self, partition: int, partitions: int) -> None:
        """Forgets that images of this partition were taken."""
        self._taken.discard(partition)
        self._last_marks = {place: m for place, m in self._last_marks.items() if home_of(place[1]) != partition}
        self._places.drop(partition)
        self._others.drop(partition, partitions)
        for state in self._states.values():
            state.drop(partition, partitions)

    def inherit(self, old: Images) -> None:
        """Takes over the images of an engine with the same counters, so that the next ones build on them."""
        self._taken, self._last_marks = old._taken, old._last_marks

    def _place(self, place: Place, source: int, whole: bool) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
        saved = self._places.intake.save(source, whole)
        # A duplicate is not noted, but it may move the clock, and it may be what a full memory makes room for.
        marks, is_whole = (int(saved.pace[0]), saved.floor), whole or saved.whole
        if not is_whole and not len(saved.seen) and not len(saved.answers) and self._last_marks.get(place) == marks:
            return
        self._last_marks[place] = marks
        topic, partition = place
        ids = self._states[topic].ids
        since = self._places.since(place)
        fields = {
            "topic": topic,
            "rekeyed": 1 + origin_of(partition),  # 0, or 1 and the partition that they came from
            "pace": saved.pace.tolist(),
            "lateness_max_ms": saved.lateness_max_ms,
            "floor": None if saved.floor == NEVER else saved.floor,
            "counters": [{"id": known} for known in ids],
            "since": {known: since[counter] for known, counter in ids.items() if counter in since},
        }
        most = {"seen": _ENTRIES, "answers": _ENTRIES, "clocks": _CLOCKS}
        arrays = {"seen": saved.seen, "answers": saved.answers, "clocks": saved.clocks}
        pieces = max(1, *(-(-len(array) // most[name]) for name, array in arrays.items()))
        for n in range(pieces):
            part = {name: array[n * most[name] : (n + 1) * most[name]] for name, array in arrays.items()}
            yield {**fields, "whole": saved.whole and n == 0}, part

    def _load_place(self, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray], state: TopicState) -> None:
        place = fields["topic"], partition_of_strays(fields["partition"], fields["rekeyed"] - 1)
        floor = NEVER if fields["floor"] is None else fields["floor"]
        pace = np.array(fields["pace"], np.int64)
        saved = Saved(
            fields["whole"], arrays["clocks"], pace, fields["lateness_max_ms"], floor, arrays["seen"],
            arrays["answers"],
        )  # fmt: skip
        self._places.intake.restore(self._places.source(place), saved)
        self._last_marks[place] = int(pace[0]), floor
        if fields["rekeyed"]:
            return
        known = {counter["id"] for counter in fields["counters"]}
        since = {state.ids[i]: at for i, at in fields["since"].items() if i in state.ids}
        clock = self._places.clocks().get(place)
        if clock is not None:
            since |= {counter: clock for i, counter in state.ids.items() if i not in known}
        self._places.set_since(place, since)
