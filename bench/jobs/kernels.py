"""The counters alone, on one core and without Kafka, as the engine runs them for one rule that reads all six: every
event finds its number's row, counts where its kind counts, and is read in all six.

Half of the events are set-ups (events, gray, distinct, concurrent count them), half are the releases of the calls of
the epoch before (concurrent, sum, mean). Timed, in processor time of the one thread: `Store.rows_of`,
`Store.note_times` and the six counters' `process`, in epochs of 10,000 events, after every number has been seen once.
Making the events and starting the kernels is not. `uniform`: each event's number is any of them, so that nearly every
row comes from memory; `heavy_tailed`: as numbers are in traffic, few have most of the events."""

from __future__ import annotations

import gc
import time

import numpy as np

from bench.jobs import parameters, result
from schemas.codes import RELEASE, SETUP

EPOCH_EVENTS = 10_000
CALLS = EPOCH_EVENTS // 2  # set up in an epoch
EVENTS_PER_S = 5_000  # of event time
COUNTERS = """
counters:
  events:     {on: cdr.setup, per: caller, count: events, window: 1m}
  gray:       {on: cdr.setup, per: caller, gray: {short: 1m, long: 1h}}
  distinct:   {on: cdr.setup, per: caller, distinct: callee, window: 1h}
  concurrent: {on: cdr, per: caller, count: concurrent, max_age: 4h}
  total:      {on: cdr.release, per: caller, sum: duration, window: 10m}
  average:    {on: cdr.release, per: caller, mean: duration, window: 10m}
rules:
  - name: all
    summary: reads every counter
    when: events > 0 and gray.short > 0 and distinct > 0 and concurrent > 0 and total > 0 and average > 0
    then: {block: [calls], directions: [outgoing], for: 1d}
    mode: shadow
"""


class Bench:
    """A store of one topic with the six counters, and events for it."""

    def __init__(self, numbers: int, seed: int = 1) -> None:
        from rules.kinds import KINDS
        from rules.load import load_text
        from streams.counting.rows import HEADER, Store

        (rule,) = load_text(COUNTERS).rules
        self.counters = {}
        at = HEADER
        for name, counter in rule.counters.items():
            self.counters[name] = KINDS[counter.kind].state(counter, at)
            at += self.counters[name].words
        self.store = Store(at - HEADER, numbers + 1)
        self.seconds = dict.fromkeys(("rows and times", *self.counters), 0.0)
        self._draw = np.random.default_rng(seed)
        self._numbers = 821_000_000_000 + self._draw.permutation(numbers).astype(np.int64)
        self._now_ms = 1_794_790_800_000
        self._next_call = 1
        self._open = self._numbers[:0], self._numbers[:0]

    def see_all(self) -> None:
        for first in range(0, len(self._numbers), CALLS):
            self.run(self._numbers[first : first + CALLS])
        self.seconds = dict.fromkeys(self.seconds, 0.0)

    def uniform(self) -> np.ndarray:
        return self._numbers[self._draw.integers(0, len(self._numbers), CALLS)]

    def heavy_tailed(self) -> np.ndarray:
        """The k-th busiest of n numbers has a share of about 1 / k."""
        rank = np.exp(self._draw.random(CALLS) * np.log(len(self._numbers))).astype(np.int64)
        return self._numbers[np.minimum(rank, len(self._numbers)) - 1]

    def run(self, callers: np.ndarray) -> None:
        """One epoch: a set-up of each caller, and between them the releases of the epoch before."""
        from streams.counting.kinds.base import Events

        calls = self._next_call + np.arange(len(callers))
        self._next_call += len(callers)
        number, call = np.concatenate([callers, self._open[0]]), np.concatenate([calls, self._open[1]])
        self._open = callers, calls
        order = self._draw.permutation(len(number))
        number, call, setup = number[order], call[order], order < len(callers)
        n = len(number)
        at = self._now_ms + np.arange(n) * 1000 // EVENTS_PER_S
        self._now_ms = int(at[-1]) + 1
        peer, amount = self._draw.integers(1, 1 << 40, n), self._draw.integers(1_000, 300_000, n)
        always, never = np.ones(n, np.bool_), np.zeros(n, np.bool_)
        event = np.where(setup, SETUP, RELEASE).astype(np.uint8)
        hits = {"concurrent": always, "total": ~setup, "average": ~setup}
        values = {"distinct": peer, "total": amount, "average": amount}
        begun = time.thread_time()
        row = self.store.rows_of(number)
        as_of = self.store.note_times(row, at, always)
        begun = self._note("rows and times", begun)
        for name, state in self.counters.items():
            batch = Events(row, at, as_of, hits.get(name, setup), always, values.get(name, call), event, never)
            state.process(self.store.rows, batch)
            begun = self._note(name, begun)

    def _note(self, what: str, begun: float) -> float:
        now = time.thread_time()
        self.seconds[what] += now - begun
        return now


def main() -> None:
    told = parameters()
    events = told["events"]
    figures: dict[str, object] = {}
    for kind in ("uniform", "heavy_tailed"):
        bench = Bench(told["numbers"])
        draw = getattr(bench, kind)
        bench.see_all()
        gc.collect()
        gc.disable()
        for _ in range(events // EPOCH_EVENTS):
            bench.run(draw())
        gc.enable()
        done = events // EPOCH_EVENTS * EPOCH_EVENTS
        figures[kind] = done / sum(bench.seconds.values())
        figures[f"{kind}_ns"] = {what: 1e9 * s / done for what, s in bench.seconds.items()}
    result(rate=figures["uniform"], **figures)


if __name__ == "__main__":
    main()
